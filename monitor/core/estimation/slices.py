"""Estimates of every slice, from its rows in a window and from labelled rows of the time before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from monitor.core.counters import ALL_SLICE, SCORE_BINS, Curve, Scalar, SliceCounts
from monitor.core.estimation.calibration import ROWS_MIN, adapt, fit, too_little
from monitor.core.estimation.cbpe import (
    EstimatedAccuracy,
    EstimatedF1,
    EstimatedRocAuc,
    Expected,
    rule_gap,
    said_yes,
)
from monitor.core.metrics.estimate import Estimate

ESTIMATES: Final[tuple[EstimatedAccuracy | EstimatedF1 | EstimatedRocAuc, ...]] = (
    EstimatedAccuracy(),
    EstimatedF1(),
    EstimatedRocAuc(),
)
"""Every estimate of a binary model, in the order in which people read them."""

RULE_GAP_MAX: Final = 0.01
"""Accuracy by which a cut of the scores may differ from the decisions, on labelled rows, before decisions
count as not following the score."""


def estimate_slices(
    rows: Mapping[int, SliceCounts], history: Mapping[int, SliceCounts], level: float = 0.95
) -> dict[int, dict[str, Estimate]]:
    """Every estimate of every slice.

    Args:
        rows: slice id → counts of the window; score curves and scalars are read.
        history: slice id → counts of labelled rows before it, those of all traffic among them.
        level: confidence level of the intervals, in (0, 1).

    Returns:
        Slice id → name of the estimate → estimate.
    """
    before = history.get(ALL_SLICE, SliceCounts.zero())
    known = before.curve or _nothing()
    reason = too_little(known.positive, known.negative)
    if reason is not None:
        undefined = all_undefined([estimate.name for estimate in ESTIMATES], reason)
        return dict.fromkeys(rows, undefined)
    whole, of_whole = fit(known.positive, known.negative), _breach(before)
    answer: dict[int, dict[str, Estimate]] = {}
    for number, counts in rows.items():
        own = history.get(number, SliceCounts.zero())
        curve = own.curve or _nothing()
        learned = whole if number == ALL_SLICE else adapt(whole, curve.positive, curve.negative)
        breach = _breach(own) if own[Scalar.RATED] >= ROWS_MIN else of_whole
        scored = (counts.curve or _nothing()).scored
        decided = counts[Scalar.DECIDED]
        yes = None
        if decided and breach is None:
            yes = said_yes(scored, counts[Scalar.POSITIVE] / decided)
        expected = Expected(scored, yes, learned, breach or "no decisions")
        answer[number] = {estimate.name: estimate(expected, level) for estimate in ESTIMATES}
    return answer


def all_undefined(names: Iterable[str], reason: str) -> dict[str, Estimate]:
    """No estimate at all, and why."""
    return {name: Estimate.undefined(reason) for name in names}


def _breach(history: SliceCounts) -> str | None:
    """Why decisions cannot be told from the scores; None where they can, or nothing says otherwise."""
    curve = history.curve or _nothing()
    tp, fp, tn, fn = (history[cell] for cell in (Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN))
    rated = int((curve.positive + curve.negative).sum())
    if rated == 0 or tp + fp + tn + fn != rated:
        return None  # some rows lack a score or a decision: the two are not of the same rows
    gap, unsure = rule_gap(curve.positive, curve.negative, (tp, fp, tn, fn))
    if abs(gap) <= RULE_GAP_MAX + unsure:
        return None
    word = "more" if gap > 0 else "less"
    return (
        f"decisions do not follow the score: a cut at their share is right {abs(gap):.1%} {word} often on "
        "labelled rows"
    )


def _nothing() -> Curve:
    zero = np.zeros(SCORE_BINS, np.int64)
    return Curve(zero, zero, zero)
