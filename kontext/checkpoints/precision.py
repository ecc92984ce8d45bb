"""In which number format a header's weights are, and how many weights that makes."""

import re
from collections import Counter
from math import prod

from .headers import Tensor, WeightsFile

_NAMES = {"F64": "fp64", "F32": "fp32", "F16": "fp16", "BF16": "bf16", "F8_E4M3": "fp8_e4m3fn", "F8_E5M2": "fp8_e5m2",
          "I8": "int8", "U8": "uint8"}
_FP8 = ("F8_E4M3", "F8_E5M2")
_MAX_FORMATS = 8
# endings of tensors that hold no weights but what is needed to unpack some
_BOOKKEEPING = re.compile(
    r"(\.(scale_weight|scale_input|weight_scale(_2)?|input_scale|comfy_quant|absmax|quant_map|nested_absmax"
    r"|nested_quant_map|quant_state\.[\w]+|SCB|weight_format|wscales|wzeros|wtscale|wcscales|smooth|smooth_orig"
    r"|smooth_factor|smooth_factor_orig|scales|qzeros|lora_down|lora_up|proj_down|proj_up)|(^|\.)scaled_fp8)$")


def read_precision(file: WeightsFile) -> tuple[str, int, str]:
    """Name the number format of a file's weights.

    Returns:
        (format, number of weights, one line on what tells).
    """
    endings = Counter()
    packed: set[str] = set()  # 4 bit weights: two in a byte
    weights: Counter[str] = Counter()  # dtype -> bytes of weights
    parameters = 0
    for name in file.tensors:
        if match := _BOOKKEEPING.search(name):
            ending = match.group(1)[1:] if match.group(1).startswith(".") else "scaled_fp8"
            if ending.startswith("quant_state"):
                ending = "fp4" if ending.endswith("fp4") else "nf4"
            endings[ending] += 1
            if ending == "absmax":
                packed.add(name.removesuffix(".absmax"))
    for name, tensor in file.tensors.items():
        if _BOOKKEEPING.search(name):
            continue
        if name.endswith((".qweight", "_qweight")):
            endings["qweight"] += 1
        parameters += _count(name, tensor, name in packed)
        weights[tensor.dtype] += tensor.bytes
    name, reason = _name(file, endings, weights)
    return name, parameters, reason


def _count(name: str, tensor: Tensor, is_packed: bool) -> int:
    if name.endswith(".qweight"):
        return tensor.bytes * 2
    return prod(tensor.shape) * (2 if is_packed and tensor.dtype in ("U8", "I8") else 1)


def _name(file: WeightsFile, endings: Counter, weights: Counter) -> tuple[str, str]:
    total = sum(weights.values()) or 1
    shares = ", ".join(f"{_NAMES.get(t, t)} {100 * n / total:.0f} %" for t, n in weights.most_common(4))
    main = weights.most_common(1)[0][0] if weights else "no weights"
    if file.format == "GGUF":
        return f"GGUF {main}", f"by bytes: {shares}"
    fp8 = max(_FP8, key=lambda t: weights[t])
    fp8 = _NAMES[fp8] if weights[fp8] else None
    formats = _metadata_formats(file.metadata)
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
        return (f"{fp8 or 'packed'} scaled (weight_scale + comfy_quant)",
                f"{endings['comfy_quant']} tensors named comfy_quant")
    if formats:
        return (f"{fp8 or '/'.join(formats)} scaled (weight_scale + _quantization_metadata)",
                f"the header's _quantization_metadata names {', '.join(formats)}")
    if endings["scale_weight"] or endings["scaled_fp8"]:
        return f"{fp8 or main} scaled (scale_weight + scaled_fp8)", "tensors named scale_weight"
    if endings["weight_scale"]:
        return f"{fp8 or main} scaled (weight_scale)", "tensors named weight_scale"
    return _NAMES.get(main, main), f"by bytes: {shares}"


def _metadata_formats(metadata: dict[str, str]) -> list[str]:
    found: dict[str, None] = {}
    for match in re.finditer(r'"format"\s*:\s*"(\w{1,40})"', metadata.get("_quantization_metadata", "")):
        found[match.group(1)] = None
        if len(found) >= _MAX_FORMATS:
            break
    return list(found)
