"""Each stage of a worker alone, on one chunk (pytest-benchmark; `python -m benchmarks.pipeline.stages`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pytest

from benchmarks.pipeline.alone import CHUNK_ROWS, LABELS, PREDICTIONS, log_of
from benchmarks.pipeline.traffic import make, plans
from monitor.core.batch import label_batch, prediction_batch
from monitor.core.counting import count_labels, count_predictions, prepare
from monitor.core.decode import Limits
from monitor.core.mapping import Mapping
from monitor.core.typed_reader import ChunkReader
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.edges.prepare import Preparer, until_answered
from monitor.edges.redis.payload import Limits as StoreLimits
from monitor.edges.redis.payload import StubPlan, pack
from monitor.ports import Flush, FlushResult
from tests.support.topology import Worker

WAIT_S = 7 * 86_400


class Kept(MemoryStore):
    """Keeps the flushes that were applied."""

    def __init__(self, models: tuple[str, ...]) -> None:
        super().__init__(1, dict.fromkeys(models, WAIT_S), ManualClock())
        self.flushes: list[Flush] = []

    async def flush(self, flush: Flush) -> FlushResult:
        """Keep and apply."""
        self.flushes.append(flush)
        return await super().flush(flush)


@dataclass
class Stages:
    """One chunk of predictions and one of their labels, at every point of their way."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def __post_init__(self) -> None:
        self.traffic = make(CHUNK_ROWS)
        self.plans = plans(self.traffic)
        self.log = log_of(self.traffic, labels=True)
        self.store = Kept(self.traffic.models)
        self.preparer = Preparer(self.store, self._answered)
        self.mapping = Mapping.parse()
        self.rows = np.arange(CHUNK_ROWS)
        (found,) = self.plans.values()
        self.plan = self.loop.run_until_complete(self.preparer.numbered(found))
        self.readers = {
            kind: ChunkReader(kind, self.mapping, self.plans, Limits()) for kind in ("predictions", "labels")
        }

    async def _answered(self, call: Callable[[], Any]) -> Any:
        return await until_answered(call, ManualClock(), lambda: None)

    def read(self, kind: str) -> Any:
        return self.readers[kind].read(self.log.partitions[PREDICTIONS if kind == "predictions" else LABELS])

    @cached_property
    def found(self) -> Any:
        return self.read("predictions").readable[0]

    @cached_property
    def batch(self) -> Any:
        return prediction_batch(self.found, self.mapping, self.plan.reading)

    def members(self) -> Any:
        return self.loop.run_until_complete(self.preparer.members(self.plan, self.batch))

    def violations(self) -> Any:
        return self.loop.run_until_complete(self.preparer.violations(self.plan, self.batch))

    def cells(self) -> Any:
        return self.loop.run_until_complete(self.preparer.cells(self.plan, self.batch, self.violations()))

    def prepared(self, members: Any, violations: Any, cells: Any) -> Any:
        return prepare(self.batch, members, violations, np.maximum.accumulate(self.batch.times_ms), cells)

    @cached_property
    def flushes(self) -> list[Flush]:
        """Of the predictions and of their labels."""
        worker = Worker(self.store, self.log, self.plans)

        async def count() -> None:
            await worker.take(list(self.log.partitions))
            for partition in (PREDICTIONS, LABELS):
                while await worker.step(partition, CHUNK_ROWS):
                    pass

        self.loop.run_until_complete(count())
        return self.store.flushes


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    found = Stages()
    yield found
    found.loop.close()


def test_decode_and_validate(benchmark: Any, stages: Stages) -> None:
    assert len(benchmark(stages.read, "predictions").rejected) == 0


def test_columns(benchmark: Any, stages: Stages) -> None:
    found = stages.found
    assert len(benchmark(prediction_batch, found, stages.mapping, stages.plan.reading)) == CHUNK_ROWS


def test_slices(benchmark: Any, stages: Stages) -> None:
    assert len(benchmark(stages.members)) == CHUNK_ROWS


def test_violations(benchmark: Any, stages: Stages) -> None:
    assert len(benchmark(stages.violations).rows) == 0


def test_feature_cells(benchmark: Any, stages: Stages) -> None:
    assert benchmark(stages.cells) is not None


def test_stubs(benchmark: Any, stages: Stages) -> None:
    parts = stages.members(), stages.violations(), stages.cells()
    assert len(benchmark(stages.prepared, *parts).stubs) == CHUNK_ROWS


def test_join_and_aggregate(benchmark: Any, stages: Stages) -> None:
    prepared = stages.prepared(stages.members(), stages.violations(), stages.cells())
    assert benchmark(count_predictions, stages.plan, prepared, stages.rows, {}).increments


def test_pack_flush(benchmark: Any, stages: Stages) -> None:
    (flush,) = [flush for flush in stages.flushes if flush.partition == PREDICTIONS][-1:]
    assert benchmark(_pack, flush, stages)


def test_labels_decode(benchmark: Any, stages: Stages) -> None:
    assert len(benchmark(stages.read, "labels").rejected) == 0


def test_labels_join_and_aggregate(benchmark: Any, stages: Stages) -> None:
    batch, _ = label_batch(stages.read("labels").readable[0], stages.mapping, stages.plan.reading)
    arrived = [c.stubs for flush in stages.flushes if flush.partition == PREDICTIONS for c in flush.columns]
    seen = {key: value.tobytes() for s in arrived for key, value in zip(s.keys, s.values, strict=True)}
    assert len(seen) == CHUNK_ROWS  # as they stood before their labels came
    counted = benchmark(count_labels, stages.plan, batch, 0, 0, 0, stages.rows, seen)
    assert counted.increments


def test_labels_pack_flush(benchmark: Any, stages: Stages) -> None:
    (flush,) = [flush for flush in stages.flushes if flush.partition == LABELS][-1:]
    assert benchmark(_pack, flush, stages)


def _pack(flush: Flush, stages: Stages) -> bytes:
    half_ms = dict.fromkeys(stages.traffic.models, WAIT_S * 500)
    return pack(flush, StubPlan(256, half_ms), [], StoreLimits())
