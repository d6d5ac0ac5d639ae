"""Mean score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import SCALARS, Kind, Scalar, SliceCounts
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.intervals import mean


@dataclass(frozen=True)
class MeanScore:
    """The mean of all scores, labelled or not: moves the moment inputs or model change.

    `mean_score = sum of scores / scored`, in [0, 1]; of a calibrated model it estimates the label rate.

    Interval: Student's, from the sum of squares. Undefined without scores in [0, 1].

    >>> from monitor.core.counters import FIXED_ONE
    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.SCORED, Scalar.SCORE_SUM]] = 2, FIXED_ONE
    >>> MeanScore()(counts).value
    0.5
    """

    name: ClassVar[str] = "mean_score"
    kind: ClassVar[Kind] = SCALARS

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        scored = counts[Scalar.SCORED]
        if scored == 0:
            return Estimate.undefined("no scored rows")
        return mean(counts[Scalar.SCORE_SUM], counts[Scalar.SCORE_SQ_SUM], scored, level, 1.0)
