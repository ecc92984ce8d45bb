"""Writes random LoRAs under the names of every layout."""

from pathlib import Path

import torch
from safetensors.torch import save_file

RANK = 3


def pair(outputs: int, inputs: int, seed: int, rank: int = RANK) -> tuple[torch.Tensor, torch.Tensor]:
    """(down, up), large enough to change a picture."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rank, inputs, generator=generator) / 4, torch.randn(outputs, rank, generator=generator) / 4


def seeded(layers: dict[str, tuple[int, int]], start: int = 0, rank: int = 3) -> dict[str, tuple]:
    """(outputs, inputs) of each layer -> (down, up)."""
    return {name: pair(*size, start + i, rank) for i, (name, size) in enumerate(layers.items())}


def write(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, metadata)
    return path


def peft(layers: dict[str, tuple], prefix: str = "transformer.", adapter: str = "") -> dict[str, torch.Tensor]:
    """`prefix + layer + .lora_A.weight`, as diffusers and PEFT save."""
    return {f"{prefix}{name}.lora_{half}{adapter}.weight": tensor
            for name, (down, up) in layers.items() for half, tensor in (("A", down), ("B", up))}


def kohya(layers: dict[str, tuple], prefix: str = "lora_unet_", alpha: float | None = None) -> dict[str, torch.Tensor]:
    """`lora_unet_` + layer with underscores + .lora_down.weight, and .alpha."""
    found = {}
    for name, (down, up) in layers.items():
        flat = prefix + name.replace(".", "_")
        found |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
        if alpha is not None:
            found[f"{flat}.alpha"] = torch.tensor(float(alpha))
    return found


# every layer of the tiny model by diffusers' names: (outputs, inputs)
def diffusers_layers(transformer) -> dict[str, tuple[int, int]]:
    return {name: (layer.out_features, layer.in_features)
            for name, layer in transformer.named_modules() if isinstance(layer, torch.nn.Linear)}


# Black Forest Labs' layers: name -> (diffusers' layers whose outputs it holds in this order), written out by hand
def bfl_layers(double: int = 1, single: int = 2) -> dict[str, tuple[str, ...]]:
    found = {
        "img_in": ("x_embedder",), "txt_in": ("context_embedder",), "final_layer.linear": ("proj_out",),
        "final_layer.adaLN_modulation.1": ("norm_out.linear",),
        "time_in.in_layer": ("time_text_embed.timestep_embedder.linear_1",),
        "time_in.out_layer": ("time_text_embed.timestep_embedder.linear_2",),
        "vector_in.in_layer": ("time_text_embed.text_embedder.linear_1",),
        "vector_in.out_layer": ("time_text_embed.text_embedder.linear_2",),
        "guidance_in.in_layer": ("time_text_embed.guidance_embedder.linear_1",),
        "guidance_in.out_layer": ("time_text_embed.guidance_embedder.linear_2",),
    }
    for i in range(double):
        here, there = f"double_blocks.{i}.", f"transformer_blocks.{i}."
        found |= {
            here + "img_attn.qkv": tuple(there + f"attn.to_{x}" for x in "qkv"),
            here + "txt_attn.qkv": tuple(there + f"attn.add_{x}_proj" for x in "qkv"),
            here + "img_attn.proj": (there + "attn.to_out.0",), here + "txt_attn.proj": (there + "attn.to_add_out",),
            here + "img_mlp.0": (there + "ff.net.0.proj",), here + "img_mlp.2": (there + "ff.net.2",),
            here + "txt_mlp.0": (there + "ff_context.net.0.proj",), here + "txt_mlp.2": (there + "ff_context.net.2",),
            here + "img_mod.lin": (there + "norm1.linear",), here + "txt_mod.lin": (there + "norm1_context.linear",),
        }
    for i in range(single):
        here, there = f"single_blocks.{i}.", f"single_transformer_blocks.{i}."
        found |= {
            here + "linear1": (*(there + f"attn.to_{x}" for x in "qkv"), there + "proj_mlp"),
            here + "linear2": (there + "proj_out",), here + "modulation.lin": (there + "norm.linear",),
        }
    return found
