"""Values and labels of a regression to the counters of one slice, by the product's own task."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.core.contributions import Wide
from monitor.core.counters import VALUES, SliceCounts
from monitor.core.tasks import Regression
from monitor.core.tasks.answers import UNKNOWN, Answers
from monitor.core.tasks.moments import CELLS

Floats = NDArray[np.float64]


def counted(values: Floats, labels: Floats | None = None, task: Regression | None = None) -> SliceCounts:
    """Counts of rows that all have a value, and a label where labels are given."""
    task = Regression() if task is None else task
    rows = len(values)
    answers = Answers(np.asarray(values, np.float64), np.full(rows, UNKNOWN, np.int8), [b""] * rows)
    everyone = np.ones(rows, np.bool_)
    scalars = task.predicted(answers, ~everyone, everyone)
    times = np.zeros(rows, np.int64)
    wide = Wide(times, times, np.zeros((rows, 1), np.int64), scalars)
    parts = [*task.predicted_cells(wide, answers)]
    if labels is not None:
        scalars = scalars + task.labelled(answers, np.asarray(labels, np.float64))
        parts += task.labelled_cells(wide, answers, np.asarray(labels, np.float64))
    cells = np.zeros(CELLS, np.int64)
    for kind, found in parts:
        if kind is VALUES:
            np.add.at(cells, found.cells, found.amounts)
    return SliceCounts(scalars.sum(axis=0), values=cells, unit=task.unit)
