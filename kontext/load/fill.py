"""A model without weights gets those of a file. Everything is checked by the headers before a weight is read."""

import torch
from torch import nn

from ..files.source import UNREAD, Source
from ..files.tensors import AGAIN, FLOATS, FP8
from ..layers.dequantise import BLOCKS
from ..layers.quantised import StoredLinear
from ..names.layouts import Layout, TensorRows


class Filling:
    """A model built without weights, and where its weights are; they were found to fit.

    Args:
        model: its parameters on the meta device.
        source: where the tensors are.
        layout: where in the source each canonical tensor is; canonical names are those of the model's parameters,
            without a leading `text_model.`.
        dtype: of what is not quantised.
        spare: beginnings of file names that may be there without a use.

    Raises:
        InputError: a missing or surplus tensor, a wrong shape, scale or number format; names file and tensor.
    """

    def __init__(self, model: nn.Module, source: Source, layout: Layout, dtype: torch.dtype,
                 spare: tuple[str, ...] = ()):
        self.model, self.source, self.layout, self.dtype = model, source, layout, dtype
        self._check(spare)

    def read(self, may_map: bool = True) -> nn.Module:
        """The model with its weights.

        A Linear stored in fewer bits becomes a QuantisedLinear around these; so does any of a large part whose numbers
        take no more bytes in the file than in `dtype`. All other tensors are unpacked if need be and become `dtype`.

        Args:
            may_map: whether the files of a large part may stay mapped; else all is copied into memory.

        Raises:
            InputError: NaN or infinity in a tensor, or the file was changed or cut off meanwhile.
        """
        self.source.may_map = may_map
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
        place = self._place(f"{name}.weight")
        bias = None if module.bias is None else self._plain(f"{name}.bias")
        stored = FLOATS.get(self.source[place.name].dtype)
        stays = self.source.is_large and stored is not None and stored.itemsize <= self.dtype.itemsize
        if stored is None or stays or place.name in self.source.packings:
            return self.source.layer(place.name, place.rows, bias)
        filled = nn.Linear(module.in_features, module.out_features, bias is not None, device="meta")
        filled.weight = _parameter(self._plain(f"{name}.weight").reshape(module.weight.shape))
        if bias is not None:
            filled.bias = _parameter(bias)
        return filled

    def _plain(self, parameter: str) -> torch.Tensor:
        """A tensor as ordinary numbers in memory of its own, in the file's shape."""
        place = self._place(parameter)
        layer = self.source.layer(place.name, place.rows)
        numbers = layer.weight_as(self.dtype).view(self._shape(place))
        is_the_file = isinstance(layer, StoredLinear) and numbers.data_ptr() == layer.values.data_ptr()
        return numbers.clone() if is_the_file else numbers

    def _place(self, parameter: str) -> TensorRows:
        canonical = parameter.removeprefix("text_model.")
        return self.layout.get(canonical) or TensorRows(canonical)

    def _shape(self, place: TensorRows) -> tuple[int, ...]:
        shape = self.source[place.name].shape
        if place.rows is None or not shape:
            return shape
        return (sum(max(0, min(end, shape[0]) - begin) for begin, end in place.rows), *shape[1:])

    def _check(self, spare: tuple[str, ...]) -> None:
        source, model = self.source, self.model
        linears = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
        used = set()
        # a list of scaled layers says of each that is not in it that it has no scale
        scaled = bool(source.packings) and not any(packing.listed for packing in source.packings.values())
        for name, parameter in model.named_parameters():
            place, shape = self._place(name), tuple(parameter.shape)
            entry = source[place.name]  # refuses a missing one
            if place.name not in source.packings and not any(entry.dtype in kinds for kinds in (BLOCKS, FP8, FLOATS)):
                raise source.refuse(place.name, entry.dtype, "is a number format this pack does not read", UNREAD)
            if self._shape(place) not in (shape, (*shape, 1, 1)):  # BFL's VAE has 1 x 1 convolutions for Linears
                raise source.refuse(place.name, list(entry.shape), f"does not give the {list(shape)} of {name}",
                                    "use a FLUX.1 Kontext model and the parts made for it")
            if scaled and name in linears and entry.dtype in FP8 and place.name not in source.packings:
                raise source.refuse(place.name, "no scale", "is fp8 without a scale, where the file's other layers "
                                    "have one: its numbers would be wrong")
            used.add(place.name)
        surplus = [name for name in source if name not in used and not name.startswith(spare)]
        if surplus:
            raise source.refuse(surplus[0], f"one of {len(surplus)}",
                                f"is no tensor of {type(model).__name__} and no scale this pack knows: to ignore it "
                                "could give wrong pictures", f"{UNREAD}, or {AGAIN}")


def _parameter(tensor: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)
