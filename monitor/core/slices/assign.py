"""Which rows belong to which slices, as integer codes.

A declaration turns each row into a *token* (a category, a bin, a version). A token becomes a slice id
once, through the store's append-only registry, and is remembered here: the work per row is a
dictionary look-up per declaration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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

    def tokens(
        self, features: Sequence[Features], versions: Sequence[str | None]
    ) -> list[list[Token | None]]:
        """Tokens per declaration and row; None is outside."""
        return [_tokens(spec, features, versions) for spec in self.specs]

    def unknown(self, tokens: Sequence[Sequence[Token | None]]) -> dict[int, list[Token]]:
        """Per declaration, tokens whose slice id is not known yet, in order of appearance."""
        result: dict[int, list[Token]] = {}
        for index, (known, column) in enumerate(zip(self._ids, tokens, strict=True)):
            fresh = [token for token in dict.fromkeys(column) if token is not None and token not in known]
            if fresh:
                result[index] = fresh
        return result

    def learn(self, declaration: int, token: Token, slice_id: int) -> None:
        """Remember a token's id. Memory is bounded: a flood of tokens is forgotten and asked again."""
        known = self._ids[declaration]
        if len(known) >= _CACHE_TOKENS_MAX:
            known.clear()
        known[token] = slice_id

    def codes(self, tokens: Sequence[Sequence[Token | None]]) -> NDArray[np.int64]:
        """Slice ids, int64[rows, declarations], `OUTSIDE` where a row is in none.

        Raises:
            KeyError: a token was never learned.
        """
        columns = [
            [OUTSIDE if token is None else known[token] for token in column]
            for known, column in zip(self._ids, tokens, strict=True)
        ]
        rows = len(tokens[0]) if tokens else 0
        return np.array(columns, np.int64).T.reshape(rows, len(columns)).copy()


def token_name(spec: SliceSpec, token: Token) -> str:
    """The slice's canonical name in the registry."""
    match spec:
        case CrossSlice():
            return slice_key(dict(zip(spec.features, token, strict=True)))
        case WhereSlice():
            return slice_key({"slice": spec.name})
        case _:
            return slice_key({spec.name: str(token)})


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
            columns = [[_text(row.get(name)) for row in features] for name in spec.features]
            return list(zip(*columns, strict=True))
        case BinSlice():
            return _bin_tokens(spec, [row.get(spec.feature) for row in features])
        case WhereSlice():
            return ["in" if _holds(spec, row) else None for row in features]
        case VersionSlice():
            return [None if version is None else _text(version) for version in versions]


def _bin_tokens(spec: BinSlice, values: Sequence[Any]) -> list[Token | None]:
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
