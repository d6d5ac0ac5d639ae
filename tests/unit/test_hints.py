"""What one worker sees early, and what it must not see."""

import numpy as np
import pytest

from monitor.core.hints import Hint, Watch


def _watched(rates: list[float], rows: int, seed: int = 3) -> list[Hint]:
    rng, watch = np.random.default_rng(seed), Watch()
    found: list[Hint] = []
    for second, rate in enumerate(rates):
        wrong = rng.random(rows) < rate
        found += watch.see({"error_share": wrong.astype(np.float64)}, second)
    return found


@pytest.mark.parametrize("rows", [20, 500])
def test_a_change_is_seen_within_some_thousand_rows(rows: int) -> None:
    seconds = 20_000 // rows
    first, *_ = _watched([0.1] * seconds + [0.3] * seconds, rows)
    assert seconds <= first.at_ms <= seconds + 3_000 // rows
    assert first.before == pytest.approx(0.1, abs=0.03)
    assert first.after == pytest.approx(0.3, abs=0.1)


def test_steady_traffic_gives_hardly_a_hint() -> None:
    assert sum(len(_watched([0.1] * 500, 1_000, seed)) for seed in range(10)) <= 1


def test_how_rows_are_cut_into_chunks_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    values = np.where(rng.random(4_000) < np.repeat([0.1, 0.6], 2_000), 1.0, 0.0)
    whole = Watch().see({"error_share": values}, 0)
    watch = Watch()
    parts = [
        hint
        for part in np.split(values, [7, 8, 1_003, 3_111])
        for hint in watch.see({"error_share": part}, 0)
    ]
    assert whole[-1] == parts[-1]
