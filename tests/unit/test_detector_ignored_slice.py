"""Slices that fall out of the traffic."""

import math

import numpy as np
import pytest

from monitor.core.detectors import ignored_slice
from monitor.core.detectors.finding import Finding, SliceName
from monitor.core.detectors.ignored_slice import IgnoredSlice, ShareState
from monitor.core.records import Severity

CONFIG = IgnoredSlice(1.0)
NAMES = {3: SliceName(3, '{"slice":"new users"}')}
IDS = np.array([3])
BAR = np.array([math.log(30 * 1_440)])


def run(
    state: ShareState, seconds: int, share: float, seed: int = 0, start: int = 0
) -> tuple[ShareState, list[tuple[int, Finding]]]:
    rng = np.random.default_rng(seed)
    said = []
    for second in range(start, start + seconds):
        mine = np.array([rng.binomial(1000, share)])
        state = ignored_slice.step(CONFIG, state, 1000, mine, second * 1000)
        at_ms = (second + 1) * 1000
        state, findings = ignored_slice.judge(CONFIG, state, NAMES, np.array([20.0]), at_ms)
        said += [(second, finding) for finding in findings]
    return state, said


def known() -> ShareState:
    return ignored_slice.align(CONFIG, ShareState.fresh(), IDS, {3: 1_600}, 20_000)


def test_a_slice_that_vanishes_is_told_within_seconds_and_its_return_too() -> None:
    state, said = run(known(), 100, 0.08)
    assert not said
    state, said = run(state, 20, 0.01, 1, 100)
    second, finding = said[0]
    assert second < 104
    assert finding.severity is Severity.PAGE
    assert finding.subject == {"slice": {"slice": "new users"}, "metric": "requests"}
    assert finding.summary.startswith("new users makes up 1")
    assert said[-1][1].effect == pytest.approx(0.01 / 0.076, rel=0.2)
    state, said = run(state, 20, 0.08, 2, 120)
    assert said[-1][1].holds is False


def test_a_share_that_falls_by_a_third_is_tolerated() -> None:
    assert not run(known(), 600, 0.055)[1]


def test_a_share_that_live_traffic_never_had_is_a_notice() -> None:
    _, said = run(known(), 30, 0.02)
    assert said[0][1].severity is Severity.NOTICE
    assert said[0][1].notes


@pytest.mark.parametrize(("factor", "seconds"), [(0.25, 15), (0.1, 6), (0.0, 4)])
def test_the_less_is_left_of_a_share_the_sooner_it_is_told(factor: float, seconds: int) -> None:
    state, _ = run(known(), 60, 0.08)
    _, said = run(state, 60, 0.08 * factor, 3, 60)
    assert said[0][0] - 60 < seconds


def day(swing: float, together: int, floor: float = 0.0, minutes: int = 2_880) -> list[Finding]:
    """Two days by the minute; rows come so many a user, and the share moves by `swing` with the hour.

    From the second day on nothing is left of it but `floor`, if that is above 0: over eight hours, evenly.
    """
    rng = np.random.default_rng(9)
    config, said = IgnoredSlice(60.0), []
    state = ignored_slice.align(config, ShareState.fresh(), IDS, {}, 0)
    for minute in range(minutes):
        phase = math.sin(2 * math.pi * minute / 1_440)
        users = int(rng.poisson(1000 * (1 + 0.5 * phase) / together))
        left = 1 - (1 - floor) * min(max((minute - 1_440) / 480, 0), 1) if floor else 1.0
        mine = np.array([together * rng.binomial(users, 0.05 * (1 + swing * phase) * left)])
        state = ignored_slice.step(config, state, together * users, mine, minute * 60_000)
        state, findings = ignored_slice.judge(config, state, NAMES, BAR, (minute + 1) * 60_000)
        said += findings
    return said


@pytest.mark.parametrize(("swing", "together"), [(0.0, 1), (0.6, 1), (0.0, 8), (0.6, 8)])
def test_a_share_that_moves_with_the_hour_and_users_of_many_rows_are_silent(
    swing: float, together: int
) -> None:
    assert not day(swing, together)


def test_a_share_that_fades_in_hours_is_told_by_a_quarter_of_it() -> None:
    said = day(0.0, 1, 0.1)
    assert said
    assert said[0].at_ms / 60_000 < 1_440 + 480


def test_without_a_reference_the_first_rows_are_usual() -> None:
    state = ignored_slice.align(CONFIG, ShareState.fresh(), IDS, {}, 0)
    state, said = run(state, 60, 0.02)
    assert not said
    assert state.share[0] == pytest.approx(0.0175, rel=0.25)  # its lower limit
    assert run(state, 60, 0.002, 1, 60)[1]


def test_slices_come_and_keep_their_state() -> None:
    state, _ = run(known(), 5, 0.01)
    grown = ignored_slice.align(CONFIG, state, np.array([7, 3]), {}, 0)
    assert grown.tracker.sums[1].tolist() == state.tracker.sums[0].tolist()
    assert np.isnan(grown.share[0])
