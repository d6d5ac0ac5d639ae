"""Rows of one model as columns: what everything after the decoder reads."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.core.decode import Rejected, Row, Unreadable, event_time_ms
from monitor.core.join import ModelIdentity, stub_key
from monitor.core.mapping import Mapping
from monitor.core.schema.violations import Code
from monitor.core.tasks.answers import Answers, Task, shown


@dataclass(frozen=True)
class PredictionBatch:
    """Predictions of one model in offset order; n rows.

    Attributes:
        offsets, times_ms: int64[n]; times are event times, clamped.
        own_time: bool[n]; False where the Kafka record's time stands in for a missing, bad or future one.
        clamped: bool[n].
        keys: n stub keys.
        request_ids: n ids.
        answers: what the model said, n rows.
        scores: float64[n] in [0, 1], the probability whose distribution is watched; NaN where there is none.
        versions: n model versions or None.
        features: n dictionaries as decoded.
        faults: (row, code, received) of violations of the record itself.
        tracked: bool[n], inside the label sample.
    """

    model: str
    offsets: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    own_time: NDArray[np.bool_]
    clamped: NDArray[np.bool_]
    keys: list[bytes]
    request_ids: list[str]
    answers: Answers
    scores: NDArray[np.float64]
    versions: list[str | None]
    features: list[dict[str, Any]]
    faults: list[tuple[int, Code, str]]
    tracked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class LabelBatch:
    """Labels of one model in offset order; n rows.

    Attributes:
        offsets, times_ms: int64[n]; when each label became known.
        keys: n stub keys.
        request_ids: n ids.
        values: float64[n], as the model's task numbers them.
        tracked: bool[n], inside the label sample.
    """

    model: str
    offsets: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    keys: list[bytes]
    request_ids: list[str]
    values: NDArray[np.float64]
    tracked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Reading:
    """How one model's answers are read.

    Attributes:
        task: what it predicts.
        identity: hashing of request ids into the label sample.
    """

    task: Task
    identity: ModelIdentity


def read_predictions(rows: Sequence[Row], mapping: Mapping, reading: Reading, model: str) -> PredictionBatch:
    """Columns of the predictions of one model."""
    n = len(rows)
    times = np.empty(n, np.int64)
    own_time = np.ones(n, np.bool_)
    clamped = np.zeros(n, np.bool_)
    versions: list[str | None] = []
    features: list[dict[str, Any]] = []
    faults: list[tuple[int, Code, str]] = []
    get_time, get_version = mapping.getters["timestamp"], mapping.getters["model_version"]
    get_features = mapping.getters["features"]
    for i, row in enumerate(rows):
        body = row.body
        stamp = get_time(body)
        times[i], bad, late = event_time_ms(stamp, row.kafka_ms)
        if bad:
            faults.append((i, Code.BAD_TIMESTAMP, shown(stamp)))
        if bad or late or stamp is None:
            own_time[i] = False
        clamped[i] = late
        version = get_version(body)
        versions.append(None if version is None else str(version)[:128])
        given = get_features(body)
        features.append(given if isinstance(given, dict) else {})
    keys = [stub_key(row.request_id) for row in rows]
    answers, wrong = reading.task.read([row.body for row in rows], mapping)
    return PredictionBatch(
        model=model,
        offsets=np.array([row.offset for row in rows], np.int64),
        times_ms=times,
        own_time=own_time,
        clamped=clamped,
        keys=keys,
        request_ids=[row.request_id for row in rows],
        answers=answers,
        scores=reading.task.scores(answers),
        versions=versions,
        features=features,
        faults=faults + wrong,
        tracked=reading.identity.tracked(keys),
    )


def read_labels(
    rows: Sequence[Row], mapping: Mapping, reading: Reading, model: str
) -> tuple[LabelBatch, list[Rejected]]:
    """Columns of the labels of one model; a label that means nothing to its task is rejected."""
    kept: list[Row] = []
    values: list[float] = []
    rejected: list[Rejected] = []
    get_label = mapping.getters["label"]
    for row in rows:
        label = get_label(row.body)
        value = None if label is None else reading.task.label(label)
        if value is not None:
            kept.append(row)
            values.append(value)
        elif label is None:
            detail = f"no label at {mapping.paths.get('label', '$.label')}"
            rejected.append(Rejected(row.offset, Unreadable.NO_LABEL, detail, _body_bytes(row.body)))
        else:
            detail = f"label {shown(label)} {reading.task.complaint(model)}"
            rejected.append(Rejected(row.offset, Unreadable.UNKNOWN_LABEL, detail, _body_bytes(row.body)))
    get_time = mapping.getters["timestamp"]
    times = [event_time_ms(get_time(row.body), row.kafka_ms)[0] for row in kept]
    keys = [stub_key(row.request_id) for row in kept]
    batch = LabelBatch(
        model=model,
        offsets=np.array([row.offset for row in kept], np.int64),
        times_ms=np.array(times, np.int64),
        keys=keys,
        request_ids=[row.request_id for row in kept],
        values=np.array(values, np.float64),
        tracked=reading.identity.tracked(keys),
    )
    return batch, rejected


def by_model(rows: Sequence[Row]) -> MappingABC[str, list[Row]]:
    """Rows grouped by model, offset order kept; what probes asked is no traffic and left out."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if not row.probe:
            groups.setdefault(row.model, []).append(row)
    return groups


def _body_bytes(body: dict[str, Any]) -> bytes:
    return repr(body).encode("utf-8", "backslashreplace")
