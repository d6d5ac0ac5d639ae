"""Rows of the past as live traffic: which record goes to which topic, when, under which event time.

`events` is pure: it orders predictions and their labels. `feed` sends them at their pace.
"""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from monitor.core.errors import MappingError, RowsError
from monitor.core.mapping import Mapping as FieldMapping
from monitor.core.mapping import parse_path
from monitor.core.times import format_instant, parse_instant

SHUFFLE_ROWS: Final = 20_000
"""Labels that are mixed with each other when they are shuffled."""

_LABEL_FIELDS: Final = ("request_id", "timestamp", "model", "label")
_PREDICTION_FIELDS: Final = (
    "request_id", "timestamp", "model", "model_version", "features", "score", "probabilities", "value",
    "interval", "interval_low", "interval_high", "decision",
)  # fmt: skip

Stream = Literal["predictions", "labels"]


@dataclass(frozen=True, slots=True)
class Timing:
    """When records are sent, and which event times they carry.

    Attributes:
        rate_per_s: predictions a second; None goes by the event times.
        start_ms: event time of the first row; None keeps the times of the file.
        speedup: gaps between event times are divided by this.
        label_delay_s: shortest and longest time from a prediction to its label, in event time.
        shuffle_labels: send labels out of order, among `SHUFFLE_ROWS`.
        seed: of delays and shuffling.
    """

    rate_per_s: float | None = None
    start_ms: int | None = None
    speedup: float = 1.0
    label_delay_s: tuple[float, float] = (0.0, 0.0)
    shuffle_labels: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One record to be sent.

    Attributes:
        at_s: when, in seconds since the start.
        stream: predictions or labels.
        record: in plain form.
        time_ms: its event time, epoch ms; None where the row has none.
    """

    at_s: float
    stream: Stream
    record: dict[str, Any]
    time_ms: int | None


class Sender(Protocol):
    """What takes the records: `monitor.edges.kafka.topics.TopicProducer`."""

    def send(
        self, topic: str, value: bytes, key: bytes | None = None, timestamp_ms: int | None = None
    ) -> None:
        """Queue a record."""
        ...


def events(
    records: Iterable[Mapping[str, Any]], model: str | None, streams: Iterable[Stream], timing: Timing
) -> Iterator[Event]:
    """Predictions and labels in the order in which they are sent.

    A row without an id is named after its position, so that replaying a file again repeats the same
    requests rather than making new ones.

    Args:
        records: rows in plain form.
        model: the model of rows that name none.
        streams: which of the two to make.
        timing: pace, event times, delays.

    Raises:
        RowsError: a row names no model and none is given, or its timestamp cannot be read.
    """
    wanted = frozenset(streams)
    rng = random.Random(timing.seed)
    clock = _EventClock(timing)
    waiting: list[tuple[float, int, Event]] = []
    mixer: list[Event] = []
    for position, row in enumerate(records):
        record = dict(row)
        named = record.get("request_id")
        record["request_id"] = f"row-{position}" if named is None else str(named)
        if record.get("model") is None:
            if model is None:
                raise RowsError(f"row {position + 1} names no model; say which with --model")
            record["model"] = model
        at_s, time_ms = clock.place(position, record.get("timestamp"))
        while waiting and waiting[0][0] <= at_s:
            yield heapq.heappop(waiting)[2]
        if "predictions" in wanted:
            yield Event(at_s, "predictions", _shaped(record, _PREDICTION_FIELDS, time_ms), time_ms)
        if "labels" in wanted and record.get("label") is not None:
            delay_s = rng.uniform(*timing.label_delay_s)
            late_ms = None if time_ms is None else time_ms + round(delay_s * 1000)
            label = Event(at_s + delay_s, "labels", _shaped(record, _LABEL_FIELDS, late_ms), late_ms)
            if timing.shuffle_labels:
                mixer.append(label)
                if len(mixer) < SHUFFLE_ROWS:
                    continue
                chosen = rng.randrange(len(mixer))
                mixer[chosen], mixer[-1] = mixer[-1], mixer[chosen]
                label = mixer.pop()
            heapq.heappush(waiting, (max(label.at_s, at_s), position, label))
    rng.shuffle(mixer)
    yield from (entry[2] for entry in sorted(waiting, key=lambda entry: entry[:2]))
    yield from mixer


class _EventClock:
    """Places rows in time."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._first_ms: int | None = None

    def place(self, position: int, value: Any) -> tuple[float, int | None]:
        """(seconds since the start at which the row is sent, its event time)."""
        timing = self._timing
        paced_s = position / timing.rate_per_s if timing.rate_per_s else 0.0
        if value is None:
            return paced_s, None
        try:
            time_ms = parse_instant(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise RowsError(f"row {position + 1}: timestamp: {error}") from None
        if self._first_ms is None:
            self._first_ms = time_ms
        since_ms = (time_ms - self._first_ms) / timing.speedup
        start_ms = self._first_ms if timing.start_ms is None else timing.start_ms
        return paced_s if timing.rate_per_s else since_ms / 1000, start_ms + round(since_ms)


def _shaped(record: Mapping[str, Any], fields: Iterable[str], time_ms: int | None) -> dict[str, Any]:
    shaped = {field: record[field] for field in fields if record.get(field) is not None}
    if time_ms is not None:
        shaped["timestamp"] = format_instant(time_ms / 1000)
    return shaped


def into_shape(record: Mapping[str, Any], mapping: FieldMapping) -> dict[str, Any]:
    """A record in plain form put where a mapping will look for its fields.

    >>> mapping = FieldMapping.parse({"request_id": "$.meta.id", "model": "=income"})
    >>> into_shape({"request_id": "r-1", "model": "income", "score": 0.5}, mapping)
    {'meta': {'id': 'r-1'}, 'score': 0.5}
    """
    shaped: dict[str, Any] = {}
    for field, value in record.items():
        path = mapping.paths.get(field, f"$.{field}")
        if path.startswith("="):
            continue
        steps = parse_path(path)
        if not steps:  # `$`: the record itself
            shaped |= value
            continue
        _put(shaped, steps, value, path)
    return shaped


def _put(node: Any, steps: Sequence[str | int], value: Any, path: str) -> None:
    crossing = MappingError(f"{path}: crosses another path of the mapping; records cannot be written so")
    for step, following in zip(steps, (*steps[1:], None), strict=True):
        kind = list if isinstance(step, int) else dict
        fits = isinstance(node, kind)
        if not fits:
            raise crossing
        if isinstance(step, int):
            node.extend([None] * (step + 1 - len(node)))
            present = node[step]
        else:
            present = node.get(step)
        if following is None:
            # Fields may lie inside the features: neither overwrites the other, nor the caller's dictionary.
            if isinstance(value, dict) and isinstance(present, dict):
                value = {**present, **value}
            elif present not in (None, value):
                raise crossing
            node[step] = copy(value)
        elif present is None:
            node[step] = [] if isinstance(following, int) else {}
        node = node[step]


def feed(
    planned: Iterable[Event],
    sender: Sender,
    places: Mapping[Stream, tuple[str, FieldMapping]],
    *,
    now_s: Callable[[], float],
    sleep: Callable[[float], None],
    paced: bool,
    sent: Callable[[Stream], None],
) -> None:
    """Send events at their pace.

    Args:
        planned: in order.
        sender: takes the records.
        places: topic and mapping of each stream.
        now_s: a clock that never goes back.
        sleep: waits so many seconds.
        paced: wait until each event's time has come; else send at once.
        sent: called after each record.
    """
    began_s = now_s()
    for event in planned:
        if paced and (wait_s := began_s + event.at_s - now_s()) > 0:
            sleep(wait_s)
        topic, mapping = places[event.stream]
        # Not orjson: NaN is a value worth sending, and orjson would make it null.
        value = json.dumps(into_shape(event.record, mapping), separators=(",", ":"), ensure_ascii=False)
        key = str(event.record["request_id"]).encode()
        sender.send(topic, value.encode("utf-8", "backslashreplace"), key, event.time_ms)
        sent(event.stream)
