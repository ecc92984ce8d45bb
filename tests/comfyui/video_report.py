"""Prints, as one line of JSON, what ComfyUI's own video nodes make of Keyframes for Video: video_report.py COMFYUI PACK
BASE. No weights: a VAE that keeps what it is given stands in for each model's own.
"""

import asyncio
import json
import sys

import torch

PACK_NODE = "Kontinuity_KeyframesForVideo"
EXTRAS = ("nodes_wan.py", "nodes_lt.py", "nodes_hunyuan.py", "nodes_cosmos.py")
SECONDS = (0.3, 1.2)
SHAPES = ((96, 64), (100, 100), (30, 80))


class KeepingVAE:
    """The shapes of a video VAE; a latent holds its frames' means, of a group of frames that of the last."""

    def __init__(self, channels: int, grid: int, step: int):
        self.latent_channels, self.grid, self.step, self.given = channels, grid, step, []
        self.downscale_index_formula = (step, grid, grid)

    def spacial_compression_encode(self) -> int:
        return self.grid

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        frames, height, width, _ = pixels.shape
        assert (frames - 1) % self.step == height % self.grid == width % self.grid == 0
        self.given.append(pixels)
        latent = torch.zeros(1, self.latent_channels, (frames - 1) // self.step + 1, height // self.grid,
                             width // self.grid)
        latent += pixels[:: self.step].mean((1, 2, 3))[None, None, :, None, None]
        return latent


def main(comfyui: str, pack: str, base: str) -> None:
    sys.argv = ["main.py", "--cpu", "--base-directory", base]
    sys.path.insert(0, comfyui)
    import comfy.options

    comfy.options.enable_args_parsing()
    import nodes

    asyncio.run(nodes.load_custom_node(pack))
    for extra in EXTRAS:
        asyncio.run(nodes.load_custom_node(f"{comfyui}/comfy_extras/{extra}", module_parent="comfy_extras"))
    known = nodes.NODE_CLASS_MAPPINGS
    calls = {"Wan first and last frame": wan, "Wan VACE": vace, "LTX-Video": ltx, "HunyuanVideo": hunyuan,
             "Cosmos-Predict2": cosmos}
    found = []
    with torch.inference_mode():
        for model, call in calls.items():
            for width, height in SHAPES:
                for seconds in SECONDS:
                    pair = [torch.rand(1, height, width, 3) * 0.3 + level for level in (0.0, 0.7)]
                    out = known[PACK_NODE].execute([pair[0]], [model], [seconds], ["waves"], ["small"], ["pad"],
                                                   [pair[1]]).args
                    row = call(known, *out)
                    found.append({"model": model, "shape": [width, height], "seconds": seconds, "width": out[2],
                                  "height": out[3], "length": out[4][0], **row})
    print(json.dumps(found))


def text() -> list:
    return [[torch.zeros(1, 4, 8), {}]]


def untouched(given: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Not resampled. (VACE takes a half off and adds it again.)"""
    return bool((given - wanted).abs().max() < 1e-6)


def profile(latent: torch.Tensor) -> list[float]:
    """The mean of each latent frame."""
    return [round(value, 3) for value in latent.mean((0, 1, 3, 4)).tolist()]


def wan(known, start, end, width, height, length, *_) -> dict:
    vae = KeepingVAE(16, 8, 4)
    positive, _, latent = known["WanFirstLastFrameToVideo"].execute(
        text(), text(), vae, width, height, length[0], 1, start_image=start[0], end_image=end[0]).args
    given, options = vae.given[0], positive[0][1]
    return {"exact": [untouched(given[0], start[0][0]), untouched(given[-1], end[0][0])],
            "latent": list(latent["samples"].shape), "filled": profile(options["concat_latent_image"]),
            "mask": [bool(value) for value in options["concat_mask"].amax((0, 3, 4)).T.flatten().tolist()]}


def vace(known, _start, _end, width, height, length, *rest) -> dict:
    vae = KeepingVAE(16, 8, 4)
    video, masks = rest[3][0], rest[4][0]
    positive, _, latent, trim = known["WanVaceToVideo"].execute(
        text(), text(), vae, width, height, length[0], 1, 1.0, control_video=video, control_masks=masks).args
    inactive, reactive = vae.given
    options = positive[0][1]
    return {"exact": [untouched(inactive[0], video[0]), untouched(inactive[-1], video[-1])], "trim": trim,
            "latent": list(latent["samples"].shape), "filled": profile(options["vace_frames"][0][:, :16]),
            "reactive_is_grey": bool((reactive == 0.5).all()), "mask_shape": list(options["vace_mask"][0].shape)}


def ltx(known, start, end, width, height, length, *_) -> dict:
    vae = KeepingVAE(128, 32, 8)
    empty, = known["EmptyLTXVLatentVideo"].execute(width, height, length[0], 1).args
    positive, negative, latent = known["LTXVAddGuide"].execute(text(), text(), vae, empty, start[0], 0, 1.0).args
    positive, negative, latent = known["LTXVAddGuide"].execute(positive, negative, vae, latent, end[0], -1, 1.0).args
    places = positive[0][1]["keyframe_idxs"][0, 0]
    places = places[:, 0] if places.ndim == 2 else places  # later ComfyUI: from, to
    _, _, cropped = known["LTXVCropGuides"].execute(positive, negative, latent).args
    return {"exact": [untouched(vae.given[0], start[0]), untouched(vae.given[1], end[0])],
            "latent": list(cropped["samples"].shape), "guided": list(latent["samples"].shape),
            "filled": profile(latent["samples"]), "places": [places.min().item(), places.max().item()]}


def hunyuan(known, start, _end, width, height, length, *_) -> dict:
    vae = KeepingVAE(16, 8, 4)
    positive, latent = known["HunyuanImageToVideo"].execute(
        text(), vae, width, height, length[0], 1, "v2 (replace)", start_image=start[0]).args
    return {"exact": [untouched(vae.given[0], start[0])], "latent": list(latent["samples"].shape),
            "filled": profile(latent["samples"]), "mask": latent["noise_mask"].amax((0, 1, 3, 4)).tolist()}


def cosmos(known, start, end, width, height, length, *_) -> dict:
    vae = KeepingVAE(16, 8, 4)
    latent, = known["CosmosPredict2ImageToVideoLatent"].execute(
        vae, width, height, length[0], 1, start_image=start[0], end_image=end[0]).args
    return {"exact": [untouched(vae.given[0][0], start[0][0]), untouched(vae.given[1][0], end[0][0])],
            "latent": list(latent["samples"].shape), "mask": latent["noise_mask"].amax((0, 1, 3, 4)).tolist()}


if __name__ == "__main__":
    main(*sys.argv[1:])
