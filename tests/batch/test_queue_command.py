"""`python -m kontinuity.batch`: arguments, progress, exit codes."""

import asyncio
import io
import json
import os
import re
import signal
import sys

import pytest
from aiohttp import web
from kontinuity.batch.client import Event
from kontinuity.batch.command import Progress, change_inputs, main, read_workflow
from kontinuity.common import InputError

WORKFLOW = {"3": {"class_type": "Paint", "inputs": {"seed": 1, "text": "x"}, "_meta": {"title": "Painter"}},
            "7": {"class_type": "Save", "inputs": {"images": ["3", 0]}}}
OUTPUTS = {"7": {"images": [{"filename": "beach.png", "subfolder": "", "type": "output"}]}}


@pytest.fixture
def workflow_file(tmp_path):
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(WORKFLOW))
    return path


async def paints(server, prompt_id, client_id):
    server.begin(prompt_id)
    await server.send(client_id, "executing", node="3", prompt_id=prompt_id)
    for value in range(1, 21):
        await server.send(client_id, "progress", node="3", value=value, max=20, prompt_id=prompt_id)
    server.end(prompt_id, OUTPUTS)
    await server.send(client_id, "executing", node=None, prompt_id=prompt_id)


def test_done(comfyui, workflow_file, tmp_path, capsys):
    comfyui.script, comfyui.files = paints, {("beach.png", "", "output"): b"pixels"}
    with comfyui.serve_in_thread() as url:
        code = main([str(workflow_file), "--server", url, "--out", str(tmp_path / "out"), "--set", "3.seed=9",
                     "--set", "3.text=42"])
    out, err = capsys.readouterr()
    assert code == 0 and out.splitlines() == [str(tmp_path / "out" / "beach.png")]
    assert (tmp_path / "out" / "beach.png").read_bytes() == b"pixels"
    assert comfyui.posted[0]["prompt"]["3"]["inputs"] == {"seed": 9, "text": "42"}
    assert "20/20 Painter" in err and "\r" not in err and len(err.splitlines()) <= 10


def test_failed(comfyui, workflow_file, tmp_path, capsys):
    async def fails(server, prompt_id, client_id):
        server.begin(prompt_id)
        error = {"node_id": "3", "node_type": "Paint", "exception_message": "out of paint\n"}
        server.end(prompt_id, OUTPUTS, "error", [["execution_error", error]])

    comfyui.script, comfyui.files = fails, {("beach.png", "", "output"): b"pixels"}
    with comfyui.serve_in_thread() as url:
        code = main([str(workflow_file), "--server", url, "--out", str(tmp_path)])
    out, err = capsys.readouterr()
    assert code == 1 and "error: node 3 (Paint): out of paint" in err
    assert out.splitlines() == [str(tmp_path / "beach.png")]  # what was finished is kept


TWO = {"7": {"images": [{"filename": name, "subfolder": "story", "type": "output"} for name in ("a.png", "b.png")]}}


async def makes_two(server, prompt_id, client_id):
    server.begin(prompt_id)
    server.end(prompt_id, TWO, messages=[["execution_cached", {"nodes": server.cached}]])


@pytest.mark.parametrize("cached", [[], ["7"]])
def test_what_can_be_fetched_is_fetched(comfyui, workflow_file, tmp_path, capsys, cached):
    comfyui.script, comfyui.cached = makes_two, cached
    comfyui.files = {("b.png", "story", "output"): b"pixels"}
    with comfyui.serve_in_thread() as url:
        code = main([str(workflow_file), "--server", url, "--out", str(tmp_path / "out")])
    out, err = capsys.readouterr()
    assert code == 1 and out.splitlines() == [str(tmp_path / "out" / "b.png")]
    assert re.search("^queue: file 'story/a.png': is .*--fresh", err, re.M)
    assert ("did not run it again" in err) == bool(cached)
    assert err.splitlines()[-1] == "1 of 2 files could not be fetched"


def test_fresh_changes_what_saves_and_nothing_else(comfyui, workflow_file, tmp_path):
    comfyui.script, comfyui.cached = makes_two, []
    comfyui.files = {(name, "story", "output"): b"pixels" for name in ("a.png", "b.png")}
    with comfyui.serve_in_thread() as url:
        for options in ([], ["--fresh"], ["--fresh"]):
            assert main([str(workflow_file), "--server", url, "--out", str(tmp_path), *options]) == 0
    plain, first, second = (posted["prompt"] for posted in comfyui.posted)
    assert plain["7"] == WORKFLOW["7"] and plain["3"] == first["3"] == second["3"]
    assert first["7"]["inputs"].pop("kontinuity_fresh") != second["7"]["inputs"].pop("kontinuity_fresh")
    assert first["7"] == second["7"] == plain["7"]


def test_nothing_to_fetch(comfyui, workflow_file, tmp_path, capsys):
    async def makes_nothing(server, prompt_id, client_id):
        server.begin(prompt_id)
        server.end(prompt_id, {"7": {"text": ["done"]}})

    comfyui.script = makes_nothing
    with comfyui.serve_in_thread() as url:
        assert main([str(workflow_file), "--server", url, "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out == "" and "done, but no node of the workflow has saved a file" in err


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/new"])
def test_a_folder_that_cannot_take_files_is_found_before_the_run(comfyui, workflow_file, tmp_path, capsys, out):
    (tmp_path / "file").write_bytes(b"")
    comfyui.script = paints
    with comfyui.serve_in_thread() as url:
        assert main([str(workflow_file), "--server", url, "--out", str(tmp_path / out)]) == 2
    assert capsys.readouterr().err.startswith("queue: --out '") and comfyui.posted == []


@pytest.fixture
def ctrl_c():
    """Python's own handler, also where the tests run in the background: a shell lets SIGINT be ignored there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_it_runs(ctrl_c, comfyui, workflow_file, capsys):
    comfyui.own_id, presses = "theirs", [True]

    async def instead(request):
        if request.path == "/queue" and presses:
            presses.pop()
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(1)

    comfyui.instead = instead
    with comfyui.serve_in_thread() as url:
        assert main([str(workflow_file), "--server", url]) == 1
    assert comfyui.pending == [] and set(comfyui.deletes) == {"theirs"}
    assert capsys.readouterr().err.splitlines()[-1] == "stopped"


def test_ctrl_c_while_fetching(ctrl_c, comfyui, workflow_file, tmp_path, capsys):
    comfyui.script, comfyui.cached = makes_two, []

    async def instead(request):
        if request.path == "/view":
            if request.query["filename"] == "a.png":
                return web.Response(body=b"pixels")
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(5)

    comfyui.instead = instead
    with comfyui.serve_in_thread() as url:
        assert main([str(workflow_file), "--server", url, "--out", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [str(tmp_path / "out" / "a.png")] and err.splitlines()[-1] == "stopped"
    assert os.listdir(tmp_path / "out") == ["a.png"] and comfyui.deletes == []


def test_paths_that_standard_output_cannot_spell(comfyui, workflow_file, tmp_path, monkeypatch):
    comfyui.script, comfyui.cached = makes_two, []
    comfyui.files = {(name, "story", "output"): b"pixels" for name in ("a.png", "b.png")}
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    stdout = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    with comfyui.serve_in_thread() as url:
        assert main([str(workflow_file), "--server", url, "--out", folder]) == 0
    assert stdout.buffer.getvalue() == b"".join(os.fsencode(folder) + b"/%s.png\n" % name for name in (b"a", b"b"))


def test_nobody_reads_the_paths(comfyui, workflow_file, tmp_path, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    comfyui.script, comfyui.cached = makes_two, []
    comfyui.files = {(name, "story", "output"): b"pixels" for name in ("a.png", "b.png")}
    monkeypatch.setattr(sys, "stdout", Closed())
    with comfyui.serve_in_thread() as url:
        assert main([str(workflow_file), "--server", url, "--out", str(tmp_path / "out")]) == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["a.png", "b.png"]


def test_refused(comfyui, workflow_file, capsys):
    comfyui.refusal = (400, {"error": {"message": "no", "details": "reason"}, "node_errors": {}})
    with comfyui.serve_in_thread() as url:
        assert main([str(workflow_file), "--server", url]) == 2
    assert "refused: no: reason" in capsys.readouterr().err


def test_wrong_input_runs_nothing(comfyui, workflow_file, tmp_path, capsys):
    with comfyui.serve_in_thread() as url:
        for arguments, words in (
                (["--set", "3.sede=9"], "queue: --set '3.sede': is no input of that node; did you mean 'seed'?"),
                (["--set", "33.seed=9"], "did you mean '3'?"),
                (["--set", "seed"], "is not NODE.INPUT=VALUE"),
                (["--timeout", "-1"], "is not a positive number"),
                (["--server", "http://127.0.0.1:9"], "cannot be reached")):
            assert main([str(workflow_file), "--server", url, *arguments]) == 2
            err = capsys.readouterr().err
            assert words in err and len(err.splitlines()) == 1
        comfyui.nodes = {"Save": {"input": {}}}
        assert main([str(workflow_file), "--server", url]) == 2
        assert "nodes 'Paint': are not installed" in capsys.readouterr().err
        assert main([str(tmp_path / "none.json"), "--server", url]) == 2
    assert comfyui.posted == []


def test_timeout(comfyui, workflow_file, capsys):
    with comfyui.serve_in_thread() as url:
        assert main([str(workflow_file), "--server", url, "--timeout", "0.3"]) == 1
    assert "timeout: not finished within 0.3 s; cancelled" in capsys.readouterr().err and comfyui.pending == []


@pytest.mark.parametrize(("content", "words"), [
    ("{", "bad.json:1: text"),
    ('{"nodes": [], "links": []}', r"choose Workflow > Export \(API\)"),
    ("{}", "has no nodes"),
    ("[1]", "has no nodes"),
    ('{"3": {"inputs": {}}}', "node 3 '.*is not a node with class_type and inputs"),
    ('{"3": {"class_type": "A", "inputs": []}}', "is not a node with"),
    ("[" * 100_000, "bad.json|cannot be read"),
    ("\xff", "cannot be read: it is not text in UTF-8 or UTF-16"),
    ("", "is not JSON"),
    ('{"nodes": [], "extra": {}}', r"choose Workflow > Export \(API\)"),
])
def test_workflow_files(tmp_path, content, words):
    path = tmp_path / "bad.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=words):
        read_workflow(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_of_workflow_files(tmp_path, encoding):
    """PowerShell's > writes UTF-16, older Windows editors put a byte order mark before UTF-8."""
    path = tmp_path / "workflow.json"
    workflow = WORKFLOW | {"9": {"class_type": "Ü", "inputs": {}}}
    path.write_bytes(json.dumps(workflow, ensure_ascii=False).encode(encoding))
    assert read_workflow(path) == workflow


def test_values():
    workflow = {"3": {"class_type": "Paint", "inputs": {"text": "x", "seed": 1, "link": ["1", 0]}}}
    changes = ['3.seed=7', '3.text=[a] = b', '3.link="plain"', "3.new=[\"4\", 1]", "3.flag=true", "3.word=hello"]
    assert change_inputs(workflow, changes) == [
        ("3", name) for name in ("seed", "text", "link", "new", "flag", "word")]
    assert workflow["3"]["inputs"] == {"seed": 7, "text": "[a] = b", "link": "plain", "new": ["4", 1], "flag": True,
                                       "word": "hello"}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_on_a_terminal_and_in_a_log():
    events = [Event("queued"), Event("waiting", value=2), Event("running"), Event("executing", "3"),
              *(Event("progress", "3", value, 20) for value in range(1, 21)), Event("executing", "99"),
              Event("execution_cached", data={"nodes": []}), Event("progress", None, 0, 0)]
    terminal, log = Terminal(), io.StringIO()
    for stream in (terminal, log):
        progress = Progress(WORKFLOW, stream)
        for event in events:
            progress(event)
        progress.close()
    assert terminal.getvalue().count("\r") >= 23 and terminal.getvalue().count("\n") == 1
    lines = log.getvalue().splitlines()
    assert lines[:3] == ["queued", "waiting, 2 before it", "Painter"] and lines[-1] == "node 99"
    assert "[########################] 20/20 Painter" in lines and len(lines) <= 9


def test_progress_of_slow_files_and_odd_titles():
    log = io.StringIO()
    progress = Progress({"1": {"class_type": "A", "_meta": {"title": "two\nlines"}}, "2": {"_meta": {"title": 7}}}, log)
    for event in (Event("executing", "1"), Event("executing", "2"),
                  *(Event("fetching", "1", value * 1e6, 4e6, {"name": "a.mp4"}) for value in (0.05, 0.5, 1, 3.9)),
                  *(Event("fetching", "1", value, 0, {"name": "b.mp4"}) for value in (2000, 3e6))):
        progress(event)
    assert log.getvalue().splitlines() == [
        "two lines", "7", "fetching a.mp4, 50.0 kB of 4.0 MB", "fetching a.mp4, 1.0 MB of 4.0 MB",
        "fetching a.mp4, 3.9 MB of 4.0 MB", "fetching b.mp4, 2.0 kB"]
