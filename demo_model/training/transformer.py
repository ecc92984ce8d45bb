"""Train the demo transformer by flow matching on (reference, instruction, target), exactly as Kontext takes them:
target tokens at index 0 of the first rope axis, reference tokens at index 1. Latents come from the PCA
codec, which the VAE learns to agree with.

Rectified flow as in Stable Diffusion 3 (Esser et al. 2024, arXiv 2403.03206): x_t = (1 - t) x_0 + t e, the model
predicts e - x_0.
"""

from __future__ import annotations

import random

import numpy as np
import torch

from .examples import random_example, to_signal
from .pca import PatchPCA
from .state import Average, Run, arguments, learning_rate
from .text import JOINT, POOLED, PromptCache

FIGURE_WEIGHT = 3.0  # loss weight of tokens that the figure covers


def build_transformer():
    """The untrained transformer: d = 192, 3 double and 6 single blocks; identity-like at the start (gates 1, output
    0)."""
    from diffusers import FluxTransformer2DModel

    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=3,
        num_single_layers=6,
        attention_head_dim=48,
        num_attention_heads=4,
        joint_attention_dim=JOINT,
        pooled_projection_dim=POOLED,
        guidance_embeds=True,
        axes_dims_rope=(8, 20, 20),
    )
    with torch.no_grad():
        for name, module in model.named_modules():
            if name.endswith(("norm1.linear", "norm1_context.linear", "norm.linear")):
                module.weight.zero_()
                chunks = module.bias.zero_().chunk(module.out_features // model.inner_dim)
                for gate in chunks[2::3]:  # (shift, scale, gate) once or twice
                    gate.fill_(1.0)
        model.norm_out.linear.weight.zero_()
        model.norm_out.linear.bias.zero_()
        model.proj_out.weight.zero_()
        model.proj_out.bias.zero_()
    return model


def pack(latents: torch.Tensor) -> torch.Tensor:
    """``[N, 16, H, W]`` to tokens ``[N, H/2 * W/2, 64]``."""
    n, c, h, w = latents.shape
    return latents.view(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(n, h * w // 4, c * 4)


def token_ids(side: int, device) -> torch.Tensor:
    """Rope ids of ``side x side`` target tokens, then as many reference tokens, ``[2 * side**2, 3]``."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    grid = torch.stack([torch.zeros_like(y), y, x], -1).reshape(-1, 3)
    return torch.cat([grid, grid + torch.tensor([1, 0, 0])]).float().to(device)


def optimisers(model, peak: float):
    """Muon (Jordan et al. 2024) for the blocks' matrices, AdamW for modulation, embeddings, norms and biases."""
    matrices, rest = [], []
    for name, value in model.named_parameters():
        in_block = name.startswith(("transformer_blocks", "single_transformer_blocks"))
        is_modulation = ".norm1.linear" in name or ".norm1_context.linear" in name or ".norm.linear" in name
        (matrices if value.ndim == 2 and in_block and not is_modulation else rest).append(value)
    return (
        torch.optim.Muon(matrices, lr=peak, weight_decay=0.01, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=peak, betas=(0.9, 0.98), weight_decay=0.0),
    )


class Batches:
    """Endless training batches: latents of targets and references, prompts, figure weights, all on ``device``."""

    def __init__(self, encode, prompts: PromptCache, size: int, batch: int, device, held_out: bool = False):
        self._encode, self._prompts, self._size = encode, prompts, size
        self._batch, self._device, self._held_out = batch, device, held_out

    def draw(self, rng: random.Random) -> dict[str, torch.Tensor]:
        examples = [random_example(rng, self._size, self._held_out) for _ in range(self._batch)]
        signal = to_signal(np.stack([e.target for e in examples] + [e.reference for e in examples]))
        target, reference = pack(self._encode(torch.from_numpy(signal).to(self._device))).chunk(2)
        figure = torch.from_numpy(np.stack([e.figure for e in examples])).to(self._device)
        figure = torch.nn.functional.max_pool2d(figure[:, None].float(), 16).flatten(1)
        states, pooled = self._prompts([e.prompt for e in examples])
        return {
            "target": target,
            "reference": reference,
            "weight": 1 + (FIGURE_WEIGHT - 1) * figure,
            "states": states,
            "pooled": pooled,
        }


def velocity_error(model, batch: dict[str, torch.Tensor], t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Squared error of the predicted velocity, ``[N, tokens]``."""
    target, reference = batch["target"], batch["reference"]
    mixed = torch.lerp(target, noise, t[:, None, None])
    side = int(target.shape[1] ** 0.5)
    guidance = torch.empty_like(t).uniform_(1, 4)  # carries nothing: the model learns to ignore it
    with torch.autocast(target.device.type, torch.bfloat16):
        made = model(
            hidden_states=torch.cat([mixed, reference], 1),
            encoder_hidden_states=batch["states"],
            pooled_projections=batch["pooled"],
            timestep=t,
            guidance=guidance,
            img_ids=token_ids(side, target.device),
            txt_ids=torch.zeros(batch["states"].shape[1], 3, device=target.device),
            return_dict=False,
        )[0]
    return (made[:, : target.shape[1]].float() - (noise - target)).square().mean(-1)


def random_times(n: int, generator: torch.Generator, device) -> torch.Tensor:
    """Logit-normal with shift 1.8, one in ten exactly 1, ``[n]``."""
    t = torch.sigmoid(torch.randn(n, generator=generator))
    t = 1.8 * t / (1 + 0.8 * t)
    t[torch.rand(n, generator=generator) < 0.1] = 1.0
    return t.to(device)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], minutes=120)
    parser.add_argument("--small", type=float, default=0.2, help="part of the budget at 64 px before 128 px")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--peak", type=float, default=1.5e-3, help="learning rate")
    parser.add_argument("--name", default="transformer")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    device = options.device
    pca = PatchPCA.load_or_fit(options.state).to(device)
    prompts = PromptCache(device)
    model = build_transformer().to(device)
    average = Average(model, 0.998)
    muon, adamw = optimisers(model, options.peak)
    run = Run(
        options.state,
        options.name,
        options.minutes,
        {"module": model, "average": average, "muon": muon, "adamw": adamw},
    )
    rng = random.Random(f"{options.seed}/{run.step}")
    generator = torch.Generator().manual_seed(options.seed * 1_000_003 + run.step)

    def batches(size: int, held_out: bool = False) -> Batches:
        return Batches(pca.encode, prompts, size, options.batch, device, held_out)

    @torch.no_grad()
    def judge(size: int) -> dict[str, float]:
        """Velocity error on unseen characters, plain, with another character's reference, with another instruction."""
        batch = batches(size, held_out=True).draw(random.Random("unseen"))
        noise = torch.randn(batch["target"].shape, generator=torch.Generator().manual_seed(1)).to(device)
        t = torch.linspace(0.3, 1.0, len(noise), device=device)
        average.swap(model)
        figures = {
            "plain": velocity_error(model, batch, t, noise).mean(),
            "wrong_reference": velocity_error(
                model, batch | {"reference": batch["reference"].roll(1, 0)}, t, noise
            ).mean(),
            "wrong_text": velocity_error(
                model, batch | {"states": batch["states"].roll(1, 0), "pooled": batch["pooled"].roll(1, 0)}, t, noise
            ).mean(),
        }
        average.swap(model)
        return figures

    going = True
    while going:
        size = 64 if run.progress < options.small else 128
        rate = learning_rate(run.progress, options.peak * min(1.0, (run.step + 1) / 100), flat=0.6)
        for optimiser in (muon, adamw):
            for group in optimiser.param_groups:
                group["lr"] = rate
        batch = batches(size).draw(rng)
        noise = torch.randn(batch["target"].shape, generator=generator).to(device)
        error = velocity_error(model, batch, random_times(len(noise), generator, device), noise)
        loss = (error * batch["weight"]).mean() / batch["weight"].mean()
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step()
        adamw.step()
        average.update(model)
        going = run.tick(options.batch)
        if run.step % 100 == 0 or not going:
            run.log(size=size, loss=loss, **judge(size))


if __name__ == "__main__":
    main()
