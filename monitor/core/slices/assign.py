"""Which rows belong to which slices, as integer codes.

A declaration turns each row into a *token* (a category, a bin, a version). A token becomes a slice id
once, through the store's append-only registry, and is remembered here: the work per row is a
dictionary look-up per declaration.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.slices.spec import (
    MISSING,
    OTHER,
    BinSlice,
    CategorySlice,
    CrossSlice,
    SliceSpec,
    VersionSlice,
    WhereSlice,
    slice_key,
)

OUTSIDE: Final = -1
"""In an assignment: the row is in no slice of this declaration."""

_TOKEN_CHARS_MAX = 100
_CACHE_TOKENS_MAX = 50_000

# What moves a cursor, ends a line or turns the reading direction: a name is shown to people.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

Token = str | tuple[str, ...]
Features = Mapping[str, Any]


class SliceAssigner:
    """Slice codes of the rows of one model.

    Args:
        specs: declarations, in order; a `VersionSlice` is expected among them.
    """

    def __init__(self, specs: Sequence[SliceSpec]) -> None:
        self.specs = tuple(specs)
        self._ids: list[dict[Token, int]] = [{} for _ in specs]
        # Declarations whose slices may bear the same names: a row is in such a slice once.
        self._alike = [
            (one, other)
            for one, other in combinations(range(len(self.specs)), 2)
            if _names(self.specs[one]) == _names(self.specs[other])
        ]

    def tokens(
        self, features: Sequence[Features], versions: Sequence[str | None]
    ) -> list[list[Token | None]]:
        """Tokens per declaration and row; None is outside."""
        return [_tokens(spec, features, versions) for spec in self.specs]

    def unknown(self, tokens: Sequence[Sequence[Token | None]]) -> dict[int, list[Token]]:
        """Per declaration, tokens whose slice id is not known yet, in order of appearance.

        Memory is bounded: here, before a batch, a flood of tokens is forgotten, to be asked again.
        """
        result: dict[int, list[Token]] = {}
        for index, (known, column) in enumerate(zip(self._ids, tokens, strict=True)):
            if len(known) >= _CACHE_TOKENS_MAX:
                known.clear()
            fresh = [token for token in dict.fromkeys(column) if token is not None and token not in known]
            if fresh:
                result[index] = fresh
        return result

    def learn(self, declaration: int, token: Token, slice_id: int) -> None:
        """Remember a token's id."""
        self._ids[declaration][token] = slice_id

    def codes(self, tokens: Sequence[Sequence[Token | None]]) -> NDArray[np.int64]:
        """Slice ids, int64[rows, declarations], `OUTSIDE` where a row is in none.

        Where two declarations put a row in the same slice, the first does.

        Raises:
            KeyError: a token was not learned since `unknown` named it.
        """
        columns = [
            [OUTSIDE if token is None else known[token] for token in column]
            for known, column in zip(self._ids, tokens, strict=True)
        ]
        rows = len(tokens[0]) if tokens else 0
        codes = np.array(columns, np.int64).T.reshape(rows, len(columns)).copy()
        for one, other in self._alike:
            codes[codes[:, one] == codes[:, other], other] = OUTSIDE
        return codes


def token_name(spec: SliceSpec, token: Token) -> str:
    """The slice's canonical name in the registry; control characters are written as escapes."""
    match spec:
        case CrossSlice():
            values = [_CONTROLS.sub(_escaped, part) for part in token]
        case WhereSlice():
            values = [spec.name]
        case _:
            values = [_CONTROLS.sub(_escaped, str(token))]
    return slice_key(dict(zip(_names(spec), values, strict=True)))


def _names(spec: SliceSpec) -> tuple[str, ...]:
    """What a declaration's slices are named by."""
    match spec:
        case CrossSlice():
            return spec.features
        case WhereSlice():
            return ("slice",)
        case _:
            return (spec.name,)


def _escaped(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")


def other_token(spec: SliceSpec) -> Token:
    """The token of everything beyond a declaration's cap."""
    return (OTHER,) * len(spec.features) if isinstance(spec, CrossSlice) else OTHER


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value if len(value) <= _TOKEN_CHARS_MAX else value[:_TOKEN_CHARS_MAX] + "…"
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isnan(value):
        return MISSING
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)[:_TOKEN_CHARS_MAX]
    return "(not a value)"


def _tokens(
    spec: SliceSpec, features: Sequence[Features], versions: Sequence[str | None]
) -> list[Token | None]:
    match spec:
        case CategorySlice():
            name = spec.feature
            return [_text(row.get(name)) for row in features]
        case CrossSlice():
            return list(zip(*(_values(spec, name, features) for name in spec.features), strict=True))
        case BinSlice():
            return [*_bin_tokens(spec, [row.get(spec.feature) for row in features])]
        case WhereSlice():
            return ["in" if _holds(spec, row) else None for row in features]
        case VersionSlice():
            return [None if version is None else _text(version) for version in versions]


def _values(spec: CrossSlice, name: str, features: Sequence[Features]) -> list[str]:
    """One side of a crossing: its bins, where it has some."""
    values = [row.get(name) for row in features]
    for bins in spec.bins:
        if bins.feature == name:
            return _bin_tokens(bins, values)
    return [_text(value) for value in values]


def _bin_tokens(spec: BinSlice, values: Sequence[Any]) -> list[str]:
    numbers = np.array([_number(value) for value in values], np.float64)
    labels = (*spec.labels, MISSING)
    index = np.searchsorted(np.array(spec.bins), numbers, side="right")
    index[np.isnan(numbers)] = len(labels) - 1
    return [labels[i] for i in index.tolist()]


def _number(value: Any) -> float:
    """A JSON number as float, NaN for everything else; an integer beyond float's range is infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return np.nan
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _holds(spec: WhereSlice, row: Features) -> bool:
    return all(_test(row.get(feature), operator, operand) for feature, operator, operand in spec.where)


def _test(value: Any, operator: str, operand: Any) -> bool:
    match operator:
        case "eq":
            return bool(value == operand)
        case "ne":
            return value is not None and bool(value != operand)
        case "in":
            return any(value == item for item in operand)
    number = _number(value)
    match operator:
        case "lt":
            return bool(number < operand)
        case "le":
            return bool(number <= operand)
        case "gt":
            return bool(number > operand)
        case _:
            return bool(number >= operand)
