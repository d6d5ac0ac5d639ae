"""The labelled reference period of a model, counted into its slices like live traffic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from monitor.core.batch import read_predictions
from monitor.core.contributions import label_values, prediction_values
from monitor.core.counters import ALL_SLICE, Counts, Scalar
from monitor.core.decode import OLDEST_MS, Row
from monitor.core.mapping import Mapping as FieldMapping
from monitor.core.plan import ModelPlan
from monitor.core.slices.assign import OUTSIDE, Token
from monitor.edges.prepare import Preparer

_FIELDS = ("request_id", "timestamp", "model", "model_version", "score", "decision", "label")


def as_record(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """A row of a table as a record in plain form: what is not one of our fields is a feature.

    >>> as_record({"age": 39, "p": 0.2, "label": 1}, {"score": "p"})
    {'score': 0.2, 'label': 1, 'features': {'age': 39}}

    Args:
        row: column → value; a row that has `features` is in plain form already.
        columns: our field → the table's column, where it is named otherwise.
    """
    if isinstance(row.get("features"), dict):
        return dict(row)
    named = {field: columns.get(field, field) for field in _FIELDS}
    record = {field: row[column] for field, column in named.items() if row.get(column) is not None}
    taken = set(named.values())
    record["features"] = {column: value for column, value in row.items() if column not in taken}
    return record


async def count_reference(
    plan: ModelPlan, preparer: Preparer, records: Iterable[Mapping[str, Any]]
) -> dict[int, Counts]:
    """Scalars of each slice over a reference, as if it were one bucket.

    The reference also settles which values get a slice of their own where places are limited: the most
    frequent first.

    Args:
        plan: the model.
        preparer: gives slice ids.
        records: in plain form, with `label` where the outcome is known.

    Returns:
        slice id → int64[len(Scalar)].
    """
    rows = [Row(i, OLDEST_MS, str(i), plan.name, dict(record)) for i, record in enumerate(records)]
    if not rows:
        return {}
    batch = read_predictions(rows, FieldMapping.parse(), plan.reading, plan.name)
    for index, column in enumerate(plan.slices.tokens(batch.features, batch.versions)):
        seen: Counter[Token] = Counter(token for token in column if token is not None)
        if seen:
            await preparer.admit(plan, index, [token for token, _ in seen.most_common()])
    members = await preparer.members(plan, batch)
    truth = [plan.reading.classes.read(row.body.get("label")) for row in rows]
    labels = np.array(truth, np.float64)
    everyone = np.ones(len(rows), np.bool_)
    values = prediction_values(batch.scores, batch.decisions, ~everyone, everyone)
    values += np.where(
        (labels >= 0)[:, None], label_values(batch.scores, batch.decisions, np.maximum(labels, 0)), 0
    )
    totals = {ALL_SLICE: values.sum(0)}
    at, columns = np.nonzero(members != OUTSIDE)
    slices = members[at, columns]
    sums = np.zeros((int(slices.max(initial=0)) + 1, len(Scalar)), np.int64)
    np.add.at(sums, slices, values[at])
    totals |= {slice_id: sums[slice_id] for slice_id in np.unique(slices).tolist()}
    return totals
