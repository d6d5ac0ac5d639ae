"""The forms in which a person declares slices.

    slices:
      - sex                                              # a slice for each category
      - [sex, race]                                      # a slice for each pair that occurs
      - [sex, {feature: age, bins: [25, 40, 65]}]        # the same, with a number in bins
      - {feature: age, bins: [25, 40, 65]}               # (-inf, 25) [25, 40) [40, 65) [65, inf)
      - {feature: merchant, top: 50}                     # the first 50 values seen, the rest "(other)"
      - {name: new users, where: {account_age_days: {lt: 30}}}

The model version is always a slice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from monitor.core.schema.feature import number_text
from monitor.core.shown import shown

OTHER: Final = "(other)"
MISSING: Final = "(missing)"
NO_VALUE: Final = "(not a value)"
CATCH_ALL: Final = frozenset({OTHER, MISSING, NO_VALUE})
"""Tokens of rows that have no value of their own: a group that nobody belongs to."""

VALUES_MAX: Final = 100
"""Values of one declared category or crossing that get a slice of their own, unless `top` says otherwise."""

OPERATORS: Final = ("lt", "le", "gt", "ge", "eq", "ne", "in")


def slice_key(parts: Mapping[str, str]) -> str:
    """Canonical name of a slice in the registry.

    >>> slice_key({"sex": "Female", "race": "Black"})
    '{"race":"Black","sex":"Female"}'
    """
    return json.dumps(dict(parts), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class CategorySlice:
    """A slice for each of the first `top` values of one feature."""

    feature: str
    top: int = VALUES_MAX

    @property
    def name(self) -> str:
        """How a person refers to the declaration."""
        return self.feature


@dataclass(frozen=True, slots=True)
class BinSlice:
    """A slice for each half-open bin of a numeric feature; edges strictly increase."""

    feature: str
    bins: tuple[float, ...]

    @property
    def name(self) -> str:
        """How a person refers to the declaration."""
        return self.feature

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the bins, one more than edges.

        >>> BinSlice("age", (25.0, 40.0)).labels
        ('(-inf, 25)', '[25, 40)', '[40, inf)')
        """
        edges = ("-inf", *map(number_text, self.bins), "inf")
        return tuple(
            f"{'(' if i == 0 else '['}{low}, {high})"
            for i, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True))
        )


@dataclass(frozen=True, slots=True)
class CrossSlice:
    """A slice for each combination of two or three features; `bins` are those of numbers among them."""

    features: tuple[str, ...]
    top: int = VALUES_MAX
    bins: tuple[BinSlice, ...] = ()

    @property
    def name(self) -> str:
        """How a person refers to the declaration."""
        return " × ".join(self.features)


@dataclass(frozen=True, slots=True)
class WhereSlice:
    """One named slice: all conditions hold. A row that lacks a feature or has the wrong type is outside.

    `where` is ((feature, operator, operand), …).
    """

    name: str
    where: tuple[tuple[str, str, Any], ...]


@dataclass(frozen=True, slots=True)
class VersionSlice:
    """A slice for each of the first `top` model versions."""

    top: int = VALUES_MAX

    @property
    def name(self) -> str:
        """How a person refers to the declaration."""
        return "model_version"


SliceSpec = CategorySlice | CrossSlice | BinSlice | WhereSlice | VersionSlice


def features_of(spec: SliceSpec) -> tuple[str, ...]:
    """Features a declaration reads."""
    match spec:
        case CategorySlice() | BinSlice():
            return (spec.feature,)
        case CrossSlice():
            return spec.features
        case WhereSlice():
            return tuple(dict.fromkeys(feature for feature, _, _ in spec.where))
        case VersionSlice():
            return ()


def bins_in(spec: SliceSpec) -> tuple[BinSlice, ...]:
    """The features that a declaration cuts into bins."""
    if isinstance(spec, BinSlice):
        return (spec,)
    return spec.bins if isinstance(spec, CrossSlice) else ()


def parse_slice(value: Any) -> SliceSpec:
    """Read one entry of `slices`.

    >>> parse_slice("sex")
    CategorySlice(feature='sex', top=100)

    Raises:
        ValueError: not one of the forms; the text says which part and what was expected.
    """
    if isinstance(value, str) and value:
        return CategorySlice(value)
    if isinstance(value, list):
        return _cross(value)
    if not isinstance(value, dict):
        raise ValueError(
            "a slice is a feature name, a list of names, {feature, bins}, {feature, top} or {name, where}; "
            f"got {shown(value)}"
        )
    keys = {"feature", "bins", "top", "name", "where"}
    for key in value:
        if key not in keys:
            near = get_close_matches(str(key), sorted(keys), 1)
            raise ValueError(f"{key}: unknown key" + (f"; did you mean {near[0]}?" if near else ""))
    if set(value) == {"feature", "bins"}:
        return _bins(value["feature"], value["bins"])
    if set(value) == {"feature", "top"}:
        top = value["top"]
        if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= 1000:
            raise ValueError(f"top: expected a whole number from 1 to 1000, got {top!r}")
        return CategorySlice(_name("feature", value["feature"]), top)
    if set(value) == {"name", "where"}:
        return _where(value["name"], value["where"])
    raise ValueError(
        f"expected {{feature, bins}}, {{feature, top}} or {{name, where}}; got the keys {sorted(value)}"
    )


def _cross(value: list[Any]) -> CrossSlice:
    parts = [parse_slice(item) if isinstance(item, dict) else item for item in value]
    bins = tuple(part for part in parts if isinstance(part, BinSlice))
    names: list[Any] = [part.feature if isinstance(part, BinSlice) else part for part in parts]
    if not 2 <= len(names) <= 3 or not all(isinstance(name, str) and name for name in names):
        raise ValueError(
            f"a crossing names two or three features, e.g. [sex, race], numbers with bins; got {shown(value)}"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"a crossing names each feature once; got {shown(value)}")
    return crossing(names, bins)


def crossing(features: Iterable[str], bins: Iterable[BinSlice] = ()) -> CrossSlice:
    """A crossing in its canonical order.

    >>> crossing(["sex", "age"], [BinSlice("age", (25.0,))]).name
    'age × sex'
    """
    return CrossSlice(tuple(sorted(features)), bins=tuple(sorted(bins, key=lambda part: part.feature)))


def _name(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 200:
        raise ValueError(f"{key}: expected a name of 1 to 200 characters, got {shown(value)}")
    return value


def _bins(feature: Any, bins: Any) -> BinSlice:
    good = (
        isinstance(bins, list)
        and 1 <= len(bins) <= 100
        and all(isinstance(b, int | float) and not isinstance(b, bool) and math.isfinite(b) for b in bins)
        and all(low < high for low, high in zip(bins[:-1], bins[1:], strict=True))
    )
    if not good:
        raise ValueError(f"bins: expected 1 to 100 increasing numbers, e.g. [25, 40, 65]; got {bins!r}")
    return BinSlice(_name("feature", feature), tuple(float(b) for b in bins))


def _where(name: Any, where: Any) -> WhereSlice:
    if not isinstance(where, dict) or not where:
        raise ValueError(f"where: expected conditions, e.g. {{account_age_days: {{lt: 30}}}}; got {where!r}")
    conditions: list[tuple[str, str, Any]] = []
    for feature, tests in where.items():
        if not isinstance(tests, dict):
            tests = {"eq": tests}
        for operator, operand in tests.items():
            if operator not in OPERATORS:
                raise ValueError(
                    f"where.{feature}: unknown operator {operator!r}; use one of {', '.join(OPERATORS)}"
                )
            if operator == "in":
                if not isinstance(operand, list) or not operand:
                    raise ValueError(f"where.{feature}.in: expected a list of values, got {operand!r}")
                operand = tuple(operand)
            elif operator in {"lt", "le", "gt", "ge"} and (
                isinstance(operand, bool) or not isinstance(operand, int | float)
            ):
                raise ValueError(f"where.{feature}.{operator}: expected a number, got {operand!r}")
            conditions.append((_name("where", feature), operator, operand))
    return WhereSlice(_name("name", name), tuple(conditions))
