"""The queue client's command line on a real ComfyUI, whose cache forgets no node and checks no file."""

import json

import pytest


@pytest.fixture
def queue(server, board, tmp_path, capfd):
    """queue(*options): queue the storyboard's first panel; exit code, lines of standard output, standard error."""
    from kontinuity.batch.command import main

    workflow = tmp_path / "board.json"
    workflow.write_text(json.dumps(board(panels="beach", steps=1)))

    def run(*options):
        code = main([str(workflow), "--server", server.url, "--out", str(tmp_path / "out"), *options])
        out, err = capfd.readouterr()
        return code, out.splitlines(), err
    return run


def test_deleted_panels_are_missed_and_made_again_with_fresh(server, queue, request):
    folder = server.base / "output" / request.node.name
    code, first, err = queue()
    assert code == 0, err
    panel, = folder.glob("*.png")
    panel.unlink()
    code, left, err = queue()
    assert code == 1 and len(left) == len(first) - 1, err
    assert f"queue: file '{request.node.name}/{panel.name}': is gone from the server" in err
    assert "run with --fresh" in err
    code, again, err = queue("--fresh")
    assert code == 0 and len(again) == len(first), err
    assert [path.name for path in folder.glob("*.png")] == [panel.name]
