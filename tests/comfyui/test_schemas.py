"""The nodes' declarations, as ComfyUI's own loader sees them."""

import ast
import json
import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SIGNATURES = Path(__file__).with_name("signatures.json")
DOCS = ROOT / "nodes" / "web" / "docs"


def inputs_of(node: dict) -> dict[str, tuple[str, str, dict]]:
    """Input id -> (required or optional, type, options), in the schema's order."""
    sections = node["info"]["input"]
    found = {name: (section, kind, options) for section in ("required", "optional")
             for name, (kind, options) in sections.get(section, {}).items()}
    return {name: found[name] for name in node["input_ids"]}


def signature(node: dict) -> dict:
    """All that saved workflows depend on."""
    info = node["info"]
    outputs = zip(info["output"], info["output_name"], info["output_is_list"], strict=True)
    return {
        "inputs": [[name, kind, section] for name, (section, kind, _) in inputs_of(node).items()],
        "outputs": [list(item) for item in outputs],
        "output_node": info["output_node"],
        "input_list": node["input_list"],
    }


def test_comfyui_loads_the_pack_and_the_import_is_cheap(schemas):
    assert schemas["loaded"] is True
    assert schemas["heavy"] == []


def test_nodes_are_prefixed_and_derive_directly_from_comfy_node(schemas):
    """ComfyUI-Manager finds nodes by reading the source: literal ids, io.ComfyNode as the literal base."""
    literal = set()
    for path in (ROOT / "nodes").glob("*.py"):
        for item in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(item, ast.keyword) and item.arg == "node_id":
                assert isinstance(item.value, ast.Constant), f"{path.name}:{item.value.lineno}"
                literal.add(item.value.value)
    assert literal == set(schemas["nodes"])
    for node_id, node in schemas["nodes"].items():
        assert node_id.startswith("Kontinuity_")
        assert node["info"]["category"] == "Kontinuity" and node["info"]["description"]
        assert len(node["bases"]) == 1 and node["bases"][0].endswith(".ComfyNode")


def test_input_and_output_ids_are_disjoint_and_everything_has_a_tooltip(schemas):
    for node_id, node in schemas["nodes"].items():
        assert not set(node["input_ids"]) & set(node["output_ids"]), node_id
        for name, (_, _, options) in inputs_of(node).items():
            assert len(options.get("tooltip", "")) > 10, f"{node_id}.{name}"
        assert all(node["info"]["output_tooltips"]), node_id


def test_signatures_have_not_changed(schemas):
    """Saved workflows hold widget values by position and inputs by id: append new widgets last, rename nothing."""
    now = {node_id: signature(node) for node_id, node in schemas["nodes"].items()}
    if os.environ.get("KONTINUITY_UPDATE_SIGNATURES"):
        SIGNATURES.write_text(json.dumps(now, indent=1) + "\n")
    kept = json.loads(SIGNATURES.read_text())
    assert now == kept, "run with KONTINUITY_UPDATE_SIGNATURES=1 if old workflows really may break"


def test_every_node_has_a_help_page_that_names_each_input_and_output(schemas):
    assert {path.stem for path in DOCS.glob("*.md")} == set(schemas["nodes"])
    for node_id, node in schemas["nodes"].items():
        page = (DOCS / f"{node_id}.md").read_text("utf-8")
        assert page.startswith(f"# {node['info']['display_name']}\n")
        for name in [*node["input_ids"], *node["info"]["output_name"]]:
            assert f"| `{name}` |" in page, f"{node_id}: {name}"
        for name, (_, kind, options) in inputs_of(node).items():
            if kind in ("INT", "FLOAT") and "max" in options:  # its limits are written in its row
                row = re.search(rf"^\| `{name}` \|.*$", page, re.MULTILINE).group()
                assert f"{options['max']:g}" in row or str(options["max"]) in row, f"{node_id}.{name}"
