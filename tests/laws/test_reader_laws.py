"""Read in one compiled pass or record by record, a chunk says the same: rows, values, rejects, violations."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.decode import Limits
from monitor.core.mapping import Mapping
from monitor.core.typed_reader import ChunkReader
from tests.support.topology import LogRecord
from tests.support.two_ways import GOOD, MAPPINGS, NOW_MS, PLANS, same_labels, same_predictions, written

HOSTILE = st.sampled_from(
    [
        "null", "true", "1e400", "-0.0", "30.0", "30.5", "1e15", "999999999999999", "9007199254740993", "2.5",
        "18446744073709551616", "1" * 400, '"Male"', '"Other"', '"A1"', '"\\ud800"', '"\\u00e9"', "[1]", "{}",
        '{"a":0.5,"b":0.5,"c":0}', "[0.2,0.3,0.5]", '{"low":1,"high":2}', '"2023-11-14T22:13:20Z"',
        '"yesterday"',
        '"2023-02-30T00:00:00Z"', "1700000000", "1700000000.5", '"monitor-probe-1"', "NaN", "0.5", "1", "01",
        '"' + "x" * 600 + '"', "[" * 40 + "]" * 40, "[" + "[]," * 60 + "[]]", '"one"', '"two"',
        '"three"', '"four"', '"b"', '"2023-11-14"',
    ]
)  # fmt: skip
PATHS = [
    "request_id", "model", "timestamp", "model_version", "score", "probabilities", "value", "interval",
    "decision",
    "label", "probe", "surplus", *(f"features.{name}" for name in (*GOOD, "extra")), "features",
]  # fmt: skip
CHANGES = st.dictionaries(st.sampled_from(PATHS), HOSTILE | st.just(""), max_size=3)
MUTATIONS = st.none() | st.tuples(st.integers(0, 400), st.sampled_from(b'"{}[]:,0e-\\\x00\x80\xc3'))


@settings(max_examples=400)
@given(
    st.sampled_from(["violate", "tolerate"]),
    st.sampled_from(MAPPINGS),
    st.lists(st.tuples(st.sampled_from(["one", "one", "two", "three"]), CHANGES, MUTATIONS), max_size=6),
    st.integers(1, 3),
)
def test_both_ways_read_the_same(
    unexpected: str,
    paths: dict[str, str],
    records: list[tuple[str, dict[str, str], tuple[int, int] | None]],
    models: int,
) -> None:
    known = dict(list(PLANS[unexpected].items())[:models])
    same_predictions([written(*record, n) for n, record in enumerate(records)], Mapping.parse(paths), known)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), CHANGES, MUTATIONS), max_size=6))
def test_labels_too(records: list[tuple[str, dict[str, str], tuple[int, int] | None]]) -> None:
    values = [
        written(name, {"label": "1", **changes}, at, n) for n, (name, changes, at) in enumerate(records)
    ]
    same_labels(values, Mapping.parse(), PLANS["violate"])


def test_the_compiled_pass_does_read() -> None:
    """Right records do not go the long way round."""
    reader = ChunkReader("predictions", Mapping.parse(), {"one": PLANS["violate"]["one"]}, Limits())
    read = reader.read([LogRecord(written("one", {}, None, n), n, NOW_MS) for n in range(3)])
    (found,) = read.readable
    assert len(found) == 3
    assert not len(found.unjudged)
    assert set(found.features) >= set(GOOD)


def test_many_brackets_that_are_not_deep_do_not_go_the_long_way_round() -> None:
    reader = ChunkReader("predictions", Mapping.parse(), {"one": PLANS["tolerate"]["one"]}, Limits())
    junk = "[" + "[]," * 60 + '"[[\\"",{}]'
    (found,) = reader.read(
        [LogRecord(written("one", {"surplus": junk}, None, n), n, NOW_MS) for n in range(3)]
    ).readable
    assert len(found) == 3
    assert not len(found.unjudged)


@pytest.mark.parametrize("extra", [b'"x":"\xff"', b'"x":1e400', b'"x":' + b"[" * 40 + b"]" * 40])
def test_what_is_skipped_is_judged(extra: bytes) -> None:
    """A decoder that skips a field does not look into it; the answer is the same all the same."""
    value = written("one", {}, None, 0)[:-1] + b"," + extra + b"}"
    known = {"one": PLANS["violate"]["one"]}
    same_predictions([value], Mapping.parse(), known)
