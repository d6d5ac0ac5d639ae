"""Direct loss estimation by cells: the loss of a regression model before its labels come.

Rows are put into cells by what is known of them without a label: the size of the value. Labelled rows tell
the mean loss of each cell, live rows how full it is. As with `cbpe`, a shift between cells is followed, a
change within them is not seen.
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
"""Labelled rows of a cell at which its own mean weighs as much as what is expected of it without them."""

NEAR: Final = 0.5
"""Weight of a cell's neighbour in what is expected of the cell; of the next, its square."""

CELL_ROWS_MIN: Final = 10
"""Labelled rows below which a cell counts as unknown."""

UNKNOWN_SHARE_MAX: Final = 0.1
"""Live rows in cells that labelled rows do not know, past which there is no estimate."""

ROWS_MIN: Final = 100
"""Labelled rows of all traffic below which there is no estimate."""

_TREND_CELLS_MIN: Final = 3
_SPREAD_MIN: Final = 1e-12
_POWERS: Final = (-1.0, 2.0)

SLICE_ROWS_MIN: Final = 30
"""Labelled rows of a slice below which it has none: that its errors are like everybody's is what a monitor
of slices may not assume."""


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


@dataclass(frozen=True)
class _Fitted:
    """Mean and variance of the losses of each cell, and labelled rows behind the mean, float64[K] each."""

    mean: Floats
    spread: Floats
    weight: Floats


def estimated_mean_loss(
    live: Counts,
    known: CellLosses,
    level: float = 0.95,
    own: CellLosses | None = None,
    trend: Floats | None = None,
) -> Estimate:
    """Expected mean loss of live rows.

        value = Σ_k q[k] m[k],    m[k] = (S[k] + a M[k]) / (n[k] + a)
        M[k] = t[k] Σ_j h^|j - k| S[j] / Σ_j h^|j - k| n[j] t[j]

    with q the share of live rows in cell k, S and n the losses and rows of labelled ones, M what the cells
    around make expected, t the trend, h = `NEAR` and a = `SHRINK_ROWS`. Absolute errors give the mean
    absolute error; squared errors give the mean squared error, whose root (and whose interval's roots) is
    the root mean squared error.

    A slice starts from the cells of all traffic, each as many times larger as the slice's losses are on the
    whole, and moves towards its own:

        m'[k] = (S'[k] + a ρ m[k]) / (n'[k] + a),    ρ = Σ S' / Σ n' m

    Interval: normal, for the mean loss that these very rows will show; variance
    `Σ_k q[k]² s²[k] / (n[k] + a) + Σ_k q[k] s²[k] / N`, with s² the variance of the losses of a cell and N
    live rows, and for a slice that of ρ, times `(Σ_k q[k] m[k] a / (n'[k] + a))²`; not below 0.

    Args:
        live: rows per cell, int64[K], cells in the order of what they are bins of.
        known: labelled rows of all traffic.
        level: confidence level, in (0, 1).
        own: labelled rows of the slice that the live rows are of; None for all traffic.
        trend: how losses compare between cells by and large, float64[K], positive; flat if None.

    Returns:
        Undefined for no live rows, fewer than `ROWS_MIN` labelled ones (`SLICE_ROWS_MIN` of a slice), or more
        than `UNKNOWN_SHARE_MAX` of live rows in cells of fewer than `CELL_ROWS_MIN` labelled ones.

    Source: the model-free form of NannyML's DLE, a regression on losses; post-stratification, Holt and Smith
    (1979), doi:10.2307/2344652.

    >>> losses = CellLosses(np.array([90, 90]), np.array([90.0, 180.0]), np.array([90.0, 360.0]))
    >>> round(estimated_mean_loss(np.array([25, 75]), losses).value, 3)
    1.733
    """
    rows, count = int(live.sum()), int(known.rows.sum())
    if rows == 0:
        return Estimate.undefined("no rows with a prediction")
    if count < ROWS_MIN:
        return Estimate.undefined(f"labelled history of {count} rows; {ROWS_MIN} are needed")
    if own is not None and own.rows.sum() < SLICE_ROWS_MIN:
        return Estimate.undefined(
            f"labelled history of {int(own.rows.sum())} rows of the slice; {SLICE_ROWS_MIN} are needed"
        )
    unknown = float(live[known.rows < CELL_ROWS_MIN].sum()) / rows
    if unknown > UNKNOWN_SHARE_MAX:
        return Estimate.undefined(f"{unknown:.0%} of rows are unlike any that were labelled")
    slope = np.ones(len(live)) if trend is None else trend
    fitted = _fit(
        known,
        slope * _near(known.total) / _near(known.rows * slope),
        slope**2 * _near(known.total_sq) / _near(known.rows * slope**2),
    )
    q = live / rows
    variance = 0.0
    if own is not None:
        expected = float(own.rows @ fitted.mean)
        ratio = float(own.total.sum()) / expected if expected > 0 else 1.0
        squares = fitted.spread + fitted.mean**2
        expected_sq = float(own.rows @ squares)
        ratio_sq = float(own.total_sq.sum()) / expected_sq if expected_sq > 0 else 1.0
        borrowed = fitted.mean
        fitted = _fit(own, ratio * borrowed, ratio_sq * squares)
        unsure = float(own.rows @ fitted.spread) / expected**2 if expected > 0 else 0.0
        variance = unsure * float(q @ (borrowed * SHRINK_ROWS / fitted.weight)) ** 2
    value = float(q @ fitted.mean)
    variance += float(q**2 @ (fitted.spread / fitted.weight)) + float(q @ fitted.spread) / rows
    half = normal_quantile(level) * float(np.sqrt(variance))
    return Estimate(value, max(0.0, value - half), value + half, estimated=True)


def power_trend(known: CellLosses, sizes: Floats) -> Floats:
    """`sizes ** β`, float64[K]: β by least squares on logarithms, a cell weighed by its labelled rows.

    Flat where fewer than three cells are known. β is kept within [-1, 2] for losses that are absolute errors.

    Args:
        known: labelled rows.
        sizes: what losses may grow with, float64[K], positive.
    """
    some = (known.rows >= CELL_ROWS_MIN) & (known.total > 0)
    if some.sum() < _TREND_CELLS_MIN:
        return np.ones(len(sizes))
    weight = known.rows[some] / known.rows[some].sum()
    x, y = np.log(sizes[some]), np.log(known.total[some] / known.rows[some])
    from_mean = x - weight @ x
    power = float(weight @ (from_mean * y)) / max(float(weight @ from_mean**2), _SPREAD_MIN)
    return np.asarray(sizes ** np.clip(power, *_POWERS), np.float64)


def _near(sums: Floats | Counts) -> Floats:
    """Sums of every cell and its neighbours, each `NEAR` times less than the one before, float64[K]."""
    at = np.arange(len(sums))
    return np.asarray(NEAR ** np.abs(at[:, None] - at) @ sums, np.float64)


def _fit(known: CellLosses, mean: Floats, mean_sq: Floats) -> _Fitted:
    """Cells moved from what is expected of them, float64[K] each, towards their labelled rows."""
    weight = (known.rows + SHRINK_ROWS).astype(np.float64)
    moved = (known.total + SHRINK_ROWS * mean) / weight
    moved_sq = (known.total_sq + SHRINK_ROWS * mean_sq) / weight
    return _Fitted(moved, np.maximum(moved_sq - moved**2, 0.0), weight)
