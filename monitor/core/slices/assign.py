"""Which rows belong to which slices, as integer codes.

A declaration turns each row into a *token* (a category, a bin, a version). A token becomes a slice id
once, through the store's append-only registry, and is remembered here: Python sees the distinct values
of a chunk, numpy the rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.columns import Columns, Factor, factor
from monitor.core.slices.spec import (
    MISSING,
    NO_VALUE,
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

_ORDER: Final = {"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}

Token = str | tuple[str, ...]
Features = Mapping[str, Any]


@dataclass(frozen=True)
class TokenColumn:
    """Tokens of n rows under one declaration; iterating gives a token a row, None outside.

    Attributes:
        distinct: tokens in order of first appearance; the same may come twice.
        index: int64[n], place of each row's token.
    """

    distinct: Sequence[Token | None]
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[Token | None]:
        return (self.distinct[place] for place in self.index.tolist())


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

    def tokens(self, features: Sequence[Features], versions: Sequence[str | None]) -> list[TokenColumn]:
        """Tokens per declaration and row."""
        columns = Columns.of(features)
        return [_tokens(spec, columns, versions) for spec in self.specs]

    def unknown(self, tokens: Sequence[TokenColumn]) -> dict[int, list[Token]]:
        """Per declaration, tokens whose slice id is not known yet, in order of appearance.

        Memory is bounded: here, before a batch, a flood of tokens is forgotten, to be asked again.
        """
        result: dict[int, list[Token]] = {}
        for place, (known, column) in enumerate(zip(self._ids, tokens, strict=True)):
            if len(known) >= _CACHE_TOKENS_MAX:
                known.clear()
            distinct = dict.fromkeys(column.distinct)
            fresh = [token for token in distinct if token is not None and token not in known]
            if fresh:
                result[place] = fresh
        return result

    def learn(self, declaration: int, token: Token, slice_id: int) -> None:
        """Remember a token's id."""
        self._ids[declaration][token] = slice_id

    def codes(self, tokens: Sequence[TokenColumn]) -> NDArray[np.int64]:
        """Slice ids, int64[rows, declarations], `OUTSIDE` where a row is in none.

        Where two declarations put a row in the same slice, the first does.

        Raises:
            KeyError: a token was not learned since `unknown` named it.
        """
        rows = len(tokens[0]) if tokens else 0
        codes = np.empty((rows, len(tokens)), np.int64)
        for place, (known, column) in enumerate(zip(self._ids, tokens, strict=True)):
            if rows:
                ids = [OUTSIDE if token is None else known[token] for token in column.distinct]
                codes[:, place] = np.array(ids, np.int64)[column.index]
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
    return NO_VALUE


def _tokens(spec: SliceSpec, features: Columns, versions: Sequence[str | None]) -> TokenColumn:
    match spec:
        case CategorySlice():
            return _texts(features.factor(spec.feature))
        case CrossSlice():
            return _crossed([_side(spec, name, features) for name in spec.features])
        case BinSlice():
            return _bins(spec, features)
        case WhereSlice():
            inside = np.ones(len(features), np.bool_)
            for feature, operator, operand in spec.where:
                inside &= _test(features, feature, operator, operand)
            if not inside.any():
                return TokenColumn([None], np.zeros(len(features), np.int64))
            return TokenColumn(["in", None], np.where(inside, 0, 1))
        case VersionSlice():
            found = factor(versions)
            return TokenColumn([None if v is None else _text(v) for v in found.values], found.index)


def _texts(found: Factor) -> TokenColumn:
    return TokenColumn([_text(value) for value in found.values], found.index)


def _side(spec: CrossSlice, name: str, features: Columns) -> TokenColumn:
    """One side of a crossing: its bins, where it has some."""
    for bins in spec.bins:
        if bins.feature == name:
            return _bins(bins, features)
    return _texts(features.factor(name))


def _crossed(sides: Sequence[TokenColumn]) -> TokenColumn:
    combined = sides[0].index
    for side in sides[1:]:
        combined = combined * len(side.distinct) + side.index
    first, index = _by_appearance(combined)
    parts = [[side.distinct[place] for place in side.index[first].tolist()] for side in sides]
    return TokenColumn(list(zip(*parts, strict=True)), index)


def _bins(spec: BinSlice, features: Columns) -> TokenColumn:
    numbers = features.numbers(spec.feature)
    labels = (*spec.labels, MISSING)
    at = np.searchsorted(np.array(spec.bins), numbers, side="right")
    at[np.isnan(numbers)] = len(labels) - 1
    first, index = _by_appearance(at)
    return TokenColumn([labels[place] for place in at[first].tolist()], index)


def _by_appearance(codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row of the first of each distinct code, increasing, and each row's place in that list."""
    _, first, index = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return first[order], places[index]


def _test(features: Columns, name: str, operator: str, operand: Any) -> NDArray[np.bool_]:
    """Which rows meet a condition, bool[n]."""
    if operator in {"eq", "ne", "in"}:
        found = features.factor(name)
        met = [_is(value, operator, operand) for value in found.values]
        return np.array(met, np.bool_)[found.index]
    numbers = features.numbers(name)
    met_by: NDArray[np.bool_] = _ORDER[operator](numbers, operand)
    return met_by


def _is(value: Any, operator: str, operand: Any) -> bool:
    match operator:
        case "eq":
            return bool(value == operand)
        case "ne":
            return value is not None and bool(value != operand)
        case _:
            return any(value == item for item in operand)
