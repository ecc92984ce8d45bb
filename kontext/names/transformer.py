"""The layers of FLUX.1's transformer: BFL's names and diffusers' names of each. The one table, for files and LoRAs.

BFL fuses layers that read the same input. The correspondence is that of diffusers'
`scripts/convert_flux_to_diffusers.py`.
"""

from collections.abc import Iterator

# BFL's layer in a block -> diffusers' layers; where there are several, their rows lie one below the other in BFL's
DOUBLE = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "img_attn.proj": ("attn.to_out.0",),
    "img_attn.norm.query_norm": ("attn.norm_q",),
    "img_attn.norm.key_norm": ("attn.norm_k",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "img_mod.lin": ("norm1.linear",),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "txt_attn.proj": ("attn.to_add_out",),
    "txt_attn.norm.query_norm": ("attn.norm_added_q",),
    "txt_attn.norm.key_norm": ("attn.norm_added_k",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
    "txt_mod.lin": ("norm1_context.linear",),
}
SINGLE = {
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation.lin": ("norm.linear",),
    "norm.query_norm": ("attn.norm_q",),
    "norm.key_norm": ("attn.norm_k",),
}
OUTSIDE = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
    "final_layer.linear": "proj_out",
}
FIRST_LAYER = OUTSIDE["img_in"]  # in diffusers' names
SWAPPED = "final_layer.adaLN_modulation.1"  # BFL: shift, scale; diffusers: scale, shift


def layers(doubles: int, singles: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each layer of a transformer of so many blocks: (BFL's name, diffusers' names), see `DOUBLE`."""
    for bfl, module in OUTSIDE.items():
        yield bfl, (module,)
    for table, there, here, count in ((DOUBLE, "double_blocks", "transformer_blocks", doubles),
                                      (SINGLE, "single_blocks", "single_transformer_blocks", singles)):
        for i in range(count):
            for bfl, modules in table.items():
                yield f"{there}.{i}.{bfl}", tuple(f"{here}.{i}.{module}" for module in modules)
