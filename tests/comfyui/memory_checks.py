"""Prints, as one line of JSON, how our models behave in ComfyUI's memory manager: memory_checks.py COMFYUI PACK MODEL.

On the CPU ComfyUI keeps its books as it does for a card; a limit stands for the card's size.
"""

import gc
import importlib.util
import json
import sys
import weakref
from dataclasses import replace
from pathlib import Path


def load_pack(comfyui: str, pack: str):
    """ComfyUI's modules and the pack as `kontinuity`."""
    sys.argv = ["main.py", "--cpu"]
    sys.path.insert(0, comfyui)
    import comfy.options

    comfy.options.enable_args_parsing()
    spec = importlib.util.spec_from_file_location("kontinuity", Path(pack, "__init__.py"),
                                                  submodule_search_locations=[pack])
    module = importlib.util.module_from_spec(spec)
    sys.modules["kontinuity"] = module
    spec.loader.exec_module(module)
    from kontinuity.nodes import host

    return host


def main(comfyui: str, pack: str, folder: str) -> None:
    host = load_pack(comfyui, pack)
    import comfy.model_management as memory
    import torch
    from kontinuity.kontext import EditRequest, load_folder
    from kontinuity.kontext.memory.offload import weight_bytes
    from kontinuity.kontext.memory.plan import Residency, TransformerSizes

    torch.set_num_threads(1)
    reference = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(1))
    request = EditRequest(prompt="she waves", references=(reference,), width=64, height=64, seed=1, steps=3)
    found: dict[str, object] = {}

    def load(limit=None):
        model = load_folder(folder)
        model.settings = replace(model.settings, reference_area=64 * 64, min_text_tokens=32)
        model.placement = host.ComfyPlacement(model.components, limit)
        return model

    def books() -> dict[str, int]:
        """What ComfyUI believes to be loaded of our transformer, and what the patcher's module holds."""
        patcher = model.placement._patchers["transformer"]
        loaded = [m for m in memory.current_loaded_models if m.model is patcher]
        held = {id(p) for p in patcher.model.parameters()}
        away = {id(p) for m in model.placement._away["transformer"] for p in m.parameters()}
        return {"entries": len(loaded), "loaded": loaded[0].model_loaded_memory() if loaded else 0,
                "size": weight_bytes(patcher.model), "overlap": len(held & away)}

    def left_over() -> bool:
        transformer = model.components["transformer"]
        return bool(model.backend.between_edits.prefetchers.device_bytes or transformer._forward_pre_hooks
                    or "norm_out.linear.weight" not in transformer.state_dict())

    with torch.inference_mode():  # as ComfyUI runs nodes
        model = load()
        expected = model.edit(request)
        sizes = TransformerSizes.of(model.components["transformer"])
        found["plain"] = books() | {"total": sizes.total}

        model.placement = host.ComfyPlacement(model.components, sizes.total + 1000)  # work does not fit beside it
        found["lean equal"] = torch.equal(model.edit(request), expected)
        residency = model.backend.between_edits.residency
        found["lean"] = books() | {"resident": sizes.resident(residency), "table": residency.table}

        model.placement._limit = 1
        found["leanest equal"] = torch.equal(model.edit(request), expected)
        found["leanest"] = books() | {"resident": sizes.resident(model.backend.between_edits.residency),
                                      "offloaded": len(model.backend.between_edits.residency.away)}

        memory.unload_all_models()
        found["after unload"] = books()
        found["back equal"] = torch.equal(model.edit(request), expected)

        model.placement._limit, model.backend.between_edits.residency = None, Residency()
        model.edit(request)
        for loaded in memory.current_loaded_models:  # as when another model wants a little room
            loaded.model.partially_unload(loaded.model.offload_device, 1000)
        found["partly out"] = books()
        found["partly equal"] = torch.equal(model.edit(request), expected)
        found["whole again"] = books()

        model.placement._limit, stopped = 1, []
        for step in (1, 2, 3):
            progress = host.Progress(3)

            def on_step(info, step=step, progress=progress):
                if info.step == step:
                    memory.interrupt_current_processing()
                progress.advance()

            try:
                model.edit(request, on_step)
            except memory.InterruptProcessingException:
                stopped.append(step)
            if left_over():
                stopped.append("left over")
        found["stopped"] = stopped
        found["equal after cancel"] = torch.equal(model.edit(request), expected)

        parts = [weakref.ref(m) for m in (model, *model.components.values())]
        entries = len(memory.current_loaded_models)
        model = load()  # another flavour takes the variable
        gc.collect()
        found["first model"] = {"gone": all(part() is None for part in parts), "entries before": entries,
                                "entries": len(memory.current_loaded_models)}
        found["second equal"] = torch.equal(model.edit(request), expected)

        from kontinuity.nodes.models import memory_limit

        found["limits"] = [memory_limit("8 GB", "test")]
        on_card = sum(m.model_loaded_memory() for m in memory.current_loaded_models)
        memory.is_device_cpu, memory.get_free_memory = lambda _: False, lambda _: 5 * 10**9
        reserved = memory.extra_reserved_memory()
        from kontinuity.kontext import Identity
        from kontinuity.nodes.inspect_model import _on_the_card

        file = Identity("transformer", "FLUX.1 Kontext dev", "tensors", (), "BFL", "bf16", 11_901_408_320, 0)
        packed = {"precision": "GGUF Q4_K", "bytes": 6_700_000_000}
        found["predictions"] = [_on_the_card(replace(file, **other), 11 * 2**30) for other in (
            {}, packed, {"parameters": 10**6}, {"kind": "diffusers folder"})]
        found["no card"] = _on_the_card(file, None)
        found["room"] = [model.placement.room() - on_card + reserved - 5 * 10**9]
        model.placement._limit = 10**6
        found["room"].append(model.placement.room())
        found["limits"] += [memory_limit("8 GB", "test"), memory_limit("auto", "test")]
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
