"""A worker small enough to reason about, for driving a store: an id counts once, its last label once.

The stub's bytes are this module's own (the store never reads them): `P<label order>:<label>` with a
prediction, `W…` for a label that waits for one; order 0 is no label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.core.counters import ALL_SLICE, JOIN, SCALARS, SCORES, CellKey, Increment, Join, Scalar, Tier
from monitor.ports import (
    CounterReader,
    Fence,
    Flush,
    FlushResult,
    Outcome,
    Partition,
    SeenStub,
    Store,
    StubWrite,
)

MODEL = "m"
TIERS = (Tier("1m", 60, 86_400), Tier("1d", 86_400, 400 * 86_400))
SCORED = 2
"""In the place of a label: the cell of a score alone."""

BASE_S = 1_700_006_400 // 86_400 * 86_400
PREDICTIONS = (Partition("predictions", 0), Partition("predictions", 1))
LABELS = (Partition("labels", 0),)
PARTITIONS = (*PREDICTIONS, *LABELS)


@dataclass(frozen=True)
class Record:
    """`label` is None for a prediction; `order` makes one of several labels the last."""

    offset: int
    number: int  # of the request id
    label: int | None = None
    order: int = 0

    @property
    def key(self) -> bytes:
        return (self.number * 2_654_435_761 % 2**32).to_bytes(4, "little") + self.number.to_bytes(8, "big")

    @property
    def slice_name(self) -> str:
        return f"slice {self.number % 5}"

    @property
    def time_ms(self) -> int:
        return (BASE_S + 60 * (self.number % 3)) * 1_000

    def shard(self, shards: int) -> int:
        return self.number % shards


Logs = dict[Partition, list[Record]]
Cells = Counter[tuple[str, str, int, str, bool, int]]
"""(kind, tier, bucket, slice name, retracted, cell) → amount."""


def end(log: Sequence[Record]) -> int:
    return log[-1].offset + 1 if log else 0


def recount(logs: Logs) -> Cells:
    """What the counters must say once everything is counted: from the records, with no store."""
    cells: Cells = Counter()
    predicted = Counter(r.number for log in logs.values() for r in log if r.label is None)
    labels: dict[int, Record] = {}
    for log in logs.values():
        for record in log:
            if record.label is not None:
                last = labels.get(record.number)
                if last is None or record.order > last.order:
                    labels[record.number] = record
    for number, times in predicted.items():
        record = Record(0, number)
        _count(cells, record, Scalar.REQUESTS)
        _score(cells, record, SCORED)
        _join(cells, record, Join.DUPLICATE_PREDICTIONS, times - 1)
        if number in labels:
            _count(cells, record, Scalar.LABELLED)
            _count(cells, record, Scalar.LABEL_POSITIVE, amount=labels[number].label or 0)
            _score(cells, record, labels[number].label or 0)
    return +cells


def read_cells(reader: CounterReader, names: Iterable[str]) -> Cells:
    """What the counters say, as `recount` says it."""
    ids = {**reader.registry(MODEL, "slices"), "": ALL_SLICE}
    cells: Cells = Counter()
    keys, slices = [], []
    for tier in TIERS:
        starts_s = {Record(0, number).time_ms // 1_000 for number in range(3)}
        for bucket_s in sorted({start_s // tier.bucket_s * tier.bucket_s for start_s in starts_s}):
            for name in ("", *names):
                for kind in (SCALARS, JOIN, SCORES):
                    if name in ids and (kind.per_slice or name == ""):
                        keys.append(CellKey(kind, tier, bucket_s, MODEL, ids[name]))
                        slices.append(name)
    for key, name, counts in zip(keys, slices, reader.read(keys), strict=True):
        for cell in [] if counts is None else np.flatnonzero(counts).tolist():
            assert counts is not None
            cells[key.kind.name, key.tier.name, key.bucket_s, name, False, cell] = int(counts[cell])
    return cells


def _count(cells: Cells, record: Record, cell: int, retracted: bool = False, amount: int = 1) -> None:
    for tier in TIERS:
        bucket_s = record.time_ms // 1_000 // tier.bucket_s * tier.bucket_s
        for name in ("", record.slice_name):
            cells[SCALARS.name, tier.name, bucket_s, name, retracted, cell] += amount


def _join(cells: Cells, record: Record, cell: int, amount: int = 1) -> None:
    for tier in TIERS:
        bucket_s = record.time_ms // 1_000 // tier.bucket_s * tier.bucket_s
        cells[JOIN.name, tier.name, bucket_s, "", False, cell] += amount


def _score(cells: Cells, record: Record, label: int, retracted: bool = False) -> None:
    """A label's cell of a score histogram: 32 bits wide in one tier, 64 in the other."""
    for tier in TIERS:
        bucket_s = record.time_ms // 1_000 // tier.bucket_s * tier.bucket_s
        for name in ("", record.slice_name):
            cells[
                SCORES.name, tier.name, bucket_s, name, retracted, 3 * (record.number % 512) + 2 - label
            ] += 1


@dataclass
class Pending:
    """A chunk between having been read and having been applied to every shard."""

    partition: Partition
    start: int
    next: int
    flushes: list[Flush]


@dataclass
class Worker:
    """Counts records into a store, seeking to the fence whenever the two disagree."""

    store: Store
    logs: Logs
    fences: dict[Partition, list[Fence]] = field(default_factory=dict)
    pending: Pending | None = None
    slice_ids: dict[str, int] = field(default_factory=dict)

    async def seek(self, partition: Partition) -> None:
        """Believe what the store says."""
        self.pending = None
        await self.store.register({partition: 0})
        fences = (await self.store.fences([partition]))[partition]
        self.fences[partition] = [fence for fence in fences if fence is not None]
        assert len(self.fences[partition]) == self.store.shards

    async def begin(self, partition: Partition, rows: int) -> None:
        """Fetch a chunk at the lowest fence, read its stubs, compute its flushes."""
        if partition not in self.fences:
            await self.seek(partition)
        start = min(fence.offset for fence in self.fences[partition])
        log = [record for record in self.logs[partition] if record.offset >= start][:rows]
        if log:
            self.pending = Pending(partition, start, end(log), [])
            for shard in range(self.store.shards):
                self.pending.flushes.append(await self.build(shard, self.pending))

    async def build(self, shard: int, chunk: Pending) -> Flush:
        fence = self.fences[chunk.partition][shard]
        mine = [
            record
            for record in self.logs[chunk.partition]
            if max(chunk.start, fence.offset) <= record.offset < chunk.next
            and record.shard(self.store.shards) == shard
        ]
        keys = list(dict.fromkeys(record.key for record in mine))
        found = dict(zip(keys, await self.store.read_stubs(shard, MODEL, keys), strict=True))
        cells, values, created = fold(mine, found)
        return Flush(
            shard=shard,
            partition=chunk.partition,
            expected=fence.offset,
            start=chunk.start,
            next=chunk.next,
            watermark_ms=max((record.time_ms for record in mine), default=0),
            stubs=[StubWrite(MODEL, key, found[key], value) for key, value in values.items()],
            increments=await self.increments(cells, created),
        )

    async def increments(self, cells: Cells, created: bool) -> list[Increment]:
        names = sorted({name for (_, _, _, name, _, _) in cells} - set(self.slice_ids) - {""})
        ids = await self.store.ids(MODEL, "slices", names, 100)
        self.slice_ids |= dict(zip(names, ids, strict=True))
        kinds, tiers = {k.name: k for k in (SCALARS, JOIN, SCORES)}, {tier.name: tier for tier in TIERS}
        arrays: dict[tuple[str, str, int, str, bool], list[tuple[int, int]]] = {}
        for (kind, tier, bucket_s, name, retracted, cell), amount in sorted((+cells).items()):
            arrays.setdefault((kind, tier, bucket_s, name, retracted), []).append((cell, amount))
        return [
            Increment(
                CellKey(
                    kinds[kind], tiers[tier], bucket_s, MODEL,
                    self.slice_ids[name] if name else ALL_SLICE, retracted,
                ),
                np.array([cell for cell, _ in touched], np.int64),
                np.array([amount for _, amount in touched], np.int64),
                create=created,
                ttl_s=tiers[tier].keep_s,
            )
            for (kind, tier, bucket_s, name, retracted), touched in arrays.items()
        ]  # fmt: skip

    async def apply(self, reply_lost: bool = False) -> FlushResult | None:
        """Apply the next flush of the chunk; with its reply lost, the very same one comes next again."""
        chunk = self.pending
        if chunk is None:
            return None
        shard = self.store.shards - len(chunk.flushes)
        result = await self.store.flush(chunk.flushes[0])
        if reply_lost:
            return result
        if result.outcome in {Outcome.OK, Outcome.ALREADY}:
            self.fences[chunk.partition][shard] = Fence(result.stored)
            chunk.flushes.pop(0)
            if not chunk.flushes:
                self.pending = None
        elif result.outcome is Outcome.CONFLICT:
            assert set(result.conflicts) <= {write.key for write in chunk.flushes[0].stubs}
            assert result.conflicts
            chunk.flushes[0] = await self.build(shard, chunk)
        else:
            await self.seek(chunk.partition)
        return result

    async def drain(self) -> None:
        """Apply what is held."""
        while self.pending is not None:
            await self.apply()

    async def finish(self, rows: int = 5) -> None:
        """Apply what is held, then count everything there is."""
        await self.drain()
        for partition, log in self.logs.items():
            await self.seek(partition)
            while min(fence.offset for fence in self.fences[partition]) < end(log):
                await self.begin(partition, rows)
                await self.drain()


def fold(
    records: Sequence[Record], found: dict[bytes, SeenStub | None]
) -> tuple[Cells, dict[bytes, bytes], bool]:
    """Join records to stubs: cells to add, stubs to write, and whether buckets may be made."""
    cells: Cells = Counter()
    known = {key: stub.value for key, stub in found.items() if stub is not None}
    for record in records:
        stub = known.get(record.key)
        kind, order, label = _unpack(stub)
        if record.label is None:
            if kind == "P":
                _join(cells, record, Join.DUPLICATE_PREDICTIONS)
                continue
            kind = "P"
            _count(cells, record, Scalar.REQUESTS)
            _score(cells, record, SCORED)
            if order:
                _label(cells, record, label)
        else:
            if order >= record.order:
                continue
            if kind == "P":
                if order:
                    _label(cells, record, label, retracted=True)
                _label(cells, record, record.label)
            order, label = record.order, record.label
        known[record.key] = f"{kind}{order}:{label}".encode()
    # Also what stays as it was: a repeat is one only while the stub it was told by is there.
    return cells, known, any(record.label is None for record in records)


def _label(cells: Cells, record: Record, label: int, retracted: bool = False) -> None:
    _count(cells, record, Scalar.LABELLED, retracted)
    _count(cells, record, Scalar.LABEL_POSITIVE, retracted, label)
    _score(cells, record, label, retracted)


def _unpack(stub: bytes | None) -> tuple[str, int, int]:
    if stub is None:
        return "W", 0, 0
    order, _, label = stub[1:].partition(b":")
    return stub[:1].decode(), int(order), int(label)
