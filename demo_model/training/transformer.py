"""Train the demo transformer by flow matching on (reference, instruction, target), exactly as Kontext takes them:
target tokens at index 0 of the first rope axis, reference tokens at index 1. Latents come from the PCA
codec, which the VAE learns to agree with.

Rectified flow as in Stable Diffusion 3 (Esser et al. 2024, arXiv 2403.03206): x_t = (1 - t) x_0 + t e, the model
predicts e - x_0.

Several workers share the work under ``torchrun --nproc-per-node N -m ...transformer``: each makes batches of its own,
gradients are averaged. The first one judges, logs and saves.
"""

from __future__ import annotations

import os
import random
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn.attention import SDPBackend, sdpa_kernel

from .examples import random_example, random_kind, to_signal
from .pca import PatchPCA
from .state import Average, Run, arguments, learning_rate
from .text import JOINT, POOLED, PromptCache

BATCH = 32
JUDGED = 66  # unseen edits that the error is measured on
SAMPLES = 8  # of them, shown while training


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


def unpack(tokens: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Tokens of rows x columns back to ``[N, 16, 2 * rows, 2 * columns]``."""
    n = tokens.shape[0]
    return tokens.view(n, rows, columns, 16, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(n, 16, rows * 2, columns * 2)


def token_ids(target: tuple[int, int], reference: tuple[int, int], device) -> torch.Tensor:
    """Rope ids of the target's tokens, then the reference's; each given as (rows, columns). ``[tokens, 3]``."""
    grids = []
    for index, (rows, columns) in enumerate((target, reference)):
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        grids.append(torch.stack([torch.full_like(y, index), y, x], -1).reshape(-1, 3))
    return torch.cat(grids).float().to(device)


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


# One batch has one shape: (share of the batches, size of the targets, kind of edit or None for all of one character)
SHAPES = (
    (0.68, (128, 128), None),
    (0.10, (128, 128), "two"),
    (0.06, (160, 96), "shot"),
    (0.06, (96, 160), "shot"),
    (0.10, (192, 192), None),
)


class Batches:
    """Endless training batches: latents of targets and references, prompts, token weights, all on ``device``."""

    def __init__(self, encode, prompts: PromptCache, batch: int, device, held_out: bool = False):
        self._encode, self._prompts = encode, prompts
        self._batch, self._device, self._held_out = batch, device, held_out

    def draw(self, shapes: random.Random, rng: random.Random) -> dict[str, torch.Tensor]:
        """A batch of a random shape."""
        _, size, kind = shapes.choices(SHAPES, [share for share, _, _ in SHAPES])[0]
        return self.of(rng, size, kind)

    def of(self, rng: random.Random, size: tuple[int, int] = (128, 128), kind: str | None = None) -> dict:
        """A batch of one shape; larger pictures make smaller batches."""
        count = max(1, self._batch * 128 * 128 // max(128 * 128, size[0] * size[1]))
        examples = []
        while len(examples) < count:
            example = random_example(rng, kind or random_kind(rng), size, self._held_out)
            if self._prompts.fits(example.edit.text):  # all but a few in ten thousand do
                examples.append(example)
        target = self._latents([e.target for e in examples])
        reference = self._latents([e.reference for e in examples])
        weight = torch.from_numpy(np.stack([e.weight for e in examples])).to(self._device)
        states, pooled = self._prompts([e.edit.text for e in examples])
        grid, reference_grid = ((z.shape[2] // 2, z.shape[3] // 2) for z in (target, reference))
        return {
            "target": pack(target),
            "reference": pack(reference),
            "ids": token_ids(grid, reference_grid, self._device),
            "weight": torch.nn.functional.max_pool2d(weight[:, None], 16).flatten(1),
            "states": states,
            "pooled": pooled,
        }

    def _latents(self, pictures: list[np.ndarray]) -> torch.Tensor:
        return self._encode(torch.from_numpy(to_signal(np.stack(pictures))).to(self._device))


def _forward(model, x: torch.Tensor, batch: dict[str, torch.Tensor], t: torch.Tensor) -> torch.Tensor:
    """The model's velocity for noisy target tokens ``x`` at times ``t``, ``[N, tokens, 64]``."""
    guidance = torch.empty_like(t).uniform_(1, 4)  # carries nothing: the model learns to ignore it
    with torch.autocast(x.device.type, torch.bfloat16):
        made = model(
            hidden_states=torch.cat([x, batch["reference"]], 1),
            encoder_hidden_states=batch["states"],
            pooled_projections=batch["pooled"],
            timestep=t,
            guidance=guidance,
            img_ids=batch["ids"],
            txt_ids=torch.zeros(batch["states"].shape[1], 3, device=x.device),
            return_dict=False,
        )[0]
    return made[:, : x.shape[1]].float()


def velocity_error(model, batch: dict[str, torch.Tensor], t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Squared error of the predicted velocity, ``[N, tokens]``."""
    target = batch["target"]
    mixed = torch.lerp(target, noise, t[:, None, None])
    return (_forward(model, mixed, batch, t) - (noise - target)).square().mean(-1)


@torch.no_grad()
def sample(model, batch: dict[str, torch.Tensor], noise: torch.Tensor, steps: int = 8) -> torch.Tensor:
    """Clean tokens from noise by Euler steps, evenly spread over time."""
    x, times = noise, torch.linspace(1, 0, steps + 1, device=noise.device)
    for t, after in zip(times[:-1], times[1:], strict=True):
        x = x + (after - t) * _forward(model, x, batch, t.expand(len(x)))
    return x


def random_times(n: int, generator: torch.Generator, device) -> torch.Tensor:
    """Logit-normal with shift 3, one in seven exactly 1, ``[n]``: what an instruction asks is decided early; later the
    noisy picture tells it already."""
    t = torch.sigmoid(torch.randn(n, generator=generator))
    t = 3 * t / (1 + 2 * t)
    t[torch.rand(n, generator=generator) < 1 / 7] = 1.0
    return t.to(device)


@torch.no_grad()
def share_gradients(model: torch.nn.Module) -> None:
    """Replace the gradients by their average over all workers."""
    gradients = [value.grad for value in model.parameters() if value.grad is not None]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(together)
    together /= torch.distributed.get_world_size()
    for gradient, part in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def main() -> None:
    parser = arguments((__doc__ or "").splitlines()[0], minutes=120)
    parser.add_argument(
        "--weights", type=Path, help="transformer folder whose weights to begin with, if there is no state"
    )
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--peak", type=float, default=1.5e-3, help="learning rate")
    parser.add_argument("--name", default="transformer")
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile the blocks; needs a C++ compiler on a CPU"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = options.device
    rank, workers = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if workers > 1:
        torch.distributed.init_process_group("gloo")
    pca = PatchPCA.load().to(device)
    prompts = PromptCache(device)
    model = build_transformer()
    if options.weights:
        model.load_state_dict(load_file(options.weights / "diffusion_pytorch_model.safetensors"))
    model.to(device)
    average = Average(model, 0.998)
    muon, adamw = optimisers(model, options.peak)
    run = Run(
        options.state,
        options.name,
        options.minutes,
        {"module": model, "average": average, "muon": muon, "adamw": adamw},
    )
    if options.compile:
        model.compile_repeated_blocks(fullgraph=True, dynamic=False)
    shapes = random.Random(f"{options.seed}/{run.step}")  # the same for all workers, so that none waits for another
    rng = random.Random(f"{options.seed}/{run.step}/{rank}")
    generator = torch.Generator().manual_seed((options.seed * 1_000_003 + run.step) * workers + rank)
    torch.manual_seed(options.seed * workers + rank)

    batches = Batches(pca.encode, prompts, options.batch, device)
    unseen = Batches(pca.encode, prompts, JUDGED, device, held_out=True).of(random.Random("unseen"))
    unseen_noise = torch.randn(unseen["target"].shape, generator=torch.Generator().manual_seed(1)).to(device)

    @torch.no_grad()
    def judge() -> dict[str, torch.Tensor]:
        """Velocity error on unseen characters, plain, with another character's reference, with another instruction."""
        batch, noise, t = unseen, unseen_noise, torch.linspace(0.3, 1.0, len(unseen_noise), device=device)
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

    def show_samples() -> None:
        """One strip of pictures of the first unseen edits, through the PCA codec, so that one can see the model
        learn."""
        few = {key: value if key == "ids" else value[:SAMPLES] for key, value in unseen.items()}
        average.swap(model)
        signal = pca.decode(unpack(sample(model, few, unseen_noise[:SAMPLES]), 8, 8))
        average.swap(model)
        strip = (
            ((signal.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(2, 0, 3, 1).flatten(1, 2).cpu().numpy()
        )
        folder = options.state / f"{options.name}-samples"
        folder.mkdir(exist_ok=True)
        Image.fromarray(strip).save(folder / f"{run.samples:07}.png")

    def error_of(batch, t, noise):
        # plain attention: on a CPU the backward pass of the fused one is slower at these few tokens
        with sdpa_kernel(SDPBackend.MATH) if device == "cpu" else nullcontext():
            return velocity_error(model, batch, t, noise)

    def progress() -> float:
        """Part of the budget used; the first worker's clock counts for all."""
        used = torch.tensor(run.progress)
        if workers > 1:
            torch.distributed.broadcast(used, 0)
        return used.item()

    while (used := progress()) < 1.0:
        rate = learning_rate(used, options.peak * min(1.0, (run.step + 1) / 100), flat=0.6)
        for optimiser in (muon, adamw):
            for group in optimiser.param_groups:
                group["lr"] = rate
        batch = batches.draw(shapes, rng)
        noise = torch.randn(batch["target"].shape, generator=generator).to(device)
        error = error_of(batch, random_times(len(noise), generator, device), noise)
        loss = (error * batch["weight"]).mean() / batch["weight"].mean()
        model.zero_grad(set_to_none=True)
        loss.backward()
        if workers > 1:
            share_gradients(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step()
        adamw.step()
        average.update(model)
        going = run.tick(len(noise) * workers, save=rank == 0)
        if rank == 0 and (run.step % 100 == 0 or not going):
            with torch.compiler.set_stance("force_eager"):
                run.log(loss=loss, **judge())
                show_samples()


if __name__ == "__main__":
    main()
