"""Features as cells: where each value of a batch is counted, and the sums over some of its rows.

A value that breaks the schema is counted all the same. Absent and null are one cell; a number out of range
and a category that is not listed have a value, and go where it lies; what has none is `INVALID`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.aggregate import Target, distinct, fold_cells, kept, ttls
from monitor.core.columns import Columns, Factor, factor
from monitor.core.contributions import Cells
from monitor.core.counters import (
    FEATURES,
    SCALE,
    SCORE_BINS,
    TAILS,
    CellKey,
    Increment,
    Kind,
    score_bin,
)
from monitor.core.drift.layout import (
    FIRST,
    INVALID,
    MAGNITUDE_MIN,
    MAGNITUDES,
    MAGNITUDES_PER_DECADE,
    MISSING,
    SCALE_CELLS,
    SCORE_CELLS,
    Block,
    BlockKind,
    FeatureLayout,
)
from monitor.core.schema.violations import SOFT, Code
from monitor.core.slices.assign import OUTSIDE

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NOWHERE: Final = -1
"""In a column of scale cells: no number."""

LOW: Final = 0
HIGH: Final = 1
TAIL_CELLS: Final = 2
"""Per numeric feature and slice: values below the 1 % quantile of the reference, and above its 99 %."""

_HAS_VALUE: Final = SOFT | {Code.OUT_OF_RANGE, Code.UNKNOWN_CATEGORY}
_ABSENT: Final = frozenset({Code.MISSING, Code.NULL})
_DENSE_MAX: Final = 1 << 21


@dataclass(frozen=True)
class FeatureCells:
    """Where the values of n rows are counted.

    Attributes:
        schema_id: of the layout, in the registry.
        layout: of the cells.
        cells: int64[n, blocks], cell of the features array.
        scale: int64[n, numeric], cell of the scale array, `NOWHERE` where there is no number.
        low: bool[n, numeric], below the reference's 1 % quantile.
        high: bool[n, numeric], above its 99 % quantile.
    """

    schema_id: int
    layout: FeatureLayout
    cells: Ints
    scale: Ints
    low: NDArray[np.bool_]
    high: NDArray[np.bool_]


def feature_cells(
    layout: FeatureLayout,
    schema_id: int,
    features: Sequence[Mapping[str, Any]],
    scores: Floats,
    broken: Mapping[str, Mapping[int, int]],
) -> FeatureCells:
    """Find the cells of a batch.

    Args:
        layout: of the schema that judged it.
        schema_id: its id.
        features: n dictionaries as decoded.
        scores: float64[n], NaN where there is none.
        broken: feature → row → `Code`, the first the value violates, for every value that does.
    """
    columns = Columns.of(features)
    n = len(columns)
    cells = np.empty((n, len(layout.blocks)), np.int64)
    numbers = np.empty((n, len(layout.numeric)))
    for at, block in enumerate(layout.blocks):
        if block.kind is BlockKind.SCORE:
            cells[:, at] = block.start + _score_cells(scores)
            continue
        unusable = {row: code for row, code in broken.get(block.name, {}).items() if code not in _HAS_VALUE}
        if block.name in layout.numeric:
            # What is left is null or a number within float64: the schema's judges saw to that.
            column = columns.numbers(block.name)
            if unusable:
                column = column.copy()
                column[list(unusable)] = np.nan
            numbers[:, layout.numeric.index(block.name)] = column
            cells[:, at] = block.start + _number_cells(block, column)
        elif unusable:
            values = list(columns.column(block.name))
            for row in unusable:
                values[row] = None
            cells[:, at] = block.start + _value_cells(block, factor(values))
        else:
            cells[:, at] = block.start + _value_cells(block, columns.factor(block.name))
        cells[[row for row, code in unusable.items() if code not in _ABSENT], at] = block.start + INVALID
    low, high = numbers < layout.tails[:, 0], numbers > layout.tails[:, 1]
    return FeatureCells(schema_id, layout, cells, _scale_cells(numbers), low, high)


def fold_features(
    found: FeatureCells, rows: Ints, times_ms: Ints, watermarks_ms: Ints, members: Ints, target: Target
) -> list[Increment]:
    """Increments of the features, scale and tails arrays.

    Args:
        found: cells of a batch of n rows.
        rows: int64[r], those to be counted.
        times_ms: int64[n], event times.
        watermarks_ms: int64[n], as in `Cells`.
        members: int64[n, m], slice ids, `OUTSIDE` where a row is in none.
        target: where they go.
    """
    if not len(rows):
        return []
    times, marks = times_ms[rows], watermarks_ms[rows]
    increments = _fold(FEATURES, found.cells[rows], found.layout.size, found.schema_id, times, marks, target)
    if found.layout.numeric:
        width = SCALE_CELLS * len(found.layout.numeric)
        increments += _fold(SCALE, found.scale[rows], width, found.schema_id, times, marks, target)
        increments += _fold_tails(found, rows, times, marks, members[rows], target)
    return increments


def sum_cells(cells: Ints, size: int) -> Ints:
    """Counts of all rows together, int64[size]; `NOWHERE` is left out."""
    flat = cells.ravel()
    return np.bincount(flat[flat >= 0], minlength=size).astype(np.int64)


def _fold(
    kind: Kind, cells: Ints, size: int, schema_id: int, times_ms: Ints, watermarks_ms: Ints, target: Target
) -> list[Increment]:
    """Sums of an array that all rows share; cells are int64[r, c] below `size`, `NOWHERE` is left out."""
    finest_s = min((tier.bucket_s for tier in target.tiers if kind.kept_s(tier)), default=1)
    spread_s = int(times_ms.max() - times_ms.min()) // 1000
    if min(spread_s // finest_s + 2, len(times_ms)) * size > _DENSE_MAX:
        flat = cells.ravel()
        there = np.flatnonzero(flat >= 0)
        rows, ones = there // cells.shape[1], np.ones(len(there), np.int64)
        ids = np.full(len(there), schema_id)
        return fold_cells(Cells(times_ms[rows], ids, flat[there], ones, watermarks_ms[rows]), kind, target)
    result: list[Increment] = []
    before: tuple[int, Ints, Ints] | None = None  # the finest tier's buckets: length, starts, counts
    for tier in sorted(target.tiers, key=lambda tier: tier.bucket_s):
        if not kind.kept_s(tier):
            continue
        keep = kept(times_ms, watermarks_ms, tier, kind)
        whole = keep.all()
        if whole and before is not None and tier.bucket_s % before[0] == 0:
            starts, bucket = distinct(before[1] // tier.bucket_s * tier.bucket_s)
            firsts = np.flatnonzero(np.diff(bucket, prepend=-1))
            counts = np.add.reduceat(before[2], firsts, axis=0)
        elif keep.any():
            starts, bucket = distinct(times_ms[keep] // (tier.bucket_s * 1000) * tier.bucket_s)
            counts = _counts(cells[keep], size, bucket, len(starts))
        else:
            continue
        if whole:
            before = (tier.bucket_s, starts, counts)
        lives = ttls(starts, tier, kind.kept_s(tier), watermarks_ms)
        for start_s, of_bucket, ttl_s in zip(starts.tolist(), counts, lives, strict=True):
            codes = np.flatnonzero(of_bucket)
            if len(codes):
                key = CellKey(kind, tier, start_s, target.model, schema_id)
                result.append(Increment(key, codes, of_bucket[codes], target.create, ttl_s))
    return result


def _counts(cells: Ints, size: int, bucket: Ints, buckets: int) -> Ints:
    """Counts by bucket and cell, int64[buckets, size]; what lies NOWHERE falls into a column of its own."""
    codes = cells + 1 if buckets == 1 else cells + (bucket * (size + 1) + 1)[:, None]
    counts = np.bincount(codes.ravel(), minlength=buckets * (size + 1))
    return counts.reshape(buckets, size + 1)[:, 1:]


def _fold_tails(
    found: FeatureCells, rows: Ints, times_ms: Ints, watermarks_ms: Ints, members: Ints, target: Target
) -> list[Increment]:
    entries = [
        (at, feature * TAIL_CELLS + side)
        for side, flags in ((LOW, found.low), (HIGH, found.high))
        for at, feature in (np.nonzero(flags[rows]),)
    ]
    at = np.concatenate([one for one, _ in entries])
    cells = np.concatenate([two for _, two in entries])
    if not len(at):
        return []
    source, columns = np.nonzero(members[at] != OUTSIDE)
    spread = Cells(
        times_ms[at[source]],
        members[at[source], columns],
        cells[source].astype(np.int64),
        np.ones(len(source), np.int64),
        watermarks_ms[at[source]],
    )
    return fold_cells(spread, TAILS, target)


def _score_cells(scores: Floats) -> Ints:
    scored = ~np.isnan(scores)
    bins = score_bin(np.where(scored, scores, 0.5)) // (SCORE_BINS // SCORE_CELLS)
    return np.where(scored, FIRST + bins, MISSING)


def _number_cells(block: Block, column: Floats) -> Ints:
    there = ~np.isnan(column)
    if block.edges is None:
        return np.where(there, FIRST, MISSING).astype(np.int64)
    return np.where(there, FIRST + np.searchsorted(block.edges, column, side="right"), MISSING)


def _value_cells(block: Block, found: Factor) -> Ints:
    if block.kind is BlockKind.CATEGORY:
        listed = block.values or ()
        at: dict[Any, int] = {value: FIRST + place for place, value in enumerate(listed)}
        other = FIRST + len(listed)
        at[None] = MISSING
        return found.of([at.get(value, other) for value in found.values])
    if block.kind is BlockKind.BOOLEAN:
        return found.of([MISSING if v is None else FIRST + v for v in found.values])
    return found.of([MISSING if value is None else FIRST for value in found.values])


def _scale_cells(numbers: Floats) -> Ints:
    """Cells of the scale array, int64[n, numeric]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        position = np.floor((np.log10(np.abs(numbers)) - MAGNITUDE_MIN) * MAGNITUDES_PER_DECADE)
    magnitude = np.clip(np.nan_to_num(position), 0, MAGNITUDES - 1).astype(np.int64)
    cell = np.where(numbers > 0, 1 + magnitude, np.where(numbers < 0, 1 + MAGNITUDES + magnitude, 0))
    first = np.arange(numbers.shape[1]) * SCALE_CELLS
    scale: Ints = np.where(np.isnan(numbers), NOWHERE, first + cell)
    return scale
