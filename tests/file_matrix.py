"""Every kind of file that people have, beside the transformers of `tiny_files.TRANSFORMERS`: those that load and those
that do not. `GOOD` have the numbers they mean, `BAD` the reason they are refused for."""

import json
from collections.abc import Callable
from pathlib import Path

import tiny_files as files
import torch
from safetensors.torch import save_file
from weight_files import write_gguf, write_safetensors

State = dict[str, torch.Tensor]
Parts = dict[str, State]  # part -> state dict in the libraries' names
Meant = dict[str, State]  # part -> the numbers a file means, in the libraries' names


# Names that writers use -------------------------------------------------------------------------------------------


def comfyui_0_14(state: State) -> State:
    """BFL's names as ComfyUI 0.14 and newer save them, whose norms are torch's (comfy/ldm/flux/layers.py)."""
    return {name.replace("_norm.scale", "_norm.weight"): tensor for name, tensor in files.to_bfl(state).items()}


def omi(state: State) -> State:
    """BFL's names as the OMI's standard has them (OMI-Model-Standards, convert_flux_lora.py)."""
    return {name.replace("img_in.", "img_in.proj."): tensor for name, tensor in files.to_bfl(state).items()}


def openai_clip(state: State) -> State:
    """CLIP in OpenAI's names, with what else is in its files."""
    layers = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
              "self_attn.out_proj": "attn.out_proj"}
    found = {"token_embedding.weight": state["embeddings.token_embedding.weight"],
             "positional_embedding": state["embeddings.position_embedding.weight"],
             "ln_final.weight": state["final_layer_norm.weight"], "ln_final.bias": state["final_layer_norm.bias"],
             "text_projection": torch.eye(files.POOLED), "logit_scale": torch.tensor(4.6),
             "visual.conv1.weight": torch.zeros(4, 3, 2, 2), "visual.transformer.resblocks.0.ln_1.bias": torch.zeros(4)}
    for i in range(2):
        ours, theirs = f"encoder.layers.{i}.", f"transformer.resblocks.{i}."
        for end in ("weight", "bias"):
            found |= {f"{theirs}{bfl}.{end}": state[f"{ours}{name}.{end}"] for name, bfl in layers.items()}
            found[f"{theirs}attn.in_proj_{end}"] = torch.cat(
                [state[f"{ours}self_attn.{letter}_proj.{end}"] for letter in "qkv"])
    return found


def with_decoder(state: State) -> State:
    """A T5 as it was published, of which FLUX.1 reads the encoder alone."""
    decoder = {name.replace("encoder.", "decoder.", 1): tensor for name, tensor in state.items()
               if name.startswith("encoder.")}
    return state | decoder | {"lm_head.weight": state["shared.weight"],
                              "decoder.block.0.layer.1.EncDecAttention.q.weight": torch.zeros(4, 4),
                              "encoder.embed_tokens.weight": state["shared.weight"].clone()}


SPIECE = {"spiece_model": torch.arange(64, dtype=torch.uint8)}  # ComfyUI's Save CLIP brings T5's tokenizer


# Files that load --------------------------------------------------------------------------------------------------

Writer = Callable[[Path, Parts], Meant]
GOOD: dict[str, Writer] = {}


def save(path: Path, state: State) -> None:
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, path)


def _part(part: str, rename: Callable[[State], State] = dict, prefix: str = "", extra: State | None = None) -> Writer:
    """One part in a file of its own, in float32; `rename` gives the writer's names."""
    def write(path: Path, parts: Parts) -> Meant:
        save(path, {prefix + name: tensor for name, tensor in rename(parts[part]).items()} | (extra or {}))
        return {part: parts[part]}
    return write


def _exact(part: str, pack, rename=None, back=None, prefix: str = "") -> Writer:
    """The same in a packing that changes the numbers."""
    def write(path: Path, parts: Parts) -> Meant:
        meant = files.save(path, pack((rename or dict)(parts[part])), prefix)
        return {part: back(meant) if back else meant}
    return write


def _old_names(state: State) -> State:
    return files.from_bfl({name.replace("_norm.weight", "_norm.scale") if "_norm" in name else name: tensor
                           for name, tensor in state.items()})


GOOD["transformer, ComfyUI 0.14's names"] = _part("transformer", comfyui_0_14)
GOOD["transformer, ComfyUI 0.14's names, Save Checkpoint's prefix"] = _part("transformer", comfyui_0_14, files.MODEL)
GOOD["transformer, ComfyUI 0.14's names, scaled fp8"] = _exact(
    "transformer", files.scaled("comfy_quant"), comfyui_0_14, _old_names)
GOOD["transformer, OMI's names"] = _part("transformer", omi)
GOOD["transformer, OMI's names and prefix"] = _part("transformer", omi, "transformer.")
GOOD["transformer, diffusers keys with a prefix"] = _part("transformer", dict, "transformer.")
GOOD["transformer, old prefix"] = _part("transformer", files.to_bfl, "diffusion_model.")
for _prefix in ("text_model.", "clip_l.transformer.text_model.", "clip_l.text_model.", "text_encoder.text_model.",
                "text_encoders.clip_l.transformer.text_model.", "cond_stage_model.transformer.text_model.",
                "conditioner.embedders.0.transformer.text_model.", "transformer.text_model."):
    GOOD[f"clip, {_prefix}"] = _part("clip", prefix=_prefix)
GOOD["clip, bare"] = _part("clip")
GOOD["clip, with its vision half"] = _part("clip", prefix="text_model.", extra={
    "vision_model.embeddings.class_embedding": torch.zeros(4), "visual_projection.weight": torch.zeros(4, 4),
    "text_projection.weight": torch.zeros(4, 4), "logit_scale": torch.tensor(4.6),
    "text_model.embeddings.position_ids": torch.arange(77)})
GOOD["clip, OpenAI's names"] = _part("clip", openai_clip)
GOOD["clip, OpenAI's names, prefix"] = _part("clip", openai_clip, "clip_l.transformer.")
for _prefix in ("t5xxl.transformer.", "t5xxl.", "t5.", "text_encoder_2.", "text_encoders.t5xxl.transformer."):
    GOOD[f"t5, {_prefix}"] = _part("t5", prefix=_prefix)
GOOD["t5, with the decoder"] = _part("t5", with_decoder)
GOOD["t5, with spiece_model"] = _part("t5", extra=SPIECE | {"logit_scale": torch.tensor(4.6)})
GOOD["t5, embed_tokens"] = _part("t5", lambda state: {
    name.replace("shared.", "encoder.embed_tokens."): tensor for name, tensor in state.items()})
for _prefix in ("vae.", "first_stage_model."):
    GOOD[f"vae, {_prefix}"] = _part("vae", files.to_bfl_vae, _prefix)
GOOD["vae, diffusers keys, vae."] = _part("vae", dict, "vae.")


def longclip(path: Path, parts: Parts) -> Meant:
    """CLIP-L with 248 positions, of which FLUX.1's 77 are used."""
    places = parts["clip"]["embeddings.position_embedding.weight"]
    longer = torch.cat([places, torch.zeros(171, files.POOLED)])
    state = parts["clip"] | {"embeddings.position_embedding.weight": longer}
    save(path, {f"text_model.{name}": tensor for name, tensor in state.items()})
    return {"clip": state}


def save_checkpoint(path: Path, parts: Parts) -> Meant:
    """What ComfyUI 0.14's Save Checkpoint writes."""
    clip, t5 = "text_encoders.clip_l.", "text_encoders.t5xxl."
    stored = {files.MODEL + name: tensor for name, tensor in comfyui_0_14(parts["transformer"]).items()}
    stored |= {f"{clip}transformer.text_model.{name}": tensor for name, tensor in parts["clip"].items()}
    stored |= {f"{t5}transformer.{name}": tensor for name, tensor in parts["t5"].items()}
    stored |= {f"vae.{name}": tensor for name, tensor in files.to_bfl_vae(parts["vae"]).items()}
    stored |= {f"{clip}transformer.text_projection.weight": torch.eye(files.POOLED),
               f"{t5}spiece_model": SPIECE["spiece_model"],
               **{f"{encoder}logit_scale": torch.ones(1) for encoder in (clip, t5)}}
    save(path, stored)
    return dict(parts)


def omi_checkpoint(path: Path, parts: Parts) -> Meant:
    """All parts under the OMI's names."""
    stored = {f"transformer.{name}": tensor for name, tensor in omi(parts["transformer"]).items()}
    stored |= {f"clip_l.text_model.{name}": tensor for name, tensor in parts["clip"].items()}
    stored |= {f"t5.{name}": tensor for name, tensor in parts["t5"].items()}
    stored |= {f"vae.{name}": tensor for name, tensor in parts["vae"].items()}
    save(path, stored)
    return dict(parts)


def t5_gguf_with_decoder(path: Path, parts: Parts) -> Meant:
    llama = files.to_llama_t5(parts["t5"])
    files.save_gguf(path, llama | {"dec.blk.0.attn_q.weight": torch.zeros(64, 64), "output.weight": torch.zeros(8, 64)},
                    "F32", "t5")
    return {"t5": parts["t5"]}


def two_encoders(path: Path, parts: Parts) -> Meant:
    """Both text encoders in one file."""
    stored = {f"clip_l.transformer.text_model.{name}": tensor for name, tensor in parts["clip"].items()}
    stored |= {f"t5xxl.transformer.{name}": tensor for name, tensor in parts["t5"].items()}
    save(path, stored)
    return {"clip": parts["clip"], "t5": parts["t5"]}


def another_checkpoint(path: Path, parts: Parts) -> Meant:
    """A checkpoint of Stable Diffusion 1.5, whose CLIP-L is FLUX.1's."""
    stored = {f"cond_stage_model.transformer.text_model.{name}": tensor for name, tensor in parts["clip"].items()}
    stored |= {files.MODEL + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(8, 768),
               "first_stage_model.decoder.conv_in.weight": torch.zeros(8, 4, 3, 3),
               "first_stage_model.decoder.mid.block_1.norm1.weight": torch.zeros(8)}
    save(path, stored)
    return {"clip": parts["clip"]}


GOOD |= {"clip, LongCLIP": longclip, "all-in-one, Save Checkpoint of ComfyUI 0.14": save_checkpoint,
         "all-in-one, OMI's names": omi_checkpoint, "t5 with the decoder.gguf": t5_gguf_with_decoder,
         "clip and t5": two_encoders, "the CLIP-L of Stable Diffusion 1.5": another_checkpoint}


# Files that do not ------------------------------------------------------------------------------------------------

# name -> (what writes it, the part it is tried as, words of the reason)
BAD: dict[str, tuple[Callable[[Path, Parts], object], str, str]] = {}
BF16 = torch.bfloat16


def _bad(name: str, part: str, words: str, tensors: dict | Callable[[Parts], State]) -> None:
    def write(path: Path, parts: Parts) -> None:
        if callable(tensors):
            save(path, tensors(parts))
        elif path.suffix == ".gguf":
            write_gguf(path, tensors)
        else:
            write_safetensors(path, tensors)
    BAD[name] = write, part, words


def _without(state: State, start: str) -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith(start)}


def _packed(state: State, pack: Callable[[str, torch.Tensor], State]) -> State:
    """Every matrix in the tensors that a library has in its place, the first layer's too."""
    found: State = {}
    for name, tensor in state.items():
        found |= pack(name.removesuffix(".weight"), tensor) if tensor.dim() == 2 else {name: tensor}
    return found


def _channels(channels: int) -> Callable[[Parts], State]:
    return lambda parts: files.to_bfl(parts["transformer"]) | {"img_in.weight": torch.zeros(files.WIDTH, channels)}


BLOCK = "encoder.block.{}.layer."
_bad("transformer, schnell", "transformer", "schnell: transformer': is not FLUX.1 Kontext (has no guidance embedding",
     lambda p: _without(files.to_bfl(p["transformer"]), "guidance_in."))
_bad("transformer, Fill", "transformer", "FLUX.1 Fill dev: transformer': is not FLUX.1 Kontext", _channels(384))
_bad("transformer, Canny", "transformer", "FLUX.1 Canny dev: transformer'", _channels(128))
_bad("transformer, Flex.2", "transformer", "Flex.2: transformer'", _channels(196))
_bad("transformer, FLUX.2", "transformer", "FLUX.2: transformer'",
     lambda p: files.to_bfl(p["transformer"]) | {"double_stream_modulation_img.lin.weight": torch.zeros(4, 4)})
_bad("transformer, Chroma", "transformer", "Chroma: transformer'",
     lambda p: files.to_bfl(p["transformer"]) | {"distilled_guidance_layer.in_proj.bias": torch.zeros(4)})
_bad("ControlNet, XLabs", "transformer", "ControlNet for FLUX.1 (XLabs, MistoLine): ControlNet'",
     lambda p: files.to_bfl(p["transformer"]) | {"controlnet_blocks.0.weight": torch.zeros(4, 4),
                                                 "input_hint_block.0.weight": torch.zeros(4, 3, 3, 3)})
_bad("ControlNet, InstantX", "transformer", "ControlNet for FLUX.1: ControlNet'",
     lambda p: dict(p["transformer"]) | {"controlnet_x_embedder.weight": torch.zeros(4, 4),
                                         "controlnet_mode_embedder.weight": torch.zeros(4, 4)})
_bad("PuLID", "transformer", "PuLID for FLUX.1: PuLID'", {"pulid_ca.0.norm1.weight": (4,), "pulid_encoder.a": (4,)})
_bad("IP-Adapter", "transformer", "IP-Adapter for FLUX.1 (XLabs): IP-Adapter'", {
    "ip_adapter_proj_model.proj.weight": (4, 4),
    "double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight": (4, 4)})
_bad("Redux", "transformer", "FLUX.1 Redux dev: style model'", {"redux_up.weight": (4, 4), "redux_down.weight": (4, 4)})
_bad("SVDQuant", "transformer", "SVDQuant", {
    "x_embedder.weight": (256, 64), "context_embedder.weight": (256, 256),
    "time_text_embed.timestep_embedder.linear_1.weight": (256, 256),
    "time_text_embed.guidance_embedder.linear_1.weight": (256, 256),
    "transformer_blocks.0.qkv_proj.qweight": ("I8", (768, 128)), "transformer_blocks.0.qkv_proj.wscales": (4, 768)})
_bad("transformer, int8 of torchao", "transformer", "packed by torchao", lambda p: _packed(
    p["transformer"], lambda layer, w: {f"{layer}._weight_qdata": w.to(torch.int8),
                                        f"{layer}._weight_scale": torch.ones(len(w))}))
_bad("transformer, qint4 of quanto", "transformer", "a quantisation of quanto's", lambda p: _packed(
    p["transformer"], lambda layer, w: {f"{layer}.weight._data._data": torch.zeros(w.numel() // 2, dtype=torch.uint8),
                                        f"{layer}.weight._scale": torch.ones(len(w)),
                                        f"{layer}.weight._shift": torch.zeros(len(w))}))
_bad("transformer, cut in two", "transformer", "is not in the file", lambda p: {
    name: tensor for i, (name, tensor) in enumerate(files.to_bfl(p["transformer"]).items())
    if "single" not in name or i % 2})
_bad("transformer, a stranger in it", "transformer", "is no tensor of FluxTransformer",
     lambda p: files.to_bfl(p["transformer"]) | {"double_blocks.0.img_attn.more.weight": torch.zeros(4)})
_bad("transformer, int32", "transformer", "number format",
     lambda p: files.to_bfl(p["transformer"]) | {"txt_in.weight": torch.zeros(256, 256, dtype=torch.int32)})
_bad("transformer, marked as scaled, without scales", "transformer", "not one scale is in the file", lambda p: {
    name: tensor.to(files.E4M3) if tensor.dim() == 2 else tensor
    for name, tensor in files.to_bfl(p["transformer"]).items()} | {"scaled_fp8": torch.empty(0, dtype=files.E4M3)})
_bad("clip, CLIP-G", "clip", "text encoder (CLIP-G)", {
    "text_model.embeddings.token_embedding.weight": (49408, 1280),
    "text_model.encoder.layers.0.mlp.fc1.weight": (5120, 1280), "text_model.encoder.layers.30.mlp.fc1.weight": (4, 4)})
_bad("clip, CLIP-G in OpenAI's names", "clip", "text encoder (CLIP-G)", {
    "token_embedding.weight": (49408, 1280), "transformer.resblocks.30.mlp.c_fc.weight": (4, 4)})
_bad("clip, SigLIP", "clip", "SigLIP's text half", lambda p: {
    f"text_model.{name}": tensor for name, tensor in p["clip"].items()} | {"logit_bias": torch.zeros(1)})
_bad("clip, image encoder", "clip", "CLIP vision or SigLIP", {"vision_model.embeddings.x": (4,)})
_bad("clip, no layers", "clip", "is not in the file",
     lambda p: {name: tensor for name, tensor in p["clip"].items() if "layers" not in name})
_bad("t5, UMT5", "t5", "text encoder (UMT5)", lambda p: dict(p["t5"]) | {
    BLOCK.format(1) + "0.SelfAttention.relative_attention_bias.weight": torch.zeros(32, 4)})
_bad("t5, T5 1.0", "t5", "text encoder (T5 1.0)", lambda p: {
    name.replace("wi_0", "wi"): tensor for name, tensor in p["t5"].items() if "wi_1" not in name})
_bad("t5, mT5", "t5", "text encoder (mT5)", {
    "shared.weight": (250112, 8), "encoder.block.0.layer.1.DenseReluDense.wi_1.weight": (4, 8)})
_bad("t5, words of another", "t5", "words are known",
     lambda p: dict(p["t5"]) | {"shared.weight": torch.zeros(5000, files.TEXT)})
_bad("t5, Qwen", "t5", "Qwen2 or Qwen2.5", {"model.layers.0.self_attn.k_proj.bias": (4,),
                                            "model.embed_tokens.weight": (4, 4)})
_bad("t5, Gemma", "t5", "Gemma", {"model.layers.0.post_feedforward_layernorm.weight": (4,)})
_bad("t5, a language model.gguf", "t5", "language model", {"token_embd.weight": ("F16", (4, 4)),
                                                           "blk.0.attn_q.weight": ("F16", (4, 4))})
_bad("vae, decoder alone", "vae", "encoder 'missing'", lambda p: _without(files.to_bfl_vae(p["vae"]), "encoder."))
_bad("vae, encoder alone", "vae", "decoder 'missing'", lambda p: _without(files.to_bfl_vae(p["vae"]), "decoder."))
_bad("vae, decoder alone, diffusers keys", "vae", "encoder 'missing'", lambda p: _without(p["vae"], "encoder."))
_bad("vae, FLUX.2", "vae", "but VAE (FLUX.2 VAE)", lambda p: files.to_bfl_vae(p["vae"]) | {
    "decoder.conv_in.weight": torch.zeros(64, 32, 3, 3), "bn.running_mean": torch.zeros(128)})
_bad("vae, SDXL", "vae", "but VAE (Stable Diffusion 1.x, 2.x or SDXL VAE)", lambda p: files.to_bfl_vae(p["vae"]) | {
    "decoder.conv_in.weight": torch.zeros(64, 4, 3, 3), "quant_conv.weight": torch.zeros(8, 8, 1, 1)})
_bad("vae, TAESD", "vae", "tiny autoencoder (TAESD) for previews", {
    "encoder.layers.0.weight": (64, 3, 3, 3), "decoder.layers.2.conv.0.weight": (64, 64, 3, 3)})
_bad("vae, Wan", "vae", "Wan 2.1 or Qwen-Image VAE", {"decoder.middle.0.residual.0.gamma": (4,)})
_bad("vae, of SD3's checkpoint", "vae", "shapes of FLUX.1's, but with other weights", lambda p: {
    f"first_stage_model.{name}": tensor for name, tensor in files.to_bfl_vae(p["vae"]).items()} | {
    files.MODEL + "joint_blocks.0.context_block.adaLN_modulation.1.bias": torch.zeros(4)})
_bad("stranger", "transformer", "no known tensors among its 1: some.layer.weight", {"some.layer.weight": (4, 4)})


def _raw(name: str, words: str, content: bytes) -> None:
    BAD[name] = (lambda path, parts: path.write_bytes(content)), "transformer", words


UNREADABLE = {  # not one of them has a header, so Inspect Model says the reason as its own error
    "zero bytes": (b"", "is empty"), "zeros": (bytes(4096), "begins with zeros"),
    "text": (b"Please see https://example.org for the model\n", "is a text file"),
    "web page": (b"\n<!DOCTYPE html><html><body>Log in</body></html>", "is a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer"),
    "json": (json.dumps({"error": "gated repository"}).encode(), "is a text file"),
    "pickle": (b"\x80\x02}q\x00." + bytes(90), "is a pickle, under another name"),
    "zip": (b"PK\x03\x04" + bytes(90), "is a zip archive"),
    "cut": ((500).to_bytes(8, "little") + b'{"a": {"dtype"', "is cut off"),
    "noise": (bytes(range(128, 256)), "is neither safetensors nor GGUF"),
}
for _name, (_content, _words) in UNREADABLE.items():
    _raw(_name, _words, _content)


def path_of(folder: Path, name: str) -> Path:
    """Where a file of the matrix is written; the name says Kontext, as the shapes cannot."""
    plain = "".join(c if c.isalnum() else "-" for c in name.removesuffix(".gguf"))
    return folder / f"kontext {plain}{'.gguf' if name.endswith('.gguf') else '.safetensors'}"
