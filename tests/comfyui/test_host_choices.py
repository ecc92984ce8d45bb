"""What the nodes take from ComfyUI about precision and files: its own judgement of the card, its own switches."""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPT = """
import json, sys
sys.path.insert(0, {here!r})
from memory_checks import load_pack
host = load_pack({comfyui!r}, {pack!r})
import comfy.model_management as memory
from comfy.cli_args import args
found = {{"mapping": host.may_map_files()}}
args.disable_mmap = True
found["no mapping"] = host.may_map_files()
seen = []
from kontinuity.nodes import models
models.load_folder = lambda path, **given: seen.append(given) or 1
models.load_parts = lambda path, **given: seen.append(given) or 1
models.folders.weight_path = models.folders.model_folder = lambda *_: "x"
models._hosted = lambda model, limit: model
for bf16, fp16 in ((True, True), (False, True), (False, False)):
    memory.should_use_bf16, memory.should_use_fp16 = lambda *_, v=bf16: v, lambda *_, v=fp16: v
    models.LoadModel.execute("x")
    models.LoadModelFiles.execute("x", "x", "x", "x")
found["given"] = [[str(given["dtype"]), given["may_map"]] for given in seen]
print(json.dumps(found))
"""


def test_precision_and_mapping(comfyui):
    script = SCRIPT.format(here=str(HERE), comfyui=str(comfyui), pack=str(HERE.parent.parent))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["mapping"] and not found["no mapping"]
    assert found["given"] == [[f"torch.{dtype}", False] for dtype in ("bfloat16", "float16", "float32") for _ in "ab"]
