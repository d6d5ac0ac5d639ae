"""Estimates of regression for every slice, from what it predicted in a window and labelled rows before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from monitor.core.counters import ALL_SLICE, SliceCounts
from monitor.core.estimation.dle import CellLosses, estimated_mean_loss, power_trend
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.of_values import sums_of
from monitor.core.tasks.losses import Losses, value_sizes
from monitor.core.tasks.moments import Counted, Moment

ESTIMATED_MAE: Final = "estimated_mae"
ESTIMATED_RMSE: Final = "estimated_rmse"


def estimate_losses(
    rows: Mapping[int, SliceCounts], history: Mapping[int, SliceCounts], level: float = 0.95
) -> dict[int, dict[str, Estimate]]:
    """Expected errors of every slice, in the model's own numbers.

    Args:
        rows: slice id → counts of the window; losses are read.
        history: slice id → counts of labelled rows before it, losses and values; those of all traffic among
            them.
        level: confidence level of the intervals, in (0, 1).

    Returns:
        Slice id → name of the estimate → estimate.
    """
    nothing = SliceCounts.zero()
    absolute, squared = _known(history.get(ALL_SLICE, nothing))
    trend = power_trend(absolute, value_sizes())
    answer: dict[int, dict[str, Estimate]] = {}
    for number, counts in rows.items():
        live = Losses.of(counts.losses).valued
        own: tuple[CellLosses, CellLosses] | tuple[None, None] = (None, None)
        if number != ALL_SLICE:
            own = _known(history.get(number, nothing))
        unit = counts.unit
        answer[number] = {
            ESTIMATED_MAE: _scaled(estimated_mean_loss(live, absolute, level, own[0], trend), unit, 1.0),
            ESTIMATED_RMSE: _scaled(estimated_mean_loss(live, squared, level, own[1], trend**2), unit, 0.5),
        }
    return answer


def _known(history: SliceCounts) -> tuple[CellLosses, CellLosses]:
    """Absolute and squared errors of labelled rows by bin of the value.

    Fourth powers are not kept by bin: they are taken as κ times the square of the mean square, with the one
    κ that makes their sum that of all rows.
    """
    losses, values = Losses.of(history.losses), sums_of(history)
    squares = losses.error_2**2 / np.maximum(losses.judged, 1)
    shape = 1.0
    if squares.any():
        # Both arrays are of the same buckets, but the values of some may outlive their losses.
        share = float(losses.judged.sum()) / max(values.rows(Counted.JUDGED), 1)
        shape = max(1.0, float(values.total(Moment.ERROR_4)) * share / float(squares.sum()))
    return (
        CellLosses(losses.judged, losses.error, losses.error_2),
        CellLosses(losses.judged, losses.error_2, shape * squares),
    )


def _scaled(estimate: Estimate, unit: float, power: float) -> Estimate:
    """A mean loss, to a power, in the model's own numbers."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    value, low, high = (end**power * unit for end in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high, estimated=True)
