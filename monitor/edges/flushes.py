"""What one shard is told of a decoded piece: a flush, with what it needs to know of the shard first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from monitor.core.batch import LabelBatch, PredictionBatch
from monitor.core.counters import Increment, Rows
from monitor.core.counting import Counted, count_labels, count_predictions
from monitor.core.decode import dead_letter
from monitor.core.hints import HINTS
from monitor.core.join import Joined
from monitor.core.plan import ModelPlan
from monitor.edges.attention import Attention, Signals
from monitor.edges.decoding import Decoded, Labels, Predictions
from monitor.edges.pieces import Chunk
from monitor.edges.prepare import Retry
from monitor.ports import Fence, Flush, Partition, SeenStub, Store, StubColumns, StubWrite

Ints = NDArray[np.int64]


@dataclass
class _Told:
    """What a flush tells, gathered model by model."""

    writes: list[StubWrite] = field(default_factory=list)
    columns: list[StubColumns] = field(default_factory=list)
    increments: list[Increment] = field(default_factory=list)
    rankings: list[Rows] = field(default_factory=list)
    evidence: dict[str, Sequence[bytes]] = field(default_factory=dict)
    signals: list[tuple[str, Mapping[str, NDArray[np.float64]]]] = field(default_factory=list)

    def add(self, plan: ModelPlan, counted: Counted, seen: Mapping[bytes, SeenStub]) -> None:
        joined = counted.joined
        self.writes += [
            StubWrite(plan.name, key, seen.get(key), value, key in joined.renewed)
            for key, value in joined.writes.items()
        ]
        self.columns += _columns(plan.name, joined, seen)
        self.increments += counted.increments
        self.rankings += counted.rankings
        self.evidence |= {f"{plan.name}/{name}": samples for name, samples in counted.evidence.items()}
        self.signals.append((plan.name, counted.signals))


class FlushBuilder:
    """Builds flushes.

    Args:
        store: opened; asked for the stubs that rows may meet.
        retry: calls until the store answers.
        models: plan by model name.
        attention: has the hints that are to be carried.
    """

    def __init__(
        self, store: Store, retry: Retry, models: Mapping[str, ModelPlan], attention: Attention
    ) -> None:
        self._store = store
        self._retry = retry
        self._attention = attention
        self._all_new: dict[tuple[int, str], bool] = {}
        maskings = [plan.masking for plan in models.values()]
        self._masking = next((masking for masking in maskings if masking.features), None)

    async def build(
        self,
        shard: int,
        partition: Partition,
        fence: Fence,
        piece: Chunk,
        decoded: Decoded,
        judged_s: Mapping[str, int],
        *,
        again: bool,
    ) -> tuple[Flush, Signals]:
        """The flush, and what early hints are drawn from once it is applied.

        Args:
            shard: to flush to.
            partition: of the piece.
            fence: of the shard; rows before it are counted there.
            piece: where it begins and ends.
            decoded: what it holds.
            judged_s: model → event time up to which the evaluator has judged.
            again: it follows a conflict.
        """
        told = _Told()
        for part in decoded.predictions:
            if len(rows := _rows(part, shard, fence)):
                # While none was there before, the next are taken to be new as well: the script looks.
                known = self._all_new.get((shard, part.plan.name), False) and not again
                seen = {} if known else await self._read(shard, part.plan.name, part.batch, rows)
                self._all_new[shard, part.plan.name] = not seen
                counted = count_predictions(part.plan, part.prepared, rows, _values(seen))
                told.add(part.plan, counted, seen)
        source = crc32(partition.topic.encode()) & 0xFFFF0000 | partition.number & 0xFFFF
        for labels in decoded.labels:
            if len(rows := _rows(labels, shard, fence)):
                seen = await self._read(shard, labels.plan.name, labels.batch, rows)
                counted = count_labels(
                    labels.plan, labels.batch, source, decoded.watermark_ms,
                    judged_s.get(labels.plan.name, 0), rows, _values(seen),
                )  # fmt: skip
                told.add(labels.plan, counted, seen)
        if shard == 0:
            for model, _ in told.signals:
                if hints := self._attention.waiting(model):
                    told.evidence[f"{model}/{HINTS}"] = hints
        letters = [
            dead_letter(rejected, partition.topic, partition.number, self._masking)
            for rejected in decoded.rejected
            if rejected.offset >= fence.offset and rejected.offset % self._store.shards == shard
        ]
        flush = Flush(
            shard=shard,
            partition=partition,
            expected=fence.offset,
            start=piece.start,
            next=piece.next,
            watermark_ms=decoded.watermark_ms,
            stubs=told.writes,
            columns=told.columns,
            increments=told.increments,
            rankings=told.rankings,
            dead_letters=letters,
            evidence=told.evidence,
        )
        return flush, told.signals

    async def _read(
        self, shard: int, model: str, batch: PredictionBatch | LabelBatch, rows: Ints
    ) -> dict[bytes, SeenStub]:
        every = batch.keys if len(rows) == len(batch.keys) else [batch.keys[i] for i in rows.tolist()]
        if not batch.tracked[rows].all():
            every = [key for key, kept in zip(every, batch.tracked[rows].tolist(), strict=True) if kept]
        keys = list(dict.fromkeys(every))
        if not keys:
            return {}
        stubs: Any = await self._retry(lambda: self._store.read_stubs(shard, model, keys))
        return {key: stub for key, stub in zip(keys, stubs, strict=True) if stub is not None}


def _rows(part: Predictions | Labels, shard: int, fence: Fence) -> Ints:
    return np.flatnonzero((part.shards == shard) & (part.batch.offsets >= fence.offset))


def _values(seen: Mapping[bytes, SeenStub]) -> dict[bytes, bytes]:
    return {key: stub.value for key, stub in seen.items()}


def _columns(model: str, joined: Joined, seen: Mapping[bytes, SeenStub]) -> list[StubColumns]:
    """Stubs that stand alike: those nobody has seen, and those that get their first label, by generation."""
    found = [StubColumns(model, None, table) for table in joined.arrivals]
    for table in joined.labelled:
        generations = np.array([seen[key].generation for key in table.keys])
        for generation in np.unique(generations).tolist():
            rows = np.flatnonzero(generations == generation)
            found.append(StubColumns(model, generation, table.take(rows)))
    return found
