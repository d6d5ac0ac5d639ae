"""One model's readable records of a chunk, as columns of what JSON holds: what batches are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.core.columns import Columns
from monitor.core.decode import Row, loads
from monitor.core.mapping import Mapping as FieldMapping

Ints = NDArray[np.int64]
Bodies = Callable[[int], dict[str, Any]]
"""Row → the decoded record, made when somebody asks for it."""
Raw = Callable[[int], bytes]
"""Row → the record as it came."""


@dataclass(frozen=True)
class Readable:
    """n records in offset order.

    Attributes:
        model: the model's name.
        offsets, kafka_ms: int64[n].
        request_ids: n ids.
        fields: field → n values, None where a record has none.
        features: feature → n values of those that were read already.
        bodies: the records themselves,
        raw: and their bytes.
        unjudged: int64[u], rows whose features nobody has held against the schema, increasing.
        known: the same features with what was made of them already, if anything was.
    """

    model: str
    offsets: Ints
    kafka_ms: Ints
    request_ids: list[str]
    fields: Mapping[str, Sequence[Any]]
    features: Mapping[str, Sequence[Any]]
    bodies: Bodies
    raw: Raw
    unjudged: Ints
    known: Columns | None = None

    @classmethod
    def of(cls, rows: Sequence[Row], mapping: FieldMapping, fields: Iterable[str]) -> Readable:
        """Rows of one model that were decoded one by one."""
        bodies = [row.body for row in rows]
        return cls(
            rows[0].model if rows else "",
            np.array([row.offset for row in rows], np.int64),
            np.array([row.kafka_ms for row in rows], np.int64),
            [row.request_id for row in rows],
            {field: [get(body) for body in bodies] for field in fields for get in (mapping.getters[field],)},
            {},
            bodies.__getitem__,
            [row.value for row in rows].__getitem__,
            np.arange(len(rows)),
        )

    def __len__(self) -> int:
        return len(self.offsets)

    def merged(self, other: Readable, mapping: FieldMapping) -> Readable:
        """Both, in offset order; `other` was decoded one by one."""
        n, offsets = len(self), np.concatenate([self.offsets, other.offsets])
        order = np.argsort(offsets)
        at = np.empty(len(order), np.int64)
        at[order] = np.arange(len(order))
        places = order.tolist()

        def joined(one: Sequence[Any], two: Sequence[Any]) -> list[Any]:
            both = [*one, *two]
            return [both[place] for place in places]

        def body(row: int) -> dict[str, Any]:
            place = places[row]
            return self.bodies(place) if place < n else other.bodies(place - n)

        def raw(row: int) -> bytes:
            place = places[row]
            return self.raw(place) if place < n else other.raw(place - n)

        rows = [features_of(other.bodies(row), mapping) for row in range(len(other))]
        return Readable(
            self.model,
            offsets[order],
            np.concatenate([self.kafka_ms, other.kafka_ms])[order],
            joined(self.request_ids, other.request_ids),
            {field: joined(column, other.fields[field]) for field, column in self.fields.items()},
            {name: joined(column, [row.get(name) for row in rows]) for name, column in self.features.items()},
            body,
            raw,
            np.sort(at[n:][other.unjudged]),
        )

    def columns(self, mapping: FieldMapping) -> Columns:
        """The features."""
        if not self.features:
            return Columns([features_of(self.bodies(row), mapping) for row in range(len(self))])
        rows = _LazyRows(len(self), lambda row: features_of(self.bodies(row), mapping))
        return Columns(rows, self.features) if self.known is None else self.known.of_rows(rows)


def features_of(body: Mapping[str, Any], mapping: FieldMapping) -> dict[str, Any]:
    """The features of a record; none where there is no object of them."""
    given = mapping.getters["features"](body)
    return given if isinstance(given, dict) else {}


def decoded(values: Sequence[bytes]) -> Bodies:
    """Bodies of records that are known to be JSON objects."""
    return lambda row: loads(values[row])


class _LazyRows(Sequence[Any]):
    """Rows that are made when somebody looks at one."""

    def __init__(self, count: int, make: Callable[[int], Any]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self._make(row) for row in range(*at.indices(self._count))]
        return self._make(range(self._count)[at])
