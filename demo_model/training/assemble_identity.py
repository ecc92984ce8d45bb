"""Write the finished identity encoder as a transformers folder, fp16 safetensors, and the finder beside it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from .. import identity_folder
from .encoder import SIDE, build_encoder
from .state import DEFAULT_STATE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE)
    parser.add_argument("--out", type=Path, default=identity_folder())
    options = parser.parse_args()
    from safetensors.torch import save_file

    encoder, finder = (torch.load(options.state / f"{name}.pt", map_location="cpu", weights_only=True)
                       for name in ("encoder", "finder"))
    model = build_encoder()
    model.load_state_dict({key.removeprefix("model."): value for key, value in encoder["module"].items()
                           if key.startswith("model.")})
    model.half().save_pretrained(options.out, safe_serialization=True)
    prepare = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": SIDE, "width": SIDE},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (options.out / "preprocessor_config.json").write_text(json.dumps(prepare, indent=1) + "\n", encoding="utf-8")
    save_file({key: value.half().contiguous() for key, value in finder["module"].items()},
              options.out / "finder.safetensors")
    for path in options.out.glob("*.safetensors"):
        path.chmod(0o644)  # safetensors writes 0600
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    print(f"encoder after {encoder['samples']} views, finder after {finder['samples']} pictures")


if __name__ == "__main__":
    main()
