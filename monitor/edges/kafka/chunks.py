"""What the transport delivers: whole fetched pieces of one partition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from monitor.ports import Partition

Kind = Literal["predictions", "labels"]
"""Which of the two sources a chunk came from."""


class RawRecord(Protocol):
    """A record as the client library fetched it: bytes, nothing decoded."""

    @property
    def offset(self) -> int:
        """Place in the partition."""
        ...

    @property
    def timestamp(self) -> int:
        """The record's own time, epoch ms; -1 when it has none."""
        ...

    @property
    def key(self) -> bytes | None:
        """Raw key."""
        ...

    @property
    def value(self) -> bytes | None:
        """Raw value; None is a tombstone."""
        ...

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """Raw headers."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class Bounds:
    """First offset still kept of a partition, and the offset after its last record, as the broker says."""

    earliest: int
    end: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """All records fetched of one partition in one piece.

    Everything the log holds in `[start, next)` is in `records`: what is missing there was compacted away,
    aborted, or is a transaction marker. Consecutive chunks of one `seek_epoch` join without a gap. A chunk
    may be empty: then only markers lay in `[start, next)`.

    Attributes:
        topic: topic name.
        partition: number within the topic.
        seek_epoch: grows with every seek of the partition; a chunk of an older epoch is to be discarded.
        start: position the chunk was fetched at.
        next: position after it.
        records: in order of offset.
    """

    topic: str
    partition: int
    seek_epoch: int
    start: int
    next: int
    records: list[RawRecord]

    @property
    def place(self) -> Partition:
        """Topic and number as the ports name them."""
        return Partition(self.topic, self.partition)


class ChunkHandler(Protocol):
    """What the worker does with chunks."""

    async def handle(self, chunk: Chunk, kind: Kind) -> None:
        """Process a chunk to the end.

        It retries inside whatever may pass; an exception ends the process. When it finds that the
        store's position differs it calls `Flow.rewind` and returns.
        """
        ...
