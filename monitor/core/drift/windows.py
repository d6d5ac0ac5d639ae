"""Counts since many starts at once, in memory that grows with the logarithm of time.

A change may have begun in any bucket. Counts are kept as running totals with snapshots at starts whose ages
are about 1, 2, 4, 8, ... buckets: what came since a start is the total less its snapshot, what came before it
the snapshot itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from monitor.core.counters import Counts
from monitor.core.evidence.edetector import Flags, Ints

PER_OCTAVE: Final = 2
"""Starts kept of each power of two of age."""


@dataclass(frozen=True)
class Windows:
    """Running totals of C cells and snapshots at K starts.

    Attributes:
        taken: buckets taken since the beginning.
        total: int64[C].
        numbers: bucket number of each start, increasing, int64[K].
        starts_ms: its time, int64[K], epoch ms.
        snapshots: totals before it, int64[K, C].
    """

    taken: int
    total: Counts
    numbers: Ints
    starts_ms: Ints
    snapshots: Counts

    @classmethod
    def fresh(cls, cells: int) -> Windows:
        """Nothing taken."""
        none = np.zeros(0, np.int64)
        return cls(0, np.zeros(cells, np.int64), none, none, np.zeros((0, cells), np.int64))

    def take(self, counts: Counts, start_ms: int, age_max: int) -> Windows:
        """Take one bucket, int64[C]; starts older than `age_max` buckets are dropped."""
        numbers = np.append(self.numbers, self.taken)
        keep = _kept(self.taken + 1 - numbers, numbers) & (self.taken - numbers < age_max)
        return Windows(
            self.taken + 1,
            self.total + counts,
            numbers[keep],
            np.append(self.starts_ms, start_ms)[keep],
            np.vstack([self.snapshots, self.total])[keep],
        )

    @property
    def since(self) -> Counts:
        """What came from each start on, int64[K, C]."""
        return self.total - self.snapshots

    def forget(self, cells: Flags) -> Windows:
        """Start some cells anew, bool[C]."""
        return replace(
            self,
            total=np.where(cells, 0, self.total),
            snapshots=np.where(cells, 0, self.snapshots),
        )


def _kept(ages: Ints, numbers: Ints) -> Flags:
    """The youngest starts, and among older ones those on a grid that doubles with age."""
    octave = np.floor(np.log2(np.maximum(ages / PER_OCTAVE, 1.0))).astype(np.int64)
    kept: Flags = numbers % (1 << octave) == 0
    return kept
