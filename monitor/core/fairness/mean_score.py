"""Mean scores of groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import FIXED_ONE, Scalar, SliceCounts
from monitor.core.fairness.sums import Moments


@dataclass(frozen=True)
class MeanScore:
    """The mean score of each group's requests, in [0, 1]: what parity looks like before any threshold.

    Needs neither labels nor decisions. Its ratio is the mean-value ratio of groups ("twenty times lower").

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.SCORED, Scalar.SCORE_SUM, Scalar.SCORE_SQ_SUM]] = 2, FIXED_ONE, FIXED_ONE // 2
    >>> MeanScore()(counts).mean
    0.5
    """

    name: ClassVar[str] = "mean_score"
    title: ClassVar[str] = "mean score"
    absent: ClassVar[str] = "no scores"
    ratios: ClassVar[bool] = True

    def __call__(self, counts: SliceCounts) -> Moments:
        """See `Family`."""
        return Moments(
            counts[Scalar.SCORED],
            counts[Scalar.SCORE_SUM] / FIXED_ONE,
            counts[Scalar.SCORE_SQ_SUM] / FIXED_ONE,
            0.0,
            1.0,
        )
