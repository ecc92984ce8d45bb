"""The modulation table: what timestep, guidance and prompt do to the blocks, computed once for all steps.

27 % of FLUX's weights (3.23 of 11.90 billion) only turn (timestep, guidance, pooled text) into the scale, shift and
gate vectors of its layer norms. They see no picture, so the vectors of all steps can be computed before the first one,
and the denoise loop runs without these weights. Each vector is computed by the same call with the same shapes as in the
plain forward pass, so the result is the same bit for bit. (One matrix product for all steps would be faster and differ
in rounding.)
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from ..flux import EMBEDDING, modulation_layers
from ..memory.offload import Prefetcher, Prefetchers
from ..memory.plan import TransformerSizes
from ..networks import FluxTransformer
from ..sampling import timesteps_of
from .accelerator import Edit


class ModulationAhead:
    """See `Accelerator`. Applies where the residency has the modulation layers away.

    Args:
        prefetchers: keep these layers' weights, pinned, from one edit to the next.
    """

    def __init__(self, prefetchers: Prefetchers):
        self._prefetchers = prefetchers

    def bytes(self, edit: Edit) -> int:
        if not edit.residency.table:
            return 0
        return TransformerSizes.of(edit.transformer).table_bytes(edit.residency, edit.steps)

    @contextmanager
    def installed(self, edit: Edit) -> Iterator[None]:
        if not edit.residency.table:
            yield
            return
        assert edit.device is not None, "only what was placed has layers away"
        transformer, conditions = edit.transformer, edit.conditions
        layers = list(modulation_layers(transformer).values())
        _, pooled = conditions.prompt
        table = ModulationTable(transformer, conditions.guidance, pooled, dtype=transformer.dtype, device=edit.device,
                                prefetcher=self._prefetchers.get("modulation", layers, edit.device))
        table.compute(timesteps_of(conditions.sigmas)[:-1].tolist())
        with table.installed():
            yield


class ModulationTable:
    """The modulation vectors of an edit's steps, on the device.

    Args:
        transformer: the one that is changed.
        guidance: plays a part only if it is given and the transformer has an embedding for it.
        pooled: [1, pooled_projection_dim] of CLIP.
        dtype: the one the transformer computes in.
        device: where to compute.
        prefetcher: of `modulation_layers(transformer).values()`, if their weights are in main memory. Without it they
            must be on `device`.
    """

    def __init__(self, transformer: FluxTransformer, guidance: float | None, pooled: torch.Tensor, *,
                 dtype: torch.dtype, device: torch.device | str, prefetcher: Prefetcher | None = None):
        self._transformer = transformer
        self._layers = modulation_layers(transformer)
        self._dtype = dtype
        self._device = device
        self._prefetcher = prefetcher
        self._pooled = pooled.to(device, dtype)
        self._guidance: list[torch.Tensor] = []
        if transformer.config.guidance_embeds and guidance is not None:
            self._guidance.append(torch.full([1], float(guidance), device=device).to(dtype) * 1000)
        self._rows: dict[float, dict[str, torch.Tensor]] = {}
        self._row: dict[str, torch.Tensor] = {}

    @property
    def bytes(self) -> int:
        """What the vectors take."""
        return sum(v.numel() * v.element_size() for row in self._rows.values() for v in row.values())

    def compute(self, timesteps: Sequence[float]) -> None:
        """Add the vectors of these timesteps (float32 values, 0..1, as the forward pass gets them)."""
        rows: dict[float, dict[str, torch.Tensor]] = {timestep: {} for timestep in timesteps}
        embedded = {}
        with self._prefetcher or nullcontext():
            for i, (path, layer) in enumerate(self._layers.items()):
                if self._prefetcher is not None:
                    self._prefetcher.bring(i)
                if path == EMBEDDING:
                    embedded = {timestep: self._embed(layer, timestep) for timestep in rows}
                else:
                    silu = _norm(self._transformer, path).get_submodule("silu")
                    for timestep, vector in embedded.items():
                        rows[timestep][path] = layer(silu(vector).to(self._dtype))
                if self._prefetcher is not None:
                    self._prefetcher.leave(i)
        self._rows |= rows

    def _embed(self, embedding: nn.Module, timestep: float) -> torch.Tensor:
        # as FluxTransformer.forward does it
        scaled = torch.tensor([timestep], dtype=torch.float32, device=self._device).to(self._dtype) * 1000
        return embedding(scaled, *self._guidance, self._pooled)

    def select(self, timestep: float) -> None:
        """Say which timestep the coming forward pass is for; one that is missing is computed now."""
        if timestep not in self._rows:
            self.compute([timestep])
        self._row = self._rows[timestep]

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Inside, the transformer takes its modulation from here; afterwards its own layers are back.

        The keyword argument `timestep` of its forward pass selects; guidance and pooled text play no part.
        """
        def select(_module, _args, kwargs):
            self.select(float(kwargs["timestep"]))

        handle = self._transformer.register_forward_pre_hook(select, with_kwargs=True)
        try:
            self._transformer.time_text_embed = _NoEmbedding()
            for path in self._layers:
                if path != EMBEDDING:
                    _norm(self._transformer, path).linear = _Row(self, path)
            yield
        finally:
            handle.remove()
            self._transformer.time_text_embed = self._layers[EMBEDDING]
            for path, layer in self._layers.items():
                if path != EMBEDDING:
                    _norm(self._transformer, path).linear = layer


def _norm(transformer: nn.Module, path: str) -> nn.Module:
    return transformer.get_submodule(path.removesuffix(".linear"))


class _NoEmbedding(nn.Module):
    """Stands for the embedding; what it gives is handed to `_Row`, which does not look at it."""

    def forward(self, timestep: torch.Tensor, *_) -> torch.Tensor:
        return timestep


class _Row(nn.Module):
    """Stands for a modulation layer: [1, n] of the selected timestep."""

    def __init__(self, table: ModulationTable, path: str):
        super().__init__()
        self._table = table
        self._path = path

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self._table._row[self._path]
