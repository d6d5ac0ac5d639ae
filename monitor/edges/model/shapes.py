"""Bodies of requests: rows into a template, or into the tensors of the Open Inference Protocol.

NaN and infinities are written as the bare words `NaN` and `Infinity`, which JSON does not have but most
servers read (TensorFlow Serving and everything in Python do): a strict one refuses them, and that is an
answer too. Numbers are sent as they came: 1 is not 1.0.

Sources: TensorFlow Serving's RESTful API; MLflow's scoring server, `dataframe_split`; the Open Inference
Protocol, version 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from monitor.core.probes.answers import Answer
from monitor.core.probes.endpoint import Endpoint, Failure
from monitor.edges.model.reading import Reading, read

Row = Mapping[str, Any]

TEMPLATES: Final[Mapping[str, Any]] = {
    "json": {"instances": "$rows"},
    "tensorflow": {"instances": "$vectors"},
    "mlflow": {"dataframe_split": {"columns": "$columns", "data": "$vectors"}},
}
"""Bodies where none is given."""

_SINGLE: Final = ("$row", "$vector")


class Shape(Protocol):
    """How rows become a body, and a body answers."""

    def groups(self, rows: Sequence[Row]) -> list[list[int]]:
        """Places of rows that can go into one call each."""
        ...

    def body(self, rows: Sequence[Row]) -> bytes:
        """Of one call."""
        ...

    def answers(self, document: Any, count: int) -> list[Answer] | Failure:
        """In the document that came back."""
        ...


def shape_of(endpoint: Endpoint) -> Shape:
    """What an endpoint speaks.

    Raises:
        ValueError: a template without a place for rows.
        MappingError: a path that is none.
    """
    return Tensors(endpoint) if endpoint.format == "kserve" else Template(endpoint)


class Template:
    """A JSON document with places for rows."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._columns = endpoint.columns
        self._template = TEMPLATES[endpoint.format] if endpoint.template is None else endpoint.template
        self._reading = _checked(endpoint)
        places = set(_texts(self._template)) & {"$rows", "$vectors", "$boxed", *_SINGLE}
        if not places:
            raise ValueError('the template has no place for rows: write "$rows", "$row" or "$vectors" in it')
        self._single = bool(places & set(_SINGLE))

    def groups(self, rows: Sequence[Row]) -> list[list[int]]:
        """All rows in one, or each in its own where the template takes one."""
        return [[place] for place in range(len(rows))] if self._single else [list(range(len(rows)))]

    def body(self, rows: Sequence[Row]) -> bytes:
        """The template, filled in. Lists of values have null where a feature is absent."""
        columns = self._columns or tuple(rows[0])
        vectors = [[row.get(name) for name in columns] for row in rows]
        filled = _fill(
            self._template,
            {
                "$rows": rows,
                "$row": rows[0],
                "$vectors": vectors,
                "$vector": vectors[0],
                "$boxed": [{name: [value] for name, value in row.items()} for row in rows],
                "$columns": columns,
            },
        )
        return dump(filled)

    def answers(self, document: Any, count: int) -> list[Answer] | Failure:
        """See `monitor.edges.model.reading`."""
        return read(document, count, self._reading)


class Tensors:
    """The Open Inference Protocol: a tensor a feature of shape [n, 1], or one of shape [n, features].

    A tensor has one datatype: rows whose values do not share one go into calls of their own. A value that
    the declared datatype cannot hold is sent as what it is, text as BYTES; null stays null.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._reading = _checked(endpoint)

    def groups(self, rows: Sequence[Row]) -> list[list[int]]:
        """Rows of the same features and datatypes, in the order of their first."""
        found: dict[tuple[tuple[str, str], ...], list[int]] = {}
        for place, row in enumerate(rows):
            found.setdefault(self._datatypes(row), []).append(place)
        return list(found.values())

    def body(self, rows: Sequence[Row]) -> bytes:
        """One infer request."""
        datatypes = self._datatypes(rows[0])
        if self._endpoint.tensor is None:
            inputs = [
                _tensor(name, kind, [len(rows), 1], [row[name] for row in rows]) for name, kind in datatypes
            ]
        else:
            kinds = {kind for _, kind in datatypes}
            kind = "BYTES" if "BYTES" in kinds else "FP64" if len(kinds) > 1 else kinds.pop()
            values = [row[name] for row in rows for name, _ in datatypes]
            inputs = [_tensor(self._endpoint.tensor, kind, [len(rows), len(datatypes)], values)]
        output = self._endpoint.output
        wanted = {} if output is None else {"outputs": [{"name": output}]}
        return dump({"inputs": inputs, **wanted})

    def answers(self, document: Any, count: int) -> list[Answer] | Failure:
        """In the tensor that was asked for, or the first that has a value a row."""
        outputs = document.get("outputs") if isinstance(document, dict) else None
        if not isinstance(outputs, list):
            return Failure.NO_SCORE
        for output in outputs:
            if not isinstance(output, dict):
                continue
            if self._endpoint.output is not None and self._endpoint.output != output.get("name"):
                continue
            data, shape = output.get("data"), output.get("shape")
            rows = shape[0] if isinstance(shape, list) and shape else count
            if not isinstance(data, list) or not data or rows != count or len(data) % count:
                continue
            width = len(data) // count
            if not isinstance(data[0], list):
                return self._reading.answers([data[i * width : (i + 1) * width] for i in range(count)])
            if width == 1:
                return self._reading.answers(data)
        return Failure.ROW_COUNT if outputs else Failure.NO_SCORE

    def _datatypes(self, row: Row) -> tuple[tuple[str, str], ...]:
        names = [n for n in self._endpoint.columns if n in row] or list(row)
        return tuple((name, _datatype(row[name], self._endpoint.datatypes.get(name))) for name in names)


def dump(document: Any) -> bytes:
    """JSON with the bare words NaN and Infinity; what JSON has no form for is sent as text."""
    return json.dumps(document, default=str, separators=(",", ":")).encode()


def _tensor(name: str, kind: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    if kind == "BYTES":
        data = [value if isinstance(value, str) else json.dumps(value, default=str) for value in data]
    return {"name": name, "shape": shape, "datatype": kind, "data": data}


def _datatype(value: Any, declared: str | None) -> str:
    if value is None:
        return declared or "FP64"
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, int):
        return declared if declared and declared not in {"BYTES", "BOOL"} else "INT64"
    if isinstance(value, float):
        return declared if declared and declared.startswith("FP") else "FP64"
    return "BYTES"


def _checked(endpoint: Endpoint) -> Reading:
    """A reading whose paths have been read."""
    reading = Reading.of(endpoint)
    _ = reading.score_path, reading.decision_path
    return reading


def _texts(template: Any) -> list[str]:
    if isinstance(template, dict):
        return [text for value in template.values() for text in _texts(value)]
    if isinstance(template, list):
        return [text for value in template for text in _texts(value)]
    return [template] if isinstance(template, str) else []


def _fill(template: Any, places: Mapping[str, Any]) -> Any:
    if isinstance(template, dict):
        return {key: _fill(value, places) for key, value in template.items()}
    if isinstance(template, list):
        return [_fill(value, places) for value in template]
    return places.get(template, template) if isinstance(template, str) else template
