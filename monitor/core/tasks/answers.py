"""What models say, as columns, whatever they predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.core.contributions import Cells, Wide
from monitor.core.counters import Kind
from monitor.core.schema.violations import Code

UNKNOWN: Final = -1
"""In a column of decisions: nothing was decided."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Fault = tuple[int, Code, Any]
"""Row, what is wrong with the record itself, the value received."""


@dataclass(frozen=True)
class Answers:
    """What a model said of n requests: all that its labels will be held against.

    Attributes:
        numbers: float64[n]; the score, the probability of the likeliest class, or the value; NaN for none.
        decisions: int8[n]; the number of the class decided for, 1 and 0 of two, or `UNKNOWN`.
        extras: n packed rests that only the task reads, empty where there is none; None where no row has one.
    """

    numbers: Floats
    decisions: NDArray[np.int8]
    extras: Sequence[bytes] | None = None

    def take(self, rows: Ints) -> Answers:
        """Some of the rows, int64[r]."""
        extras = None if self.extras is None else [self.extras[i] for i in rows.tolist()]
        return Answers(self.numbers[rows], self.decisions[rows], extras)


class Task(Protocol):
    """What a model predicts: how answers and labels are read, and what each of them adds.

    Labels are numbers in the join and in stubs: 1 and 0, the number of a class, or the label itself.

    Attributes:
        name: as in the settings.
        fields: of a record that hold its answer.
        ranked: labelled rows of small slices are kept one by one (`RANKING`).
    """

    name: ClassVar[str]
    ranked: ClassVar[bool]
    fields: ClassVar[tuple[str, ...]]

    @property
    def recorded(self) -> str:
        """What the store remembers: the counters of one task mean nothing to another."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes whose numbers are the store's to give; empty where there are none."""
        ...

    def numbered(self, numbers: Sequence[int]) -> Task:
        """The same, with the numbers the store gave to `classes`, from 0."""
        ...

    def read(self, columns: Mapping[str, Sequence[Any]]) -> tuple[Answers, list[Fault]]:
        """Answers in predictions, and what is wrong with them.

        Args:
            columns: field → n values, None where a record has none; those of `fields`.
        """
        ...

    def scores(self, answers: Answers) -> Floats:
        """Probabilities whose distribution is watched, float64[n] in [0, 1], NaN for none."""
        ...

    def shares(self, classes: NDArray[Any]) -> Floats:
        """Decisions or labels of two classes as 1 and 0, unknown ones left out; nothing of other tasks."""
        ...

    def label(self, value: Any) -> float | None:
        """A label as a number; None for what is no label of this task."""
        ...

    def said(self, number: float) -> Any:
        """A decision or a label as records write it."""
        ...

    def complaint(self, model: str) -> str:
        """How a refused label goes on after "label X": `is neither class of M`."""
        ...

    def predicted(self, answers: Answers, invalid: Flags, tracked: Flags) -> Ints:
        """Scalar cells a prediction adds to, int64[n, len(Scalar)]."""
        ...

    def predicted_cells(self, wide: Wide, answers: Answers) -> list[tuple[Kind, Cells]]:
        """Cells of other kinds it adds to."""
        ...

    def labelled(self, answers: Answers, labels: Floats) -> Ints:
        """Scalar cells a label adds to, int64[n, len(Scalar)]."""
        ...

    def labelled_cells(self, wide: Wide, answers: Answers, labels: Floats) -> list[tuple[Kind, Cells]]:
        """Cells of other kinds it adds to."""
        ...


def shown(value: Any) -> str:
    """A value in a complaint: escaped and short."""
    return ascii(value)[:100]
