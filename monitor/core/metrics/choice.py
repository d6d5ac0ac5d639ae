"""Which metrics a question is about, and whether what is kept suffices for them. Pure."""

from __future__ import annotations

import math
from difflib import get_close_matches
from typing import Final

import numpy as np

from monitor.core.counters import (
    CALIBRATION,
    CALIBRATION_PARTS,
    CLASSES,
    SCALARS,
    SCORES,
    VALUES,
    Counts,
    Curve,
    Kind,
    Scalar,
    SliceCounts,
)
from monitor.core.errors import QueryError
from monitor.core.estimation import ESTIMATES_OF
from monitor.core.metrics import METRICS_OF, Estimate, Metric
from monitor.core.metrics.estimate import CONTRADICTION

BESIDE: Final = frozenset({CLASSES, VALUES})
"""Kinds that are kept wherever scalars are."""

FINE: Final = BESIDE | {SCALARS}
"""Kinds that are kept in every tier."""


def metric_named(name: str, task: str) -> Metric:
    """A metric of a task.

    Raises:
        QueryError: there is none of that name; names the nearest.
    """
    for metric in METRICS_OF[task]:
        if metric.name == name:
            return metric
    names = [metric.name for metric in METRICS_OF[task]]
    if name in ESTIMATES_OF[task]:
        raise QueryError(f"{name} is estimated for slices and has no series")
    near = get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
    raise QueryError(f"no metric {name!r}: {hint}")


def estimate_of(metric: Metric, counts: SliceCounts, level: float, refusal: str | None) -> Estimate:
    """A metric, or why there is none: what it reads is not there (`refusal`), or makes no sense together.

    A damaged store may hold more hits than rows, or fewer than no rows: each a number, together none.
    """
    try:
        with np.errstate(all="ignore"):
            estimate = metric(counts, level)
    except (ValueError, ArithmeticError):
        return Estimate.undefined(CONTRADICTION)
    if not all(math.isfinite(figure) for figure in (estimate.value, estimate.low, estimate.high) if figure):
        return Estimate.undefined(CONTRADICTION)
    if refusal is not None and metric.kind not in FINE and counts[Scalar.LABELLED]:
        return Estimate.undefined(refusal)
    return estimate


def whole(kind: Kind, array: Counts, scalars: Counts) -> bool:
    """Whether an array read after the scalars holds all their rows: it has not expired."""
    if kind is SCORES:
        return bool(Curve.of(array).scored.sum() >= scalars[Scalar.SCORED])
    if kind is CALIBRATION:
        return bool(array[::CALIBRATION_PARTS].sum() >= scalars[Scalar.RATED])
    return True
