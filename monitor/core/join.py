"""The label join: a state machine per request id, exact whatever the order of arrival.

A *stub* is what is kept of a prediction until its labels can no longer come: bucket, score, decision,
slices, and the label applied last with its place in the order of labels. Labels are last-writer-wins by
(label time, source, offset), so any order of arrival ends the same. A label that comes before its
prediction is parked as a stub of its own and swept in when the prediction comes.

    absent ── prediction ──► open ── label ──► labelled ── later label ──► labelled (correction)
       └──── label ──► parked ── prediction ──► labelled

`join_predictions` and `join_labels` are pure: from what was read of the store they compute what to
write and which contributions count. Repeats within a chunk are settled here, before the store sees them.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import Join
from monitor.core.times import INSTANT_END_MS
from monitor.core.understood import understood

KEY_BYTES: Final = 12
STUB_VERSION: Final = 1

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
    """12-byte digest of a request id: bounded whatever the id is; 10⁸ ids collide with odds of 10⁻¹³."""
    return blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def stub_keys(request_ids: Sequence[str]) -> list[bytes]:
    """`stub_key` of each id."""
    return [digest.digest() for digest in map(_digest, map(_encoded, request_ids))]


_digest = partial(blake2b, digest_size=KEY_BYTES)
_encoded = partial(str.encode, encoding="utf-8", errors="surrogatepass")


def shards_of(model: str, keys: Sequence[bytes], shards: int) -> NDArray[np.int64]:
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
    """What is kept of one request id. `time_ms` < 0 marks a parked label without a prediction.

    Attributes:
        time_ms: event time of the prediction.
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

    def pack(self) -> bytes:
        """20 bytes, 2 more a slice, 28 more with a label; 3 and the extra where a flag cannot say it."""
        more = self.decision > 1 or bool(self.extra)
        flags = (
            (_HAS_PREDICTION if self.has_prediction else 0)
            | (_OWN_TIME if self.own_time else 0)
            | (_DECIDED if self.decision >= 0 else 0)
            | (_POSITIVE if self.decision > 0 else 0)
            | (_HAS_LABEL if self.label else 0)
            | (_MORE if more else 0)
        )
        head = _HEAD.pack(STUB_VERSION, flags, len(self.slices), max(self.time_ms, 0), self.score)
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

        Raises:
            StoreRefused: it is damaged, or of another version.
        """
        with understood("a pending prediction"):
            return cls._unpack(data)

    @classmethod
    def _unpack(cls, data: bytes) -> Stub:
        version, flags, n_slices, time_ms, score = _HEAD.unpack_from(data)
        slices = struct.unpack_from(f"<{n_slices}H", data, _HEAD.size)
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
            time_ms = -1
        return cls(time_ms, bool(flags & _OWN_TIME), score, decision, slices, label, extra)

    def same_prediction(self, other: Stub) -> bool:
        """Whether two predictions under one id are a repeat rather than a conflict.

        A record without a time of its own takes its Kafka record's, which differs between repeats.
        """
        same_time = self.time_ms == other.time_ms or not (self.own_time and other.own_time)
        same_score = self.score == other.score or (self.score != self.score and other.score != other.score)
        same_answer = self.decision == other.decision and self.extra == other.extra
        return same_time and same_score and same_answer


class Effect(NamedTuple):
    """One label's contribution to the bucket and slices of the prediction it judges.

    `retracted` marks the taking back of a label that was corrected; `fresh` that the prediction is counted
    in this very flush, so that its bucket may be created.
    """

    stub: Stub
    value: float
    retracted: bool
    fresh: bool
    row: int


class JoinCount(NamedTuple):
    """A cell of the join's own counters, at an event time; `create` as in `Increment`."""

    cell: Join
    time_ms: int
    create: bool


class JoinTally(NamedTuple):
    """Many `JoinCount` of one cell, at int64[k] event times."""

    cell: Join
    times_ms: NDArray[np.int64]
    create: bool


@dataclass(frozen=True)
class EffectColumns:
    """Labels applied to predictions that were counted before, by column; n rows.

    Attributes:
        rows: int64[n], of the batch.
        times_ms: int64[n], event time of the prediction.
        numbers: float64[n], what the model said, as in `Stub.score`.
        decisions: int8[n].
        slices: int64[n, m], ids besides all traffic, `monitor.core.slices.assign.OUTSIDE` for none.
        values: float64[n], labels.
        extras: n packed rests, or None where no row has one.
    """

    rows: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    numbers: NDArray[np.float64]
    decisions: NDArray[np.int8]
    slices: NDArray[np.int64]
    values: NDArray[np.float64]
    extras: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, effects: Sequence[Effect]) -> EffectColumns:
        """Effects one by one as columns."""
        slices = np.full((len(effects), max((len(e.stub.slices) for e in effects), default=0)), -1, np.int64)
        for at, effect in enumerate(effects):
            slices[at, : len(effect.stub.slices)] = effect.stub.slices
        extras = [effect.stub.extra for effect in effects]
        return cls(
            np.array([effect.row for effect in effects], np.int64),
            np.array([effect.stub.time_ms for effect in effects], np.int64),
            np.array([effect.stub.score for effect in effects], np.float64),
            np.array([effect.stub.decision for effect in effects], np.int8),
            slices,
            np.array([effect.value for effect in effects], np.float64),
            extras if any(extras) else None,
        )

    @classmethod
    def joined(cls, parts: Sequence[EffectColumns]) -> EffectColumns:
        """One after the other."""
        if len(parts) == 1:
            return parts[0]
        width = max((part.slices.shape[1] for part in parts), default=0)
        wide = [
            np.pad(part.slices, ((0, 0), (0, width - part.slices.shape[1])), constant_values=-1)
            for part in parts
        ]
        extras = None
        if any(part.extras for part in parts):
            extras = [extra for part in parts for extra in part.extras or [b""] * len(part)]
        return cls(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.times_ms for part in parts]),
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.decisions for part in parts]),
            np.concatenate(wide),
            np.concatenate([part.values for part in parts]),
            extras,
        )


@dataclass
class Joined:
    """What a chunk changes: stubs to write, predictions that count, effects of labels.

    Attributes:
        writes: stub key → new value, in order of first change. A stub that decided a row is there also where
            it stays as it was: the flush must fail if it is no longer what was seen.
        renewed: keys of stubs that begin their life now, though a parked label was there before.
        counted: rows of the batch whose prediction counts.
        effects: label contributions.
        counts: join counters.
        arrivals: stubs that nobody has seen before, stub key → value: the common case of a prediction.
        labelled: stubs that get their first label, stub key → new value: the common case of a label.
        columns: contributions of those.
        tallies: counters of those.
    """

    writes: dict[bytes, bytes] = field(default_factory=dict)
    renewed: set[bytes] = field(default_factory=set)
    counted: list[int] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    counts: list[JoinCount] = field(default_factory=list)
    arrivals: dict[bytes, bytes] = field(default_factory=dict)
    labelled: dict[bytes, bytes] = field(default_factory=dict)
    columns: list[EffectColumns] = field(default_factory=list)
    tallies: list[JoinTally] = field(default_factory=list)

    @property
    def values(self) -> dict[bytes, bytes]:
        """Every stub that is written or checked."""
        return self.arrivals | self.labelled | self.writes


def pack_predictions(
    times_ms: NDArray[np.int64],
    own_time: NDArray[np.bool_],
    scores: NDArray[np.float64],
    decisions: NDArray[np.int8],
    slices: NDArray[np.int64],
    extras: Sequence[bytes] | None,
) -> list[bytes]:
    """`Stub.pack` of n predictions without labels.

    Args:
        times_ms: int64[n], not negative.
        own_time: bool[n].
        scores: float64[n].
        decisions: int8[n].
        slices: int64[n, m], ids of at most 65,535; those below 1 are left out.
        extras: n packed rests, or None where no row has one.
    """
    decided = (decisions >= 0) * _DECIDED + (decisions > 0) * _POSITIVE
    flags = (_HAS_PREDICTION + own_time * _OWN_TIME + decided).astype(np.uint8)
    inside = slices > 0
    counts = inside.sum(axis=1)
    packed: list[bytes] = [b""] * len(times_ms)
    for width in np.unique(counts).tolist():
        rows = np.flatnonzero(counts == width)
        table = np.zeros(len(rows), _stub_row(width))
        table["version"], table["flags"], table["count"] = STUB_VERSION, flags[rows], width
        table["time_ms"], table["score"] = times_ms[rows], scores[rows]
        table["slices"] = slices[rows][inside[rows]].reshape(len(rows), width)
        data, size = table.tobytes(), table.itemsize
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        if len(rows) == len(packed):
            packed = pieces
        else:
            for row, piece in zip(rows.tolist(), pieces, strict=True):
                packed[row] = piece
    for row in np.flatnonzero(decisions > 1).tolist() if extras is None else range(len(packed)):
        extra = b"" if extras is None else extras[row]
        if extra or decisions[row] > 1:
            stub = Stub.unpack(packed[row])
            packed[row] = stub._replace(decision=int(decisions[row]), extra=extra).pack()
    return packed


def _stub_row(width: int) -> np.dtype[np.void]:
    head: list[Any] = [("version", "u1"), ("flags", "u1"), ("count", "<u2"), ("time_ms", "<i8")]
    return np.dtype([*head, ("score", "<f8"), ("slices", "<u2", (width,))])


def join_predictions(
    keys: Sequence[bytes], fresh: Sequence[bytes], seen: Mapping[bytes, bytes], tracked: Sequence[bool]
) -> Joined:
    """Place predictions into the state machine.

    Args:
        keys: stub keys, n.
        fresh: each row's prediction as a packed stub without label, n.
        seen: stub key → stored stub, of those that are there.
        tracked: rows outside the label sample count, and leave no stub, n.
    """
    joined = Joined()
    odd = _repeated(keys) | seen.keys()
    if not odd and all(tracked):
        joined.arrivals = dict(zip(keys, fresh, strict=True))
        joined.counted = list(range(len(keys)))
        return joined
    writes, arrivals = joined.writes, joined.arrivals
    for row, (key, packed, keep) in enumerate(zip(keys, fresh, tracked, strict=True)):
        if not keep:
            joined.counted.append(row)
            continue
        if key not in odd:
            joined.counted.append(row)
            arrivals[key] = packed
            continue
        present = writes.get(key, seen.get(key))
        if present is None:
            joined.counted.append(row)
            writes[key] = packed
            continue
        old, stub = Stub.unpack(present), Stub.unpack(packed)
        if old.has_prediction:
            repeat = old.same_prediction(stub)
            cell = Join.DUPLICATE_PREDICTIONS if repeat else Join.CONFLICTING_PREDICTIONS
            joined.counts.append(JoinCount(cell, stub.time_ms, create=True))
            writes[key] = present
            continue
        joined.counted.append(row)
        adopted = stub._replace(label=old.label)
        writes[key] = adopted.pack()
        joined.renewed.add(key)
        if old.label is not None:
            joined.effects.append(Effect(adopted, old.label.value, retracted=False, fresh=True, row=row))
            joined.counts.append(JoinCount(Join.ADOPTED_LABELS, old.label.order.time_ms, create=False))
            joined.counts.append(JoinCount(Join.LABELS_APPLIED, stub.time_ms, create=True))
    return joined


def join_labels(
    keys: Sequence[bytes],
    values: NDArray[np.float64],
    times_ms: NDArray[np.int64],
    source: int,
    offsets: NDArray[np.int64],
    seen: Mapping[bytes, bytes],
    tracked: Sequence[bool],
) -> Joined:
    """Place labels into the state machine.

    Args:
        keys: stub keys, n.
        values: float64[n].
        times_ms: int64[n], label times.
        source: number of the topic and partition.
        offsets: int64[n].
        seen: stub key → stored stub, of those that are there.
        tracked: rows outside the label sample are only counted, n.
    """
    joined = Joined()
    plain = _first_labels(joined, keys, values, times_ms, source, offsets, seen, tracked)
    writes, counts = joined.writes, joined.counts
    for row in np.flatnonzero(~plain).tolist():
        key = keys[row]
        label = LabelState(float(values[row]), Order(int(times_ms[row]), source, int(offsets[row])))
        if not tracked[row]:
            counts.append(JoinCount(Join.UNSAMPLED_LABELS, label.order.time_ms, create=True))
            continue
        present = writes.get(key, seen.get(key))
        if present is None:
            writes[key] = Stub(-1, False, float("nan"), -1, (), label).pack()
            counts.append(JoinCount(Join.PARKED_LABELS, label.order.time_ms, create=True))
            continue
        old = Stub.unpack(present)
        place_ms = old.time_ms if old.has_prediction else label.order.time_ms
        if old.label is None:
            writes[key] = old._replace(label=label).pack()
            joined.effects.append(Effect(old, label.value, retracted=False, fresh=False, row=row))
            counts.append(JoinCount(Join.LABELS_APPLIED, place_ms, create=False))
            continue
        newer = label.order > old.label.order
        if label.value == old.label.value:
            cell = Join.DUPLICATE_LABELS
        else:
            cell = Join.CORRECTED_LABELS if newer else Join.STALE_LABELS
        counts.append(JoinCount(cell, place_ms, create=not old.has_prediction))
        if not newer:
            writes[key] = present
            continue
        # An equal value still moves the order on: a label in between must not win later.
        writes[key] = old._replace(label=label).pack()
        if old.has_prediction and label.value != old.label.value:
            joined.effects.append(Effect(old, old.label.value, retracted=True, fresh=False, row=row))
            joined.effects.append(Effect(old, label.value, retracted=False, fresh=False, row=row))
    return joined


def _repeated(keys: Sequence[bytes]) -> set[bytes]:
    """Keys that come more than once."""
    if len(set(keys)) == len(keys):
        return set()
    return {key for key, count in Counter(keys).items() if count > 1}


def _first_labels(
    joined: Joined,
    keys: Sequence[bytes],
    values: NDArray[np.float64],
    times_ms: NDArray[np.int64],
    source: int,
    offsets: NDArray[np.int64],
    seen: Mapping[bytes, bytes],
    tracked: Sequence[bool],
) -> NDArray[np.bool_]:
    """Place the labels that are the first and only ones of a known prediction, all at once.

    Returns:
        Which rows those were, bool[n].
    """
    plain = np.zeros(len(keys), np.bool_)
    repeated = _repeated(keys)
    stored = [
        seen.get(key, b"") if keep and key not in repeated else b""
        for key, keep in zip(keys, tracked, strict=True)
    ]
    sizes = np.fromiter(map(len, stored), np.int64, len(stored))
    for size in np.unique(sizes[sizes > 0]).tolist():
        width, odd = divmod(size - _HEAD.size, 2)
        if odd:
            continue
        rows = np.flatnonzero(sizes == size)
        table = np.frombuffer(b"".join([stored[row] for row in rows.tolist()]), _stub_row(width))
        state = table["flags"] & (_HAS_PREDICTION | _HAS_LABEL | _MORE)
        first = (state == _HAS_PREDICTION) & (table["count"] == width) & (table["version"] == STUB_VERSION)
        first &= (table["flags"] <= _FLAGS) & (table["time_ms"] >= 0) & (table["time_ms"] < INSTANT_END_MS)
        rows, table = rows[first], table[first]
        if not len(rows):
            continue
        plain[rows] = True
        after = np.zeros(len(rows), [("stub", _stub_row(width)), *_LABEL_ROW])
        after["stub"] = table
        after["stub"]["flags"] |= _HAS_LABEL
        after["value"], after["time_ms"] = values[rows], times_ms[rows]
        after["source"], after["offset"] = source, offsets[rows]
        data, step = after.tobytes(), after.itemsize
        pieces = (data[at : at + step] for at in range(0, len(data), step))
        joined.labelled.update(zip([keys[row] for row in rows.tolist()], pieces, strict=True))
        flags, placed_ms = table["flags"], table["time_ms"].astype(np.int64)
        decisions = np.where(flags & _DECIDED, (flags & _POSITIVE) > 0, -1).astype(np.int8)
        slices = table["slices"].reshape(len(rows), width).astype(np.int64)
        joined.columns.append(
            EffectColumns(rows, placed_ms, table["score"].astype(np.float64), decisions, slices, values[rows])
        )
        joined.tallies.append(JoinTally(Join.LABELS_APPLIED, placed_ms, create=False))
    return plain
