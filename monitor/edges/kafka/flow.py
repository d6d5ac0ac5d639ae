"""Where each partition stands in this process: its seek epoch, what is handled, how to send it back.

The composition root makes a `Flow`, gives it to the handler (which rewinds) and to `create_app` (whose
transport places partitions through it). All of it runs on the worker's event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol

from monitor.edges.kafka.chunks import Bounds, Chunk
from monitor.ports import Partition

_IN_HAND_MAX: Final = 2

Positions = Callable[[Mapping[Partition, Bounds]], Awaitable[Mapping[Partition, int]]]
"""Given what the broker keeps of the partitions just assigned, answers where to read each of them from.

It reads the store's fences, and registers partitions never seen before at their earliest offset.
`StoreUnavailable` is waited out; any other error ends the process.
"""

Lost = Callable[[Partition, int, int], Awaitable[None]]
"""Told (partition, fence, earliest) when records between the two were deleted before they were read.

It may be told again when placing the partition has to be repeated.
"""


class Seeker(Protocol):
    """The transport's side of a rewind."""

    async def seek_partition(self, partition: Partition, offset: int) -> None:
        """Read `partition` from `offset` on; nothing when it is not assigned here."""
        ...


class Flow:
    """Epochs and positions of the partitions this process reads.

    Args:
        positions: see `Positions`.
        lost: see `Lost`.

    Attributes:
        joined: an assignment was received and no rebalance is under way.
        store_away: partitions wait for the store to answer where to begin.
        failure: the error that ends the worker, once there is one.
    """

    def __init__(self, positions: Positions, lost: Lost) -> None:
        self.positions = positions
        self.lost = lost
        self.joined = False
        self.store_away = False
        self.failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._closing = False
        self._in_hand: dict[Partition, int] = {}
        self._released = asyncio.Event()
        self._epochs: dict[Partition, int] = {}
        self._handled: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self._seeker: Seeker | None = None

    def bind(self, seeker: Seeker) -> None:
        """Name the transport that seeks; done by the transport itself."""
        self._seeker = seeker

    async def rewind(self, partition: Partition, offset: int) -> None:
        """Read a partition again from `offset`; chunks fetched before, queued or in hand, are stale at once.

        Does nothing for a partition that is no longer assigned here: its new owner reads the fence.
        """
        assert self._seeker is not None, "the worker has not started"
        await self._seeker.seek_partition(partition, offset)

    def is_current(self, chunk: Chunk) -> bool:
        """False once the partition was sought or revoked after the chunk was fetched."""
        return self._epochs.get(chunk.place, 0) == chunk.seek_epoch

    @property
    def standing(self) -> dict[Partition, tuple[int, int]]:
        """Of each partition assigned and placed: (next offset to handle, end as last reported)."""
        return {
            partition: (position, max(position, self._ends.get(partition, position)))
            for partition, position in self._handled.items()
        }

    def begin_epoch(self, partition: Partition) -> int:
        """A new epoch: everything fetched before is stale."""
        epoch = self._epochs.get(partition, 0) + 1
        self._epochs[partition] = epoch
        self._handled.pop(partition, None)
        return epoch

    def is_epoch(self, partition: Partition, epoch: int) -> bool:
        """Whether `epoch` is the newest of the partition."""
        return self._epochs.get(partition, 0) == epoch

    def placed(self, partition: Partition, position: int) -> None:
        """The partition is read from `position` on."""
        self._handled[partition] = position

    def see_end(self, partition: Partition, end: int) -> None:
        """The broker reported the end of a partition."""
        self._ends[partition] = end

    def revoke(self, partition: Partition) -> None:
        """The partition is no longer ours."""
        self.begin_epoch(partition)
        self._ends.pop(partition, None)

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
