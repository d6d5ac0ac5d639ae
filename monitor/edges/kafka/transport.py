"""A Faust transport that delivers whole fetched chunks, placed by the store's fences.

Registered as `chunk://` through the entry-point group `faust.transports`. Stock Faust makes four tasks for
every record; here a fetched piece of a partition is one event, and an ordinary agent gets a `Chunk`.

Positions do not come from Kafka's committed offsets: a partition is read only once `Flow.positions` said
from where. Each such seek begins a new *epoch* of the partition. Two sides keep the position: the consumer
thread (`Cursor`, moved by what was drained) and the event loop (`_due`, moved by what arrived). They differ
when a fetch was abandoned on its way, by a rebalance for example; the next fetch then goes back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

import aiokafka
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as stock
from faust.types import TP, ConsumerMessage

from monitor.core.errors import KafkaError, PositionRefused, StoreUnavailable
from monitor.edges.kafka.chunks import Bounds, Chunk
from monitor.edges.kafka.flow import Flow, Heard
from monitor.edges.kafka.options import KafkaWorkerConfig
from monitor.edges.kafka.thread import FETCH_WAIT_MS, UNPLACED_PAUSE_S, ChunkThread, Cursor, Seek
from monitor.ports import Partition

log = logging.getLogger(__name__)

_RETRY_PAUSE_S: Final = 1.0
_END_READS: Final = 2


def _partition(tp: Any) -> Partition:
    return Partition(tp.topic, tp.partition)


class _Unread(defaultdict[TP, int | None]):
    """Faust's read offsets, always unknown.

    Faust drops a message below the read offset it remembers, and writes that offset when a delivery ends:
    a delivery in flight during a rewind would have the replay dropped. Order is kept by epochs instead.
    """

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def __getitem__(self, tp: TP) -> None:
        return None


class Consumer(stock.Consumer):  # type: ignore[misc] # Faust is untyped
    """Faust's consumer, delivering chunks and placed by the flow."""

    logger = stock.logger
    _thread: ChunkThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _Unread()
        self._due: dict[TP, Cursor] = {}
        self._placing: asyncio.Future[None] | None = None
        self._flow: Flow = self.app.flow
        self._flow.bind(self)

    def _new_consumer_thread(self) -> ChunkThread:
        return ChunkThread(self, loop=self.loop, beacon=self.beacon)

    # Delivery

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109 - Faust's signature
        """One message for each fetched chunk."""
        records, _ = await self._wait_next_records(timeout)
        for tp, chunks in (records or {}).items():
            for chunk in chunks:
                # What is left here when a rebalance begins is fetched again after it.
                if self.flow_active and not self.should_stop:
                    yield tp, self._to_message(tp, chunk)

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> dict[TP, list[Chunk]]:
        due = {tp: self._due[tp] for tp in (active_partitions or ()) if tp in self._due}
        if not due:
            await asyncio.sleep(UNPLACED_PAUSE_S)
            return {}
        try:
            fetched = await self._thread.fetch(due, timeout)
        except OffsetOutOfRangeError as error:
            # What is not as it was when asked has a rebalance or a rewind in between.
            unmoved = [TP(*tp) for tp in error.args[0] if tp in due and self._due.get(tp) == due[tp]]
            # What was fetched before is counted first: a new place would throw it away.
            counted = [tp for tp in unmoved if self._flow.handled(_partition(tp)) == due[tp].position]
            self._replace(counted)
            if not counted:
                await asyncio.sleep(UNPLACED_PAUSE_S)
            return {}
        return {tp: [chunk] for tp, chunk in fetched.items() if self._arrived(tp, chunk)}

    def _arrived(self, tp: TP, chunk: Chunk) -> bool:
        """True for the chunk that is due; one after a gap is not, and will be fetched again."""
        if self._due.get(tp) != Cursor(chunk.seek_epoch, chunk.start):
            return False
        self._due[tp] = Cursor(chunk.seek_epoch, chunk.next)
        return True

    def _to_message(self, tp: TP, record: Chunk) -> Any:
        # Its offset is the last it covers, so that Faust counts the position after the chunk.
        return ConsumerMessage(
            record.topic,
            record.partition,
            record.next - 1,
            record.records[-1].timestamp / 1000 if record.records else None,
            0,
            None,
            None,
            record,
            None,
            -1,
            -1,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: a full buffer blocks delivery, where Faust would look away for a second."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust's detector of stalls errs both ways; the worker has its own."""

    # Commits, a hint

    def _new_offset(self, tp: TP) -> int | None:
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self._flow.handled(_partition(tp))

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: holes lie inside chunks."""

    # Positions

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Note that the group let us in, whatever it gave."""
        await super().on_partitions_assigned(assigned, generation_id)
        self._flow.joined = True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Make every chunk of the revoked partitions stale."""
        self._flow.joined = False
        for tp in revoked:
            self._due.pop(tp, None)
            self._flow.revoke(_partition(tp))
        await super().on_partitions_revoked(revoked)

    async def seek_to_committed(self) -> dict[TP, int]:
        """Place every assigned partition by the store's fences.

        Faust calls this last in a rebalance and limits its time. Placing goes on behind it: until it is
        done the partitions are not read, so a store that is away holds up neither Faust nor the group.
        """
        if self._placing is not None:
            self._placing.cancel()
        self._flow.store_away = False
        epochs = self._begin_epochs(self.assignment())
        self._placing = self.add_future(self._place_by_fences(epochs))
        return {}

    async def seek_partition(self, partition: Partition, offset: int) -> None:
        """See `Flow.rewind`."""
        tp = TP(partition.topic, partition.number)
        if tp in self.assignment():
            epochs = self._begin_epochs([tp])
            await self._seek_all(epochs, {tp: (offset, offset)})

    def heard(self) -> dict[Partition, Heard]:
        """See `Seeker.heard`."""
        return self._thread.heard()

    def _begin_epochs(self, tps: Iterable[TP]) -> dict[TP, int]:
        epochs = {}
        for tp in tps:
            self._due.pop(tp, None)
            epochs[tp] = self._flow.begin_epoch(_partition(tp))
        return epochs

    async def _seek_all(self, epochs: Mapping[TP, int], offsets: Mapping[TP, tuple[int, int]]) -> None:
        """Seek to (start, offset to read from), unless a later seek came in between."""
        await self._thread.place({tp: Seek(epochs[tp], *offsets[tp]) for tp in offsets})
        for tp, (start, _) in offsets.items():
            partition = _partition(tp)
            if self._flow.is_epoch(partition, epochs[tp]):
                self._due[tp] = Cursor(epochs[tp], start)
                self._flow.placed(partition, start)
                self._committed_offset[tp] = None

    def _replace(self, tps: Iterable[TP]) -> None:
        """Judge fences of partitions whose position the broker calls out of range, then read on."""
        epochs = self._begin_epochs(tp for tp in tps if self._flow.holds(_partition(tp)))
        if epochs:
            self.add_future(self._place_by_fences(epochs))

    async def _place_by_fences(self, epochs: Mapping[TP, int]) -> None:
        try:
            await self._flow.settle(_partition(tp) for tp in epochs)
            while True:
                if await self._try_place(epochs):
                    return
                await asyncio.sleep(_RETRY_PAUSE_S)
        except Exception as error:  # noqa: BLE001 - reading on without a position would lose records
            self._flow.fail(error)

    async def _try_place(self, epochs: Mapping[TP, int]) -> bool:
        """True when nothing is left to place."""
        try:
            tps = [tp for tp, epoch in epochs.items() if self._flow.is_epoch(_partition(tp), epoch)]
            if not tps:
                return True
            bounds = await self._bounds(tps)
            wanted = await self._flow.positions(bounds)
            offsets = {
                tp: await self._judge(tp, wanted[_partition(tp)], bounds[_partition(tp)]) for tp in tps
            }
            await self._seek_all(epochs, offsets)
        except StoreUnavailable as error:
            self._flow.store_away = True
            log.warning("waiting for the store to say where to begin", extra={"reason": str(error)})
            return False
        except PositionRefused:
            raise
        except (ClientError, KafkaError) as error:
            log.warning("waiting for the brokers to say what they keep", extra={"reason": repr(error)})
            return False
        self._flow.store_away = False
        return True

    async def _bounds(self, tps: list[TP]) -> dict[Partition, Bounds]:
        earliest = await self.earliest_offsets(*tps)
        end = await self.highwaters(*tps)
        return {_partition(tp): Bounds(earliest[tp], end[tp]) for tp in tps}

    async def _judge(self, tp: TP, fence: int, bounds: Bounds) -> tuple[int, int]:
        """Where chunks begin and where reading does.

        Raises:
            PositionRefused: the fence lies beyond the end of the partition.
        """
        partition = _partition(tp)
        if fence < bounds.earliest:
            await self._flow.lost(partition, fence, bounds.earliest)
            return fence, bounds.earliest
        end = bounds.end
        for attempt in range(_END_READS):
            if fence <= end:
                return fence, fence
            if attempt:
                await asyncio.sleep(_RETRY_PAUSE_S)
                end = (await self.highwaters(tp))[tp]
            end = max(end, await self._read_end(tp, end, fence))
        if fence <= end:
            return fence, fence
        raise PositionRefused(
            f"the store has counted {partition} up to offset {fence}, but the topic ends at {end}: it was "
            "emptied or created again, or this is another cluster. Use another Redis database "
            "for it, or delete the old counts, and start again"
        )

    async def _read_end(self, tp: TP, reported: int, fence: int) -> int:
        """The end found by reading on from the reported one: some brokers report it too low."""
        config: KafkaWorkerConfig = self.app.chunk_config
        reader = aiokafka.AIOKafkaConsumer(
            **config.connection.client_options(),
            isolation_level=config.isolation_level,
            enable_auto_commit=False,
            auto_offset_reset="latest",
        )
        await reader.start()
        try:
            topic_partition = stock.ensure_aiokafka_TP(tp)
            reader.assign([topic_partition])
            reader.seek(topic_partition, reported)
            end = reported
            while end < fence and await reader.getmany(topic_partition, timeout_ms=2 * FETCH_WAIT_MS):
                end = await reader.position(topic_partition)
            return end
        finally:
            await reader.stop()


class Transport(stock.Transport):  # type: ignore[misc] # Faust is untyped
    """Faust's aiokafka transport with chunks: `chunk://host:port`."""

    Consumer = Consumer
