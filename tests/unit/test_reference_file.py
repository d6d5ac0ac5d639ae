"""A reference file of any task counts its answers, not only those of classes with a score."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.cli.check import column_problems
from monitor.config import Settings
from monitor.core.counters import ALL_SLICE, Scalar
from monitor.core.evaluation import ReferenceCounts
from monitor.core.slices.spec import slice_key
from monitor.core.tasks import Binary
from monitor.edges.clock import SystemClock
from monitor.edges.files import read_rows
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.edges.prepare import Preparer
from monitor.edges.reader import MetricsReader
from monitor.edges.reference import as_record, count_reference, window_reference
from monitor.wiring import model_plan
from tests.unit.test_tasks import MODEL, START_S, label, record
from tests.unit.test_tasks import counted as counted_live


def settings_of(model: dict[str, Any]) -> Settings:
    kafka = {"bootstrap_servers": "localhost:9092", "predictions": {"topics": ["p"]}}
    redis = {"url": "redis://localhost:6379/0"}
    return Settings.parse({"kafka": kafka, "redis": redis, "models": {"m": model}}, env={})


def counted(folder: Path, model: dict[str, Any], text: str) -> ReferenceCounts:
    (folder / "rows.csv").write_text(text)
    settings = settings_of({**model, "slices": ["sex"]})
    found = settings.models["m"]

    async def answered(call: Callable[[], Awaitable[Any]]) -> Any:
        return await call()

    async def count() -> ReferenceCounts:
        store = MemoryStore(1, {"m": 60}, SystemClock())
        records = [as_record(row, found.reference_columns) for row in read_rows(folder / "rows.csv")]
        assert [set(record["features"]) for record in records] == [{"sex", "age"}] * len(records)
        return await count_reference(model_plan("m", found, settings), Preparer(store, answered), records)

    return asyncio.run(count())


@pytest.mark.parametrize("column", ["value", "limit"])
def test_numbers_and_their_intervals(tmp_path: Path, column: str) -> None:
    named = {"interval_high": "p90"} | ({"value": column} if column != "value" else {})
    model = {"task": "regression", "reference": {"file": str(tmp_path / "rows.csv"), "columns": named}}
    text = f"sex,age,{column},interval_low,p90,label\nF,30,1200,900,1500,1100\nM,40,24000,20000,25000,26000\n"
    found = counted(tmp_path, model, text)
    assert found.values
    assert found.values[ALL_SLICE].sum() > 0
    assert found.scalars[ALL_SLICE][Scalar.LABELLED] == 2


def test_a_value_is_a_feature_where_the_task_has_no_such_answer(tmp_path: Path) -> None:
    model = {"reference": {"file": str(tmp_path / "rows.csv"), "columns": {"score": "p"}}}
    found = counted(tmp_path, model, "sex,age,p,label\nF,30,0.2,0\nM,40,0.9,1\n")
    assert found.scalars[ALL_SLICE][Scalar.SCORED] == 2
    columns = settings_of(model).models["m"].reference_columns
    assert as_record({"value": 3, "p": 0.2}, columns) == {"score": 0.2, "features": {"value": 3}}


def test_a_stretch_of_traffic_is_a_reference_once_it_is_counted() -> None:
    store = MemoryStore(2, {MODEL: 60}, ManualClock(START_S * 1000))
    stretch = (START_S * 1000, (START_S + 60) * 1000)
    assert window_reference(MetricsReader(store.reader()), MODEL, {}, *stretch) == ReferenceCounts()
    answers = [record(i, score=0.25) for i in range(10)]
    store = counted_live(Binary(), answers, [label(i, i % 2) for i in range(10)])
    reader = store.reader()
    ids = reader.registry(MODEL, "slices")
    found = window_reference(MetricsReader(reader), MODEL, ids, *stretch)
    assert found.scalars[ALL_SLICE][Scalar.LABELLED] == 10
    assert found.scalars[ids[slice_key({"sex": "Male"})]][Scalar.REQUESTS] == 4
    early = window_reference(MetricsReader(reader), MODEL, {}, *stretch)  # others registered slices since
    assert early.scalars.keys() == {ALL_SLICE}
    assert early.scalars[ALL_SLICE].tolist() == found.scalars[ALL_SLICE].tolist()
    empty = window_reference(MetricsReader(reader), MODEL, ids, 0, 1000)
    assert empty.scalars.get(ALL_SLICE, np.zeros(1)).sum() == 0


def test_check_misses_columns_that_the_file_lacks(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("age,p,repaid\n30,0.5,1\n")
    columns = {"score": "p", "label": "foo"}
    settings = settings_of({"reference": {"file": str(file), "columns": columns}})
    assert column_problems(settings) == [
        f"models.m.reference.columns.label: no column 'foo' in {file}; known here: age, p, repaid"
    ]
    sound = settings_of({"reference": {"file": str(file), "columns": columns | {"label": "repaid"}}})
    assert column_problems(sound) == []
    # What the task alone looks for need not be there.
    assert column_problems(settings_of({"task": "regression", "reference": {"file": str(file)}})) == []
