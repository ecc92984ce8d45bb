"""The scales of fp8 weights, in the three layouts there are. A weight's numbers are its fp8 values times its scale.

* `X.scale_weight` beside `X.weight`, and one marker `scaled_fp8` (ComfyUI's older layout);
* `X.weight_scale`, and the header's `_quantization_metadata` lists the layers (ComfyUI 0.3.7x);
* `X.weight_scale`, and `X.comfy_quant` beside each of them, JSON as bytes (newer ComfyUI).

The scales of activations (`scale_input`, `input_scale`) are for multiplying in fp8, which this pack does not do.
"""

import json

from .source import FLOATS, FP8, Source

_SCALES = (".scale_weight", ".weight_scale")
_LISTED, _MARKER = ".comfy_quant", "scaled_fp8"
_UNUSED = (".scale_input", ".input_scale")
_FORMATS = ("float8_e4m3fn", "float8_e5m2")
_MAX_NOTE = 4096  # bytes of a comfy_quant
_REMEDY = "use a bf16, fp16, fp8 or GGUF version of the model"


class Scales:
    """Which weight has which scale.

    Attributes:
        names: every tensor that is no weight but belongs to the scales.

    Raises:
        InputError: a scale of no weight, two of one, a shape or number format that is no scale's, or a listed format
            that is not fp8.
    """

    def __init__(self, source: Source):
        self._source = source
        self._of: dict[str, str] = {}
        self.names: set[str] = set()
        listed: set[str] | None = _listed_in_metadata(source)
        for name in source:
            layer, dot, ending = name.rpartition(".")
            if name == _MARKER or dot + ending in _UNUSED:
                self.names.add(name)
            elif dot + ending == _LISTED:
                _check_format(source, name, _note(source, name))
                listed = (listed or set()) | {layer}
                self.names.add(name)
            elif dot + ending in _SCALES:
                self._add(layer + ".weight", name)
        self._listed = listed
        for layer in listed or ():
            weight = layer + ".weight"
            if weight in source and source[weight].dtype in FP8 and weight not in self._of:
                raise source.refuse(weight, "no scale", "is listed as scaled, but its weight_scale is not in the file")

    def _add(self, weight: str, name: str) -> None:
        source = self._source
        if weight not in source:
            raise source.refuse(name, list(source[name].shape), "is the scale of a weight that is not in the file")
        if weight in self._of:
            raise source.refuse(name, self._of[weight], "is a second scale of the same weight", _REMEDY)
        scale, rows = source[name], (source[weight].shape or (1,))[0]
        if scale.dtype not in FLOATS:
            raise source.refuse(name, scale.dtype, "is no number format of a scale", _REMEDY)
        if scale.shape not in ((), (1,), (1, 1), (rows,), (rows, 1)):
            raise source.refuse(name, list(scale.shape), f"is neither one scale nor one for each of {rows} rows",
                                _REMEDY)
        self._of[weight] = name
        self.names.add(name)

    def find(self, weight: str) -> str | None:
        """The name of a weight's scale, None if it has none."""
        return self._of.get(weight)

    def check(self, weight: str) -> None:
        """Refuse a Linear's fp8 weight without a scale in a file of scaled ones (unless its layers are listed).

        Raises:
            InputError: it is one.
        """
        if weight not in self._of and self._of and self._listed is None and self._source[weight].dtype in FP8:
            raise self._source.refuse(weight, "no scale", "is fp8 without a scale, where the file's other layers have "
                                      "one: its numbers would be wrong")


def _listed_in_metadata(source: Source) -> set[str] | None:
    text = source.metadata.get("_quantization_metadata")
    if text is None:
        return None
    try:
        layers = json.loads(text)["layers"]
        entries = [(name.removeprefix(source.prefix), entry) for name, entry in layers.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise source.refuse("_quantization_metadata", text[:80], "is not JSON with layers") from None
    here = [(name, entry) for name, entry in entries if name + ".weight" in source]
    for name, entry in here:
        _check_format(source, name, entry)
    return {name for name, _ in here} if here else None


def _note(source: Source, name: str) -> object:
    if source[name].bytes > _MAX_NOTE:
        raise source.refuse(name, f"{source[name].bytes} bytes", f"is longer than {_MAX_NOTE} bytes", _REMEDY)
    try:
        return json.loads(source.read_bytes(name))
    except (ValueError, RecursionError):
        raise source.refuse(name, "comfy_quant", "is not JSON") from None


def _check_format(source: Source, name: str, entry: object) -> None:
    kind = entry.get("format") if isinstance(entry, dict) else entry
    if kind not in _FORMATS:
        raise source.refuse(name, kind, "is a quantisation this pack does not read", _REMEDY)
