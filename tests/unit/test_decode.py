"""Bytes to rows: no input stops the decoder, and a bad record leaves its neighbours alone."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.batch import Reading, label_batch, read_labels, read_predictions
from monitor.core.decode import (
    _BEYOND_JSON,
    Limits,
    RawRecord,
    Unreadable,
    dead_letter,
    decode_chunk,
    event_time_ms,
    is_deeper,
)
from monitor.core.errors import MappingError
from monitor.core.mapping import Mapping, parse_path
from monitor.core.masking import Masking, hashed
from monitor.core.records import DeadLetter
from monitor.core.schema.violations import Code
from monitor.core.stubs import ModelIdentity
from monitor.core.tasks import Binary, ClassNames
from monitor.core.typed_reader import _DIGITS_MAX, _LONG_NUMBER
from tests.support.two_ways import PLANS, same_labels

PLAIN = Mapping.parse()
MODELS = {"income": object()}
READING = Reading(Binary(), ModelIdentity())
GOOD = b'{"request_id": "r-1", "model": "income", "timestamp": 1700000000, "features": {}, "score": 0.8}'
NOW_MS = 1_700_000_100_000


def decode(*values: bytes | None, mapping: Mapping = PLAIN, limits: Limits | None = None):  # type: ignore[no-untyped-def]
    records = [RawRecord(value, offset, NOW_MS) for offset, value in enumerate(values)]
    return decode_chunk(records, mapping, MODELS, limits or Limits())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Unreadable.EMPTY),
        (b"", Unreadable.EMPTY),
        (b"{", Unreadable.NOT_JSON),
        (b"\xff\xfe{}", Unreadable.NOT_JSON),
        (b"[1]", Unreadable.NOT_OBJECT),
        (b"NaN", Unreadable.NOT_OBJECT),
        (b"{}", Unreadable.NO_REQUEST_ID),
        (b'{"request_id": true, "model": "income"}', Unreadable.NO_REQUEST_ID),
        (b'{"request_id": "", "model": "income"}', Unreadable.NO_REQUEST_ID),
        (b'{"request_id": "r"}', Unreadable.NO_MODEL),
        (b'{"request_id": "r", "model": "other"}', Unreadable.UNKNOWN_MODEL),
        (b'{"request_id": "r", "model": ["income"]}', Unreadable.UNKNOWN_MODEL),
        (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", Unreadable.TOO_DEEP),
        (b'{"a": "' + b"x" * 2_000_000 + b'"}', Unreadable.TOO_LARGE),
        # Two halves that would be one array if records were joined before parsing.
        (b'{"request_id": "a", "model": "income", "features": {"x": [', Unreadable.NOT_JSON),
    ],
)
def test_an_unreadable_record_is_told_apart_and_its_neighbours_live(
    value: bytes | None, reason: Unreadable
) -> None:
    rows, rejected = decode(GOOD, value, GOOD)
    assert [row.offset for row in rows] == [0, 2]
    assert [(r.offset, r.reason) for r in rejected] == [(1, reason)]
    letter = DeadLetter.model_validate_json(dead_letter(rejected[0], "predictions", 3))
    assert (letter.topic, letter.partition, letter.offset, letter.reason) == ("predictions", 3, 1, reason)
    assert letter.value_bytes == len(value or b"")
    assert letter.value_head.isascii()


@pytest.mark.parametrize("compiled", [True, False])
def test_a_label_that_means_nothing_is_told_with_the_bytes_it_came_in(compiled: bool) -> None:
    values = [
        b'{"request_id": "r-1",   "model": "one", "label": "maybe", "note": "\\u00e9\xc3\xa9"}',
        b'{"request_id": "r-2", "model": "one", "label": 1}',
        b'{"request_id": "r-3", "model": "one",  "labl": 1, "note": "' + b"\\u00e9" * 2_000 + b'"}',
    ]
    plans = PLANS["violate"]
    if compiled:
        read = same_labels(values, PLAIN, plans)
        (found,) = read.readable
        _, refused = label_batch(found, PLAIN, READING)
    else:
        raw = [RawRecord(value, offset, NOW_MS) for offset, value in enumerate(values)]
        _, refused = read_labels(decode_chunk(raw, PLAIN, plans, Limits())[0], PLAIN, READING, "one")
    assert [(one.offset, one.reason) for one in refused] == [
        (0, Unreadable.UNKNOWN_LABEL), (2, Unreadable.NO_LABEL),
    ]  # fmt: skip
    for one in refused:
        value = values[one.offset]
        letter = DeadLetter.model_validate_json(dead_letter(one, "labels", 0))
        assert letter.value_bytes == len(value)
        assert letter.value_head.encode().decode("unicode_escape") == value[:200].decode()
        masked = dead_letter(one, "labels", 0, Masking(frozenset({"x"}), b"a key"))
        assert DeadLetter.model_validate_json(masked).value_head == hashed(b"a key", value)


@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
def test_integers_of_64_bits_are_ids(number: int) -> None:
    rows, _ = decode(b'{"request_id": %d, "model": "income"}' % number)
    assert [row.request_id for row in rows] == [str(number)]


def test_a_longer_integer_is_told_what_an_id_may_be() -> None:
    _, (rejected,) = decode(b'{"request_id": %d, "model": "income"}' % (2**70))
    assert rejected.detail == (
        "expected a text of 1 to 512 characters or an integer of 64 bits at $.request_id"
    )


def test_brackets_inside_text_are_not_nesting() -> None:
    value = json.dumps({"request_id": "r", "model": "income", "features": {"note": "[{" * 500 + '"\\'}})
    assert len(decode(value.encode())[0]) == 1


_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)


def depth_by_token(value: bytes) -> int:
    """Nesting one bracket at a time: what the fast way has to agree with."""
    deepest = depth = 0
    for match in _BRACKETS.finditer(value):
        token = match.group()
        if token in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"]}":
            depth -= 1
    return deepest


@settings(max_examples=1_000)
@given(st.lists(st.sampled_from([b"[", b"{", b"]", b"}", b'"', b"\\", b'\\"', b"a", b"\n", b'"",', b"\xff"])))
def test_depth_is_that_of_counting_bracket_by_bracket(tokens: list[bytes]) -> None:
    value = b"".join(tokens)
    deepest = depth_by_token(value)
    for depth_max in {0, 1, 2, max(deepest - 1, 0), deepest}:
        assert is_deeper(value, depth_max) == (deepest > depth_max)


def digits(before: int, count: int, after: str) -> bytes:
    return b"1" * before + b"x" + b"7" * count + after.encode()


@given(
    st.lists(
        st.builds(digits, st.integers(0, 3), st.integers(300, 320), st.sampled_from(["", "x", ".", "²"]))
    )
)
def test_a_long_number_is_found_wherever_it_begins(parts: list[bytes]) -> None:
    value = b"".join(parts)
    assert (_BEYOND_JSON.search(value) is None) == (re.search(rb"\d{309}", value) is None)


@given(
    st.lists(st.integers(_DIGITS_MAX - 2, _DIGITS_MAX + 2), max_size=3), st.sampled_from([b"x", b".", b""])
)
def test_a_number_too_long_for_python_is_found_wherever_it_begins(counts: list[int], between: bytes) -> None:
    value = between.join(b"7" * count for count in counts)
    assert (_LONG_NUMBER.search(value) is None) == (re.search(rb"\d{%d}" % _DIGITS_MAX, value) is None)


def test_json_as_python_writes_it_is_read() -> None:
    value = b'{"request_id": 7, "model": "income", "features": {"a": NaN, "b": -Infinity}, "score": NaN}'
    rows, rejected = decode(value)
    assert not rejected
    batch = read_predictions(rows, PLAIN, READING, "income")
    assert batch.request_ids == ["7"]
    assert batch.features[0]["b"] == float("-inf")
    assert [(row, code) for row, code, _ in batch.faults] == [(0, Code.SCORE_RANGE)]


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=60) | st.text(max_size=40).map(lambda t: t.encode()), max_size=5))
def test_no_bytes_stop_the_decoder(values: list[bytes]) -> None:
    rows, rejected = decode(*values)
    assert sorted([r.offset for r in rows] + [r.offset for r in rejected]) == list(range(len(values)))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["timestamp", "features", "score", "decision", "label", "model_version", "probabilities", "value"]


@settings(max_examples=400)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)))
def test_no_json_in_any_field_stops_the_readers(fields: dict[str, object]) -> None:
    body = {"request_id": "r", "model": "income", **fields}
    rows, rejected = decode(json.dumps(body).encode("utf-8", "surrogatepass"), GOOD)
    assert len(rows) + len(rejected) == 2
    batch = read_predictions(rows, PLAIN, READING, "income")
    assert len(batch) == len(rows)
    labels, refused = read_labels(rows, PLAIN, READING, "income")
    assert len(labels) + len(refused) == len(rows)
    assert (batch.times_ms <= NOW_MS).all()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, (NOW_MS, False, False)),
        (1_700_000_000, (1_700_000_000_000, False, False)),
        (1_700_000_000_123, (1_700_000_000_123, False, False)),
        ("2023-11-14T22:13:20Z", (1_700_000_000_000, False, False)),
        ("2099-01-01T00:00:00Z", (NOW_MS, False, True)),
        (0, (NOW_MS, True, False)),
        ("yesterday", (NOW_MS, True, False)),
        ([1], (NOW_MS, True, False)),
        (float("nan"), (NOW_MS, True, False)),
        (10**300, (NOW_MS, True, False)),
        (True, (NOW_MS, True, False)),
    ],
)
def test_event_time(value: object, expected: tuple[int, bool, bool]) -> None:
    assert event_time_ms(value, NOW_MS) == expected


@pytest.mark.parametrize(
    ("names", "value", "read"),
    [
        (ClassNames(), 1.0, 1),
        (ClassNames(), False, 0),
        (ClassNames(), "true", 1),
        (ClassNames(), 2, -1),
        (ClassNames(), None, -1),
        (ClassNames(">50K"), ">50K", 1),
        (ClassNames(">50K"), "<=50K", 0),
        (ClassNames(">50K"), 1, -1),
        (ClassNames("bad", "good"), "god", -1),
        (ClassNames(1, 2), 2, 0),
        (ClassNames(1), float("nan"), -1),
    ],
)
def test_class_names(names: ClassNames, value: object, read: int) -> None:
    assert names.read(value) == read


def test_a_mapping_reads_another_shape() -> None:
    mapping = Mapping.parse(
        {
            "request_id": "$.meta['request id']",
            "model": "=income",
            "features": "$.rows[0]",
            "score": "$.out[1]",
        }
    )
    value = json.dumps({"meta": {"request id": "r"}, "rows": [{"age": 3}], "out": [0.1, 0.9]}).encode()
    rows, _ = decode(value, mapping=mapping)
    batch = read_predictions(rows, mapping, READING, "income")
    assert list(batch.features) == [{"age": 3}]
    assert batch.answers.decisions.tolist() == [1]


@pytest.mark.parametrize("path", ["a.b", "$.", "$[x]", "$.a b", "$..a"])
def test_a_path_that_cannot_be_read_is_refused(path: str) -> None:
    with pytest.raises(MappingError):
        parse_path(path)


def test_an_unknown_field_names_the_nearest() -> None:
    with pytest.raises(MappingError, match="did you mean request_id"):
        Mapping.parse({"requestid": "$.id"})
