"""dev.py and its modules, loaded by path as they are used, and a checkout for them to work on."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_dev() -> ModuleType:
    """The module dev.py; the others are in sys.modules afterwards."""
    if "dev" not in sys.modules:
        spec = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
        sys.modules["dev"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["dev"])
    return sys.modules["dev"]


dev = load_dev()
install, server = sys.modules["dev_install"], sys.modules["dev_server"]


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
