"""The greatest of several differences and the smallest of several ratios, with intervals.

Where every interval holds at once, the greatest lower and the greatest upper end hold the true maximum; the
least ends hold the true minimum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from monitor.core.fairness.recovery import inverse
from monitor.core.metrics.estimate import Estimate


def greatest(gaps: Iterable[Estimate]) -> Estimate:
    """The greatest size of differences, its interval from theirs; ends are absolute."""
    sized = [_absolute(gap) for gap in gaps if gap.value is not None]
    if not sized:
        return Estimate.undefined("no difference is defined")
    lows = [gap.low for gap in sized if gap.low is not None]
    highs = [gap.high for gap in sized if gap.high is not None]
    return Estimate(
        max(gap.value for gap in sized if gap.value is not None),
        max(lows) if len(lows) == len(sized) else None,
        max(highs) if len(highs) == len(sized) else None,
    )


def _absolute(gap: Estimate) -> Estimate:
    assert gap.value is not None
    if gap.low is None or gap.high is None:
        return Estimate(abs(gap.value))
    low, high = sorted((abs(gap.low), abs(gap.high)))
    return Estimate(abs(gap.value), 0.0 if gap.low <= 0 <= gap.high else low, high)


def smallest(ratios: Iterable[Estimate]) -> Estimate:
    """The smallest of ratios, each read as at most 1, its interval from theirs."""
    found = list(ratios)
    turned = [_at_most_one(value) for value in found if value.value is not None]
    if not turned:
        return found[0] if found else Estimate.undefined("no ratio is defined")
    lows = [value.low for value in turned if value.low is not None]
    highs = [value.high for value in turned if value.high is not None]
    return Estimate(
        min(value.value for value in turned if value.value is not None),
        min(lows) if len(lows) == len(turned) else None,
        min(highs) if len(highs) == len(turned) else None,
    )


def _at_most_one(value: Estimate) -> Estimate:
    assert value.value is not None
    if value.value > 1:
        value = inverse(value)
        assert value.value is not None
    if value.low is None or value.high is None:
        return value
    low = min(value.low, 0.0 if math.isinf(value.high) else 1 / value.high) if value.high > 0 else value.low
    return Estimate(value.value, low, min(value.high, 1.0))
