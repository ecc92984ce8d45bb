"""The shipped workflows against the nodes' declarations."""

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
WORKFLOWS = ROOT / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
FRONTEND_ONLY = ("Note", "MarkdownNote")
WIDGET_TYPES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
CONTROL = ("fixed", "increment", "decrement", "randomize")


def load(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def widgets(declaration: dict) -> list[tuple[str, bool]]:
    """(input name, followed by a control_after_generate entry) of each widget, in order."""
    found = []
    for section in ("required", "optional"):
        for name, (kind, *rest) in declaration["info"]["input"].get(section, {}).items():
            options = rest[0] if rest else {}
            if (isinstance(kind, list) or kind in WIDGET_TYPES) and not options.get("forceInput"):
                found.append((name, bool(options.get("control_after_generate"))))
    return found


def to_api(workflow: dict, declarations: dict, earlier: bool = False) -> dict:
    """The API graph of a workflow of the editor; checks each node's widget values and each link on the way. Of an
    `earlier` one the editor leaves widgets that have come since, the last ones, at their defaults: not in the graph."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: link[1:] for link in workflow["links"]}
    api = {}
    for node in workflow["nodes"]:
        if node["type"] in FRONTEND_ONLY:
            continue
        declaration = declarations[node["type"]]
        values, inputs = list(node["widgets_values"]), {}
        for name, controlled in widgets(declaration):
            if earlier and not values:
                break
            inputs[name] = values.pop(0)
            if controlled:
                assert values.pop(0) in CONTROL
        assert not values, f"{node['type']} has {len(values)} widget values too many"
        sections = declaration["info"]["input"]
        declared = {**sections.get("required", {}), **sections.get("optional", {})}
        for slot, entry in enumerate(node["inputs"]):
            assert entry["name"] in declared, f"{node['type']}.{entry['name']}"
            if entry["link"] is None:
                continue
            source, source_slot, target, target_slot, kind = links[entry["link"]]
            assert (target, target_slot) == (node["id"], slot) and declared[entry["name"]][0] in (kind, "*")
            output = nodes[source]["outputs"][source_slot]
            assert entry["link"] in output["links"] and output["type"] == kind
            assert declarations[nodes[source]["type"]]["info"]["output"][source_slot] == kind
            inputs[entry["name"]] = [str(source), source_slot]
        assert set(sections.get("required", {})) <= set(inputs), node["type"]
        api[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return api


@pytest.mark.parametrize("name", NAMES)
def test_the_editors_workflow_equals_its_api_twin(name, schemas):
    workflow = load(WORKFLOWS / f"{name}.json")
    declarations = {**schemas["core"], **schemas["nodes"]}
    assert workflow["version"] == 0.4
    assert {node["type"] for node in workflow["nodes"]} - set(FRONTEND_ONLY) <= set(declarations)
    twin = load(WORKFLOWS / "api" / f"{name}.json")
    assert to_api(workflow, declarations) == {
        key: {"class_type": node["class_type"], "inputs": node["inputs"]} for key, node in twin.items()}


@pytest.mark.parametrize("name", NAMES)
def test_links_and_ids_are_consistent(name):
    workflow = load(WORKFLOWS / f"{name}.json")
    ids = [node["id"] for node in workflow["nodes"]]
    link_ids = [link[0] for link in workflow["links"]]
    assert len(set(ids)) == len(ids) and len(set(link_ids)) == len(link_ids)
    assert workflow["last_node_id"] == max(ids) and workflow["last_link_id"] == max(link_ids)
    from_inputs = [i["link"] for node in workflow["nodes"] for i in node.get("inputs", []) if i["link"] is not None]
    from_outputs = [n for node in workflow["nodes"] for o in node.get("outputs", []) for n in o["links"] or ()]
    assert sorted(from_inputs) == sorted(from_outputs) == sorted(link_ids)


@pytest.mark.parametrize("name", NAMES)
def test_nodes_do_not_overlap_run_left_to_right_and_lie_in_titled_groups(name):
    workflow = load(WORKFLOWS / f"{name}.json")
    # a node's title bar, 30 pixels, is above its position
    boxes = {n["id"]: (n["pos"][0], n["pos"][1] - 30, n["pos"][0] + n["size"][0], n["pos"][1] + n["size"][1])
             for n in workflow["nodes"]}
    for a, (left, top, right, bottom) in boxes.items():
        for b, other in boxes.items():
            assert a == b or right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top, (a, b)
        groups = [g for g in workflow["groups"] if g["bounding"][0] <= left and g["bounding"][1] <= top
                  and g["bounding"][0] + g["bounding"][2] >= right and g["bounding"][1] + g["bounding"][3] >= bottom]
        assert len(groups) == 1 and groups[0]["title"], a
    for _, source, _, target, _, _ in workflow["links"]:
        assert boxes[source][0] <= boxes[target][0]
    assert sum(node["type"] in FRONTEND_ONLY for node in workflow["nodes"]) == 1


@pytest.mark.parametrize("name", NAMES)
def test_there_is_an_api_twin_and_a_thumbnail(name):
    assert (WORKFLOWS / "api" / f"{name}.json").is_file()
    picture = WORKFLOWS / f"{name}.jpg"  # the template browser takes .jpg only
    assert picture.is_file() and picture.read_bytes()[:3] == b"\xff\xd8\xff"


def test_no_api_graph_is_where_the_template_browser_looks():
    assert all("nodes" in load(path) for path in WORKFLOWS.glob("*.json"))
    assert sorted(path.stem for path in (WORKFLOWS / "api").glob("*.json")) == NAMES


def test_the_demo_models_prompts_are_in_its_own_words(schemas):
    toonworld = importlib.import_module("kontinuity.demo_model.toonworld")
    parse_story = importlib.import_module("kontinuity.storyboard").parse_story
    text = load(WORKFLOWS / "api" / "storyboard.json")["5"]["inputs"]["text"]
    default = schemas["nodes"]["Kontinuity_LoadStoryboard"]["info"]["input"]["required"]["text"][1]["default"]
    assert text == default
    assert len(parse_story(text).panels) == 4
    prompts = []
    for path in sorted((WORKFLOWS / "api").glob("*.json")):
        graph = load(path)
        if "Kontinuity_LoadModel" not in {node["class_type"] for node in graph.values()}:
            continue  # for a model of the user's
        for node in graph.values():
            if node["class_type"] == "Kontinuity_LoadStoryboard":
                prompts += [panel.prompt for panel in parse_story(node["inputs"]["text"]).panels]
            elif node["class_type"] == "Kontinuity_Edit":
                prompts.append(node["inputs"]["instruction"])
    assert len(prompts) > 10 and not [prompt for prompt in prompts if not toonworld.is_instruction(prompt)]
