"""From the bytes of a chunk to rows, one record at a time: a bad neighbour harms nobody.

Every record either becomes a row or a dead letter with a bounded reason. Rows of one model form a
`PredictionBatch` or a `LabelBatch` (`monitor.core.batch`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic_core import from_json

from monitor.core.mapping import Mapping
from monitor.core.masking import Masking, hashed
from monitor.core.records import DeadLetter
from monitor.core.times import ABSENT, INSTANT_END_MS, instants_ms

REQUEST_ID_CHARS_MAX: Final = 512
OLDEST_MS: Final = 946_684_800_000
"""2000-01-01: a timestamp before it is a fault of the producer's clock, not an event."""

PROBE_PREFIX: Final = "monitor-probe-"
"""Request ids that begin so are of probes that came back as traffic."""

PROBE_SAID: Final = (True, "1", "true")
"""Values of the field `probe` that say so, and 1."""

# What orjson refuses and other readers do not: not a number, infinite, or too great for a double.
# Digits are counted from the first of a run on only, or each of them would begin the count anew.
_BEYOND_JSON = re.compile(rb"NaN|Infinity|[eE]\+?\d{3}|(?<!\d)\d{309}")


class Unreadable(StrEnum):
    """Why a record went to the dead-letter topic."""

    EMPTY = "empty"  # a tombstone
    NOT_UNPACKED = "not_unpacked"  # of a compressed batch that is damaged, or too large unpacked
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    NOT_JSON = "not_json"
    NOT_OBJECT = "not_object"
    NO_REQUEST_ID = "no_request_id"
    NO_MODEL = "no_model"
    UNKNOWN_MODEL = "unknown_model"
    NO_LABEL = "no_label"
    UNKNOWN_LABEL = "unknown_label"  # a value that is neither the positive nor the negative class


class NotUnpacked(bytes):
    """In the place of a record's value that could not be had; empty.

    Attributes:
        detail: why.
    """

    detail = ""

    @classmethod
    def because(cls, detail: str) -> NotUnpacked:
        """Such a value."""
        value = cls()
        value.detail = detail
        return value


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A Kafka record as the decoder needs it; `kafka_ms` is -1 where the record carries no time."""

    value: bytes | None
    offset: int
    kafka_ms: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What one record may be."""

    record_bytes_max: int = 1_048_576
    depth_max: int = 32


@dataclass(frozen=True, slots=True)
class Row:
    """A readable record: which request of which model, its JSON, its bytes, and whether a probe made it."""

    offset: int
    kafka_ms: int
    request_id: str
    model: str
    body: dict[str, Any]
    value: bytes
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot be used, with its bounded reason."""

    offset: int
    reason: Unreadable
    detail: str
    value: bytes


def decode_chunk(
    records: Sequence[RawRecord],
    mapping: Mapping,
    models: MappingABC[str, object],
    limits: Limits,
) -> tuple[list[Row], list[Rejected]]:
    """Decode every record of a chunk.

    Args:
        records: in offset order.
        mapping: where the source keeps its fields.
        models: the configured models by name.
        limits: size and nesting.

    Returns:
        Rows and rejects, each in offset order; together they account for every record.
    """
    rows: list[Row] = []
    rejected: list[Rejected] = []
    get_id = mapping.getters["request_id"]
    get_model, get_probe = mapping.getters["model"], mapping.getters["probe"]
    for record in records:
        body = _parse(record, limits)
        if isinstance(body, Rejected):
            rejected.append(body)
            continue
        request_id = get_id(body)
        if isinstance(request_id, int) and not isinstance(request_id, bool):
            request_id = str(request_id)
        if not isinstance(request_id, str) or not 1 <= len(request_id) <= REQUEST_ID_CHARS_MAX:
            path = mapping.paths.get("request_id", "$.request_id")
            what = f"a text of 1 to {REQUEST_ID_CHARS_MAX} characters or an integer of 64 bits"
            detail = f"expected {what} at {path}"
            rejected.append(Rejected(record.offset, Unreadable.NO_REQUEST_ID, detail, record.value or b""))
            continue
        model = get_model(body)
        if not isinstance(model, str) or model not in models:
            if model is None:
                reason = Unreadable.NO_MODEL
                detail = f"no model at {mapping.paths.get('model', '$.model')}; a constant is written =NAME"
            else:
                reason = Unreadable.UNKNOWN_MODEL
                detail = f"model {str(model)[:80]!r} is not in the settings"
            rejected.append(Rejected(record.offset, reason, detail, record.value or b""))
            continue
        probe = get_probe(body) in PROBE_SAID or request_id.startswith(PROBE_PREFIX)
        rows.append(Row(record.offset, record.kafka_ms, request_id, model, body, record.value or b"", probe))
    return rows, rejected


def by_model(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows grouped by model, offset order kept; what probes asked is no traffic and left out."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if not row.probe:
            groups.setdefault(row.model, []).append(row)
    return groups


def _parse(record: RawRecord, limits: Limits) -> dict[str, Any] | Rejected:
    value = record.value
    if not value:
        if isinstance(value, NotUnpacked):
            return Rejected(record.offset, Unreadable.NOT_UNPACKED, value.detail, b"")
        return Rejected(record.offset, Unreadable.EMPTY, "the record has no value", b"")
    if len(value) > limits.record_bytes_max:
        detail = f"{len(value)} bytes; at most {limits.record_bytes_max} are read"
        return Rejected(record.offset, Unreadable.TOO_LARGE, detail, value)
    if is_deeper(value, limits.depth_max):
        detail = f"nested deeper than {limits.depth_max}"
        return Rejected(record.offset, Unreadable.TOO_DEEP, detail, value)
    try:
        body = loads(value)
    except ValueError as error:
        return Rejected(record.offset, Unreadable.NOT_JSON, str(error)[:200], value)
    if not isinstance(body, dict):
        detail = f"expected a JSON object, got {type(body).__name__}"
        return Rejected(record.offset, Unreadable.NOT_OBJECT, detail, value)
    return body


def loads(value: bytes) -> Any:
    """JSON, also as Python writes it: NaN, Infinity and 1e400 are values to be judged, not noise.

    Raises:
        ValueError: not JSON.
    """
    try:
        return orjson.loads(value)
    except ValueError:
        if not _BEYOND_JSON.search(value):
            raise
        return from_json(value, allow_inf_nan=True)


# Possessive, and a string left open runs to the end: linear whatever the bytes. Strings with no bracket
# between them go at once, for a match costs more than what it matches.
_TEXT: Final = rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
_TEXTS: Final = re.compile(_TEXT + rb'(?:[^"\[{\]}]*+' + _TEXT + rb")*+", re.DOTALL)
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""Brackets as what they add to the depth: 1 and -1, in int8."""
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[{]}"))


def is_deeper(value: bytes, depth_max: int) -> bool:
    """Whether brackets are nested deeper, those inside strings left out; whatever the bytes, JSON or not.

    >>> is_deeper(b'{"a": [1, 2]}', 1), is_deeper(b'{"a": "[["}', 1)
    (True, False)
    """
    # Counting brackets is a cheap upper bound on nesting; only suspects are measured.
    if value.count(b"[") + value.count(b"{") <= depth_max:
        return False
    steps = _TEXTS.sub(b"", value).translate(_STEPS, _NO_BRACKETS)
    return int(np.frombuffer(steps, np.int8).cumsum(dtype=np.int32).max(initial=0)) > depth_max


def dead_letter(rejected: Rejected, topic: str, partition: int, masking: Masking | None = None) -> bytes:
    """The record for the dead-letter topic, as JSON.

    Args:
        rejected: the record.
        topic: where it lies,
        partition: and in which part; with its offset enough to find it.
        masking: given where some model has a sensitive feature. Then the record is not shown, for nobody
            knows which part of what cannot be read is sensitive; but its hash, where there is a key.
    """
    if masking is None:
        head = rejected.value[:200].decode("utf-8", "backslashreplace")
        escaped = head.encode("unicode_escape").decode("ascii")[:600]
    else:
        escaped = "" if masking.key is None else hashed(masking.key, rejected.value)
    letter = DeadLetter(
        reason=str(rejected.reason),
        detail=rejected.detail[:500] if masking is None else "",
        topic=topic,
        partition=partition,
        offset=rejected.offset,
        value_head=escaped,
        value_bytes=len(rejected.value),
    )
    return letter.model_dump_json().encode()


def event_time_ms(value: Any, kafka_ms: int) -> tuple[int, bool, bool]:
    """Event time of a record.

    A timestamp in the future is clamped to the Kafka record's own time, so that one bad clock cannot
    push the watermark ahead of everybody.

    Args:
        value: what the mapping found; None when the record has no time of its own.
        kafka_ms: the Kafka record's time; one that no clock shows (-1, 0, the year 10000) is none.

    Returns:
        (epoch ms, bad, clamped): `bad` says that a time was given and could not be used.
    """
    times, bad, clamped = event_times([value], np.array([kafka_ms], np.int64))
    return int(times[0]), bool(bad[0]), bool(clamped[0])


def event_times(
    values: Sequence[Any], kafka_ms: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """`event_time_ms` of n records: int64[n], bool[n], bool[n]."""
    kafka = np.where((kafka_ms >= OLDEST_MS) & (kafka_ms < INSTANT_END_MS), kafka_ms, -1)
    instants = instants_ms(values)
    absent = instants == ABSENT
    bad = ~absent & (instants < OLDEST_MS)
    clamped = ~absent & ~bad & (kafka >= 0) & (kafka < instants)
    times = np.where(absent | bad, np.maximum(kafka, OLDEST_MS), np.where(clamped, kafka, instants))
    return times, bad, clamped
