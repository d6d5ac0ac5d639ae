"""Read in one compiled pass or record by record, a chunk says the same: rows, values, rejects, violations."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.batch import Reading, label_batch, prediction_batch, read_labels, read_predictions
from monitor.core.counters import DEFAULT_TIERS
from monitor.core.decode import Limits, RawRecord, by_model, decode_chunk
from monitor.core.drift.layout import FeatureLayout
from monitor.core.feature_cells import feature_cells
from monitor.core.join import ModelIdentity
from monitor.core.mapping import Mapping
from monitor.core.plan import ModelPlan
from monitor.core.schema import Feature, FeatureSchema
from monitor.core.slices import SliceAssigner, VersionSlice, parse_slice
from monitor.core.tasks import Binary, Multiclass, Regression, Task
from monitor.core.typed_reader import ChunkReader
from tests.support.topology import LogRecord

NOW_MS = 1_700_000_100_000
GOOD = {"age": 39, "income": 1.5, "sex": "Female", "owner": True, "city": "Bern", "code": "A1"}
DECLARED = {
    "age": Feature(type="integer", minimum=0, maximum=120),
    "income": Feature(type="number", nullable=True),
    "sex": Feature(type="category", categories=("Female", "Male")),
    "owner": Feature(type="boolean", required=False),
    "city": Feature(type="string", max_length=8, required=False),
    "code": Feature(type="string", pattern="[A-Z][0-9]"),
}
SLICES = ["sex", {"feature": "age", "bins": [25, 40]}, "income", ["sex", "owner"], "extra"]
WHERE = {"name": "known", "where": {"age": {"ge": 30}, "city": {"ne": "Bern"}, "income": {"in": [1, 2.5]}}}
MAPPINGS: tuple[dict[str, str], ...] = (
    {},
    {"request_id": "$.meta.id", "model": "=one", "features": "$.payload.inputs", "model_version": "=7"},
    {"features": "$", "score": "$.out.p"},
    {"request_id": "$.rows[0]"},
)


def plans(unexpected: Any) -> dict[str, ModelPlan]:
    schema = FeatureSchema(unexpected=unexpected, features=DECLARED)
    tasks: dict[str, Task] = {"one": Binary(), "two": Multiclass(("a", "b", "c")).numbered([0, 1, 2])}
    tasks["three"] = Regression.in_units_of(1.0)
    return {
        name: ModelPlan(
            name,
            Reading(task, ModelIdentity()),
            None if name == "three" else schema.compiled,
            SliceAssigner([*map(parse_slice, [*SLICES, WHERE]), VersionSlice()]),
            DEFAULT_TIERS,
            layout=FeatureLayout.of(schema),
        )
        for name, task in tasks.items()
    }


PLANS = {unexpected: plans(unexpected) for unexpected in ("violate", "tolerate")}
HOSTILE = st.sampled_from(
    [
        "null", "true", "1e400", "-0.0", "30.0", "30.5", "1e15", "999999999999999", "9007199254740993", "2.5",
        "18446744073709551616", "1" * 400, '"Male"', '"Other"', '"A1"', '"\\ud800"', '"\\u00e9"', "[1]", "{}",
        '{"a":0.5,"b":0.5,"c":0}', "[0.2,0.3,0.5]", '{"low":1,"high":2}', '"2023-11-14T22:13:20Z"',
        '"yesterday"',
        '"2023-02-30T00:00:00Z"', "1700000000", "1700000000.5", '"monitor-probe-1"', "NaN", "0.5", "1", "01",
        '"' + "x" * 600 + '"', "[" * 40 + "]" * 40, '"one"', '"two"', '"three"', '"four"',
        '"b"', '"2023-11-14"',
    ]
)  # fmt: skip
PATHS = [
    "request_id", "model", "timestamp", "model_version", "score", "probabilities", "value", "interval",
    "decision",
    "label", "probe", "surplus", *(f"features.{name}" for name in (*GOOD, "extra")), "features",
]  # fmt: skip
CHANGES = st.dictionaries(st.sampled_from(PATHS), HOSTILE | st.just(""), max_size=3)
MUTATIONS = st.none() | st.tuples(st.integers(0, 400), st.sampled_from(b'"{}[]:,0e-\\\x00\x80\xc3'))


def written(name: str, changes: dict[str, str], at: tuple[int, int] | None, number: int) -> bytes:
    """A record as JSON text, some of its values replaced or left out, perhaps a byte too."""
    features = {key: json.dumps(value) for key, value in GOOD.items()}
    body = {
        "request_id": f'"r-{number}"',
        "model": f'"{name}"',
        "timestamp": "1700000000123",
        "score": "0.75",
    }
    for path, value in changes.items():
        holder = features if path.startswith("features.") else body
        holder[path.removeprefix("features.")] = value
    body.setdefault("features", "{" + ",".join(f'"{k}":{v}' for k, v in features.items() if v) + "}")
    text = bytearray(("{" + ",".join(f'"{k}":{v}' for k, v in body.items() if v) + "}").encode())
    if at is not None:
        text[at[0] % len(text)] = at[1]
    return bytes(text)


def shown(columns: Any) -> Any:
    """Arrays and columns in a form that can be compared, NaN equal to itself."""
    return json.dumps([str(value) for value in columns])


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
    mapping = Mapping.parse(paths)
    known = dict(list(PLANS[unexpected].items())[:models])
    values = [written(*record, number) for number, record in enumerate(records)]
    log = [LogRecord(value, number, NOW_MS) for number, value in enumerate(values)]
    raw = [RawRecord(value, number, NOW_MS) for number, value in enumerate(values)]
    rows, rejected = decode_chunk(raw, mapping, known, Limits())
    fast = ChunkReader("predictions", mapping, known, Limits()).read(log)
    assert fast.rejected == rejected
    assert fast.probes == Counter(row.model for row in rows if row.probe)
    groups = by_model(rows)
    assert {found.model for found in fast.readable} == set(groups)
    for found in fast.readable:
        plan = known[found.model]
        one = prediction_batch(found, mapping, plan.reading)
        two = read_predictions(groups[found.model], mapping, plan.reading, found.model)
        for name in (
            "offsets",
            "times_ms",
            "own_time",
            "clamped",
            "keys",
            "request_ids",
            "scores",
            "versions",
        ):
            assert shown(getattr(one, name)) == shown(getattr(two, name)), name
        assert shown(one.answers.numbers) == shown(two.answers.numbers)
        assert one.answers.decisions.tolist() == two.answers.decisions.tolist()
        assert (one.answers.extras or []) == (two.answers.extras or [])
        assert one.faults == two.faults
        assert [str(row) for row in one.features] == [str(row) for row in two.features]
        tokens = [plan.slices.tokens(batch.features, batch.versions) for batch in (one, two)]
        assert [list(column) for column in tokens[0]] == [list(column) for column in tokens[1]]
        if plan.schema is not None and plan.layout is not None:
            account = plan.schema.check_chunk(one.features, one.unjudged.tolist())
            law = plan.schema.check_chunk(list(two.features))
            assert [c.tolist() for c in (account.row, account.feature, account.code)] == [
                c.tolist() for c in (law.row, law.feature, law.code)
            ]
            soft, soft_law = plan.schema.soft_chunk(one.features), plan.schema.soft_chunk(list(two.features))
            assert soft.row.tolist() == soft_law.row.tolist()
            broken: dict[str, dict[int, int]] = {}
            for row, feature, code in zip(
                *(c.tolist() for c in (law.row, law.feature, law.code)), strict=True
            ):
                if feature >= 0:
                    broken.setdefault(plan.schema.names[feature], {}).setdefault(row, code)
            cells = [feature_cells(plan.layout, 1, b.features, b.scores, broken) for b in (one, two)]
            assert np.array_equal(cells[0].cells, cells[1].cells)
            assert np.array_equal(cells[0].scale, cells[1].scale)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), CHANGES, MUTATIONS), max_size=6))
def test_labels_too(records: list[tuple[str, dict[str, str], tuple[int, int] | None]]) -> None:
    mapping, known = Mapping.parse(), PLANS["violate"]
    values = [
        written(name, {"label": "1", **changes}, at, n) for n, (name, changes, at) in enumerate(records)
    ]
    log = [LogRecord(value, number, NOW_MS) for number, value in enumerate(values)]
    raw = [RawRecord(value, number, NOW_MS) for number, value in enumerate(values)]
    rows, rejected = decode_chunk(raw, mapping, known, Limits())
    fast = ChunkReader("labels", mapping, known, Limits()).read(log)
    assert fast.rejected == rejected
    for found in fast.readable:
        plan = known[found.model]
        one, refused = label_batch(found, mapping, plan.reading)
        two, law = read_labels(by_model(rows)[found.model], mapping, plan.reading, found.model)
        assert refused == law
        for name in ("offsets", "times_ms", "keys", "request_ids", "values"):
            assert shown(getattr(one, name)) == shown(getattr(two, name)), name


def test_the_compiled_pass_does_read() -> None:
    """Right records do not go the long way round."""
    reader = ChunkReader("predictions", Mapping.parse(), {"one": PLANS["violate"]["one"]}, Limits())
    read = reader.read([LogRecord(written("one", {}, None, n), n, NOW_MS) for n in range(3)])
    (found,) = read.readable
    assert len(found) == 3
    assert not len(found.unjudged)
    assert set(found.features) >= set(GOOD)


@pytest.mark.parametrize("extra", [b'"x":"\xff"', b'"x":1e400', b'"x":' + b"[" * 40 + b"]" * 40])
def test_what_is_skipped_is_judged(extra: bytes) -> None:
    """A decoder that skips a field does not look into it; the answer is the same all the same."""
    value = written("one", {}, None, 0)[:-1] + b"," + extra + b"}"
    known = {"one": PLANS["violate"]["one"]}
    rows, rejected = decode_chunk([RawRecord(value, 0, NOW_MS)], Mapping.parse(), known, Limits())
    fast = ChunkReader("predictions", Mapping.parse(), known, Limits()).read([LogRecord(value, 0, NOW_MS)])
    assert fast.rejected == rejected
    assert len(fast.readable) == len(rows)
