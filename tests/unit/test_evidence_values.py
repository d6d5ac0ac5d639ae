"""E-values against direct computation."""

from math import comb, log

import numpy as np
import pytest
from scipy.special import gammaln, logsumexp
from scipy.stats import binom, nbinom

from monitor.core.evidence import bernoulli, conditional, counts, levels
from monitor.core.evidence.edetector import Tracker, advance


def _brute(n1: int, s1: int, n2: int, s2: int, psi0: float, psi: float) -> float:
    s = s1 + s2
    support = range(max(0, s - n2), min(n1, s) + 1)
    weights = {k: comb(n1, k) * comb(n2, s - k) for k in support}
    total = sum(weights.values())
    up = sum(w / total * psi**k for k, w in weights.items())
    base = sum(w / total * psi0**k for k, w in weights.items())
    return s1 * log(psi / psi0) - log(up) + log(base)


def test_conditional_equals_the_definition_for_many_tables_at_once() -> None:
    rng = np.random.default_rng(3)
    n1 = rng.integers(0, 60, 300)
    n2 = rng.integers(0, 90, 300)
    s1, s2 = rng.integers(0, n1 + 1), rng.integers(0, n2 + 1)
    tolerated = rng.uniform(0.3, 3, 300)
    psi = conditional.odds_ratios_above(tolerated)
    got = conditional.log_e_values(n1, s1, n2, s2, tolerated, psi)
    for i in range(300):
        want = [_brute(int(n1[i]), int(s1[i]), int(n2[i]), int(s2[i]), tolerated[i], p) for p in psi[i]]
        assert got[i] == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize("table", [(400, 40, 600, 60), (30_000, 2_900, 330_000, 33_000), (5, 5, 4_000, 20)])
def test_large_tables_lose_nothing_to_truncation(table: tuple[int, int, int, int]) -> None:
    n1, s1, n2, s2 = table
    k = np.arange(max(0, s1 + s2 - n2), min(n1, s1 + s2) + 1)
    log_w = -(gammaln(k + 1) + gammaln(n1 - k + 1) + gammaln(s1 + s2 - k + 1) + gammaln(n2 - s1 - s2 + k + 1))
    psi0, psi = 1.25, np.array([1.5, 3.0])
    want = s1 * np.log(psi / psi0) + logsumexp(log_w + k * np.log(psi0))
    want -= logsumexp(log_w + k * np.log(psi[:, None]), axis=1)
    got = conditional.log_e_values([n1], [s1], [n2], [s2], [psi0], [psi])[0]
    assert got == pytest.approx(want, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("table", [(0, 0, 50, 5), (50, 5, 0, 0), (50, 0, 50, 0), (50, 50, 20, 20)])
def test_margins_that_decide_the_table_say_nothing(table: tuple[int, int, int, int]) -> None:
    n1, s1, n2, s2 = ([x] for x in table)
    assert conditional.log_e_values(n1, s1, n2, s2, [1.25], [[2.0]]).tolist() == [[0.0]]


def test_bernoulli_equals_the_ratio_of_binomials() -> None:
    got = bernoulli.log_e_values([50], [7], [0.05], [[0.1, 0.4]])[0]
    want = [binom.logpmf(7, 50, q) - binom.logpmf(7, 50, 0.05) for q in (0.1, 0.4)]
    assert got == pytest.approx(want)


def test_counts_equal_the_ratio_of_negative_binomials() -> None:
    size, bound = 7.5, 40.0
    got = counts.log_e_values(12, bound, size, np.array([20.0, 4.0]))
    want = [
        nbinom.logpmf(12, size, size / (size + m)) - nbinom.logpmf(12, size, size / (size + bound))
        for m in (20.0, 4.0)
    ]
    assert got == pytest.approx(want)


def test_a_level_learns_mean_variance_and_follows_slow_changes() -> None:
    rng = np.random.default_rng(0)
    level = counts.Level()
    for count in rng.negative_binomial(20, 20 / 120, 2_000):
        level = level.learn(int(count), 600)
    assert level.mean == pytest.approx(100, rel=0.05)
    assert level.size == pytest.approx(20, rel=0.3)
    for _ in range(4_000):
        level = level.learn(10, 600)
    assert level.mean == pytest.approx(10, rel=0.02)


def test_levels_spend_no_more_than_the_allowance() -> None:
    assert sum(levels.SHARES.values()) == pytest.approx(1)
    weights = levels.share_out("gaps_of_labels", [1, 1, 0.5])
    per_bucket = np.exp(-levels.log_threshold(1e-6, 10, weights)).sum()
    assert per_bucket == pytest.approx(1e-5 * levels.SHARES["gaps_of_labels"])
    assert levels.log_threshold(1, 1, np.zeros(1)).tolist() == [np.inf]
    assert levels.share_out("gaps_of_labels", []).size == 0


def test_a_tracker_dates_a_change_and_sums_from_there() -> None:
    tracker = Tracker.fresh(2, 3, 1)
    quiet, loud = np.full((2, 3), -1.0), np.array([[2.0, 2.0, 2.0], [-1.0, -1.0, -1.0]])
    everyone = np.ones(2, np.bool_)
    for second in range(20):
        log_e = loud if second >= 15 else quiet
        tracker = advance(tracker, log_e, np.ones((2, 1)), second * 1000, everyone)
    assert tracker.since_ms[0] == 15_000
    assert tracker.sums[:, 0].tolist() == [5, 1]
    assert tracker.log_evidence[0] > 10
    assert tracker.log_evidence[1] < 0


def test_recovery_needs_evidence_and_some_buckets() -> None:
    tracker = Tracker.fresh(1, 3, 1).opened(np.ones(1, np.bool_))
    seen = []
    for second in range(4):
        tracker = advance(
            tracker, np.full((1, 3), -2.0), np.ones((1, 1)), second * 1000, np.ones(1, np.bool_)
        )
        seen.append(bool(tracker.recovered[0]))
    assert seen == [False, False, True, True]
    tracker = tracker.reset(tracker.recovered)
    assert not tracker.open[0]
    assert tracker.log_evidence[0] == -np.inf


def test_streams_are_taken_and_added_without_touching_the_others() -> None:
    tracker = Tracker.fresh(3, 2, 1)
    tracker = advance(
        tracker, np.array([[1.0, 1], [2, 2], [3, 3]]), np.ones((3, 1)), 0, np.array([True, False, True])
    )
    assert tracker.sr[1].tolist() == [-np.inf, -np.inf]
    grown = tracker.take(np.array([2, 0])).extend(1)
    assert grown.sr[:, 0].tolist() == [3.0, 1.0, -np.inf]
