"""Two-by-two tables of a slice against the rest, and what can be read from their sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import (
    ALL_SLICE,
    CLASS_DECIDED,
    CLASS_LABELLED,
    CLASS_PARTS,
    CLASS_RIGHT,
    Counts,
    Scalar,
)
from monitor.core.evidence.edetector import Floats


class GapMetric(StrEnum):
    """Rates that are compared between a slice and the rest."""

    ERROR_RATE = "error_rate"
    FALSE_NEGATIVE_RATE = "false_negative_rate"
    FALSE_POSITIVE_RATE = "false_positive_rate"
    POSITIVE_RATE = "positive_rate"
    COVERAGE = "coverage"
    CLASS_RECALL = "class_recall"
    CLASS_RATE = "class_rate"


LABEL_METRICS: Final = (
    GapMetric.FALSE_NEGATIVE_RATE,
    GapMetric.FALSE_POSITIVE_RATE,
    GapMetric.ERROR_RATE,
)

_OF_TWO: Final = (Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN)
_ROWS: Final = {
    GapMetric.ERROR_RATE: (*_OF_TWO, Scalar.CORRECT, Scalar.WRONG),
    GapMetric.FALSE_NEGATIVE_RATE: (Scalar.TP, Scalar.FN),
    GapMetric.FALSE_POSITIVE_RATE: (Scalar.TN, Scalar.FP),
    GapMetric.POSITIVE_RATE: (Scalar.DECIDED,),
    GapMetric.COVERAGE: (Scalar.TRACKED,),
}
_HITS: Final = {
    GapMetric.ERROR_RATE: (Scalar.FP, Scalar.FN, Scalar.WRONG),
    GapMetric.FALSE_NEGATIVE_RATE: (Scalar.FN,),
    GapMetric.FALSE_POSITIVE_RATE: (Scalar.FP,),
    GapMetric.POSITIVE_RATE: (Scalar.POSITIVE,),
    GapMetric.COVERAGE: (Scalar.LABELLED,),
}

OF_CLASSES: Final = {
    GapMetric.CLASS_RECALL: (CLASS_LABELLED, (CLASS_LABELLED, CLASS_RIGHT)),
    GapMetric.CLASS_RATE: (None, (CLASS_DECIDED,)),
}
"""Of several classes: the part of a class that counts rows, None for all decisions; the part that counts
hits, or the two whose difference does."""

N1, S1, N2, S2, MH_UP, MH_DOWN, INVALID = range(7)
"""Columns of a stream's sums: the table, the two Mantel-Haenszel sums, invalid rows of the slice."""

NO_CLASS: Final = -1
SUMS: Final = 7
REFERENCE: Final = 6
"""Columns that a reference has: all but invalid rows."""


@dataclass(frozen=True, slots=True)
class GapStream:
    """One test: a slice, a metric, a side.

    `low` turns the metric round: failures are then the rows that are *not* hits (label coverage always is).
    Metrics of one class of several name it.
    """

    slice_id: int
    metric: GapMetric
    low: bool
    weight: float  # relative to the other streams
    class_number: int = NO_CLASS
    class_name: str = ""

    @property
    def tested(self) -> tuple[GapMetric, bool, str]:
        """What is compared, and which side of it."""
        return self.metric, self.low, self.class_name

    @property
    def identity(self) -> tuple[int, GapMetric, bool, str]:
        """Of the test, whatever it weighs."""
        return self.slice_id, *self.tested

    @property
    def subject(self) -> dict[str, str]:
        """What an alert says it is about, beside the slice."""
        return {"metric": self.metric.value} | ({"class": self.class_name} if self.class_name else {})


@dataclass(frozen=True)
class Tables:
    """The 2 × 2 tables of one bucket, a row per stream: rows and failures of slice and rest, int64[S].

    `invalid` counts the slice's rows that broke the schema.
    """

    n1: NDArray[np.int64]
    s1: NDArray[np.int64]
    n2: NDArray[np.int64]
    s2: NDArray[np.int64]
    invalid: NDArray[np.int64]

    @property
    def sums(self) -> Floats:
        """What the bucket adds to a tracker's sums, float64[S, 7]."""
        n = np.maximum(self.n1 + self.n2, 1)
        up = self.s1 * (self.n2 - self.s2) / n
        down = self.s2 * (self.n1 - self.s1) / n
        return np.stack([self.n1, self.s1, self.n2, self.s2, up, down, self.invalid], axis=1).astype(
            np.float64
        )


def tables(
    streams: Sequence[GapStream], slices: Mapping[int, int], scalars: Counts, classes: Counts | None = None
) -> Tables:
    """Read the tables of one bucket.

    Args:
        streams: what is tested.
        slices: slice id → row of `scalars`; all traffic among them.
        scalars: int64[rows, len(Scalar)].
        classes: of several classes, `classes` arrays, int64[rows, cells]; None where they were not read.
    """
    row = np.array([slices[stream.slice_id] for stream in streams], np.int64)
    whole = slices[ALL_SLICE]
    shape = len(streams)
    n1, s1, n, s = (np.zeros(shape, np.int64) for _ in range(4))
    for metric in GapMetric:
        which = np.array([stream.metric is metric for stream in streams], np.bool_)
        if not which.any():
            continue
        if metric in OF_CLASSES:
            if classes is not None:
                number = np.array([stream.class_number for stream in streams], np.int64)[which]
                at_risk, hit = _of_class(metric, number, scalars, classes)
                one = np.arange(len(number))
                n1[which], s1[which] = at_risk[row[which], one], hit[row[which], one]
                n[which], s[which] = at_risk[whole], hit[whole]
            continue
        rows = scalars[:, list(_ROWS[metric])].sum(axis=1)
        hits = scalars[:, list(_HITS[metric])].sum(axis=1)
        n1[which], s1[which] = rows[row[which]], hits[row[which]]
        n[which], s[which] = rows[whole], hits[whole]
    # The store's keys are not read in one instant: a slice may be a flush ahead of the whole.
    s1, n1 = np.clip(s1, 0, s), np.clip(n1, 0, n)
    n2, s2 = n - n1, np.clip(s - s1, 0, n - n1)
    s1 = np.minimum(s1, n1)
    low = np.array([stream.low for stream in streams], np.bool_)
    return Tables(
        n1, np.where(low, n1 - s1, s1), n2, np.where(low, n2 - s2, s2), scalars[row, Scalar.INVALID]
    )


def _of_class(
    metric: GapMetric, number: NDArray[np.int64], scalars: Counts, classes: Counts
) -> tuple[Counts, Counts]:
    """Rows and hits of each class of `number`, int64[rows, k]."""
    risk, (first, *second) = OF_CLASSES[metric]

    def part(cell: int) -> Counts:
        return classes[:, number * CLASS_PARTS + cell]

    decided = np.tile(scalars[:, [Scalar.DECIDED]], len(number))
    hits = part(first)
    for cell in second:
        hits = hits - part(cell)
    return decided if risk is None else part(risk), hits


def odds_ratio(sums: Floats) -> Floats:
    """Mantel-Haenszel odds ratio from a stream's sums, float64[S]; half a row is added where one is empty."""
    up, down = sums[:, MH_UP], sums[:, MH_DOWN]
    n1, s1, n2, s2 = (sums[:, i] for i in (N1, S1, N2, S2))
    haldane = (s1 + 0.5) * (n2 - s2 + 0.5) / ((s2 + 0.5) * (n1 - s1 + 0.5))
    both = (up > 0) & (down > 0)
    value: Floats = np.where(both, up / np.where(both, down, 1.0), haldane)
    return value


def standard_error(sums: Floats) -> Floats:
    """Standard error of the log odds ratio, float64[S], half a row added to each cell."""
    n1, s1, n2, s2 = (sums[:, i] for i in (N1, S1, N2, S2))
    cells = np.stack([s1, n1 - s1, s2, n2 - s2]) + 0.5
    value: Floats = np.sqrt((1.0 / cells).sum(axis=0))
    return value
