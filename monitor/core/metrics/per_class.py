"""Each class of a multiclass model on its own, and who is taken for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from monitor.core.counters import SliceCounts, confusion_cell
from monitor.core.metrics.by_class import LABELLED, RIGHT, SAID, class_table
from monitor.core.metrics.estimate import CONTRADICTION, Estimate
from monitor.core.metrics.intervals import proportion, wilson


def per_class(
    counts: SliceCounts, names: Sequence[str], level: float = 0.95
) -> dict[str, dict[str, Estimate]]:
    """Class → `precision`, `recall`, `f1`, of classes that were labelled or decided for.

    Intervals: Wilson's; of F1 that of the Jaccard index it rises with.

    Args:
        counts: of a slice.
        names: of classes, by number.
        level: confidence level, in (0, 1).

    >>> cells = np.array([9, 4, 2, 1, 9, 1, 3, 1])
    >>> found = per_class(SliceCounts(np.zeros(22, np.int64), classes=cells), ["cat", "dog"])
    >>> found["cat"]["recall"].value, found["cat"]["precision"].value
    (0.25, 0.5)
    """
    found = {}
    for name, row in zip(names, class_table(counts), strict=False):
        labelled, said, right = (int(row[column]) for column in (LABELLED, SAID, RIGHT))
        either = labelled + said - right
        if not 0 <= right <= min(labelled, said):  # a damaged store
            broken = Estimate.undefined(CONTRADICTION)
            found[name] = {"precision": broken, "recall": broken, "f1": broken}
            continue
        if either == 0:
            continue
        jaccard = right / either
        low, high = wilson(jaccard, either, level)
        found[name] = {
            "precision": _share(right, said, level, "never decided for"),
            "recall": _share(right, labelled, level, "no labels"),
            "f1": Estimate(_f1(jaccard), _f1(low), _f1(high)),
        }
    return found


def confusion(counts: SliceCounts, names: Sequence[str]) -> Mapping[str, Mapping[str, int]] | None:
    """Label → decision → rows, pairs that never came left out; None where it is not kept.

    Args:
        counts: of a slice.
        names: of classes, by number.
    """
    cells = counts.confusion
    if cells is None:
        return None
    numbers = np.arange(len(names))
    found: dict[str, dict[str, int]] = {}
    for label, name in enumerate(names):
        for decision, cell in enumerate(confusion_cell(np.full(len(names), label), numbers).tolist()):
            if cell < len(cells) and cells[cell]:
                found.setdefault(name, {})[names[decision]] = int(cells[cell])
    return found


def _f1(jaccard: float) -> float:
    return 2 * jaccard / (1 + jaccard)


def _share(hits: int, rows: int, level: float, reason: str) -> Estimate:
    return proportion(hits, rows, level) if rows else Estimate.undefined(reason)
