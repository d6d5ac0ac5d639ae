"""How much more histograms scatter from bucket to bucket than those of independent rows would.

Rows of one person, and retries, come in clusters. For two histograms of one distribution the two-sample χ²
has as many degrees of freedom as cells that either has seen, less one; its mean over that, between successive
buckets, is the design effect (Rao and Scott 1981). A slow change adds next to nothing to it, and a sudden one
a single term, which is capped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.core.counters import Counts
from monitor.core.evidence.edetector import Floats

MEMORY_BUCKETS: Final = 1_000
PAIRS_MIN: Final = 10
_SE: Final = 4.0
_JUMP: Final = 4.0
"""A pair counts as at most so many times what is usual."""


@dataclass(frozen=True)
class Scatter:
    """What is known of the scatter of F blocks of cells.

    Attributes:
        last: the last bucket with rows, int64[C].
        chi2: sums of χ², float64[F].
        free: sums of degrees of freedom, float64[F].
        pairs: pairs of buckets seen, with forgetting.
    """

    last: Counts
    chi2: Floats
    free: Floats
    pairs: float = 0.0

    @classmethod
    def fresh(cls, cells: int, blocks: int) -> Scatter:
        """Nothing seen."""
        return cls(np.zeros(cells, np.int64), np.zeros(blocks), np.zeros(blocks))

    def take(self, counts: Counts, starts: Counts) -> Scatter:
        """Take one bucket.

        Args:
            counts: int64[C].
            starts: first cell of each block, int64[F].
        """
        if not counts.any():
            return self
        if not self.last.any():
            return Scatter(counts, self.chi2, self.free, self.pairs)
        n, m = (np.add.reduceat(x, starts).astype(np.float64) for x in (counts, self.last))
        block = np.repeat(np.arange(starts.size), np.diff(np.append(starts, counts.size)))
        ratio = np.sqrt(m / np.maximum(n, 1))[block]
        both = counts + self.last
        term = np.where(both > 0, (ratio * counts - self.last / np.maximum(ratio, 1e-12)) ** 2, 0.0)
        chi2 = np.add.reduceat(term / np.maximum(both, 1), starts)
        free = np.maximum(np.add.reduceat((both > 0).astype(np.float64), starts) - 1, 0)
        known = (n > 0) & (m > 0) & (free > 0)
        # A change that sets in would pass for scatter, and hide itself, where few pairs were seen before it.
        usual = np.maximum(self.chi2 / np.maximum(self.free, 1.0), 1.0)
        chi2 = np.minimum(chi2, _JUMP * usual * free)
        kept = 1 - 1 / MEMORY_BUCKETS
        return Scatter(
            counts,
            kept * self.chi2 + np.where(known, chi2, 0.0),
            kept * self.free + np.where(known, free, 0.0),
            kept * self.pairs + 1,
        )

    @property
    def design_effect(self) -> Floats:
        """By what to divide log evidence, float64[F], at least 1.

        One standard error above the estimate, where that is established.
        """
        free = np.maximum(self.free, 1.0)
        phi, error = self.chi2 / free, np.sqrt(2 / free)
        established = (self.pairs >= PAIRS_MIN) & (phi > 1 + _SE * error)
        value: Floats = np.where(established, phi * (1 + error), 1.0)
        return value
