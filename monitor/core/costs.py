"""What a configuration takes in the store: the formula behind `monitor check` and `docs/redis.md`.

Upper bounds: an array is counted at its full length and every bucket as present.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitor.core.counters import (
    CODES,
    FEATURES,
    KINDS,
    PROBE_SETS,
    PROBE_SHAPES,
    PROBE_TRIALS,
    PROBE_TYPES,
    PROBE_WORK,
    RANKING,
    RANKING_ROW,
    SCALE,
    TAILS,
    VIOLATIONS,
    Kind,
    Tier,
    ranking_rows_max,
)
from monitor.core.drift.layout import SCALE_CELLS, FeatureLayout
from monitor.core.feature_cells import TAIL_CELLS
from monitor.core.probes.results import (
    PROBES_MAX,
    SETS_MAX,
    SHAPE_PARTS,
    VARIANTS_MAX,
    Part,
    TypePart,
    Work,
)

STUB_BYTES: Final = 100
"""One awaited prediction in a hash of the store, all in; 86 measured, the rest is the growth of hashes."""

GENERATIONS_LIVE: Final = 1.5
"""A stub lives one to one and a half label waits: generations are half a wait long and three are live."""

KEY_BYTES: Final = 150
"""One counter array beside its cells: key, entry, expiry."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in the store for one model.

    Attributes:
        stubs_bytes: predictions whose labels are awaited.
        counters_bytes: counters of all slices in all tiers, once every tier is full.
        slice_bytes: what one more slice takes.
    """

    stubs_bytes: int
    counters_bytes: int
    slice_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.stubs_bytes + self.counters_bytes


def memory(
    rate_per_s: float,
    wait_s: int,
    sample: float,
    slices: int,
    tiers: Sequence[Tier],
    layout: FeatureLayout | None = None,
) -> Memory:
    """Memory of one model.

    stubs = rate · sample · 1.5 · wait · 100 B;
    counters = Σ over tiers and kinds: buckets kept · slices · (cells · width + 150 B).

    Args:
        rate_per_s: predictions a second.
        wait_s: the label wait.
        sample: share of request ids whose labels are joined.
        slices: slices with traffic, all traffic not counted.
        tiers: bucket lengths and retentions.
        layout: of the features' histograms, if they are counted.

    >>> memory(1000, 7 * 86_400, 1.0, 0, ()).stubs_bytes
    90720000000
    """
    per_slice = sum(_array_bytes(tier, layout, per_slice=True) for tier in tiers)
    whole = sum(_array_bytes(tier, layout, per_slice=False) for tier in tiers)
    stubs = round(rate_per_s * sample * GENERATIONS_LIVE * wait_s * STUB_BYTES)
    return Memory(stubs, per_slice * (slices + 1) + whole, per_slice)


def probe_bytes(features: int, slices: int, tiers: Sequence[Tier]) -> int:
    """Upper bound of what probes of a model take, every slice probed in every bucket.

    Args:
        features: of the schema.
        slices: slices with traffic, all traffic not counted.
        tiers: bucket lengths and retentions.
    """
    cells = {
        PROBE_TRIALS: (features + 1) * PROBES_MAX * len(Part),
        PROBE_SHAPES: (features + 1) * PROBES_MAX * SHAPE_PARTS,
        PROBE_TYPES: (features + 1) * VARIANTS_MAX * len(TypePart),
        PROBE_SETS: SETS_MAX + 1,
        PROBE_WORK: len(Work),
    }
    return sum(
        kind.kept_s(tier) // tier.bucket_s
        * (count * kind.width_bits(tier) // 8 + KEY_BYTES)
        * (slices + 1 if kind.per_slice else 1)
        for kind, count in cells.items()
        for tier in tiers
    )  # fmt: skip


def _array_bytes(tier: Tier, layout: FeatureLayout | None, per_slice: bool) -> int:
    return sum(
        kind.kept_s(tier) // tier.bucket_s * (content + KEY_BYTES)
        for kind in KINDS
        if kind.per_slice == per_slice and (content := _content_bytes(kind, tier, layout))
    )


def _content_bytes(kind: Kind, tier: Tier, layout: FeatureLayout | None) -> int:
    if kind is RANKING:
        return ranking_rows_max(tier) * RANKING_ROW.itemsize
    if kind is VIOLATIONS:
        return CODES * kind.width_bits(tier) // 8  # the record's own; longer where features break
    cells = {FEATURES: 0, SCALE: 0, TAILS: 0}
    if layout is not None:
        numeric = len(layout.numeric)
        cells = {FEATURES: layout.size, SCALE: numeric * SCALE_CELLS, TAILS: numeric * TAIL_CELLS}
    return cells.get(kind, kind.size) * kind.width_bits(tier) // 8
