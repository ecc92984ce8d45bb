"""Runs ComfyUI's own loaders on weights files, and its tokenizers: native_velocities.py COMFYUI FOLDER PROMPT.

FOLDER holds inputs.safetensors and the files; outputs.safetensors then has each file's velocity, or, of a file that
ComfyUI refuses, its name in the metadata with the reason. The prompt's token numbers are in it too, as clip and t5.
ComfyUI reads width and depth from a file, but takes FLUX's 24 heads for granted; that one number is corrected for tiny
models.
"""

import sys
from pathlib import Path


def main(comfyui: str, folder: str, prompt: str) -> None:
    sys.argv = ["main.py", "--cpu"]
    sys.path.insert(0, comfyui)
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.model_detection
    import comfy.sd
    import comfy.text_encoders.flux
    import comfy.utils
    import torch
    from safetensors.torch import load_file, save_file

    detect = comfy.model_detection.detect_unet_config

    def with_heads_of_128(state_dict, prefix, **kwargs):
        config = detect(state_dict, prefix, **kwargs)
        return config and config | {"num_heads": config["hidden_size"] // 128}

    comfy.model_detection.detect_unet_config = with_heads_of_128
    inputs = load_file(Path(folder, "inputs.safetensors"))
    outputs, failed = {}, {}
    for path in sorted(Path(folder).glob("kontext*")):
        try:
            if "all-in-one" in path.name:
                patcher = comfy.sd.load_checkpoint_guess_config(str(path), output_clip=False, output_vae=False)[0]
            else:
                state_dict, metadata = comfy.utils.load_torch_file(str(path), return_metadata=True)
                patcher = comfy.sd.load_diffusion_model_state_dict(state_dict, metadata=metadata)
            with torch.inference_mode():
                outputs[path.name] = patcher.model.diffusion_model(
                    inputs["x"], inputs["timestep"], inputs["context"], y=inputs["y"], guidance=inputs["guidance"],
                    ref_latents=[inputs["reference"]], transformer_options={}).float().clone()
        except Exception as error:  # the test says which may fail
            failed[path.name] = f"{type(error).__name__}: {error}"
    tokens = comfy.text_encoders.flux.FluxTokenizer().tokenize_with_weights(prompt)
    for part, name in (("clip", "l"), ("t5", "t5xxl")):
        outputs[part] = torch.tensor([token for batch in tokens[name] for token, *_ in batch])
    save_file(outputs, Path(folder, "outputs.safetensors"), failed or None)


if __name__ == "__main__":
    main(*sys.argv[1:])
