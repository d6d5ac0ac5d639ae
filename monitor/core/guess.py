"""Which of somebody's columns or keys is which of our fields, guessed by name.

A guess is written into `monitor.yaml` or printed, so that a person can correct it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

NAMES: Final[dict[str, tuple[str, ...]]] = {
    "request_id": ("request_id", "req_id", "prediction_id", "inference_id", "event_id", "uuid", "id"),
    "timestamp": ("timestamp", "event_time", "event_timestamp", "datetime", "created_at", "time", "ts"),
    "model": ("model", "model_name"),
    "model_version": ("model_version", "version"),
    "score": ("score", "probability", "proba", "y_pred_proba", "predicted_probability", "prediction_score"),
    "probabilities": ("probabilities", "probs", "class_probabilities", "predicted_probabilities", "y_proba"),
    "value": ("value", "predicted_value", "prediction", "y_pred", "predicted", "y_hat", "score"),
    "interval": ("interval", "prediction_interval", "predicted_interval"),
    "interval_low": ("interval_low", "prediction_low", "y_pred_low", "y_pred_lower"),
    "interval_high": ("interval_high", "prediction_high", "y_pred_high", "y_pred_upper"),
    "decision": ("decision", "y_pred", "prediction", "predicted_label", "predicted_class", "predicted"),
    "label": ("label", "target", "y_true", "ground_truth", "actual", "outcome", "truth", "class"),
}  # fmt: skip
"""Names in order of preference, as written in lower case with underscores."""

ANSWERS: Final[dict[str, tuple[str, ...]]] = {
    "binary": ("score", "decision"),
    "multiclass": ("probabilities", "decision"),
    "regression": ("value", "interval", "interval_low", "interval_high"),
}
"""Fields that models of a task answer with; a name among those of another task is a feature's."""

STRUCTURED: Final = frozenset({"probabilities", "interval"})
"""Fields whose values are lists or objects."""

FEATURES: Final = ("features", "inputs", "input", "instance", "feature_values", "attributes")

MODEL_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_DEPTH_MAX: Final = 4


def guess_columns(columns: Sequence[str], task: str = "binary") -> dict[str, str]:
    """Field → column of a table.

    Args:
        columns: the table's header.
        task: what the model predicts, which says what its answers are called.

    >>> guess_columns(["age", "id", "y_pred_proba", "y_true"])
    {'request_id': 'id', 'score': 'y_pred_proba', 'label': 'y_true'}
    >>> guess_columns(["age", "prediction"], "regression"), guess_columns(["value"])
    ({'value': 'prediction'}, {})
    """
    plain = {_plain(column): column for column in reversed(columns)}
    found: dict[str, str] = {}
    for field in fields_of(task):
        names = NAMES[field]
        column = next((plain[name] for name in names if name in plain), None)
        if column is not None:
            found[field] = column
    return found


def overruled(guessed: Mapping[str, str], named: Mapping[str, str]) -> dict[str, str]:
    """Field → column, named by a person or guessed; a column that was named for one field is no other.

    >>> overruled({"decision": "prediction", "label": "y_true"}, {"score": "prediction"})
    {'label': 'y_true', 'score': 'prediction'}
    """
    taken = set(named.values())
    return {field: column for field, column in guessed.items() if column not in taken} | dict(named)


def fields_of(task: str) -> tuple[str, ...]:
    """The fields that a record of a model may have, but for its features.

    >>> fields_of("regression")[-4:]
    ('interval', 'interval_low', 'interval_high', 'label')
    """
    others = {field for name, fields in ANSWERS.items() if name != task for field in fields}
    return tuple(field for field in NAMES if field in ANSWERS[task] or field not in others)


def model_name(names: Iterable[Any], otherwise: str) -> str:
    """The first of some names that a model can have; it becomes part of a file's name.

    Args:
        names: what records say.
        otherwise: the name where none of them will do; its odd characters are replaced.

    >>> model_name([7, "../income", "income"], "x"), model_name(["a/b"], "my loans")
    ('income', 'my_loans')
    """
    found = (name for name in names if isinstance(name, str) and MODEL_NAME.fullmatch(name))
    return next(found, "") or re.sub(r"[^A-Za-z0-9_.-]+", "_", otherwise)[:64] or "model"


def guess_mapping(records: Iterable[Mapping[str, Any]], fields: Sequence[str], model: str) -> dict[str, str]:
    """Paths of `fields` in records, only those that differ from the plain form.

    Args:
        records: decoded JSON objects of one topic.
        fields: those that are looked for; `model` becomes a constant where no path is found.
        model: the model's name.

    >>> record = {"meta": {"id": "r-1"}, "payload": {"inputs": {"age": 39}}, "score": 0.2}
    >>> guess_mapping([record], ["request_id", "features", "model", "score"], "income")
    {'request_id': '$.meta.id', 'features': '$.payload.inputs', 'model': '=income'}
    """
    places: dict[tuple[str, ...], Any] = {}
    for record in records:
        for at, value in _walk(record, ()):
            if not isinstance(places.get(at), dict | list):  # a record without it takes back nothing
                places[at] = value
    features = next((place for name in FEATURES for place in _named(places, name, dict)), None)
    # What lies among the features is a feature, and what lies among probabilities a class, whatever its name.
    closed = [place for name in NAMES["probabilities"] for place in _named(places, name, dict)]
    closed += [] if features is None else [features]
    outside = [at for at in places if not any(len(at) > len(top) and at[: len(top)] == top for top in closed)]
    found: dict[str, str] = {}
    for field in fields:
        if field == "features":
            place = features
        else:
            structured = field in STRUCTURED
            fit = {at: places[at] for at in outside if isinstance(places[at], dict | list) == structured}
            place = next((at for name in NAMES.get(field, ()) for at in _named(fit, name, object)), None)
        if place is None:
            if field == "model":
                found[field] = f"={model}"
        elif path_of(place) != f"$.{field}":
            found[field] = path_of(place)
    return found


def path_of(place: Sequence[str]) -> str:
    r"""A path that `monitor.core.mapping.parse_path` reads back.

    >>> path_of(["payload", "odd key"])
    "$.payload['odd key']"
    """
    return "$" + "".join(_step(key) for key in place)


def _step(key: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_\-]+", key):
        return f".{key}"
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"


def _walk(value: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, inner in value.items():
        place = (*above, key)
        yield place, inner
        if isinstance(inner, dict) and len(place) < _DEPTH_MAX:
            yield from _walk(inner, place)


def _named(places: Mapping[tuple[str, ...], Any], name: str, kind: type) -> list[tuple[str, ...]]:
    """Places whose last key has a name, those nearest to the top first."""
    same = [at for at, value in places.items() if _plain(at[-1]) == name and isinstance(value, kind)]
    return sorted(same, key=len)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")
