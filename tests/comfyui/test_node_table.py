"""docs/nodes.md is what the nodes declare. KONTINUITY_WRITE_DOCS=1 writes it anew:

    KONTINUITY_WRITE_DOCS=1 python3 dev.py test tests/comfyui/test_node_table.py
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "nodes.md"
HEAD = """\
# The nodes

Made from the nodes' own declarations (`define_schema`) by tests/comfyui/test_node_table.py; do not edit. What each
input does stands in the tooltips and help pages, which ComfyUI shows. Ids are promises: saved workflows name them.
New inputs come last. *Optional* inputs may be left out of an API workflow.
"""
LONGEST = 40  # characters of a default that are shown


def inputs(node: dict):
    """(name, type, options, optional) of each input, in the order of the schema."""
    sections = node["info"]["input"]
    declared = {name: (kind, *(rest or [{}]), section == "optional") for section in ("required", "optional")
                for name, (kind, *rest) in sections.get(section, {}).items()}
    return [(name, *declared[name]) for name in node["input_ids"]]


def value(kind, options: dict) -> str:
    """A widget's default and range; nothing for a socket, nor for a choice, which often lists files."""
    if isinstance(kind, list) or kind == "COMBO" or "default" not in options:
        return ""
    text = str(options["default"])
    text = f"`{text}`" if 0 < len(text) <= LONGEST and "\n" not in text else "a text" if text else "empty"
    return f"{text}, {options['min']} to {options['max']}" if "min" in options else text


def rows(node: dict) -> list[str]:
    """The inputs and outputs of one node, a line each."""
    lines = ["| | name | type | default |", "|---|---|---|---|"]
    for name, kind, options, optional in inputs(node):
        shown = "choice" if isinstance(kind, list) or kind == "COMBO" else kind
        line = f"| {'*in*' if optional else 'in'} | `{name}` | {shown} | {value(kind, options)} |"
        lines.append(line.replace("  ", " "))
    info = node["info"]
    for name, kind, listed in zip(info["output_name"], info["output"], info["output_is_list"], strict=True):
        lines.append(f"| out | `{name}` | {kind}{' list' if listed else ''} | |")
    return lines


def node_table(nodes: dict) -> str:
    """The page."""
    parts = [HEAD]
    for node_id, node in nodes.items():
        saves = ", saves" if node["info"]["output_node"] else ""
        parts.append("\n".join([f"## {node['info']['display_name']}", "",
                                f"`{node_id}`{saves} ([help](../nodes/web/docs/{node_id}.md))", "", *rows(node), ""]))
    return "\n".join(parts)


def test_the_page_of_nodes_says_what_they_declare(schemas):
    table = node_table(schemas["nodes"])
    if os.environ.get("KONTINUITY_WRITE_DOCS"):
        PAGE.write_text(table, "utf-8")
    assert PAGE.read_text("utf-8") == table, "run KONTINUITY_WRITE_DOCS=1 python3 dev.py test " + \
        "tests/comfyui/test_node_table.py"


def test_a_changed_input_changes_the_page(schemas):
    nodes = {"Kontinuity_Edit": schemas["nodes"]["Kontinuity_Edit"]}
    assert "`seed` | INT | `0`, 0 to 18446744073709551615 |" in node_table(nodes)
    nodes["Kontinuity_Edit"]["info"]["input"]["required"]["seed"][1]["min"] = 1
    try:
        assert "`seed` | INT | `0`, 1 to" in node_table(nodes)
    finally:
        nodes["Kontinuity_Edit"]["info"]["input"]["required"]["seed"][1]["min"] = 0
