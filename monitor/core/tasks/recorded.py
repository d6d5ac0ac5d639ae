"""What a store says of a model's task: all that a reader has who does not know the settings."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from monitor.core.errors import QueryError
from monitor.core.tasks.binary import Binary
from monitor.core.tasks.multiclass import Multiclass
from monitor.core.tasks.regression import Regression

FAMILY: Final = "task"
"""Registry with the one name `Task.recorded`."""

_UNIT = re.compile(r"regression in units of 2\^(-?\d+)")


@dataclass(frozen=True)
class RecordedTask:
    """A task as recorded.

    Attributes:
        name: binary, multiclass or regression.
        unit: of the values of a regression.
        classes: names by number, of a multiclass model.
    """

    name: str = Binary.name
    unit: float = 1.0
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, recorded: Mapping[str, int], classes: Mapping[str, int]) -> RecordedTask:
        """From the two registries; a store that has no record of a task counts a binary one.

        >>> RecordedTask.of({"regression in units of 2^10": 1}, {}).unit
        1024.0

        Raises:
            QueryError: a task this version does not know.
        """
        for name in recorded:
            if name == Multiclass.recorded:
                return cls(Multiclass.name, classes=tuple(sorted(classes, key=lambda each: classes[each])))
            if match := _UNIT.fullmatch(name):
                return cls(Regression.name, unit=math.ldexp(1.0, int(match[1])))
            if name != Binary.recorded:
                raise QueryError(f"the store counts {name!r}, which this version cannot read")
        return cls()
