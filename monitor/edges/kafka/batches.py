"""Fetched records handed on by whole batches: aiokafka's loop over single records costs more than parsing.

Which batches count (checksums, transactions, markers) and where the position stands stays aiokafka's affair;
only the innermost loop is replaced. aiokafka has no hook for it, so this reaches for its private names, which
`tests/unit/test_transport_contract.py` holds it to.
"""

from __future__ import annotations

import logging
import weakref
from functools import partial
from typing import Any, Final, NamedTuple

from monitor.core.decode import NotUnpacked
from monitor.edges.kafka.unpacking import UnpackError

log = logging.getLogger(__name__)

CHUNK_BYTES_MAX: Final = 16 << 20
"""Of compressed batches that one drain puts together, unpacked; the others are bounded by the fetch."""


class Arrivals(dict[Any, Any]):
    """Where a fetcher keeps what has arrived (`Fetcher._records`); each arrival is handed on by batches."""

    def __setitem__(self, place: Any, arrival: Any) -> None:
        records = getattr(arrival, "_partition_records", None)
        if records is not None:  # not an error
            records._records = _Batches(records._records)  # noqa: SLF001
            records._consumer_record = as_parsed  # noqa: SLF001
            # Not a cycle: the megabyte it holds is freed as soon as it was read.
            arrival.getall = partial(drain, weakref.proxy(arrival))
        super().__setitem__(place, arrival)


def as_parsed(_place: Any, records: Any) -> Any:
    """Records as aiokafka's parser made them: its own record class costs as much again, and holds no more."""
    return records


def drain(arrival: Any, records_max: int) -> list[Any]:
    """At most `records_max` records from where the consumer stands, which moves; as `FetchResult.getall`."""
    if not arrival.check_assignment(arrival._topic_partition) or not arrival.has_more():  # noqa: SLF001
        return []
    records = arrival._partition_records  # noqa: SLF001
    batches: _Batches = records._records  # noqa: SLF001
    found: list[Any] = []
    unpacked = 0
    while len(found) < records_max and unpacked < CHUNK_BYTES_MAX:
        run, batches.rest = batches.rest, []
        if not run:
            start = records.next_fetch_offset
            try:
                whole: _Run = next(records)
            except StopIteration:
                arrival._update_position()  # noqa: SLF001
                arrival._partition_records = None  # noqa: SLF001
                return found
            run = whole
            unpacked += whole.unpacked
            if run[0].offset < start:  # a batch is fetched whole, wherever in it the consumer stands
                run = [record for record in run if record.offset >= start]
        room = records_max - len(found)
        found += run[:room]
        batches.rest = run[room:]
    records.next_fetch_offset = batches.rest[0].offset if batches.rest else found[-1].offset + 1
    arrival._update_position()  # noqa: SLF001
    return found


class _Batches:
    """aiokafka's `MemoryRecords`, each batch of which iterates as one run of records.

    Attributes:
        rest: of the last run, what was not handed on.
    """

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        self.has_next = batches.has_next
        self.rest: list[Any] = []

    def next_batch(self) -> _Batch:
        """The next batch."""
        return _Batch(self._batches.next_batch())


class _Batch:
    """A batch; all but its iteration is aiokafka's."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        """A single record: a marker's, whose key says what it marks."""
        return next(self._batch)

    def __iter__(self) -> Any:
        old = not hasattr(self._batch, "base_offset")  # message format 0 or 1, which retention may still keep
        try:
            run = _Run(map(_Record.of, self._batch) if old else self._batch)
        except UnpackError as error:
            run = self._lost(str(error))
        if old or self._batch.compression_type:
            run.unpacked = sum(len(record.value or b"") for record in run)
        return iter((run,) if run else ())

    def _lost(self, why: str) -> _Run:
        """A record for each offset of a batch that cannot be unpacked: all are accounted for."""
        end = self._batch.next_offset
        first = getattr(self._batch, "base_offset", end - 1)  # old formats do not say
        log.warning("%s: offsets %d to %d cannot be read", why, first, end - 1)
        value = NotUnpacked.because(why)
        return _Run(_Record(offset, value) for offset in range(first, end))


class _Record(NamedTuple):
    """A record of which no more may be known than where it lies."""

    offset: int
    value: bytes | NotUnpacked | None
    timestamp: int = -1
    key: bytes | None = None
    headers: tuple[()] = ()

    @classmethod
    def of(cls, old: Any) -> _Record:
        """One of an old format: without headers, and of the oldest without a time."""
        return cls(old.offset, old.value, -1 if old.timestamp is None else old.timestamp, old.key)


class _Run(list[Any]):
    """All records of a batch, in the place of one.

    Attributes:
        unpacked: bytes of their values where the batch was compressed.
    """

    unpacked = 0

    @property
    def offset(self) -> int:
        """Of the last: a run that ends before the position is passed over."""
        return int(self[-1].offset)


__all__ = ["Arrivals", "as_parsed", "drain"]
