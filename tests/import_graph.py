"""Which file of a checkout imports which, read from the text: nothing is run."""

import ast
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    line: int
    module: str  # absolute within the checkout for relative imports: "kontext.errors"
    relative: bool
    names: tuple[str, ...]
    top_level: bool  # done when the module is imported


def python_files(root: Path, *folders: str) -> Iterator[Path]:
    """The Python files of a checkout, or of some of its folders; never those of .venv and .dev."""
    for folder, inner, files in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name != "__pycache__")
        path = Path(folder)
        if folders and path != root and path.relative_to(root).parts[0] not in folders:
            continue
        for name in sorted(files):
            if name.endswith(".py") and (path != root or not folders):
                yield path / name


def parse(path: Path) -> ast.Module:
    return _parse(path, path.read_text("utf-8"))


@lru_cache(maxsize=1000)
def _parse(path: Path, text: str) -> ast.Module:
    return ast.parse(text, str(path))


def while_importing(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that are run when a module is imported: not inside functions, not under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from while_importing(node)


def imports(root: Path, path: Path) -> list[Import]:
    """Every import of a file, `import_module("x")` and `__import__("x")` included."""
    return _imports(root, path, path.read_text("utf-8"))


@lru_cache(maxsize=1000)
def _imports(root: Path, path: Path, text: str) -> list[Import]:
    tree, found = _parse(path, text), []
    early = {id(node) for node in while_importing(tree)}
    package = path.relative_to(root).parent.parts
    for node in ast.walk(tree):
        top = id(node) in early
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, alias.name, False, (), top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names, relative = tuple(alias.name for alias in node.names), node.level > 0
            base = package[: len(package) - node.level + 1] if relative else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            if relative and not node.module:  # from .. import kontext
                found += [Import(node.lineno, ".".join([*base, name]), True, (), top) for name in names]
            else:
                found.append(Import(node.lineno, module, relative, names, top))
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) \
                and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            found.append(Import(node.lineno, str(node.args[0].value), False, (), top))
    return found


def at(root: Path, path: Path, line: int, problem: str) -> str:
    return f"{path.relative_to(root).as_posix()}:{line}: {problem}"


def file_graph(root: Path, *folders: str) -> dict[str, set[str]]:
    """Each module below these folders ("kontext.load.parts", a package's `__init__` as "kontext.load") with those that
    it imports, in functions and under TYPE_CHECKING too. `from . import a` is an import of the module a, if there is
    one, and of the package otherwise."""
    paths = {}
    for path in python_files(root, *folders):
        parts = path.relative_to(root).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {}
    for name, path in paths.items():
        wanted = set()
        for item in imports(root, path):
            if item.relative:
                inner = [f"{item.module}.{each}" for each in item.names]
                modules = [module for module in inner if module in paths]
                wanted.update(modules)
                if not item.names or len(modules) < len(inner):
                    package = item.module if item.module in paths else item.module.rpartition(".")[0]
                    wanted.add(package)
        graph[name] = (wanted & set(paths)) - {name}
    return graph


def room_graph(graph: dict[str, set[str]], folder: str) -> dict[str, set[str]]:
    """The same between what lies in a folder ("" is the checkout): each file in it, and each folder in it as a whole;
    without its face, which knows them all."""
    depth = folder.count(".") + 1 if folder else 0

    def room(name: str) -> str | None:
        inside = name.startswith(f"{folder}.") if folder else True
        return ".".join(name.split(".")[: depth + 1]) if inside else None

    rooms: dict[str, set[str]] = {}
    for name, wanted in graph.items():
        here = room(name)
        if here:
            rooms.setdefault(here, set()).update(other for other in map(room, wanted) if other and other != here)
    return rooms


def circles(graph: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """The groups of names that reach each other (strongly connected components of two and more), sorted."""
    reached: dict[str, set[str]] = {}
    for name in graph:
        seen, todo = set(), [name]
        while todo:
            for other in graph.get(todo.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        reached[name] = seen
    groups = {tuple(sorted(other for other in graph if other in reached[name] and name in reached[other]))
              for name in graph}
    return sorted(group for group in groups if len(group) > 1)
