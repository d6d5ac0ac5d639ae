"""What metrics of several classes have in common: a table of classes, and means over it."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import CLASS_LABELLED, CLASS_PARTS, CLASS_RIGHT, CLASS_SAID, SliceCounts
from monitor.core.metrics.estimate import Estimate, unlabelled
from monitor.core.metrics.intervals import normal_quantile

Floats = NDArray[np.float64]

LABELLED, SAID, RIGHT = range(3)
"""Columns of the table: labelled decisions whose label, or decision, or both are the class."""

_COLUMNS: Final = [CLASS_LABELLED, CLASS_SAID, CLASS_RIGHT]


def class_table(counts: SliceCounts) -> NDArray[np.int64]:
    """int64[classes, 3]; no rows where nothing was counted."""
    cells = counts.classes
    if cells is None or not cells.size:
        return np.zeros((0, len(_COLUMNS)), np.int64)
    whole = np.zeros(-(-len(cells) // CLASS_PARTS) * CLASS_PARTS, np.int64)
    whole[: len(cells)] = cells
    return whole.reshape(-1, CLASS_PARTS)[:, _COLUMNS]


def seen_classes(counts: SliceCounts) -> NDArray[np.int64]:
    """Rows of `class_table` of classes that were labelled or decided for: what scikit-learn averages over."""
    table = class_table(counts)
    seen: NDArray[np.int64] = table[(table[:, LABELLED] + table[:, SAID]) > 0]
    return seen


def macro(counts: SliceCounts, values: Floats, variances: Floats, level: float) -> Estimate:
    """The plain mean over classes, with a normal interval.

    Args:
        counts: of the slice.
        values: float64[k], of each class, in [0, 1].
        variances: float64[k], of these.
        level: confidence level, in (0, 1).
    """
    if not len(values):
        return unlabelled(counts, "no labelled decisions")
    value = float(np.mean(values))
    half = normal_quantile(level) * math.sqrt(float(np.sum(variances))) / len(values)
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def share(hits: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Shares, 0 of no rows as in scikit-learn, and their variances at `(hits + 1) / (rows + 2)`."""
    smooth = (hits + 1) / (rows + 2)
    return hits / np.maximum(rows, 1), smooth * (1 - smooth) / np.maximum(rows, 1)
