"""Inspect Model in a real server: the combo's names, the shown report, and names that are not there."""

import json
import urllib.request


def graph(file: str) -> dict:
    return {"1": {"class_type": "Kontinuity_InspectModel", "inputs": {"file": file}}}


def get(server, path: str) -> dict:
    with urllib.request.urlopen(server.url + path, timeout=30) as answer:
        return json.load(answer)


def shown(server) -> str:
    """The text of the youngest run."""
    return list(get(server, "/history").values())[-1]["outputs"]["1"]["text"][0]


def test_a_folder_and_a_file(server, run):
    result, _ = run(graph("diffusers/tiny"))
    assert result.status == "success", result.error
    assert "FLUX.1 Kontext dev: diffusers folder" in shown(server)
    assert "choose it in Load Kontext Model" in shown(server)

    header = json.dumps({"img_in.weight": {"dtype": "BF16", "shape": [1, 1], "data_offsets": [0, 2]}}).encode()
    folder = server.base / "models" / "unet" / "sub"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "new.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    known = get(server, "/object_info/Kontinuity_InspectModel")["Kontinuity_InspectModel"]["input"]["required"]["file"]
    assert "diffusion_models/sub/new.safetensors" in json.dumps(known)
    result, _ = run(graph("diffusion_models/sub/new.safetensors"))
    assert result.status == "success" and shown(server).startswith("diffusion_models/sub/new.safetensors\nunknown")

    (folder / "new.safetensors").write_bytes(b"cut")  # the report is not a cached one
    result, _ = run(graph("diffusion_models/sub/new.safetensors"))
    assert result.status != "success" and "cut off" in result.error


def test_names_that_are_not_there(run):
    for name in ("vae/../../secret.safetensors", "no model files found", ""):
        result, _ = run(graph(name))
        assert result.status != "success" and "is in none of ComfyUI's model folders" in result.error
