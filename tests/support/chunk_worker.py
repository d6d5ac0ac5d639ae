"""A worker on a real broker whose handler counts into a store of a few lines: the fence rule alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from monitor.edges.kafka.chunks import Bounds, Chunk, Kind
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.flow import Flow
from monitor.edges.kafka.options import KafkaWorkerConfig
from monitor.edges.kafka.topics import TopicProducer
from monitor.edges.kafka.worker import create_app, run_worker
from monitor.ports import Partition

Hook = Callable[[Chunk], Awaitable[None]]


@dataclass
class FencedLog:
    """What was counted of each partition, and up to where; shared by workers, and by their restarts."""

    fences: dict[Partition, int] = field(default_factory=dict)
    counted: dict[Partition, list[int]] = field(default_factory=dict)
    values: dict[Partition, list[bytes | None]] = field(default_factory=dict)

    def apply(self, chunk: Chunk) -> bool:
        """Count a chunk if it joins the fence; False asks for a rewind."""
        place = chunk.place
        fence = self.fences[place]
        if chunk.start > fence:
            return False
        if chunk.next <= fence:
            return True
        fresh = [record for record in chunk.records if record.offset >= fence]
        self.counted.setdefault(place, []).extend(record.offset for record in fresh)
        self.values.setdefault(place, []).extend(record.value for record in fresh)
        self.fences[place] = chunk.next
        return True

    def lose(self, place: Partition, fence: int) -> None:
        """Go back in time, as a store that lost writes does."""
        keep = sum(offset < fence for offset in self.counted.get(place, ()))
        self.fences[place] = fence
        del self.counted.get(place, [])[keep:]
        del self.values.get(place, [])[keep:]

    @property
    def total(self) -> int:
        return sum(map(len, self.counted.values()))


class Worker:
    """One worker; several may share a log."""

    def __init__(self, config: KafkaWorkerConfig, log: FencedLog, before: Hook | None = None) -> None:
        self.log = log
        self.chunks: list[Chunk] = []
        self.kinds: list[Kind] = []
        self.lost: list[tuple[Partition, int, int]] = []
        self.placed: list[Mapping[Partition, Bounds]] = []
        self.before = before
        self.flow = Flow(self.positions, self.on_lost)
        self.app = create_app(config, self, self.flow)
        self.stop = asyncio.Event()
        self.advanced = asyncio.Condition()

    async def positions(self, bounds: Mapping[Partition, Bounds]) -> Mapping[Partition, int]:
        self.placed.append(bounds)
        return {place: self.log.fences.setdefault(place, kept.earliest) for place, kept in bounds.items()}

    async def on_lost(self, partition: Partition, fence: int, earliest: int) -> None:
        self.lost.append((partition, fence, earliest))

    async def handle(self, chunk: Chunk, kind: Kind) -> None:
        self.chunks.append(chunk)
        self.kinds.append(kind)
        if self.before is not None:
            await self.before(chunk)
        if self.flow.is_current(chunk) and not self.log.apply(chunk):
            await self.flow.rewind(chunk.place, self.log.fences[chunk.place])
        async with self.advanced:
            self.advanced.notify_all()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until a condition over handled chunks holds; a worker that fails meanwhile fails the test."""

        async def holds() -> None:
            async with self.advanced:
                await self.advanced.wait_for(reached)

        waits = [asyncio.create_task(holds()), asyncio.create_task(self.flow.failed())]
        done, _ = await asyncio.wait(waits, timeout=300, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        assert waits[0] in done, f"handled {self.log.total} records, then: {self.flow.failure!r}"


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[asyncio.Task[int]]:
    """Run a worker; at the end it is told to stop, unless it has ended."""
    task = asyncio.create_task(run_worker(worker.app, stop=worker.stop))
    try:
        yield task
    finally:
        worker.stop.set()
        await task


def config(kafka: str, topic: str, **changes: Any) -> KafkaWorkerConfig:
    """Quick timeouts, one topic of predictions, a group named after it."""
    quick = {"session_timeout_s": 6.0, "rebalance_timeout_s": 6.0, "stop_s": 10.0}
    values: dict[str, Any] = {"predictions": (topic,), **quick, **changes}
    return KafkaWorkerConfig(KafkaConnection(kafka), f"group-{topic}", **values)


def feed(
    kafka: str, topic: str, count: int, partitions: int = 1, start: int = 0, bytes_each: int = 100
) -> None:
    """Write numbered records, round robin over partitions."""
    with TopicProducer(KafkaConnection(kafka)) as producer:
        for number in range(start, start + count):
            producer.send(topic, b"%d" % number + b" " * bytes_each, partition=number % partitions)
    assert producer.delivered == count, producer.last_error
