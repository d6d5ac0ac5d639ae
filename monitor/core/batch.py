"""Rows of one model as columns: what everything after the decoder reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.core.columns import Columns, factor
from monitor.core.decode import Rejected, Row, Unreadable, event_times
from monitor.core.mapping import Mapping
from monitor.core.masking import OPEN, Masking
from monitor.core.readable import Readable
from monitor.core.schema.violations import RECORD, Code, received_text
from monitor.core.stubs import ModelIdentity, stub_keys
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
        features: of n records, as decoded.
        unjudged: int64[u], rows whose features are still to be held against the schema.
        faults: (row, code, received) of violations of the record itself, what was received in words.
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
    features: Columns
    unjudged: NDArray[np.int64]
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


def read_predictions(
    rows: Sequence[Row], mapping: Mapping, reading: Reading, model: str, masking: Masking = OPEN
) -> PredictionBatch:
    """Columns of the predictions of one model that were decoded one by one, as `prediction_batch`."""
    fields = ("timestamp", "model_version", *reading.task.fields)
    return prediction_batch(
        replace(Readable.of(rows, mapping, fields), model=model), mapping, reading, masking
    )


def read_labels(
    rows: Sequence[Row], mapping: Mapping, reading: Reading, model: str
) -> tuple[LabelBatch, list[Rejected]]:
    """Columns of the labels of one model that were decoded one by one, as `label_batch`."""
    found = Readable.of(rows, mapping, ("timestamp", "label"))
    return label_batch(replace(found, model=model), mapping, reading)


def prediction_batch(
    found: Readable, mapping: Mapping, reading: Reading, masking: Masking = OPEN
) -> PredictionBatch:
    """Columns of the predictions of one model.

    Args:
        found: what was read.
        mapping: where its records keep their fields.
        reading: of its answers.
        masking: of the model's sensitive features; with one of them, faults tell kinds of values only.
    """
    stamps = found.fields["timestamp"]
    times, bad, clamped = event_times(stamps, found.kafka_ms)
    faults = [(row, Code.BAD_TIMESTAMP, stamps[row]) for row in np.flatnonzero(bad).tolist()]
    given = np.array([stamp is not None for stamp in stamps], np.bool_) if None in stamps else True
    versions = factor(found.fields["model_version"])
    named = [None if version is None else str(version)[:128] for version in versions.values]
    keys = stub_keys(found.request_ids)
    answers, wrong = reading.task.read(found.fields)
    return PredictionBatch(
        model=found.model,
        offsets=found.offsets,
        times_ms=times,
        own_time=given & ~bad & ~clamped,
        clamped=clamped,
        keys=keys,
        request_ids=found.request_ids,
        answers=answers,
        scores=reading.task.scores(answers),
        versions=[named[place] for place in versions.index.tolist()],
        features=found.columns(mapping),
        unjudged=found.unjudged,
        faults=[(row, code, _received(value, masking)) for row, code, value in faults + wrong],
        tracked=reading.identity.tracked(keys),
    )


def label_batch(found: Readable, mapping: Mapping, reading: Reading) -> tuple[LabelBatch, list[Rejected]]:
    """Columns of the labels of one model; a label that means nothing to its task is rejected."""
    labels = factor(found.fields["label"])
    read = [None if value is None else reading.task.label(value) for value in labels.values]
    known = labels.of([value is not None for value in read]).astype(np.bool_)
    rejected: list[Rejected] = []
    for row in np.flatnonzero(~known).tolist():
        label = found.fields["label"][row]
        if label is None:
            reason, detail = Unreadable.NO_LABEL, f"no label at {mapping.paths.get('label', '$.label')}"
        else:
            reason = Unreadable.UNKNOWN_LABEL
            detail = f"label {shown(label)} {reading.task.complaint(found.model)}"
        rejected.append(Rejected(int(found.offsets[row]), reason, detail, found.raw(row)))
    values = np.array([np.nan if value is None else value for value in read], np.float64)
    times, _, _ = event_times(found.fields["timestamp"], found.kafka_ms)
    ids = found.request_ids
    if rejected:
        ids = [ids[row] for row in np.flatnonzero(known).tolist()]
    keys = stub_keys(ids)
    batch = LabelBatch(
        model=found.model,
        offsets=found.offsets[known],
        times_ms=times[known],
        keys=keys,
        request_ids=ids,
        values=values[labels.index[known]],
        tracked=reading.identity.tracked(keys),
    )
    return batch, rejected


def _received(value: Any, masking: Masking) -> str:
    """A value that the record itself is at fault for, in words.

    Any value may have landed in a wrong field, so nobody knows whether it is one of a sensitive feature.
    """
    if not masking.features:
        return shown(value)
    return masking.received(RECORD, received_text(value, masked=True), value)
