"""The server class on a stand-in for ComfyUI."""

import socket
import sys
import urllib.request
from pathlib import Path

import pytest

import dev
import dev_server as server
from dev import Failure

ROOT = Path(dev.__file__).parent


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


def test_what_is_started_keeps_compiled_files_and_finds_no_other_packages(monkeypatch):
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH"):
        monkeypatch.setenv(name, "1")
    assert not {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH"} & {*server.clean_environment(A="b")}
    assert server.clean_environment(A="b")["A"] == "b"


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
