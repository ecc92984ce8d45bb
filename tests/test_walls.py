"""The walls of the house (docs/architecture.md), each checked on the checkout and on a planted violation."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from import_graph import at, imports, parse, python_files

try:
    import tomllib
except ImportError:  # Python 3.10; pytest itself brings the same parser there
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("common", "kontext", "flow", "storyboard", "publish", "batch", "demo_model")  # know no ComfyUI
PACK = (*PARTS, "nodes", "benchmarks")
FACES = ("common", "kontext", "flow", "storyboard", "storyboard.prompts", "publish", "demo_model",
         "demo_model.toonworld")
ALLOWED_FACES = {"common": (), "demo_model": ("common",), "kontext": ("common",), "flow": ("common",),
                 "storyboard": ("common", "kontext", "flow"), "publish": ("common", "storyboard"),
                 "batch": ("common",), "nodes": FACES}
# the command `kontinuity.batch` under the name that scripts know
OLD_NAME = ("storyboard", "queue.py")
HOST = re.compile(r"(comfy(_\w+)?|folder_paths|nodes|server|execution|latent_preview|node_helpers|app|utils)(\.|$)")
HOST_FOLDER = ("nodes", "host")
BROUGHT = ("torch", "torchvision", "triton", "transformers", "safetensors", "numpy", "scipy", "PIL", "yaml", "pydantic",
           "pydantic_core", "aiohttp", "yarl", "av", "cv2")  # triton with torch on Linux, pydantic_core with pydantic
MAX_COLUMNS = 120
MAX_LINES = 400


def knows_the_host(root: Path) -> list[str]:
    """PARTS import nothing of ComfyUI; among the nodes only those in nodes/host/ do."""
    problems = []
    for path in python_files(root, *PARTS, "nodes"):
        place = path.relative_to(root).parts
        if place[:2] == HOST_FOLDER:
            continue
        for item in imports(root, path):
            api = item.module == "comfy_api.latest" and set(item.names) <= {"io", "ui", "ComfyExtension"}
            if not item.relative and HOST.match(item.module) and not (place[0] == "nodes" and api):
                problems.append(at(root, path, item.line, f"imports {item.module} of ComfyUI"))
    return problems


def goes_past_a_face(root: Path) -> list[str]:
    """Packages talk through faces (their `__init__`), in one direction only."""
    problems = []
    for path in python_files(root, *ALLOWED_FACES):
        if path.relative_to(root).parts == OLD_NAME:
            continue
        own = path.relative_to(root).parts[0]
        for item in imports(root, path):
            target = item.module.split(".")[0]
            if not item.relative or target == own or target not in PACK:
                continue
            face = item.module in ALLOWED_FACES[own]
            # from ..kontext import sampling: a module, not what the face offers
            folder = root.joinpath(*item.module.split("."))
            inside = any((folder / f"{name}.py").is_file() or (folder / name).is_dir() for name in item.names
                         if f"{item.module}.{name}" not in ALLOWED_FACES[own])
            if not face or inside:
                problems.append(at(root, path, item.line, f"{own} imports {item.module} ({', '.join(item.names)})"))
    return problems


def absolute_import_of_own_package(root: Path) -> list[str]:
    """Inside the pack only relative imports: ComfyUI loads it under a name of its own."""
    own = {"kontinuity", *PACK} - {"nodes"}  # `nodes` is ComfyUI's module: knows_the_host
    return [at(root, path, item.line, f"imports {item.module} absolutely")
            for path in [root / "__init__.py", *python_files(root, *PACK)] if path.is_file()
            for item in imports(root, path) if not item.relative and item.module.split(".")[0] in own]


def root_imports_something(root: Path) -> list[str]:
    """pytest imports the root `__init__.py` on its own, without a package: it must stand alone."""
    path = root / "__init__.py"
    return [at(root, path, item.line, f"imports {item.module}") for item in imports(root, path) if item.top_level]


def early_heavy_import(root: Path) -> list[str]:
    """Importing the nodes and the story is cheap."""
    return [at(root, path, item.line, f"imports {item.module} when imported")
            for path in python_files(root, "nodes", "storyboard") for item in imports(root, path)
            if item.top_level and item.module.split(".")[0] in ("diffusers", "transformers") and not item.relative]


def not_the_hosts(root: Path) -> list[str]:
    """What users run imports nothing but what ComfyUI brings and requirements.txt asks for: another library could move
    the host's packages (docs/decisions/engine_without_diffusers.md)."""
    return [at(root, path, item.line, f"imports {item.module}, which ComfyUI does not bring")
            for path in python_files(root, *PARTS, "nodes") if "training" not in path.relative_to(root).parts
            for item in imports(root, path)
            if not item.relative and not HOST.match(item.module)
            and item.module.split(".")[0] not in {*sys.stdlib_module_names, *BROUGHT}]


def prints(root: Path) -> list[str]:
    """Loggers, not print; except in dev*.py, benchmarks/, demo_model/training/, `main` and `__main__` blocks."""

    def calls(node: ast.AST) -> Iterator[int]:
        for child in ast.iter_child_nodes(node):
            command = isinstance(child, ast.FunctionDef) and child.name == "main" or (
                isinstance(child, ast.If) and "__name__" in ast.unparse(child.test))
            if command:
                continue
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id == "print":
                yield child.lineno
            yield from calls(child)

    free = ("benchmarks/", "demo_model/training/", "dev", "tests/")
    return [at(root, path, line, "print()") for path in python_files(root)
            if not path.relative_to(root).as_posix().startswith(free) for line in calls(parse(path))]


def too_long(root: Path) -> list[str]:
    """A file is one room."""
    lengths = ((path, len(path.read_text("utf-8").splitlines())) for path in python_files(root))
    return [at(root, path, count, f"more than {MAX_LINES} lines") for path, count in lengths if count > MAX_LINES]


def too_wide(root: Path) -> list[str]:
    """Documents have the lines of the code; a table's row is one line whatever it holds."""
    return [at(root, path, number, f"{len(line)} columns") for path in sorted(root.rglob("*.md"))
            if not any(part.startswith(".") for part in path.relative_to(root).parts)
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
            if len(line) > MAX_COLUMNS and not line.startswith("|")]


def unfinished(root: Path) -> list[str]:
    """What is here is finished; what is not is in the issues."""
    mark = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
    return [at(root, path, number, line.strip()) for path in python_files(root)
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1) if mark.search(line)]


def opens_code_as_data(root: Path) -> list[str]:
    """No file that a user opens can run code."""
    problems = []
    for path in python_files(root, *PACK):
        found = [(item.line, item.module) for item in imports(root, path)
                 if item.module.split(".")[0] in ("pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal")]
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Call):
                call, text = ast.unparse(node.func), ast.unparse(node)
                yaml_load = call.startswith("yaml.") and "load" in call and "safe" not in text.lower()
                if yaml_load or call == "torch.load" and "weights_only=True" not in text:
                    found.append((node.lineno, text))
        problems += [at(root, path, line, text) for line, text in found]
    return problems


def requirements_differ(root: Path) -> list[str]:
    """requirements.txt is pyproject's list, with lower bounds only, and without torch."""
    text = (root / "requirements.txt").read_text("utf-8")
    lines = [line.split("#")[0].strip() for line in text.splitlines() if line.split("#")[0].strip()]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    problems = [] if lines == project["dependencies"] else ["requirements.txt and pyproject.toml differ"]
    problems += [f"{line}: lower bounds only" for line in lines if not re.fullmatch(r"[\w.-]+(>=[\d.]+)?", line)]
    return problems + [f"{line}: ComfyUI's own" for line in lines if re.match(r"(torch|numpy|pillow)", line, re.I)]


def packages_differ(root: Path) -> list[str]:
    """pyproject's packages are the folders that are packages."""
    listed = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    there = [".".join(["kontinuity", *path.parent.relative_to(root).parts]) for path in python_files(root)
             if path.name == "__init__.py" and "tests" not in path.relative_to(root).parts]
    return sorted(f"{name}: only in one of folders and pyproject.toml" for name in {*listed} ^ {*there})


PYPROJECT = ('[project]\ndependencies = ["some-library>=0.36.0"]\n'
             '[tool.setuptools]\npackages = ["kontinuity", "kontinuity.storyboard.prompts"]\n')
GOOD = {"__init__.py": "", "storyboard/prompts/__init__.py": "",
        "requirements.txt": "some-library>=0.36.0\n", "pyproject.toml": PYPROJECT}
# wall, planted file, its text
PLANTED: list[tuple[Callable[[Path], list[str]], str, str]] = [
    (knows_the_host, "kontext/a.py", "import comfy.utils"),
    (knows_the_host, "storyboard/a.py", "def f():\n    from folder_paths import models_dir"),
    (knows_the_host, "flow/a.py", "import nodes"),
    (knows_the_host, "demo_model/toonworld/a.py", "import importlib\nimportlib.import_module('execution')"),
    (knows_the_host, "nodes/a.py", "import comfy.model_management"),
    (knows_the_host, "nodes/a.py", "from comfy_api.latest import InputImpl"),
    (knows_the_host, "nodes/native_models.py", "import comfy.samplers"),
    (knows_the_host, "kontext/native.py", "import comfy.samplers"),
    (goes_past_a_face, "storyboard/a.py", "from ..kontext.errors import InputError"),
    (goes_past_a_face, "storyboard/a.py", "from ..demo_model import weights_folder"),
    (goes_past_a_face, "kontext/backends/a.py", "from ...storyboard import plan"),
    (goes_past_a_face, "kontext/a.py", "from .. import storyboard"),
    (goes_past_a_face, "nodes/a.py", "from ..storyboard.sheet import contact_sheet"),
    (goes_past_a_face, "publish/a.py", "from ..storyboard import prompts"),
    (goes_past_a_face, "storyboard/plan/a.py", "from ...kontext.text import count"),
    (absolute_import_of_own_package, "nodes/a.py", "from kontext import KontextModel"),
    (absolute_import_of_own_package, "storyboard/a.py", "import kontinuity.kontext"),
    (root_imports_something, "__init__.py", "from .nodes import KontinuityExtension"),
    (root_imports_something, "__init__.py", "try:\n    import torch\nexcept ImportError:\n    pass"),
    (early_heavy_import, "nodes/a.py", "from diffusers import FluxPipeline"),
    (early_heavy_import, "storyboard/a.py", "class A:\n    import transformers"),
    (not_the_hosts, "kontext/a.py", "def f():\n    from diffusers import AutoencoderKL"),
    (not_the_hosts, "nodes/a.py", "import huggingface_hub"),
    (prints, "kontext/a.py", "def f():\n    print('here')"),
    (prints, "storyboard/a.py", "print('here')"),
    (too_long, "kontext/a.py", "a = 1\n" * (MAX_LINES + 1)),
    (too_wide, "docs/a.md", "word " * 25),
    (unfinished, "kontext/a.py", "a = 1  # TO" + "DO: more"),
    (opens_code_as_data, "kontext/a.py", "import torch\ntorch.load('x.pt')"),
    (opens_code_as_data, "kontext/a.py", "import torch\ntorch.load('x.pt', weights_only=False)"),
    (opens_code_as_data, "storyboard/a.py", "import yaml\nyaml.load('a: 1', Loader=yaml.Loader)"),
    (opens_code_as_data, "demo_model/training/a.py", "import pickle"),
    (requirements_differ, "requirements.txt", "another-library>=1.0.0"),
    (requirements_differ, "requirements.txt", "some-library==0.36.0"),
    (requirements_differ, "requirements.txt", "some-library>=0.36.0\ntorch"),
    (packages_differ, "kontext/__init__.py", ""),
]
# what the walls must let through: (wall, file, text)
INNOCENT: list[tuple[Callable[[Path], list[str]], str, str]] = [
    (knows_the_host, "nodes/a.py", "from comfy_api.latest import ComfyExtension, io, ui"),
    (knows_the_host, "nodes/host/memory.py", "import comfy.utils, folder_paths"),
    (knows_the_host, "nodes/host/native_in.py", "import comfy.samplers"),
    (knows_the_host, "kontext/a.py", "from .utils import f\nfrom . import nodes"),
    (goes_past_a_face, "storyboard/a.py", "from ..kontext import EditRequest"),
    (goes_past_a_face, "nodes/a.py", "from ..storyboard import prompts"),
    (goes_past_a_face, "nodes/a.py", "from ..demo_model.toonworld import draw\nfrom ..demo_model import toonworld"),
    (goes_past_a_face, "kontext/backends/a.py", "from ..errors import InputError"),
    (root_imports_something, "__init__.py", "async def f():\n    from .nodes import A"),
    (early_heavy_import, "nodes/a.py", "def f():\n    import diffusers"),
    (not_the_hosts, "demo_model/training/a.py", "import diffusers"),
    (not_the_hosts, "kontext/a.py", "import transformers.models.clip\nfrom . import diffusers"),
    (too_wide, "docs/a.md", "| " + "word " * 25 + "|"),
    (prints, "storyboard/a.py", "def main():\n    print('saved')\nif __name__ == '__main__':\n    print('end')"),
    (opens_code_as_data, "storyboard/a.py", "import yaml\nyaml.load('a: 1', Loader=yaml.CSafeLoader)"),
    (opens_code_as_data, "demo_model/training/a.py", "import torch\ntorch.load('a', weights_only=True)"),
]
WALLS = list(dict.fromkeys(wall for wall, _, _ in PLANTED))


def plant(root: Path, name: str, text: str) -> Path:
    for path, content in {**GOOD, name: text}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content, "utf-8")
    return root


def case_id(value) -> str:
    return getattr(value, "__name__", None) or " ".join(str(value).split())[:40]


@pytest.mark.parametrize("wall", WALLS, ids=case_id)
def test_wall_stands(wall):
    assert wall(ROOT) == []


@pytest.mark.parametrize(("wall", "name", "text"), PLANTED, ids=case_id)
def test_wall_bites(wall, name, text, tmp_path):
    assert wall(plant(tmp_path, name, text)) != []


@pytest.mark.parametrize(("wall", "name", "text"), INNOCENT, ids=case_id)
def test_wall_lets_through(wall, name, text, tmp_path):
    assert wall(plant(tmp_path, name, text)) == []


# Imports the faces as ComfyUI would, under another name, and says what heavy things came along.
CHEAP = """
import importlib, importlib.util, sys
root, *faces = sys.argv[1:]
spec = importlib.util.spec_from_file_location("pack", root + "/__init__.py", submodule_search_locations=[root])
sys.modules["pack"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
for name in faces:
    importlib.import_module("pack." + name)
print(*sorted({name.split(".")[0] for name in sys.modules} & {"diffusers", "transformers", "comfy", "folder_paths"}))
"""


def heavy_imports(root: Path, *faces: str) -> str:
    done = subprocess.run([sys.executable, "-c", CHEAP, str(root), *faces], capture_output=True, text=True,
                          cwd=root.parent, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_faces_import_without_diffusers():
    assert heavy_imports(ROOT, *FACES) == ""


def test_import_of_diffusers_is_noticed(tmp_path):
    plant(tmp_path, "kontext/__init__.py", "import json as diffusers, sys; sys.modules['diffusers'] = diffusers")
    assert heavy_imports(tmp_path, "kontext") == "diffusers"
