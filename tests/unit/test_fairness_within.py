"""Gaps within strata: published figures, one stratum against scipy, and coverage by simulation."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from monitor.core.fairness.sums import Moments, Sums, Trials
from monitor.core.fairness.within import within
from monitor.core.metrics.estimate import Estimate

BERKELEY = {
    # department: men admitted, refused; women admitted, refused
    "A": (512, 313, 89, 19),
    "B": (353, 207, 17, 8),
    "C": (120, 205, 202, 391),
    "D": (138, 279, 131, 244),
    "E": (53, 138, 94, 299),
    "F": (22, 351, 24, 317),
}
"""Bickel, Hammel and O'Connell (1975), doi:10.1126/science.187.4175.398; R's data set `UCBAdmissions`."""


def holds(found: Estimate, truth: float) -> bool:
    assert found.low is not None
    assert found.high is not None
    return found.low <= truth <= found.high


def test_berkeley_admissions_are_what_r_says() -> None:
    """`mantelhaen.test(UCBAdmissions)`: 0.9046968, 95 % from 0.7719074 to 1.0603298."""
    strata = [{"Male": Trials(a, a + b), "Female": Trials(c, c + d)} for a, b, c, d in BERKELEY.values()]
    found = within(strata, "Male")
    odds = found.odds_ratio
    assert (odds.value, odds.low, odds.high) == pytest.approx((0.9046968, 0.7719074, 1.0603298), abs=1e-7)
    # Men are admitted far more often, and within departments they are not.
    assert found.unadjusted.difference.value == pytest.approx(1198 / 2691 - 557 / 1835)
    assert found.unadjusted.difference.low is not None
    assert found.unadjusted.difference.low > 0.1
    assert holds(found.adjusted.difference, 0.0)
    assert holds(found.adjusted.ratio, 1.0)
    assert (found.strata, found.rows, found.rows_all) == (6, 2691, 2691)
    json.dumps(found.to_dict(), allow_nan=False)


def test_one_stratum_is_the_plain_table() -> None:
    found = within([{"a": Trials(60, 200), "b": Trials(90, 180)}], "a")
    assert found.adjusted.difference.value == pytest.approx(0.3 - 0.5)
    odds = stats.contingency.odds_ratio([[60, 140], [90, 90]], kind="sample")
    assert found.odds_ratio.value == pytest.approx(odds.statistic)
    expected = odds.confidence_interval(0.95)
    assert (found.odds_ratio.low, found.odds_ratio.high) == pytest.approx((expected.low, expected.high))
    risk = stats.contingency.relative_risk(60, 200, 90, 180)
    expected = risk.confidence_interval(0.95)
    times = found.adjusted.ratio
    assert (times.value, times.low, times.high) == pytest.approx(
        (risk.relative_risk, expected.low, expected.high)
    )


def test_the_mantel_haenszel_estimates_are_their_definitions() -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(5, 80, (7, 2))
    hits = rng.binomial(rows, 0.4)
    strata = [
        {"a": Trials(int(x), int(n)), "b": Trials(int(y), int(m))}
        for (x, y), (n, m) in zip(hits, rows, strict=True)
    ]
    found = within(strata, "a")
    up = down = gap = weight = over = under = 0.0
    for (x, y), (n, m) in zip(hits.tolist(), rows.tolist(), strict=True):
        whole = n + m
        up += x * (m - y) / whole
        down += y * (n - x) / whole
        weight += n * m / whole
        gap += n * m / whole * (x / n - y / m)
        over += x * m / whole
        under += y * n / whole
    assert found.odds_ratio.value == pytest.approx(up / down)
    assert found.adjusted.difference.value == pytest.approx(gap / weight)
    assert found.adjusted.ratio.value == pytest.approx(over / under)


@pytest.mark.parametrize("per_stratum", [3, 60])
def test_intervals_hold_their_level_in_many_small_and_in_few_large_strata(per_stratum: int) -> None:
    """A true difference of 0.1, or a true odds ratio of 2 or rate ratio of 1.5, in strata of all rates."""
    rng = np.random.default_rng(per_stratum)
    count = 600 // per_stratum
    base = np.linspace(0.1, 0.6, count)
    n, m = np.full(count, per_stratum), np.full(count, 2 * per_stratum)
    raised = {
        "difference": base + 0.1,
        "odds_ratio": 2 * base / (1 + base),
        "ratio": 1.5 * base,
    }
    truth = {"difference": 0.1, "odds_ratio": 2.0, "ratio": 1.5}
    for name, rates in raised.items():
        covered = 0
        for _ in range(300):
            x, y = rng.binomial(n, rates), rng.binomial(m, base)
            strata = [
                {"a": Trials(int(i), int(k)), "b": Trials(int(j), int(q))}
                for i, k, j, q in zip(x, n, y, m, strict=True)
            ]
            found = within(strata, "a")
            told = {
                "difference": found.adjusted.difference,
                "odds_ratio": found.odds_ratio,
                "ratio": found.adjusted.ratio,
            }
            covered += holds(told[name], truth[name])
        assert 0.91 <= covered / 300 <= 0.99, (name, covered)


def test_means_within_strata() -> None:
    """Limits depend on the score; women's scores are lower and, at the same score, limits are half."""
    rng = np.random.default_rng(2)
    covered = np.zeros(2)
    crude = 0
    for _ in range(150):
        strata: list[dict[str, Sums]] = []
        for band, (men, women) in enumerate(((100, 400), (200, 200), (400, 60))):
            scale = 10.0 ** (band + 2)
            parts = {"Male": rng.gamma(4, scale / 4, men), "Female": rng.gamma(4, scale / 8, women)}
            strata.append(
                {name: Moments(len(x), float(x.sum()), float((x**2).sum())) for name, x in parts.items()}
            )
        found = within(strata, "Female", "Male")
        weights = np.array([100 * 400 / 500, 200 * 200 / 400, 400 * 60 / 460])
        truth = float(-(weights @ np.array([50, 500, 5_000])) / weights.sum())
        covered += [holds(found.adjusted.difference, truth), holds(found.adjusted.ratio, 0.5)]
        assert found.unadjusted.ratio.high is not None
        crude += found.unadjusted.ratio.high < 0.5
        assert found.odds_ratio.value is None
    assert (covered / 150 >= 0.9).all(), covered
    assert crude == 150


def test_strata_of_one_side_say_nothing() -> None:
    strata: list[dict[str, Sums]] = [
        {"a": Trials(10, 50)},
        {"b": Trials(10, 50), "c": Trials(1, 2)},
        {"a": Trials(20, 40), "b": Trials(10, 40), "c": Trials(5, 10)},
    ]
    found = within(strata, "a")
    assert (found.strata, found.rows, found.rows_all) == (1, 40, 90)
    assert found.adjusted.difference.value == pytest.approx(0.5 - 15 / 50)
    against_b = within(strata, "a", "b")
    assert against_b.adjusted.difference.value == pytest.approx(0.25)
    assert against_b.unadjusted.difference.value == pytest.approx(30 / 90 - 20 / 90)
    few = within(strata, "a", "c")
    assert few.adjusted.difference.reason == "insufficient data: 10 rows, 30 are needed"
    assert within(strata, "d", absent="no decisions").adjusted.difference.reason == "no decisions"
    assert within(strata[:2], "a").adjusted.difference.value is None


def test_where_nothing_varies_there_is_no_interval_of_width_zero() -> None:
    none = within([{"a": Trials(0, 50), "b": Trials(0, 50)}], "a")
    assert none.adjusted.difference == Estimate(0.0)
    assert none.odds_ratio.value is None
    one_sided = within([{"a": Trials(0, 50), "b": Trials(5, 50)}], "a")
    assert one_sided.odds_ratio == Estimate(0.0)
    assert one_sided.adjusted.difference.low is not None
    assert one_sided.adjusted.difference.low < -0.1
    assert (
        within([{"a": Moments(40, -4.0, 9.0), "b": Moments(40, 4.0, 9.0)}], "a").adjusted.ratio.value is None
    )
