"""Missing traffic: levels learned, silences told, cycles and sparse streams left alone."""

import math
from collections.abc import Iterable

import numpy as np
import pytest

from monitor.core.detectors import missing_traffic
from monitor.core.detectors.finding import Finding
from monitor.core.detectors.missing_traffic import MissingTraffic, TrafficState

CONFIG = MissingTraffic(1 / (30 * 86_400), 1.0)


def run(
    counts: Iterable[int], state: TrafficState | None = None, start: int = 0
) -> tuple[TrafficState, list[tuple[int, Finding]]]:
    state, said = state or TrafficState(), []
    for second, count in enumerate(counts, start):
        state = missing_traffic.step(CONFIG, state, int(count), second * 1000)
        state, findings = missing_traffic.judge(CONFIG, state, (second + 1) * 1000)
        said += [(second, finding) for finding in findings]
    return state, said


def steady(seconds: int, mean: float, seed: int = 0) -> list[int]:
    return list(np.random.default_rng(seed).poisson(mean, seconds))


def test_a_stop_is_told_at_once_and_its_end_too() -> None:
    state, said = run(steady(100, 1000))
    assert not said
    state, said = run([0] * 10, state, 100)
    second, finding = said[0]
    assert second == 100
    assert finding.began_ms == 100_000
    assert finding.summary == (
        "traffic is at 0 % of what it usually is: 0 requests since 00:01:40 where 1006 were expected"
    )
    _, said = run(steady(20, 1000, 1), state, 110)
    assert [finding.holds for _, finding in said] == [True, True, False]


def test_a_fall_to_a_quarter_is_told_a_fall_to_two_thirds_is_not() -> None:
    state, _ = run(steady(300, 400))
    assert run(steady(60, 100, 2), state, 300)[1]
    assert not run(steady(200, 270, 2), state, 300)[1]


def test_nothing_is_said_before_enough_was_seen() -> None:
    assert not run(steady(50, 1000) + [0] * 9)[1]


def test_a_sparse_stream_needs_a_long_silence() -> None:
    state, said = run(steady(2_000, 0.5))
    assert not said
    _, said = run([0] * 400, state, 2_000)
    assert 60 < said[0][0] - 2_000 < 250


def test_a_job_that_runs_now_and_then_is_no_failure() -> None:
    bursts = ([500] * 5 + [0] * 115) * 20
    _, said = run(bursts)
    assert len({finding.began_ms for _, finding in said}) == 1  # the first silence; then it is known


def test_a_daily_cycle_and_overdispersion_are_followed() -> None:
    rng = np.random.default_rng(8)
    counts = []
    for second in range(6_000):
        mean = 300 * (1 + 0.8 * math.sin(second / 500))
        counts.append(int(rng.negative_binomial(8, 8 / (8 + mean))))
    assert not run(counts)[1]


def users(buckets: int, mean: float, seed: int = 0) -> list[int]:
    """Requests of users who send five to ten each."""
    rng = np.random.default_rng(seed)
    return [int(rng.integers(5, 11, rng.poisson(mean / 7.5)).sum()) for _ in range(buckets)]


def test_few_users_of_many_requests_leave_empty_buckets() -> None:
    counts = users(20_000, 30.0)
    assert counts.count(0) > 200
    assert not run(counts)[1]


def test_and_when_they_stay_away_it_is_told_within_ten_buckets_or_so() -> None:
    state, _ = run(users(400, 30.0))
    _, said = run([0] * 30, state, 400)
    assert said[0][0] - 400 < 15


def test_a_lasting_new_level_is_taken_as_usual() -> None:
    state, _ = run(steady(200, 1000))
    state, said = run(steady(3_700, 200, 3), state, 200)
    assert said[-1][1].holds is False
    assert said[-1][1].notes
    assert state.level.mean == pytest.approx(200, rel=0.1)
