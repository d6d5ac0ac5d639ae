"""A chunk read in one compiled pass and record by record: what both say, held against each other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from typing import Any

import numpy as np

from monitor.core.batch import (
    LabelBatch,
    PredictionBatch,
    Reading,
    label_batch,
    prediction_batch,
    read_labels,
    read_predictions,
)
from monitor.core.counters import DEFAULT_TIERS
from monitor.core.decode import Limits, RawRecord, by_model, decode_chunk
from monitor.core.drift.layout import FeatureLayout
from monitor.core.feature_cells import feature_cells
from monitor.core.mapping import Mapping
from monitor.core.plan import ModelPlan
from monitor.core.schema import Feature, FeatureSchema
from monitor.core.slices import SliceAssigner, VersionSlice, parse_slice
from monitor.core.stubs import ModelIdentity
from monitor.core.tasks import Binary, Multiclass, Regression, Task
from monitor.core.typed_reader import ChunkReader, Read
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


def same_predictions(
    values: Sequence[bytes], mapping: Mapping, known: MappingABC[str, ModelPlan], limits: Limits | None = None
) -> Read:
    """Assert that both ways read the same predictions; the answer of the compiled one."""
    limits = limits or Limits()
    log = [LogRecord(value, number, NOW_MS) for number, value in enumerate(values)]
    raw = [RawRecord(value, number, NOW_MS) for number, value in enumerate(values)]
    rows, rejected = decode_chunk(raw, mapping, known, limits)
    fast = ChunkReader("predictions", mapping, known, limits).read(log)
    assert fast.rejected == rejected
    assert [one.value for one in rejected] == [values[one.offset] for one in rejected]
    assert fast.probes == Counter(row.model for row in rows if row.probe)
    groups = by_model(rows)
    assert {found.model for found in fast.readable} == set(groups)
    for found in fast.readable:
        plan = known[found.model]
        one = prediction_batch(found, mapping, plan.reading)
        two = read_predictions(groups[found.model], mapping, plan.reading, found.model)
        _same_columns(
            one, two, ("offsets", "times_ms", "own_time", "clamped", "keys", "request_ids", "scores")
        )
        assert shown(one.versions) == shown(two.versions)
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
    return fast


def same_labels(values: Sequence[bytes], mapping: Mapping, known: MappingABC[str, ModelPlan]) -> Read:
    """Assert that both ways read the same labels; the answer of the compiled one."""
    log = [LogRecord(value, number, NOW_MS) for number, value in enumerate(values)]
    raw = [RawRecord(value, number, NOW_MS) for number, value in enumerate(values)]
    rows, rejected = decode_chunk(raw, mapping, known, Limits())
    fast = ChunkReader("labels", mapping, known, Limits()).read(log)
    assert fast.rejected == rejected
    assert [one.value for one in rejected] == [values[one.offset] for one in rejected]
    groups = by_model(rows)
    assert {found.model for found in fast.readable} == set(groups)
    for found in fast.readable:
        plan = known[found.model]
        one, refused = label_batch(found, mapping, plan.reading)
        two, law = read_labels(groups[found.model], mapping, plan.reading, found.model)
        assert refused == law
        assert [one.value for one in refused] == [values[one.offset] for one in refused]
        _same_columns(one, two, ("offsets", "times_ms", "keys", "request_ids", "values"))
    return fast


def _same_columns(
    one: PredictionBatch | LabelBatch, two: PredictionBatch | LabelBatch, names: Sequence[str]
) -> None:
    for name in names:
        assert shown(getattr(one, name)) == shown(getattr(two, name)), name
