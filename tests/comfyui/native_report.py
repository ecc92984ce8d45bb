"""Prints, as one line of JSON, how our nodes get on with ComfyUI's own MODEL, CLIP and VAE:
native_report.py COMFYUI PACK BASE. Float32, on the CPU, with the tiny model of tiny_flux.py.
"""

import asyncio
import importlib
import json
import sys
import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch

PROMPTS = {
    "plain": "make it night",
    "syntax": "she (waves:1.4) at the ((sea)) [red] \\(really\\) embedding:easynegative",
    "unicode": "  first line\nsecond  line\n\n\U0001f642 caf\u00e9 \u6d77",
    "long": "she waves at the old man, he smiles back and they walk on, " * 20,  # CLIP cuts it at 77, T5 has over 256
}
REFERENCE_AREA = 96 * 96


def start(comfyui: str, pack: str, base: str) -> "Bench":
    """ComfyUI in this process, with the pack in it and the tiny model's files."""
    sys.argv = ["main.py", "--cpu", "--base-directory", base, "--force-fp32", "--fp32-text-enc", "--fp32-vae"]
    sys.path.insert(0, comfyui)
    import comfy.options

    comfy.options.enable_args_parsing()
    import tiny_flux

    import nodes

    torch.set_num_threads(1)
    tiny_flux.write(Path(base, "models"))
    tiny_flux.accept_tiny()
    asyncio.run(nodes.load_custom_node(pack))
    root = nodes.NODE_CLASS_MAPPINGS["Kontinuity_FromNative"].__module__.removesuffix(".nodes.native_models")
    return Bench(nodes, root, Path(base), Path(pack))


def main(comfyui: str, pack: str, base: str) -> None:
    bench = start(comfyui, pack, base)
    with torch.inference_mode():  # as ComfyUI runs nodes
        report = {"parity": bench.parity(), "matters": bench.matters(), "round_trip": bench.round_trip(),
                  "patches": bench.patches(), "sampling": bench.sampling(), "negative": bench.negative(),
                  "attention": bench.attention(), "lora": bench.lora(), "cancel": bench.cancel(),
                  "refused": bench.refused()}
    report["workflow"] = bench.workflow()
    print(json.dumps(report))


class Bench:
    """Our model from a diffusers folder, and the same weights through ComfyUI's loaders and `from_native`."""

    def __init__(self, nodes, root: str, base: Path, pack: Path):
        import tiny_flux

        self.nodes, self.base, self.pack, self.names = nodes, base, pack, tiny_flux
        self.kontext = importlib.import_module(f"{root}.kontext")
        common = importlib.import_module(f"{root}.common")
        self.input_error, self.box = common.InputError, common.Box
        self.native = importlib.import_module(f"{root}.nodes.host.native_in")
        self.model, = nodes.UNETLoader().load_unet(tiny_flux.UNET, "default")
        self.clip, = nodes.DualCLIPLoader().load_clip(tiny_flux.CLIP_L, tiny_flux.T5, "flux")
        self.vae, = nodes.VAELoader().load_vae(tiny_flux.VAE)
        self.ours = self.kontext.load_folder(base / "models" / "diffusers" / tiny_flux.FOLDER)
        self.ours.settings = replace(self.ours.settings, reference_area=REFERENCE_AREA)
        self.theirs = self.from_native(self.model)

    def from_native(self, model):
        made = self.native.from_native(model, self.clip, self.vae)
        made.settings = replace(made.settings, reference_area=REFERENCE_AREA)
        return made

    def picture(self, width: int, height: int, seed: int) -> torch.Tensor:
        return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(seed))

    def request(self, **changes):
        fields = {"prompt": PROMPTS["plain"], "references": (self.picture(96, 96, 1),), "width": 96, "height": 96,
                  "seed": 2**64 - 1, "steps": 4}
        return self.kontext.EditRequest(**fields | changes)

    def edit(self, model, request) -> tuple[torch.Tensor, torch.Tensor]:
        """(final latents, picture)."""
        infos = []
        picture = model.edit(request, infos.append)
        return infos[-1].latents, picture

    def parity(self) -> dict[str, list[float]]:
        """Case -> largest differences of the final latents and of the picture's values."""
        two = (self.picture(96, 96, 1), self.picture(144, 64, 2))
        three = (*two, self.picture(64, 144, 3))
        cases = {f"prompt {name}": {"prompt": text} for name, text in PROMPTS.items()}
        cases |= {f"{width}x{height}": {"width": width, "height": height}
                  for width, height in ((64, 64), (128, 80), (80, 256))}
        cases |= {f"{steps} steps": {"steps": steps} for steps in (1, 7, 20, 28)}
        cases |= {"no reference": {"references": ()}, "two": {"references": two}, "three": {"references": three},
                  "two, index": {"references": two, "reference_method": "index"}, "guidance": {"guidance": 4.0}}
        cases |= self.who_sees_what()
        found = {}
        for name, changes in cases.items():
            a, b = (self.edit(model, self.request(**changes)) for model in (self.ours, self.theirs))
            found[name] = [float((x - y).abs().max()) for x, y in zip(a, b, strict=True)]
        return found

    def who_sees_what(self) -> dict[str, dict]:
        """Strengths, regions and a guide, for requests."""
        kontext, two = self.kontext, (self.picture(96, 96, 1), self.picture(144, 64, 2))
        strengths = (kontext.ReferenceStrength(1.7), kontext.ReferenceStrength(0.3, 0.25, 0.75))
        mask = torch.zeros(96, 96, dtype=torch.bool)
        mask[:, 48:] = True
        regions = kontext.Regions((kontext.Region(self.box(0, 0, 0.4, 1), "she waves", (0,)),
                                   kontext.Region(mask, "he sits on a bench", (1,))), alone=0.3)
        guide = kontext.Guide(self.picture(96, 96, 4), mask.float(), 0.7)
        return {"strengths": {"references": two, "strengths": strengths},
                "regions": {"references": two, "regions": regions},
                "strengths, regions, guide": {"references": two, "strengths": strengths, "regions": regions,
                                              "guide": guide, "steps": 7}}

    def matters(self) -> dict[str, float]:
        """How far each thing that parity could miss moves the final latents."""
        one, two = self.picture(96, 96, 1), (self.picture(96, 96, 1), self.picture(144, 64, 2))
        pairs = {
            "weights in a prompt": ({"prompt": "she (waves:1.4)"}, {"prompt": "she waves"}),
            "reference": ({"references": (one,)}, {"references": ()}),
            "order": ({"references": two}, {"references": two[::-1]}),
            "method": ({"references": two}, {"references": two, "reference_method": "index"}),
            "guidance": ({"guidance": 2.5}, {"guidance": 4.0}),
            **{name: (changes, {"references": two, "steps": changes.get("steps", 4)})
               for name, changes in self.who_sees_what().items()},
        }
        return {name: float((self.edit(self.theirs, self.request(**a))[0]
                             - self.edit(self.theirs, self.request(**b))[0]).abs().max())
                for name, (a, b) in pairs.items()}

    def round_trip(self) -> dict:
        """Ours -> MODEL, CLIP, VAE -> ours again; and a native one back to what it was made of."""
        own = replace(self.ours.settings, width=64, height=64)
        ours = self.kontext.KontextModel(name="n", backend=self.ours.backend, schedule=self.ours.schedule, settings=own)
        again = self.native.from_native(*self.native.to_native(ours))
        found = {"name": again.name, "settings": again.settings == own}
        for name, references in (("one", (self.picture(96, 96, 1),)),
                                 ("two", (self.picture(144, 64, 2), self.picture(96, 96, 1)))):
            request = self.request(references=references, prompt=PROMPTS["syntax"], reference_method="index")
            a, b = self.edit(ours, request), self.edit(again, request)
            found[name] = [float((x - y).abs().max()) for x, y in zip(a, b, strict=True)]
        for name, changes in self.who_sees_what().items():
            request = self.request(**changes)
            a, b = self.edit(ours, request), self.edit(again, request)
            found[name] = [float((x - y).abs().max()) for x, y in zip(a, b, strict=True)]
        back = self.native.to_native(self.theirs)
        found["the same objects"] = [x is y for x, y in zip(back, (self.model, self.clip, self.vae), strict=True)]
        return found

    def patches(self) -> dict:
        """A weight patch and a function wrapper on the MODEL are used, and the MODEL without them is as before."""
        before = self.edit(self.theirs, self.request())[0]
        patched, calls = self.model.clone(), []
        key = "diffusion_model.double_blocks.0.img_mlp.0.weight"
        weight = patched.model.state_dict()[key]
        patched.add_patches({key: ("diff", (weight * 0.5,))}, 1.0)

        def wrapper(apply_model, arguments):
            calls.append(float(arguments["timestep"][0]))
            return apply_model(arguments["input"], arguments["timestep"], **arguments["c"])

        patched.set_model_unet_function_wrapper(wrapper)
        changed = self.edit(self.from_native(patched), self.request())[0]
        after = self.edit(self.theirs, self.request())[0]
        sigmas = self.theirs.schedule.sigmas(4, 36)[:-1].tolist()
        small, = self.nodes.UNETLoader().load_unet(self.names.UNET, "fp8_e4m3fn")
        fp8 = self.from_native(small)
        return {"fp8": float((self.edit(fp8, self.request())[0] - before).abs().max()),
                "fp8 dtype": str(fp8.backend.dtype),
                "effect": float((changed - before).abs().max()), "afterwards": float((after - before).abs().max()),
                "sigmas": max(abs(a - b) for a, b in zip(calls, sigmas, strict=True))}

    def sampling(self) -> dict:
        """Sampling nodes on the MODEL: our own model with the same noise levels beside it, and what is refused."""
        from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow as AuraFlow
        from comfy_extras.nodes_model_advanced import ModelSamplingContinuousEDM, ModelSamplingFlux, ModelSamplingSD3

        before, found = self.edit(self.theirs, self.request())[0], {}
        for name, node, values in (("flux", ModelSamplingFlux(), (2.0, 0.5, 768, 512)), ("aura", AuraFlow(), (3.0,))):
            patched, = (node.patch_aura if name == "aura" else node.patch)(self.model, *values)
            t = torch.linspace(1, 1 / 4, 4)
            wanted = [*patched.get_model_object("model_sampling").sigma(t).tolist(), 0.0]
            theirs = self.from_native(patched)
            ours = self.kontext.KontextModel(name="n", backend=self.ours.backend, schedule=SimpleNamespace(
                sigmas=lambda steps, tokens, wanted=wanted: torch.tensor(wanted), num_train_timesteps=1000),
                settings=self.ours.settings)
            a, b = self.edit(theirs, self.request())[0], self.edit(ours, self.request())[0]
            found[name] = [float((a - b).abs().max()), float((a - before).abs().max())]
        refused = {"SD3": ModelSamplingSD3().patch(self.model, 3.0)[0],
                   "EDM": ModelSamplingContinuousEDM().patch(self.model, "eps", 120.0, 0.002)[0]}
        return found | {name: self.refusal(model) for name, model in refused.items()}

    def attention(self) -> dict:
        """Another attention on the MODEL: used where nothing is planned, and an edit with a plan leaves no trace; and
        what a transformer that computes attention itself comes to."""
        other, calls = self.model.clone(), []

        def counted(usual, *args, **kwargs):
            calls.append(float(kwargs["transformer_options"]["sigmas"][0]))
            return usual(*args, **kwargs)

        other.model_options["transformer_options"]["optimized_attention_override"] = counted
        theirs = self.from_native(other)
        plain, late = self.request(), self.request(strengths=(self.kontext.ReferenceStrength(0.3, start=0.5),))
        found = {}
        for name, request in (("plain", plain), ("late", late), ("afterwards", plain)):
            calls.clear()
            made = self.edit(theirs, request)[0]
            found[name] = [len(set(calls)), float((made - self.edit(self.ours, request)[0]).abs().max())]
        strange = self.model.clone()
        strange.add_object_patch("diffusion_model", torch.nn.Linear(1, 1))
        for name, request in (("refused", late), ("not refused", plain)):
            try:
                self.from_native(strange).check(request)
                found[name] = ""
            except self.input_error as error:
                found[name] = str(error)
        return found

    def refusal(self, model) -> str:
        try:
            self.from_native(model)
        except self.input_error as error:
            return str(error)
        return ""

    def negative(self) -> dict:
        """A negative prompt, and no guidance embedding, by core's guider: on ours as MODEL and on ComfyUI's own."""
        import comfy.samplers
        from comfy_extras import nodes_model_advanced as advanced

        ours, clip, _ = self.native.to_native(self.ours)
        noise, sigmas = torch.randn(1, 16, 12, 12, generator=torch.Generator().manual_seed(1)), torch.tensor([1, .6, 0])

        def latents(model, scale, no="a crowd", **bound):
            guider = comfy.samplers.CFGGuider(model)
            prompts = {"positive": "make it night", "negative": no}
            guider.inner_set_conds({name: [[states, {**options, **bound}] for states, options in
                                           clip.encode_from_tokens_scheduled(clip.tokenize(text))]
                                    for name, text in prompts.items()})
            guider.set_cfg(scale)
            return guider.sample(noise, torch.zeros_like(noise), comfy.samplers.sampler_object("euler"), sigmas,
                                 disable_pbar=True)

        plain = latents(ours, 1.0, guidance=2.5)
        found = {}
        for name, scale, changes in (("cfg 3", 3.0, {"guidance": 2.5}), ("no guidance", 1.0, {"guidance": None})):
            a, b = (latents(model, scale, **changes) for model in (ours, self.model))
            found[name] = [float((a - b).abs().max()), float((a - plain).abs().max())]
        found["another negative"] = float((latents(ours, 3.0, guidance=2.5)
                                           - latents(ours, 3.0, "snow", guidance=2.5)).abs().max())
        rescaled, = advanced.RescaleCFG().patch(self.model, 0.7)
        free = self.model.clone()
        free.model_options["disable_cfg1_optimization"] = True  # as NAGuidance does
        found["said"] = [self.native.without_effect(model) for model in (self.model, rescaled, free)]
        return found

    def lora(self) -> dict:
        """Load Kontext LoRA on either: a LoRA of the transformer and of CLIP, by kohya's names."""
        from safetensors.torch import save_file

        width, text = sum(self.names.AXES) * self.names.HEADS, self.names.CLIP_SIZES
        layers = {"lora_unet_double_blocks_0_img_mlp_0": (4 * width, width),
                  "lora_unet_single_blocks_1_linear1": (7 * width, width),
                  "lora_te1_text_model_encoder_layers_0_mlp_fc1": (text["intermediate_size"], text["hidden_size"])}
        tensors, generator = {}, torch.Generator().manual_seed(0)
        for name, (outputs, inputs) in layers.items():
            tensors[f"{name}.lora_down.weight"] = torch.randn(3, inputs, generator=generator) / 4
            tensors[f"{name}.lora_up.weight"] = torch.randn(outputs, 3, generator=generator) / 4
            tensors[f"{name}.alpha"] = torch.tensor(3.0)
        save_file(tensors, self.base / "some_lora.safetensors")
        lora = self.kontext.read_lora(self.base / "some_lora.safetensors")
        request = self.request()
        plain = self.edit(self.theirs, request)[0]
        ours, theirs = (self.edit(model.adapted([(lora, 0.8)]), request)[0] for model in (self.ours, self.theirs))
        try:
            self.native.from_native(*self.native.to_native(self.ours)).adapted([(lora, 0.8)])
            said = ""
        except self.input_error as error:
            said = str(error)
        return {"parity": float((ours - theirs).abs().max()), "effect": float((theirs - plain).abs().max()),
                "afterwards": float((self.edit(self.theirs, request)[0] - plain).abs().max()), "refused": said}

    def cancel(self) -> dict:
        """ComfyUI's Cancel in the second step; then the same edit once more, after all models were unloaded."""
        import comfy.model_management as memory

        expected, seen = self.edit(self.theirs, self.request())[1], []

        def press(info):
            seen.append(info.step)
            if info.step == 2:
                self.nodes.interrupt_processing(True)
                self.native.stop_if_cancelled()

        try:
            self.theirs.edit(self.request(), press)
            error = None
        except memory.InterruptProcessingException as raised:
            error = type(raised).__name__
        self.nodes.interrupt_processing(False)
        memory.unload_all_models()
        again = self.edit(self.theirs, self.request())[1]
        return {"error": error, "steps": seen, "afterwards": float((again - expected).abs().max())}

    def refused(self) -> dict[str, str]:
        """What the node says to sockets that hold something else."""
        import comfy.model_base
        import comfy.model_patcher
        import comfy.sd1_clip
        import comfy.supported_models
        import comfy.text_encoders.sd3_clip

        def model(kind, config, base=comfy.model_base.Flux):
            made = getattr(comfy.supported_models, kind)({**config, "disable_unet_model_creation": True})
            return comfy.model_patcher.ModelPatcher(base(made), torch.device("cpu"), torch.device("cpu"))

        def flux(**config):
            return {"image_model": "flux", "guidance_embed": True, "in_channels": 16, "out_channels": 16} | config

        vae = SimpleNamespace(first_stage_model=object(), latent_channels=16, latent_dim=2)
        cases = {
            "Fill": {"model": model("FluxInpaint", flux(in_channels=96))},
            "Canny": {"model": model("Flux", flux(in_channels=32))},
            "schnell": {"model": model("FluxSchnell", flux(guidance_embed=False))},
            "FLUX.2": {"model": model("Flux2", flux(image_model="flux2", hidden_size=3072), comfy.model_base.Flux2)},
            "SD3": {"model": model("SD3", {"image_model": "sd3"}, comfy.model_base.SD3)},
            "no model": {"model": None},
            "no clip": {"clip": None},
            "SD clip": {"clip": SimpleNamespace(tokenizer=comfy.sd1_clip.SD1Tokenizer())},
            "SD3 clip": {"clip": SimpleNamespace(tokenizer=comfy.text_encoders.sd3_clip.SD3Tokenizer())},
            "no vae": {"vae": SimpleNamespace(first_stage_model=None)},
            "SD vae": {"vae": SimpleNamespace(**vars(vae) | {"latent_channels": 4})},
            "video vae": {"vae": SimpleNamespace(**vars(vae) | {"latent_dim": 3})},
        }
        good = {"model": self.model, "clip": self.clip, "vae": self.vae}
        said = {}
        for name, bad in cases.items():
            try:
                self.native.from_native(**good | bad)
                said[name] = ""
            except self.input_error as error:
                said[name] = str(error)
        return said

    def workflow(self) -> dict:
        """The shipped API workflow, its files replaced by the tiny ones, in ComfyUI's own executor."""
        import execution
        import numpy as np
        from PIL import Image

        graph = json.loads((self.pack / "workflows" / "api" / "native_models.json").read_text("utf-8"))
        files = {"UNETLoader": {"unet_name": self.names.UNET}, "VAELoader": {"vae_name": self.names.VAE},
                 "DualCLIPLoader": {"clip_name1": self.names.CLIP_L, "clip_name2": self.names.T5},
                 "LoadImage": {"image": "someone.png"}, "Kontinuity_Edit": {"steps": 2, "width": 64, "height": 64}}
        for node in graph.values():
            node["inputs"].update(files.get(node["class_type"], {}))
        (self.base / "input").mkdir(exist_ok=True)
        pixels = (self.picture(96, 96, 1) * 255).round().to(torch.uint8).numpy()
        Image.fromarray(np.asarray(pixels)).save(self.base / "input" / "someone.png")
        server = SimpleNamespace(client_id=None, last_node_id=None, last_prompt_id=None, send_sync=lambda *_: None,
                                 sockets_metadata={})
        executor = execution.PromptExecutor(server, cache_type=execution.CacheType.CLASSIC,
                                            cache_args={"lru": 0, "ram": 0, "ram_inactive": 0})
        # at FLUX's own 1 MP the reference alone would take half a minute
        self.native.ModelSettings = partial(self.kontext.ModelSettings, reference_area=REFERENCE_AREA)
        valid, error, outputs, node_errors = asyncio.run(execution.validate_prompt(str(uuid.uuid4()), graph, None))
        if not valid:
            return {"error": [error, node_errors]}
        executor.execute(graph, str(uuid.uuid4()), {}, outputs)
        saved = sorted((self.base / "output").rglob("*.png"))
        return {"success": executor.success, "messages": [str(m) for m in executor.status_messages],
                "size": Image.open(saved[0]).size if saved else None}


if __name__ == "__main__":
    main(*sys.argv[1:])
