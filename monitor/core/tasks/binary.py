"""Binary models: a score that is a probability, a decision, and labels of two classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.columns import factor, numbers
from monitor.core.contributions import (
    Cells,
    Wide,
    calibration_cells,
    label_values,
    prediction_values,
    score_cells,
)
from monitor.core.counters import CALIBRATION, SCORES, Kind
from monitor.core.schema.feature import number_text
from monitor.core.schema.violations import Code
from monitor.core.tasks.answers import UNKNOWN, Answers, Fault, Flags, Floats, Ints

_UNSAID: Final = -2


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


def plain_class(value: bool | float | str) -> str:
    """A class as text: True, 1, 1.0, "1" and "true" are one class, for producers differ in how they write it.

    >>> plain_class(True), plain_class("1.0"), plain_class(" cat "), plain_class(2.0)
    ('1', '1', 'cat', '2')
    """
    if isinstance(value, str):
        text = value.strip()
        return {"true": "1", "false": "0", "1.0": "1", "0.0": "0"}.get(text.lower(), text)
    return number_text(value)


def _same(value: bool | float | str, named: bool | float | str) -> bool:
    return value == named or plain_class(value) == plain_class(named)


@dataclass(frozen=True)
class Binary:
    """Two classes.

    Attributes:
        threshold: scores at or above it are positive where a record carries no decision; None where the model
            has no threshold, and nothing is decided unless a record says so.
        names: of the two classes.
    """

    name: ClassVar[str] = "binary"
    ranked: ClassVar[bool] = True
    fields: ClassVar[tuple[str, ...]] = ("score", "decision")
    recorded: ClassVar[str] = "binary"
    classes: ClassVar[tuple[str, ...]] = ()

    threshold: float | None = 0.5
    names: ClassNames = field(default_factory=ClassNames)

    def numbered(self, numbers: Sequence[int]) -> Binary:
        """See `Task`: 1 and 0 are no one's to give."""
        del numbers
        return self

    def read(self, columns: Mapping[str, Sequence[Any]]) -> tuple[Answers, list[Fault]]:
        """See `Task`."""
        given = columns["score"]
        scores = numbers(given)
        wrong = ~((scores >= 0.0) & (scores <= 1.0))
        scores[wrong] = np.nan
        faults: list[Fault] = [
            (row, Code.SCORE_RANGE, given[row])
            for row in np.flatnonzero(wrong).tolist()
            if given[row] is not None
        ]
        decisions = np.full(len(given), UNKNOWN, np.int8)
        if self.threshold is not None:
            decisions[~wrong] = scores[~wrong] >= self.threshold
        said = factor(columns["decision"])
        read = said.of([_UNSAID if value is None else self.names.read(value) for value in said.values])
        decisions[read != _UNSAID] = read[read != _UNSAID]
        return Answers(scores, decisions), faults

    def scores(self, answers: Answers) -> Floats:
        """See `Task`."""
        return answers.numbers

    def shares(self, classes: NDArray[Any]) -> Floats:
        """See `Task`."""
        return (classes[classes >= 0] > 0).astype(np.float64)

    def label(self, value: Any) -> float | None:
        """See `Task`."""
        read = self.names.read(value)
        return None if read == UNKNOWN else float(read)

    def said(self, number: float) -> Any:
        """See `Task`."""
        return number

    def complaint(self, model: str) -> str:
        """See `Task`."""
        return f"is neither class of {model} (positive_class, negative_class)"

    def predicted(self, answers: Answers, invalid: Flags, tracked: Flags) -> Ints:
        """See `Task`."""
        return prediction_values(answers.numbers, answers.decisions, invalid, tracked)

    def predicted_cells(self, wide: Wide, answers: Answers) -> list[tuple[Kind, Cells]]:
        """See `Task`."""
        return [(SCORES, score_cells(wide, answers.numbers, 0))]

    def labelled(self, answers: Answers, labels: Floats) -> Ints:
        """See `Task`."""
        return label_values(answers.numbers, answers.decisions, labels)

    def labelled_cells(self, wide: Wide, answers: Answers, labels: Floats) -> list[tuple[Kind, Cells]]:
        """See `Task`."""
        kinds = np.where(labels > 0.5, 1, 2).astype(np.int64)
        return [
            (SCORES, score_cells(wide, answers.numbers, kinds)),
            (CALIBRATION, calibration_cells(wide, answers.numbers, labels)),
        ]
