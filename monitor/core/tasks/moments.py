"""Cells of regression: sums of powers of values, labels and errors, exact; and bins of absolute errors.

All are in units of a model's own (`monitor.core.tasks.regression`). A signed sum is two, of what lies above
zero and of what lies below: cells only grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.tasks.limbs import limbs, total

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

RANGE: Final = 2.0**31
"""Values and labels lie within ±RANGE units, so that a limb more holds the fourth power of any error."""


class Counted(IntEnum):
    """Cells of the values array that count rows."""

    VALUED = 0  # predictions with a value
    JUDGED = 1  # labelled, with a value
    INTERVALS = 2  # labelled, with an interval
    BELOW = 3  # the label lies below its interval
    ABOVE = 4  # above it


class Moment(StrEnum):
    """Sums of the values array. All but those of the value are over judged rows; error = value - label."""

    VALUE = "value"
    VALUE_2 = "value²"
    ERROR = "error"
    ERROR_2 = "error²"
    ERROR_4 = "error⁴"
    LABEL = "label"
    LABEL_2 = "label²"
    LABEL_3 = "label³"
    LABEL_4 = "label⁴"
    ERROR_2_LABEL = "error² label"
    ERROR_2_LABEL_2 = "error² label²"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sum lies: `count` limbs from `start`, of what is positive; as many more of what is not."""

    start: int
    count: int
    fraction: int  # limbs behind the point
    signed: bool

    @property
    def end(self) -> int:
        """The cell after it."""
        return self.start + self.count * (2 if self.signed else 1)


COUNTS: Final = len(Counted)


def _lay_out() -> dict[Moment, Place]:
    """Values span 2³¹ units and are kept to 2⁻³²; their powers to 2⁻⁶⁴."""
    shapes = {
        Moment.VALUE: (2, 1, True),
        Moment.VALUE_2: (4, 2, False),
        Moment.ERROR: (2, 1, True),
        Moment.ERROR_2: (4, 2, False),
        Moment.ERROR_4: (6, 2, False),
        Moment.LABEL: (2, 1, True),
        Moment.LABEL_2: (4, 2, False),
        Moment.LABEL_3: (5, 2, True),
        Moment.LABEL_4: (6, 2, False),
        Moment.ERROR_2_LABEL: (5, 2, True),
        Moment.ERROR_2_LABEL_2: (6, 2, False),
    }
    places: dict[Moment, Place] = {}
    start = COUNTS
    for moment, (count, fraction, signed) in shapes.items():
        places[moment] = Place(start, count, fraction, signed)
        start = places[moment].end
    return places


PLACES: Final = _lay_out()
CELLS: Final = max(place.end for place in PLACES.values())
"""Cells of the values array."""


def amounts(columns: Mapping[Moment, Floats], rows: int) -> Ints:
    """What rows add to the values array, int64[rows, CELLS].

    Args:
        columns: moment → float64[rows], in units.
        rows: how many.
    """
    found = np.zeros((rows, CELLS), np.int64)
    for moment, column in columns.items():
        place = PLACES[moment]
        middle = place.start + place.count
        found[:, place.start : middle] = limbs(np.maximum(column, 0.0), place.count, place.fraction)
        if place.signed:
            found[:, middle : place.end] = limbs(np.maximum(-column, 0.0), place.count, place.fraction)
    return found


def moment_of(cells: Ints, moment: Moment) -> Fraction:
    """A sum, in units to its power."""
    return _up(cells, moment) - _down(cells, moment)


def size_of(cells: Ints, moment: Moment) -> Fraction:
    """The sum of absolute amounts."""
    return _up(cells, moment) + _down(cells, moment)


def _up(cells: Ints, moment: Moment) -> Fraction:
    place = PLACES[moment]
    return total(cells[place.start : place.start + place.count], place.fraction)


def _down(cells: Ints, moment: Moment) -> Fraction:
    place = PLACES[moment]
    return total(cells[place.start + place.count : place.end], place.fraction)


RESIDUALS_PER_OCTAVE: Final = 8
RESIDUAL_LOG2_MIN: Final = -40
RESIDUAL_BINS: Final = (32 - RESIDUAL_LOG2_MIN) * RESIDUALS_PER_OCTAVE + 1
"""Bin 0 is below 2⁻⁴⁰ units, zero too; then 8 an octave, 9 % wide each, up to 2³² units."""


def residual_bin(errors: Floats) -> Ints:
    """Bin of each absolute error, int64[n].

    >>> residual_bin(np.array([0.0, -1.0, 1.999, 2.0])).tolist()
    [0, 321, 328, 329]
    """
    with np.errstate(divide="ignore"):
        position = np.floor((np.log2(np.abs(errors)) - RESIDUAL_LOG2_MIN) * RESIDUALS_PER_OCTAVE)
    bins: Ints = np.clip(position + 1, 0, RESIDUAL_BINS - 1).astype(np.int64)
    return bins


def residual_edges() -> Floats:
    """Edges of the bins in units, float64[RESIDUAL_BINS + 1]; the first is 0."""
    powers = RESIDUAL_LOG2_MIN + np.arange(RESIDUAL_BINS) / RESIDUALS_PER_OCTAVE
    return np.concatenate([[0.0], np.exp2(powers)])
