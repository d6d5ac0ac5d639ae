"""What a store calls the slices and classes of a model, and what the model predicts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches

from monitor.core.counters import ALL_SLICE
from monitor.core.errors import QueryError
from monitor.core.slices.spec import slice_key
from monitor.core.tasks import RecordedTask
from monitor.core.tasks.multiclass import FAMILY as CLASSES_FAMILY
from monitor.core.tasks.recorded import FAMILY as TASK_FAMILY
from monitor.core.understood import understood
from monitor.ports import CounterReader


@understood("the name of a slice")
def definition(key: str) -> dict[str, str]:
    """A slice's definition, from its key in the registry.

    Raises:
        StoreRefused: it is none.
    """
    found = json.loads(key)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError(key)
    return found


class ModelNames:
    """Reads the registries of models.

    Args:
        reader: the reading side of a store.
    """

    def __init__(self, reader: CounterReader) -> None:
        self._reader = reader

    def task(self, model: str) -> RecordedTask:
        """What the model predicts.

        Raises:
            QueryError: a task this version does not know.
        """
        recorded = self._reader.registry(model, TASK_FAMILY)
        return RecordedTask.of(recorded, self._reader.registry(model, CLASSES_FAMILY) if recorded else {})

    def slices(self, model: str, where: Mapping[str, str] | None) -> dict[int, str]:
        """Slice ids in order, with their keys; only those whose definition has the entries of `where`."""
        named = {ALL_SLICE: slice_key({})}
        registry = self._reader.registry(model, "slices")
        named |= {number: key for key, number in sorted(registry.items(), key=lambda item: item[1])}
        if where:
            wanted = {str(name): str(value) for name, value in where.items()}.items()
            named = {number: key for number, key in named.items() if wanted <= definition(key).items()}
        return named

    def slice_id(self, model: str, definition: Mapping[str, str]) -> int:
        """The id of a slice.

        Raises:
            QueryError: there is none; names the nearest.
        """
        if not definition:
            return ALL_SLICE
        key = slice_key({str(name): str(value) for name, value in definition.items()})
        registry = self._reader.registry(model, "slices")
        if key not in registry:
            near = get_close_matches(key, registry, 1, 0.4)
            hint = f"; the nearest is {near[0]}" if near else ""
            raise QueryError(f"{model} has no slice {key}{hint}")
        return registry[key]
