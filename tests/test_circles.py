"""No file, and no folder, imports in a circle: whoever reads one need not know the others that lead back to it."""

from pathlib import Path

import pytest
from import_graph import circles, file_graph, room_graph
from test_walls import PACK

ROOT = Path(__file__).resolve().parent.parent


def folders(graph: dict[str, set[str]]) -> list[str]:
    """All that hold something, the checkout itself as ""."""
    return sorted({name.rpartition(".")[0] for name in graph})


def all_circles(root: Path) -> list[str]:
    graph = file_graph(root, *PACK)
    found = ["files " + " <-> ".join(group) for group in circles(graph)]
    return found + [f"in {folder or 'the checkout'}: " + " <-> ".join(group) for folder in folders(graph)
                    for group in circles(room_graph(graph, folder))]


def test_nothing_imports_in_a_circle():
    assert all_circles(ROOT) == []


def write(root: Path, files: dict[str, str]) -> Path:
    packages = {path for name in files for path in Path(name).parents if path != Path()}
    for name, text in {**{f"{path}/__init__.py": "" for path in packages}, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return root


@pytest.mark.parametrize(("files", "found"), [
    ({"flow/a.py": "from .b import f", "flow/b.py": "from . import a"}, "files flow.a <-> flow.b"),
    ({"flow/a.py": "from . import b, c", "flow/b.py": "from . import c", "flow/c.py": "def f():\n    from .a import g"},
     "files flow.a <-> flow.b <-> flow.c"),
    ({"flow/a.py": "from .b import f",
      "flow/b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import A"},
     "files flow.a <-> flow.b"),
    ({"flow/__init__.py": "from .a import f", "flow/a.py": "from . import something"}, "files flow <-> flow.a"),
    ({"flow/__init__.py": "from .a import f", "flow/a.py": "from ..flow import f as g"}, "files flow <-> flow.a"),
    ({"kontext/x/a.py": "from ..y.b import f", "kontext/y/c.py": "from ..x.d import f", "kontext/y/b.py": "",
      "kontext/x/d.py": ""}, "in kontext: kontext.x <-> kontext.y"),
    ({"kontext/a.py": "from .x.b import f", "kontext/x/c.py": "from ..d import f", "kontext/d.py": "",
      "kontext/x/b.py": "from ..a import f"}, "in kontext: kontext.a <-> kontext.x"),
    ({"kontext/x/y/a.py": "from ..z.b import f", "kontext/x/z/c.py": "from ..y.d import f", "kontext/x/z/b.py": "",
      "kontext/x/y/d.py": ""}, "in kontext.x: kontext.x.y <-> kontext.x.z"),
    ({"flow/a.py": "from ..kontext import b", "kontext/b.py": "", "kontext/c.py": "from ..flow.d import f",
      "flow/d.py": ""}, "in the checkout: flow <-> kontext"),
])
def test_circles_are_found(files, found, tmp_path):
    assert found in all_circles(write(tmp_path, files))


@pytest.mark.parametrize("files", [
    {"flow/__init__.py": "from .a import f\nfrom .x import g", "flow/a.py": "from .x.b import g",
     "flow/x/__init__.py": "from .b import g", "flow/x/b.py": "from ..c import h", "flow/c.py": ""},
    {"flow/a.py": "from ..common import f", "common/__init__.py": "from .b import f", "common/b.py": "import flow"},
])
def test_a_face_and_what_it_offers_are_no_circle(files, tmp_path):
    assert all_circles(write(tmp_path, files)) == []
