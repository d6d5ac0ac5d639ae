"""Confidence intervals from sums. Each states its source; none leaves the range of its metric."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from scipy.optimize import brentq
from scipy.special import ndtri, stdtrit

from monitor.core.counters import FIXED_ONE
from monitor.core.metrics.estimate import Estimate

_NEAR: Final = 1e-12
"""Distance from the estimate at which the search for an end of a score interval starts."""


@lru_cache(maxsize=32)
def normal_quantile(level: float) -> float:
    """Two-sided standard normal quantile of a confidence level in (0, 1).

    >>> round(normal_quantile(0.95), 4)
    1.96
    """
    return float(ndtri(0.5 + level / 2))


def wilson(share: float, trials: float, level: float) -> tuple[float, float]:
    """Wilson's score interval of a binomial share.

    Holds its level for small counts, and for shares of 0 and 1, where the usual normal interval collapses.

    Args:
        share: observed share, in [0, 1].
        trials: number of trials, positive.
        level: confidence level, in (0, 1).

    Source: Wilson (1927), doi:10.1080/01621459.1927.10502953; recommended by Brown, Cai and DasGupta
    (2001), doi:10.1214/ss/1009213286.

    >>> [round(end, 4) for end in wilson(0.0, 10, 0.95)]
    [0.0, 0.2775]
    """
    z2 = normal_quantile(level) ** 2 / trials
    centre = (share + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / 4)) / (1 + z2)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def proportion(successes: int, trials: int, level: float) -> Estimate:
    """A share of `trials` > 0 with Wilson's interval."""
    share = successes / trials
    return Estimate(share, *wilson(share, trials, level))


def mean(total: int, total_sq: int, rows: int, level: float, ceiling: float) -> Estimate:
    """A mean of values in [0, ceiling] with Student's interval, clipped to that range.

    Args:
        total: fixed-point sum of the values.
        total_sq: fixed-point sum of their squares.
        rows: number of values, positive; of a single one the interval is unknown.
        level: confidence level, in (0, 1).
        ceiling: greatest possible value, may be infinite.

    Source: Student (1908), doi:10.1093/biomet/6.1.1, variance `(sum of squares / n - mean²) n / (n - 1)`.
    """
    value = total / rows / FIXED_ONE
    if rows < 2:
        return Estimate(value)
    variance = max(total_sq / rows / FIXED_ONE - value * value, 0.0) * rows / (rows - 1)
    half = float(stdtrit(rows - 1, 0.5 + level / 2)) * math.sqrt(variance / rows)
    return Estimate(value, max(0.0, value - half), min(ceiling, value + half))


def logit_normal(value: float, variance: float, level: float) -> tuple[float, float]:
    """A normal interval on the logit scale, by the delta method; `value` itself at 0 and 1.

    Source: for areas under ROC curves Pepe (2003), The Statistical Evaluation of Medical Tests, chapter 5;
    for areas under precision-recall curves Boyd, Eng and Page (2013), doi:10.1007/978-3-642-40994-3_29.
    """
    if not 0.0 < value < 1.0:
        return value, value
    factor = math.exp(-normal_quantile(level) * math.sqrt(variance) / (value * (1 - value)))
    odds = value / (1 - value)
    low = odds * factor / (1 + odds * factor)
    return low, odds / (odds + factor)


def score_area(area: float, positives: int, negatives: int, level: float) -> tuple[float, float]:
    """Newcombe's score interval of a Mann-Whitney area, from the area and the two group sizes alone.

    With `k = (positives + negatives) / 2 - 1` the ends are the areas θ that lie
    `z sqrt(θ (1 - θ) (1 + k (1 - θ) / (2 - θ) + k θ / (1 + θ)) / (positives negatives))` from `area`.

    Source: Newcombe (2006), method 5, doi:10.1002/sim.2324.
    """
    z = normal_quantile(level)
    k = (positives + negatives) / 2 - 1
    pairs = positives * negatives

    def reach(theta: float) -> float:
        spread = 1 + k * (1 - theta) / (2 - theta) + k * theta / (1 + theta)
        return z * math.sqrt(theta * (1 - theta) * spread / pairs)

    low = _root(lambda theta: area - theta - reach(theta), 0.0, area - _NEAR)
    high = _root(lambda theta: theta - area - reach(theta), area + _NEAR, 1.0)
    return low, high


def _root(difference: Callable[[float], float], low: float, high: float) -> float:
    """Where a difference that changes its sign at most once is zero; the end it does not reach otherwise."""
    if low >= high:
        return min(max(low, 0.0), 1.0)
    at_low, at_high = difference(low), difference(high)
    if at_low * at_high >= 0:
        return low if abs(at_low) < abs(at_high) else high
    return float(brentq(difference, low, high, xtol=1e-9))
