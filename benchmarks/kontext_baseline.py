"""FLUX.1 Kontext's denoise loop with random weights at the true shapes: diffusers eager and compiled, ours, and ours
with less memory; beside them the card's own ceilings, and for each mode the predicted peak of memory.

One unattended call. Rows are written to a file as they come; what no longer fits the time or the memory is skipped and
says so. Without a CUDA card a small model runs, and only ratios are reported.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from ..kontext import Conditions, Limited, flux
from ..kontext.backends.modules import ModuleBackend
from ..kontext.flux import activation_bytes
from ..kontext.layers.quantised import StoredLinear
from ..kontext.memory.offload import weight_bytes
from ..kontext.memory.plan import GIB, PRESETS, Residency, TransformerSizes
from ..kontext.memory.vae import TILE, vae_bytes
from ..kontext.sampling import Schedule, denoise
from ..kontext.text import activation_bytes as text_bytes

SCHEDULE = Schedule(shift=3.0, use_dynamic_shifting=True)
SMALL = {"num_layers": 2, "num_single_layers": 4, "num_attention_heads": 2, "joint_attention_dim": 256,
         "pooled_projection_dim": 64}


class Rows:
    """Results so far, each written to a file at once; no row begins that the time does not allow.

    Args:
        path: of the JSON file.
        head: what the result begins with.
        seconds: for everything.
        absolute: whether seconds mean anything outside this run.
    """

    def __init__(self, path: Path | None, head: dict, seconds: float, absolute: bool):
        self.result = {**head, "rows": [], "skipped": []}
        self.absolute = absolute
        self._path = path
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return self._end - time.monotonic()

    def add(self, name: str, seconds: float, measure: Callable[[], dict], memory: int = 0) -> dict | None:
        """Measure one row if its expected seconds and bytes of the card are there."""
        free = torch.cuda.mem_get_info()[0] if memory and torch.cuda.is_available() else memory
        if seconds > self.left:
            return self._skip(name, f"needs about {seconds:.0f} s, {max(0, self.left):.0f} s are left")
        if memory > free:
            return self._skip(name, f"needs {memory / GIB:.1f} GiB, {free / GIB:.1f} GiB are free")
        begun, row = time.monotonic(), None
        try:
            row = {"name": name, **measure(), "took_s": round(time.monotonic() - begun, 1)}
        except Exception as error:  # one broken row must not cost the others
            self._skip(name, f"{type(error).__name__}: {str(error)[:300]}")
        else:
            print(name, {key: value for key, value in row.items() if key != "name"}, file=sys.stderr, flush=True)
            self.result["rows"].append(row)
        finally:
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._write()
        return row

    def _skip(self, name: str, reason: str) -> None:
        print(f"{name}: skipped: {reason}", file=sys.stderr, flush=True)
        self.result["skipped"].append({"name": name, "reason": reason})
        self._write()

    def _write(self) -> None:
        if self._path is not None:
            self._path.write_text(json.dumps(self.result, indent=1) + "\n", "utf-8")


def diffusers_transformer(transformer: nn.Module) -> nn.Module:
    """diffusers' transformer with the very parameters of ours."""
    from diffusers import FluxTransformer2DModel

    with torch.device("meta"):
        theirs = FluxTransformer2DModel(**asdict(transformer.config))
    theirs.load_state_dict(transformer.state_dict(keep_vars=True), assign=True)
    return theirs.eval()


class Case:
    """One edit's denoise loop: the transformer, its conditions, and three ways to run it."""

    def __init__(self, device: torch.device, size: int, steps: int, text_tokens: int, small: bool):
        self.device, self.size, self.steps = device, size, steps
        self.dtype = torch.float32 if small else torch.bfloat16
        self.transformer = flux.transformer(device, self.dtype, **(SMALL if small else {}))
        config, latent = self.transformer.config, size // 8
        self.tokens = text_tokens + 2 * (size // 16) ** 2
        generator = torch.Generator().manual_seed(0)
        draw = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
        self.noise = draw(1, 16, latent, latent)
        self.conditions = Conditions(
            (draw(1, text_tokens, config.joint_attention_dim), draw(1, config.pooled_projection_dim)),
            (draw(1, 16, latent, latent),), "offset", 2.5, SCHEDULE.sigmas(steps, (size // 16) ** 2))
        self.sizes = TransformerSizes.of(self.transformer)
        self.work = activation_bytes(self.transformer, self.tokens)
        self.backend = ModuleBackend({"transformer": self.transformer}, None, None)
        self.theirs = diffusers_transformer(self.transformer)
        self.limit(None)

    def limit(self, room: int | None) -> int:
        """Run with so much room from now on; the peak it is predicted to have."""
        kept = self.backend.between_edits
        kept.residency = Residency()
        kept.prefetchers.clear()
        self.backend.placement = Limited({"transformer": self.transformer}, self.device, room or 2**60)
        kept.place(self.transformer, self.backend.placement, self.steps, self.work)
        return self.sizes.need(kept.residency, self.steps, self.work)

    @torch.no_grad()
    def ours(self) -> None:
        self.backend.sample(self.conditions, self.noise,
                            lambda velocity, start: denoise(velocity, start, self.conditions.sigmas))

    def diffusers(self) -> Callable[[], None]:
        """diffusers' own pipeline, its transformer on the same weights."""
        from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxKontextPipeline

        pipe = FluxKontextPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True, max_image_seq_len=4096),
            vae=AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                              block_out_channels=(4,) * 4, norm_num_groups=4, latent_channels=16),
            text_encoder=None, tokenizer=None, text_encoder_2=None, tokenizer_2=None, transformer=self.theirs)
        pipe.set_progress_bar_config(disable=True)
        embeds, pooled = (states.to(self.device, self.dtype) for states in self.conditions.prompt)
        reference = self.conditions.references[0].to(self.device, self.dtype)
        return lambda: pipe(
            image=reference, prompt_embeds=embeds, pooled_prompt_embeds=pooled, width=self.size, height=self.size,
            max_area=self.size**2, num_inference_steps=self.steps, guidance_scale=2.5, output_type="latent",
            generator=torch.Generator().manual_seed(0), _auto_resize=False)

    def store_fp8(self) -> None:
        """Keep the blocks' matrices in float8, each with one scale; layers unpack their own."""
        for block in (*self.transformer.transformer_blocks, *self.transformer.single_transformer_blocks):
            for name, layer in list(block.named_modules()):
                if isinstance(layer, nn.Linear):
                    scale = layer.weight.float().abs().max() / 448
                    values = (layer.weight / scale).to(torch.float8_e4m3fn)
                    packed = StoredLinear(values, scale.reshape(1), layer.bias.detach())
                    setattr(block.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], packed)
        self.sizes = TransformerSizes.of(self.transformer)
        self.work = activation_bytes(self.transformer, self.tokens)


def timed(run: Callable[[], None]) -> float:
    """Seconds of one run, the device's queue included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    begun = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def paired(a: Callable[[], None], b: Callable[[], None], repeats: int, absolute: bool) -> dict:
    """Two ways run in turn, so that both meet the same machine: the ratio of their times, b / a."""
    a(), b()
    pairs = [(timed(a), timed(b)) for _ in range(repeats)]
    ratios = sorted(second / first for first, second in pairs)
    row = {"ratio": round(statistics.median(ratios), 3), "ratio_low": round(ratios[0], 3),
           "ratio_high": round(ratios[-1], 3), "repeats": repeats}
    if absolute:
        row["seconds"] = [round(statistics.median(times), 3) for times in zip(*pairs, strict=True)]
    return row


def peak(run: Callable[[], None], predicted: int) -> dict:
    """The allocator's peak of a run beside the predicted one; without a card the prediction alone."""
    if not torch.cuda.is_available():
        run()
        return {"predicted_bytes": predicted}
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    measured = torch.cuda.max_memory_allocated()
    return {"predicted_bytes": predicted, "measured_bytes": measured, "predicted_by_measured": round(
        predicted / measured, 3)}


def ceilings(rows: Rows) -> None:
    """What the card does at best: matrix products, attention at this model's shape, copies."""
    n, cuda = 8192, {"device": "cuda"}

    def best(run: Callable[[], object], work: float) -> float:
        run()
        return round(work / min(timed(run) for _ in range(5)) / 1e12, 3)

    def gemm() -> dict:
        a, b = torch.randn(n, n, dtype=torch.bfloat16, **cuda), torch.randn(n, n, dtype=torch.bfloat16, **cuda)
        return {"tflops": best(lambda: a @ b, 2 * n**3)}

    def gemm_fp8() -> dict:
        a = torch.randn(n, n, **cuda).to(torch.float8_e4m3fn)
        one = torch.ones((), **cuda)
        return {"tflops": best(lambda: torch._scaled_mm(a, a.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16),
                               2 * n**3)}

    def attention() -> dict:
        q = torch.randn(1, 24, 8704, 128, dtype=torch.bfloat16, **cuda)
        return {"tflops": best(lambda: nn.functional.scaled_dot_product_attention(q, q, q), 4 * 8704**2 * 3072)}

    def copies() -> dict:
        there = torch.empty(GIB, dtype=torch.uint8, **cuda)
        pinned, other = torch.empty(GIB, dtype=torch.uint8, pin_memory=True), torch.empty_like(there)
        return {"to_card_tb_s": best(lambda: there.copy_(pinned, non_blocking=True), GIB),
                "on_card_tb_s": best(lambda: other.copy_(there), 2 * GIB)}

    for name, measure in (("GEMM bf16 8192^3", gemm), ("GEMM fp8 8192^3", gemm_fp8),
                          ("attention bf16, 24 heads x 8704 x 128", attention), ("copy 1 GiB", copies)):
        rows.add(f"ceiling: {name}", 5, measure, memory=3 * GIB)


def denoise_rows(rows: Rows, case: Case, repeats: int, compiled: bool) -> None:
    """All ways to run the loop. `once` guesses how long one takes."""
    eager = case.diffusers()
    case.limit(None)
    once = timed(eager)
    rows.add("ours / diffusers eager", (2 * repeats + 2) * once,
             lambda: paired(eager, case.ours, repeats, rows.absolute))
    rows.add("peak: resident", once, lambda: peak(case.ours, case.limit(None)))
    modes = {"modulation table": case.sizes.need(Residency(True), case.steps, case.work)}
    if rows.absolute:
        modes |= {f"offload, {name} card": PRESETS[name] for name in ("16 GB", "12 GB", "8 GB")}
    else:
        last = tuple(range(case.sizes.doubles, len(case.sizes.blocks)))
        modes["offload, all single blocks"] = case.sizes.need(Residency(True, last), case.steps, case.work)
    resident = ModuleBackend({"transformer": case.transformer}, None, None)
    for name, room in modes.items():
        def mode(room=room) -> dict:
            """The resident loop cannot run beside it (its weights are away): eager's time stands for it."""
            predicted = case.limit(room)
            residency = case.backend.between_edits.residency
            row = peak(case.ours, predicted) | {"blocks_away": len(residency.away)}
            seconds = statistics.median(timed(case.ours) for _ in range(repeats))
            return row | ({"seconds": round(seconds, 3)} if rows.absolute else {})

        rows.add(f"ours: {name}", (repeats + 3) * once, mode)
    case.limit(None)
    if not rows.absolute:  # nothing was moved: all is in main memory, so the two can be run in turn
        for name, room in modes.items():
            resident.placement = Limited({"transformer": case.transformer}, case.device, 2**60)

            def plain() -> None:
                with torch.no_grad():
                    resident.sample(case.conditions, case.noise,
                                    lambda velocity, start: denoise(velocity, start, case.conditions.sigmas))

            def lean(room=room) -> dict:
                case.limit(room)
                return paired(plain, case.ours, repeats, False)

            rows.add(f"ours, {name} / ours, resident", (2 * repeats + 2) * once, lean)
        case.limit(None)
    if compiled:
        def compile_blocks() -> dict:
            case.theirs.compile_repeated_blocks(fullgraph=True)
            eager()
            seconds = statistics.median(timed(eager) for _ in range(repeats))
            return {"seconds": round(seconds, 3)} | peak(eager, case.sizes.total + case.work)

        rows.add("diffusers, blocks compiled", 90 + (repeats + 2) * once, compile_blocks)
        for block in (*case.theirs.transformer_blocks, *case.theirs.single_transformer_blocks):
            block._compiled_call_impl = None

    def fp8() -> dict:
        case.store_fp8()
        row = peak(case.ours, case.limit(None))
        seconds = statistics.median(timed(case.ours) for _ in range(repeats))
        return row | ({"seconds": round(seconds, 3)} if rows.absolute else {})

    rows.add("ours: fp8 storage (other results)", (repeats + 4) * once, fp8)


def other_rows(rows: Rows, device: torch.device) -> None:
    """Text encoders and VAE: seconds, and the peaks the planner reckons with."""
    def encode() -> dict:
        encoders = flux.text_encoders(device)
        ids = torch.ones(1, 512, dtype=torch.long, device=device)
        with torch.no_grad():
            run = lambda: encoders["t5"](ids)[0]  # noqa: E731
            row = peak(run, weight_bytes(encoders) + text_bytes(encoders, 512))
            return row | {"seconds": round(timed(run), 4)}

    def picture(work: str, tiled: bool) -> dict:
        vae = flux.vae(device)
        x = torch.zeros(1, 3, 1024, 1024, dtype=vae.dtype, device=device)
        z = torch.randn(1, 16, 128, 128, device=device).to(vae.dtype)
        tile = TILE if tiled else None
        run = (lambda: vae.encode(x, tile)) if work == "encode" else (lambda: vae.decode(z, tile))
        with torch.no_grad():
            row = peak(run, weight_bytes(vae) + vae_bytes(vae, 1024, 1024, tiled=tiled))
            return row | {"seconds": round(timed(run), 4)}

    rows.add("text encoders, 512 tokens", 20, encode, memory=11 * GIB)
    for work, tiled in (("encode", False), ("decode", False), ("decode", True)):
        rows.add(f"VAE {work} 1024 x 1024{' in tiles' if tiled else ''}", 10,
                 lambda work=work, tiled=tiled: picture(work, tiled), memory=6 * GIB)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=520, help="for everything, making the weights included")
    parser.add_argument("--repeats", type=int, default=0, help="timed runs of each row; 0: 2 on a card, else 5")
    parser.add_argument("--rows", type=Path, default=Path("kontext_baseline.rows.json"),
                        help="where the rows go as they come")
    options = parser.parse_args()
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    size, steps, text_tokens = (1024, 28, 512) if cuda else (256, 2, 64)
    if not cuda:
        torch.set_num_threads(1)
    head = {"benchmark": "kontext_baseline", "device": torch.cuda.get_device_name() if cuda else "cpu",
            "random_weights": True, "size": size, "references": [[size, size]], "steps": steps,
            "text_tokens": text_tokens, "dtype": "bfloat16" if cuda else "float32",
            "model": "FLUX.1 Kontext dev's shapes" if cuda else f"scaled down: {SMALL}; only ratios mean anything"}
    rows = Rows(options.rows, head, options.seconds, absolute=cuda)
    if cuda:
        ceilings(rows)
        other_rows(rows, device)
    needed = weight_bytes(flux.transformer()) + 4 * GIB if cuda else 0
    if cuda and needed > torch.cuda.mem_get_info()[0]:
        rows._skip("denoise loop", f"making the weights needs {needed / GIB:.0f} GiB of the card")
    else:
        repeats = options.repeats or (2 if cuda else 5)
        denoise_rows(rows, Case(device, size, steps, text_tokens, small=not cuda), repeats, compiled=cuda)
    print(json.dumps(rows.result))


if __name__ == "__main__":
    main()
