"""In which number format a header's weights are, and how many weights that makes."""

import re
from collections import Counter
from collections.abc import Mapping
from math import prod

from ..files.tensors import Tensor, WeightsFile

NAMES = {"F64": "fp64", "F32": "fp32", "F16": "fp16", "BF16": "bf16", "F8_E4M3": "fp8_e4m3fn", "F8_E5M2": "fp8_e5m2",
          "I8": "int8", "U8": "uint8"}
_FP8 = ("F8_E4M3", "F8_E5M2")
_E8M0 = ("F8_E8M0", "U8")  # powers of two, also where they are called bytes
_MAX_FORMATS = 8
# endings of tensors that hold no weights but what is needed to unpack some
_BOOKKEEPING = re.compile(
    r"(\.(scale_weight|scale_input|weight_scale(_2|_inv)?|input_scale|output_scale|pre_quant_scale|comfy_quant"
    r"|weight_(s_rel|s_channel|codebook)|_scale|_shift|_weight_(scale|zero_point)|absmax|quant_map|nested_absmax"
    r"|nested_quant_map|quant_state\.[\w]+|SCB|weight_format|wscales|wzeros|wtscale|wcscales|smooth|smooth_orig"
    r"|smooth_factor|smooth_factor_orig|scales|qzeros|lora_down|lora_up|proj_down|proj_up)|(^|\.)scaled_fp8)$")


def read_precision(file: WeightsFile) -> tuple[str, int, str]:
    """Name the number format of a file's weights.

    Returns:
        (format, number of weights, one line on what tells).
    """
    endings = Counter()
    packed: dict[str, str] = {}  # weights of 4 bits, two in a byte, and what they are called
    weights: Counter[str] = Counter()  # dtype -> bytes of weights
    parameters = 0
    for name in file.tensors:
        if match := _BOOKKEEPING.search(name):
            ending = match.group(1)[1:] if match.group(1).startswith(".") else "scaled_fp8"
            if ending.startswith("quant_state"):
                ending = "fp4" if ending.endswith("fp4") else "nf4"
            endings[ending] += 1
            if ending == "absmax":
                packed[name.removesuffix(".absmax")] = "4 bit"
            kind = _in_blocks(file.tensors, name, ending)
            if kind is not None:
                endings[kind] += 1
                packed[name.removesuffix("_scale")] = kind
    for name, tensor in file.tensors.items():
        if _BOOKKEEPING.search(name):
            continue
        if name.endswith((".qweight", "_qweight")):
            endings["qweight"] += 1
        for ending in ("_data", "_weight_qdata"):
            endings[ending] += name.endswith(f".{ending}")
        parameters += _count(name, tensor, name in packed)
        weights[tensor.dtype] += tensor.bytes
    name, reason = _name(file, endings, weights)
    return name, parameters, reason


def _in_blocks(tensors: Mapping[str, Tensor], name: str, ending: str) -> str | None:
    """What a weight with scales for blocks is called; None if this is no such scale."""
    weight = tensors.get(name.removesuffix("_scale")) if ending == "weight_scale" else None
    if weight is None:
        return None
    if weight.dtype == "U8":
        return "nvfp4" if f"{name}_2" in tensors else "mxfp4" if tensors[name].dtype in _E8M0 else None
    return "mxfp8" if weight.dtype == "F8_E4M3" and tensors[name].dtype in _E8M0 else None


def _count(name: str, tensor: Tensor, is_packed: bool) -> int:
    if name.endswith(".qweight"):
        return tensor.bytes * 2
    return prod(tensor.shape) * (2 if is_packed and tensor.dtype in ("U8", "I8") else 1)


def _name(file: WeightsFile, endings: Counter, weights: Counter) -> tuple[str, str]:
    total = sum(weights.values()) or 1
    shares = ", ".join(f"{NAMES.get(t, t)} {100 * n / total:.0f} %" for t, n in weights.most_common(4))
    main = weights.most_common(1)[0][0] if weights else "no weights"
    if file.format == "GGUF":
        return f"GGUF {main}", f"by bytes: {shares}"
    fp8 = max(_FP8, key=lambda t: weights[t])
    fp8 = NAMES[fp8] if weights[fp8] else None
    formats = _metadata_formats(file.metadata)
    in_blocks = next((kind for kind in ("nvfp4", "mxfp4", "mxfp8") if endings[kind]), None)
    kind = in_blocks or fp8 or ("int8" if weights["I8"] else "packed")
    if endings["qweight"]:
        if endings["wscales"]:
            return "SVDQuant 4 bit (nunchaku)", f"{endings['qweight']} tensors qweight with wscales"
        return "packed integers (qweight, AWQ or GPTQ style)", "tensors named qweight"
    if endings["nf4"] or endings["fp4"] or endings["absmax"]:
        kind = "fp4" if endings["fp4"] else "nf4" if endings["nf4"] else "4 bit"
        return f"{kind} (bitsandbytes)", "tensors named absmax and quant_state"
    if endings["SCB"]:
        return "int8 (bitsandbytes)", "tensors named SCB"
    if endings["comfy_quant"]:
        return (f"{kind} scaled (weight_scale + comfy_quant)",
                f"{endings['comfy_quant']} tensors named comfy_quant")
    if formats:
        return (f"{in_blocks or fp8 or '/'.join(formats)} scaled (weight_scale + _quantization_metadata)",
                f"the header's _quantization_metadata names {', '.join(formats)}")
    if endings["scale_weight"] or endings["scaled_fp8"]:
        return f"{fp8 or main} scaled (scale_weight + scaled_fp8)", "tensors named scale_weight"
    if endings["weight_scale"]:
        return f"{in_blocks or fp8 or NAMES.get(main, main)} scaled (weight_scale)", "tensors named weight_scale"
    if endings["_weight_qdata"]:
        return f"{fp8 or NAMES.get(main, main)} (torchao)", "tensors named _weight_qdata"
    if endings["_data"]:
        bits = "2 or 4 bit" if endings["_shift"] else fp8 or NAMES.get(main, main)
        return f"{bits} (quanto)", "tensors named _data and _scale"
    return NAMES.get(main, main), f"by bytes: {shares}"


def _metadata_formats(metadata: dict[str, str]) -> list[str]:
    found: dict[str, None] = {}
    for match in re.finditer(r'"format"\s*:\s*"(\w{1,40})"', metadata.get("_quantization_metadata", "")):
        found[match.group(1)] = None
        if len(found) >= _MAX_FORMATS:
            break
    return list(found)
