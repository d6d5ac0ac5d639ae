"""Universal inference on two samples: valid whatever the common distribution, and quick to see a change."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.special import betaln

from monitor.core.drift import two_sample

ONE = np.array([0])


def outcomes(rows: int, cells: int) -> list[np.ndarray]:
    return [
        np.array(split) for split in itertools.product(range(rows + 1), repeat=cells) if sum(split) == rows
    ]


@pytest.mark.parametrize("shares", [(0.2, 0.3, 0.5), (0.01, 0.01, 0.98), (1 / 3, 1 / 3, 1 / 3)])
@pytest.mark.parametrize("rows", [(3, 4), (8, 6), (10, 1)])
def test_mean_under_no_change_is_at_most_one(shares: tuple[float, ...], rows: tuple[int, int]) -> None:
    """By enumeration of all that could be counted."""
    mean = 0.0
    for reference in outcomes(rows[0], 3):
        for live in outcomes(rows[1], 3):
            chance = stats.multinomial.pmf(reference, rows[0], shares) * stats.multinomial.pmf(
                live, rows[1], shares
            )
            mean += chance * np.exp(two_sample.log_e_values(reference, live, ONE)[0])
    assert 0 < mean <= 1 + 1e-9


def test_two_cells_as_beta_functions_have_it() -> None:
    reference, live = np.array([70, 30]), np.array([20, 40])
    prior = 100.0 * (reference + 0.5) / 101
    expected = (
        betaln(70.5, 30.5) - betaln(0.5, 0.5) + betaln(*(prior + live)) - betaln(*prior)
        - 90 * np.log(90 / 160) - 70 * np.log(70 / 160)
    )  # fmt: skip
    assert two_sample.log_e_values(reference, live, ONE)[0] == pytest.approx(expected)


def test_blocks_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(1)
    starts = np.array([0, 4, 6])
    reference, live = rng.integers(0, 300, 15), rng.integers(0, 90, (7, 15))
    whole = two_sample.log_e_values(reference, live, starts)
    for feature, part in enumerate((slice(0, 4), slice(4, 6), slice(6, 15))):
        for row in range(7):
            alone = two_sample.log_e_values(reference[part], live[row, part], ONE)[0]
            assert whole[row, feature] == pytest.approx(alone)


def test_no_rows_are_no_evidence() -> None:
    none, some = np.zeros(4, np.int64), np.array([3, 4, 5, 6])
    assert two_sample.log_e_values(some, none, np.array([0, 2])).tolist() == [0.0, 0.0]
    assert two_sample.log_e_values(none, some, np.array([0, 2])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("rows", [300, 3_000])
def test_looking_after_every_bucket_raises_no_false_alarm(rows: int) -> None:
    """A reference of few rows would alarm in every run if it were taken for the truth."""
    rng = np.random.default_rng(2)
    shares = rng.dirichlet(np.full(10, 2.0))
    merged, merged_starts = np.array([0, 2, 4, 7]), ONE
    alarms = 0
    for _ in range(200):
        reference = rng.multinomial(rows, shares)
        live = np.cumsum(rng.multinomial(500, shares, 60), axis=0)
        evidence = two_sample.averaged(reference, live, ONE, merged, merged_starts)
        alarms += bool((evidence >= np.log(1 / 0.05)).any())
    assert alarms <= stats.binom.ppf(0.999, 200, 0.05)


def test_merged_cells_see_a_change_sooner() -> None:
    rng = np.random.default_rng(3)
    shares = np.full(20, 0.05)
    changed = np.concatenate([np.full(10, 0.03), np.full(10, 0.07)])
    reference, live = rng.multinomial(10_000, shares), rng.multinomial(600, changed)
    merged = np.array([0, 5, 10, 15])
    both = two_sample.averaged(reference, live, ONE, merged, ONE)[0]
    assert two_sample.log_e_values(reference, live, ONE)[0] < 0
    assert both > 10
