"""Amounts of a slice and of the rest: rows, sum, sum of squares and of absolute amounts, bucket by bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from monitor.core.counters import ALL_SLICE, FIXED_ONE, Scalar, SliceCounts
from monitor.core.evidence.edetector import Flags, Floats
from monitor.core.metrics.of_values import sums_of
from monitor.core.tasks.moments import Counted, Moment


class MeanMetric(StrEnum):
    """Means that are compared between a slice and the rest."""

    MEAN_VALUE = "mean_value"
    MEAN_SCORE = "mean_score"
    MAE = "mae"
    BIAS = "bias"


N1, X1, Q1, A1, N2, X2, Q2, A2, INVALID = range(9)
"""Columns of a stream's sums: rows, Σ x, Σ x², Σ |x| of slice and of rest; invalid rows of the slice."""

SUMS: Final = 9
REFERENCE: Final = 8
"""Columns that a reference has: all but invalid rows."""

_STRAY: Final = 0.05  # of the size of amounts: a regression may answer a little below 0


@dataclass(frozen=True, slots=True)
class MeanStream:
    """One test: a slice, a mean, a side. `low`: the slice's mean below the rest's is looked for."""

    slice_id: int
    metric: MeanMetric
    low: bool
    weight: float  # relative to the other streams

    @property
    def tested(self) -> tuple[MeanMetric, bool]:
        """What is compared, and which side of it."""
        return self.metric, self.low

    @property
    def identity(self) -> tuple[int, MeanMetric, bool]:
        """Of the test, whatever it weighs."""
        return self.slice_id, *self.tested


def tables(streams: Sequence[MeanStream], slices: Mapping[int, SliceCounts]) -> Floats:
    """The sums of one bucket, float64[S, 9], in the model's own unit; zeros of a slice that was not read.

    Args:
        streams: what is tested.
        slices: slice id → counts, all traffic among them.
    """
    wanted = {(stream.metric, i) for stream in streams for i in (stream.slice_id, ALL_SLICE)}
    found = {(metric, i): _amounts(metric, slices[i]) for metric, i in wanted if i in slices}
    sums = np.zeros((len(streams), SUMS))
    for row, stream in enumerate(streams):
        mine = found.get((stream.metric, stream.slice_id))
        whole = found.get((stream.metric, ALL_SLICE))
        if mine is None or whole is None:
            continue
        rest = whole - mine
        # The store's keys are not read in one instant: a slice may be a flush ahead of the whole.
        if rest[0] <= 0 or rest[2] < 0 or rest[3] < 0:
            rest = np.zeros(4)
        sums[row] = *mine, *rest, slices[stream.slice_id][Scalar.INVALID]
    return sums


def _amounts(metric: MeanMetric, counts: SliceCounts) -> Floats:
    """n, Σ x, Σ x², Σ |x|."""
    if metric is MeanMetric.MEAN_SCORE:
        total = counts[Scalar.SCORE_SUM] / FIXED_ONE
        squares = counts[Scalar.SCORE_SQ_SUM] / FIXED_ONE
        return np.array([counts[Scalar.SCORED], total, squares, total])
    held, unit = sums_of(counts), counts.unit
    if metric is MeanMetric.MEAN_VALUE:
        rows, first, second = Counted.VALUED, Moment.VALUE, Moment.VALUE_2
    else:
        rows, first, second = Counted.JUDGED, Moment.ERROR, Moment.ERROR_2
    size = float(held.total_size(first)) * unit
    total = size if metric is MeanMetric.MAE else float(held.total(first)) * unit
    return np.array([held.rows(rows), total, float(held.total(second)) * unit**2, size])


def means(sums: Floats) -> tuple[Floats, Floats]:
    """Means of slice and rest, float64[S] each; 0 of no rows."""
    one, rest = (sums[:, x] / np.maximum(sums[:, n], 1.0) for n, x in ((N1, X1), (N2, X2)))
    return one, rest


def variances(sums: Floats) -> tuple[Floats, Floats]:
    """Variances of one row of slice and of rest, float64[S] each, unbiased; 0 of fewer than two rows."""
    one, rest = (
        np.maximum(sums[:, q] - sums[:, x] ** 2 / np.maximum(sums[:, n], 1.0), 0.0)
        / np.maximum(sums[:, n] - 1.0, 1.0)
        for n, x, q in ((N1, X1, Q1), (N2, X2, Q2))
    )
    return one, rest


def of_one_sign(sums: Floats) -> Flags:
    """Streams whose amounts are positive but for a twentieth of their size: there a ratio means something."""
    flags: Flags = (sums[:, X1] > 0) & (sums[:, X2] > 0)
    for x, size in ((X1, A1), (X2, A2)):
        flags = flags & (sums[:, size] - sums[:, x] <= 2 * _STRAY * sums[:, size])
    return flags
