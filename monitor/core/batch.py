"""Rows of one model as columns: what everything after the decoder reads."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.decode import Rejected, Row, Unreadable, event_time_ms
from monitor.core.join import ModelIdentity, stub_key
from monitor.core.mapping import Mapping
from monitor.core.schema.feature import number_text
from monitor.core.schema.violations import Code

UNKNOWN: Final = -1
"""In a decisions column: nothing was decided."""


@dataclass(frozen=True)
class PredictionBatch:
    """Predictions of one model in offset order; n rows.

    Attributes:
        offsets, times_ms: int64[n]; times are event times, clamped.
        own_time: bool[n]; False where the Kafka record's time stands in for a missing, bad or future one.
        clamped: bool[n].
        keys: n stub keys.
        request_ids: n ids.
        scores: float64[n], NaN where there is none.
        decisions: int8[n], 1, 0 or `UNKNOWN`.
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
    scores: NDArray[np.float64]
    decisions: NDArray[np.int8]
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
        values: float64[n]; 1 for the positive class, 0 for the other.
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
class ClassNames:
    """How records name the two classes.

    Attributes:
        positive: the positive class as labels and decisions write it.
        negative: the other class; None reads every other text as negative when `positive` is a text,
            and 0 / false when it is a number or a truth value.
    """

    positive: bool | int | float | str = 1
    negative: bool | int | float | str | None = None

    def read(self, value: Any) -> int:
        """1, 0, or `UNKNOWN` for what is neither class.

        >>> ClassNames(">50K").read("<=50K"), ClassNames().read("1"), ClassNames().read("maybe")
        (0, 1, -1)
        """
        if not isinstance(value, bool | int | float | str):
            return UNKNOWN
        if _same(value, self.positive):
            return 1
        if self.negative is not None:
            return 0 if _same(value, self.negative) else UNKNOWN
        if isinstance(self.positive, str):
            return 0 if isinstance(value, str) and value else UNKNOWN
        return 0 if _same(value, 0) else UNKNOWN


def _same(value: bool | float | str, named: bool | float | str) -> bool:
    """True, 1, 1.0, "1" and "true" are one class: producers differ in how they write it."""
    return value == named or _plain(value) == _plain(named)


def _plain(value: bool | float | str) -> str:
    if isinstance(value, str):
        text = value.strip()
        return {"true": "1", "false": "0", "1.0": "1", "0.0": "0"}.get(text.lower(), text)
    return number_text(value)


@dataclass(frozen=True, slots=True)
class Reading:
    """How one model's answers are read.

    Attributes:
        threshold: scores at or above it are positive where a record carries no decision; None where
            the model has no threshold.
        classes: names of the two classes.
        identity: hashing of request ids into the label sample.
    """

    threshold: float | None
    classes: ClassNames
    identity: ModelIdentity


def read_predictions(rows: Sequence[Row], mapping: Mapping, reading: Reading, model: str) -> PredictionBatch:
    """Columns of the predictions of one model."""
    n = len(rows)
    times = np.empty(n, np.int64)
    own_time = np.ones(n, np.bool_)
    clamped = np.zeros(n, np.bool_)
    scores = np.full(n, np.nan)
    decisions = np.full(n, UNKNOWN, np.int8)
    versions: list[str | None] = []
    features: list[dict[str, Any]] = []
    faults: list[tuple[int, Code, str]] = []
    get_time, get_score = mapping.getters["timestamp"], mapping.getters["score"]
    get_decision, get_version = mapping.getters["decision"], mapping.getters["model_version"]
    get_features = mapping.getters["features"]
    classes, threshold = reading.classes, reading.threshold
    for i, row in enumerate(rows):
        body = row.body
        stamp = get_time(body)
        times[i], bad, late = event_time_ms(stamp, row.kafka_ms)
        if bad:
            faults.append((i, Code.BAD_TIMESTAMP, _shown(stamp)))
        if bad or late or stamp is None:
            own_time[i] = False
        clamped[i] = late
        score = get_score(body)
        if score is not None:
            if isinstance(score, float | int) and not isinstance(score, bool) and 0.0 <= score <= 1.0:
                scores[i] = score
                if threshold is not None:
                    decisions[i] = score >= threshold
            else:
                faults.append((i, Code.SCORE_RANGE, _shown(score)))
        decision = get_decision(body)
        if decision is not None:
            decisions[i] = classes.read(decision)
        version = get_version(body)
        versions.append(None if version is None else str(version)[:128])
        given = get_features(body)
        features.append(given if isinstance(given, dict) else {})
    keys = [stub_key(row.request_id) for row in rows]
    return PredictionBatch(
        model=model,
        offsets=np.array([row.offset for row in rows], np.int64),
        times_ms=times,
        own_time=own_time,
        clamped=clamped,
        keys=keys,
        request_ids=[row.request_id for row in rows],
        scores=scores,
        decisions=decisions,
        versions=versions,
        features=features,
        faults=faults,
        tracked=reading.identity.tracked(keys),
    )


def read_labels(
    rows: Sequence[Row], mapping: Mapping, reading: Reading, model: str
) -> tuple[LabelBatch, list[Rejected]]:
    """Columns of the labels of one model; a label that names neither class is rejected."""
    kept: list[Row] = []
    values: list[int] = []
    rejected: list[Rejected] = []
    get_label = mapping.getters["label"]
    for row in rows:
        label = get_label(row.body)
        value = reading.classes.read(label)
        if value != UNKNOWN:
            kept.append(row)
            values.append(value)
        elif label is None:
            detail = f"no label at {mapping.paths.get('label', '$.label')}"
            rejected.append(Rejected(row.offset, Unreadable.NO_LABEL, detail, _body_bytes(row.body)))
        else:
            detail = f"label {_shown(label)} is neither class of {model} (positive_class, negative_class)"
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
    """Rows grouped by model, offset order kept."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.model, []).append(row)
    return groups


def _shown(value: Any) -> str:
    return ascii(value)[:100]


def _body_bytes(body: dict[str, Any]) -> bytes:
    return repr(body).encode("utf-8", "backslashreplace")
