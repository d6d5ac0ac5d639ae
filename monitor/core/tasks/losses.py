"""Cells of regression by what was predicted: how many rows, and what the labelled ones were off by.

A bin of the value is known before its label, so where labels wait, the bins tell what errors to expect
(`monitor.core.estimation.dle`). All is in units of a model's own, sums exact as in `moments`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import Counts
from monitor.core.tasks.limbs import LIMB_BITS, limbs

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BINS_PER_OCTAVE: Final = 4
LOG2_MIN: Final = -12
SIZES: Final = (31 - LOG2_MIN) * BINS_PER_OCTAVE + 1
"""Sizes of a value that are told apart: 19 % wide each, from 2⁻¹² units to 2³¹, ends clipped."""

VALUE_BINS: Final = 2 * SIZES + 1
"""Bin 0 holds what is smaller than all sizes; then bins in pairs, above zero and below, from small to large:
an array is as long as its last cell, and most models say one sign."""


class LossPart(IntEnum):
    """Cells per bin of the value; cell = bin * len(LossPart) + part."""

    VALUED = 0  # predictions
    JUDGED = 1  # labelled
    ERROR = 2  # their absolute errors: two limbs, one behind the point
    ERROR_HIGH = 3
    ERROR_2 = 4  # squares of their errors: three limbs, one behind the point
    ERROR_2_MIDDLE = 5
    ERROR_2_HIGH = 6


_PARTS: Final = len(LossPart)
_BY_VALUE: Final = np.r_[np.arange(VALUE_BINS - 1, 0, -2), 0, np.arange(1, VALUE_BINS, 2)]
_OF_LABELS: Final = np.arange(LossPart.JUDGED, _PARTS)


def value_bin(values: Floats) -> Ints:
    """Bin of each value, in units, int64[n].

    >>> value_bin(np.array([0.0, 1.0, -1.0, 1.19, 2.0**31])).tolist()
    [0, 97, 98, 99, 345]
    """
    with np.errstate(divide="ignore"):
        position = np.floor((np.log2(np.abs(values)) - LOG2_MIN) * BINS_PER_OCTAVE)
    size = np.clip(position, -1, SIZES - 1).astype(np.int64)
    return np.where(size < 0, 0, 1 + 2 * size + (values < 0))


def valued_cells(values: Floats) -> Ints:
    """The cell each prediction adds one to, int64[n]."""
    return value_bin(values) * _PARTS + LossPart.VALUED


def judged_cells(values: Floats, errors: Floats) -> tuple[Ints, Ints]:
    """Cells that labelled rows add to, and amounts, int64[n, 6] each; both arguments in units."""
    cells = value_bin(values)[:, None] * _PARTS + _OF_LABELS
    amounts = np.ones_like(cells)
    size = np.abs(errors)
    amounts[:, LossPart.ERROR - 1 : LossPart.ERROR_2 - 1] = limbs(size, 2, 1)
    amounts[:, LossPart.ERROR_2 - 1 :] = limbs(size * size, 3, 1)
    return cells, amounts


def value_sizes() -> Floats:
    """Size in the middle of each bin, in units, in the order of `Losses`, float64[VALUE_BINS]."""
    middle = np.exp2(LOG2_MIN + (np.arange(SIZES) + 0.5) / BINS_PER_OCTAVE)
    return np.concatenate([middle[::-1], [2.0**LOG2_MIN], middle])


@dataclass(frozen=True)
class Losses:
    """A `losses` array as it is read; bins in the order of their values, the most negative first.

    Attributes:
        valued: predictions, int64[VALUE_BINS].
        judged: labelled ones, int64[VALUE_BINS].
        error: sum of absolute errors, in units, float64[VALUE_BINS].
        error_2: sum of squared errors, in units², float64[VALUE_BINS].
    """

    valued: Counts
    judged: Counts
    error: Floats
    error_2: Floats

    @classmethod
    def of(cls, cells: Counts | None) -> Losses:
        """Read the array of a slice, of any length; None is an empty one."""
        table = np.zeros(VALUE_BINS * _PARTS, np.int64)
        if cells is not None:
            table[: len(cells)] = cells
        parts = table.reshape(VALUE_BINS, _PARTS)[_BY_VALUE]
        return cls(
            parts[:, LossPart.VALUED],
            parts[:, LossPart.JUDGED],
            _sums(parts[:, LossPart.ERROR : LossPart.ERROR_2]),
            _sums(parts[:, LossPart.ERROR_2 :]),
        )


def _sums(parts: Counts) -> Floats:
    """Sums of limbs, one of them behind the point."""
    powers = np.exp2(LIMB_BITS * (np.arange(parts.shape[1]) - 1.0))
    return np.asarray(parts @ powers, np.float64)
