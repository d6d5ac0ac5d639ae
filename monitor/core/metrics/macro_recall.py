"""Recall, averaged over classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import CLASSES, Kind, SliceCounts
from monitor.core.metrics.by_class import LABELLED, RIGHT, macro, seen_classes, share
from monitor.core.metrics.estimate import Estimate


@dataclass(frozen=True)
class MacroRecall:
    """Of the labels of a class, the share that was found; the plain mean over classes (balanced accuracy).

    `macro_recall = mean_k(right_k / labelled_k)`, in [0, 1], over labelled decisions and the classes among
    them; a class without labels counts as 0, as in scikit-learn.

    Interval: normal; given the labels, classes are independent. Undefined without labelled decisions.
    """

    name: ClassVar[str] = "macro_recall"
    kind: ClassVar[Kind] = CLASSES

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        table = seen_classes(counts)
        return macro(counts, *share(table[:, RIGHT], table[:, LABELLED]), level)
