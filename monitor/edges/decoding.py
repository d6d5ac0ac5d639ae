"""Records of a piece as columns per model, ready to be counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monitor.core.batch import LabelBatch, PredictionBatch, label_batch, prediction_batch
from monitor.core.counting import Prepared, prepare
from monitor.core.decode import Limits, Rejected
from monitor.core.mapping import Mapping as FieldMapping
from monitor.core.plan import ModelPlan
from monitor.core.stubs import shards_of
from monitor.core.typed_reader import ChunkReader, Read
from monitor.edges.pieces import Chunk, running_maximum
from monitor.edges.prepare import Preparer

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """A topic's role and shape."""

    kind: Literal["predictions", "labels"]
    mapping: FieldMapping


@dataclass(frozen=True)
class Predictions:
    """Predictions of one model; `shards` has the shard of each row."""

    plan: ModelPlan
    prepared: Prepared
    shards: Ints

    @property
    def batch(self) -> PredictionBatch:
        """Its columns."""
        return self.prepared.batch


@dataclass(frozen=True)
class Labels:
    """Labels of one model; `shards` has the shard of each row."""

    plan: ModelPlan
    batch: LabelBatch
    shards: Ints


@dataclass(frozen=True)
class Decoded:
    """A piece as columns per model; its running maximum of event time begins with its own first record.

    Attributes:
        predictions: by model.
        labels: by model.
        rejected: what could not be read.
        watermark_ms: after the last record; 0 where none has a time.
        probes: model → rows that probes asked.
    """

    predictions: list[Predictions]
    labels: list[Labels]
    rejected: list[Rejected]
    watermark_ms: int
    probes: Mapping[str, int] = field(default_factory=dict)

    def since(self, watermark_ms: int) -> Decoded:
        """With the running maximum going on from that of the records before."""
        return replace(
            self,
            predictions=[
                replace(part, prepared=part.prepared.since(watermark_ms)) for part in self.predictions
            ],
            watermark_ms=max(self.watermark_ms, watermark_ms),
        )


class Decoder:
    """Pieces in, columns out.

    Args:
        preparer: asks the store for ids.
        models: plan by model name.
        sources: topic → role and mapping.
        limits: of one record.
        shards: of the store.
    """

    def __init__(
        self,
        preparer: Preparer,
        models: Mapping[str, ModelPlan],
        sources: Mapping[str, Source],
        limits: Limits,
        shards: int,
    ) -> None:
        self._preparer = preparer
        self._models = models
        self._sources = sources
        self._limits = limits
        self._shards = shards
        self._readers: dict[str, ChunkReader] = {}

    async def decode(self, piece: Chunk) -> Decoded:
        """What a piece holds.

        Raises:
            StoreRefused: a model was counted under another task.
        """
        records = piece.records
        if records and records[0].offset < piece.start:
            records = [record for record in records if record.offset >= piece.start]
        read = self._reader(piece.topic).read(records)
        source = self._sources[piece.topic]
        if source.kind == "labels":
            return await self._labels(read, source)
        return await self._predictions(read, source)

    def _reader(self, topic: str) -> ChunkReader:
        if topic not in self._readers:
            source = self._sources[topic]
            self._readers[topic] = ChunkReader(source.kind, source.mapping, self._models, self._limits)
        return self._readers[topic]

    async def _predictions(self, read: Read, source: Source) -> Decoded:
        batches = [
            (plan, prediction_batch(found, source.mapping, plan.reading, plan.masking))
            for found in read.readable
            for plan in (await self._preparer.numbered(self._models[found.model]),)
        ]
        offsets, marks = running_maximum([batch for _, batch in batches])
        predictions = []
        for plan, batch in batches:
            members = await self._preparer.members(plan, batch)
            violations = await self._preparer.violations(plan, batch)
            at = marks[np.searchsorted(offsets, batch.offsets)]
            cells = await self._preparer.cells(plan, batch, violations)
            judge = await self._preparer.judge(plan)
            prepared = prepare(batch, members, violations, at, cells, judge)
            predictions.append(Predictions(plan, prepared, shards_of(plan.name, batch.keys, self._shards)))
        watermark_ms = int(marks[-1]) if len(marks) else 0
        return Decoded(predictions, [], read.rejected, watermark_ms, read.probes)

    async def _labels(self, read: Read, source: Source) -> Decoded:
        labels = []
        rejected = read.rejected
        for found in read.readable:
            plan = await self._preparer.numbered(self._models[found.model])
            batch, refused = label_batch(found, source.mapping, plan.reading)
            labels.append(Labels(plan, batch, shards_of(plan.name, batch.keys, self._shards)))
            rejected = rejected + refused
        _, marks = running_maximum([part.batch for part in labels])
        watermark_ms = int(marks[-1]) if len(marks) else 0
        return Decoded([], labels, rejected, watermark_ms, read.probes)
