"""From the shape of somebody's JSON to our fields.

A mapping names, for each of our fields, a path in the record (`$.payload.inputs`, `$.rows[0].id`,
`$['odd key']`) or a constant (`=income`). A field it does not name is read at `$.FIELD`, so the empty
mapping reads the plain form.

>>> mapping = Mapping.parse({"request_id": "$.meta.id", "model": "=income"})
>>> mapping.get("request_id", {"meta": {"id": "r-1"}}), mapping.get("model", {}), mapping.get("score", {})
('r-1', 'income', None)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from monitor.core.errors import MappingError

FIELDS: Final = (
    "request_id",
    "timestamp",
    "model",
    "model_version",
    "features",
    "score",
    "probabilities",
    "value",
    "interval",
    "interval_low",
    "interval_high",
    "decision",
    "label",
    "probe",
)

_STEP = re.compile(r"""\.([A-Za-z0-9_\-]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]""")
_STEPS_MAX = 32

Getter = Callable[[MappingABC[str, Any]], Any]


@dataclass(frozen=True)
class Mapping:
    """Compiled paths; build it with `Mapping.parse`.

    Attributes:
        paths: field → path or constant as written, only those that differ from the plain form.
        getters: field → function from a decoded record to the value, None where the path leads nowhere.
    """

    paths: dict[str, str]
    getters: dict[str, Getter]

    @classmethod
    def parse(cls, paths: MappingABC[str, str] | None = None) -> Mapping:
        """Compile a mapping.

        Raises:
            MappingError: an unknown field or a path that cannot be read; names the nearest field.
        """
        paths = dict(paths or {})
        for field in paths:
            if field not in FIELDS:
                near = get_close_matches(field, FIELDS, 1)
                hint = f"; did you mean {near[0]}?" if near else f"; fields are {', '.join(FIELDS)}"
                raise MappingError(f"{field}: not a field{hint}")
        getters = {field: _getter(field, paths.get(field, f"$.{field}")) for field in FIELDS}
        return cls(paths, getters)

    def get(self, field: str, record: MappingABC[str, Any]) -> Any:
        """The field's value in `record`, None where its path leads nowhere."""
        return self.getters[field](record)


def parse_path(path: str) -> tuple[str | int, ...]:
    """Steps of a `$` path.

    >>> parse_path("$.a[0]['odd key']")
    ('a', 0, 'odd key')

    Raises:
        MappingError: not a path.
    """
    if not path.startswith("$"):
        raise MappingError(f"{path!r}: a path begins with $ ($.payload.id), a constant with = (=income)")
    steps: list[str | int] = []
    position = 1
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise MappingError(
                f"{path!r}: cannot read {path[position:]!r}; write $.name, $[0] or $['any key']"
            )
        name, index, single, double = match.groups()
        if index is not None:
            steps.append(int(index))
        else:
            quoted = single if single is not None else double
            steps.append(name if name is not None else re.sub(r"\\(.)", r"\1", quoted))
        position = match.end()
    if len(steps) > _STEPS_MAX:
        raise MappingError(f"{path!r}: more than {_STEPS_MAX} steps")
    return tuple(steps)


def _getter(field: str, path: str) -> Getter:
    if path.startswith("="):
        constant = path[1:]
        return lambda record: constant  # noqa: ARG005 - one shape for every getter
    try:
        steps = parse_path(path)
    except MappingError as error:
        raise MappingError(f"{field}: {error}") from None
    if len(steps) == 1 and isinstance(steps[0], str):
        key = steps[0]
        return lambda record: record.get(key)
    return lambda record: _walk(record, steps)


def _walk(value: Any, steps: tuple[str | int, ...]) -> Any:
    for step in steps:
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return None
            value = value[step]
        else:
            if not isinstance(value, dict):
                return None
            value = value.get(step)
    return value
