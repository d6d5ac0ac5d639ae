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
    "decision": ("decision", "y_pred", "prediction", "predicted_label", "predicted"),
    "label": ("label", "target", "y_true", "ground_truth", "actual", "outcome", "truth", "class"),
}  # fmt: skip
"""Names in order of preference, as written in lower case with underscores."""

FEATURES: Final = ("features", "inputs", "input", "instance", "feature_values", "attributes")

MODEL_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_DEPTH_MAX: Final = 4


def guess_columns(columns: Sequence[str]) -> dict[str, str]:
    """Field → column of a table.

    >>> guess_columns(["age", "id", "y_pred_proba", "y_true"])
    {'request_id': 'id', 'score': 'y_pred_proba', 'label': 'y_true'}
    """
    plain = {_plain(column): column for column in reversed(columns)}
    found: dict[str, str] = {}
    for field, names in NAMES.items():
        column = next((plain[name] for name in names if name in plain), None)
        if column is not None:
            found[field] = column
    return found


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
        places |= dict(_walk(record, ()))
    features = next((place for name in FEATURES for place in _named(places, name, dict)), None)
    # What lies among the features is a feature, whatever its name.
    outside = [place for place in places if features is None or place[: len(features)] != features]
    found: dict[str, str] = {}
    for field in fields:
        if field == "features":
            place = features
        else:
            scalars = {at: places[at] for at in outside if not isinstance(places[at], dict | list)}
            place = next((at for name in NAMES.get(field, ()) for at in _named(scalars, name, object)), None)
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
