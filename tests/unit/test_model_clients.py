"""Endpoints, request bodies, responses, breakers and functions: what needs no network."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.probes.answers import Answer
from monitor.core.probes.endpoint import Endpoint, Failure, is_refusal
from monitor.core.schema.inference import infer
from monitor.edges.memory import ManualClock, MemoryModelClient
from monitor.edges.model import Breaker, Pace, call_client
from monitor.edges.model.breaker import Circuit
from monitor.edges.model.reading import Reading, read
from monitor.edges.model.shapes import shape_of

URL = "http://localhost:8000/predict"


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "file:///etc/passwd", "http://", "http://a b/", "http://me:pw@host/", "ftp://x/"],
)
def test_an_address_is_http(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Endpoint(url)


def test_a_token_is_not_shown_and_fits_in_a_header() -> None:
    assert "hidden" not in repr(Endpoint(URL, token="hidden"))
    with pytest.raises(ValueError, match="header"):
        Endpoint(URL, token="a\r\nX: y")


@pytest.mark.parametrize("name", ["timeout_s", "rows_max", "response_bytes_max", "failures_max", "wait_s"])
def test_limits_are_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Endpoint(URL, **{name: 0})  # type: ignore[arg-type]


def test_a_schema_gives_columns_and_datatypes() -> None:
    sample: dict[str, Any] = {"n": [1.5, 2.5], "i": [1, 2], "b": [True, False], "c": ["x", "y"]}
    schema = infer({name: values * 50 for name, values in sample.items()})
    endpoint = Endpoint(URL, datatypes={"n": "FP32"}).for_schema(schema)
    assert endpoint.columns == ("n", "i", "b", "c")
    assert endpoint.datatypes == {"n": "FP32", "i": "INT64", "b": "BOOL", "c": "BYTES"}


TWO: list[dict[str, Any]] = [{"a": 1, "b": "x"}, {"a": 2.5}]


@pytest.mark.parametrize(
    ("endpoint", "bodies"),
    [
        (Endpoint(URL), ['{"instances":[{"a":1,"b":"x"},{"a":2.5}]}']),
        (Endpoint(URL, template="$rows"), ['[{"a":1,"b":"x"},{"a":2.5}]']),
        (Endpoint(URL, template="$row"), ['{"a":1,"b":"x"}', '{"a":2.5}']),
        (Endpoint(URL, template={"x": "$vector"}, columns=("a", "b")), ['{"x":[1,"x"]}', '{"x":[2.5,null]}']),
        (Endpoint(URL, template={"p": ["$rows"], "v": 1}), ['{"p":[[{"a":1,"b":"x"},{"a":2.5}]],"v":1}']),
        (Endpoint(URL, "tensorflow", columns=("a", "b")), ['{"instances":[[1,"x"],[2.5,null]]}']),
        (
            Endpoint(URL, "tensorflow", {"signature_name": "s", "instances": "$boxed"}),
            ['{"signature_name":"s","instances":[{"a":[1],"b":["x"]},{"a":[2.5]}]}'],
        ),
        (
            Endpoint(URL, "mlflow"),
            ['{"dataframe_split":{"columns":["a","b"],"data":[[1,"x"],[2.5,null]]}}'],
        ),
        (
            Endpoint(URL, "kserve"),
            [
                '{"inputs":[{"name":"a","shape":[1,1],"datatype":"INT64","data":[1]},'
                '{"name":"b","shape":[1,1],"datatype":"BYTES","data":["x"]}]}',
                '{"inputs":[{"name":"a","shape":[1,1],"datatype":"FP64","data":[2.5]}]}',
            ],
        ),
        (
            Endpoint(URL, "kserve", tensor="in"),
            [
                '{"inputs":[{"name":"in","shape":[1,2],"datatype":"BYTES","data":["1","x"]}]}',
                '{"inputs":[{"name":"in","shape":[1,1],"datatype":"FP64","data":[2.5]}]}',
            ],
        ),
    ],
)
def test_bodies(endpoint: Endpoint, bodies: list[str]) -> None:
    shape = shape_of(endpoint)
    sent = [shape.body([TWO[place] for place in group]).decode() for group in shape.groups(TWO)]
    assert sent == bodies


def test_a_declared_datatype_holds_what_fits_and_nothing_else() -> None:
    endpoint = Endpoint(URL, "kserve", datatypes={"a": "FP32"})
    rows: list[dict[str, Any]] = [{"a": 1}, {"a": 2.5}, {"a": None}, {"a": "3"}, {"a": True}]
    assert shape_of(endpoint).groups(rows) == [[0, 1, 2], [3], [4]]


@pytest.mark.parametrize(
    ("document", "count", "reading", "found"),
    [
        ([0.1, 0.2], 2, Reading(), [(0.1, None), (0.2, None)]),
        ([0.1, 0.9], 1, Reading(), [(0.9, None)]),
        ({"predictions": [[0.3], [0.4]]}, 2, Reading(), [(0.3, None), (0.4, None)]),
        ({"predictions": [0.2, 0.8]}, 1, Reading(), [(0.8, None)]),
        ({"probabilities": [[0.1, 0.2, 0.7]]}, 1, Reading("$.probabilities[*][2]"), [(0.7, None)]),
        ({"score": 0.8, "decision": True}, 1, Reading(), [(0.8, 1)]),
        ({"probability": 0.8}, 1, Reading(), [(0.8, None)]),
        (
            [{"probabilities": {"no": 0.4, "yes": 0.6}}],
            1,
            Reading(positive_class="yes"),
            [(0.6, None)],
        ),
        (["yes", "no"], 2, Reading(positive_class="yes"), [(1.0, 1), (0.0, 0)]),
        ([True, False], 2, Reading(), [(1.0, 1), (0.0, 0)]),
        (["0.5", "7"], 2, Reading(), [(0.5, 0), (7.0, 0)]),
        ({"a": {"p": [0.1], "d": ["hi"]}}, 1, Reading("$.a.p[*]", "$.a.d[*]", "hi"), [(0.1, 1)]),
        ({"a": 0.3, "d": 2}, 1, Reading("$.a", "$.d"), [(0.3, 2)]),
        ({"r": [{"s": 0.1, "d": 1.0}]}, 1, Reading("$.r[*].s", "$.r[*].d"), [(0.1, 1)]),
    ],
)
def test_scores_are_found(
    document: Any, count: int, reading: Reading, found: list[tuple[float, int]]
) -> None:
    answers = read(document, count, reading)
    assert not isinstance(answers, Failure)
    assert [(answer.score, answer.decision) for answer in answers] == found


@pytest.mark.parametrize(
    ("document", "count", "reading", "failure"),
    [
        ([0.1], 2, Reading(), Failure.ROW_COUNT),
        ({"predictions": []}, 1, Reading(), Failure.ROW_COUNT),
        ({"predictions": [[0.1], [0.2]]}, 1, Reading(), Failure.ROW_COUNT),
        ({"predictions": [0.1]}, 1, Reading(score="$.scores[*]"), Failure.ROW_COUNT),
        ({"error": "x"}, 2, Reading(), Failure.NO_SCORE),
        ([0.1], 1, Reading("$", "$.d[*]"), Failure.ROW_COUNT),
    ],
)
def test_what_cannot_be_matched_to_rows(
    document: Any, count: int, reading: Reading, failure: Failure
) -> None:
    assert read(document, count, reading) == failure


@pytest.mark.parametrize(
    ("item", "failure"),
    [
        (None, Failure.NOT_A_NUMBER),
        (float("nan"), Failure.NOT_A_NUMBER),
        (10**400, Failure.NOT_A_NUMBER),
        ("nan", Failure.NOT_A_NUMBER),
        ("hello", Failure.NO_SCORE),
        ([0.1, 0.2, 0.7], Failure.NO_SCORE),
        ({}, Failure.NO_SCORE),
        ([[[[[[[[[[0.5]]]]]]]]]], Failure.NO_SCORE),
    ],
)
def test_an_item_without_a_score(item: Any, failure: Failure) -> None:
    assert read([item, 0.5], 2, Reading()) == [Answer(error=failure), Answer(score=0.5)]


def test_lists_in_a_tensor_are_one_a_row() -> None:
    shape = shape_of(Endpoint(URL, "kserve"))
    answer = {"outputs": [{"data": [[0.2, 0.8], [0.9, 0.1]]}]}
    assert shape.answers(answer, 2) == [Answer(score=0.8), Answer(score=0.1)]
    assert shape.answers(answer, 1) == Failure.ROW_COUNT


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(json_values | st.fixed_dictionaries({"predictions": json_values}), st.integers(1, 3))
def test_any_document_is_answers_or_a_failure(document: Any, count: int) -> None:
    for reading in (Reading(), Reading("$[*]"), Reading("$.predictions", "$.predictions[*]", "yes")):
        found = read(document, count, reading)
        assert isinstance(found, Failure) or len(found) == count
    kserve = shape_of(Endpoint(URL, "kserve")).answers({"outputs": document}, count)
    assert isinstance(kserve, Failure) or len(kserve) == count


def test_a_breaker_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(3, 10, 25)
    for well in (False, False, True, False, False):
        assert breaker.admit(0)
        breaker.settle(well, 0)
    assert breaker.state(0) is Circuit.CLOSED
    breaker.settle(False, 0)
    assert [breaker.state(now) for now in (0, 9.9, 10)] == [Circuit.OPEN, Circuit.OPEN, Circuit.HALF_OPEN]
    assert not breaker.admit(5)


def test_a_half_open_breaker_lets_one_through_and_waits_longer_each_time() -> None:
    breaker = Breaker(1, 10, 25)
    breaker.settle(False, 0)
    assert (breaker.admit(10), breaker.admit(10), breaker.state(10)) == (True, False, Circuit.OPEN)
    breaker.settle(False, 10)
    assert (breaker.admit(29), breaker.admit(30)) == (False, True)
    breaker.settle(False, 30)
    assert (breaker.admit(54), breaker.admit(55)) == (False, True)  # the most
    breaker.settle(True, 55)
    assert breaker.state(55) is Circuit.CLOSED
    breaker.settle(False, 60)
    assert breaker.state(70) is Circuit.HALF_OPEN
    assert breaker.opened == 2


async def test_a_pace_is_kept_over_calls() -> None:
    clock = ManualClock()
    pace = Pace(50, clock)
    sent_s = []
    for rows in (100, 10, 1):
        await pace(rows)
        sent_s.append(clock.monotonic_s())
    assert sent_s == pytest.approx([0.0, 2.0, 2.2])
    clock.advance(10)
    await pace(1)
    assert clock.monotonic_s() == pytest.approx(12.2)  # nothing is owed, and nothing was saved up


async def test_a_function_is_asked_as_it_likes() -> None:
    def model(rows: list[dict[str, Any]]) -> Any:
        return np.array([[1 - row["x"], row["x"]] for row in rows])

    client = call_client(model)
    found = await client.ask([{"x": 0.25}, {"x": "a"}, {"x": 0.5}])
    await client.close()
    assert [(answer.score, answer.error) for answer in found] == [
        (0.25, None),
        (None, "refused"),
        (0.5, None),
    ]


async def test_a_function_that_hangs_times_out() -> None:
    told = threading.Event()

    def model(rows: list[dict[str, Any]]) -> Sequence[float]:
        told.wait()
        return [1.0] * len(rows)

    client = call_client(model, timeout_s=0.05)
    try:
        assert await client.ask([{"x": 1}]) == [Answer(error=Failure.TIMEOUT)]
    finally:
        told.set()  # or the thread would outlive the tests
        await client.close()


async def test_a_function_that_always_fails_opens_the_breaker() -> None:
    def model(rows: list[dict[str, Any]]) -> Sequence[float]:
        raise RuntimeError

    client = call_client(model)
    words = [(await client.ask([{"x": 1}]))[0].error for _ in range(7)]
    await client.close()
    assert words == ["refused"] * 5 + ["circuit open"] * 2


async def test_the_model_in_memory_keeps_what_it_was_asked() -> None:
    client = MemoryModelClient(lambda row: row["x"] if row["x"] < 1 else Answer(error="http 400"))
    found = await client.ask([{"x": 0.5}, {"x": 2}])
    await client.close()
    assert [answer.score for answer in found] == [0.5, None]
    assert (client.asked, client.calls, client.closed) == ([{"x": 0.5}, {"x": 2}], 1, True)


@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_statuses_about_rows(status: int) -> None:
    assert is_refusal(f"http {status}")


@pytest.mark.parametrize("error", ["http 401", "http 404", "http 429", "http 502", "timeout", "redirect"])
def test_statuses_about_the_endpoint(error: str) -> None:
    assert not is_refusal(error)
