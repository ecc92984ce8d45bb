"""Train the demo model's in-between LoRA. The references are what flow makes of both ends, and the ends, laid out and
weighed as `storyboard/between` hands them over; the prompt says how far on the way the picture is; the target is true.

The set is small and fixed, as somebody with clips or drawings would have it for the real model:

    python -m kontinuity.benchmarks._in_between_set --out set.safetensors
    python -m kontinuity.benchmarks._in_between_set --held-out --series 24 --moments 1 --out unseen.safetensors
    python -m kontinuity.demo_model.training.between --set set.safetensors --unseen unseen.safetensors --out FILE
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from .examples import to_signal
from .in_betweens import prompt
from .state import Average, Run, arguments, learning_rate
from .text import MIN_TOKENS, PromptCache
from .transformer import pack, random_times

WEIGHTS = Path(__file__).parent.parent / "weights"
RANK = 16
LAYERS = ("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "attn.add_q_proj", "attn.add_k_proj",
          "attn.add_v_proj", "attn.to_add_out", "ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj",
          "ff_context.net.2", "proj_mlp", "proj_out")  # of every block
JUDGED = 12  # unseen pictures that the error is measured on


class LoraLinear(nn.Module):
    """A frozen linear layer with a trained change of low rank, B A x; B begins as 0."""

    def __init__(self, layer: nn.Linear, rank: int):
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Linear(layer.in_features, rank, bias=False)
        self.up = nn.Linear(rank, layer.out_features, bias=False)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + self.up(self.down(x))


def add_lora(model: nn.Module, rank: int) -> nn.ModuleDict:
    """Put a `LoraLinear` into every block for each of ``LAYERS``. Returns them, by their names with "/" for "."."""
    model.requires_grad_(False)
    found = nn.ModuleDict()
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear) and "blocks." in name and name.split(".", 2)[2] in LAYERS:
            parent, own = name.rpartition(".")[::2]
            changed = found[name.replace(".", "/")] = LoraLinear(layer, rank)
            setattr(model.get_submodule(parent), own, changed)
    return found


class Batches:
    """A set of in-betweens (see `benchmarks/_in_between_set.py`), encoded once; batches of it without end."""

    def __init__(self, drawn: dict[str, torch.Tensor], vae, prompts: PromptCache):
        self._prompts, self._parts = prompts, drawn["parts"] / 100
        self._ends, self._moved, self._targets = (_encoded(vae, drawn[key]) for key in ("ends", "moved", "truth"))
        moves = torch.maximum(_differs(drawn["truth"], drawn["ends"][:, :1]),
                              _differs(drawn["truth"], drawn["ends"][:, 1:]))
        weight = 1 + 2 * moves + 6 * _differs(drawn["truth"], drawn["moved"])  # what flow tore is what is to be learnt
        self._weights = nn.functional.avg_pool2d(weight, 16).flatten(2)

    def draw(self, count: int, rng: random.Random) -> dict[str, torch.Tensor]:
        """A batch; half of it is told the other way round."""
        series, moments = self._parts.shape
        i = torch.tensor([rng.randrange(series) for _ in range(count)])
        j = torch.tensor([rng.randrange(moments) for _ in range(count)])
        turned = torch.tensor([rng.random() < 0.5 for _ in range(count)])
        part = torch.where(turned, 1 - self._parts[i, j], self._parts[i, j])
        ends = torch.where(turned[:, None, None, None], self._ends[i].flip(1), self._ends[i])
        states, pooled = self._prompts([prompt(float(one)) for one in part])
        return {
            "target": self._targets[i, j],
            "references": torch.cat([self._moved[i, j], ends.flatten(1, 2)], 1),
            "part": part,
            "weight": self._weights[i, j],
            "states": states,
            "pooled": pooled,
        }


@torch.no_grad()
def _encoded(vae, pictures: torch.Tensor) -> torch.Tensor:
    """``uint8 [series, N, H, W, 3]`` to tokens ``[series, N, H/16 * W/16, 64]``, as the transformer sees them."""
    rows = []
    for some in pictures:
        z = vae.encode(torch.from_numpy(to_signal(some.numpy()))).latent_dist.mode()
        rows.append(pack((z - vae.config.shift_factor) * vae.config.scaling_factor))
    return torch.stack(rows)


def _differs(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return ((a.short() - b.short()).abs().amax(-1) > 8).float()


def velocity(model, x: torch.Tensor, batch: dict[str, torch.Tensor], t: torch.Tensor) -> torch.Tensor:
    """The velocity for noisy tokens ``x [N, tokens, 64]`` at times ``t``; the ends' keys are weighed by 1 - part
    and part."""
    count = x.shape[1]
    shares = torch.stack([1 - batch["part"], batch["part"]], 1).log()  # [N, 2]
    bias = torch.zeros(len(t), 1, 1, MIN_TOKENS + 4 * count)
    bias[:, 0, 0, MIN_TOKENS + 2 * count :] = shares.repeat_interleave(count, 1)
    # in bfloat16 where the processor has it; elsewhere that is seven times as slow
    with torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported()):
        made = model(
            hidden_states=torch.cat([x, batch["references"]], 1),
            encoder_hidden_states=batch["states"],
            pooled_projections=batch["pooled"],
            timestep=t,
            guidance=torch.full_like(t, 2.5),
            img_ids=ids(int(count**0.5)),
            txt_ids=torch.zeros(MIN_TOKENS, 3),
            joint_attention_kwargs={"attention_mask": bias},
            return_dict=False,
        )[0]
    return made[:, :count].float()


def ids(side: int) -> torch.Tensor:
    """Rope ids of the picture made and of three references as "offset" lays them: the second below the first, the third
    beside both."""
    grids = []
    for index, down, right in ((0, 0, 0), (1, 0, 0), (1, side, 0), (1, 0, side)):
        y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        grids.append(torch.stack([torch.full_like(y, index), y + down, x + right], -1).reshape(-1, 3))
    return torch.cat(grids).float()


def save_lora(lora: nn.ModuleDict, path: Path) -> None:
    """diffusers' names, bfloat16, alpha = rank: strength 1 is what was trained."""
    tensors = {}
    for key, layer in lora.items():
        assert isinstance(layer, LoraLinear)
        name = f"transformer.{key.replace('/', '.')}"
        tensors[f"{name}.lora_A.weight"] = layer.down.weight.detach().to(torch.bfloat16).contiguous()
        tensors[f"{name}.lora_B.weight"] = layer.up.weight.detach().to(torch.bfloat16).contiguous()
        tensors[f"{name}.alpha"] = torch.tensor(float(layer.down.out_features))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"format": "pt"})


def main() -> None:
    parser = arguments((__doc__ or "").splitlines()[0], minutes=25)
    parser.add_argument("--set", type=Path, required=True, help="of training characters")
    parser.add_argument("--unseen", type=Path, required=True, help="a set of others, to judge by")
    parser.add_argument("--rank", type=int, default=RANK)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--peak", type=float, default=1.5e-3, help="learning rate")
    parser.add_argument("--name", default="in_between")
    parser.add_argument("--out", type=Path, required=True, help="the LoRA, a safetensors file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    from diffusers import AutoencoderKL, FluxTransformer2DModel

    model = FluxTransformer2DModel.from_pretrained(WEIGHTS / "transformer", torch_dtype=torch.float32)
    vae = AutoencoderKL.from_pretrained(WEIGHTS / "vae", torch_dtype=torch.float32).eval()
    lora, prompts = add_lora(model, options.rank), PromptCache()
    batches = Batches(load_file(options.set), vae, prompts)
    unseen = Batches(load_file(options.unseen), vae, prompts).draw(JUDGED, random.Random("unseen"))
    unseen_noise = torch.randn(unseen["target"].shape, generator=torch.Generator().manual_seed(1))
    average = Average(lora, 0.99)
    optimiser = torch.optim.AdamW(lora.parameters(), lr=options.peak, betas=(0.9, 0.98), weight_decay=0.0)
    run = Run(options.state, options.name, options.minutes,
              {"module": lora, "average": average, "optimiser": optimiser})
    rng = random.Random(f"{options.seed}/{run.step}")
    generator = torch.Generator().manual_seed(options.seed * 1000 + run.step)

    def weighed(batch: dict[str, torch.Tensor], t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        x = torch.lerp(batch["target"], noise, t[:, None, None])
        error = (velocity(model, x, batch, t) - (noise - batch["target"])).square().mean(-1)
        return (error * batch["weight"]).mean() / batch["weight"].mean()

    going = run.progress < 1
    while going:
        rate = learning_rate(run.progress, options.peak * min(1.0, (run.step + 1) / 50), flat=0.4)
        optimiser.param_groups[0]["lr"] = rate
        batch = batches.draw(options.batch, rng)
        noise = torch.randn(batch["target"].shape, generator=generator)
        loss = weighed(batch, random_times(len(noise), generator, "cpu"), noise)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lora.parameters(), 1.0)
        optimiser.step()
        average.update(lora)
        going = run.tick(len(noise))
        if run.step % 100 == 0 or not going:
            average.swap(lora)
            with torch.no_grad():
                judged = weighed(unseen, torch.linspace(0.3, 1.0, JUDGED), unseen_noise)
            average.swap(lora)
            run.log(loss=loss.detach(), unseen=judged)
    average.swap(lora)
    save_lora(lora, options.out)


if __name__ == "__main__":
    main()
