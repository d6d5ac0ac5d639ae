"""Workers, crashes, lost replies, rollbacks, in any order: afterwards every counter is exact."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from monitor.core.errors import StoreRefused
from monitor.ports import Partition
from tests.laws.store_backends import Backend
from tests.laws.store_worker import PARTITIONS, PREDICTIONS, Logs, Record, Worker, end, read_cells, recount

T = TypeVar("T")

WORKERS = 2
IDS = 512
STORM_STEPS = 200
STORM = {"fetch": 10, "apply": 20, "produce": 8, "keep": 2, "roll back": 1, "crash": 1}
SLICE_NAMES = [f"slice {number}" for number in range(5)]

workers = st.integers(0, WORKERS - 1)
partitions = st.sampled_from(PARTITIONS)


class StoreMachine(RuleBasedStateMachine):
    """Each worker may hold any partition, so that all but one of them are zombies at some time."""

    backend: ClassVar[Backend]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.snapshots: dict[int, Any] = {}
        self.logs: Logs = {partition: [] for partition in PARTITIONS}
        self.labels = 0
        self.workers: list[Worker] = []

    def wait(self, call: Awaitable[T]) -> T:
        async def answer() -> T:
            return await call

        return self.runner.run(answer())

    @initialize(shards=st.integers(1, 3))
    def start(self, shards: int) -> None:
        self.shards = shards
        self.backend.fresh(shards)
        self.workers = [Worker(self.wait(self.backend.store()), self.logs) for _ in range(WORKERS)]
        self.wait(self.workers[0].store.register(dict.fromkeys(PARTITIONS, 0)))
        for seed, partition in enumerate(PARTITIONS):
            self.produce(partition, seed)

    @rule(partition=partitions, seed=st.integers(0, 2**16))
    def produce(self, partition: Partition, seed: int) -> None:
        """Some records of few ids, with holes in the log; labels whose order is not that of arrival."""
        rng = random.Random(seed)
        log = self.logs[partition]
        for _ in range(rng.randint(1, 10)):
            offset = end(log) + rng.choice((0, 0, 0, 1, 4))
            # Ids come and go: a label or a repeat is near its prediction, on another partition.
            number = (sum(map(len, self.logs.values())) // 6 + rng.randrange(8)) % IDS
            if partition in PREDICTIONS:
                log.append(Record(offset, number))
            else:
                self.labels += 1
                order = rng.randrange(1, 100) * 10_000 + self.labels
                log.append(Record(offset, number, rng.randrange(2), order))

    @rule(seed=st.integers(0, 2**32))
    def storm(self, seed: int) -> None:
        """Many steps in random order: what a search from the simplest case on rarely gets to."""
        rng = random.Random(seed)
        for _ in range(STORM_STEPS):
            who, partition, shard = rng.randrange(WORKERS), rng.choice(PARTITIONS), rng.randrange(self.shards)
            match rng.choices(
                ("fetch", "apply", "produce", "keep", "roll back", "crash"), (8, 24, 3, 2, 1, 1)
            )[0]:
                case "fetch":
                    self.fetch(who, partition, rng.randint(1, 9))
                case "apply":
                    self.apply(who, rng.random() < 0.2)
                case "produce":
                    self.produce(partition, rng.getrandbits(16))
                case "keep":
                    self.keep(shard)
                case "roll back" if shard in self.snapshots:
                    self.back(shard)
                case "crash":
                    self.crash(who)

    @rule(who=workers, partition=partitions, rows=st.integers(1, 7))
    def fetch(self, who: int, partition: Partition, rows: int) -> None:
        if self.workers[who].pending is None:
            try:
                self.wait(self.workers[who].begin(partition, rows))
            except StoreRefused:
                self.crash(who)

    @rule(who=workers, reply_lost=st.booleans())
    def apply(self, who: int, reply_lost: bool) -> None:
        try:
            self.wait(self.workers[who].apply(reply_lost))
        except StoreRefused:
            self.crash(who)

    @rule(who=workers)
    def crash(self, who: int) -> None:
        self.wait(self.workers[who].store.close())
        self.workers[who] = Worker(self.wait(self.backend.store()), self.logs)

    @rule(shard=st.integers(0, 2))
    def keep(self, shard: int) -> None:
        if shard < self.shards:
            self.snapshots[shard] = self.backend.snapshot(shard)

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        shard = data.draw(st.sampled_from(sorted(self.snapshots)))
        self.back(shard)

    def back(self, shard: int) -> None:
        self.backend.roll_back(shard, self.snapshots.pop(shard))

    def teardown(self) -> None:
        try:
            if self.workers:
                self.settle()
        finally:
            for worker in self.workers:
                self.wait(worker.store.close())
            self.runner.close()

    def settle(self) -> None:
        """All catch up; whatever zombies still hold changes nothing."""
        for who in range(WORKERS):
            try:
                self.wait(self.workers[who].finish())
            except StoreRefused:
                self.crash(who)
                self.wait(self.workers[who].finish())
            self.check()

    def check(self) -> None:
        fences = self.wait(self.workers[0].store.fences(PARTITIONS))
        for partition, log in self.logs.items():
            assert [fence.offset for fence in fences[partition] if fence] == [end(log)] * self.shards
        assert read_cells(self.backend.reader(), SLICE_NAMES) == recount(self.logs)
