"""The same hour of earlier weeks: a weekly cycle is custom, a small change of one hour is told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from monitor.core.counters import Counts
from monitor.core.detectors import drift_week
from monitor.core.detectors.drift import Cells, Drifted
from monitor.core.detectors.drift_week import HOUR_MS, HOURS, WEEK, WeekDrift, WeekState
from monitor.core.drift.layout import FIRST, MISSING, Block, BlockKind
from monitor.core.evaluation.stored import dump, load

EDGES = np.linspace(-1.5, 1.5, 13)
SIZE = FIRST + EDGES.size + 1
CELLS = Cells(
    (
        Block("amount", BlockKind.NUMBER, 0, SIZE, edges=EDGES),
        Block("other", BlockKind.NUMBER, SIZE, SIZE, edges=EDGES),
    ),
    np.zeros(2 * SIZE, np.int64),
)
THRESHOLD = np.full(2, 15.0)
BUCKET_MS = 600_000
PER_WEEK = HOURS * HOUR_MS // BUCKET_MS
Shift = Callable[[int], float]


def custom(place: int) -> float:
    """Half a standard deviation to and fro with the hour, and weekends of their own: PSI up to 1."""
    hour = place * BUCKET_MS / HOUR_MS
    return 0.5 * float(np.sin(2 * np.pi * hour / 24)) + 0.5 * (hour % HOURS >= 144)


def bucket(
    rng: np.random.Generator, place: int, shift: float, missing: float = 0.0, rows: int = 800
) -> Counts:
    counts = np.zeros(2 * SIZE, np.int64)
    for feature in range(2):
        values = rng.normal(custom(place) + (shift if feature == 0 else 0.0), 1.0, rows)
        cells = FIRST + np.searchsorted(EDGES, values, side="right")
        if feature == 0:
            cells[rng.random(rows) < missing] = MISSING
        counts[feature * SIZE :][:SIZE] = np.bincount(cells, minlength=SIZE)
    return counts


def run(
    state: WeekState,
    places: range,
    shift: Shift,
    seed: int,
    missing: float = 0.0,
    config: WeekDrift | None = None,
) -> tuple[WeekState, list[tuple[int, Drifted]]]:
    rng = np.random.default_rng(seed)
    config = config or WeekDrift()
    found = []
    for place in places:
        counts = bucket(rng, place, shift(place), missing)
        state = drift_week.step(config, state, CELLS, counts, place * BUCKET_MS)
        end_ms = (place + 1) * BUCKET_MS
        state, told = drift_week.judge(config, state, CELLS, THRESHOLD, np.ones(2), end_ms)
        found += [(place, one) for one in told]
    return state, found


@pytest.fixture(scope="module")
def known() -> WeekState:
    """Two weeks of custom, during which nothing was told."""
    state, found = run(drift_week.align(WeekState.fresh(), CELLS), range(2 * PER_WEEK), lambda _: 0.0, 1)
    assert found == []
    return state


def test_custom_is_silent_once_it_is_known(known: WeekState) -> None:
    _, found = run(known, range(2 * PER_WEEK, 3 * PER_WEEK), lambda _: 0.0, 2)
    assert found == []


def test_one_week_is_not_enough() -> None:
    state = drift_week.align(WeekState.fresh(), CELLS)
    state, _ = run(state, range(PER_WEEK), lambda _: 0.0, 3)
    _, found = run(state, range(PER_WEEK, PER_WEEK + 60), lambda _: 1.0, 4)
    assert found == []


def test_a_change_smaller_than_custom_is_told_within_the_hour_and_ends(known: WeekState) -> None:
    """0.35 standard deviations are a PSI of 0.12; the hours of a day differ by more."""
    began, ended = 2 * PER_WEEK + 30, 2 * PER_WEEK + 90
    _, found = run(known, range(2 * PER_WEEK, 2 * PER_WEEK + 150), lambda p: 0.35 * (began <= p < ended), 5)
    assert {one.place for _, one in found} == {0}
    assert all(one.against == WEEK for _, one in found)
    first = found[0][0]
    assert began <= first < began + 6
    assert found[0][1].since_ms == began * BUCKET_MS
    assert [place for place, one in found if not one.holds] == [found[-1][0]]
    assert ended + 5 <= found[-1][0] <= ended + 12  # three looks of 1,000 rows, 800 a bucket
    longest = found[-2][1]
    assert longest.live.sum() == pytest.approx(800 * (found[-2][0] - began + 1), rel=1e-9)
    assert longest.baseline.sum() > 10 * 4_800  # the hours it spans, in two weeks


def test_a_part_that_goes_missing_is_told(known: WeekState) -> None:
    _, found = run(known, range(2 * PER_WEEK, 2 * PER_WEEK + 6), lambda _: 0.0, 6, missing=0.08)
    assert found[0][1].place == 0
    assert found[0][0] <= 2 * PER_WEEK + 2


def test_what_stands_is_not_learned(known: WeekState) -> None:
    place = 2 * PER_WEEK
    before = known.rows[place * BUCKET_MS // HOUR_MS % HOURS].copy()
    state, found = run(known, range(place, place + 12), lambda _: 1.0, 7)
    assert found
    after = state.rows[place * BUCKET_MS // HOUR_MS % HOURS]
    assert np.array_equal(after[:SIZE], before[:SIZE])
    assert after[SIZE:].sum() == before[SIZE:].sum() + 6 * 800


def test_a_change_that_lasts_a_week_is_the_custom(known: WeekState) -> None:
    config = WeekDrift(adopt_s=12 * 3_600)
    began = 2 * PER_WEEK
    state, found = run(known, range(began, began + 200), lambda _: 1.0, 8, config=config)
    ends = [place for place, one in found if not one.holds]
    assert ends == [began + 71]  # the end of its twelfth hour
    assert not state.open.any()
    assert found[-1][0] == ends[0]


def test_the_state_is_stored_and_others_cells_start_anew(known: WeekState) -> None:
    again = load(WeekState, dump(known, 1), 1)
    assert again is not None
    assert np.array_equal(again.rows, known.rows)
    assert drift_week.align(known, CELLS) is known
    fewer = Cells(CELLS.blocks[:1], np.zeros(SIZE, np.int64))
    assert not drift_week.align(known, fewer).rows.size
