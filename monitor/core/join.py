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
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import Join

KEY_BYTES: Final = 12
STUB_VERSION: Final = 1

_HEAD = struct.Struct("<BBHqd")  # version, flags, slices, event time (ms), score
_REST = struct.Struct("<bH")  # decision, bytes that follow
_LABEL = struct.Struct("<dqIq")  # value, time (ms), source, offset

_HAS_PREDICTION: Final = 1
_OWN_TIME: Final = 2
_DECIDED: Final = 4
_POSITIVE: Final = 8
_HAS_LABEL: Final = 16
_MORE: Final = 32  # a decision that is no flag, and what else the task keeps


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
        """
        _, flags, n_slices, time_ms, score = _HEAD.unpack_from(data)
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
    """

    writes: dict[bytes, bytes] = field(default_factory=dict)
    renewed: set[bytes] = field(default_factory=set)
    counted: list[int] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    counts: list[JoinCount] = field(default_factory=list)


def join_predictions(
    keys: Sequence[bytes], fresh: Sequence[Stub], seen: Sequence[bytes | None], tracked: Sequence[bool]
) -> Joined:
    """Place predictions into the state machine.

    Args:
        keys: stub keys, n.
        fresh: each row's prediction as a stub without label, n.
        seen: each row's stored stub, None for absent; the same for all rows of one key, n.
        tracked: rows outside the label sample count, and leave no stub, n.
    """
    joined = Joined()
    writes = joined.writes
    for row, (key, stub, stored, keep) in enumerate(zip(keys, fresh, seen, tracked, strict=True)):
        if not keep:
            joined.counted.append(row)
            continue
        present = writes.get(key, stored)
        if present is None:
            joined.counted.append(row)
            writes[key] = stub.pack()
            continue
        old = Stub.unpack(present)
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
    keys: Sequence[bytes], labels: Sequence[LabelState], seen: Sequence[bytes | None], tracked: Sequence[bool]
) -> Joined:
    """Place labels into the state machine.

    Args:
        keys: stub keys, n.
        labels: each row's label, n.
        seen: each row's stored stub, None for absent; the same for all rows of one key, n.
        tracked: rows outside the label sample are only counted, n.
    """
    joined = Joined()
    writes, counts = joined.writes, joined.counts
    for row, (key, label, stored, keep) in enumerate(zip(keys, labels, seen, tracked, strict=True)):
        if not keep:
            counts.append(JoinCount(Join.UNSAMPLED_LABELS, label.order.time_ms, create=True))
            continue
        present = writes.get(key, stored)
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
