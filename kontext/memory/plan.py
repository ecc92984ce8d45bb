"""What a model needs on the card, known before anything is loaded, and what is done when that is more than there is.

Everything here counts bytes of modules, which may be on the meta device. In the order of what costs least time: the
modulation table, then transformer blocks whose weights are offloaded to main memory, both without any change of a
result. Text encoders, transformer and VAE need not be on the card at once. Only a picture that is too large for the VAE
in one piece is decoded in tiles, which differs slightly (docs/memory.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from torch import nn

from .. import flux, text
from ..flux import activation_bytes, modulation_layers, transformer_blocks
from ..networks import Autoencoder, FluxTransformer
from .offload import packed_bytes, prefetcher_bytes, weight_bytes
from .vae import vae_bytes

if TYPE_CHECKING:  # it is slow to import
    from transformers import T5EncoderModel

GIB = 2**30
RESERVE = GIB  # of a card's nominal size: what the driver, the screen and PyTorch's own libraries take
PRESETS = {"auto": None, **{f"{size} GB": size * GIB - RESERVE for size in (8, 12, 16, 24, 32, 48, 80)}}


@dataclass(frozen=True)
class Residency:
    """Which of the transformer's weights are not on the card during the denoise loop.

    Attributes:
        table: modulation comes from a table; its layers visit the card once per edit.
        away: indices of the blocks (double blocks first) that visit the card in every step.
    """

    table: bool = False
    away: tuple[int, ...] = ()


@dataclass(frozen=True)
class TransformerSizes:
    """Bytes of a transformer's weights.

    Attributes:
        total: all of them.
        blocks: each block without its modulation layers.
        packed: the same in a prefetcher's place, with the gaps between tensors.
        doubles: how many of the blocks, the first ones, are double blocks.
        modulation: each modulation layer.
        largest_layer: of these, in a prefetcher's place.
        table_row: the modulation vectors of one step.
    """

    total: int
    blocks: tuple[int, ...]
    packed: tuple[int, ...]
    doubles: int
    modulation: tuple[int, ...]
    largest_layer: int
    table_row: int

    @classmethod
    def of(cls, transformer: FluxTransformer) -> "TransformerSizes":
        """Measure a FluxTransformer, whatever its layers hold and on whatever device."""
        layers = list(modulation_layers(transformer).values())
        apart = {id(tensor) for layer in layers for tensor in (*layer.parameters(), *layer.buffers())}
        blocks = [[t for t in (*block.parameters(), *block.buffers()) if id(t) not in apart]
                  for block in transformer_blocks(transformer)]
        doubles, singles = len(transformer.transformer_blocks), len(transformer.single_transformer_blocks)
        vectors = 2 * 6 * doubles + 3 * singles + 2
        return cls(
            total=weight_bytes(transformer),
            blocks=tuple(sum(t.numel() * t.element_size() for t in block) for block in blocks),
            packed=tuple(sum(map(packed_bytes, block)) for block in blocks),
            doubles=doubles,
            modulation=tuple(weight_bytes(layer) for layer in layers),
            largest_layer=max(prefetcher_bytes([layer]) for layer in layers),
            table_row=vectors * transformer.inner_dim * transformer.dtype.itemsize,
        )

    def scaled(self, ratio: float) -> "TransformerSizes":
        """Weights of another precision: so many times these bytes. The table stays in the dtype of the computation."""
        def times(sizes):
            return tuple(round(size * ratio) for size in sizes)

        return replace(self, total=round(self.total * ratio), blocks=times(self.blocks), packed=times(self.packed),
                       modulation=times(self.modulation), largest_layer=round(self.largest_layer * ratio))

    def resident(self, residency: Residency) -> int:
        """Weights that stay on the card."""
        table = sum(self.modulation) if residency.table else 0
        return self.total - table - sum(self.blocks[i] for i in residency.away)

    def transient(self, residency: Residency, steps: int, activations: int) -> int:
        """The most that is on the card beside the resident weights: while the table is made, or in the loop."""
        making = 2 * self.largest_layer if residency.table else 0
        return self.table_bytes(residency, steps) + max(making, self.places_bytes(residency) + activations)

    def table_bytes(self, residency: Residency, steps: int) -> int:
        """The modulation vectors of all steps, if they come from a table."""
        return steps * self.table_row if residency.table else 0

    def places_bytes(self, residency: Residency) -> int:
        """The prefetcher's two places for the blocks that are away."""
        return min(2, len(residency.away)) * max((self.packed[i] for i in residency.away), default=0)

    def need(self, residency: Residency, steps: int, activations: int) -> int:
        """The peak of the denoise loop."""
        return self.resident(residency) + self.transient(residency, steps, activations)


def choose_residency(sizes: TransformerSizes, room: int | None, steps: int, activations: int) -> Residency:
    """The one that keeps most on the card within `room` bytes; the leanest if none fits. None: no limit.

    Single blocks are offloaded first: they compute as long as double blocks and have half the weights to bring. Those
    that are offloaded are spread evenly, so that each has the time of its resident neighbours to arrive.
    """
    def fits(residency: Residency) -> bool:
        return room is None or sizes.need(residency, steps, activations) <= room

    for residency in (Residency(), Residency(table=True)):
        if fits(residency):
            return residency
    count = len(sizes.blocks)
    singles = range(sizes.doubles, count)
    for offloaded in range(1, count + 1):
        away = (_spread(singles, min(offloaded, len(singles)))
                + _spread(range(sizes.doubles), offloaded - len(singles)))
        residency = Residency(True, tuple(sorted(away)))
        if fits(residency):
            break
    return residency


def _spread(indices: range, count: int) -> list[int]:
    return [indices[(2 * i + 1) * len(indices) // (2 * count)] for i in range(count)] if count > 0 else []


def encoder_blocks_away(text_encoders: nn.ModuleDict, room: int | None, work: int) -> list[nn.Module]:
    """T5's blocks, if the text encoders are too large for the card as a whole: they are offloaded then."""
    fits = room is None or weight_bytes(text_encoders) + work <= room
    return [] if fits else list(cast("T5EncoderModel", text_encoders["t5"]).encoder.block)


@dataclass(frozen=True)
class Phase:
    """One use of the card: weights that must be there and what computing takes beside them, in bytes."""

    component: str
    weights: int
    work: int


@dataclass(frozen=True)
class Plan:
    """How an edit goes with so much room on the card, and what it takes.

    Attributes:
        room: bytes there are for weights and work together; None: no limit.
        residency: of the transformer.
        tiles: whether the VAE works in tiles.
        phases: in the order of an edit.
        main_memory: bytes of all weights; they are in main memory or were.
    """

    room: int | None
    residency: Residency
    tiles: bool
    phases: tuple[Phase, ...]
    main_memory: int

    @property
    def peak(self) -> int:
        """The most bytes on the card at once; a component stays there until its room is wanted."""
        return peak_of(self.phases, self.room)

    @property
    def summary(self) -> str:
        """What it comes to, in one line."""
        text = f"at most {self.peak / GIB:.1f} GiB of the card and {self.main_memory / GIB:.1f} GiB of main memory"
        if self.room is not None and not self.fits:
            return f"{text}, which is more than the {self.room / GIB:.1f} GiB there are"
        if self.residency.away:
            text += f"; {len(self.residency.away)} transformer blocks are brought in from main memory in every step"
        elif self.residency.table:
            text += "; the modulation layers are on the card only before the first step"
        return text + ("; the VAE works in tiles" if self.tiles else "")

    @property
    def fits(self) -> bool:
        """Whether every single phase fits."""
        return self.room is None or all(phase.weights + phase.work <= self.room for phase in self.phases)


def plan(
    components: Mapping[str, nn.Module],
    room: int | None,
    width: int,
    height: int,
    references: Sequence[tuple[int, int]] = (),
    *,
    text_tokens: int = text.MAX_T5_TOKENS,
    steps: int = 28,
    transformer_bytes: int | None = None,
) -> Plan:
    """Predict an edit.

    Args:
        components: "text_encoders", "transformer", "vae" of a diffusers backend; the meta device will do.
        room: bytes of the card that weights and work may take together; None: no limit.
        width, height: of the result in pixels.
        references: (width, height) of each reference as it is encoded.
        text_tokens: T5 tokens, padding included.
        steps: of the denoise loop.
        transformer_bytes: of the transformer's weights, if they are packed tighter than in `components`.
    """
    encoders = cast(nn.ModuleDict, components["text_encoders"])
    transformer, vae = cast(FluxTransformer, components["transformer"]), cast(Autoencoder, components["vae"])
    tokens = text_tokens + sum(w * h // 256 for w, h in ((width, height), *references))
    sizes, activations = TransformerSizes.of(transformer), activation_bytes(transformer, tokens)
    if transformer_bytes is not None:
        sizes = sizes.scaled(transformer_bytes / sizes.total)
    residency = choose_residency(sizes, room, steps, activations)
    pictures = max([(width, height), *references], key=lambda size: size[0] * size[1])
    vae_weights = weight_bytes(vae)
    tiles = needs_tiles(vae, *pictures, room)
    work = [vae_bytes(vae, w, h, tiled=tiles) for w, h in references]
    reading = text.activation_bytes(encoders, text_tokens)
    offloaded = encoder_blocks_away(encoders, room, reading)
    phases = [Phase("text_encoders", weight_bytes(encoders) - sum(map(weight_bytes, offloaded)),
                    reading + prefetcher_bytes(offloaded))]
    if references:
        phases.append(Phase("vae", vae_weights, max(work)))
    phases.append(Phase("transformer", sizes.resident(residency), sizes.transient(residency, steps, activations)))
    phases.append(Phase("vae", vae_weights, vae_bytes(vae, width, height, tiled=tiles)))
    main_memory = weight_bytes(encoders) + sizes.total + vae_weights
    return Plan(room, residency, tiles, tuple(phases), main_memory)


def plan_flux(transformer_bytes: int, room: int | None) -> Plan:
    """FLUX.1 Kontext's edit of 1024 x 1024 with one reference of that size, its text encoders and VAE in bf16.

    Args:
        transformer_bytes: of the transformer's weights in memory.
        room: see `plan`.
    """
    size = (1024, 1024)
    return plan(flux.components(), room, *size, [size], transformer_bytes=transformer_bytes)


def needs_tiles(vae: Autoencoder, width: int, height: int, room: int | None) -> bool:
    """Whether a picture of this size is too large for the VAE in one piece."""
    return room is not None and weight_bytes(vae) + vae_bytes(vae, width, height) > room


def peak_of(phases: Sequence[Phase], room: int | None) -> int:
    """The most bytes on the card at once if each component stays until the room is wanted, the longest unused first."""
    peak, resident = 0, {}
    for phase in phases:
        resident.pop(phase.component, None)
        for component in list(resident):
            if room is None or sum(resident.values()) + phase.weights + phase.work <= room:
                break
            del resident[component]
        resident[phase.component] = phase.weights
        peak = max(peak, sum(resident.values()) + phase.work)
    return peak
