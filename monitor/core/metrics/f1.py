"""F1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import SCALARS, Kind, Scalar, SliceCounts
from monitor.core.metrics.estimate import Estimate, unlabelled
from monitor.core.metrics.intervals import wilson


@dataclass(frozen=True)
class F1:
    """The harmonic mean of precision and recall; ignores true negatives.

    `f1 = 2 TP / (2 TP + FP + FN)`, in [0, 1], over labelled rows with a decision.

    Interval: F1 is a monotone function of the Jaccard index, `f1 = 2 J / (1 + J)` with
    `J = TP / (TP + FP + FN)`. Given `TP + FP + FN`, TP is binomial, so Wilson's interval of J, mapped by that
    function, is one of F1. Undefined where nothing is positive, neither a decision nor a label.

    Source: van Rijsbergen (1979), Information Retrieval, chapter 7 (E measure).

    >>> counts = SliceCounts.zero()
    >>> counts.scalars[[Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN]] = 3, 1, 4, 1
    >>> F1()(counts).value
    0.75
    """

    name: ClassVar[str] = "f1"
    kind: ClassVar[Kind] = SCALARS

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        hits = counts[Scalar.TP]
        union = hits + counts[Scalar.FP] + counts[Scalar.FN]
        if union == 0:
            return unlabelled(counts, "no positive decisions or labels")
        low, high = wilson(hits / union, union, level)
        return Estimate(2 * hits / (union + hits), 2 * low / (1 + low), 2 * high / (1 + high))
