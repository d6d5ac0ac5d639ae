"""The labelled reference period of a model, counted into its slices like live traffic."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from monitor.config.problems import nearest
from monitor.core.batch import read_predictions
from monitor.core.contributions import (
    Cells,
    Wide,
)
from monitor.core.counters import (
    ALL_SLICE,
    CALIBRATION,
    CLASS_PARTS,
    CLASSES,
    SCORES,
    VALUES,
    Counts,
    Scalar,
)
from monitor.core.decode import OLDEST_MS, Row
from monitor.core.drift.layout import SCALE_CELLS
from monitor.core.errors import QueryError
from monitor.core.evaluation import ReferenceCounts
from monitor.core.feature_cells import sum_cells
from monitor.core.guess import STRUCTURED
from monitor.core.mapping import Mapping as FieldMapping
from monitor.core.plan import ModelPlan
from monitor.core.slices.assign import OUTSIDE, Token
from monitor.core.slices.spec import slice_key
from monitor.core.tasks import Regression
from monitor.core.tasks.moments import CELLS
from monitor.core.tasks.multiclass import CLASSES_MAX
from monitor.edges.files import read_rows
from monitor.edges.prepare import Preparer
from monitor.edges.reader import MetricsReader

log = logging.getLogger(__name__)

_HEAD_ROWS: Final = 20_000
"""Rows of a file in which a column must show, where rows name their own."""

_FIELDS = ("request_id", "timestamp", "model", "model_version", "score", "decision", "label")


def as_record(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """A row of a table as a record in plain form: what is not one of our fields is a feature.

    >>> as_record({"age": 39, "p": 0.2, "label": 1}, {"score": "p"})
    {'score': 0.2, 'label': 1, 'features': {'age': 39}}
    >>> as_record({"age": 39, "value": 1200.0}, {"value": "value"})
    {'value': 1200.0, 'features': {'age': 39}}
    >>> as_record({"probs": "[0.2, 0.8]"}, {"probabilities": "probs"})
    {'probabilities': [0.2, 0.8], 'features': {}}

    Args:
        row: column → value; a row that has `features` is in plain form already.
        columns: our field → the table's column, where it is named otherwise or belongs to some tasks only.
    """
    if isinstance(row.get("features"), dict):
        return dict(row)
    taken = set(columns.values())  # a column that is named for one field is no other
    named = {field: field for field in _FIELDS if field not in taken} | dict(columns)
    record = {field: row[column] for field, column in named.items() if row.get(column) is not None}
    for field in STRUCTURED & record.keys():
        record[field] = structured(record[field])
        if record[field] is None:
            del record[field]
    taken |= set(named.values())
    record["features"] = {column: value for column, value in row.items() if column not in taken}
    return record


def structured(value: Any) -> list[Any] | dict[str, Any] | None:
    """A list or an object, as such or as the JSON that it is in a CSV file; None for anything else."""
    if isinstance(value, str) and value.lstrip()[:1] in {"[", "{"}:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, list | dict) else None


def misnamed_columns(file: Path, columns: Mapping[str, str]) -> list[str]:
    """Why a file cannot have the columns that a person named, one sentence a column.

    Args:
        file: CSV, Parquet or JSONL.
        columns: our field → the file's column.

    Raises:
        RowsError: the file cannot be read.
    """
    missing = dict(columns)
    header: dict[str, None] = {}
    for row in islice(read_rows(file), _HEAD_ROWS):
        if isinstance(row.get("features"), dict):
            return [
                f"{field}: rows of {file} have `features` and are read as they are; leave it out, "
                f"or name {column} {field} in the file"
                for field, column in columns.items()
                if field != column
            ]
        header |= dict.fromkeys(row)
        missing = {field: column for field, column in missing.items() if column not in row}
        if not missing:
            break
    if not header:
        return []
    return [
        f"{field}: no column {column!r} in {file}{nearest(column, list(header))}"
        for field, column in missing.items()
    ]


async def count_reference(
    plan: ModelPlan, preparer: Preparer, records: Iterable[Mapping[str, Any]]
) -> ReferenceCounts:
    """Counts of a reference.

    The reference also settles which values get a slice of their own where places are limited: the most
    frequent first.

    Args:
        plan: the model.
        preparer: gives slice ids.
        records: in plain form, with `label` where the outcome is known.
    """
    rows = [Row(i, OLDEST_MS, str(i), plan.name, dict(record), b"") for i, record in enumerate(records)]
    if not rows:
        return ReferenceCounts()
    plan = await preparer.numbered(plan)
    batch = read_predictions(rows, FieldMapping.parse(), plan.reading, plan.name, plan.masking)
    for index, column in enumerate(plan.slices.tokens(batch.features, batch.versions)):
        seen: Counter[Token] = Counter(token for token in column if token is not None)
        if seen:
            await preparer.admit(plan, index, [token for token, _ in seen.most_common()])
    members = await preparer.members(plan, batch)
    task = plan.reading.task
    given = [row.body.get("label") for row in rows]
    truth = [None if label is None else task.label(label) for label in given]
    known = np.array([at for at, label in enumerate(truth) if label is not None], np.int64)
    labels = np.array([label for label in truth if label is not None], np.float64)
    everyone = np.ones(len(rows), np.bool_)
    values = task.predicted(batch.answers, ~everyone, everyone)
    values[known] += task.labelled(batch.answers.take(known), labels)
    everything = np.concatenate([np.full((len(rows), 1), ALL_SLICE, np.int64), members], axis=1)
    wide = Wide(batch.times_ms, np.zeros(len(rows), np.int64), everything, values)
    labelled = Wide(wide.times_ms[known], wide.watermarks_ms[known], everything[known], values[known])
    counted = [
        *task.predicted_cells(wide, batch.answers),
        *task.labelled_cells(labelled, batch.answers.take(known), labels),
    ]
    at, columns = np.nonzero(everything != OUTSIDE)
    scalars = _by_slice(everything[at, columns], np.arange(len(Scalar))[None, :], values[at], len(Scalar))
    features = await preparer.cells(plan, batch, await preparer.violations(plan, batch))
    return ReferenceCounts(
        scalars,
        _of_cells([cells for kind, cells in counted if kind is SCORES], SCORES.size),
        _of_cells([cells for kind, cells in counted if kind is CALIBRATION], CALIBRATION.size),
        None if features is None else sum_cells(features.cells, features.layout.size),
        None if features is None else sum_cells(features.scale, SCALE_CELLS * len(features.layout.numeric)),
        _of_cells([cells for kind, cells in counted if kind is VALUES], CELLS),
        _of_cells([cells for kind, cells in counted if kind is CLASSES], CLASSES_MAX * CLASS_PARTS),
        task.unit if isinstance(task, Regression) else 1.0,
    )


def window_reference(
    metrics: MetricsReader, model: str, slice_ids: Mapping[str, int], from_ms: int | None, to_ms: int | None
) -> ReferenceCounts:
    """A stretch of live traffic as a reference; empty where nothing of it is counted yet.

    Args:
        metrics: of the store.
        model: the model's name.
        slice_ids: slice key → number, as registered.
        from_ms: begin of the stretch, epoch ms.
        to_ms: end of it.
    """
    try:
        found = metrics.counts(model, from_=from_ms, to=to_ms)
    except QueryError as error:
        log.warning("the reference of %s holds nothing, so the model is learning: %s", model, error)
        return ReferenceCounts()
    numbers = {**slice_ids, slice_key({}): ALL_SLICE}
    # One that another worker registered since is not among them.
    slices = {numbers[key]: counts for key, counts in found.items() if key in numbers}
    return ReferenceCounts(
        {i: counts.scalars for i, counts in slices.items()},
        {i: counts.scores for i, counts in slices.items() if counts.scores is not None},
        {i: counts.calibration for i, counts in slices.items() if counts.calibration is not None},
        values={i: counts.values for i, counts in slices.items() if counts.values is not None},
        classes={i: counts.classes for i, counts in slices.items() if counts.classes is not None},
        unit=slices[ALL_SLICE].unit if ALL_SLICE in slices else 1.0,
    )


def _of_cells(parts: Sequence[Cells], size: int) -> dict[int, Counts]:
    if not parts:
        return {}
    parts = [part.one_by_one() for part in parts]
    slices = np.concatenate([part.slices for part in parts])
    cells = np.concatenate([part.cells for part in parts])
    amounts = np.concatenate([part.amounts for part in parts])
    return _by_slice(slices, cells[:, None], amounts[:, None], size)


def _by_slice(slices: Counts, cells: Counts, amounts: Counts, size: int) -> dict[int, Counts]:
    """Sums of entries, int64[k], by slice; `cells` and `amounts` are int64[k or 1, c]."""
    sums = np.zeros((int(slices.max(initial=0)) + 1, size), np.int64)
    np.add.at(sums, (slices[:, None], cells), amounts)
    return {slice_id: sums[slice_id] for slice_id in np.unique(slices).tolist()}
