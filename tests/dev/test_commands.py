"""dev.py: its command line, its one-line errors, the demo and the benchmarks."""

import ast
import errno
import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import dev
import dev_install as install
from dev import Failure

ROOT = Path(dev.__file__).parent


# What an old Python sees ---------------------------------------------------------------------------------------

def test_parses_on_old_python():
    ast.parse((ROOT / "dev.py").read_text("utf-8"), feature_version=(3, 6))


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 9, 18), (3, 15, 0)])
def test_wrong_python_is_said_in_one_line(version, monkeypatch):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / "dev.py"))
    assert "3.10 to 3.14" in stopped.value.code and "\n" not in stopped.value.code


# Commands ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("argv", "rest"), [
    (["test"], []),
    (["test", "-k", "a or b", "tests/x.py"], ["-k", "a or b", "tests/x.py"]),
    (["test", "--comfyui", "/c", "-x", "--", "-k", "y"], ["-x", "-k", "y"]),
    (["lint", "--fix"], ["--fix"]),
    (["comfyui", "--port", "8200", "--", "--preview-method", "auto"], ["--preview-method", "auto"]),
    (["bench", "drift", "--count", "5"], ["--count", "5"]),
    (["environments", "newest", "lowest"], []),
])
def test_arguments(argv, rest):
    options = dev.parse_arguments(argv)
    assert options.rest == rest and options.command == argv[0]


@pytest.mark.parametrize("argv", [[], ["fly"], ["demo", "--fast"], ["comfyui", "--preview-method", "auto"], ["bench"],
                                  ["lock", "--fast"]])
def test_wrong_arguments(argv, capsys):
    with pytest.raises(SystemExit):
        dev.parse_arguments(argv)
    assert "dev.py" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code", "message"), [
    (Failure("port 1 is taken"), 1, "error: port 1 is taken\n"),
    (OSError(errno.ENOSPC, "No space left on device", "/a/b"), 1,
     "error: disk full while writing /a/b; make room and run the command again\n"),
    (PermissionError(errno.EACCES, "Permission denied", "/a"), 1,
     "error: [Errno 13] Permission denied: '/a'; check this path and its permissions\n"),
    (KeyboardInterrupt(), 130, "\nstopped\n"),
])
def test_errors_are_one_line(error, code, message, monkeypatch, capsys):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(dev, "prepare", fail)
    monkeypatch.setattr(dev.signal, "signal", lambda *_: None)
    assert dev.main(["demo"]) == code
    assert capsys.readouterr().err == message


def fake_module(folder: Path, name: str, text: str) -> None:
    """A module of a package `kontinuity` that `python -m` finds in `folder` when it runs there."""
    path = folder / "kontinuity" / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_demo_prints_where_the_pictures_are(fake_comfyui, checkout, monkeypatch, capsys):
    monkeypatch.setattr(dev, "prepare", lambda tree: install.Host(fake_comfyui, install.OWN))
    fake_module(checkout / ".dev" / "base", "batch",
                "import sys\nprint('a b.png', *sys.argv[1:], sep='\\n')\nsys.exit('--fail' in sys.argv)")
    assert dev.main(["demo"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["The panels and the contact sheet:", "  a b.png"]
    assert f"  {checkout / 'demo_output'}" in out


@pytest.mark.parametrize("finds", ["", "ruff", "eslint"])
def test_lint_runs_all_and_fails_if_one_finds_something(finds, environment, monkeypatch, capsys):
    """Each command stands for itself by its own name."""
    def run(command, **_):
        name = next(name for name in ("ruff", "pyright", "importlinter", "eslint") if name in " ".join(command))
        return SimpleNamespace(returncode=int(name == finds), stdout=f"{name} said this\n")

    monkeypatch.setattr(dev._lint, "eslint", lambda environment: Path("eslint.js"))
    monkeypatch.setattr(dev._lint.subprocess, "run", run)
    assert dev._lint.lint(environment) == (not finds)
    out = capsys.readouterr().out
    assert [line.split(":")[0] for line in out.splitlines() if ":" in line] == ["ruff", "pyright", "import-linter",
                                                                                "eslint"]
    assert ("said this" in out) == bool(finds)


@pytest.fixture
def benchmarks(checkout, monkeypatch):
    monkeypatch.setattr(dev, "prepare", lambda tree: install.Host(checkout, install.OWN))
    monkeypatch.setattr(dev, "ROOT", checkout / "kontinuity")
    monkeypatch.chdir(checkout)
    good = "import sys\nprint('working')\nprint('{\"seconds\": 1.5}')\nprint()"
    for name, text in {"good": good, "talks": "print('done')", "fails": "print('half')\nraise SystemExit(3)",
                       "__init__": ""}.items():
        fake_module(checkout, f"benchmarks/{name}", text)
    return checkout


def test_bench_closes_with_one_json_object(benchmarks, capsys):
    assert dev.main(["bench", "good", "--out", "r.json", "--n", "5"]) == 0
    first, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    assert first == "working" and result["seconds"] == 1.5
    assert result["command"] == "python3 dev.py bench good --out r.json --n 5"
    assert set(result["machine"]) == {"cpu", "cores", "gpu", "system"}
    assert set(result["versions"]) == {"python", "torch", "diffusers", "transformers", "comfyui"}
    assert json.loads((benchmarks / "r.json").read_text("utf-8")) == result


@pytest.mark.parametrize(("name", "message"), [
    ("nope", "error: no benchmark 'nope'; there are: fails, good, talks\n"),
    ("talks", "error: benchmark talks: its last line is no JSON object ('done"),
    ("fails", "error: benchmark fails failed (exit code 3)"),
])
def test_bench_errors(benchmarks, name, message, capsys):
    assert dev.main(["bench", name]) == 1
    err = capsys.readouterr().err
    assert err.startswith(message) and err.count("\n") == 1
