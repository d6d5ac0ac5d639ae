"""Values by magnitude since a moment lately: what a change of unit is looked for in.

A change is named from the values that came after it began; older ones among them would make a whole change
look like that of a part. So the last values are kept in a few parts, each of a bucket or more, as the cells
that are not empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.core.counters import Counts
from monitor.core.evidence.edetector import Ints

PARTS_MAX: Final = 12
PART_ROWS_MIN: Final = 100
"""A part takes further buckets until some feature has so many values in it: with all parts, enough to name
a factor where traffic is thin."""


@dataclass(frozen=True)
class Magnitudes:
    """The last values of N numeric features, by magnitude.

    Attributes:
        starts_ms: start of each part, increasing, int64[K], epoch ms.
        rows: values of the feature that has most of them, int64[K].
        part: part of each entry, not decreasing, int64[P].
        cell: its cell, int64[P].
        count: values in it, int64[P].
    """

    starts_ms: Ints
    rows: Ints
    part: Ints
    cell: Ints
    count: Ints

    @classmethod
    def fresh(cls) -> Magnitudes:
        """Nothing counted."""
        none = np.zeros(0, np.int64)
        return cls(none, none, none, none, none)

    def take(self, counts: Counts, features: int, start_ms: int) -> Magnitudes:
        """Take one bucket.

        Args:
            counts: int64[N · cells].
            features: N, at least 1.
            start_ms: start of the bucket.
        """
        rows = int(counts.reshape(features, -1).sum(axis=1).max())
        if not rows:
            return self
        starts_ms, sizes, kept = self.starts_ms, self.rows, self
        if sizes.size and sizes[-1] < PART_ROWS_MIN:
            counts = counts + self.since(int(starts_ms[-1]), counts.size)
            start_ms, rows = int(starts_ms[-1]), rows + int(sizes[-1])
            kept = self._parts(0, sizes.size - 1)
        elif sizes.size == PARTS_MAX:
            kept = self._parts(1, sizes.size)
        cells = np.flatnonzero(counts)
        return Magnitudes(
            np.append(kept.starts_ms, start_ms),
            np.append(kept.rows, rows),
            np.append(kept.part, np.full(cells.size, kept.rows.size)),
            np.append(kept.cell, cells),
            np.append(kept.count, counts[cells]),
        )

    def since(self, start_ms: int, size: int) -> Counts:
        """Counts of the parts that began at `start_ms` or later, or of the last part: int64[size]."""
        counts = np.zeros(size, np.int64)
        if self.starts_ms.size:
            first = min(int(np.searchsorted(self.starts_ms, start_ms)), self.starts_ms.size - 1)
            some = self.part >= first
            np.add.at(counts, self.cell[some], self.count[some])
        return counts

    def starts_since(self, start_ms: int) -> tuple[int, ...]:
        """`start_ms`, then the starts from which on there are fewer values, epoch ms."""
        first = int(np.searchsorted(self.starts_ms, start_ms))
        return (start_ms, *self.starts_ms[first + 1 :].tolist())

    def _parts(self, first: int, end: int) -> Magnitudes:
        some = (self.part >= first) & (self.part < end)
        return Magnitudes(
            self.starts_ms[first:end],
            self.rows[first:end],
            self.part[some] - first,
            self.cell[some],
            self.count[some],
        )
