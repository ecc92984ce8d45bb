"""Prints, as one line of JSON, what ComfyUI's own loader makes of the pack: dump_schemas.py COMFYUI PACK BASE."""

import asyncio
import json
import sys

CORE = (
    "SaveImage", "LoadImage", "PreviewImage", "PreviewAny", "UNETLoader", "CheckpointLoaderSimple", "CLIPLoader",
    "DualCLIPLoader", "VAELoader", "CLIPVisionLoader", "CLIPVisionEncode", "CLIPTextEncode", "KSampler", "VAEDecode",
    "VAEDecodeTiled", "ImageBatch", "ImageScaleBy", "LoadVideo", "GetVideoComponents", "ModelSamplingSD3",
    "WanFirstLastFrameToVideo", "LTXVPreprocess", "LTXVConditioning", "EmptyLTXVLatentVideo", "LTXVAddGuide",
    "LTXVCropGuides", "LTXVScheduler", "KSamplerSelect", "SamplerCustom", "TextEncodeHunyuanVideo_ImageToVideo",
    "FluxGuidance", "HunyuanImageToVideo", "BasicScheduler", "BasicGuider", "RandomNoise", "SamplerCustomAdvanced")
# of comfy_extras, which ComfyUI loads like node packs
EXTRAS = ("nodes_preview_any.py", "nodes_video.py", "nodes_model_advanced.py", "nodes_wan.py", "nodes_lt.py",
          "nodes_hunyuan.py", "nodes_custom_sampler.py", "nodes_flux.py")
HEAVY = ("diffusers", "cv2", "peft", "accelerate")


def main(comfyui: str, pack: str, base: str) -> None:
    sys.argv = ["main.py", "--cpu", "--base-directory", base]
    sys.path.insert(0, comfyui)
    import comfy.options

    comfy.options.enable_args_parsing()
    import nodes

    before = set(sys.modules)
    loaded = asyncio.run(nodes.load_custom_node(pack))
    heavy = [name for name in HEAVY if name in sys.modules and name not in before]
    described = {}
    for node_id, node in nodes.NODE_CLASS_MAPPINGS.items():
        if hasattr(node, "GET_SCHEMA") and node.RELATIVE_PYTHON_MODULE:
            schema = node.GET_SCHEMA()
            described[node_id] = {
                "info": node.GET_NODE_INFO_V1(),
                "class": node.__name__,
                "bases": [f"{base.__module__}.{base.__name__}" for base in node.__bases__],
                "input_ids": [item.id for item in schema.inputs],
                "output_ids": [item.id for item in schema.outputs],
                "input_list": schema.is_input_list,
            }
    for extra in EXTRAS:
        asyncio.run(nodes.load_custom_node(f"{comfyui}/comfy_extras/{extra}", module_parent="comfy_extras"))
    core = {node_id: {"info": {"input": nodes.NODE_CLASS_MAPPINGS[node_id].INPUT_TYPES(),
                               "output": nodes.NODE_CLASS_MAPPINGS[node_id].RETURN_TYPES}} for node_id in CORE}
    print(json.dumps({"loaded": loaded, "heavy": heavy, "nodes": described, "core": core}, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
