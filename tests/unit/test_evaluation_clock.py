"""The store's clock tells another time: for one look, for some minutes, and when the process begins."""

from collections.abc import Sequence
from typing import Any

import pytest

from monitor.core.counters import CellKey, Counts
from monitor.core.evaluation import decode
from monitor.core.steady_clock import SteadyClock
from monitor.edges.evaluator import Evaluator
from monitor.ports import EVALUATOR_VIEW, LOOKED_FIELD
from tests.support.evaluator_world import START_S, CounterStore, World

HOUR_S = 3_600
DEVICE_NULL = ("device", 3)


def world(**options: Any) -> World:
    return World(rows_per_s=20, seed=3, reference_rows=2_000, crossings=(), protected=frozenset(), **options)


def quiet(world: World, seconds: int, ahead_s: int = 0) -> None:
    """No records; the clock is so much ahead."""
    for _ in range(seconds):
        world.step(0)
        world.store.clock_ms += ahead_s * 1000
        world.evaluator.tick()
        world.store.clock_ms -= ahead_s * 1000


def next_s(world: World) -> int:
    """The next bucket to judge, seconds since the start."""
    return (decode(world.store.held[0]).next_s or 0) - START_S


@pytest.mark.parametrize("leap_s", [24 * HOUR_S, -24 * HOUR_S])
def test_one_look_at_a_wrong_clock_changes_nothing(leap_s: int, caplog: pytest.LogCaptureFixture) -> None:
    begins_s = 75
    made = world(violations=lambda second: {DEVICE_NULL: 0.5} if second >= begins_s else {})
    made.run(60)
    quiet(made, 6)
    quiet(made, 1, leap_s)
    quiet(made, 6)
    made.run(25)
    assert made.second - 4 <= next_s(made) <= made.second
    [alert] = made.opened("violation_rate")
    assert made.seconds(alert) - begins_s < 10
    assert [
        r.message for r in caplog.records if r.name == "monitor.edges.evaluator" and r.levelname == "WARNING"
    ] == ["the store's clock leapt; event time goes on without it until it has lasted a minute"]


def test_labels_are_looked_at_after_one_look_at_a_wrong_clock() -> None:
    made = world()
    made.run(30)
    quiet(made, 1, 24 * HOUR_S)
    made.run(20)
    assert decode(made.store.held[0]).hindmost_s - START_S > made.second - 10


def test_who_begins_on_a_wrong_clock_goes_back_to_the_present(caplog: pytest.LogCaptureFixture) -> None:
    made = world(violations=lambda second: {DEVICE_NULL: 0.5} if second >= 160 else {})
    made.run(60)
    quiet(made, 4)
    made.evaluator = Evaluator(made.store, [made.config], "worker-1", monotonic_s=lambda: float(made.second))
    quiet(made, 4, 150)
    assert next_s(made) > made.second + 100
    quiet(made, 75)
    assert made.second - 4 <= next_s(made) <= made.second + 1
    told = [
        r.message for r in caplog.records if r.name == "monitor.edges.evaluator" and r.levelname == "WARNING"
    ]
    assert told[-1] == "event time had run ahead of the clock; evaluation goes back to the present"
    made.run(25)
    [alert] = made.opened("violation_rate")
    assert made.seconds(alert) - 160 < 10
    assert decode(made.store.held[0]).hindmost_s - START_S > made.second - 10


def test_a_clock_that_was_wrong_is_followed_after_a_minute() -> None:
    clock = SteadyClock().look(1_000_000, 0.0)
    for second in range(1, 61):
        clock = clock.look(1_000_000 + 1000 * (second + HOUR_S), float(second))
        assert clock.now_ms == 1_000_000 + 1000 * second
    assert clock.look(1_000_000 + 1000 * (61 + HOUR_S), 61.0).now_ms == 1_000_000 + 1000 * (61 + HOUR_S)


def test_time_that_this_machine_counted_is_no_leap() -> None:
    clock = SteadyClock().look(1_000_000, 0.0).look(1_000_000 + 1000 * HOUR_S, float(HOUR_S))
    assert (clock.now_ms, clock.leapt_s) == (1_000_000 + 1000 * HOUR_S, None)


def test_a_clock_that_loses_some_seconds_is_waited_for() -> None:
    clock = SteadyClock().look(1_000_000, 0.0)
    seen = [clock := clock.look(995_000 + 1000 * second, float(second)) for second in range(1, 8)]
    assert [c.now_ms for c in seen] == [1_000_000] * 5 + [1_001_000, 1_002_000]


class Laborious(CounterStore):
    """A store of which every array takes 1 ms to read; a lease goes to somebody else after 5 s."""

    worked_s = 0.0
    granted_s = 0.0
    refused = 0

    def read(self, keys: Sequence[CellKey]) -> list[Counts | None]:
        self.worked_s += 0.001 * len(keys)
        return super().read(keys)

    def lease(self, model: str, owner: str, ttl_ms: int) -> int:
        self.granted_s = self.worked_s
        return super().lease(model, owner, ttl_ms)

    def commit(self, *args: Any) -> bool:
        if self.worked_s - self.granted_s > 5.0:
            self.owner = "another"
            self.refused += 1
            return False
        return super().commit(*args)


def test_steps_that_outlive_the_lease_become_shorter() -> None:
    made = world()
    for _ in range(300):
        made.step()
    store = Laborious()
    store.__dict__ |= made.store.__dict__
    made.evaluator = Evaluator(
        store, [made.config], "worker-1", monotonic_s=lambda: made.second + store.worked_s
    )
    for _ in range(10):
        made.evaluator.tick()
    assert (decode(store.held[0]).next_s or 0) >= START_S + made.second - 4
    assert 1 <= store.refused <= 3


def test_readers_are_told_when_it_looked_by_the_clock_that_they_see() -> None:
    made = world()
    made.evaluator = Evaluator(
        made.store, [made.config], "worker-1", views=lambda _: {}, monotonic_s=lambda: float(made.second)
    )
    made.run(10)
    made.store.clock_ms += 24 * HOUR_S * 1000
    made.evaluator._held[0].views_at_s = float("-inf")
    made.evaluator.tick()
    assert made.store.views[EVALUATOR_VIEW][LOOKED_FIELD] == str(made.store.clock_ms)
