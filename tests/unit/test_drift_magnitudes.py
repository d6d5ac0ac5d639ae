"""The last values by magnitude: exactly those since a moment, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.drift.magnitudes import PART_ROWS_MIN, PARTS_MAX, Magnitudes
from monitor.core.evaluation.stored import dump, load

FEATURES, CELLS = 2, 9


@given(st.lists(st.integers(0, 150), max_size=60), st.integers(0, 61))
def test_since_is_the_sum_of_the_parts_since(rows: list[int], since: int) -> None:
    rng = np.random.default_rng(sum(rows))
    buckets = [rng.multinomial(n, np.full(FEATURES * CELLS, 1 / (FEATURES * CELLS))) for n in rows]
    kept = Magnitudes.fresh()
    for place, counts in enumerate(buckets):
        kept = kept.take(counts, FEATURES, place)
    assert kept.starts_ms.size <= PARTS_MAX
    assert np.all(kept.rows[:-1] >= PART_ROWS_MIN)
    if not any(rows):
        assert kept.since(since, FEATURES * CELLS).sum() == 0
        return
    whole = kept.starts_ms[kept.starts_ms >= since]
    first = int(whole[0]) if whole.size else int(kept.starts_ms[-1])
    expected = np.sum(buckets[first:], axis=0)
    assert np.array_equal(kept.since(since, FEATURES * CELLS), expected)


def test_busy_traffic_has_a_part_a_bucket() -> None:
    kept = Magnitudes.fresh()
    for place in range(40):
        kept = kept.take(np.full(FEATURES * CELLS, 50), FEATURES, 1_000 * place)
    assert kept.starts_ms.tolist() == [1_000 * place for place in range(40 - PARTS_MAX, 40)]
    assert kept.since(38_000, FEATURES * CELLS).tolist() == [100] * (FEATURES * CELLS)
    again = load(Magnitudes, dump(kept, 1), 1)
    assert again is not None
    assert again.since(0, FEATURES * CELLS).sum() == pytest.approx(PARTS_MAX * 50 * FEATURES * CELLS)
