"""F1, averaged over classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import CLASSES, Kind, SliceCounts
from monitor.core.metrics.by_class import LABELLED, RIGHT, SAID, macro, seen_classes, share
from monitor.core.metrics.estimate import Estimate


@dataclass(frozen=True)
class MacroF1:
    """The harmonic mean of precision and recall of each class; the plain mean over classes.

    `macro_f1 = mean_k(2 right_k / (labelled_k + said_k))`, in [0, 1], over labelled decisions and the classes
    among them.

    Interval: normal, by the delta method from the Jaccard index `J = right / (labelled + said - right)`,
    `f1 = 2 J / (1 + J)`. A wrong decision counts in two classes, whose errors are then correlated: the
    variance is doubled, the most that this can make of it. Undefined without labelled decisions.
    """

    name: ClassVar[str] = "macro_f1"
    kind: ClassVar[Kind] = CLASSES

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        table = seen_classes(counts)
        jaccard, variance = share(table[:, RIGHT], table[:, LABELLED] + table[:, SAID] - table[:, RIGHT])
        return macro(counts, 2 * jaccard / (1 + jaccard), 2 * variance * (2 / (1 + jaccard) ** 2) ** 2, level)
