"""The whole ingest path in one process: a log in memory, workers over any store, no broker."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from monitor.core.batch import Reading
from monitor.core.counters import DEFAULT_TIERS, SCALARS, CellKey, Scalar, Tier
from monitor.core.mapping import Mapping
from monitor.core.plan import ModelPlan
from monitor.core.slices import SliceAssigner, VersionSlice, parse_slice
from monitor.core.stubs import ModelIdentity
from monitor.core.tasks import Binary
from monitor.edges.decoding import Source
from monitor.edges.ingest import Ingest, Tap
from monitor.edges.memory import ManualClock
from monitor.ports import CounterReader, Partition, Store
from tests.support.traffic import SLICES, YOUNG, Cell, Message

SOURCES = {
    "predictions": Source("predictions", Mapping.parse()),
    "labels": Source("labels", Mapping.parse()),
}


def plan(name: str, tiers: tuple[Tier, ...] = DEFAULT_TIERS) -> ModelPlan:
    """A binary model with the slices of `tests.support.traffic`."""
    specs = [*map(parse_slice, [*SLICES, YOUNG]), VersionSlice()]
    return ModelPlan(name, Reading(Binary(), ModelIdentity()), None, SliceAssigner(specs), tiers)


@dataclass(frozen=True)
class LogRecord:
    """A record as a transport delivers it."""

    value: bytes
    offset: int
    timestamp: int


@dataclass(frozen=True)
class LogChunk:
    """A fetched piece of the log."""

    topic: str
    partition: int
    start: int
    next: int
    records: list[LogRecord]


class Log:
    """Partitions of records; the Kafka of these tests."""

    def __init__(self, messages: Sequence[Message], kafka_ms: int) -> None:
        self.partitions: dict[Partition, list[LogRecord]] = {}
        for message in messages:
            records = self.partitions.setdefault(Partition(message.topic, message.partition), [])
            records.append(LogRecord(message.value, len(records), kafka_ms))

    def raw(self) -> list[tuple[str, int, int, bytes]]:
        """(topic, partition, offset, value) of every record: what an oracle reads."""
        return [
            (partition.topic, partition.number, record.offset, record.value)
            for partition, records in self.partitions.items()
            for record in records
        ]

    def chunk(self, partition: Partition, position: int, rows: int) -> LogChunk | None:
        """At most `rows` records from `position`; None at the end."""
        records = self.partitions[partition][position : position + rows]
        if not records:
            return None
        return LogChunk(partition.topic, partition.number, position, records[-1].offset + 1, records)


@dataclass
class Worker:
    """One worker over a store; a fetch position per partition, as a consumer has."""

    store: Store
    log: Log
    models: dict[str, ModelPlan]
    positions: dict[Partition, int] = field(default_factory=dict)
    taps: MappingABC[str, Tap] = field(default_factory=dict)
    ingest: Ingest = field(init=False)

    def __post_init__(self) -> None:
        self.ingest = Ingest(self.store, self.models, SOURCES, self.rewind, ManualClock(), taps=self.taps)

    async def rewind(self, partition: Partition, offset: int) -> None:
        """Read a partition again from an offset."""
        self.positions[partition] = offset

    async def take(self, partitions: Sequence[Partition]) -> None:
        """Be assigned partitions."""
        self.positions = await self.ingest.take(dict.fromkeys(partitions, 0))

    async def step(self, partition: Partition, rows: int) -> bool:
        """Fetch and count one chunk; False at the end of the log."""
        chunk = self.log.chunk(partition, self.positions[partition], rows)
        if chunk is None:
            return False
        self.positions[partition] = chunk.next
        await self.ingest.handle(chunk)
        return True


COMPARED = tuple(
    cell.name
    for cell in Scalar
    if cell not in {Scalar.INVALID, Scalar.LOG_LOSS_SQ_SUM, Scalar.BRIER_SQ_SUM, Scalar.CLIPPED}
)


def counted(reader: CounterReader, models: Sequence[str], tier: Tier) -> dict[Cell, int]:
    """Every scalar the store holds in a tier, by the oracle's names."""
    found: dict[Cell, int] = {}
    for model in models:
        span = reader.buckets(model, tier.name)
        assert span is not None
        slices: dict[str, int] = {"{}": 0, **reader.registry(model, "slices")}
        where = [
            (key, bucket, CellKey(SCALARS, tier, bucket, model, slice_id))
            for key, slice_id in slices.items()
            for bucket in range(span[0], span[1] + 1, tier.bucket_s)
        ]
        arrays: list[Any] = reader.read([cell_key for _, _, cell_key in where])
        for (key, bucket, _), array in zip(where, arrays, strict=True):
            if array is None:
                continue
            for name in COMPARED:
                if amount := int(array[Scalar[name]]):
                    found[model, key, bucket, name] = amount
    return found
