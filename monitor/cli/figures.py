"""Numbers for people, and how many columns of them a page has room for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

_GROUPED_FROM: Final = 999.5
_POWERS_FROM: Final = 1e9
_GAP: Final = 2
"""Between two columns of a table."""


def number(value: float, signed: bool = False) -> str:
    """A number to three digits behind the point, or to its whole part with groups where that is long.

    >>> number(0.81234), number(75_796.66), number(-12.3456), number(3.2e12), number(0.00002)
    ('0.812', '75,797', '-12.35', '3.20e+12', '2e-05')
    >>> number(0.5, signed=True), number(12_345.6, signed=True), number(0.0)
    ('+0.500', '+12,346', '0.000')
    """
    size = abs(value)
    sign = "+" if signed else ""
    if size >= _POWERS_FROM:
        return f"{value:{sign}.2e}"
    if size >= _GROUPED_FROM:
        return f"{value:{sign},.0f}"
    if 0 < size < 0.0005:
        return f"{value:{sign}.0e}"
    return f"{value:{sign}.{3 if size < 9.9995 else 2 if size < 99.995 else 1}f}"


def fitting(widths: Mapping[str, int], room: int, least_first: Sequence[str] = ()) -> list[str]:
    """The columns that a page has room for, at least one: those of least interest are left out first.

    Args:
        widths: characters of each column, in the order in which they are shown.
        room: characters there are, the gaps between columns among them.
        least_first: columns of least interest; after them the last ones go.

    >>> fitting({"coverage": 8, "f1": 5, "accuracy": 8, "log_loss": 5}, 22, ["log_loss", "f1"])
    ['coverage', 'accuracy']
    >>> fitting({"mae": 7, "rmse": 7}, 3)
    ['mae']
    """
    shown = list(widths)
    going = [name for name in least_first if name in widths]
    going += [name for name in reversed(shown) if name not in going]
    while len(shown) > 1 and needed(widths[name] for name in shown) > room:
        shown.remove(going.pop(0))
    return shown


def needed(widths: Iterable[int]) -> int:
    """Characters of columns with the gaps between them.

    >>> needed([8, 5])
    17
    """
    return sum(width + _GAP for width in widths)
