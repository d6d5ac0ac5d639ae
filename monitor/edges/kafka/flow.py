"""Where each partition stands in this process: its seek epoch, what is handled, how to send it back.

The composition root makes a `Flow`, gives it to the handler (which rewinds) and to `create_app` (whose
transport places partitions through it). All of it runs on the worker's event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from monitor.edges.kafka.chunks import Bounds, Chunk
from monitor.ports import Beat, Partition

_IN_HAND_MAX: Final = 2

Positions = Callable[[Mapping[Partition, Bounds]], Awaitable[Mapping[Partition, int]]]
"""Given what the broker keeps of the partitions just assigned, answers where to read each of them from.

It reads the store's fences, and registers partitions never seen before at their earliest offset.
`StoreUnavailable` and `KafkaError` are waited out; any other error ends the process.
"""

Lost = Callable[[Partition, int, int], Awaitable[None]]
"""Told (partition, fence, earliest) when records between the two were deleted before they were read.

It may be told again when placing the partition has to be repeated.
"""


class Heard(NamedTuple):
    """What the brokers last said of a partition.

    Attributes:
        end: offset after its last record, of an open transaction too.
        at_s: when they said so, on the clock that never goes back.
        unread: records of it were fetched and wait, so it is not asked about.
    """

    end: int
    at_s: float
    unread: bool = False


class Seeker(Protocol):
    """The transport's side of a rewind, and what it hears."""

    async def seek_partition(self, partition: Partition, offset: int) -> None:
        """Read `partition` from `offset` on; nothing when it is not assigned here."""
        ...

    def heard(self) -> Mapping[Partition, Heard]:
        """Of each assigned partition of which the brokers have said anything since."""
        ...


class Flow:
    """Epochs and positions of the partitions this process reads.

    Args:
        positions: see `Positions`.
        lost: see `Lost`.
        monotonic_s: the clock that never goes back.

    Attributes:
        joined: an assignment was received and no rebalance is under way.
        store_away: partitions wait for the store to answer where to begin.
        failure: the error that ends the worker, once there is one.
    """

    def __init__(
        self, positions: Positions, lost: Lost, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.positions = positions
        self.lost = lost
        self.joined = False
        self.store_away = False
        self.failure: BaseException | None = None
        self._monotonic_s = monotonic_s
        self._failed = asyncio.Event()
        self._closing = False
        self._in_hand: dict[Partition, int] = {}
        self._released = asyncio.Event()
        self._epochs: dict[Partition, int] = {}
        self._handled: dict[Partition, int] = {}
        self._placed_s: dict[Partition, float] = {}
        self._unplaced: set[Partition] = set()
        self._seeker: Seeker | None = None

    def bind(self, seeker: Seeker) -> None:
        """Name the transport that seeks; done by the transport itself."""
        self._seeker = seeker

    async def rewind(self, partition: Partition, offset: int) -> None:
        """Read a partition again from `offset`; chunks fetched before, queued or in hand, are stale at once.

        Does nothing for a partition that is no longer assigned here: its new owner reads the fence.
        """
        assert self._seeker is not None, "the worker has not started"
        # Asked here, for while the group joins again the client library still names what was revoked.
        if self.holds(partition):
            await self._seeker.seek_partition(partition, offset)

    def is_current(self, chunk: Chunk) -> bool:
        """False once the partition was sought or revoked after the chunk was fetched."""
        return self._epochs.get(chunk.place, 0) == chunk.seek_epoch

    @property
    def standing(self) -> dict[Partition, tuple[int, int]]:
        """Of each partition assigned and placed: (next offset to handle, end as last reported)."""
        heard = self._heard()
        return {
            partition: (position, max(position, heard[partition].end if partition in heard else position))
            for partition, position in self._handled.items()
        }

    @property
    def unplaced(self) -> frozenset[Partition]:
        """Partitions assigned of which nobody could say yet where to begin: they are not read."""
        return frozenset(self._unplaced)

    @property
    def beats(self) -> dict[Partition, Beat]:
        """Where each partition stands, of those whose end was heard of.

        One just placed is left out: that its first fetch is not answered does not mean that nothing waits.
        """
        heard, now_s = self._heard(), self._monotonic_s()
        return {
            partition: Beat(position, max(position, said.end), max(now_s - said.at_s, 0.0))
            for partition, position in self._handled.items()
            if (said := heard.get(partition)) is not None
        }

    @property
    def brokers_silent_s(self) -> float:
        """For how long the brokers have not answered about some partition that was asked for."""
        heard, now_s = self._heard(), self._monotonic_s()
        since_s = [
            max(placed_s, said.at_s if said is not None else placed_s)
            for partition, placed_s in self._placed_s.items()
            if (said := heard.get(partition)) is None or not said.unread
        ]
        return max(now_s - min(since_s, default=now_s), 0.0)

    def _heard(self) -> Mapping[Partition, Heard]:
        return {} if self._seeker is None else self._seeker.heard()

    def begin_epoch(self, partition: Partition) -> int:
        """A new epoch: everything fetched before is stale."""
        epoch = self._epochs.get(partition, 0) + 1
        self._epochs[partition] = epoch
        self._handled.pop(partition, None)
        self._placed_s.pop(partition, None)
        self._unplaced.add(partition)
        return epoch

    def is_epoch(self, partition: Partition, epoch: int) -> bool:
        """Whether `epoch` is the newest of the partition."""
        return self._epochs.get(partition, 0) == epoch

    def placed(self, partition: Partition, position: int) -> None:
        """The partition is read from `position` on."""
        self._handled[partition] = position
        self._placed_s[partition] = self._monotonic_s()
        self._unplaced.discard(partition)

    def revoke(self, partition: Partition) -> None:
        """The partition is no longer ours."""
        self.begin_epoch(partition)
        self._unplaced.discard(partition)

    def holds(self, partition: Partition) -> bool:
        """Whether the partition is ours, placed or not."""
        return partition in self._handled or partition in self._unplaced

    def handled(self, partition: Partition) -> int | None:
        """Next offset to handle, None when the partition is not placed."""
        return self._handled.get(partition)

    async def take(self, chunk: Chunk, handle: Callable[[Chunk], Awaitable[None]]) -> None:
        """Hand a chunk over unless it is stale or the worker is closing; a failure ends the worker.

        Raises:
            asyncio.CancelledError: from outside; nothing else.
        """
        if self.failure is not None or self._closing or not self.is_current(chunk):
            return
        place = chunk.place
        self._in_hand[place] = self._in_hand.get(place, 0) + 1
        try:
            await handle(chunk)
            if self.is_current(chunk):
                self._handled[place] = chunk.next
        except Exception as error:  # noqa: BLE001 - whatever it is, no chunk may be skipped
            self.fail(error)
        finally:
            self._in_hand[place] -= 1
            if not self._in_hand[place]:
                del self._in_hand[place]
            self._released.set()

    async def take_all(
        self, chunks: AsyncIterable[Chunk], handle: Callable[[Chunk], Awaitable[None]]
    ) -> None:
        """Take chunks as they come, the next while the one before is in hand: it may be decoded meanwhile."""
        room = asyncio.Semaphore(_IN_HAND_MAX)
        taking: set[asyncio.Task[None]] = set()

        def taken(task: asyncio.Task[None]) -> None:
            taking.discard(task)
            room.release()

        try:
            async for chunk in chunks:
                await room.acquire()
                task = asyncio.create_task(self.take(chunk, handle))
                taking.add(task)
                task.add_done_callback(taken)
            await asyncio.gather(*taking)
        finally:
            for task in taking:
                task.cancel()
            await asyncio.gather(*taking, return_exceptions=True)

    async def settle(self, partitions: Iterable[Partition]) -> None:
        """Wait until no chunk of the partitions is in a handler's hands."""
        waited = set(partitions)
        while not waited.isdisjoint(self._in_hand):
            self._released.clear()
            await self._released.wait()

    def fail(self, error: BaseException) -> None:
        """End the worker because of `error`; the first one counts."""
        if self.failure is None:
            self.failure = error
            self._failed.set()

    async def failed(self) -> None:
        """Wait until `failure` is set."""
        await self._failed.wait()

    async def close(self) -> None:
        """Take no more chunks, and wait for the one in hand."""
        self._closing = True
        await self.settle(list(self._in_hand))
