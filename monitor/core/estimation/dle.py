"""Direct loss estimation by cells: the loss of a regression model before its labels come.

Rows are put into cells by what is known of them without a label (bins of the prediction, of a feature, of
their crossing); labelled rows tell the mean loss of each cell, live rows how full it is. As with `cbpe`,
a shift between cells is followed, a change within them is not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.core.counters import Counts
from monitor.core.estimation.calibration import Floats
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.intervals import normal_quantile

SHRINK_ROWS: Final = 10.0
"""Labelled rows of a cell at which its own mean weighs as much as the mean of all cells."""

CELL_ROWS_MIN: Final = 10
"""Labelled rows below which a cell counts as unknown."""

UNKNOWN_SHARE_MAX: Final = 0.1
"""Live rows in cells that labelled rows do not know, past which there is no estimate."""

ROWS_MIN: Final = 100
"""Labelled rows below which there is no estimate."""


@dataclass(frozen=True)
class CellLosses:
    """Losses of labelled rows, cell by cell; float64[K] or int64[K] each.

    Attributes:
        rows: labelled rows.
        total: sum of their losses.
        total_sq: sum of the squares of their losses.
    """

    rows: Counts
    total: Floats
    total_sq: Floats


def estimated_mean_loss(live: Counts, known: CellLosses, level: float = 0.95) -> Estimate:
    """Expected mean loss of live rows.

        value = Σ_k q[k] m[k],    m[k] = (S[k] + a M) / (n[k] + a)

    with q the share of live rows in cell k, S and n the losses and rows of labelled ones, M their overall
    mean and a = `SHRINK_ROWS`. Absolute errors give the mean absolute error; squared errors give the mean
    squared error, whose root (and whose interval's roots) is the root mean squared error.

    Interval: normal, for the mean loss that these very rows will show; variance
    `Σ_k q[k]² s²[k] / (n[k] + a) + Σ_k q[k] s²[k] / N`, with s² the variance of the losses of a cell and N
    live rows; not below 0.

    Args:
        live: rows per cell, int64[K].
        known: of labelled rows.
        level: confidence level, in (0, 1).

    Returns:
        Undefined for no live rows, fewer than `ROWS_MIN` labelled ones, or more than `UNKNOWN_SHARE_MAX` of
        live rows in cells of fewer than `CELL_ROWS_MIN` labelled ones.

    Source: the model-free form of NannyML's DLE, a regression on losses; post-stratification, Holt and Smith
    (1979), doi:10.2307/2344652.

    >>> losses = CellLosses(np.array([90, 90]), np.array([90.0, 180.0]), np.array([90.0, 360.0]))
    >>> round(estimated_mean_loss(np.array([25, 75]), losses).value, 3)
    1.725
    """
    rows, count = int(live.sum()), int(known.rows.sum())
    if rows == 0:
        return Estimate.undefined("no rows with a prediction")
    if count < ROWS_MIN:
        return Estimate.undefined(f"labelled history of {count} rows; {ROWS_MIN} are needed")
    unknown = float(live[known.rows < CELL_ROWS_MIN].sum()) / rows
    if unknown > UNKNOWN_SHARE_MAX:
        return Estimate.undefined(f"{unknown:.0%} of rows are unlike any that were labelled")
    overall = float(known.total.sum()) / count
    overall_sq = float(known.total_sq.sum()) / count
    weight = known.rows + SHRINK_ROWS
    mean = (known.total + SHRINK_ROWS * overall) / weight
    spread = np.maximum((known.total_sq + SHRINK_ROWS * overall_sq) / weight - mean**2, 0.0)
    q = live / rows
    value = float(q @ mean)
    variance = float(q**2 @ (spread / weight)) + float(q @ spread) / rows
    half = normal_quantile(level) * float(np.sqrt(variance))
    return Estimate(value, max(0.0, value - half), value + half, estimated=True)
