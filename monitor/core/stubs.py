"""Stubs: what is kept of a prediction until its labels can no longer come, packed one by one or by column.

A stub holds bucket, score, decision, slices, and the label applied last with its place in the order of labels
(`monitor.core.join`). Request ids are kept as digests.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, overload
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from monitor.core.times import INSTANT_END_MS
from monitor.core.understood import understood

Ints = NDArray[np.int64]
Table = NDArray[np.uint8]
"""Packed values of one size, uint8[n, bytes]."""

KEY_BYTES: Final = 12
STUB_VERSION: Final = 2

_HEAD = struct.Struct("<BBHqd")  # version, flags, slices, event time (ms), score
_REST = struct.Struct("<bH")  # decision, bytes that follow
_LABEL = struct.Struct("<dqIq")  # value, time (ms), source, offset

_LABEL_ROW: Final = [("value", "<f8"), ("time_ms", "<i8"), ("source", "<u4"), ("offset", "<i8")]

_HAS_PREDICTION: Final = 1
_OWN_TIME: Final = 2
_DECIDED: Final = 4
_POSITIVE: Final = 8
_HAS_LABEL: Final = 16
_MORE: Final = 32  # a decision that is no flag, and what else the task keeps
_FLAGS: Final = 2 * _MORE - 1


def stub_key(request_id: str) -> bytes:
    """12-byte digest of a request id: bounded whatever the id is; 10⁸ ids collide with odds of 10⁻¹³.

    XXH3, which is no secret: who may choose ids can make two alike, as they can send one twice.
    """
    return xxh3_128_digest(request_id.encode("utf-8", "surrogatepass"))[:KEY_BYTES]


def stub_keys(request_ids: Sequence[str]) -> list[bytes]:
    """`stub_key` of each id."""
    try:
        return [digest[:KEY_BYTES] for digest in map(xxh3_128_digest, map(str.encode, request_ids))]
    except UnicodeEncodeError:
        return [stub_key(request_id) for request_id in request_ids]


def shards_of(model: str, keys: Sequence[bytes], shards: int) -> Ints:
    """Shard of each stub key of a model, int64[n]; predictions and labels of an id meet in one."""
    if shards == 1:
        return np.zeros(len(keys), np.int64)
    seed = crc32(model.encode())
    return np.array([crc32(key, seed) % shards for key in keys], np.int64)


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Membership of the label sample: the same on both topics, by hash of the request id.

    Attributes:
        sample: share of request ids that are tracked, in (0, 1].
    """

    sample: float = 1.0

    def tracked(self, keys: Sequence[bytes]) -> NDArray[np.bool_]:
        """Which ids are tracked, bool[n]."""
        if self.sample >= 1.0:
            return np.ones(len(keys), np.bool_)
        head = np.frombuffer(b"".join(key[:4] for key in keys), "<u4")
        return head < self.sample * 2.0**32


class Order(NamedTuple):
    """Place of a label in the order of labels: greater wins."""

    time_ms: int
    source: int
    offset: int


class LabelState(NamedTuple):
    """A label and its place in the order."""

    value: float
    order: Order


class Stub(NamedTuple):
    """What is kept of one request id: of its prediction, or of a label that is parked without one.

    Attributes:
        time_ms: event time of the prediction; of a parked label `~parked_ms`, which is negative.
        own_time: the record carried that time itself.
        score: the number answered, NaN where there is none.
        decision: the number of a class, 1 and 0 of two, or -1 for none.
        slices: ids of the slices it belongs to besides all traffic.
        label: the label applied last.
        extra: what else the model's task needs of the answer.
    """

    time_ms: int
    own_time: bool
    score: float
    decision: int
    slices: tuple[int, ...]
    label: LabelState | None
    extra: bytes = b""

    @property
    def has_prediction(self) -> bool:
        """False for a parked label."""
        return self.time_ms >= 0

    @property
    def parked_ms(self) -> int:
        """Time of the label that was parked first; 0 where an earlier version did not say."""
        return ~self.time_ms

    def pack(self) -> bytes:
        """20 bytes, 2 more a slice, 28 more with a label; 3 and the extra where a flag cannot say it.

        Packed by column (`pack_predictions`), room for slices that a neighbour has holds zeros.
        """
        more = self.decision > 1 or bool(self.extra)
        flags = (
            (_HAS_PREDICTION if self.has_prediction else 0)
            | (_OWN_TIME if self.own_time else 0)
            | (_DECIDED if self.decision >= 0 else 0)
            | (_POSITIVE if self.decision > 0 else 0)
            | (_HAS_LABEL if self.label else 0)
            | (_MORE if more else 0)
        )
        time_ms = self.time_ms if self.has_prediction else self.parked_ms
        head = _HEAD.pack(STUB_VERSION, flags, len(self.slices), time_ms, self.score)
        slices = struct.pack(f"<{len(self.slices)}H", *self.slices)
        label = b"" if self.label is None else _LABEL.pack(self.label.value, *self.label.order)
        rest = _REST.pack(self.decision, len(self.extra)) + self.extra if more else b""
        return head + slices + rest + label

    @classmethod
    def unpack(cls, data: bytes) -> Stub:
        """Read a packed stub.

        >>> stub = Stub(5, True, 0.25, 1, (3, 9), LabelState(1.0, Order(7, 1, 2)))
        >>> Stub.unpack(stub.pack()) == stub
        True
        >>> stub = Stub(5, True, 0.25, 7, (3,), LabelState(2.0, Order(7, 1, 2)), b"rest")
        >>> Stub.unpack(stub.pack()) == stub
        True
        >>> stub = Stub(~6, False, 0.0, -1, (), LabelState(1.0, Order(7, 1, 2)))
        >>> Stub.unpack(stub.pack()) == stub, stub.parked_ms
        (True, 6)

        Raises:
            StoreRefused: it is damaged, or of another version.
        """
        with understood("a pending prediction"):
            return cls._unpack(data)

    @classmethod
    def _unpack(cls, data: bytes) -> Stub:
        version, flags, n_slices, time_ms, score = _HEAD.unpack_from(data)
        slices = tuple(s for s in struct.unpack_from(f"<{n_slices}H", data, _HEAD.size) if s)
        at = _HEAD.size + 2 * n_slices
        decision = -1 if not flags & _DECIDED else int(bool(flags & _POSITIVE))
        extra = b""
        if flags & _MORE:
            decision, length = _REST.unpack_from(data, at)
            at += _REST.size + length
            extra = data[at - length : at]
        label = None
        if flags & _HAS_LABEL:
            value, label_ms, source, offset = _LABEL.unpack_from(data, at)
            label = LabelState(value, Order(label_ms, source, offset))
            at += _LABEL.size
        if version != STUB_VERSION or flags & ~_FLAGS or at != len(data) or not 0 <= time_ms < INSTANT_END_MS:
            raise ValueError(f"version {version}, {len(data)} bytes, {at} expected")
        if not flags & _HAS_PREDICTION:
            time_ms = ~time_ms
        return cls(time_ms, bool(flags & _OWN_TIME), score, decision, slices, label, extra)

    def same_prediction(self, other: Stub) -> bool:
        """Whether two predictions under one id are a repeat rather than a conflict.

        A record without a time of its own takes its Kafka record's, which differs between repeats.
        """
        same_time = self.time_ms == other.time_ms or not (self.own_time and other.own_time)
        same_score = self.score == other.score or (self.score != self.score and other.score != other.score)
        same_answer = self.decision == other.decision and self.extra == other.extra
        return same_time and same_score and same_answer


@dataclass(frozen=True)
class StubTable:
    """Stubs that change alike, by column; n rows.

    Attributes:
        keys: n stub keys.
        seen: uint8[n, s], what was read of each; nothing where none was there.
        values: uint8[n, t], the new values.
    """

    keys: Sequence[bytes]
    seen: Table
    values: Table

    def take(self, rows: Ints) -> StubTable:
        """Some rows, int64[k]."""
        if len(rows) == len(self.keys):
            return self
        return StubTable(chosen(self.keys, rows), self.seen[rows], self.values[rows])


class Packed(Sequence[bytes]):
    """n packed stubs, in a table for each size.

    Args:
        count: n.
        groups: rows, int64[k], and their stubs, uint8[k, t]; each row once.
    """

    def __init__(self, count: int, groups: Sequence[tuple[Ints, Table]]) -> None:
        self._count = count
        self.groups = groups

    @classmethod
    def of(cls, stubs: Sequence[bytes]) -> Packed:
        """Stubs packed one by one."""
        if isinstance(stubs, Packed):
            return stubs
        sizes = np.fromiter(map(len, stubs), np.int64, len(stubs))
        groups = []
        for size in np.unique(sizes).tolist():
            rows = np.flatnonzero(sizes == size)
            groups.append((rows, table_of([stubs[row] for row in rows.tolist()], size)))
        return cls(len(stubs), groups)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, row: int) -> bytes: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[bytes]: ...
    def __getitem__(self, row: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(self._count))]
        for rows, table in self.groups:
            at = int(np.searchsorted(rows, row))
            if at < len(rows) and rows[at] == row:
                found: bytes = table[at].tobytes()
                return found
        raise IndexError(row)

    def take(self, rows: Ints) -> Packed:
        """Some rows, int64[k], increasing, numbered anew."""
        if len(rows) == self._count:
            return self
        groups = []
        for of, table in self.groups:
            at = np.searchsorted(rows, of)
            there = (at < len(rows)) & (rows[np.minimum(at, len(rows) - 1)] == of) if len(rows) else of < 0
            if there.any():
                groups.append((at[there], table[there]))
        return Packed(len(rows), groups)


def table_of(values: Sequence[bytes], size: int) -> Table:
    """Values of one size as a table."""
    return np.frombuffer(b"".join(values), np.uint8).reshape(len(values), size)


def pack_predictions(
    times_ms: Ints,
    own_time: NDArray[np.bool_],
    scores: NDArray[np.float64],
    decisions: NDArray[np.int8],
    slices: Ints,
    extras: Sequence[bytes] | None,
) -> Packed:
    """`Stub.pack` of n predictions without labels.

    Args:
        times_ms: int64[n], not negative.
        own_time: bool[n].
        scores: float64[n].
        decisions: int8[n].
        slices: int64[n, m], ids of at most 65,535; those below 1 are left out.
        extras: n packed rests, or None where no row has one.
    """
    n = len(times_ms)
    inside = slices > 0
    width = int(inside.sum(axis=1).max(initial=0))
    if width < slices.shape[1]:
        slices = np.sort(np.where(inside, slices, 0), axis=1)[:, slices.shape[1] - width :]
    decided = (decisions >= 0) * _DECIDED + (decisions > 0) * _POSITIVE
    table = np.zeros(n, _stub_row(width))
    table["version"], table["count"] = STUB_VERSION, width
    table["flags"] = _HAS_PREDICTION + own_time * _OWN_TIME + decided
    table["time_ms"], table["score"] = times_ms, scores
    table["slices"] = np.maximum(slices, 0)
    packed = Packed(n, [(np.arange(n), _as_bytes(table))])
    if extras is None and not (decisions > 1).any():
        return packed
    stubs = [stub.tobytes() for stub in _as_bytes(table)]
    for row in np.flatnonzero(decisions > 1).tolist() if extras is None else range(n):
        extra = b"" if extras is None else extras[row]
        if extra or decisions[row] > 1:
            stub = Stub.unpack(stubs[row])
            stubs[row] = stub._replace(decision=int(decisions[row]), extra=extra).pack()
    return Packed.of(stubs)


class FirstLabels(NamedTuple):
    """Stubs of one size that get their first label; k rows.

    Attributes:
        rows: int64[k], places in what was given.
        before: uint8[k, s], the stubs as they were.
        after: uint8[k, t], with the label.
        times_ms: int64[k], event time of the prediction.
        scores: float64[k].
        decisions: int8[k].
        slices: int64[k, m], -1 for none.
    """

    rows: Ints
    before: Table
    after: Table
    times_ms: Ints
    scores: NDArray[np.float64]
    decisions: NDArray[np.int8]
    slices: Ints


def first_labels(
    stored: Sequence[bytes], values: NDArray[np.float64], times_ms: Ints, source: int, offsets: Ints
) -> Iterator[FirstLabels]:
    """Put labels into the stubs that have a prediction and no label yet, by size of the stub.

    Args:
        stored: n stubs as they were read, empty where there is none or it is to be left alone.
        values: float64[n], labels.
        times_ms: int64[n], label times.
        source: number of the topic and partition.
        offsets: int64[n].
    """
    sizes = np.fromiter(map(len, stored), np.int64, len(stored))
    for size in np.unique(sizes[sizes > 0]).tolist():
        width, odd = divmod(size - _HEAD.size, 2)
        if odd:
            continue
        rows = np.flatnonzero(sizes == size)
        table = np.frombuffer(b"".join(chosen(stored, rows)), _stub_row(width))
        state = table["flags"] & (_HAS_PREDICTION | _HAS_LABEL | _MORE)
        first = (state == _HAS_PREDICTION) & (table["count"] == width) & (table["version"] == STUB_VERSION)
        first &= (table["flags"] <= _FLAGS) & (table["time_ms"] >= 0) & (table["time_ms"] < INSTANT_END_MS)
        rows, table = rows[first], table[first]
        if not len(rows):
            continue
        after = np.zeros(len(rows), [("stub", _stub_row(width)), *_LABEL_ROW])
        after["stub"] = table
        after["stub"]["flags"] |= _HAS_LABEL
        after["value"], after["time_ms"] = values[rows], times_ms[rows]
        after["source"], after["offset"] = source, offsets[rows]
        flags = table["flags"]
        slices = table["slices"].reshape(len(rows), width).astype(np.int64)
        slices[slices == 0] = -1
        yield FirstLabels(
            rows,
            _as_bytes(table),
            _as_bytes(after),
            table["time_ms"].astype(np.int64),
            table["score"].astype(np.float64),
            np.where(flags & _DECIDED, (flags & _POSITIVE) > 0, -1).astype(np.int8),
            slices,
        )


def chosen(values: Sequence[bytes], rows: Ints) -> Sequence[bytes]:
    """Some values, int64[k], increasing; the same object where it is all of them."""
    return values if len(rows) == len(values) else [values[row] for row in rows.tolist()]


def _as_bytes(table: NDArray[np.void]) -> Table:
    return table.view(np.uint8).reshape(len(table), table.itemsize)


def _stub_row(width: int) -> np.dtype[np.void]:
    head: list[Any] = [("version", "u1"), ("flags", "u1"), ("count", "<u2"), ("time_ms", "<i8")]
    return np.dtype([*head, ("score", "<f8"), ("slices", "<u2", (width,))])
