"""The modulation table: what timestep, guidance and prompt do to the blocks, computed once for all steps.

27 % of FLUX's weights (3.23 of 11.90 billion) only turn (timestep, guidance, pooled text) into the scale, shift and gate
vectors of its layer norms. They see no picture, so the vectors of all steps can be computed before the first one, and
the denoise loop runs without these weights. Each vector is computed by the same call with the same shapes as in the
plain forward pass, so the result is the same bit for bit. (One matrix product for all steps would be faster and differ
in rounding.)
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from ..offload import Carousel

EMBEDDING = "time_text_embed"  # timestep, guidance and pooled text -> one vector
_NORMS = ("norm1", "norm1_context", "norm")  # of a block, those with a linear layer of their own


def modulation_layers(transformer: nn.Module) -> dict[str, nn.Module]:
    """The layers that a table replaces, by path: the embedding first, then each norm's `linear`.

    Args:
        transformer: a FluxTransformer2DModel. Whatever stands for a linear layer (quantised, with a LoRA) will do.
    """
    layers = {EMBEDDING: transformer.time_text_embed}
    for blocks in ("transformer_blocks", "single_transformer_blocks"):
        for i, block in enumerate(getattr(transformer, blocks)):
            for norm in _NORMS:
                if hasattr(block, norm):
                    layers[f"{blocks}.{i}.{norm}.linear"] = getattr(block, norm).linear
    layers["norm_out.linear"] = transformer.norm_out.linear
    return layers


@dataclass(frozen=True)
class ModulationTable:
    """Vectors for every step.

    Attributes:
        timesteps: those the rows were computed for, as floats of float32 values.
        rows: path of the layer -> [steps, n]; row i is what the layer gives at timestep i.
    """

    timesteps: tuple[float, ...]
    rows: Mapping[str, torch.Tensor]

    @property
    def bytes(self) -> int:
        return sum(rows.numel() * rows.element_size() for rows in self.rows.values())

    def to(self, device: torch.device | str) -> "ModulationTable":
        return ModulationTable(self.timesteps, {path: rows.to(device) for path, rows in self.rows.items()})


def compute_table(
    transformer: nn.Module,
    timesteps: torch.Tensor,
    guidance: float,
    pooled: torch.Tensor,
    *,
    dtype: torch.dtype,
    device: torch.device,
    carousel: Carousel | None = None,
) -> ModulationTable:
    """Compute the modulation vectors of all steps.

    Args:
        transformer: a FluxTransformer2DModel.
        timesteps: float32 [steps], as the velocity gets them (sigmas, 0..1).
        guidance: plays a part only if the transformer has an embedding for it.
        pooled: [1, pooled_projection_dim] of CLIP.
        dtype: the one the transformer computes in.
        device: where to compute.
        carousel: of `modulation_layers(transformer).values()`, if their weights are in main memory. Without it they
            must be on `device`.

    Returns:
        The table, on `device`.
    """
    pooled = pooled.to(device, dtype)
    # as FluxTransformer2DModel.forward does it
    scaled = [t.reshape(1).to(device).to(dtype) * 1000 for t in timesteps.float()]
    guided = transformer.config.guidance_embeds
    scale = torch.full([1], float(guidance), device=device, dtype=torch.float32).to(dtype) * 1000
    embedded: list[torch.Tensor] = []
    rows = {}
    with carousel or nullcontext():
        for i, (path, layer) in enumerate(modulation_layers(transformer).items()):
            if carousel is not None:
                carousel.bring(i)
            if path == EMBEDDING:
                embedded = [layer(t, scale, pooled) if guided else layer(t, pooled) for t in scaled]
            else:
                silu = transformer.get_submodule(path.removesuffix(".linear")).silu
                rows[path] = torch.cat([layer(silu(vector).to(dtype)) for vector in embedded])
            if carousel is not None:
                carousel.leave(i)
    return ModulationTable(tuple(timesteps.float().tolist()), rows)


@contextmanager
def table_installed(transformer: nn.Module, table: ModulationTable) -> Iterator[Callable[[float], None]]:
    """Inside, the transformer takes its modulation from the table; afterwards its own layers are back.

    Yields:
        Say here which timestep the next forward pass is for; KeyError if the table has none for it. The timestep,
        guidance and pooled text that the forward pass itself gets play no part.
    """
    layers = modulation_layers(transformer)
    cursor = _Cursor({timestep: i for i, timestep in enumerate(table.timesteps)})
    try:
        transformer.time_text_embed = _NoEmbedding()
        for path, rows in table.rows.items():
            transformer.get_submodule(path.removesuffix(".linear")).linear = _Row(cursor, rows)
        yield cursor.select
    finally:
        for path, layer in layers.items():
            if path == EMBEDDING:
                transformer.time_text_embed = layer
            else:
                transformer.get_submodule(path.removesuffix(".linear")).linear = layer


class _Cursor:
    """The step all rows are at."""

    def __init__(self, steps: Mapping[float, int]):
        self._steps = steps
        self.step: int | None = None

    def select(self, timestep: float) -> None:
        self.step = self._steps[timestep]


class _NoEmbedding(nn.Module):
    """Stands for the embedding; what it gives is handed to `_Row`, which looks at none of it."""

    def forward(self, timestep: torch.Tensor, *_) -> torch.Tensor:
        return timestep


class _Row(nn.Module):
    """Stands for a modulation layer: [1, n] of the present step."""

    def __init__(self, cursor: _Cursor, rows: torch.Tensor):
        super().__init__()
        self._cursor = cursor
        self._rows = rows  # a plain attribute: it is no weight

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        if self._cursor.step is None:
            raise RuntimeError("no timestep was chosen for the modulation table")
        return self._rows[self._cursor.step].unsqueeze(0)
