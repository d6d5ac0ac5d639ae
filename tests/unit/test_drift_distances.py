"""Distances between histograms against scipy, and their thresholds and effects under no change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from monitor.core.drift import jensen_shannon, kolmogorov_smirnov, psi, wasserstein
from monitor.core.drift.reading import ALPHA, Insufficient, Reading

EDGES = np.array([-1.0, -0.4, 0.0, 0.1, 0.7, 1.2, 2.5])
SIZE = EDGES.size + 1

Distance = Callable[..., Reading | Insufficient]


def _wasserstein(reference: np.ndarray, live: np.ndarray) -> Reading | Insufficient:
    return wasserstein.reading(reference, live, EDGES)


DISTANCES: list[Distance] = [
    psi.reading,
    jensen_shannon.reading,
    kolmogorov_smirnov.reading,
    _wasserstein,
]

counts = st.lists(st.integers(1, 400), min_size=SIZE, max_size=SIZE).map(
    lambda cells: np.array(cells, np.int64)
)


def read(distance: Distance, reference: np.ndarray, live: np.ndarray) -> Reading:
    found = distance(reference, live)
    assert isinstance(found, Reading)
    return found


@given(counts, counts)
def test_psi_is_both_divergences(reference: np.ndarray, live: np.ndarray) -> None:
    p, q = reference + 0.5, live + 0.5
    if reference.sum() < 30 or live.sum() < 30:
        assert isinstance(psi.reading(reference, live), Insufficient)
        return
    expected = stats.entropy(p, q) + stats.entropy(q, p)
    assert read(psi.reading, reference, live).value == pytest.approx(expected, abs=1e-12)


@given(counts.filter(lambda c: c.sum() >= 30), counts.filter(lambda c: c.sum() >= 30))
def test_distances_as_scipy_has_them(reference: np.ndarray, live: np.ndarray) -> None:
    bins = np.arange(SIZE)
    js = read(jensen_shannon.reading, reference, live).value
    assert js == pytest.approx(jensenshannon(reference, live, base=2) ** 2, abs=1e-9)
    ks = read(kolmogorov_smirnov.reading, reference, live).value
    oracle = stats.ks_2samp(np.repeat(bins, reference), np.repeat(bins, live), method="asymp")
    assert ks == pytest.approx(oracle.statistic, abs=1e-9)
    found = _wasserstein(reference, live)
    at = wasserstein.places(EDGES)
    expected = stats.wasserstein_distance(at, at, reference, live)
    quartiles = np.quantile(np.repeat(at, reference), [0.25, 0.75], method="inverted_cdf")
    if quartiles[0] == quartiles[1]:
        assert isinstance(found, Insufficient)
    else:
        assert isinstance(found, Reading)
        assert found.value == pytest.approx(expected / (quartiles[1] - quartiles[0]), abs=1e-9)


def test_jensen_shannon_threshold_is_that_of_the_g_test() -> None:
    reference, live = np.array([4_000, 3_000, 3_000]), np.array([3_830, 3_110, 3_060])
    g = stats.chi2_contingency(np.stack([reference, live]), correction=False, lambda_="log-likelihood")
    found = read(jensen_shannon.reading, reference, live)
    assert found.value / found.threshold == pytest.approx(
        g.statistic / stats.chi2.ppf(1 - ALPHA, 2), rel=1e-3
    )


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("rows", [200, 3_000])
def test_thresholds_hold_and_effects_vanish_without_change(distance: Distance, rows: int) -> None:
    rng = np.random.default_rng(5)
    shares = np.array([0.02, 0.08, 0.2, 0.2, 0.2, 0.2, 0.05, 0.05])
    repeats = 2_000
    references, lives = rng.multinomial(5_000, shares, repeats), rng.multinomial(rows, shares, repeats)
    found = [read(distance, r, c) for r, c in zip(references, lives, strict=True)]
    beyond = sum(reading.beyond_noise for reading in found)
    assert beyond <= stats.binom.ppf(0.9999, repeats, ALPHA)  # conservative or exact, never more
    shift = np.mean([reading.effect for reading in found])
    assert shift < 0.5 * np.mean([reading.threshold for reading in found])


def test_psi_threshold_is_met_at_its_level() -> None:
    rng = np.random.default_rng(6)
    shares = np.full(10, 0.1)
    found = [
        read(psi.reading, r, c).beyond_noise
        for r, c in zip(
            rng.multinomial(5_000, shares, 4_000), rng.multinomial(500, shares, 4_000), strict=True
        )
    ]
    assert 0.005 < np.mean(found) < 0.02


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_change_is_told_at_any_number_of_rows(distance: Distance) -> None:
    """The effect says the same at 500 rows and at 50,000: it does not depend on the sample."""
    rng = np.random.default_rng(7)
    before = np.array([0.02, 0.08, 0.2, 0.2, 0.2, 0.2, 0.05, 0.05])
    after = np.array([0.01, 0.03, 0.06, 0.1, 0.2, 0.3, 0.15, 0.15])
    effects = []
    for rows in (500, 5_000, 50_000):
        found = [
            read(distance, rng.multinomial(20_000, before), rng.multinomial(rows, after)) for _ in range(40)
        ]
        assert sum(reading.beyond_noise for reading in found) >= 30
        effects.append(np.mean([reading.effect for reading in found]))
    assert max(effects) < 1.15 * min(effects)


@pytest.mark.parametrize("distance", DISTANCES)
def test_few_rows_are_an_answer(distance: Distance) -> None:
    some, none = np.full(SIZE, 50), np.zeros(SIZE, np.int64)
    few = distance(some, none + 1)
    assert few == Insufficient("8 live rows, 30 are needed")
    assert distance(none, some) == Insufficient("0 reference rows, 30 are needed")


def test_one_cell_and_no_spread_are_an_answer() -> None:
    one = np.array([0, 100, 0])
    assert psi.reading(one, one) == Insufficient("one cell holds every row")
    assert jensen_shannon.reading(one, one) == Insufficient("one cell holds every row")
    assert wasserstein.reading(one, one, np.array([0.0, 1.0])) == Insufficient(
        "the quartiles of the reference are equal"
    )


def test_many_features_at_once_read_as_one_by_one() -> None:
    rng = np.random.default_rng(8)
    reference = rng.multinomial(4_000, np.full(12, 1 / 12))
    live = rng.multinomial(700, np.full(12, 1 / 12), size=3)
    reference[3], live[:, 3] = 0, 0
    starts = np.array([0, 5])
    effect, noise = psi.debiased(reference, live, starts, np.ones(2))
    for row in range(3):
        for feature, part in enumerate((slice(0, 5), slice(5, 12))):
            one = read(psi.reading, reference[part], live[row, part])
            assert effect[row, feature] == pytest.approx(one.effect, abs=1e-12)
    assert noise[0, 1] == pytest.approx(np.sqrt(12) / live[0, 5:].sum())


def test_no_rows_have_no_psi() -> None:
    effect, _ = psi.debiased(np.array([5, 5, 0, 0]), np.array([3, 4, 2, 2]), np.array([0, 2]), np.ones(2))
    assert not np.isnan(effect[0])
    assert np.isnan(effect[1])


def test_rows_in_clusters_are_debiased_by_their_design_effect() -> None:
    rng = np.random.default_rng(9)
    reference = rng.multinomial(100_000, np.full(10, 0.1))
    live = 10 * rng.multinomial(60, np.full(10, 0.1), size=500)
    starts = np.array([0])
    alone, _ = psi.debiased(reference, live, starts, np.ones(1))
    known, _ = psi.debiased(reference, live, starts, np.full(1, 10.0))
    assert alone.mean() > 0.1
    assert known.mean() < 0.05
