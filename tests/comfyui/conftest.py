"""A real ComfyUI for these tests: the tree in KONTINUITY_COMFYUI, run by the Python that runs pytest."""

import asyncio
import copy
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TINY_SETTINGS = {"format": 1, "name": "tiny random", "width": 64, "height": 64, "reference_area": 64 * 64,
                 "min_text_tokens": 32}


@pytest.fixture(scope="session")
def comfyui() -> Path:
    """The ComfyUI tree."""
    tree = os.environ.get("KONTINUITY_COMFYUI")
    if not tree:
        pytest.skip("KONTINUITY_COMFYUI is not set: the path of a ComfyUI tree (python3 dev.py test sets it)")
    if not (Path(tree) / "main.py").is_file():
        pytest.fail(f"KONTINUITY_COMFYUI is {tree}, and there is no main.py in it")
    return Path(tree)


@pytest.fixture(scope="session")
def dev_server():
    """The module that starts ComfyUI for dev.py."""
    spec = importlib.util.spec_from_file_location("kontinuity_dev_server", ROOT / "dev_server.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make_base(dev_server, tiny_model_folder):
    """make_base(folder): a base directory with the pack, a tiny random model `tiny` and a foreign model `other`."""
    def make(folder: Path) -> Path:
        dev_server.prepare_base(folder, ROOT)
        models = folder / "models" / "diffusers"
        shutil.copytree(tiny_model_folder, models / "tiny")
        (models / "tiny" / "kontinuity.json").write_text(json.dumps(TINY_SETTINGS))
        (models / "other").mkdir()
        (models / "other" / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
        return folder
    return make


@pytest.fixture(scope="session")
def make_server(comfyui, dev_server):
    """make_server(base, log, *arguments of ComfyUI): a server, to be used as a context manager."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors: more threads only wait for each other
    return lambda base, log, *extra: dev_server.Server(comfyui, Path(sys.executable), base, extra=extra, log=log)


@pytest.fixture(scope="session")
def server(make_base, make_server, tmp_path_factory):
    """The session's ComfyUI server; its base directory is `server.base`."""
    folder = tmp_path_factory.mktemp("comfyui")
    with make_server(make_base(folder / "base"), folder / "server.log") as running:
        yield running


@pytest.fixture(scope="session")
def run(server):
    """run(graph): queue an API graph, wait for its end; (RunResult, [Event])."""
    from kontinuity.batch.client import QueueClient

    def run_graph(graph: dict):
        events = []

        async def go():
            async with QueueClient(server.url, poll_seconds=0.5) as client:
                return await client.run(graph, events.append, timeout=120)
        return asyncio.run(go()), events
    return run_graph


@pytest.fixture
def board(request):
    """board(**inputs): the shipped storyboard workflow (API) with the tiny model, 2 steps, and a prefix of its own.

    Every keyword replaces the input of that name wherever a node has it; `filename_prefix` is that of the panels.
    """
    graph = json.loads((ROOT / "workflows" / "api" / "storyboard.json").read_text("utf-8"))

    def make(**inputs) -> dict:
        made = copy.deepcopy(graph)
        prefix = inputs.pop("filename_prefix", f"{request.node.name}/board")
        replace_inputs(made, {"model": "tiny", "steps": 2, **inputs})
        made["6"]["inputs"]["filename_prefix"] = prefix
        return made
    return make


@pytest.fixture
def edit():
    """edit(**inputs): the shipped single edit workflow (API) with the tiny model and 2 steps."""
    graph = json.loads((ROOT / "workflows" / "api" / "single_edit.json").read_text("utf-8"))

    def make(**inputs) -> dict:
        made = copy.deepcopy(graph)
        replace_inputs(made, {"model": "tiny", "steps": 2, **inputs})
        return made
    return make


def replace_inputs(graph: dict, inputs: dict) -> None:
    """Replace widget values (never links) by input name in all nodes."""
    for node in graph.values():
        for name, value in inputs.items():
            if name in node["inputs"] and not isinstance(node["inputs"][name], list):
                node["inputs"][name] = value


@pytest.fixture(scope="session")
def schemas(comfyui, make_base, tmp_path_factory) -> dict:
    """What ComfyUI's own loader sees of the pack, from a process of its own: see dump_schemas.py."""
    base = make_base(tmp_path_factory.mktemp("schemas") / "base")
    command = [sys.executable, str(Path(__file__).with_name("dump_schemas.py")), str(comfyui), str(ROOT), str(base)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)  # a busy machine
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
