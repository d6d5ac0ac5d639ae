"""The laws of a store's fence and stubs; each directed test is a sequence that could miscount."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from monitor.core.counters import SCALARS, SCORES, CellKey, Increment, Scalar, Tier
from monitor.core.errors import StoreRefused
from monitor.ports import Fence, Flush, Outcome, Partition, SeenStub, Store, StubWrite
from tests.laws.store_backends import Backend, MemoryBackend
from tests.laws.store_generations import Generations, punctual
from tests.laws.store_machine import SLICE_NAMES, StoreMachine
from tests.laws.store_worker import (
    BASE_S,
    LABELS,
    MODEL,
    PARTITIONS,
    PREDICTIONS,
    TIERS,
    Logs,
    Record,
    Worker,
    end,
    read_cells,
    recount,
)

Open = Callable[[], Awaitable[Store]]

P = PREDICTIONS[0]
L = LABELS[0]


def logs(predictions: Sequence[int] = (), labels: Sequence[tuple[int, int]] = ()) -> Logs:
    """A prediction of each number; a label (number, value) each, a later one the greater."""
    made: Logs = {partition: [] for partition in PARTITIONS}
    made[P] = [Record(offset, number) for offset, number in enumerate(predictions)]
    made[L] = [Record(offset, number, value, offset + 1) for offset, (number, value) in enumerate(labels)]
    return made


def stub_flush(start: int, stop: int, stubs: Sequence[StubWrite] = (), expected: int | None = None) -> Flush:
    return Flush(0, P, start if expected is None else expected, start, stop, 0, stubs)


def exact(backend: Backend, log: Logs) -> bool:
    return read_cells(backend.reader(), SLICE_NAMES) == recount(log)


def test_any_interleaving_counts_exactly(any_backend: Backend) -> None:
    in_memory = isinstance(any_backend, MemoryBackend)
    machine = type("Machine", (StoreMachine,), {"backend": any_backend})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60 if in_memory else 25,
            stateful_step_count=8,
            deadline=None,
            # On a server a failure takes long to make smaller; the store in memory shows most of them.
            phases=[phase for phase in Phase if in_memory or phase is not Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )


async def test_a_partition_never_seen_has_no_fence(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(2)
    store = await open_store()
    assert await store.fences([P]) == {P: [None, None]}
    await store.register({P: 7})
    assert await store.fences([P, L]) == {P: [Fence(7), Fence(7)], L: [None, None]}


async def test_registering_again_leaves_the_fence_alone(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    store = await open_store()
    await store.register({P: 7})
    assert (await store.flush(Flush(0, P, 7, 7, 9, 50))).outcome is Outcome.OK
    await (await open_store()).register({P: 3, L: 1})
    assert await store.fences([P, L]) == {P: [Fence(9, 50)], L: [Fence(1)]}


async def test_the_watermark_never_goes_back(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    store = await open_store()
    await store.register({P: 0})
    await store.flush(Flush(0, P, 0, 0, 1, 90))
    await store.flush(Flush(0, P, 1, 1, 2, 40))
    assert await store.fences([P]) == {P: [Fence(2, 90)]}


async def test_first_flush_that_dies_between_shards(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(2)
    log = logs(range(6))
    crashed = Worker(await open_store(), log)
    await crashed.begin(P, 6)
    await crashed.apply()  # shard 0 alone
    worker = Worker(await open_store(), log)
    assert await worker.store.fences([P]) == {P: [Fence(6, (BASE_S + 120) * 1_000), Fence(0)]}
    await worker.finish(rows=2)  # chunks with other boundaries
    assert exact(any_backend, log)


async def test_one_shard_far_behind_the_other(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(2)
    log = logs(range(20), [(number, number % 2) for number in range(20)])
    worker = Worker(await open_store(), log)
    await worker.store.register(dict.fromkeys(PARTITIONS, 0))
    before = any_backend.snapshot(1)
    await worker.finish()
    any_backend.roll_back(1, before)
    assert [f and f.offset for f in (await worker.store.fences([P]))[P]] == [20, 0]
    await Worker(await open_store(), log).finish(rows=7)
    assert exact(any_backend, log)


async def test_two_labels_at_once_conflict(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    log = logs([4], [(4, 1)])
    log[PREDICTIONS[1]] = [Record(0, 4, 0, 9)]  # a later label, on another partition
    await Worker(await open_store(), {P: log[P]}).finish()
    one, other = Worker(await open_store(), log), Worker(await open_store(), log)
    await one.begin(L, 1)
    await other.begin(PREDICTIONS[1], 1)
    first, second = await one.apply(), await other.apply()
    assert first is not None
    assert second is not None
    assert (first.outcome, second.outcome) == (Outcome.OK, Outcome.CONFLICT)
    assert second.conflicts == (log[L][0].key,)
    assert second.stored == 0
    await other.finish()
    assert exact(any_backend, log)


async def test_a_label_that_races_its_prediction(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    log = logs([4], [(4, 1)])
    predictions, labels = Worker(await open_store(), log), Worker(await open_store(), log)
    await predictions.begin(P, 1)
    await labels.begin(L, 1)  # saw no prediction: would park
    await predictions.apply()
    parked = await labels.apply()
    assert parked is not None
    assert parked.outcome is Outcome.CONFLICT
    await labels.finish()
    assert exact(any_backend, log)


async def test_a_lost_reply_is_answered_already(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    log = logs(range(5))
    worker = Worker(await open_store(), log)
    await worker.begin(P, 5)
    await worker.apply(reply_lost=True)
    again = await worker.apply()
    assert again is not None
    assert (again.outcome, again.stored) == (Outcome.ALREADY, 5)
    assert exact(any_backend, log)


async def test_a_zombie_is_told_that_it_is_one(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    log = logs(range(9))
    zombie, owner = Worker(await open_store(), log), Worker(await open_store(), log)
    await zombie.begin(P, 9)
    await owner.begin(P, 4)
    await owner.apply()
    late = await zombie.apply()
    assert late is not None
    assert (late.outcome, late.stored) == (Outcome.AHEAD, 4)
    await owner.finish()
    await zombie.finish()
    assert exact(any_backend, log)


async def test_lost_writes_are_seen_and_replayed(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    log = logs(range(9))
    worker = Worker(await open_store(), log)
    await worker.begin(P, 3)
    await worker.apply()
    kept = any_backend.snapshot(0)
    await worker.begin(P, 3)
    await worker.apply()
    await worker.begin(P, 3)
    any_backend.roll_back(0, kept)
    behind = await worker.apply()
    assert behind is not None
    assert (behind.outcome, behind.stored) == (Outcome.BEHIND, 3)
    await worker.finish()
    assert exact(any_backend, log)


async def test_a_chunk_cannot_jump_the_fence(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    store = await open_store()
    await store.register({P: 10})
    jumped = await store.flush(Flush(0, P, expected=10, start=12, next=15, watermark_ms=0))
    assert (jumped.outcome, jumped.stored) == (Outcome.BEHIND, 10)
    overlapping = await store.flush(Flush(0, P, expected=10, start=8, next=15, watermark_ms=0))
    assert (overlapping.outcome, overlapping.stored) == (Outcome.OK, 15)


async def test_a_missing_fence_is_lost_and_never_zero(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(2)
    log = logs(range(4))
    worker = Worker(await open_store(), log)
    await worker.finish()
    any_backend.lose_shard(1)
    assert (await worker.store.fences([P]))[P][1] == Fence(-1)
    lost = await worker.store.flush(Flush(1, P, 4, 4, 5, 0))
    assert (lost.outcome, lost.stored) == (Outcome.LOST, -1)
    await worker.store.register({P: 4})
    assert (await worker.store.fences([P]))[P][1] == Fence(-1)


async def test_a_conflict_writes_nothing(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    store = await open_store()
    await store.register({P: 0})
    keys = [bytes([i]) * 12 for i in range(3)]
    await store.flush(stub_flush(0, 1, [StubWrite(MODEL, keys[0], None, b"first")]))
    increment = Increment(CellKey(SCALARS, TIERS[0], BASE_S, MODEL), np.array([0]), np.array([1]), True, 60)
    writes = [StubWrite(MODEL, key, None, b"again") for key in keys]
    refused = await store.flush(Flush(0, P, 1, 1, 2, 0, writes, [increment], dead_letters=[b"letter"]))
    assert (refused.outcome, refused.stored, refused.conflicts) == (Outcome.CONFLICT, 1, (keys[0],))
    found = await store.read_stubs(0, MODEL, keys)
    assert [stub and stub.value for stub in found] == [b"first", None, None]
    assert any_backend.reader().read([increment.key]) == [None]
    assert await store.outbox_read("dead_letters", 10) == []
    assert await store.fences([P]) == {P: [Fence(1)]}


async def test_what_a_flush_depends_on_is_checked(any_backend: Backend, open_store: Open) -> None:
    # A repeat writes no stub. If the store goes back to before the first one, it is no repeat any more.
    any_backend.fresh(1)
    log = logs([4])
    log[PREDICTIONS[1]] = [Record(0, 4)]
    worker, repeater = Worker(await open_store(), log), Worker(await open_store(), log)
    await worker.store.register(dict.fromkeys(PARTITIONS, 0))
    kept = any_backend.snapshot(0)
    await worker.begin(P, 1)
    await worker.apply()
    await repeater.begin(PREDICTIONS[1], 1)
    any_backend.roll_back(0, kept)
    repeat = await repeater.apply()
    assert repeat is not None
    assert repeat.outcome is Outcome.CONFLICT
    await repeater.finish()
    await Worker(await open_store(), log).finish()
    assert exact(any_backend, log)


async def test_stubs_of_models_and_ids_are_apart(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    store = await open_store()
    await store.register({P: 0})
    key, binary = b"0123456789ab", bytes(range(256))
    await store.flush(
        stub_flush(0, 1, [StubWrite(MODEL, key, None, binary), StubWrite("other", key, None, b"")])
    )
    assert [s and s.value for s in await store.read_stubs(0, MODEL, [b"x" * 12, key])] == [None, binary]
    assert [s and s.value for s in await store.read_stubs(0, "other", [key, key])] == [b"", b""]
    assert await store.read_stubs(0, MODEL, []) == []


async def test_a_stub_lives_for_three_generations(any_backend: Backend, open_store: Open) -> None:
    key = b"0123456789ab"

    async def attempt(generations: Generations) -> None:
        store = await open_store()
        await store.register({P: 0})
        generations.go_on(1)
        made = await store.flush(stub_flush(0, 1, [StubWrite("brief", key, None, b"a")]))
        assert made.outcome is Outcome.OK
        (seen,) = await store.read_stubs(0, "brief", [key])
        assert seen is not None
        generations.go_on(2)  # the third generation: still there, and writable
        changed = await store.flush(stub_flush(1, 2, [StubWrite("brief", key, seen, b"b")]))
        assert changed.outcome is Outcome.OK
        assert await store.read_stubs(0, "brief", [key]) == [SeenStub(b"b", seen.generation)]
        generations.go_on(1)
        assert await store.read_stubs(0, "brief", [key]) == [None]
        late = await store.flush(
            stub_flush(2, 3, [StubWrite("brief", key, SeenStub(b"b", seen.generation), b"c")])
        )
        assert (late.outcome, late.conflicts) == (Outcome.CONFLICT, (key,))
        new = await store.flush(stub_flush(2, 3, [StubWrite("brief", key, None, b"d")]))
        assert new.outcome is Outcome.OK

    await punctual(any_backend, attempt)


async def test_a_renewed_stub_lives_as_long_as_a_new_one(any_backend: Backend, open_store: Open) -> None:
    key = b"0123456789ab"

    async def attempt(generations: Generations) -> None:
        store = await open_store()
        await store.register({P: 0})
        generations.go_on(1)
        await store.flush(stub_flush(0, 1, [StubWrite("brief", key, None, b"parked")]))
        generations.go_on(1)
        (seen,) = await store.read_stubs(0, "brief", [key])
        assert seen is not None
        renewed = await store.flush(stub_flush(1, 2, [StubWrite("brief", key, seen, b"known", renew=True)]))
        assert renewed.outcome is Outcome.OK
        assert await store.read_stubs(0, "brief", [key]) == [SeenStub(b"known", seen.generation + 1)]
        generations.go_on(2)  # the parked one would be gone
        assert await store.read_stubs(0, "brief", [key]) == [SeenStub(b"known", seen.generation + 1)]

    await punctual(any_backend, attempt)


async def test_whoever_saw_a_stub_before_it_was_renewed_is_told(
    any_backend: Backend, open_store: Open
) -> None:
    # The prediction of an early label comes a generation later; what was computed from the parked label
    # meanwhile, a repeat of that prediction or another label, must be computed again.
    keys = [bytes([number]) * 12 for number in range(3)]

    async def attempt(generations: Generations) -> None:
        store = await open_store()
        await store.register({P: 0})
        generations.go_on(1)
        await store.flush(stub_flush(0, 1, [StubWrite("brief", key, None, b"parked") for key in keys]))
        generations.go_on(1)
        parked = await store.read_stubs(0, "brief", keys)
        renewing = [StubWrite("brief", keys[0], parked[0], b"known", renew=True)]
        assert (await store.flush(stub_flush(1, 2, renewing))).outcome is Outcome.OK
        for late in (
            StubWrite("brief", keys[0], parked[0], b"known", renew=True),
            StubWrite("brief", keys[0], parked[0], b"parked anew"),
            StubWrite("brief", keys[0], parked[0], b"parked"),  # only checked
        ):
            refused = await store.flush(stub_flush(2, 3, [late]))
            assert (refused.outcome, refused.conflicts) == (Outcome.CONFLICT, (keys[0],))
        (seen,) = await store.read_stubs(0, "brief", keys[:1])
        assert seen is not None
        # Neighbours stay where they were, and one that is renewed as it is stays too.
        neighbour = StubWrite("brief", keys[1], parked[1], b"parked", renew=True)
        again = StubWrite("brief", keys[0], seen, b"corrected")
        assert (await store.flush(stub_flush(2, 3, [again, neighbour]))).outcome is Outcome.OK
        assert [stub and stub.value for stub in await store.read_stubs(0, "brief", keys)] == [
            b"corrected", b"parked", b"parked",
        ]  # fmt: skip

    await punctual(any_backend, attempt)


async def test_a_big_flush_is_one_flush(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    store = await open_store()
    await store.register({P: 0})
    rng = np.random.default_rng(1)
    keys = [bytes(row) for row in rng.integers(0, 256, (20_000, 12), np.uint8)]
    wide = Tier("1h", 3_600, 86_400)
    cells = np.arange(SCORES.size)
    increments = [
        Increment(CellKey(SCORES, wide, BASE_S, MODEL, s), cells, cells + 1, True, 60) for s in range(33)
    ]
    stubs = [StubWrite(MODEL, key, None, key * 3) for key in keys]
    assert (await store.flush(Flush(0, P, 0, 0, 1, 0, stubs, increments))).outcome is Outcome.OK
    seen = await store.read_stubs(0, MODEL, keys)
    assert [stub and stub.value for stub in seen] == [key * 3 for key in keys]
    again = [StubWrite(MODEL, key, stub, b"new") for key, stub in zip(keys, seen, strict=True)]
    assert (await store.flush(Flush(0, P, 1, 1, 2, 0, again, increments))).outcome is Outcome.OK
    stale = await store.flush(Flush(0, P, 2, 2, 3, 0, again))
    assert set(stale.conflicts) == set(keys)
    for counts in any_backend.reader().read([increment.key for increment in increments]):
        assert counts is not None
        assert counts.tolist() == (2 * (cells + 1)).tolist()


async def test_the_cluster_and_topics_are_those_on_record(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    store = await open_store()
    await store.bind("cluster-1", {"predictions": "a", "labels": "b"})
    await store.bind("cluster-1", {"labels": "b", "more": "c"})
    other = await open_store()
    with pytest.raises(StoreRefused, match="the Kafka cluster"):
        await other.bind("cluster-2", {"fresh": "x"})
    with pytest.raises(StoreRefused, match="topic labels"):
        await other.bind("cluster-1", {"labels": "made again"})
    await other.bind("cluster-1", {"fresh": "y", "old": ""})
    await other.bind("cluster-1", {"old": "z"})  # the brokers were upgraded: topics have ids now
    with pytest.raises(StoreRefused, match="topic old"):
        await other.bind("cluster-1", {"old": "made again"})


def test_the_oracle_itself() -> None:
    log = logs([4, 4, 7], [(4, 1), (4, 0), (9, 1)])
    cells = recount(log)
    day = (SCALARS.name, "1d", BASE_S, "", False)
    assert cells[(*day, int(Scalar.REQUESTS))] == 2
    assert cells[(*day, int(Scalar.LABELLED))] == 1
    assert cells[(*day, int(Scalar.LABEL_POSITIVE))] == 0
    assert end(log[P]) == 3
    assert Partition("predictions", 0) == P
