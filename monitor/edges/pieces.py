"""Chunks cut into pieces whose flushes hold the store for a moment only."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.core.batch import LabelBatch, PredictionBatch

ROWS_MIN: Final = 100
"""A piece is not cut further, whatever it touches."""

PART_BYTES_MAX: Final = 2 << 20
"""A piece of more bytes for each part of its rows is cut further. Five thousand ordinary records have fewer;
while it reads some, the worker answers nobody, and the worst take a tenth of a second a megabyte."""

_PARTS_MAX: Final = 8
"""Larger chunks take memory, a buffer for each partition, and time until they are counted."""

_MODELS_MAX: Final = 4
"""One of them may have all the traffic: a script of 20,000 rows holds a shard for a fifth of a second."""

Ints = NDArray[np.int64]


def parts(shards: int, models: int) -> int:
    """How many times as large as for one model on one shard chunks are to be.

    A chunk is cut among shards and models, and what each of them counts has a price of its own, whatever its
    rows.

    >>> parts(1, 1), parts(2, 3), parts(16, 1), parts(1, 20)
    (1, 6, 8, 4)
    """
    return min(shards * min(models, _MODELS_MAX), _PARTS_MAX)


class Chunk(Protocol):
    """One fetched piece of one partition; its records lie in `[start, next)`."""

    @property
    def topic(self) -> str:
        """The topic's name."""
        ...

    @property
    def partition(self) -> int:
        """The partition's number."""
        ...

    @property
    def start(self) -> int:
        """The position it was fetched at."""
        ...

    @property
    def next(self) -> int:
        """The position after it."""
        ...

    @property
    def records(self) -> Sequence[Any]:
        """Kafka records with `value`, `offset` and `timestamp` (epoch ms, -1 for none), in offset order."""
        ...


@dataclass(frozen=True)
class Piece:
    """A part of a chunk; the parts' ranges meet, so holes in the log lie inside them."""

    topic: str
    partition: int
    start: int
    next: int
    records: Sequence[Any]


def cut(chunk: Chunk, rows_max: int, bytes_max: int) -> tuple[Chunk, Chunk | None]:
    """The first part of a chunk, of at most `rows_max` records and `bytes_max` bytes of values, and the rest.

    A record that is larger is a part by itself.
    """
    count = min(len(chunk.records), rows_max)
    ends = list(accumulate([len(record.value or b"") for record in chunk.records[:count]]))
    fitting = max(bisect_right(ends, bytes_max), 1)
    if fitting >= len(chunk.records):
        return chunk, None
    first, rest = chunk.records[:fitting], chunk.records[fitting:]
    end = first[-1].offset + 1
    return (
        Piece(chunk.topic, chunk.partition, chunk.start, end, first),
        Piece(chunk.topic, chunk.partition, end, chunk.next, rest),
    )


@dataclass
class Size:
    """How many records go in a piece: learned from what the last ones touched.

    Rows of one minute share their cells; labels that come late touch some hundred cells each, and a script
    that adds to millions of cells would hold up everybody.

    Attributes:
        rows: records of the next piece.
        rows_max: never more.
        cells_max: cells one flush is to touch.
    """

    rows: int
    rows_max: int
    cells_max: int

    def too_many(self, cells: int, rows: int) -> bool:
        """Whether a piece of so many records and touched cells is to be cut again before it is sent."""
        return cells > 2 * self.cells_max and rows > ROWS_MIN

    def learn(self, cells: int, rows: int) -> None:
        """Choose the next size after a piece of `rows` records touched `cells` cells of one shard.

        >>> size = Size(1_000, 5_000, 100_000)
        >>> size.learn(400_000, 1_000)
        >>> size.rows
        250
        """
        fitting = rows * self.cells_max // max(cells, 1)
        if fitting < self.rows:
            self.rows = max(fitting, min(ROWS_MIN, self.rows))
        elif rows >= self.rows:
            self.rows = min(fitting, 4 * self.rows, self.rows_max)


def running_maximum(batches: Sequence[PredictionBatch | LabelBatch]) -> tuple[Ints, Ints]:
    """Running maximum of event time over the records of a piece, whatever their model.

    Returns:
        (offsets, watermarks_ms), int64[n] each, in offset order.
    """
    if not batches:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    offsets = np.concatenate([batch.offsets for batch in batches])
    times = np.concatenate([batch.times_ms for batch in batches])
    order = np.argsort(offsets, kind="stable")
    return offsets[order], np.maximum.accumulate(times[order])
