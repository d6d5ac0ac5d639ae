"""Multiclass models: a probability for each class, one decision, and labels of up to 64 classes.

A class has a number that is the store's to give (a registry, append-only), so that classes may be added or
written in another order. Cells of a class or of a pair of classes do not move when a class joins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.contributions import (
    Cells,
    Wide,
    calibration_cells,
    prediction_values,
    score_cells,
    spread,
    spread_all,
)
from monitor.core.counters import (
    CALIBRATION,
    CLASS_DECIDED,
    CLASS_LABELLED,
    CLASS_PARTS,
    CLASS_RIGHT,
    CLASS_SAID,
    CLASSES,
    CONFUSION,
    LOG_LOSS_EPS,
    SCORES,
    Kind,
    Scalar,
    confusion_cell,
    fixed,
)
from monitor.core.schema.violations import Code
from monitor.core.tasks.answers import UNKNOWN, Answers, Fault, Flags, Floats, Ints
from monitor.core.tasks.binary import plain_class

CLASSES_MAX: Final = 64
"""Classes of one model, those of the past included: a confusion matrix has their square of cells."""

SUM_SLACK: Final = 0.01
"""Probabilities of a record may miss 1 by so much: producers round them."""

FAMILY: Final = "classes"
"""Registry of the numbers of classes."""

_PROBABILITY: Final = np.dtype("<f4")  # relative error 2⁻²⁵: 3·10⁻⁸ nats of a log loss


@dataclass(frozen=True)
class Multiclass:
    """One of several classes.

    What a record says of its probabilities is rounded to 32-bit floats before any use, for these are what a
    stub keeps until the label comes.

    Attributes:
        named: the classes as the settings list them; a list of probabilities is in this order.
        numbers: of each class, from 0; as listed until the store has given them.
    """

    name: ClassVar[str] = "multiclass"
    ranked: ClassVar[bool] = False
    fields: ClassVar[tuple[str, ...]] = ("probabilities", "decision")
    recorded: ClassVar[str] = "multiclass"

    named: tuple[str, ...]
    numbers: tuple[int, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """See `Task`."""
        return tuple(plain_class(name) for name in self.named)

    def numbered(self, numbers: Sequence[int]) -> Multiclass:
        """See `Task`."""
        return replace(self, numbers=tuple(numbers))

    @cached_property
    def _number(self) -> dict[str, int]:
        return dict(zip(self.classes, self.numbers or range(len(self.named)), strict=True))

    @cached_property
    def _name(self) -> dict[int, str]:
        return {number: name for name, number in self._number.items()}

    def class_of(self, value: Any) -> int:
        """The number of a class as records write it, `UNKNOWN` for what is none.

        >>> Multiclass(("cat", "dog")).class_of("dog"), Multiclass(("0", "1")).class_of(1.0)
        (1, 1)
        """
        if not isinstance(value, bool | int | float | str):
            return UNKNOWN
        return self._number.get(plain_class(value), UNKNOWN)

    def said(self, number: float) -> Any:
        """See `Task`."""
        return self._name.get(int(number), int(number))

    def read(self, columns: Mapping[str, Sequence[Any]]) -> tuple[Answers, list[Fault]]:
        """See `Task`. Without a decision it is the likeliest class, of equals the one listed first."""
        pairs = list(zip(columns["probabilities"], columns["decision"], strict=True))
        numbers = np.full(len(pairs), np.nan)
        decisions = np.full(len(pairs), UNKNOWN, np.int8)
        extras: list[bytes] = []
        faults: list[Fault] = []
        order = np.array(list(self._number.values()), np.int64)
        for i, (given, decision) in enumerate(pairs):
            probabilities = None if given is None else self._probabilities(given)
            if given is not None and probabilities is None:
                faults.append((i, Code.SCORE_RANGE, given))
            if decision is not None:
                decisions[i] = self.class_of(decision)
            elif probabilities is not None:
                decisions[i] = order[np.argmax(probabilities[order])]
            if probabilities is not None and decisions[i] != UNKNOWN:
                numbers[i] = probabilities[decisions[i]]
            extras.append(b"" if probabilities is None else probabilities.tobytes())
        return Answers(numbers, decisions, extras), faults

    def _probabilities(self, given: Any) -> NDArray[np.float32] | None:
        """Probabilities by class number, None for what is no distribution over the classes."""
        if isinstance(given, dict):
            pairs = [(self._number.get(plain_class(name), UNKNOWN), p) for name, p in given.items()]
        elif isinstance(given, list) and len(given) == len(self.named):
            pairs = list(zip(self._number.values(), given, strict=True))
        else:
            return None
        found = np.zeros(max(self._number.values()) + 1, _PROBABILITY)
        whole = 0.0
        for number, p in pairs:
            if number == UNKNOWN or isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
                return None
            found[number] = p
            whole += p
        return found if abs(whole - 1) <= SUM_SLACK else None

    def scores(self, answers: Answers) -> Floats:
        """See `Task`: the probability of the class decided for, how sure the model is."""
        return answers.numbers

    def shares(self, classes: NDArray[Any]) -> Floats:
        """See `Task`."""
        del classes
        return np.zeros(0)

    def label(self, value: Any) -> float | None:
        """See `Task`."""
        number = self.class_of(value)
        return None if number == UNKNOWN else float(number)

    def complaint(self, model: str) -> str:
        """See `Task`."""
        return f"is no class of {model} (classes)"

    def predicted(self, answers: Answers, invalid: Flags, tracked: Flags) -> Ints:
        """See `Task`."""
        values = prediction_values(answers.numbers, answers.decisions, invalid, tracked)
        values[:, Scalar.POSITIVE] = 0
        return values

    def predicted_cells(self, wide: Wide, answers: Answers) -> list[tuple[Kind, Cells]]:
        """See `Task`."""
        decided = np.flatnonzero(answers.decisions >= 0)
        cells = answers.decisions[decided].astype(np.int64) * CLASS_PARTS + CLASS_DECIDED
        return [
            (SCORES, score_cells(wide, answers.numbers, 0)),
            (CLASSES, spread(wide, decided, cells, np.ones(len(decided), np.int64))),
        ]

    def labelled(self, answers: Answers, labels: Floats) -> Ints:
        """See `Task`. Log loss in nats; the Brier score is half of `Σ (p - y)²`, as it is for two classes."""
        values = np.zeros((len(labels), len(Scalar)), np.int64)
        decided, right = answers.decisions >= 0, answers.decisions == labels
        values[:, Scalar.LABELLED] = 1
        values[:, Scalar.CORRECT] = decided & right
        values[:, Scalar.WRONG] = decided & ~right
        rated, p, squares = _of_truth(answers, labels)
        clipped = np.clip(p, LOG_LOSS_EPS, 1 - LOG_LOSS_EPS)
        loss = np.where(rated, -np.log(clipped), 0.0)
        brier = np.where(rated, (squares - 2 * p + 1) / 2, 0.0)
        values[:, Scalar.RATED] = rated
        values[:, Scalar.LOG_LOSS_SUM] = fixed(loss)
        values[:, Scalar.LOG_LOSS_SQ_SUM] = fixed(loss * loss)
        values[:, Scalar.BRIER_SUM] = fixed(brier)
        values[:, Scalar.BRIER_SQ_SUM] = fixed(brier * brier)
        values[:, Scalar.CLIPPED] = rated & (clipped != p)
        return values

    def labelled_cells(self, wide: Wide, answers: Answers, labels: Floats) -> list[tuple[Kind, Cells]]:
        """See `Task`."""
        judged = np.flatnonzero(answers.decisions >= 0)
        said = answers.decisions[judged].astype(np.int64)
        truth = labels[judged].astype(np.int64)
        ones = np.ones(len(judged), np.int64)
        cells = np.stack(
            [
                truth * CLASS_PARTS + CLASS_LABELLED,
                said * CLASS_PARTS + CLASS_SAID,
                truth * CLASS_PARTS + CLASS_RIGHT,
            ],
            axis=1,
        )
        amounts = np.stack([ones, ones, (said == truth).astype(np.int64)], axis=1)
        right = (answers.decisions == labels).astype(np.float64)
        return [
            (CLASSES, spread_all(wide, judged, cells, amounts)),
            (CONFUSION, spread(wide, judged, confusion_cell(truth, said), ones)),
            (CALIBRATION, calibration_cells(wide, answers.numbers, right)),
        ]


def _of_truth(answers: Answers, labels: Floats) -> tuple[Flags, Floats, Floats]:
    """Whether rows have probabilities, bool[n]; that of the true class and the sum of squares, float64[n]."""
    extras = answers.extras or [b""] * len(labels)
    rated = np.array([len(extra) > 0 for extra in extras], np.bool_)
    size = max((len(extra) for extra in extras), default=0)
    size = max(size, (int(labels.max(initial=0)) + 1) * _PROBABILITY.itemsize)
    joined = b"".join(extra.ljust(size, b"\0") for extra in extras)
    table = np.frombuffer(joined, _PROBABILITY).reshape(len(labels), -1).astype(np.float64)
    p = table[np.arange(len(labels)), labels.astype(np.int64)]
    # In order, so that a row's sum does not depend on how wide its neighbours are.
    squares = np.cumsum(table * table, axis=1)[:, -1]
    return rated, p, squares
