"""Laws of evidence: an e-value has mean at most 1 under every null, exactly; alarms keep their level."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp
from scipy.stats import binom, nbinom

from monitor.core.evidence import bernoulli, conditional, counts
from monitor.core.evidence.edetector import Tracker, advance


def _log_choose(n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
    value: NDArray[np.float64] = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return value


@given(
    n1=st.integers(1, 80),
    n2=st.integers(1, 300),
    share=st.floats(0, 1),
    tolerated=st.floats(0.5, 4),
    easier=st.floats(0.05, 1),
)
def test_conditional_has_mean_at_most_one_under_every_tolerated_odds_ratio(
    n1: int, n2: int, share: float, tolerated: float, easier: float
) -> None:
    s = round(share * (n1 + n2))
    k = np.arange(max(0, s - n2), min(n1, s) + 1)
    true_ratio = tolerated * easier
    log_p = _log_choose(n1, k) + _log_choose(n2, s - k) + k * math.log(true_ratio)
    log_p -= logsumexp(log_p)
    size = k.size
    psi = conditional.odds_ratios_above([tolerated])
    log_e = conditional.log_e_values(
        [n1] * size, k, [n2] * size, s - k, [tolerated] * size, np.repeat(psi, size, axis=0)
    )
    means = np.exp(logsumexp(log_p[:, None] + log_e, axis=0))
    assert (means <= 1 + 1e-9).all()
    if easier == 1:
        np.testing.assert_allclose(means, 1, rtol=1e-9)


@given(n=st.integers(1, 400), boundary=st.floats(1e-5, 0.6), easier=st.floats(0, 1), below=st.booleans())
def test_bernoulli_has_mean_at_most_one_on_the_tolerated_side(
    n: int, boundary: float, easier: float, below: bool
) -> None:
    h = np.arange(n + 1)
    rate = boundary + (1 - boundary) * (1 - easier) if below else boundary * easier
    q = bernoulli.rates_below([boundary]) if below else bernoulli.rates_above([boundary])
    log_e = bernoulli.log_e_values(
        np.full(n + 1, n), h, np.full(n + 1, boundary), np.repeat(q, n + 1, axis=0)
    )
    with np.errstate(divide="ignore"):
        means = np.exp(logsumexp(binom.logpmf(h, n, rate)[:, None] + log_e, axis=0))
    assert (means <= 1 + 1e-9).all()


@given(boundary=st.floats(0.1, 60), size=st.floats(0.1, 500), more=st.floats(1, 3))
@settings(max_examples=50)
def test_counts_have_mean_at_most_one_while_traffic_is_there(
    boundary: float, size: float, more: float
) -> None:
    mean = boundary * more
    p = size / (size + mean)
    x = np.arange(int(nbinom.isf(1e-12, size, p)) + 2)
    means = np.array(
        [np.exp(counts.log_e_values(int(c), boundary, size, boundary * np.array([0.5, 0.01]))) for c in x]
    )
    assert (nbinom.pmf(x, size, p) @ means <= 1 + 1e-6).all()


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=6))
def test_bernoulli_evidence_depends_on_sums_alone(parts: list[tuple[int, int]]) -> None:
    rows = np.array([a + b for a, b in parts])
    hits = np.array([a for a, _ in parts])
    q = bernoulli.rates_above([0.2])
    apart = bernoulli.log_e_values(rows, hits, np.full(rows.size, 0.2), np.repeat(q, rows.size, axis=0)).sum(
        0
    )
    together = bernoulli.log_e_values([rows.sum()], [hits.sum()], [0.2], q)[0]
    np.testing.assert_allclose(apart, together, rtol=1e-9, atol=1e-9)


def test_a_detector_keeps_its_average_run_length() -> None:
    """SR over the conditional e-value at the tolerated odds ratio itself, share and rate moving together."""
    rng = np.random.default_rng(11)
    streams, buckets, level = 400, 400, 1 / 1_000
    tracker = Tracker.fresh(streams, len(conditional.ODDS_FACTORS), 1)
    psi = conditional.odds_ratios_above(np.full(streams, 1.25))
    alarms = 0
    for bucket in range(buckets):
        wave = 0.5 + 0.5 * math.sin(bucket / 10)
        rest_rate, n1 = 0.05 + 0.2 * wave, rng.binomial(200, 0.05 + 0.3 * wave, streams)
        odds = 1.25 * rest_rate / (1 - rest_rate)
        s1 = rng.binomial(n1, odds / (1 + odds))
        s2 = rng.binomial(200 - n1, rest_rate)
        log_e = conditional.log_e_values(n1, s1, 200 - n1, s2, np.full(streams, 1.25), psi)
        tracker = advance(tracker, log_e, np.ones((streams, 1)), bucket, np.ones(streams, np.bool_))
        over = tracker.log_evidence >= math.log(1 / level)
        alarms += int(over.sum())
        tracker = tracker.reset(over)
    # promised: at most streams × buckets × level = 160; this draw stays well under it
    assert 0 < alarms <= 160
