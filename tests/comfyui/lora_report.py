"""Prints, as one line of JSON, what LoRA files of every layout and kind do to our own model and to a native MODEL of
the same weights: lora_report.py COMFYUI PACK BASE. Float32, on the CPU.
"""

import json
import sys
from pathlib import Path

import torch
from native_report import start

COMFYUIS = (  # cases that ComfyUI's own reader understands as their writers do
    "kohya", "diffusers, transformer.", "BFL, diffusion_model.", "flat diffusers, lora_transformer_", "LoKr whole",
    "LoKr 2", "LoKr 12", "LoKr, diffusers' names", "LoHa", "DoRA of inputs, lora_unet_", "full", "text encoders only")


def main(comfyui: str, pack: str, base: str) -> None:
    sys.path.append(str(Path(__file__).parent.parent / "kontext"))  # lora_files.py
    bench = start(comfyui, pack, base)
    with torch.inference_mode():  # as ComfyUI runs nodes
        print(json.dumps(Loras(bench, Path(base)).report()))


class Loras:
    """The files of `lora_files.matrix`, read and applied on both."""

    def __init__(self, bench, folder: Path):
        import lora_files

        self.bench, self.folder, self.files = bench, folder, lora_files
        self.cases = lora_files.matrix(lora_files.diffusers_layers(bench.ours.components["transformer"]))
        self.request = bench.request(width=64, height=64, steps=2)

    def read(self, case: str):
        tensors, metadata = self.cases[case]
        name = "".join(c if c.isalnum() else "_" for c in case)
        return self.bench.kontext.read_lora(self.files.write(self.folder / f"{name}.safetensors", tensors, metadata))

    def latents(self, model) -> torch.Tensor:
        return self.bench.edit(model, self.request)[0]

    def report(self) -> dict:
        ours, theirs = self.bench.ours, self.bench.theirs
        plain = self.latents(ours), self.latents(theirs)
        cases = {}
        for case in self.cases:
            lora = self.read(case)
            a, b = (self.latents(model.adapted([(lora, 0.8)])) for model in (ours, theirs))
            cases[case] = {"parity": float((a - b).abs().max()), "effect": float((b - plain[1]).abs().max())}
        stack = [(self.read("DoRA of outputs, lora_unet_"), 0.7), (self.read("kohya"), -0.4),
                 (self.read("DoRA of inputs, transformer."), 0.5), (self.read("text encoders only"), 1.0)]
        one = self.latents(ours.adapted(stack))
        stacks = [self.latents(theirs.adapted(stack)), self.latents(theirs.adapted(stack[::-1])),
                  self.latents(theirs.adapted(stack[:2]).adapted(stack[2:]))]
        small, = self.bench.nodes.UNETLoader().load_unet(self.bench.names.UNET, "fp8_e4m3fn")
        fp8 = self.bench.from_native(small)
        before = self.latents(fp8)
        quantised = {case: [float((self.latents(fp8.adapted([(self.read(case), 1.0)])) - before).abs().max()),
                            float((self.latents(theirs.adapted([(self.read(case), 1.0)])) - plain[1]).abs().max())]
                     for case in ("kohya", "LoKr 2", "LoHa", "DoRA of inputs, lora_unet_", "full")}
        text = self.read("text encoders only")
        on_the_way = max(self.patched_on_the_way(case) for case in ("kohya", "LoHa", "DoRA of inputs, lora_unet_"))
        return {
            "cases": cases, "stack": max(float((one - other).abs().max()) for other in stacks), "fp8": quantised,
            "patched on the way": on_the_way,
            "ComfyUI's own reader": {case: self.comfyuis(case) for case in COMFYUIS},
            "fp8 afterwards": float((self.latents(fp8) - before).abs().max()),
            "afterwards": [float((self.latents(model) - before).abs().max())
                           for model, before in ((ours, plain[0]), (theirs, plain[1]))],
            "strength 0": float((self.latents(theirs.adapted([(text, 0.0)])) - plain[1]).abs().max()),
            "CLIP kept": self.keeps_clip(text),
            "other classes": self.in_other_classes(),
            "MODEL untouched": theirs.adapted([(text, 1.0)]).backend.model is theirs.backend.model,
            "refused": {case: self.refused(*chosen) for case, chosen in self.misfits().items()},
        }

    def patched_on_the_way(self, case: str) -> float:
        """Where ComfyUI lacks memory it changes a weight in each pass: how far that is from one changed beforehand."""
        from comfy.lora import calculate_weight
        from comfy.model_patcher import LowVramPatch

        patcher = self.bench.theirs.adapted([(self.read(case), 0.8)]).backend.model
        weights, found = patcher.model_state_dict(), []
        for key, patches in patcher.patches.items():
            patch = LowVramPatch(key, patcher.patches)
            if hasattr(patch, "memory_required"):  # newer ones look into patches to copy them ahead
                patch.memory_required()
                patch.prepare(None, None, copy=False)
            changed = calculate_weight(patches, weights[key].clone(), key)
            found.append(float((patch(weights[key].clone()) - changed).abs().max()))
            found.append(0.0 if (changed - weights[key]).abs().max() > 0 else 1.0)
        return max(found)

    def comfyuis(self, case: str) -> float:
        """How far the weights are from those of ComfyUI's own LoRA reader, for a file that it reads rightly."""
        import comfy.sd
        import comfy.utils
        from comfy.lora import calculate_weight

        theirs = self.bench.theirs
        lora = self.read(case)
        ours = theirs.adapted([(lora, 0.8)]).backend
        model, clip = comfy.sd.load_lora_for_models(theirs.backend.model, theirs.backend.clip,
                                                    comfy.utils.load_torch_file(lora.where, safe_load=True), 0.8, 0.8)
        worst = 0.0
        for one, two in ((ours.model, model), (ours.clip.patcher, clip.patcher)):
            if set(one.patches) != set(two.patches):
                return float("inf")
            weights = one.model_state_dict()
            for key in one.patches:
                a, b = (calculate_weight(patcher.patches[key], weights[key].clone(), key) for patcher in (one, two))
                worst = max(worst, float((a - b).abs().max()))
        return worst

    def keeps_clip(self, text) -> bool:
        """A LoRA of the transformer after one of the text encoders leaves encoded prompts as they are."""
        one = self.bench.theirs.adapted([(text, 1.0)])
        return one.adapted([(self.read("kohya"), 0.8)]).backend.text_key == one.backend.text_key

    def in_other_classes(self) -> str:
        """What is said where FLUX's layers have other names, as in nunchaku's MODEL."""
        from types import SimpleNamespace

        theirs = self.bench.theirs.backend
        wrapped = torch.nn.ModuleDict({"diffusion_model": torch.nn.ModuleDict(
            {"model": theirs.model.model.diffusion_model})})
        try:
            self.bench.native.with_loras(SimpleNamespace(model=wrapped), theirs.clip, [(self.read("kohya"), 0.8)])
        except self.bench.input_error as error:
            return str(error)
        return ""

    def misfits(self) -> dict:
        """LoRAs of which something cannot land."""
        files, theirs = self.files, self.bench.theirs
        weightless = self.bench.native.from_native(*self.bench.native.to_native(self.bench.ours))
        layers = {
            "more blocks": {"double_blocks.0.img_mlp.0": (128, 32), "double_blocks.7.img_mlp.0": (128, 32)},
            "wider": {"double_blocks.0.img_mlp.0": (128, 32), "double_blocks.0.img_attn.qkv": (9216, 3072)},
        }
        found = {name: (theirs, files.kohya(files.seeded(sizes), alpha=1)) for name, sizes in layers.items()}
        t5 = {"t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q": {"diff_b": files.numbers(32)}}
        found["bias of a layer without"] = theirs, files.under(t5, "text_encoders.")
        for part in ("kohya", "text encoders only"):
            found[f"no layers there, {part}"] = weightless, self.cases[part][0]
        return found

    def refused(self, model, tensors: dict) -> str:
        lora = self.bench.kontext.read_lora(self.files.write(self.folder / "misfit.safetensors", tensors))
        said = []
        for chosen in (self.bench.ours, model):
            try:
                chosen.adapted([(lora, 0.8)])
                said.append("")
            except self.bench.input_error as error:
                said.append(str(error))
        return said


if __name__ == "__main__":
    main(*sys.argv[1:])
