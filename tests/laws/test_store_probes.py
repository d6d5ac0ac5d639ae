"""The laws of what probes keep in the store, on every store there is: added once, never beyond the budget."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from monitor.core.counters import DEFAULT_TIERS, PROBE_TRIALS, PROBE_TYPES, CellKey
from monitor.core.probes.results import WORST_EACH, WORST_MAX
from monitor.ports import ProbeCells, ProbeFlush, RankedCase, Store
from tests.laws.store_backends import Backend

Open = Callable[[], Awaitable[Store]]

DAY = DEFAULT_TIERS[-1]


def flush(sequence: int, owner: str = "a", **more: object) -> ProbeFlush:
    cells = [
        ProbeCells(PROBE_TRIALS, 0, np.array([1, 250]), np.array([2, 1])),
        ProbeCells(PROBE_TRIALS, 7, np.array([1]), np.array([1])),
        ProbeCells(PROBE_TYPES, 0, np.array([3]), np.array([5])),
    ]
    return ProbeFlush("m", owner, sequence, cells, DEFAULT_TIERS, **more)  # type: ignore[arg-type]


def day(backend: Backend, slice_id: int) -> list[int]:
    reader = backend.reader()
    now_s = reader.now_ms() // 1_000
    (found,) = reader.read([CellKey(PROBE_TRIALS, DAY, now_s - now_s % DAY.bucket_s, "m", slice_id)])
    return [] if found is None else np.trim_zeros(found).tolist()


@pytest.mark.parametrize("shards", [1, 3])
async def test_results_are_added_once(any_backend: Backend, open_store: Open, shards: int) -> None:
    any_backend.fresh(shards)
    store, other = await open_store(), await open_store()
    for one in (flush(1), flush(1), flush(2), flush(1)):  # a reply was lost, twice
        await store.add_probes(one)
    await other.add_probes(flush(1, "b"))
    assert day(any_backend, 0)[0] == 6
    assert day(any_backend, 0)[-1] == 3
    assert day(any_backend, 7) == [3]


async def test_samples_are_kept_under_their_lists(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    store = await open_store()
    await store.add_probes(flush(1, evidence={"m/probes/counterfactual/sex": [b"x", b"y"]}))
    assert set(any_backend.reader().evidence("m", "probes/counterfactual/sex")) == {b"x", b"y"}


async def test_the_worst_cases_stay(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    store, rng = await open_store(), random.Random(3)
    every = [
        RankedCase(f"id{at:03}", f"{rng.random():.9f}{at}", f"g{rng.randrange(40)}", str(at).encode())
        for at in range(300)
    ]
    for start in range(0, 300, 50):
        await store.add_probes(flush(start, cases=every[start : start + 50]))
    kept: list[RankedCase] = []
    for case in sorted(every, key=lambda one: one.rank, reverse=True):
        if sum(one.group == case.group for one in kept) < WORST_EACH:
            kept.append(case)
    assert any_backend.reader().worst_cases("m") == [case.value for case in kept[:WORST_MAX]]
    assert any_backend.reader().worst_cases("other") == []


async def test_the_budget_is_shared_and_never_exceeded(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    stores, rng = [await open_store() for _ in range(3)], random.Random(4)
    reader = any_backend.reader()
    start_ms = reader.now_ms()
    # The store reserves at some moment between two looks at its clock, so rows are sent between two times.
    sent: list[tuple[float, float, int]] = []
    for _ in range(200):
        before_ms = reader.now_ms() - start_ms
        rows = rng.randint(1, 15)
        wait_ms = 1_000 * await rng.choice(stores).reserve_rows("m", rows, 50.0, 15.0)
        after_ms = reader.now_ms() + 1 - start_ms  # the clock tells whole milliseconds that have passed
        sent.append((before_ms + wait_ms, after_ms + wait_ms, rows))
    # 200 calls reserve some 1,600 rows, half a minute of the budget: nobody waits here, the times are told.
    for at_ms, _, _ in sent:
        # What certainly lies in the window.
        window = sum(rows for soonest, latest, rows in sent if at_ms <= soonest and latest < at_ms + 1_000)
        assert window <= 50 + 15 + 1
    total = sum(rows for _, _, rows in sent)
    passed_ms = reader.now_ms() - start_ms
    assert max(latest for _, latest, _ in sent) >= (total - 2 * 15) / 50 * 1_000
    assert max(soonest for soonest, _, _ in sent) <= (total + 15) / 50 * 1_000 + passed_ms


async def test_a_budget_begins_empty_and_fills(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    store = await open_store()
    assert await store.reserve_rows("m", 10, 1_000.0, 10.0) == pytest.approx(0.01, abs=0.002)
    any_backend.pass_ms(200)
    assert await store.reserve_rows("m", 10, 1_000.0, 10.0) == 0.0
    assert await store.reserve_rows("other", 10, 1_000.0, 10.0) > 0.0
