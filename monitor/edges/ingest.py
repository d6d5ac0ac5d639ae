"""The worker's loop over chunks: decode, join, count, flush; whatever the store answers, end exact.

Drives the pure core over the `Store` port. It knows neither Kafka nor Redis: chunks come from a
transport, `rewind` goes back to it.

The rule that makes it exact: what a flush changes and the position it is of change together, in the
store. Whenever the two sides disagree the answer is to seek to the store's fence and go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.core.batch import PredictionBatch
from monitor.core.decode import Limits
from monitor.core.errors import StoreRefused
from monitor.core.plan import ModelPlan
from monitor.edges.attention import Attention
from monitor.edges.decoding import Decoded, Decoder, Source
from monitor.edges.flush_times import FlushTimes
from monitor.edges.flushes import FlushBuilder
from monitor.edges.pieces import PART_BYTES_MAX, Chunk, Size, cut, parts
from monitor.edges.prepare import Preparer, until_answered
from monitor.ports import Clock, Fence, FlushResult, Outcome, Partition, Store

log = logging.getLogger(__name__)

_CONFLICTS_MAX: Final = 100
_ROWS_FIRST: Final = 1_000
_HEAD_START_S: Final = 0.002
"""Decoding holds up the event loop, and with it the flush ahead that is on its way to the store."""

Ints = NDArray[np.int64]


class Tap(Protocol):
    """What is told of a model's counted predictions, and does not wait."""

    def offer(self, batch: PredictionBatch, members: Ints) -> None:
        """A batch was counted; `members` are the slice ids of its rows."""
        ...

    def returned(self, rows: int) -> None:
        """So many rows of probes came back as traffic and were left out."""
        ...


@dataclass
class Progress:
    """What the worker did, for logs and health; resets with the process."""

    records: int = 0
    flushes: int = 0
    rewinds: int = 0
    conflicts: int = 0
    retries: int = 0
    dead_letters: int = 0
    probes_returned: int = 0
    read: Counter[str] = field(default_factory=Counter)  # by topic
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)  # by topic and reason


@dataclass
class _Owned:
    """A partition this worker consumes: the fences it believes in and where the running maximum stands.

    Whoever holds `lock` flushes; whoever holds `next_up` decodes what is flushed after that. `resets` is how
    often the position was set by the store: what was decoded before is of no use then.
    """

    fences: list[Fence]
    position: int
    watermark_ms: int
    size: Size
    resets: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    next_up: asyncio.Lock = field(default_factory=asyncio.Lock)

    def leads(self, stored: Sequence[Fence | None]) -> bool:
        """Whether a shard's fence is behind what is believed of it."""
        pairs = zip(stored, self.fences, strict=True)
        return any(now is None or now.offset < then.offset for now, then in pairs)


class Ingest:
    """Chunks in, flushes out.

    Args:
        store: opened.
        models: plan by model name.
        sources: topic → role and mapping.
        rewind: seeks a partition back to an offset; chunks fetched before are discarded by the transport.
        clock: for waiting between retries only.
        limits: of one record.
        part_rows_max: a chunk of more rows for each shard and model is flushed in pieces (see `parts`), so
            that no script holds the store for long;
        cells_max: as is one whose flush would touch more than about so many cells of a shard.
        taps: model → who is told of its counted predictions.
    """

    def __init__(
        self,
        store: Store,
        models: Mapping[str, ModelPlan],
        sources: Mapping[str, Source],
        rewind: Callable[[Partition, int], Awaitable[None]],
        clock: Clock,
        limits: Limits | None = None,
        part_rows_max: int = 5_000,
        cells_max: int = 100_000,
        taps: Mapping[str, Tap] | None = None,
    ) -> None:
        self.progress = Progress()
        self.flush_times = FlushTimes(clock)
        self._store = store
        self._models = dict(models)
        self._rewind = rewind
        self._clock = clock
        self._piece_rows_max = part_rows_max * parts(store.shards, len(models))
        self._piece_bytes_max = PART_BYTES_MAX * parts(store.shards, len(models))
        self._cells_max = cells_max
        self._owned: dict[Partition, _Owned] = {}
        self._judged_s: dict[str, int] = {}
        self._attention = Attention()
        self._taps = dict(taps or {})
        self._decoder = Decoder(
            Preparer(store, self._retry), self._models, sources, limits or Limits(), store.shards
        )
        self._builder = FlushBuilder(store, self._retry, self._models, self._attention)

    async def take(self, starts: Mapping[Partition, int]) -> dict[Partition, int]:
        """Take over partitions: read their fences, making them where a partition is new.

        Those held before are kept: a placing may be repeated for some of an assignment only, and the
        fences of one that is another worker's now do no harm.

        Args:
            starts: partition → offset to start at if it was never seen.

        Returns:
            Position to fetch from, the lowest fence of each partition.

        Raises:
            StoreRefused: a fence is missing though the partition was counted before.
        """
        await self._retry(lambda: self._store.register(starts))
        fences = await self._retry(lambda: self._store.fences(list(starts)))
        return {partition: self._reset(partition, fences[partition]) for partition in starts}

    async def handle(self, chunk: Chunk) -> None:
        """Count one chunk, exactly once whatever happens on the way.

        The next chunk of a partition may be handed over before this one is counted: it is decoded while this
        one is flushed, and flushed after it. Chunks are taken in the order of the calls.

        Raises:
            StoreRefused: the store lost its fences; counting on would count twice.
        """
        partition = Partition(chunk.topic, chunk.partition)
        owned = self._owned.get(partition)
        if owned is None:
            # Nobody said where it stands: to pass it over in silence would be to lose it.
            await self._refresh(partition)
            return
        async with owned.next_up:
            if owned.lock.locked():
                await self._clock.sleep(_HEAD_START_S)
            resets = owned.resets
            piece, after = cut(chunk, owned.size.rows, self._piece_bytes_max)
            decoded = await self._decoder.decode(piece)
            await owned.lock.acquire()
        try:
            if owned.resets != resets:
                return  # sought back meanwhile: this comes again
            rest: Chunk | None = chunk
            while rest is not None:
                done = piece.next <= owned.position
                if not done:
                    cells = await self._handle(partition, owned, piece, decoded)
                    if cells is None:
                        return
                    owned.size.learn(cells, len(piece.records))
                    done = not owned.size.too_many(cells, len(piece.records))
                rest = after if done else rest
                if rest is not None:
                    await asyncio.sleep(0)  # whoever asks whether the worker is well is answered meanwhile
                    piece, after = cut(rest, owned.size.rows, self._piece_bytes_max)
                    decoded = await self._decoder.decode(piece)
        finally:
            owned.lock.release()

    async def _handle(
        self, partition: Partition, owned: _Owned, chunk: Chunk, decoded: Decoded
    ) -> int | None:
        """Count one piece, unless it touches too many cells.

        Returns:
            Most cells touched in a shard; None when the partition was sent back to an earlier position.
        """
        if chunk.start > owned.position:
            # Records between are neither counted nor in the chunk: a seek was overtaken.
            await self._go_back(partition, owned.position)
            return None
        decoded = decoded.since(owned.watermark_ms)
        results = await asyncio.gather(
            *(
                self._flush_shard(shard, partition, owned, chunk, decoded)
                for shard in range(self._store.shards)
            )
        )
        touched = [cells for cells in results if cells is not None]
        if len(touched) < len(results):
            await self._refresh(partition)
            return None
        most = max(touched)
        if not owned.size.too_many(most, len(chunk.records)):
            self.progress.records += len(chunk.records)
            self.progress.dead_letters += len(decoded.rejected)
            self.progress.read[chunk.topic] += len(chunk.records)
            self.progress.rejected.update((chunk.topic, r.reason.value) for r in decoded.rejected)
            owned.position = chunk.next
            owned.watermark_ms = decoded.watermark_ms
            self._tell(decoded)
        return most

    def _tell(self, decoded: Decoded) -> None:
        """Tell the taps of what was counted."""
        self.progress.probes_returned += sum(decoded.probes.values())
        for part in decoded.predictions:
            if (tap := self._taps.get(part.plan.name)) is not None:
                tap.offer(part.batch, part.prepared.members)
        for model, rows in decoded.probes.items():
            if (tap := self._taps.get(model)) is not None:
                tap.returned(rows)

    async def watch(self) -> None:
        """Compare every fence held with the store's; a store that went back in time is followed back.

        Also learns how far evaluation has got. To be called every second.

        Raises:
            StoreUnavailable: no answer.
            StoreRefused: the store lost its fences.
        """
        for model in self._models:
            self._judged_s[model] = await self._store.judged_s(model)
        idle = {partition: owned for partition, owned in self._owned.items() if not owned.lock.locked()}
        found = await self._store.fences(list(idle))
        for partition, owned in idle.items():
            if not owned.leads(found[partition]):
                continue
            async with owned.lock:
                # A flush may have come between the look and the lock.
                fences = (await self._store.fences([partition]))[partition]
                if owned.leads(fences):
                    log.warning("the store went back in time", extra={"partition": str(partition)})
                    await self._go_back(partition, self._reset(partition, fences))

    async def _flush_shard(
        self, shard: int, partition: Partition, owned: _Owned, chunk: Chunk, decoded: Decoded
    ) -> int | None:
        """Flush what one shard takes of a piece, unless it touches too many cells.

        Returns:
            Cells touched; None when the partition has to be read again.
        """
        for attempt in range(_CONFLICTS_MAX):
            fence = owned.fences[shard]
            if fence.offset >= chunk.next:
                return 0
            flush, signals = await self._builder.build(
                shard, partition, fence, chunk, decoded, self._judged_s, again=attempt > 0
            )
            cells = sum(len(increment.cells) for increment in flush.increments)
            if owned.size.too_many(cells, len(chunk.records)):
                return cells
            began_s = self._clock.monotonic_s()
            result = await self._retry(partial(self._store.flush, flush))
            self.flush_times.took(began_s)
            self.progress.flushes += 1
            match result.outcome:
                case Outcome.OK:
                    owned.fences[shard] = Fence(chunk.next, flush.watermark_ms)
                    self._attention.counted(signals, flush.watermark_ms, carried=shard == 0)
                    return cells
                case Outcome.ALREADY:
                    owned.fences[shard] = Fence(result.stored, flush.watermark_ms)
                    return cells
                case Outcome.CONFLICT:
                    self.progress.conflicts += 1
                case _:
                    self._say(result, shard, partition)
                    return None
        return None

    async def _refresh(self, partition: Partition) -> None:
        fences = await self._retry(lambda: self._store.fences([partition]))
        position = self._reset(partition, fences[partition])
        await self._go_back(partition, position)

    async def _go_back(self, partition: Partition, offset: int) -> None:
        self.progress.rewinds += 1
        await self._rewind(partition, offset)

    def _reset(self, partition: Partition, fences: Sequence[Fence | None]) -> int:
        known = [fence for fence in fences if fence is not None and fence.offset >= 0]
        if len(known) < len(fences):
            raise StoreRefused(
                f"the store has lost its position in {partition}: it was counted before, and its fence is "
                "gone. Restore the store from a backup, or empty it to count again from the start."
            )
        lowest = min(known, key=lambda fence: fence.offset)
        owned = self._owned.get(partition)
        if owned is None:
            size = Size(min(_ROWS_FIRST, self._piece_rows_max), self._piece_rows_max, self._cells_max)
            owned = self._owned[partition] = _Owned(known, 0, 0, size)
        owned.fences = known
        owned.resets += 1
        owned.position, owned.watermark_ms = lowest.offset, lowest.watermark_ms
        return lowest.offset

    def _say(self, result: FlushResult, shard: int, partition: Partition) -> None:
        log.warning(
            "fence moved: %s",
            result.outcome,
            extra={"partition": str(partition), "shard": shard, "stored": result.stored},
        )

    async def _retry(self, call: Callable[[], Awaitable[Any]]) -> Any:
        def count() -> None:
            self.progress.retries += 1

        return await until_answered(call, self._clock, count)
