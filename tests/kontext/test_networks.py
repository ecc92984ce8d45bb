"""Our transformer and autoencoder against diffusers' own: the same names, and the same numbers bit for bit."""

from dataclasses import asdict

import pytest
import torch
from kontinuity.kontext import flux
from kontinuity.kontext.networks import Autoencoder, AutoencoderConfig, FluxTransformer, TransformerConfig

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request):
    return request.param


def shaken(model: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """Norms that are all one would hide that two were mixed up."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.dim() == 1:
                tensor += torch.randn(tensor.shape, generator=generator) * 0.1
    return model.to(dtype).requires_grad_(False).eval()


def twins(theirs: torch.nn.Module, ours: torch.nn.Module, dtype: torch.dtype):
    """Both with the same numbers; each has every tensor of the other."""
    theirs = shaken(theirs, dtype)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours.to(dtype).requires_grad_(False).eval()


# The transformer ---------------------------------------------------------------------------------------------------


def transformers(dtype, **changes):
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    config = TransformerConfig(num_layers=2, num_single_layers=3, attention_head_dim=16, num_attention_heads=3,
                               joint_attention_dim=32, pooled_projection_dim=24, axes_dims_rope=(4, 6, 6), **changes)
    theirs = FluxTransformer2DModel(**asdict(config))
    return twins(theirs, FluxTransformer.from_config(theirs.config), dtype)


def inputs(dtype, guided: bool, scale: float = 1.0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return (torch.randn(shape, generator=generator) * scale).to(dtype)

    given = {"hidden_states": draw(2, 30, 64), "encoder_hidden_states": draw(2, 9, 32),
             "pooled_projections": draw(2, 24), "timestep": torch.tensor([0.3, 0.7]), "txt_ids": torch.zeros(9, 3),
             "img_ids": torch.randint(0, 60, (30, 3), generator=generator).float()}
    return given | ({"guidance": torch.tensor([2.5, 3.0])} if guided else {})


@pytest.mark.parametrize("guided", [True, False])
def test_the_transformer_is_diffusers_own(dtype, guided):
    theirs, ours = transformers(dtype, guidance_embeds=guided)
    given = inputs(dtype, guided)
    made = ours(**given)
    assert made.dtype == ours.dtype == dtype and made.float().std() > 0.2
    assert torch.equal(made, theirs(**given, return_dict=False)[0])


def test_what_float16_cannot_hold_is_cut_off():
    theirs, ours = transformers(torch.float16, guidance_embeds=True)
    for model in (theirs, ours):
        for block in model.single_transformer_blocks:
            block.proj_out.weight.fill_(60.0)
        for block in model.transformer_blocks:
            block.ff_context.net[2].weight.fill_(60.0)
    given = inputs(torch.float16, True, scale=20.0)
    made = ours(**given)
    assert torch.isfinite(made).all()
    assert torch.equal(made, theirs(**given, return_dict=False)[0])


def test_the_published_transformer_has_the_published_names():
    from diffusers import FluxTransformer2DModel

    with torch.device("meta"):
        theirs = FluxTransformer2DModel(guidance_embeds=True)
    shapes = [{name: tensor.shape for name, tensor in model.state_dict().items()}
              for model in (flux.transformer(), theirs)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("changes, what", [
    ({"axes_dims_rope": [16, 56, 58]}, "axes_dims_rope"), ({"axes_dims_rope": [15, 57, 56]}, "axes_dims_rope"),
    ({"num_layers": "19"}, "num_layers"), ({"num_layers": True}, "num_layers"), ({"in_channels": None}, "in_channels"),
    ({"axes_dims_rope": []}, "axes_dims_rope"), ({"axes_dims_rope": "abc"}, "axes_dims_rope"),
    ({"guidance_embeds": 1}, "guidance_embeds")])
def test_a_config_that_makes_no_transformer_is_refused(changes, what):
    with pytest.raises(ValueError, match=what), torch.device("meta"):
        FluxTransformer.from_config(changes)


# The autoencoder ---------------------------------------------------------------------------------------------------


def autoencoders(dtype, **changes):
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    theirs = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 16, 16, 32), layers_per_block=1, norm_num_groups=4, latent_channels=16,
        scaling_factor=0.3611, shift_factor=0.1159, **changes)
    return twins(theirs, Autoencoder.from_config(theirs.config), dtype)


PLAIN = {"use_quant_conv": False, "use_post_quant_conv": False}


@pytest.mark.parametrize("changes", [PLAIN, PLAIN | {"mid_block_add_attention": False},
                                     {"use_quant_conv": True, "use_post_quant_conv": True}])
@pytest.mark.parametrize("tile", [None, 64])
def test_the_autoencoder_is_diffusers_own(dtype, changes, tile):
    theirs, ours = autoencoders(dtype, **changes)
    if tile:
        theirs.use_tiling, theirs.tile_sample_min_size, theirs.tile_latent_min_size = True, tile, tile // 8
    pixels = torch.rand(1, 3, 200, 136, generator=torch.Generator().manual_seed(0)).to(dtype) * 2 - 1
    latents = ours.encode(pixels, tile)
    assert latents.shape == (1, 16, 25, 17) and latents.dtype == ours.dtype == dtype
    assert torch.equal(latents, theirs.encode(pixels).latent_dist.mode())
    assert torch.equal(ours.decode(latents, tile), theirs.decode(latents).sample)


def test_a_picture_within_a_tile_is_worked_on_whole():
    _, ours = autoencoders(torch.float32, **PLAIN)
    pixels = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(ours.encode(pixels, 64), ours.encode(pixels))


def test_the_published_autoencoder_has_the_published_names():
    from diffusers import AutoencoderKL

    config = AutoencoderConfig()
    with torch.device("meta"):
        theirs = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=16,
            block_out_channels=config.block_out_channels, layers_per_block=2, **PLAIN)
    shapes = [{name: tensor.shape for name, tensor in model.state_dict().items()}
              for model in (flux.vae(), theirs)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("changes, what", [
    ({"act_fn": "relu"}, "act_fn"), ({"down_block_types": ["AttnDownEncoderBlock2D"]}, "down_block_types"),
    ({"up_block_types": ["UpDecoderBlock2D", "AttnUpDecoderBlock2D"]}, "up_block_types"),
    ({"shift_factor": None}, "shift_factor"), ({"block_out_channels": 128}, "block_out_channels"),
    ({"norm_num_groups": 24}, None)])
def test_a_config_that_makes_no_autoencoder_is_refused(changes, what):
    with pytest.raises(ValueError, match=what), torch.device("meta"):
        Autoencoder.from_config(changes)
