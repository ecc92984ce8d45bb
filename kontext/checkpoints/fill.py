"""A model without weights gets those of a file. Everything is checked by the headers before a weight is read."""

import torch
from torch import nn

from ..dequantise import BLOCKS, dequantise
from ..quantised import Fp8Linear, GgufLinear
from .headers import AGAIN
from .layouts import Piece, Pieces
from .scales import Scales
from .source import FLOATS, FP8, UNREAD, Source


class Filling:
    """A model built without weights, and where its weights are; they were found to fit.

    Args:
        model: its parameters on the meta device.
        source: where the tensors are.
        pieces: canonical name -> where in the source; canonical names are those of the model's parameters, without a
            leading `text_model.`.
        dtype: of what is not quantised.
        spare: beginnings of file names that may be there without a use.

    Raises:
        InputError: a missing or surplus tensor, a wrong shape, scale or number format; names file and tensor.
    """

    def __init__(self, model: nn.Module, source: Source, pieces: Pieces, dtype: torch.dtype,
                 spare: tuple[str, ...] = ()):
        self.model, self.source, self.pieces, self.dtype = model, source, pieces, dtype
        self.scales = Scales(source)
        self._check(spare)

    def read(self) -> nn.Module:
        """The model with its weights.

        A Linear stored in fp8 or in GGUF blocks becomes a QuantisedLinear around these; all other tensors are unpacked
        if need be and become `dtype`.

        Raises:
            InputError: NaN or infinity in a tensor.
        """
        for name, module in list(self.model.named_modules()):
            if isinstance(module, nn.Linear):
                parent, _, child = name.rpartition(".")
                setattr(self.model.get_submodule(parent), child, self._linear(name, module))
            else:
                for parameter, old in list(module.named_parameters(recurse=False)):
                    full = f"{name}.{parameter}" if name else parameter
                    setattr(module, parameter, _parameter(self._plain(full).reshape(old.shape)))
        return self.model.requires_grad_(False).eval()

    def _linear(self, name: str, module: nn.Linear) -> nn.Module:
        piece = self._piece(f"{name}.weight")
        bias = None if module.bias is None else self._plain(f"{name}.bias")
        kind = self.source[piece.name].dtype
        if kind in BLOCKS:
            return GgufLinear(self.source.read(piece.name, piece.rows), kind, bias)
        if kind in FP8:
            values = self.source.read(piece.name, piece.rows).view(module.weight.shape)
            return Fp8Linear(values, self._scale(piece), bias)
        filled = nn.Linear(module.in_features, module.out_features, bias is not None, device="meta")
        filled.weight = _parameter(self._plain(f"{name}.weight").reshape(module.weight.shape))
        if bias is not None:
            filled.bias = _parameter(bias)
        return filled

    def _plain(self, parameter: str) -> torch.Tensor:
        """A tensor as ordinary numbers, in the file's shape."""
        piece = self._piece(parameter)
        kind, tensor = self.source[piece.name].dtype, self.source.read(piece.name, piece.rows)
        dtype = torch.float32 if self._stays_wide(parameter) else self.dtype
        if kind in BLOCKS:
            return dequantise(tensor, kind, dtype).view(self._shape(piece))
        scale = self._scale(piece)
        if scale is None:
            return tensor.to(dtype)
        return (tensor.to(torch.float32) * scale.view(-1, *[1] * (tensor.dim() - 1))).to(dtype)

    def _scale(self, piece: Piece) -> torch.Tensor | None:
        name = self.scales.find(piece.name)
        if name is None:
            return None
        scale = self.source.read(name).to(torch.float32).reshape(-1)
        if scale.numel() > 1 and piece.rows is not None:
            scale = torch.cat([scale[begin:end] for begin, end in piece.rows])
        return scale

    def _stays_wide(self, parameter: str) -> bool:
        """Whether transformers keeps it in float32 where the rest is float16 (T5's `wo` would overflow)."""
        wide = getattr(self.model, "_keep_in_fp32_modules", None) or ()
        return self.dtype == torch.float16 and any(part in wide for part in parameter.split("."))

    def _piece(self, parameter: str) -> Piece:
        canonical = parameter.removeprefix("text_model.")
        return self.pieces.get(canonical) or Piece(canonical)

    def _shape(self, piece: Piece) -> tuple[int, ...]:
        shape = self.source[piece.name].shape
        if piece.rows is None or not shape:
            return shape
        return (sum(max(0, min(end, shape[0]) - begin) for begin, end in piece.rows), *shape[1:])

    def _check(self, spare: tuple[str, ...]) -> None:
        source, model = self.source, self.model
        linears = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
        used = set(self.scales.names)
        for name, parameter in model.named_parameters():
            piece, shape = self._piece(name), tuple(parameter.shape)
            entry = source[piece.name]  # refuses a missing one
            if self._shape(piece) not in (shape, (*shape, 1, 1)):  # BFL's VAE has 1 x 1 convolutions for Linears
                raise source.refuse(piece.name, list(entry.shape), f"does not give the {list(shape)} of {name}",
                                    "use a FLUX.1 Kontext model and the parts made for it")
            if entry.dtype not in BLOCKS and entry.dtype not in FP8 and entry.dtype not in FLOATS:
                raise source.refuse(piece.name, entry.dtype, "is a number format this pack does not read", UNREAD)
            if name in linears:
                self.scales.check(piece.name)
            used.add(piece.name)
        surplus = [name for name in source if name not in used and not name.startswith(spare)]
        if surplus:
            raise source.refuse(surplus[0], f"one of {len(surplus)}",
                                f"is no tensor of {type(model).__name__} and no scale this pack knows: to ignore it "
                                "could give wrong pictures", f"{UNREAD}, or {AGAIN}")


def _parameter(tensor: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)
