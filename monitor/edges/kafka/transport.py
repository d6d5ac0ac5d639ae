"""A Faust transport that delivers whole fetched chunks, placed by the store's fences.

Registered as `chunk://` through the entry-point group `faust.transports`. Stock Faust makes four tasks for
every record; here a fetched piece of a partition is one event, and an ordinary agent gets a `Chunk`.

Positions do not come from Kafka's committed offsets: a partition is read only once `Flow.positions` said
from where. Each such seek begins a new *epoch* of the partition. Two sides keep the position: the consumer
thread (`_Cursor`, moved by what was drained) and the event loop (`_due`, moved by what arrived). They differ
when a fetch was abandoned on its way, by a rebalance for example; the next fetch then goes back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final, NamedTuple

import aiokafka
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as stock
from faust.types import TP, ConsumerMessage

from monitor.core.errors import PositionRefused, StoreUnavailable
from monitor.edges.kafka.chunks import Bounds, Chunk
from monitor.edges.kafka.flow import Flow
from monitor.edges.kafka.options import KafkaWorkerConfig
from monitor.ports import Partition

log = logging.getLogger(__name__)

_FETCH_WAIT_MS: Final = 250  # a broker holds one fetch for all its partitions: a seek waits as long
_METADATA_AGE_MS: Final = 30_000  # new partitions are found within
_POLL_INTERVAL_MS: Final = 24 * 3_600_000  # an outage of the store is waited out inside the group
_UNPLACED_PAUSE_S: Final = 0.05
_RETRY_PAUSE_S: Final = 1.0
_END_READS: Final = 2


class _Cursor(NamedTuple):
    """An epoch of a partition and the position within it."""

    epoch: int
    position: int


class _Seek(NamedTuple):
    """Where chunks of a new epoch begin, and where reading does: later, if records in between are gone."""

    epoch: int
    start: int
    offset: int


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


class ChunkThread(stock.AIOKafkaConsumerThread):  # type: ignore[misc] # Faust is untyped
    """Owns the aiokafka consumer; every method with an underscore runs in its thread."""

    logger = stock.logger  # Faust's own messages stay under Faust's name

    def __post_init__(self) -> None:
        super().__post_init__()
        self._cursors: dict[TP, _Cursor] = {}

    def on_crash(self, msg: str, *fmt: Any, **_kwargs: Any) -> None:
        """Log where Faust would print."""
        log.error(msg.format(*fmt))

    def _create_worker_consumer(self, transport: Any) -> Any:  # noqa: ARG002 - Faust's signature
        config: KafkaWorkerConfig = self.app.chunk_config
        return aiokafka.AIOKafkaConsumer(
            **config.connection.client_options(),
            client_id=config.group_id,
            group_id=config.group_id,
            group_instance_id=config.instance_id,
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="none",  # a position out of range is judged here, never moved in silence
            isolation_level=config.isolation_level,
            max_poll_records=config.poll_records_max,
            max_poll_interval_ms=_POLL_INTERVAL_MS,
            max_partition_fetch_bytes=config.fetch_bytes_max,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            request_timeout_ms=int(config.request_timeout_s * 1000),
            session_timeout_ms=int(config.session_timeout_s * 1000),
            heartbeat_interval_ms=int(config.session_timeout_s * 1000 / 6),
            rebalance_timeout_ms=int(config.rebalance_timeout_s * 1000),
            metadata_max_age_ms=_METADATA_AGE_MS,
        )

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget cursors before anything else hears of it."""
        for tp in revoked:
            self._cursors.pop(tp, None)
        await super().on_partitions_revoked(revoked)

    async def place(self, seeks: Mapping[TP, _Seek]) -> None:
        """Seek partitions; an older epoch never overrides a newer one."""
        await self.call_thread(self._place, seeks)

    async def _place(self, seeks: Mapping[TP, _Seek]) -> None:
        consumer = self._ensure_consumer()
        assigned = self.assignment()
        for tp, seek in seeks.items():
            cursor = self._cursors.get(tp)
            newer = cursor is not None and cursor.epoch > seek.epoch
            if newer or tp not in assigned:
                continue
            consumer.seek(tp, seek.offset)
            self._cursors[tp] = _Cursor(seek.epoch, seek.start)

    async def fetch(self, due: Mapping[TP, _Cursor], timeout_s: float) -> dict[TP, Chunk]:
        """One chunk each of the partitions that have records, all from one look at the fetch buffers.

        Args:
            due: where the event loop expects each partition to go on.
            timeout_s: how long to wait for any.
        """
        chunks: dict[TP, Chunk] = await self.call_thread(self._fetch, due, timeout_s)
        return chunks

    async def _fetch(self, due: Mapping[TP, _Cursor], timeout_s: float) -> dict[TP, Chunk]:
        consumer = self._ensure_consumer()
        ready = set()
        for tp, expected in due.items():
            cursor = self._cursors.get(tp)
            if cursor is None or cursor.epoch != expected.epoch:
                continue  # a seek is on its way
            if cursor.position != expected.position:
                await self._place({tp: _Seek(expected.epoch, expected.position, expected.position)})
            ready.add(tp)
        if not ready:
            await asyncio.sleep(_UNPLACED_PAUSE_S)
            return {}
        records_max = self.app.chunk_config.poll_records_max
        try:
            fetched = await self._fetch_records(consumer, ready, timeout=timeout_s, max_records=records_max)
        except NoOffsetForPartitionError:
            return {}  # a rebalance came in between: the partition is ours, but not placed yet
        # From the drain inside to here nothing else runs in this thread: positions and records agree.
        return {tp: chunk for tp in ready if (chunk := self._cut(consumer, tp, fetched.get(tp, ())))}

    def _cut(self, consumer: Any, tp: TP, records: Iterable[Any]) -> Chunk | None:
        """The chunk from the cursor to the consumer's position; None where that did not move."""
        cursor = self._cursors.get(tp)
        subscription = consumer._subscription.subscription  # noqa: SLF001 - aiokafka tells positions to nobody else
        assignment = subscription.assignment if subscription is not None else None
        state = assignment.state_value(tp) if assignment is not None else None
        if cursor is None or state is None or not state.has_valid_position:
            return None
        end = state.lso if self.app.chunk_config.isolation_level == "read_committed" else state.highwater
        if end is not None and end >= 0:
            self.parent_loop.call_soon_threadsafe(self.app.flow.see_end, _partition(tp), end)
        if state.position <= cursor.position:
            return None
        self._cursors[tp] = _Cursor(cursor.epoch, state.position)
        return Chunk(tp.topic, tp.partition, cursor.epoch, cursor.position, state.position, list(records))

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit as a hint: a failure is worth a line, not a worker (Faust would crash)."""
        assigned = self.assignment()
        hints = {stock.ensure_aiokafka_TP(tp): offset for tp, offset in offsets.items() if tp in assigned}
        if not hints:
            return False
        try:
            await self._ensure_consumer().commit(hints)
        except ClientError as error:
            log.info("offsets were not committed", extra={"reason": repr(error)})
            return False
        return True


class Consumer(stock.Consumer):  # type: ignore[misc] # Faust is untyped
    """Faust's consumer, delivering chunks and placed by the flow."""

    logger = stock.logger
    _thread: ChunkThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _Unread()
        self._due: dict[TP, _Cursor] = {}
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
            await asyncio.sleep(_UNPLACED_PAUSE_S)
            return {}
        try:
            fetched = await self._thread.fetch(due, timeout)
        except OffsetOutOfRangeError as error:
            # What is not as it was when asked has a rebalance or a rewind in between.
            unmoved = (TP(*tp) for tp in error.args[0] if tp in due and self._due.get(tp) == due[tp])
            self._replace({tp: due[tp].position for tp in unmoved})
            return {}
        return {tp: [chunk] for tp, chunk in fetched.items() if self._arrived(tp, chunk)}

    def _arrived(self, tp: TP, chunk: Chunk) -> bool:
        """True for the chunk that is due; one after a gap is not, and will be fetched again."""
        if self._due.get(tp) != _Cursor(chunk.seek_epoch, chunk.start):
            return False
        self._due[tp] = _Cursor(chunk.seek_epoch, chunk.next)
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

    def _begin_epochs(self, tps: Iterable[TP]) -> dict[TP, int]:
        epochs = {}
        for tp in tps:
            self._due.pop(tp, None)
            epochs[tp] = self._flow.begin_epoch(_partition(tp))
        return epochs

    async def _seek_all(self, epochs: Mapping[TP, int], offsets: Mapping[TP, tuple[int, int]]) -> None:
        """Seek to (start, offset to read from), unless a later seek came in between."""
        await self._thread.place({tp: _Seek(epochs[tp], *offsets[tp]) for tp in offsets})
        for tp, (start, _) in offsets.items():
            partition = _partition(tp)
            if self._flow.is_epoch(partition, epochs[tp]):
                self._due[tp] = _Cursor(epochs[tp], start)
                self._flow.placed(partition, start)
                self._committed_offset[tp] = None

    def _replace(self, positions: Mapping[TP, int]) -> None:
        """Judge positions that the broker calls out of range, then read on."""
        wanted = {_partition(tp): position for tp, position in positions.items()}
        epochs = self._begin_epochs(positions)

        async def known(_bounds: Mapping[Partition, Bounds]) -> Mapping[Partition, int]:
            return wanted

        self.add_future(self._place_by_fences(epochs, known))

    async def _place_by_fences(self, epochs: Mapping[TP, int], positions: Any = None) -> None:
        try:
            await self._flow.settle(_partition(tp) for tp in epochs)
            while True:
                if await self._try_place(epochs, positions or self._flow.positions):
                    return
                await asyncio.sleep(_RETRY_PAUSE_S)
        except Exception as error:  # noqa: BLE001 - reading on without a position would lose records
            self._flow.fail(error)

    async def _try_place(self, epochs: Mapping[TP, int], positions: Any) -> bool:
        """True when nothing is left to place."""
        try:
            tps = [tp for tp, epoch in epochs.items() if self._flow.is_epoch(_partition(tp), epoch)]
            if not tps:
                return True
            bounds = await self._bounds(tps)
            wanted = await positions(bounds)
            offsets = {
                tp: await self._judge(tp, wanted[_partition(tp)], bounds[_partition(tp)]) for tp in tps
            }
            await self._seek_all(epochs, offsets)
        except StoreUnavailable as error:
            self._flow.store_away = True
            log.warning("waiting for the store to say where to begin", extra={"reason": str(error)})
            return False
        except ClientError as error:
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
            "emptied or created again, or this is another cluster. Use another Redis database (or key "
            "prefix) for it, or delete the old counts, and start again"
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
            while end < fence and await reader.getmany(topic_partition, timeout_ms=2 * _FETCH_WAIT_MS):
                end = await reader.position(topic_partition)
            return end
        finally:
            await reader.stop()


class Transport(stock.Transport):  # type: ignore[misc] # Faust is untyped
    """Faust's aiokafka transport with chunks: `chunk://host:port`."""

    Consumer = Consumer
