"""Sequences and values that could make the worker miscount, lose, count twice or stop."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from monitor.core.batch import Reading
from monitor.core.counters import DEFAULT_TIERS, JOIN, SCALARS, CellKey, Join, Scalar
from monitor.core.plan import ModelPlan
from monitor.core.slices import BinSlice, SliceAssigner, VersionSlice, assign, parse_slice
from monitor.core.stubs import ModelIdentity
from monitor.core.tasks import Binary, ClassNames
from monitor.edges.ingest import Ingest
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.edges.prepare import Preparer
from monitor.edges.reference import count_reference
from monitor.ports import Flush, FlushResult, Partition
from tests.support.topology import SOURCES, Log, LogRecord, Worker
from tests.support.traffic import Message

START_S = 1_700_000_000 // 86_400 * 86_400
NOW_MS = (START_S + 600) * 1000
DAY = DEFAULT_TIERS[3]
P, OTHER = Partition("predictions", 0), Partition("predictions", 1)


def plan(*slices: Any) -> ModelPlan:
    specs = [*map(parse_slice, slices), VersionSlice()]
    reading = Reading(Binary(), ModelIdentity())
    return ModelPlan("m", reading, None, SliceAssigner(specs), DEFAULT_TIERS)


def prediction(number: int, partition: int = 0, **more: Any) -> Message:
    record = {"request_id": f"r-{number}", "model": "m", "timestamp": START_S, "score": 0.7, **more}
    return Message("predictions", partition, json.dumps(record).encode())


def worker_on(messages: Sequence[Message], *slices: Any, shards: int = 1) -> Worker:
    store = MemoryStore(shards, {"m": 600}, ManualClock(NOW_MS))
    return Worker(store, Log(messages, NOW_MS), {"m": plan(*slices)})


def scalars(worker: Worker, slice_key: str = "{}") -> Any:
    assert isinstance(worker.store, MemoryStore)
    reader = worker.store.reader()
    slice_id = {"{}": 0, **reader.registry("m", "slices")}[slice_key]
    (counts,) = reader.read([CellKey(SCALARS, DAY, START_S, "m", slice_id)])
    assert counts is not None
    return counts


async def test_a_flood_of_categories_neither_stops_the_worker_nor_grows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(assign, "_CACHE_TOKENS_MAX", 50)
    # Every chunk has values that are remembered and values that are new, while the memory overflows.
    messages = [prediction(i, features={"city": f"c-{i % 7 if i % 2 else i}"}) for i in range(400)]
    worker = worker_on(messages, {"feature": "city", "top": 10})
    await worker.take([P])
    while await worker.step(P, 20):
        pass
    assert scalars(worker)[Scalar.REQUESTS] == 400
    named = sum(
        int(scalars(worker, key)[Scalar.REQUESTS]) for key in await worker.store.registry("m", "slices")
    )
    assert named == 400


async def test_a_row_counts_once_in_a_slice_that_two_declarations_name() -> None:
    messages = [
        prediction(i, features={"sex": "F", "age": 20, "model_version": "1"}, model_version="1")
        for i in range(10)
    ]
    worker = worker_on(
        messages,
        "sex",
        {"feature": "sex", "top": 5},
        {"feature": "age", "bins": [25]},
        {"feature": "age", "bins": [25, 40]},
        "model_version",
    )
    await worker.take([P])
    await worker.step(P, 100)
    for key in ('{"sex":"F"}', '{"age":"(-inf, 25)"}', '{"model_version":"1"}'):
        assert scalars(worker, key)[Scalar.REQUESTS] == 10, key


class Scales(MemoryStore):
    """Weighs every flush."""

    heaviest = 0

    async def flush(self, flush: Flush) -> FlushResult:
        self.heaviest = max(self.heaviest, sum(len(increment.cells) for increment in flush.increments))
        return await super().flush(flush)


@pytest.mark.parametrize("shards", [1, 3])
async def test_labels_for_many_old_buckets_come_in_small_flushes(shards: int) -> None:
    # A night's labels in one chunk: each touches cells of its own in every tier and slice.
    days = 40
    predictions = [
        prediction(i, timestamp=START_S - i * 86_400 // 25, features={"sex": "FM"[i % 2]})
        for i in reversed(range(25 * days))
    ]
    labels = [
        Message("labels", 0, json.dumps({"request_id": f"r-{i}", "model": "m", "label": i % 2}).encode())
        for i in range(25 * days)
    ]
    store = Scales(shards, {"m": 600}, ManualClock(NOW_MS))
    worker = Worker(store, Log([*predictions, *labels], NOW_MS), {"m": plan("sex")})
    worker.ingest = Ingest(store, {"m": plan("sex")}, SOURCES, worker.rewind, ManualClock(), cells_max=2_000)
    await worker.take([P, Partition("labels", 0)])
    for partition in worker.positions:
        while await worker.step(partition, 5_000):
            pass
    # Pieces of a hundred records are not cut: of one shard, they touch no more than this.
    assert store.heaviest <= 100 * 80
    reader = store.reader()
    keys = [CellKey(SCALARS, DAY, START_S - day * 86_400, "m") for day in range(days + 1)]
    found = [counts for counts in reader.read(keys) if counts is not None]
    assert sum(int(counts[Scalar.REQUESTS]) for counts in found) == 25 * days
    assert sum(int(counts[Scalar.LABELLED]) for counts in found) == 25 * days


async def test_taking_some_partitions_again_forgets_none() -> None:
    # A placing that is repeated for one partition must not unhand another, rewound in between.
    worker = worker_on([prediction(i, partition=i % 2) for i in range(10)])
    await worker.take([P, OTHER])
    await worker.ingest.take({P: 0})
    while await worker.step(P, 2):
        pass
    while await worker.step(OTHER, 2):
        pass
    assert scalars(worker)[Scalar.REQUESTS] == 10


async def test_a_chunk_of_a_partition_never_taken_is_not_skipped() -> None:
    worker = worker_on([prediction(i) for i in range(4)])
    await worker.store.register({P: 0})
    worker.positions = {P: 2}
    while await worker.step(P, 2):
        pass
    assert scalars(worker)[Scalar.REQUESTS] == 4


@pytest.mark.parametrize("kafka_ms", [-1, 0, 2**63 - 1, -(2**63)])
async def test_no_time_of_a_record_stops_the_worker(kafka_ms: int) -> None:
    worker = worker_on([])
    records = [
        LogRecord(json.dumps({"request_id": f"r-{i}", "model": "m", **more}).encode(), i, kafka_ms)
        for i, more in enumerate([{}, {"timestamp": START_S}, {"timestamp": 10**17}, {"timestamp": -5}])
    ]
    worker.log.partitions[P] = records
    await worker.take([P])
    await worker.step(P, 2)
    await worker.step(P, 2)
    fences = await worker.store.fences([P])
    assert [fence.offset if fence else None for fence in fences[P]] == [4]
    assert scalars(worker)[Scalar.REQUESTS] == 1


async def test_a_repeat_whose_clock_is_ahead_is_a_repeat() -> None:
    worker = worker_on([])
    ahead = json.dumps({"request_id": "r", "model": "m", "timestamp": START_S + 900, "score": 0.5}).encode()
    # The brokers stamp the repeat a little later, and both times are clamped to the stamp.
    worker.log.partitions[P] = [LogRecord(ahead, 0, NOW_MS), LogRecord(ahead, 1, NOW_MS + 5)]
    await worker.take([P])
    await worker.step(P, 9)
    assert isinstance(worker.store, MemoryStore)
    (joins,) = worker.store.reader().read([CellKey(JOIN, DAY, START_S, "m")])
    assert joins is not None
    assert joins[Join.DUPLICATE_PREDICTIONS] == 1
    assert joins[Join.CONFLICTING_PREDICTIONS] == 0


@pytest.mark.parametrize("shards", [1, 2])
async def test_a_label_is_counted_where_nothing_was_out_of_the_ordinary(shards: int) -> None:
    # No repeat and no early label: the first thing to tell of the join is that a label met its prediction.
    labels = [
        Message("labels", 0, json.dumps({"request_id": f"r-{i % 3}", "model": "m", "label": 1}).encode())
        for i in range(4)
    ]
    worker = worker_on([*map(prediction, range(3)), *labels], shards=shards)
    await worker.take([P, Partition("labels", 0)])
    for partition in worker.positions:
        await worker.step(partition, 9)
    assert isinstance(worker.store, MemoryStore)
    (joins,) = worker.store.reader().read([CellKey(JOIN, DAY, START_S, "m")])
    assert joins is not None
    assert joins[Join.LABELS_APPLIED] == 3
    assert joins[Join.DUPLICATE_LABELS] == 1


async def test_control_characters_never_reach_a_terminal() -> None:
    worker = worker_on([prediction(0, features={"city": "a\x1b[2J\u202eb\x9b\x00"})], "city")
    await worker.take([P])
    await worker.step(P, 1)
    names = await worker.store.registry("m", "slices")
    shown = [value for name in names for value in json.loads(name).values()]
    assert shown == ["a\\x1b[2J\\u202eb\\x9b\\x00"]


async def test_a_prediction_is_remembered_as_long_after_a_parked_label_as_after_none() -> None:
    # Its label waited for it for more than the label wait; its repeat comes a minute later.
    worker = worker_on([prediction(0), prediction(0, partition=1)])
    label = json.dumps({"request_id": "r-0", "model": "m", "label": 1}).encode()
    labels = Partition("labels", 0)
    worker.log.partitions[labels] = [LogRecord(label, 0, NOW_MS)]
    await worker.take([P, OTHER, labels])
    assert isinstance(worker.store, MemoryStore)
    clock = worker.store.contents.clock
    assert isinstance(clock, ManualClock)
    await worker.step(labels, 1)
    clock.advance(890 - clock.now_ms() / 1000 % 300)
    await worker.step(P, 1)
    clock.advance(60)
    await worker.step(OTHER, 1)
    counts = scalars(worker)
    assert (counts[Scalar.REQUESTS], counts[Scalar.LABELLED]) == (1, 1)


def test_bins_and_classes_that_differ_have_different_names() -> None:
    labels = BinSlice("amount", (1_234_567.0, 1_234_568.0, 1_234_569.0)).labels
    assert labels[1:3] == ("[1234567, 1234568)", "[1234568, 1234569)")
    assert ClassNames(1_000_001).read(1_000_002) == -1
    assert ClassNames(0.1234567, 0.1234568).read(0.1234568) == 0


async def test_names_are_asked_for_in_calls_of_bounded_size() -> None:
    class Counting(MemoryStore):
        longest = 0

        async def ids(self, model: str, family: str, names: Sequence[str], limit: int) -> list[int]:
            self.longest = max(self.longest, len(names))
            return await super().ids(model, family, names, limit)

    store = Counting(1, {"m": 600}, ManualClock(NOW_MS))
    rows = ({"features": {"city": f"c-{i}"}, "score": 0.5, "label": 1} for i in range(20_000))

    async def answered(call: Callable[[], Awaitable[Any]]) -> Any:
        return await call()

    counts = await count_reference(plan({"feature": "city", "top": 5}), Preparer(store, answered), rows)
    assert counts.scalars[0][Scalar.REQUESTS] == 20_000
    assert store.longest <= 5_000
