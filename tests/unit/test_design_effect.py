"""Rows that come in clusters say less, and evidence is divided by as much."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.core.evidence.design_effect import Dispersion, design_effect, observe

STREAMS, BUCKETS, SLICE, REST = 30, 300, 240, 4_800


Ints = NDArray[np.int64]


def _failures(rng: np.random.Generator, rows: int, rate: float, cluster: int, correlation: float) -> Ints:
    """Failures of `rows` rows that come `cluster` at a time, int64[STREAMS]."""
    if cluster == 1:
        return rng.binomial(rows, rate, STREAMS)
    spread = (1 - correlation) / correlation
    rates = rng.beta(rate * spread, (1 - rate) * spread, (STREAMS, rows // cluster))
    failures: Ints = rng.binomial(cluster, rates).sum(axis=1)
    return failures


def _seen(
    cluster: int, correlation: float, slice_rate: Callable[[int], float] | None = None, seed: int = 1
) -> NDArray[np.float64]:
    rng = np.random.default_rng(1)
    seen, everyone = Dispersion.fresh(STREAMS), np.ones(STREAMS, np.bool_)
    n1, n2 = np.full(STREAMS, SLICE), np.full(STREAMS, REST)
    for bucket in range(BUCKETS):
        rest = 0.1 + 0.06 * np.sin(bucket / 20)  # a base rate that follows the hour
        own = rest if slice_rate is None else slice_rate(bucket)
        s1 = _failures(rng, SLICE, own, cluster, correlation)
        s2 = _failures(rng, REST, rest, cluster, correlation)
        seen = observe(seen, n1, s1, n2, s2, everyone)
    return design_effect(seen, np.zeros(STREAMS, np.int64))


@pytest.mark.parametrize(("cluster", "correlation"), [(5, 0.3), (10, 0.3), (5, 0.8)])
def test_clusters_are_found_with_their_factor(cluster: int, correlation: float) -> None:
    expected = 1 + (cluster - 1) * correlation
    found = _seen(cluster, correlation)
    assert np.all((0.9 * expected < found) & (found < 1.5 * expected))


def test_independent_rows_keep_their_weight_while_the_base_rate_moves() -> None:
    found = _seen(1, 0.0)
    assert np.median(found) == 1.0
    assert found.max() < 1.5


def test_a_fault_does_not_pass_for_clusters() -> None:
    found = _seen(1, 0.0, slice_rate=lambda bucket: 0.25 if bucket >= 200 else 0.1)
    assert np.median(found) == 1.0


def test_a_few_buckets_are_too_few() -> None:
    everyone, rows = np.ones(2, np.bool_), np.array([100, 100])
    seen = Dispersion.fresh(2)
    for failures in (0, 90, 0, 90, 0, 90):
        seen = observe(seen, rows, np.array([failures, 10]), rows * 10, np.array([90, 90]), everyone)
    assert design_effect(seen, np.array([0, 1])).tolist() == [1.0, 1.0]


def test_streams_of_one_group_lend_each_other_what_they_know() -> None:
    rng = np.random.default_rng(4)
    everyone, seen = np.ones(41, np.bool_), Dispersion.fresh(41)
    n1, n2 = np.full(41, SLICE), np.full(41, REST)
    for _ in range(40):
        s1, s2 = (4 * rng.binomial(n // 4, 0.1, 41) for n in (SLICE, REST))
        active = everyone.copy()
        active[40] = False  # has seen nothing itself
        seen = observe(seen, n1, s1, n2, s2, active)
    groups = np.zeros(41, np.int64)
    assert design_effect(seen, groups)[40] > 3.0
    groups[40] = 1
    assert design_effect(seen, groups)[40] == 1.0
