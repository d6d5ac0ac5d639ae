"""Precision, averaged over classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monitor.core.counters import CLASSES, Kind, SliceCounts
from monitor.core.metrics.by_class import RIGHT, SAID, macro, seen_classes, share
from monitor.core.metrics.estimate import Estimate


@dataclass(frozen=True)
class MacroPrecision:
    """Of the decisions for a class, the share that was right; the plain mean over classes.

    `macro_precision = mean_k(right_k / said_k)`, in [0, 1], over labelled decisions and the classes among
    them; a class that was never decided for counts as 0, as in scikit-learn.

    Interval: normal; given the decisions, classes are independent. Undefined without labelled decisions.

    >>> import numpy as np
    >>> from monitor.core.counters import SCALARS
    >>> counts = SliceCounts(np.zeros(SCALARS.size, np.int64), classes=np.array([9, 4, 2, 1, 9, 1, 3, 1]))
    >>> round(MacroPrecision()(counts).value, 4)  # of 1 of 2, and 1 of 3
    0.4167
    """

    name: ClassVar[str] = "macro_precision"
    kind: ClassVar[Kind] = CLASSES

    def __call__(self, counts: SliceCounts, level: float = 0.95) -> Estimate:
        """See `Metric`."""
        table = seen_classes(counts)
        return macro(counts, *share(table[:, RIGHT], table[:, SAID]), level)
