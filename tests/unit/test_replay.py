"""The past as live traffic."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.cli.replay import columns_of, named_columns
from monitor.core.errors import MappingError, RowsError, SettingsError
from monitor.core.mapping import FIELDS, Mapping
from monitor.edges.reference import as_record
from monitor.edges.replay import Event, Stream, Timing, events, feed, into_shape

BOTH: tuple[Stream, Stream] = ("predictions", "labels")


def rows(count: int, step_s: float = 10.0) -> list[dict[str, Any]]:
    """Plain records, ten seconds apart from the epoch second 1,000,000,000 on."""
    return [
        {
            "request_id": f"r-{i}",
            "timestamp": 1_000_000_000 + i * step_s,
            "features": {"a": i},
            "label": i % 2,
        }
        for i in range(count)
    ]


def test_predictions_and_labels_of_the_plain_form() -> None:
    found = list(events(rows(2), "income", BOTH, Timing(label_delay_s=(5, 5))))
    assert [(event.stream, event.at_s, event.record["timestamp"]) for event in found] == [
        ("predictions", 0.0, "2001-09-09T01:46:40Z"),
        ("labels", 5.0, "2001-09-09T01:46:45Z"),
        ("predictions", 10.0, "2001-09-09T01:46:50Z"),
        ("labels", 15.0, "2001-09-09T01:46:55Z"),
    ]
    assert found[0].record["features"] == {"a": 0}
    assert found[1].record == {"request_id": "r-0", "model": "income", "label": 0,
                               "timestamp": "2001-09-09T01:46:45Z"}  # fmt: skip


def test_times_are_shifted_and_compressed() -> None:
    found = list(events(rows(3), "m", ["predictions"], Timing(start_ms=5_000_000, speedup=10)))
    assert [(event.at_s, event.time_ms) for event in found] == [
        (0, 5_000_000),
        (1, 5_001_000),
        (2, 5_002_000),
    ]


def test_a_rate_paces_whatever_the_times() -> None:
    found = list(events(rows(3), "m", ["predictions"], Timing(rate_per_s=4)))
    assert [event.at_s for event in found] == [0, 0.25, 0.5]


def test_rows_without_time_model_or_id() -> None:
    found = list(events([{"features": {}, "request_id": None}], "m", BOTH, Timing()))
    assert found == [Event(0.0, "predictions", {"request_id": "row-0", "model": "m", "features": {}}, None)]
    with pytest.raises(RowsError, match="--model"):
        list(events([{"features": {}}], None, BOTH, Timing()))
    with pytest.raises(RowsError, match="row 1: timestamp"):
        list(events([{"timestamp": "noon"}], "m", BOTH, Timing()))


@given(
    count=st.integers(0, 60),
    delay=st.tuples(st.floats(0, 50), st.floats(0, 50)).map(sorted).map(tuple),
    shuffle=st.booleans(),
    seed=st.integers(0, 9),
    rate=st.none() | st.floats(0.1, 100),
)
def test_every_row_is_sent_once_on_each_stream(
    count: int, delay: tuple[float, float], shuffle: bool, seed: int, rate: float | None
) -> None:
    timing = Timing(rate_per_s=rate, label_delay_s=delay, shuffle_labels=shuffle, seed=seed)
    found = list(events(rows(count), "m", BOTH, timing))
    for stream in BOTH:
        ids = Counter(event.record["request_id"] for event in found if event.stream == stream)
        assert ids == Counter(f"r-{i}" for i in range(count))
    assert found == list(events(rows(count), "m", BOTH, timing))
    if not shuffle:
        assert [event.at_s for event in found] == sorted(event.at_s for event in found)


def test_shuffled_labels_are_out_of_order() -> None:
    found = list(events(rows(100), "m", ["labels"], Timing(shuffle_labels=True, seed=1)))
    order = [event.record["request_id"] for event in found]
    assert order != [f"r-{i}" for i in range(100)]


KEYS = st.sampled_from(["a", "b", "odd key", "x"])
PATHS = st.lists(KEYS, min_size=1, max_size=3).map(lambda keys: "$" + "".join(f"['{key}']" for key in keys))


@given(st.dictionaries(st.sampled_from([field for field in FIELDS if field != "features"]), PATHS))
def test_a_record_in_shape_is_read_back(paths: dict[str, str]) -> None:
    mapping = Mapping.parse(paths)
    record = {field: f"value of {field}" for field in paths}
    try:
        shaped = into_shape(record, mapping)
    except MappingError:
        written = list(paths.values())
        assert any(
            one.startswith(two) for i, one in enumerate(written) for two in written[:i] + written[i + 1 :]
        )
    else:
        assert {field: mapping.get(field, shaped) for field in paths} == record


def test_fields_inside_the_features() -> None:
    mapping = Mapping.parse({"request_id": "$.data.id", "features": "$.data", "score": "$.out[1].p"})
    record = {"request_id": "r", "features": {"a": 1}, "score": 0.5}
    for ordered in (record, dict(reversed(record.items()))):
        assert into_shape(ordered, mapping) == {"data": {"id": "r", "a": 1}, "out": [None, {"p": 0.5}]}
    assert record["features"] == {"a": 1}


class Kept:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any, bytes | None, int | None]] = []

    def send(
        self, topic: str, value: bytes, key: bytes | None = None, timestamp_ms: int | None = None
    ) -> None:
        self.sent.append((topic, json.loads(value), key, timestamp_ms))


@pytest.mark.parametrize(
    ("header", "reference", "columns"),
    [
        (["id", "value", "y"], {"value": "value"}, {"request_id": "id", "value": "value"}),
        (["p", "repaid"], {"score": "p", "label": "repaid"}, {"score": "p", "label": "repaid"}),
        (["score", "label"], {"score": "p", "label": "repaid"}, {"score": "score", "label": "label"}),
        (["a"], {"probabilities": "probabilities"}, {"probabilities": "probabilities"}),
    ],
)
def test_columns_are_guessed_and_those_of_the_reference(
    header: list[str], reference: dict[str, str], columns: dict[str, str]
) -> None:
    assert columns_of(header, reference) == columns


def test_the_task_says_what_a_prediction_is() -> None:
    assert columns_of(["prediction"], {"value": "value"}, "regression") == {"value": "prediction"}
    assert columns_of(["prediction"], {}) == {"decision": "prediction"}


@pytest.mark.parametrize(
    ("column", "complaint"),
    [
        ("foo=bar", "foo: not one of our fields, which are request_id, timestamp, model"),
        ("label=repayed", "label: no column 'repayed' in {file}; did you mean repaid?"),
        ("score=zip", "score: no column 'zip' in {file}; known here: age, p, repaid"),
    ],
)
def test_columns_that_are_not_there_are_refused(tmp_path: Path, column: str, complaint: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("age,p,repaid\n30,0.5,1\n")
    with pytest.raises(SettingsError) as refused:
        named_columns(file, ["label=repaid", column])
    assert complaint.format(file=file) in str(refused.value)


def test_columns_that_some_rows_have_are_there(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"age": 3}\n{"age": 4, "repaid": 1}\n')
    assert named_columns(file, ["label=repaid"]) == {"label": "repaid"}
    file.write_text('{"features": {"age": 3}, "repaid": 1}\n')
    with pytest.raises(SettingsError, match="read as they are"):
        named_columns(file, ["label=repaid"])
    assert named_columns(file, ["label=label"]) == {"label": "label"}


def test_a_file_of_values_is_sent_with_them() -> None:
    columns = columns_of(["id", "value", "a"], {"value": "value"})
    row = as_record({"id": 7, "value": 2.5, "a": 1}, columns)
    (event,) = events([row], "m", ["predictions"], Timing())
    assert event.record == {"request_id": "7", "model": "m", "value": 2.5, "features": {"a": 1}}


def test_feeding_waits_for_each_event() -> None:
    now = [100.0]
    kept = Kept()
    places: dict[Stream, tuple[str, Mapping]] = {
        "predictions": ("p", Mapping.parse({"request_id": "$.id", "model": "=m"})),
        "labels": ("l", Mapping.parse()),
    }
    counted: Counter[str] = Counter()

    def sleep(wait_s: float) -> None:
        now[0] += wait_s

    feed(
        events(rows(2), "m", BOTH, Timing(label_delay_s=(5, 5))),
        kept,
        places,
        now_s=lambda: now[0],
        sleep=sleep,
        paced=True,
        sent=lambda stream: counted.update([stream]),
    )
    assert now[0] == 115.0
    assert counted == {"predictions": 2, "labels": 2}
    topic, value, key, time_ms = kept.sent[0]
    assert (topic, key, time_ms) == ("p", b"r-0", 1_000_000_000_000)
    assert value == {"id": "r-0", "timestamp": "2001-09-09T01:46:40Z", "features": {"a": 0}}
