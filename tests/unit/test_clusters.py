"""How many rows come together, where events are rare."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.core.evidence import clusters
from monitor.core.evidence.clusters import Clusters

ROWS = np.array([1_000])


def learned(hits: list[int]) -> float:
    seen = Clusters.fresh(1)
    for count in hits:
        seen = clusters.follow(seen, ROWS, np.array([count]), np.ones(1))
    return float(seen.design_effect[0])


def test_nothing_seen_is_a_cautious_guess() -> None:
    assert learned([]) == clusters.PRIOR


def test_independent_rows_become_one_at_a_time() -> None:
    rng = np.random.default_rng(3)
    assert learned(rng.poisson(5.0, 3_000).tolist()) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("size", [3, 8])
def test_rows_that_come_together_are_counted_as_they_come(size: int) -> None:
    rng = np.random.default_rng(4)
    found = learned((size * rng.poisson(2.0, 3_000)).tolist())
    assert 0.7 * size <= found <= 1.2 * size


def test_a_failure_that_sets_in_is_no_cluster() -> None:
    rng = np.random.default_rng(5)
    quiet = rng.poisson(5.0, 300).tolist()
    assert learned([*quiet, 500]) <= learned(quiet) + 0.3


def test_what_is_known_follows_the_streams() -> None:
    seen = clusters.follow(Clusters.fresh(2), np.array([9, 9]), np.array([1, 2]), np.ones(2))
    chosen = seen.extend(1).take(np.array([2, 1]))
    assert chosen.hits.tolist() == [0.0, 2.0]
