"""Bounded e-values: a mean of at most 1 whatever the tails, and a level kept at the edge."""

from collections.abc import Callable

import numpy as np
import pytest

from monitor.core.evidence import robust
from monitor.core.evidence.edetector import Floats, Tracker, advance

Draw = Callable[[np.random.Generator, int], Floats]
"""Deviates of mean 0 and variance 1."""


def _lognormal(sigma: float, sign: float) -> Draw:
    mean, variance = np.exp(sigma**2 / 2), (np.exp(sigma**2) - 1) * np.exp(sigma**2)
    return lambda rng, n: sign * (rng.lognormal(0, sigma, n) - mean) / np.sqrt(variance)


def _rare(rng: np.random.Generator, n: int) -> Floats:
    """One in a thousand is 31.6 standard deviations above; the others a little below."""
    p = 1e-3
    x: Floats = (rng.binomial(1, p, n) - p) / np.sqrt(p * (1 - p))
    return x


DEVIATES: dict[str, Draw] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "lognormal": _lognormal(1.0, 1.0),
    "wild lognormal": _lognormal(1.6, 1.0),
    "lognormal below": _lognormal(1.0, -1.0),
    "rare": _rare,
}


@pytest.mark.parametrize("name", DEVIATES)
def test_the_mean_is_at_most_one(name: str) -> None:
    rng = np.random.default_rng(1)
    for shift in (0.0, -0.3, -3.0):
        e = np.exp(robust.log_e_values(DEVIATES[name](rng, 200_000) + shift))
        error = e.std(axis=0) / np.sqrt(len(e))
        assert (e.mean(axis=0) <= 1 + 3 * error).all()


@pytest.mark.parametrize("name", DEVIATES)
def test_a_detector_keeps_its_level_at_the_edge_of_what_is_tolerated(name: str) -> None:
    """1,000 streams, 300 buckets: at level 1/1000 a bucket no more than 300 may alarm."""
    rng, streams = np.random.default_rng(2), 1_000
    tracker = Tracker.fresh(streams, len(robust.LAMBDAS), 1)
    everyone, alarmed = np.ones(streams, np.bool_), np.zeros(streams, np.bool_)
    for place in range(300):
        log_e = robust.log_e_values(DEVIATES[name](rng, streams))
        tracker = advance(tracker, log_e, np.ones((streams, 1)), place, everyone)
        alarmed |= tracker.log_evidence >= np.log(1_000.0)
    assert alarmed.sum() <= 300


def test_it_is_bounded_and_rises() -> None:
    log_e = robust.log_e_values(np.array([-1e12, -2.0, 0.0, 0.5, 3.0, 1e12]))
    assert (np.diff(log_e, axis=0) >= 0).all()
    assert log_e.max() < 3.7
    assert log_e.min() > -1.9


def test_a_shift_of_half_a_standard_error_a_bucket_is_found() -> None:
    rng = np.random.default_rng(3)
    tracker = Tracker.fresh(100, len(robust.LAMBDAS), 1)
    everyone = np.ones(100, np.bool_)
    for place in range(250):
        log_e = robust.log_e_values(rng.standard_normal(100) + 0.5)
        tracker = advance(tracker, log_e, np.ones((100, 1)), place, everyone)
    assert (tracker.log_evidence >= 16.8).mean() >= 0.95
