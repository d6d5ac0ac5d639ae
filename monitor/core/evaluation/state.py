"""What an evaluator remembers between steps, and its stored form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

import msgpack
import numpy as np

from monitor.core.alerts import AlertBook
from monitor.core.detectors.gap_tables import GapMetric, GapStream
from monitor.core.detectors.ignored_slice import ShareState
from monitor.core.detectors.missing_traffic import TrafficState
from monitor.core.detectors.slice_gap import GapState
from monitor.core.detectors.stalled_partition import StallState
from monitor.core.detectors.violation_rate import ViolationState
from monitor.core.event_time import EventClock
from monitor.core.evidence.counts import Level
from monitor.core.evidence.edetector import Tracker
from monitor.core.records import Alert

STATE_VERSION: Final = 1
"""Stored with the state; another version is not read, and the evaluator learns anew."""


@dataclass(frozen=True)
class EvaluatorState:
    """State of one model's evaluator.

    Attributes:
        fingerprint: of the reference and what it is compared by; another one starts the gaps anew.
        clock: event time.
        next_s: start of the next bucket of traffic to take, epoch seconds; None before the first.
        labels_from_s: start of the first bucket of labels; None before the first.
        labels_next_s: slice id → start of the next bucket of labels to take.
        labels_looked_ms: when labels were last looked at, wall clock.
        skipped: buckets that had expired before they could be taken.
        violations, traffic, decisions, shares, labels, coverage, stalls: state of each detector.
        book: alerts.
    """

    fingerprint: str = ""
    clock: EventClock = field(default_factory=EventClock)
    next_s: int | None = None
    labels_from_s: int | None = None
    labels_next_s: Mapping[int, int] = field(default_factory=dict)
    labels_looked_ms: int = 0
    skipped: int = 0
    violations: ViolationState = field(default_factory=ViolationState.fresh)
    traffic: TrafficState = field(default_factory=TrafficState)
    decisions: GapState = field(default_factory=GapState.fresh)
    shares: ShareState = field(default_factory=ShareState.fresh)
    labels: GapState = field(default_factory=GapState.fresh)
    coverage: GapState = field(default_factory=GapState.fresh)
    stalls: StallState = field(default_factory=StallState)
    book: AlertBook = field(default_factory=AlertBook)

    def label_cursor(self, slice_id: int) -> int:
        """Start of the next bucket of labels of a slice, epoch seconds; new slices join the hindmost."""
        return self.labels_next_s.get(slice_id, self.hindmost_s)

    @property
    def hindmost_s(self) -> int:
        """Start of the earliest bucket of labels that some slice has not taken, epoch seconds."""
        return min(self.labels_next_s.values(), default=self.labels_from_s or 0)


def encode(state: EvaluatorState) -> bytes:
    """Stored form: MessagePack, arrays as their bytes."""
    packed: bytes = msgpack.packb({"version": STATE_VERSION, "state": _plain(state)})
    return packed


def decode(data: bytes) -> EvaluatorState:
    """Read the stored form; nothing, or another version, is a fresh state."""
    if not data:
        return EvaluatorState()
    held = msgpack.unpackb(data, strict_map_key=False)
    if held.get("version") != STATE_VERSION:
        return EvaluatorState()
    raw: dict[str, Any] = held["state"]
    violations, traffic, shares, stalls, book = (
        raw[name] for name in ("violations", "traffic", "shares", "stalls", "book")
    )
    return EvaluatorState(
        fingerprint=raw["fingerprint"],
        clock=EventClock({(topic, number): (mark, at) for topic, number, mark, at in raw["clock"]}),
        next_s=raw["next_s"],
        labels_from_s=raw["labels_from_s"],
        labels_next_s=raw["labels_next_s"],
        labels_looked_ms=raw["labels_looked_ms"],
        skipped=raw["skipped"],
        violations=ViolationState(_array(violations["cells"]), _tracker(violations["tracker"])),
        traffic=TrafficState(
            Level(**traffic["level"]), _tracker(traffic["tracker"]), traffic["quiet"], traffic["quiet_max"]
        ),
        decisions=_gaps(raw["decisions"]),
        shares=ShareState(
            tracker=_tracker(shares.pop("tracker")), **{name: _array(item) for name, item in shares.items()}
        ),
        labels=_gaps(raw["labels"]),
        coverage=_gaps(raw["coverage"]),
        stalls=StallState(
            {name: (offset, at) for name, (offset, at) in stalls["since"].items()},
            frozenset(stalls["reported"]),
        ),
        book=AlertBook(
            **{**book, "alerts": {k: Alert.model_validate_json(v) for k, v in book["alerts"].items()}}
        ),
    )


def _plain(value: Any) -> Any:
    match value:
        case np.ndarray():
            return [value.dtype.str, list(value.shape), value.tobytes()]
        case GapStream():
            return [value.slice_id, value.metric.value, value.low, value.weight]
        case EventClock():
            return [[*partition, *mark] for partition, mark in value.moved.items()]
        case Alert():
            return value.model_dump_json()
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case tuple() | frozenset():
            return [_plain(item) for item in value]
        case _ if hasattr(value, "__dataclass_fields__"):
            return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
        case _:
            return value


def _array(held: Any) -> Any:
    dtype, shape, data = held
    return np.frombuffer(data, np.dtype(dtype)).reshape(shape).copy()


def _tracker(held: Mapping[str, Any]) -> Tracker:
    return Tracker(**{name: _array(item) for name, item in held.items()})


def _gaps(held: Mapping[str, Any]) -> GapState:
    return GapState(
        tuple(GapStream(i, GapMetric(metric), low, weight) for i, metric, low, weight in held["streams"]),
        _tracker(held["tracker"]),
        _array(held["reference"]),
        _array(held["tolerated"]),
        _array(held["told"]),
    )
