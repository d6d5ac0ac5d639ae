"""The consumer thread: owns the aiokafka consumer, seeks it, and cuts what it fetched into chunks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import aiokafka
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import NoOffsetForPartitionError
from faust.transport.drivers import aiokafka as stock
from faust.types import TP

from monitor.edges.kafka.batches import Arrivals
from monitor.edges.kafka.chunks import Chunk
from monitor.edges.kafka.flow import Heard
from monitor.edges.kafka.options import KafkaWorkerConfig
from monitor.ports import Partition

log = logging.getLogger(__name__)

FETCH_WAIT_MS: Final = 250  # a broker holds one fetch for all its partitions: a seek waits as long
_FETCH_BYTES_MIN: Final = 128 << 10  # a flush of twenty rows costs as much as one of hundreds
UNPLACED_PAUSE_S: Final = 0.05
_METADATA_AGE_MS: Final = 30_000  # new partitions are found within
_POLL_INTERVAL_MS: Final = 24 * 3_600_000  # an outage of the store is waited out inside the group


class Cursor(NamedTuple):
    """An epoch of a partition and the position within it."""

    epoch: int
    position: int


class Seek(NamedTuple):
    """Where chunks of a new epoch begin, and where reading does: later, if records in between are gone."""

    epoch: int
    start: int
    offset: int


class ChunkThread(stock.AIOKafkaConsumerThread):  # type: ignore[misc] # Faust is untyped
    """Owns the aiokafka consumer; every method with an underscore runs in its thread."""

    logger = stock.logger  # Faust's own messages stay under Faust's name

    def __post_init__(self) -> None:
        super().__post_init__()
        self._cursors: dict[TP, Cursor] = {}

    def on_crash(self, msg: str, *fmt: Any, **_kwargs: Any) -> None:
        """Log where Faust would print."""
        log.error(msg.format(*fmt))

    def _create_worker_consumer(self, transport: Any) -> Any:  # noqa: ARG002 - Faust's signature
        config: KafkaWorkerConfig = self.app.chunk_config
        return aiokafka.AIOKafkaConsumer(
            **config.connection.client_options(),
            client_id=config.group_id,
            group_id=config.group_id,
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="none",  # a position out of range is judged here, never moved in silence
            isolation_level=config.isolation_level,
            max_poll_records=config.poll_records_max,
            max_poll_interval_ms=_POLL_INTERVAL_MS,
            max_partition_fetch_bytes=config.fetch_bytes_max,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            fetch_min_bytes=_FETCH_BYTES_MIN,
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

    async def place(self, seeks: Mapping[TP, Seek]) -> None:
        """Seek partitions; an older epoch never overrides a newer one."""
        await self.call_thread(self._place, seeks)

    async def _place(self, seeks: Mapping[TP, Seek]) -> None:
        consumer = self._ensure_consumer()
        assigned = self.assignment()
        for tp, seek in seeks.items():
            cursor = self._cursors.get(tp)
            newer = cursor is not None and cursor.epoch > seek.epoch
            if newer or tp not in assigned:
                continue
            consumer.seek(tp, seek.offset)
            self._cursors[tp] = Cursor(seek.epoch, seek.start)

    async def fetch(self, due: Mapping[TP, Cursor], timeout_s: float) -> dict[TP, Chunk]:
        """One chunk each of the partitions that have records, all from one look at the fetch buffers.

        Args:
            due: where the event loop expects each partition to go on.
            timeout_s: how long to wait for any.
        """
        chunks: dict[TP, Chunk] = await self.call_thread(self._fetch, due, timeout_s)
        return chunks

    async def _fetch(self, due: Mapping[TP, Cursor], timeout_s: float) -> dict[TP, Chunk]:
        consumer = self._ensure_consumer()
        ready = set()
        for tp, expected in due.items():
            cursor = self._cursors.get(tp)
            if cursor is None or cursor.epoch != expected.epoch:
                continue  # a seek is on its way
            if cursor.position != expected.position:
                await self._place({tp: Seek(expected.epoch, expected.position, expected.position)})
            ready.add(tp)
        if not ready:
            await asyncio.sleep(UNPLACED_PAUSE_S)
            return {}
        _hand_on_batches(consumer)
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
        assignment = _assignment(consumer)
        state = assignment.state_value(tp) if assignment is not None else None
        if cursor is None or state is None or not state.has_valid_position:
            return None
        if state.position <= cursor.position:
            return None
        self._cursors[tp] = Cursor(cursor.epoch, state.position)
        return Chunk(tp.topic, tp.partition, cursor.epoch, cursor.position, state.position, list(records))

    def heard(self) -> dict[Partition, Heard]:
        """See `Seeker.heard`. From any thread and without waiting: whatever this one is held up by."""
        consumer = self._consumer
        assignment = _assignment(consumer) if consumer is not None else None
        if assignment is None:
            return {}
        now_s, now_ms = time.monotonic(), 1000 * time.time()
        found = {}
        for tp in assignment.tps:
            state = assignment.state_value(tp)
            # Set when a fetch was answered, the end first; None before the first answer.
            answered_ms = state.timestamp if state is not None else None
            if answered_ms is not None and state.highwater is not None and state.highwater >= 0:
                # A clock set back makes it look old until the next answer, never young.
                age_s = abs(now_ms - answered_ms) / 1000
                # Not the last stable offset: behind an open transaction all records wait.
                unread = tp in consumer._fetcher._records  # noqa: SLF001
                found[Partition(tp.topic, tp.partition)] = Heard(state.highwater, now_s - age_s, unread)
        return found

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


def _assignment(consumer: Any) -> Any:
    """What aiokafka keeps of the assigned partitions, which it tells nobody else; None without one."""
    subscription = consumer._subscription.subscription  # noqa: SLF001
    return subscription.assignment if subscription is not None else None


def _hand_on_batches(consumer: Any) -> None:
    """See `batches`."""
    fetcher = consumer._fetcher  # noqa: SLF001 - aiokafka has no hook for it
    if not isinstance(fetcher._records, Arrivals):  # noqa: SLF001
        arrived, fetcher._records = fetcher._records, Arrivals()  # noqa: SLF001
        for place, arrival in arrived.items():
            fetcher._records[place] = arrival  # noqa: SLF001
