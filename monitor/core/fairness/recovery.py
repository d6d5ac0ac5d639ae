"""Intervals of differences and ratios of two independent estimates, recovered from their own intervals.

The method of variance estimates recovery (MOVER) asks nothing of an estimate but its interval, and keeps the
asymmetry that makes Wilson's interval right for small counts and rates near 0 and 1. For two rates the
difference is Newcombe's.

Sources: Newcombe (1998), method 10, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I;
Zou and Donner (2008), doi:10.1002/sim.3095; ratios Donner and Zou (2012), doi:10.1177/0962280210383082;
both recommended for two binomial rates by Fagerland, Lydersen and Laake (2015),
doi:10.1177/0962280211415469.
"""

from __future__ import annotations

import math

from monitor.core.metrics.estimate import Estimate


def difference(one: Estimate, other: Estimate) -> Estimate:
    """`one - other`; both have values.

    With estimates x, y and their intervals [l, u], [m, v]:
    `[x - y - sqrt((x - l)² + (v - y)²), x - y + sqrt((u - x)² + (y - m)²)]`.

    Newcombe's published example, 56 of 70 against 48 of 80:

    >>> found = difference(Estimate(0.8, 0.69174, 0.87694), Estimate(0.6, 0.49047, 0.70023))
    >>> round(found.low, 3), round(found.high, 3)
    (0.052, 0.334)
    """
    assert one.value is not None
    assert other.value is not None
    value = one.value - other.value
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return Estimate(value)
    return Estimate(
        value,
        value - math.hypot(one.value - one.low, other.high - other.value),
        value + math.hypot(one.high - one.value, other.value - other.low),
    )


def ratio(one: Estimate, other: Estimate) -> Estimate:
    """`one / other` of two quantities that are never negative; undefined where `other` is 0.

    With `x, [l, u]` over `y, [m, v]`, A = l (2x - l), B = v (2y - v), C = u (2x - u), D = m (2y - m):
    `[A / (xy + sqrt(x²y² - AB)), (xy + sqrt(x²y² - CD)) / D]`, the upper end infinite where m is 0.

    >>> found = ratio(Estimate(0.5, 0.4, 0.6), Estimate(0.25, 0.2, 0.3))
    >>> found.value, round(found.low, 2), round(found.high, 2)
    (2.0, 1.5, 2.67)
    """
    assert one.value is not None
    assert other.value is not None
    x, y = one.value, other.value
    if x < 0 or y < 0:
        return Estimate.undefined("a ratio needs quantities that are not negative")
    if y == 0:
        return Estimate.undefined("a ratio to 0")
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return Estimate(x / y)
    low, high = _spread(x, max(one.low, 0.0)), _spread(x, one.high)
    under, over = _spread(y, max(other.low, 0.0)), _spread(y, other.high)
    product = x * y
    down = product + math.sqrt(max(product * product - low * over, 0.0))
    up = product + math.sqrt(max(product * product - high * under, 0.0))
    return Estimate(x / y, low / down if down > 0 else 0.0, up / under if under > 0 else math.inf)


def _spread(value: float, end: float) -> float:
    return end * (2 * value - end)


def inverse(value: Estimate) -> Estimate:
    """One over a ratio.

    >>> inverse(Estimate(0.5, 0.25, math.inf))
    Estimate(value=2.0, low=0.0, high=4.0, reason=None, error_bound=None, estimated=False)
    """
    if value.value is None:
        return value
    if value.value == 0:
        return Estimate.undefined("a ratio to 0")
    low = None if value.high is None else 1 / value.high
    high = None if value.low is None else (math.inf if value.low == 0 else 1 / value.low)
    return Estimate(1 / value.value, low, high)
