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

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import Join
from monitor.core.stubs import LabelState, Order, Packed, Stub, StubTable, chosen, first_labels

Ints = NDArray[np.int64]


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
    times_ms: Ints
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

    rows: Ints
    times_ms: Ints
    numbers: NDArray[np.float64]
    decisions: NDArray[np.int8]
    slices: Ints
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
        arrivals: stubs that nobody has seen before: the common case of a prediction.
        labelled: stubs that get their first label: the common case of a label.
        columns: contributions of those.
        tallies: counters of those.
    """

    writes: dict[bytes, bytes] = field(default_factory=dict)
    renewed: set[bytes] = field(default_factory=set)
    counted: list[int] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    counts: list[JoinCount] = field(default_factory=list)
    arrivals: list[StubTable] = field(default_factory=list)
    labelled: list[StubTable] = field(default_factory=list)
    columns: list[EffectColumns] = field(default_factory=list)
    tallies: list[JoinTally] = field(default_factory=list)

    @property
    def values(self) -> dict[bytes, bytes]:
        """Every stub that is written or checked."""
        tables = {
            key: value.tobytes()
            for table in (*self.arrivals, *self.labelled)
            for key, value in zip(table.keys, table.values, strict=True)
        }
        return tables | self.writes


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
    stubs = Packed.of(fresh)
    odd = _repeated(keys) | seen.keys()
    kept = np.array(tracked, np.bool_)
    usual = kept & ~np.fromiter(map(odd.__contains__, keys), np.bool_, len(keys)) if odd else kept
    for rows, table in stubs.groups:
        there = usual[rows]
        if there.all():
            joined.arrivals.append(StubTable(chosen(keys, rows), table[:, :0], table))
        elif there.any():
            joined.arrivals.append(StubTable(chosen(keys, rows[there]), table[there, :0], table[there]))
    joined.counted = np.flatnonzero(usual | ~kept).tolist()
    writes = joined.writes
    for row in np.flatnonzero(kept & ~usual).tolist():
        key, packed = keys[row], stubs[row]
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
            # Where it was parked, whatever label followed it since: the two must cancel out.
            parked_ms = old.parked_ms or old.label.order.time_ms
            joined.counts.append(JoinCount(Join.ADOPTED_LABELS, parked_ms, create=False))
            joined.counts.append(JoinCount(Join.LABELS_APPLIED, stub.time_ms, create=True))
    joined.counted.sort()
    return joined


def join_labels(
    keys: Sequence[bytes],
    values: NDArray[np.float64],
    times_ms: Ints,
    source: int,
    offsets: Ints,
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
            writes[key] = Stub(~label.order.time_ms, False, float("nan"), -1, (), label).pack()
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
    times_ms: Ints,
    source: int,
    offsets: Ints,
    seen: Mapping[bytes, bytes],
    tracked: Sequence[bool],
) -> NDArray[np.bool_]:
    """Place the labels that are the first and only ones of a known prediction, all at once.

    Returns:
        Which rows those were, bool[n].
    """
    plain = np.zeros(len(keys), np.bool_)
    repeated = _repeated(keys)
    if repeated or not all(tracked):
        stored = [
            seen.get(key, b"") if keep and key not in repeated else b""
            for key, keep in zip(keys, tracked, strict=True)
        ]
    else:
        stored = [seen.get(key, b"") for key in keys]
    for found in first_labels(stored, values, times_ms, source, offsets):
        rows = found.rows
        plain[rows] = True
        joined.labelled.append(StubTable(chosen(keys, rows), found.before, found.after))
        joined.columns.append(
            EffectColumns(rows, found.times_ms, found.scores, found.decisions, found.slices, values[rows])
        )
        joined.tallies.append(JoinTally(Join.LABELS_APPLIED, found.times_ms, create=False))
    return plain
