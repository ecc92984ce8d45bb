"""`python -m kontinuity.storyboard.queue`: arguments, progress, exit codes."""

import io
import json

import pytest
from kontinuity.kontext import InputError
from kontinuity.storyboard.queue import Event
from kontinuity.storyboard.queue_command import Progress, change_inputs, main, read_workflow

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
    ("\xff", "cannot be read"),
])
def test_workflow_files(tmp_path, content, words):
    path = tmp_path / "bad.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=words):
        read_workflow(path)


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
