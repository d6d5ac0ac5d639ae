"""Log loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import SCALARS, Kind, Scalar, SliceCounts
from monitor.core.metrics.estimate import Estimate, unlabelled
from monitor.core.metrics.intervals import mean


@dataclass(frozen=True)
class LogLoss:
    """The mean negative log-likelihood of the labels, in nats: rewards honest probabilities.

    `log_loss = -mean(y log p + (1 - y) log(1 - p))`, from 0 to 36.04, over labelled rows with a score.
    Scores are clipped to [eps, 1 - eps] with the eps of float64, as scikit-learn does: a score of exactly 0
    or 1 that is wrong costs 36.04. `Brier` is bounded by 1 and forgives such a row.

    Interval: Student's, from the sum of squares. Undefined without labelled scores.

    Source: Good (1952), Rational decisions, doi:10.1111/j.2517-6161.1952.tb00104.x.

    >>> from monitor.core.counters import FIXED_ONE
    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.RATED, Scalar.LOG_LOSS_SUM]] = 2, FIXED_ONE
    >>> LogLoss()(counts).value
    0.5
    """

    name: ClassVar[str] = "log_loss"
    kind: ClassVar[Kind] = SCALARS

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        rated = counts[Scalar.RATED]
        if rated == 0:
            return unlabelled(counts, "no labelled scores")
        return mean(counts[Scalar.LOG_LOSS_SUM], counts[Scalar.LOG_LOSS_SQ_SUM], rated, level, math.inf)
