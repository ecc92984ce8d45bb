"""Write the finished weights as a diffusers folder: bf16 safetensors, configs, tokenizers, scheduler, and
``kontinuity.json``."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np
import torch

from .. import NAME, weights_folder
from .examples import random_picture, to_signal
from .state import DEFAULT_STATE
from .text import MIN_TOKENS, text_encoders
from .transformer import build_transformer
from .vae import build_vae, load_stage

SIZE = 128


def preview_factors(vae) -> dict:
    """Least squares from latents to the mean colour of their 8x8 pixels, colours in -1..1."""
    rng = random.Random(0)
    signal = torch.from_numpy(to_signal(np.stack([random_picture(rng, SIZE) for _ in range(100)])))
    with torch.no_grad():
        latents = vae.encode(signal).latent_dist.mode()
    latents = (latents - vae.config.shift_factor) * vae.config.scaling_factor
    x = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    y = torch.nn.functional.avg_pool2d(signal, 8).permute(0, 2, 3, 1).reshape(-1, 3)
    solution = torch.linalg.lstsq(x, y).solution
    return {
        "factors": [[round(v, 4) for v in row] for row in solution[:-1].tolist()],
        "bias": [round(v, 4) for v in solution[-1].tolist()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE)
    parser.add_argument("--transformer", default="transformer", help="name of the transformer's run")
    parser.add_argument(
        "--vae",
        default="joint",
        choices=("joint", "apart"),
        help="the fine-tuned VAE, or encoder and decoder as trained apart",
    )
    parser.add_argument("--out", type=Path, default=weights_folder())
    options = parser.parse_args()
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxKontextPipeline

    vae = build_vae()
    for stage in ("joint",) if options.vae == "joint" else ("encoder", "decoder"):
        load_stage(vae, options.state, stage)
    transformer = build_transformer()
    state = torch.load(options.state / f"{options.transformer}.pt", map_location="cpu", weights_only=True)
    transformer.load_state_dict(state["average"]["values"])
    clip_tok, clip, t5_tok, t5 = text_encoders()
    scheduler = FlowMatchEulerDiscreteScheduler(
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    )
    pipeline = FluxKontextPipeline(
        scheduler=scheduler,
        vae=vae.eval(),
        text_encoder=clip,
        tokenizer=clip_tok,
        text_encoder_2=t5,
        tokenizer_2=t5_tok,
        transformer=transformer.eval(),
    )
    latent_rgb = preview_factors(vae)
    pipeline.to(torch.bfloat16)
    pipeline.save_pretrained(options.out, safe_serialization=True)
    for path in options.out.glob("tokenizer*/tokenizer_config.json"):
        config = json.loads(path.read_text("utf-8"))
        config.pop("extra_special_tokens", None)  # a list from transformers 5, at which transformers 4 fails
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    settings = {
        "format": 1,
        "name": NAME,
        "width": SIZE,
        "height": SIZE,
        "reference_area": SIZE * SIZE,
        "min_text_tokens": MIN_TOKENS,
        "together": "offset",  # as the examples with two characters are laid out
        "latent_rgb": latent_rgb,
    }
    (options.out / "kontinuity.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    for path in options.out.rglob("*.safetensors"):
        path.chmod(0o644)  # safetensors writes 0600
    total = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    print(f"{options.out}: {total / 2**20:.1f} MiB, transformer after {state['samples']} samples")


if __name__ == "__main__":
    main()
