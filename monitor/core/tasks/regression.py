"""Regression models: a value, a label that is a number, perhaps an interval in which it is expected."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.contributions import Cells, Wide, spread, spread_all
from monitor.core.counters import LOSSES, RESIDUALS, VALUES, Kind, Scalar
from monitor.core.schema.violations import Code
from monitor.core.tasks.answers import UNKNOWN, Answers, Fault, Flags, Floats, Ints
from monitor.core.tasks.losses import judged_cells, valued_cells
from monitor.core.tasks.moments import (
    RANGE,
    Counted,
    Moment,
    amounts,
    residual_bin,
)

UNIT_EXPONENT_MAX: Final = 512
"""Units reach from 2^-512 to 2^512; values in units stay far from the ends of float64."""

_INTERVAL = struct.Struct("<dd")


@dataclass(frozen=True)
class Regression:
    """A number.

    Values and labels are counted in units of a power of two and must lie within ±2³¹ of them; what lies
    beyond is refused, a value as a violation of the record and a label as a dead letter, so that no sum is
    ever cut short.

    Attributes:
        exponent: the unit is `2 ** exponent`.
    """

    name: ClassVar[str] = "regression"
    ranked: ClassVar[bool] = False
    fields: ClassVar[tuple[str, ...]] = ("value", "interval", "interval_low", "interval_high")
    classes: ClassVar[tuple[str, ...]] = ()

    exponent: int = 0

    @classmethod
    def in_units_of(cls, unit: float) -> Regression:
        """With the power of two nearest to `unit`, a positive number.

        >>> Regression.in_units_of(1000.0).unit
        1024.0
        """
        return cls(round(math.log2(unit)))

    @property
    def unit(self) -> float:
        """What values are counted in."""
        return math.ldexp(1.0, self.exponent)

    @property
    def recorded(self) -> str:
        """See `Task`: sums in another unit are other sums."""
        return f"regression in units of 2^{self.exponent}"

    def numbered(self, numbers: Sequence[int]) -> Regression:
        """See `Task`: there are no classes."""
        del numbers
        return self

    def said(self, number: float) -> Any:
        """See `Task`."""
        return number

    def read(self, columns: Mapping[str, Sequence[Any]]) -> tuple[Answers, list[Fault]]:
        """See `Task`. An interval comes as two numbers, as `{low, high}`, or as two fields, both of them."""
        rows = list(zip(*(columns[field] for field in self.fields), strict=True))
        numbers = np.full(len(rows), np.nan)
        extras: list[bytes] = []
        faults: list[Fault] = []
        for i, (value, whole, low, high) in enumerate(rows):
            interval = [low, high] if whole is None and not (low is None and high is None) else whole
            if value is not None:
                number = self._number(value)
                if number is None:
                    faults.append((i, Code.SCORE_RANGE, value))
                else:
                    numbers[i] = number
            ends = None
            if interval is not None:
                ends = self._ends(interval)
                if ends is None:
                    faults.append((i, Code.SCORE_RANGE, interval))
            extras.append(b"" if ends is None else _INTERVAL.pack(*ends))
        return Answers(numbers, np.full(len(rows), UNKNOWN, np.int8), extras), faults

    def _number(self, value: Any) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        # An integer too large for a float is compared without becoming one.
        return float(value) if -RANGE * self.unit <= value <= RANGE * self.unit else None

    def _ends(self, given: Any) -> tuple[float, float] | None:
        pair = (given.get("low"), given.get("high")) if isinstance(given, dict) else given
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return None
        low, high = (self._number(end) for end in pair)
        return (low, high) if low is not None and high is not None and low <= high else None

    def scores(self, answers: Answers) -> Floats:
        """See `Task`: a value is no probability."""
        return np.full(len(answers.numbers), np.nan)

    def shares(self, classes: NDArray[Any]) -> Floats:
        """See `Task`."""
        del classes
        return np.zeros(0)

    def label(self, value: Any) -> float | None:
        """See `Task`."""
        return self._number(value)

    def complaint(self, model: str) -> str:
        """See `Task`."""
        return f"is no number within ±{RANGE * self.unit:g}, the range of {model} (unit)"

    def predicted(self, answers: Answers, invalid: Flags, tracked: Flags) -> Ints:
        """See `Task`."""
        values = np.zeros((len(answers.numbers), len(Scalar)), np.int64)
        values[:, Scalar.REQUESTS] = 1
        values[:, Scalar.INVALID] = invalid
        values[:, Scalar.TRACKED] = tracked
        return values

    def predicted_cells(self, wide: Wide, answers: Answers) -> list[tuple[Kind, Cells]]:
        """See `Task`."""
        rows = np.flatnonzero(~np.isnan(answers.numbers))
        value = answers.numbers[rows] / self.unit
        given = amounts({Moment.VALUE: value, Moment.VALUE_2: value * value}, len(rows))
        given[:, Counted.VALUED] = 1
        ones = np.ones(len(rows), np.int64)
        return [
            (VALUES, _every(wide, rows, given)),
            (LOSSES, spread(wide, rows, valued_cells(value), ones)),
        ]

    def labelled(self, answers: Answers, labels: Floats) -> Ints:
        """See `Task`."""
        del answers
        values = np.zeros((len(labels), len(Scalar)), np.int64)
        values[:, Scalar.LABELLED] = 1
        return values

    def labelled_cells(self, wide: Wide, answers: Answers, labels: Floats) -> list[tuple[Kind, Cells]]:
        """See `Task`."""
        rows = np.flatnonzero(~np.isnan(answers.numbers))
        label, value = labels[rows] / self.unit, answers.numbers[rows] / self.unit
        error = value - label
        error_2, label_2 = error * error, label * label
        given = amounts(
            {
                Moment.ERROR: error,
                Moment.ERROR_2: error_2,
                Moment.ERROR_4: error_2 * error_2,
                Moment.LABEL: label,
                Moment.LABEL_2: label_2,
                Moment.LABEL_3: label_2 * label,
                Moment.LABEL_4: label_2 * label_2,
                Moment.ERROR_2_LABEL: error_2 * label,
                Moment.ERROR_2_LABEL_2: error_2 * label_2,
            },
            len(rows),
        )
        given[:, Counted.JUDGED] = 1
        if answers.extras is not None:
            low, high = _ends_of([answers.extras[i] for i in rows.tolist()])
            truth = labels[rows]
            given[:, Counted.INTERVALS] = ~np.isnan(low)
            given[:, Counted.BELOW] = truth < low
            given[:, Counted.ABOVE] = truth > high
        bins = residual_bin(error)
        return [
            (VALUES, _every(wide, rows, given)),
            (RESIDUALS, spread(wide, rows, bins, np.ones(len(rows), np.int64))),
            (LOSSES, spread_all(wide, rows, *judged_cells(value, error))),
        ]


def _every(wide: Wide, rows: Ints, given: Ints) -> Cells:
    """All columns of amounts that have any, int64[r, c], as cells of the rows."""
    used = np.flatnonzero(given.any(axis=0))
    return spread_all(wide, rows, np.tile(used, (len(rows), 1)), given[:, used])


def _ends_of(extras: Sequence[bytes]) -> tuple[Floats, Floats]:
    """Ends of intervals, float64[n] each, NaN where there is none."""
    nothing = _INTERVAL.pack(math.nan, math.nan)
    table = np.frombuffer(b"".join(extra or nothing for extra in extras), "<f8").reshape(-1, 2)
    return table[:, 0], table[:, 1]
