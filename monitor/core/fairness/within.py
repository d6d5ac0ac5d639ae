"""A gap within strata of a legitimate feature: do people of the same credit score fare alike?

Each stratum compares its own rows of the group with its own rows of the others; the strata are averaged with
Mantel-Haenszel weights `w_k = n_k m_k / (n_k + m_k)`, n_k rows of the group and m_k of the others. A stratum
that lacks one side says nothing and is left out; `rows` tells how many of the group's rows were compared.

For rates, with a of n hits in the group, c of m in the others, N = n + m, sums over strata:

* odds ratio `R / S`, `R = Σ a (m - c) / N`, `S = Σ c (n - a) / N`; variance of its logarithm by Robins,
  Breslow and Greenland (1986), doi:10.2307/2531052:
  `Σ P R_k / 2R² + Σ (P S_k + Q R_k) / 2RS + Σ Q S_k / 2S²`, `P = (a + m - c) / N`, `Q = 1 - P`;
* ratio of rates `Σ (a m / N) / Σ (c n / N)`; variance of its logarithm by Greenland and Robins (1985),
  doi:10.2307/2530643;
* difference `δ = Σ w (a/n - c/m) / Σ w` with Sato's variance (1989), doi:10.2307/2531506, which is linear in
  the difference itself, `(δ J + K) / W²`; the interval solves `(δ̂ - δ)² = z² (δ J + K) / W²`, Klingenberg
  (2014), doi:10.1002/sim.6122, and holds for few and for many strata alike.

For means the same weights, variances of each side of each stratum, and the delta method for the logarithm of
the ratio of the two weighted means; a stratum needs two rows on either side.

Source of the idea: Mantel and Haenszel (1959), doi:10.1093/jnci/22.4.719; conditional parity in Kamiran,
Žliobaitė and Calders (2013), doi:10.1007/s10115-012-0584-8.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.core.fairness.comparison import ROWS_MIN, contrast, insufficient
from monitor.core.fairness.readings import Contrast, estimate_dict
from monitor.core.fairness.sums import Moments, Sums, Trials, total
from monitor.core.metrics.estimate import Estimate
from monitor.core.metrics.intervals import normal_quantile

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stratified:
    """A group against others, stratum by stratum.

    Attributes:
        adjusted: within strata.
        odds_ratio: common odds ratio; undefined for means.
        unadjusted: the same rows without strata, of all rows of either side.
        strata: strata that have rows of both sides.
        rows: the group's rows in them.
        rows_all: all the group's rows.
    """

    adjusted: Contrast
    odds_ratio: Estimate
    unadjusted: Contrast
    strata: int
    rows: int
    rows_all: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **self.adjusted.to_dict(),
            "odds_ratio": estimate_dict(self.odds_ratio),
            "unadjusted": self.unadjusted.to_dict(),
            "strata": self.strata,
            "rows": self.rows,
            "rows_all": self.rows_all,
        }


def within(
    strata: Sequence[Mapping[str, Sums]],
    group: str,
    against: str | None = None,
    level: float = 0.95,
    rows_min: int = ROWS_MIN,
    ratios: bool = True,
    absent: str = "no rows",
) -> Stratified:
    """Compare `group` with `against`, or with all other groups, within strata.

    Args:
        strata: for each stratum, name of a group → sums of one family.
        group: which group; it may be missing from strata.
        against: another group; all others together by default.
        level: confidence level, in (0, 1).
        rows_min: rows either side needs, over the strata compared.
        ratios: whether ratios are wanted.
        absent: what is missing in a group without rows.

    >>> one = {"a": Trials(40, 100), "b": Trials(40, 100)}  # few of a, many of b among high scores
    >>> two = {"a": Trials(8, 10), "b": Trials(320, 400)}
    >>> found = within([one, two], "a")
    >>> round(found.unadjusted.difference.value, 2), found.adjusted.difference.value
    (-0.28, 0.0)
    """
    pairs: list[tuple[Sums, Sums]] = []
    sides: tuple[list[Sums], list[Sums]] = ([], [])
    for stratum in strata:
        mine = stratum.get(group)
        others = [sums for name, sums in stratum.items() if name != group and against in (None, name)]
        sides[0].extend([mine] if mine is not None else [])
        sides[1].extend(others)
        if mine is None or not others:
            continue
        other = total(others)
        fewest = 2 if isinstance(mine, Moments) else 1
        if min(mine.rows, other.rows) >= fewest:
            pairs.append((mine, other))
    if not sides[0] or not sides[1]:
        return _undefined(Contrast.undefined(absent), absent, 0, 0, 0)
    whole = total(sides[0])
    unadjusted = contrast(whole, total(sides[1]), level, rows_min, ratios, absent)
    rows = sum(mine.rows for mine, _ in pairs)
    refusal = insufficient(rows, rows_min, absent) or insufficient(
        sum(other.rows for _, other in pairs), rows_min, absent
    )
    if refusal:
        return _undefined(unadjusted, refusal, len(pairs), rows, whole.rows)
    rates = [(mine, other) for mine, other in pairs if isinstance(mine, Trials) and isinstance(other, Trials)]
    if rates:
        adjusted, odds = _rates(rates, level)
    else:
        means = [(m, o) for m, o in pairs if isinstance(m, Moments) and isinstance(o, Moments)]
        adjusted = _means(means, level, ratios)
        odds = Estimate.undefined("odds are those of rates")
    return Stratified(adjusted, odds, unadjusted, len(pairs), rows, whole.rows)


def _undefined(unadjusted: Contrast, reason: str, strata: int, rows: int, rows_all: int) -> Stratified:
    return Stratified(
        Contrast.undefined(reason), Estimate.undefined(reason), unadjusted, strata, rows, rows_all
    )


def _rates(pairs: Sequence[tuple[Trials, Trials]], level: float) -> tuple[Contrast, Estimate]:
    a, n, c, m = np.array(
        [(mine.hits, mine.rows, other.hits, other.rows) for mine, other in pairs], np.float64
    ).T
    rows = n + m
    z = normal_quantile(level)
    up, down = a * (m - c) / rows, c * (n - a) / rows
    return (
        Contrast(_difference(a, n, c, m, z), _risk_ratio(a, n, c, m, z)),
        _odds_ratio(up, down, (a + m - c) / rows, z),
    )


def _difference(a: Floats, n: Floats, c: Floats, m: Floats, z: float) -> Estimate:
    rows = n + m
    weight = float((n * m / rows).sum())
    value = float(((a * m - c * n) / rows).sum()) / weight
    hits = float((a + c).sum())
    if hits in (0.0, float(rows.sum())):
        return Estimate(value)  # nothing varies: the variance would be 0 whatever the rows
    slope = float(((n * n * c - m * m * a + n * m * (m - n) / 2) / rows**2).sum())
    constant = float(((a * (m - c) + c * (n - a)) / (2 * rows)).sum())
    middle = value + z * z * slope / (2 * weight**2)
    reach = math.sqrt(max(middle**2 - value**2 + z * z * constant / weight**2, 0.0))
    return Estimate(value, max(-1.0, min(value, middle - reach)), min(1.0, max(value, middle + reach)))


def _risk_ratio(a: Floats, n: Floats, c: Floats, m: Floats, z: float) -> Estimate:
    rows = n + m
    up, down = float((a * m / rows).sum()), float((c * n / rows).sum())
    if up == 0 or down == 0:
        return _without_spread(up, down)
    spread = float((((a + c) * n * m - a * c * rows) / rows**2).sum()) / (up * down)
    return _log_interval(up / down, spread, z)


def _odds_ratio(up: Floats, down: Floats, concordant: Floats, z: float) -> Estimate:
    r, s = float(up.sum()), float(down.sum())
    if r == 0 or s == 0:
        return _without_spread(r, s)
    p, q = concordant, 1 - concordant
    spread = (
        float((p * up).sum()) / (2 * r * r)
        + float((p * down + q * up).sum()) / (2 * r * s)
        + float((q * down).sum()) / (2 * s * s)
    )
    return _log_interval(r / s, spread, z)


def _without_spread(up: float, down: float) -> Estimate:
    if down == 0:
        return Estimate.undefined("a ratio to 0")
    return Estimate(up / down)


def _log_interval(value: float, variance: float, z: float) -> Estimate:
    factor = math.exp(z * math.sqrt(variance))
    return Estimate(value, value / factor, value * factor)


def _means(pairs: Sequence[tuple[Moments, Moments]], level: float, ratios: bool) -> Contrast:
    n, x, v, m, y, u = np.array(
        [
            (mine.rows, mine.mean, mine.variance, other.rows, other.mean, other.variance)
            for mine, other in pairs
        ],
        np.float64,
    ).T
    z = normal_quantile(level)
    weight = n * m / (n + m)
    share = weight / weight.sum()
    one, two = float(share @ x), float(share @ y)
    spread_one, spread_two = float(share**2 @ (v / n)), float(share**2 @ (u / m))
    half = z * math.sqrt(spread_one + spread_two)
    gap = Estimate(one - two, one - two - half, one - two + half)
    if not ratios:
        return Contrast(gap, Estimate.undefined("a ratio means nothing for this quantity"))
    if one <= 0 or two <= 0:
        return Contrast(gap, Estimate.undefined("a ratio needs means above 0"))
    return Contrast(gap, _log_interval(one / two, spread_one / one**2 + spread_two / two**2, z))
