"""Whole runs through a real ComfyUI server: pictures, progress, previews, Cancel, memory, a killed server."""

import asyncio
import io
import json
import time
import urllib.request
import uuid
from pathlib import Path

import aiohttp
import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
DEMO = "demo model (built in)"


def pictures(folder: Path) -> dict[str, np.ndarray]:
    """Panel id -> pixels of every PNG in a folder; fails on one that is not whole."""
    found = {}
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            found[path.stem.split("_", 2)[2]] = np.asarray(image.convert("RGB"))
    return found


def free(server, **what: bool) -> None:
    """Ask ComfyUI to free memory, twice: its worker misses the first call when it is still tidying up after a run."""
    body = json.dumps(what).encode()
    for _ in range(2):
        request = urllib.request.Request(server.url + "/free", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()
        time.sleep(1.5)  # it is done between prompts, and nothing says when


def output(server, graph: dict) -> Path:
    return server.base / "output" / Path(graph["6"]["inputs"]["filename_prefix"]).parent


def test_the_storyboard_shows_the_character_in_every_scene(server, run, board):
    """The demo model's panels against the drawn world's ground truth."""
    from kontinuity.demo_model import toonworld
    from kontinuity.storyboard import parse_story

    graph = board(model=DEMO, steps=20)
    result, events = run(graph)
    assert result.status == "success", result.error
    panels = pictures(output(server, graph))
    story = parse_story(graph["5"]["inputs"]["text"])
    assert [image["filename"] for image in result.outputs["6"]["images"]] == [
        f"board_00001_{panel.id}.png" for panel in story.panels]
    sheet, = result.outputs["8"]["images"]
    assert (server.base / "output" / sheet["subfolder"] / sheet["filename"]).is_file()

    shots = {toonworld.instruction(shot): shot for shot in (
        toonworld.Shot(scene, action, framing) for scene in toonworld.SCENES for action in toonworld.ACTIONS
        for framing in toonworld.FRAMINGS)}
    character = toonworld.Character.from_seed(graph["3"]["inputs"]["seed"])
    right = []
    for panel in story.panels:
        shot = toonworld.read_layout(panels[panel.id], shots[panel.prompt], character)
        assert toonworld.read_shot(panels[panel.id], character).scene == shot.scene
        right += toonworld.kept_attributes(panels[panel.id], character, shot).values()
    assert np.mean(right) >= 0.9, f"{sum(right)} of {len(right)} visible attributes are right"


def test_resume_makes_only_what_is_missing(server, run, board):
    from kontinuity.storyboard import parse_story

    graph = board()
    ids = [panel.id for panel in parse_story(graph["5"]["inputs"]["text"]).panels]
    graph["6"]["inputs"]["panels"] = ids[1]
    result, _ = run(graph)
    assert result.status == "success", result.error
    graph["6"]["inputs"] |= {"panels": "", "resume": True}
    result, _ = run(graph)
    assert result.status == "success", result.error
    said, saved = result.outputs["6"]["text"][0], result.outputs["6"]["images"]
    assert f"Taken over from earlier runs: {ids[1]}." in said
    assert [image["filename"] for image in saved] == [
        f"board_0000{1 if name == ids[1] else 2}_{name}.png" for name in ids]
    assert len(list(output(server, graph).glob("board_*.png"))) == len(ids)
    graph["6"]["inputs"]["panels"] = ",".join(ids)  # the same once more: nothing is left to make
    result, events = run(graph)
    assert result.status == "success", result.error
    assert [image["filename"] for image in result.outputs["6"]["images"]] == [image["filename"] for image in saved]
    assert len(list(output(server, graph).glob("board_*.png"))) == len(ids)


def test_two_characters_are_in_the_panels_that_name_them(server, run):
    """The shipped workflow of twelve panels, each counted by the drawn world's own finder."""
    from kontinuity.demo_model import figure_finder
    from kontinuity.storyboard import parse_story

    graph = json.loads((ROOT / "workflows" / "api" / "storyboard_two_characters.json").read_text("utf-8"))
    graph["6"]["inputs"] |= {"steps": 8, "filename_prefix": "two/board"}
    result, _ = run(graph)
    assert result.status == "success", result.error
    panels, finder = pictures(output(server, graph)), figure_finder()
    story = parse_story(graph["5"]["inputs"]["text"])
    assert len(panels) == len(story.panels) == 12
    right = [len(finder.find(torch.from_numpy(panels[panel.id] / 255).float())) == len(story.cast(panel))
             for panel in story.panels]
    assert sum(right) >= 11, right


def test_progress_and_previews_arrive_for_every_step(server, board):
    graph, client = board(steps=3), str(uuid.uuid4())

    async def go():
        progress, previews = [], []
        address = f"{server.url}/ws?clientId={client}"
        async with aiohttp.ClientSession() as session, session.ws_connect(address) as socket:
            async with session.post(f"{server.url}/prompt", json={"prompt": graph, "client_id": client}) as answer:
                prompt_id = (await answer.json())["prompt_id"]
            async for message in socket:
                if message.type == aiohttp.WSMsgType.BINARY:
                    previews.append(Image.open(io.BytesIO(message.data[8:])))
                    continue
                event = json.loads(message.data)
                if event["type"] == "progress" and event["data"]["node"] == "6":
                    progress.append((event["data"]["value"], event["data"]["max"]))
                if event["type"] == "executing" and event["data"]["node"] is None:
                    assert event["data"]["prompt_id"] == prompt_id
                    return progress, previews

    progress, previews = asyncio.run(asyncio.wait_for(go(), 60))
    assert progress == [(step, 12) for step in range(1, 13)]  # four panels of three steps
    assert len(previews) == 12
    assert all(image.format == "JPEG" and max(image.size) == 512 for image in previews)


def test_panels_hold_their_workflow_and_record(server, run, board):
    graph = board(panels="snow")
    result, _ = run(graph)
    assert result.status == "success", result.error
    path = output(server, graph) / "board_00001_snow.png"
    with Image.open(path) as image:
        prompt = json.loads(image.text["prompt"])
        record = json.loads(image.text["kontinuity"])
    assert {key: node["inputs"] for key, node in prompt.items()} == {key: node["inputs"] for key, node in graph.items()}
    assert (record["panel"], record["number"], record["steps"], record["model"]) == ("snow", 3, 2, "tiny random")


def test_one_panel_alone_equals_the_one_in_the_board_and_counters_go_on(server, run, board):
    all_of_them, alone = board(), board(panels=" kitchen, ")
    assert run(all_of_them)[0].status == run(alone)[0].status == "success"
    folder = output(server, alone)
    first, second = folder / "board_00001_kitchen.png", folder / "board_00002_kitchen.png"
    assert len(list(folder.glob("*.png"))) == 5
    assert np.array_equal(np.asarray(Image.open(first)), np.asarray(Image.open(second)))


def test_an_edit_keeps_the_pictures_shape(server, run, edit):
    graph = edit(instruction="a red hat")
    graph["5"]["inputs"]["filename_prefix"] = "edit/native"
    assert run(graph)[0].status == "success"
    graph["3"] = {"class_type": "EmptyImage", "inputs": {"width": 300, "height": 150, "batch_size": 1, "color": 255}}
    graph["4"]["inputs"] |= {"width": 0, "height": 96}
    graph["5"]["inputs"]["filename_prefix"] = "edit/wide"
    assert run(graph)[0].status == "success"
    sizes = [Image.open(server.base / "output" / "edit" / f"{name}_00001_.png").size for name in ("native", "wide")]
    assert sizes == [(64, 64), (192, 96)]


def test_cancel_stops_within_a_step_and_the_next_run_works(server, board, run):
    from kontinuity.batch.client import QueueClient

    graph, prompt_id = board(steps=200, filename_prefix="cancel/board"), str(uuid.uuid4())

    async def go():
        seen, sent = [], []
        async with QueueClient(server.url, poll_seconds=0.2) as client:
            def on_event(event):
                if event.kind == "progress":
                    seen.append(event.value)
                    if event.value == 5:
                        sent.append((time.monotonic(), asyncio.ensure_future(client.interrupt(prompt_id))))
            result = await client.run(graph, on_event, prompt_id=prompt_id, timeout=60)
            return result, time.monotonic() - sent[0][0], max(seen)

    result, seconds, last = asyncio.run(go())
    assert result.status == "interrupted"
    assert seconds < 5 and last < 150
    assert list(output(server, graph).glob("*")) == []
    again = board(filename_prefix="cancel/board")
    assert run(again)[0].status == "success"
    assert len(pictures(output(server, again))) == 4


def test_free_unloads_our_models_and_the_next_run_gives_the_same_pixels(server, run, board):
    def loads() -> tuple[int, int]:
        log = server.log.read_text("utf-8", "replace")
        return log.count("Requested to load KontextComponent"), log.count("loaded tiny random from")

    first = board(filename_prefix="free-1/board")
    assert run(first)[0].status == "success"
    before = loads()
    second = board(filename_prefix="free-2/board")
    assert run(second)[0].status == "success"
    assert loads() == before  # still there
    free(server, unload_models=True)
    third = board(filename_prefix="free-3/board", steps=2, guidance=2.4)
    assert run(third)[0].status == "success"
    unloaded = loads()
    # Text and reference pictures are remembered by the model, so the text encoders are not needed again.
    assert unloaded[0] - before[0] == 2 and unloaded[1] == before[1]
    free(server, unload_models=True, free_memory=True)
    fourth = board(filename_prefix="free-4/board")
    assert run(fourth)[0].status == "success"
    assert loads()[0] - unloaded[0] == 3 and loads()[1] == before[1] + 1
    assert "Potential memory leak" not in server.log.read_text("utf-8", "replace")
    a, b, c = (pictures(output(server, graph)) for graph in (first, second, fourth))
    assert len(a) == 4
    assert all(np.array_equal(a[panel], b[panel]) and np.array_equal(a[panel], c[panel]) for panel in a)


def test_a_killed_server_leaves_every_finished_panel_whole(make_base, make_server, board, tmp_path):
    base = make_base(tmp_path / "base")
    ids = [f"p{number}" for number in range(60)]
    text = "version: 1\ncharacters: {mia: {}}\npanels:\n" + "".join(
        f"  - {{id: {panel}, prompt: a red hat}}\n" for panel in ids)
    graph = board(text=text, steps=6, filename_prefix="killed/board")
    with make_server(base, tmp_path / "server.log") as server:
        body = json.dumps({"prompt": graph, "client_id": "test"}).encode()
        request = urllib.request.Request(server.url + "/prompt", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()
        folder = output(server, graph)
        end = time.monotonic() + 60
        while len(list(folder.glob("*.png"))) < 3 and time.monotonic() < end:
            time.sleep(0.01)
        server.kill()
    whole = pictures(folder)
    assert 3 <= len(whole) < len(ids), "killed too late or too early to tell"
    assert list(whole) == sorted(ids[: len(whole)])
    assert all(pixels.shape == (64, 64, 3) for pixels in whole.values())


def test_help_pages_and_templates_are_served(server):
    def get(path: str) -> bytes:
        with urllib.request.urlopen(server.url + path, timeout=10) as answer:
            return answer.read()

    assert get("/extensions/kontinuity/docs/Kontinuity_Edit.md").startswith(b"# Kontext Edit")
    templates = sorted(json.loads(get("/api/workflow_templates"))["kontinuity"])
    assert templates == sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
    assert json.loads(get("/api/workflow_templates/kontinuity/storyboard.json"))["version"] == 0.4
