"""Fetched records handed on by whole batches: aiokafka's loop over single records costs more than parsing.

Which batches count (checksums, transactions, markers) and where the position stands stays aiokafka's affair;
only the innermost loop is replaced. aiokafka has no hook for it, so this reaches for its private names, which
`tests/unit/test_transport_contract.py` holds it to.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any


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
    while len(found) < records_max:
        run, batches.rest = batches.rest, []
        if not run:
            start = records.next_fetch_offset
            try:
                run = next(records)
            except StopIteration:
                arrival._update_position()  # noqa: SLF001
                arrival._partition_records = None  # noqa: SLF001
                return found
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
        run = _Run(self._batch)
        return iter((run,) if run else ())


class _Run(list[Any]):
    """All records of a batch, in the place of one."""

    @property
    def offset(self) -> int:
        """Of the last: a run that ends before the position is passed over."""
        return int(self[-1].offset)


__all__ = ["Arrivals", "as_parsed", "drain"]
