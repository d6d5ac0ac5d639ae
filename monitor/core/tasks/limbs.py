"""Sums of real numbers that are exact over a huge range: an amount is a few whole numbers of 32 bits.

A fixed-point number of 128 bits does not fit a counter of 64, but its four *limbs* do, each in a cell of its
own. Cells are added like any other, and carry when they are read: 2³¹ rows fit before one is full.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

LIMB_BITS: Final = 32

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def limbs(values: Floats, count: int, fraction: int) -> Ints:
    """Limbs of numbers, the lowest first, int64[n, count].

    `Σ limbs[:, i] 2^(32 i) = rint(values 2^(32 fraction))`, exactly: rounded once, per number.

    Args:
        values: float64[n], in [0, 2^(32 (count - fraction))].
        count: limbs of a number.
        fraction: how many of them lie behind the point.

    >>> limbs(np.array([1.5, 2.0**32]), 3, 1).tolist()
    [[2147483648, 1, 0], [0, 0, 1]]
    """
    rest = np.rint(np.ldexp(values, LIMB_BITS * fraction))
    found = np.empty((len(values), count), np.int64)
    # A float64 has 53 bits: to take the upper limbs off it leaves no remainder that does not fit.
    for limb in reversed(range(count)):
        step = float(2 ** (LIMB_BITS * limb))
        top = np.floor(rest / step)
        rest = rest - top * step
        found[:, limb] = top
    return found


def total(cells: Ints, fraction: int) -> Fraction:
    """The number that summed limbs stand for.

    >>> total(np.array([2**31, 1, 0]), 1)
    Fraction(3, 2)
    """
    whole = sum(int(cell) << (LIMB_BITS * at) for at, cell in enumerate(cells.tolist()))
    return Fraction(whole, 1 << (LIMB_BITS * fraction))
