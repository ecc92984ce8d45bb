"""Train the 16-channel, 8x AutoencoderKL on whole pictures, in three stages that can run as separate processes:

``encoder``  learns to output the PCA latents; ``decoder`` learns to draw from them; ``joint`` fine-tunes both, held
near the PCA latents so that a transformer trained on those goes on working. (Crops would give GroupNorm other
statistics than whole pictures have.)
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from .examples import random_picture, to_signal
from .pca import PatchPCA
from .state import Average, Run, arguments, learning_rate

SIZE = 128
SIZES = (*((SIZE, SIZE),) * 9, (160, 96), (96, 160), (192, 192))  # one of these for each batch
BATCH = {"encoder": 8, "decoder": 4, "joint": 4}
JUDGED = 64  # pictures of unseen characters
PEAK = {"encoder": 3e-3, "decoder": 3e-3, "joint": 1e-3}


def build_vae():
    """The untrained VAE; the latents' scale is 1 by construction (``PatchPCA``)."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        block_out_channels=(8, 24, 64, 128),  # pyright: ignore[reportArgumentType]
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=8,
        sample_size=SIZE,
        scaling_factor=1.0,
        shift_factor=0.0,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
    )


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """dB over all pixels together; pictures in -1..1."""
    return float(10 * torch.log10(4 / (a.clamp(-1, 1).float() - b).square().mean()))


def picture_loss(made: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return F.mse_loss(made, truth) + 0.2 * F.l1_loss(made, truth)


def main() -> None:
    parser = arguments((__doc__ or "").splitlines()[0], minutes=60)
    parser.add_argument("stage", choices=("encoder", "decoder", "joint"))
    parser.add_argument("--weights", type=Path, help="vae folder whose weights to begin with, if there is no state")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    stage, device = options.stage, options.device
    pca = PatchPCA.load().to(device)
    vae = build_vae().to(device)
    if options.weights:
        vae.load_state_dict(load_file(options.weights / "diffusion_pytorch_model.safetensors"))
    elif stage == "joint":
        load_stage(vae, options.state, "encoder")
        load_stage(vae, options.state, "decoder")
    module = vae if stage == "joint" else getattr(vae, stage)
    average = Average(module, 0.999)
    optimiser = torch.optim.AdamW(module.parameters(), lr=PEAK[stage], betas=(0.9, 0.98), weight_decay=1e-4)
    run = Run(
        options.state, f"vae-{stage}", options.minutes, {"module": module, "average": average, "optimiser": optimiser}
    )
    rng = random.Random(f"{options.seed}/{stage}/{run.step}")

    unseen = random.Random("unseen")
    held_out = torch.from_numpy(
        to_signal(np.stack([random_picture(unseen, SIZE, held_out=True) for _ in range(JUDGED)]))
    ).to(device)
    size, floor = sum(p.numel() for p in module.parameters()), psnr(pca.decode(pca.encode(held_out)), held_out)
    print(f"{stage}: {size / 1e6:.2f} M parameters; PCA itself {floor:.2f} dB")

    @torch.no_grad()
    def judge() -> dict[str, float]:
        average.swap(module)
        truth = pca.encode(held_out)
        figures = {}
        if stage != "decoder":
            latents = vae.encoder(held_out)[:, :16]
            figures["latent_db"] = 10 * torch.log10(truth.square().mean() / (latents - truth).square().mean())
        if stage != "encoder":
            figures["psnr"] = psnr(vae.decoder(latents if stage == "joint" else truth), held_out)
        average.swap(module)
        return figures

    going = True
    while going:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(run.progress, PEAK[stage] * min(1.0, (run.step + 1) / 100))
        size = rng.choice(SIZES)
        pictures = np.stack([random_picture(rng, size) for _ in range(BATCH[stage])])
        signal = torch.from_numpy(to_signal(pictures)).to(device)
        truth = pca.encode(signal)
        with torch.autocast(device, torch.bfloat16):
            latents = truth if stage == "decoder" else vae.encoder(signal)[:, :16].float()
            if stage == "encoder":
                loss = F.mse_loss(latents, truth)
            else:
                # half of them as the transformer makes them: it learnt on the PCA latents
                drawn = torch.cat([latents[: len(latents) // 2], truth[len(latents) // 2 :]])
                noisy = drawn + 0.02 * torch.randn_like(drawn)
                loss = picture_loss(vae.decoder(noisy).float(), signal)
                if stage == "joint":
                    loss = loss + 0.05 * F.mse_loss(latents, truth)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        average.update(module)
        going = run.tick(len(pictures))
        if run.step % 400 == 0 or not going:
            run.log(loss=loss, **judge())


def load_stage(vae, folder, stage: str) -> None:
    """Put the averaged weights of a finished stage into ``vae``."""
    state = torch.load(folder / f"vae-{stage}.pt", map_location="cpu", weights_only=True)
    module = vae if stage == "joint" else getattr(vae, stage)
    module.load_state_dict(state["average"]["values"])


if __name__ == "__main__":
    main()
