"""What ranking metrics read: labelled scores in order, from rows where they are kept, else from bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import SliceCounts

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class LabelledScores:
    """Positives and negatives per distinct score or bin, from the lowest up.

    Attributes:
        positive, negative: float64[k], whole numbers, not both 0.
        ranked: True where each entry is one score (as finely as it is kept; rows that share one
            are taken as tied); False where it is one of the 512 bins, whose scores differ in an unknown
            order.
    """

    positive: Reals
    negative: Reals
    ranked: bool

    @classmethod
    def of(cls, counts: SliceCounts) -> LabelledScores | None:
        """From the rows kept one by one, or else from the histogram; None where neither is kept."""
        if counts.ranking is not None:
            ranking = counts.ranking
            return cls(ranking.positive.astype(np.float64), ranking.negative.astype(np.float64), True)
        if counts.curve is None:
            return None
        positive, negative = counts.curve.positive, counts.curve.negative
        used = np.flatnonzero(positive + negative)
        return cls(positive[used].astype(np.float64), negative[used].astype(np.float64), False)
