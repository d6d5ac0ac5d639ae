"""Values of many records by column, each column gone over once: as numbers, or as a few distinct values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_NUMBERS: Final = frozenset({int, float, type(None)})
_TEXT: Final = frozenset({str, type(None)})


@dataclass(frozen=True)
class Factor:
    """A column as distinct values and where each stands.

    Attributes:
        values: in order of first appearance; the same value may come twice.
        index: int64[n], place of each row's value.
    """

    values: Sequence[Any]
    index: Ints

    def of(self, found: Sequence[int]) -> Ints:
        """A number per distinct value as a number per row, int64[n]."""
        return np.array(found, np.int64)[self.index] if len(self.index) else np.zeros(0, np.int64)


def factor(column: Sequence[Any]) -> Factor:
    """Distinct values of a column.

    1, 1.0 and true are equal to Python and not to people: a column of several types is not condensed.

    >>> found = factor(["b", "a", "b", None])
    >>> found.values, found.index.tolist()
    (['b', 'a', None], [0, 1, 0, 2])
    """
    types = set(map(type, column))
    if types <= _TEXT or types in ({bool}, {int}, {float}):
        if column and column[0] == column[-1] and column.count(column[0]) == len(column):
            return Factor(column[:1], np.zeros(len(column), np.int64))
        places = {value: place for place, value in enumerate(dict.fromkeys(column))}
        index = np.fromiter(map(places.__getitem__, column), np.int64, len(column))
        return Factor(list(places), index)
    return Factor(column, np.arange(len(column)))


def number(value: Any) -> float:
    """A JSON number as float, NaN for everything else; an integer beyond float's range is infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return np.nan
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def numbers(column: Sequence[Any]) -> Floats:
    """`number` of each value, float64[n]."""
    if set(map(type, column)) <= _NUMBERS:
        try:
            return np.array(column, np.float64)
        except OverflowError:
            pass
    return np.array([number(value) for value in column], np.float64)


class Columns(Sequence[Mapping[str, Any]]):
    """Features of n records: row by row as they were sent, and by column.

    Args:
        rows: n dictionaries as decoded.
        known: columns that were read already, n values each, None where a row has none.
    """

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], known: Mapping[str, Sequence[Any]] | None = None
    ) -> None:
        self._rows = rows
        self._columns: dict[str, Sequence[Any]] = dict(known or {})
        self._factors: dict[str, Factor] = {}
        self._numbers: dict[str, Floats] = {}

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Columns:
        """The columns of rows; the same object where they are columns already."""
        return rows if isinstance(rows, Columns) else cls(rows)

    def of_rows(self, rows: Sequence[Mapping[str, Any]]) -> Columns:
        """The same columns, with what was made of them, of rows as they were sent."""
        shared = Columns(rows)
        shared._columns, shared._factors, shared._numbers = self._columns, self._factors, self._numbers
        return shared

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, at: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        return self._rows[at]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self._rows)

    def column(self, name: str) -> Sequence[Any]:
        """Values of one feature, None where a row has none."""
        if name not in self._columns:
            self._columns[name] = [row.get(name) for row in self._rows]
        return self._columns[name]

    def factor(self, name: str) -> Factor:
        """Distinct values of one feature."""
        if name not in self._factors:
            self._factors[name] = factor(self.column(name))
        return self._factors[name]

    def numbers(self, name: str) -> Floats:
        """One feature as numbers, float64[n], NaN where there is none."""
        if name not in self._numbers:
            self._numbers[name] = numbers(self.column(name))
        return self._numbers[name]
