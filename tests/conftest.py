"""Loads the checkout as the package `kontinuity` (ComfyUI loads it under a path of its own) and builds a tiny model."""

import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that reaches for the network is a bug

import pytest
import torch
from layers import (  # noqa: F401 (hooks)
    pytest_collection_modifyitems,
    pytest_terminal_summary,
    pytest_xdist_make_scheduler,
)

ROOT = Path(__file__).resolve().parent.parent

torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


def _load_pack() -> None:
    if "kontinuity" in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(
        "kontinuity", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    module = importlib.util.module_from_spec(spec)
    sys.modules["kontinuity"] = module
    spec.loader.exec_module(module)


_load_pack()

WORDS = ("a", "the", "she", "he", "waves", "runs", "beach", "forest", "change", "background", "to", "full", "body",
         "smile", "red", "hat", "night", "rain", "close", "up")


def build_tiny_model(folder: Path) -> None:
    """Write a FLUX Kontext of toy dimensions with seeded random weights and word-level tokenizers, 0.4 MB."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxKontextPipeline, FluxTransformer2DModel
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTokenizer,
        T5Config,
        T5EncoderModel,
        T5TokenizerFast,
    )

    clip_vocab = {"<|startoftext|>": 0, "<|endoftext|>": 1}
    for text in [*"abcdefghijklmnopqrstuvwxyz.,'", *(c + "</w>" for c in "abcdefghijklmnopqrstuvwxyz.,'")]:
        clip_vocab[text] = len(clip_vocab)
    t5_vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    t5_vocab += [("▁" + word, -3.0) for word in WORDS] + [(c, -6.0) for c in "abcdefghijklmnopqrstuvwxyz.,'"]

    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=1, num_single_layers=2, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=24, guidance_embeds=True, axes_dims_rope=(4, 6, 6))
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16), layers_per_block=1, norm_num_groups=4, latent_channels=16,
        scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False)
    clip = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(clip_vocab), hidden_size=24, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=0, eos_token_id=1, pad_token_id=1))
    t5 = T5EncoderModel(T5Config(
        vocab_size=len(t5_vocab), d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2,
        feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1))
    FluxKontextPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15, base_image_seq_len=256,
            max_image_seq_len=4096),
        vae=vae, text_encoder=clip, tokenizer=CLIPTokenizer(vocab=clip_vocab, merges=[], model_max_length=77),
        text_encoder_2=t5, tokenizer_2=T5TokenizerFast(vocab=t5_vocab, extra_ids=0, model_max_length=512),
        transformer=transformer,
    ).save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory) -> Path:
    """A diffusers folder without `kontinuity.json`; shared, so copy it before changing it."""
    folder = tmp_path_factory.mktemp("models") / "tiny-kontext"
    build_tiny_model(folder)
    return folder
