"""One feature as the schema declares it: its type, its constraints, and how it was distributed."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError, SchemaError, SchemaValidator, core_schema

from monitor.core.schema.violations import clipped, quoted

FEATURES_MAX: Final = 1_000
NAME_LENGTH_MAX: Final = 200
CATEGORIES_MAX: Final = 10_000
CATEGORY_LENGTH_MAX: Final = 1_000
TEXT_LENGTH_MAX: Final = 1_000_000_000
PATTERN_LENGTH_MAX: Final = 1_000
BINS_MAX: Final = 1_000
BIGRAMS_MAX: Final = 2_000

TOLERATED: Final = 0.001
"""Rate of violations that pages nobody, unless the schema says otherwise."""

QUANTILE_LEVELS: Final = tuple(round(0.01 + 0.98 * step / 24, 6) for step in range(25))
"""Levels of `Reference.quantiles`: 25 of them, evenly from 0.01 to 0.99."""


class FeatureType(StrEnum):
    """What JSON value a feature holds."""

    NUMBER = "number"
    INTEGER = "integer"  # 39 and 39.0 alike
    STRING = "string"
    CATEGORY = "category"  # a string out of a set, or of an open one
    BOOLEAN = "boolean"
    ANY = "any"  # lists, objects, mixtures: only presence and null are judged


NUMERIC: Final = frozenset({FeatureType.NUMBER, FeatureType.INTEGER})
TEXTUAL: Final = frozenset({FeatureType.STRING, FeatureType.CATEGORY})


def whole_text_pattern(pattern: str) -> str:
    r"""The pattern anchored, so that it has to match from the first character to the last.

    >>> whole_text_pattern("[A-Z]{2}|x")
    '\\A(?:[A-Z]{2}|x)\\z'
    """
    return rf"\A(?:{pattern})\z"


@cache
def pattern_problem(pattern: str) -> str | None:
    """Why the linear-time regex engine refuses a pattern; None when it does not.

    >>> pattern_problem("[0-9]+")
    >>> pattern_problem("(?=a)b")
    'look-around, including look-ahead and look-behind, is not supported'
    """
    # The bare pattern too: `a)|(b` compiles once it is wrapped, and would not match whole texts.
    for candidate in (pattern, whole_text_pattern(pattern)):
        try:
            SchemaValidator(core_schema.str_schema(pattern=candidate))
        except SchemaError as error:
            return str(error).rsplit("error: ", maxsplit=1)[-1].rsplit("SchemaError: ", maxsplit=1)[-1]
    return None


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "must be a number, not true or false")
    return value


def _category(value: Any) -> Any:
    if not isinstance(value, str):
        raise PydanticCustomError(
            "category", "categories are strings: write {value} in quotes", {"value": clipped(str(value), 40)}
        )
    return value


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Category = Annotated[str, BeforeValidator(_category), Field(max_length=CATEGORY_LENGTH_MAX)]
Pair = Annotated[str, BeforeValidator(_category), Field(min_length=2, max_length=2)]
Count = Annotated[int, BeforeValidator(_number), Field(ge=0)]
FeatureName = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=NAME_LENGTH_MAX)]


class Strict(BaseModel):
    """Base of what a schema file holds: frozen, and no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = self.problems()
        if problems:
            text = "; ".join(message for _, message in problems)
            raise PydanticCustomError(
                "inconsistent", "{text}", {"text": text, "problems": [(list(k), m) for k, m in problems]}
            )
        return self

    def problems(self) -> list[tuple[tuple[str, ...], str]]:
        """Fields that contradict one another: the keys involved, and the sentence."""
        return []


class TextReference(Strict):
    """How a text feature reads: what tells its values from gibberish and from misspelt ones.

    Rates are of rows of the sample that would be flagged although they belong to it, each judged as if it
    had not been seen.
    """

    floor: Number | None = Field(
        None, description="Mean log likelihood of a character below which unseen text is gibberish."
    )
    limit: Number = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of clean unseen texts below the floor: 99 % confidence limit.",
    )
    gibberish: Number = Field(0.0, ge=0, le=1, description="Rate of gibberish flags in the sample.")
    near_miss: Number = Field(0.0, ge=0, le=1, description="Rate of near misses in the sample.")
    typos: bool = Field(
        True, strict=True, description="False where true values lie too close together to tell a near miss."
    )
    patterns: tuple[Category, ...] | None = Field(
        None,
        max_length=100,
        description="Forms with digits that are right as they are: A, a, 9 for digits.",
    )
    accepted: tuple[Category, ...] | None = Field(
        None, max_length=BINS_MAX, description="Values that repeat in the sample and would be flagged."
    )
    bigrams: dict[Pair, Count] | None = Field(
        None,
        min_length=1,
        max_length=BIGRAMS_MAX,
        description="Pairs of characters, ^ the start and $ the end: how often one follows the other.",
    )

    def problems(self) -> list[tuple[tuple[str, ...], str]]:
        """A floor without a model, or the other way round."""
        if (self.floor is None) != (self.bigrams is None):
            return [(("floor", "bigrams"), "floor and bigrams come together")]
        return []


class Reference(Strict):
    """How a feature was distributed in the sample its schema came from.

    Numbers are counted between cut points: bin 0 holds x < edges[0], bin i holds edges[i-1] <= x <
    edges[i], the last holds x >= edges[-1]; nothing falls outside, so counts of live traffic over the
    same edges add and compare. Every row of the sample is counted once: in a bin or under a value, or
    as `missing`, `invalid` or `other`.
    """

    rows: Count = Field(description="Rows of the sample.")
    missing: Count = Field(0, description="Rows without the feature, or with null.")
    invalid: Count = Field(0, description="Rows whose value could not be counted: NaN, or of another type.")
    edges: tuple[Number, ...] | None = Field(
        None, min_length=1, max_length=BINS_MAX, description="Numbers: cut points, increasing."
    )
    counts: tuple[Count, ...] | None = Field(None, description="Numbers: rows per bin, one more than edges.")
    quantiles: tuple[Number, ...] | None = Field(
        None, description="Numbers: 25 quantiles at levels evenly from 0.01 to 0.99."
    )
    values: dict[Category, Count] | None = Field(
        None, max_length=BINS_MAX, description="Categories and booleans: rows of the most frequent values."
    )
    other: Count = Field(0, description="Categories: rows of values not listed.")
    text: TextReference | None = Field(None, description="Text: how its values read.")

    def problems(self) -> list[tuple[tuple[str, ...], str]]:
        """Counts that do not add up, edges that do not increase."""
        found: list[tuple[tuple[str, ...], str]] = []
        if (self.edges is None) != (self.counts is None):
            found.append((("edges", "counts"), "edges and counts come together"))
        if self.edges is not None and any(low >= high for low, high in itertools.pairwise(self.edges)):
            found.append((("edges",), "edges must increase"))
        if self.edges is not None and self.counts is not None and len(self.counts) != len(self.edges) + 1:
            found.append((("edges", "counts"), f"{len(self.edges)} edges make {len(self.edges) + 1} counts"))
        if self.quantiles is not None and len(self.quantiles) != len(QUANTILE_LEVELS):
            found.append((("quantiles",), f"quantiles must be {len(QUANTILE_LEVELS)} numbers"))
        if self.counts is not None and self.values is not None:
            found.append((("counts", "values"), "a feature has counts over edges or values, not both"))
        elif self.counts is not None or self.values is not None:
            shares = self.counts if self.counts is not None else (self.values or {}).values()
            total = self.missing + self.invalid + self.other + sum(shares)
            if total != self.rows:
                keys = ("rows", "missing", "invalid", "counts", "values", "other")
                found.append((keys, f"counts add up to {total}, not to rows ({self.rows})"))
        return found


class Feature(Strict):
    """One feature: type, constraints, tolerance and reference.

    >>> Feature(type="integer", minimum=0, maximum=120, unit="years").expected
    'an integer between 0 and 120 (years)'
    """

    type: FeatureType = Field(description="number, integer, string, category, boolean or any.")
    required: bool = Field(True, strict=True, description="Absence is a violation.")
    nullable: bool = Field(False, strict=True, description="null is no violation.")
    minimum: Number | None = Field(None, description="Numbers: the least allowed value.")
    maximum: Number | None = Field(None, description="Numbers: the greatest allowed value.")
    unit: str | None = Field(None, max_length=100, description="Numbers: free text, shown in messages.")
    categories: tuple[Category, ...] | None = Field(
        None, max_length=CATEGORIES_MAX, description="Categories: the known values, as strings."
    )
    closed: bool = Field(
        True, strict=True, description="Categories: a value that is not listed is a violation."
    )
    pattern: str | None = Field(
        None,
        min_length=1,
        max_length=PATTERN_LENGTH_MAX,
        description="Text: regular expression (Rust syntax, linear time) the whole text has to match.",
    )
    max_length: int | None = Field(
        None, ge=0, le=TEXT_LENGTH_MAX, description="Text: the greatest number of characters."
    )
    tolerated: Number = Field(
        TOLERATED, gt=0, le=1, description="Rate of violations that is tolerated, above 0; 1 never alerts."
    )
    sensitive: bool = Field(
        False, strict=True, description="The value is never shown: not in a message, not in evidence."
    )
    immutable: bool = Field(
        False, strict=True, description="A person cannot change it (age, origin); probes treat it so."
    )
    note: str | None = Field(None, max_length=1_000, description="Free text for whoever edits the file.")
    reference: Reference | None = Field(None, description="How the feature was distributed in a sample.")

    def problems(self) -> list[tuple[tuple[str, ...], str]]:
        """Constraints that do not belong to the type, or contradict one another."""
        found: list[tuple[tuple[str, ...], str]] = []
        for types, keys in (
            (NUMERIC, ("minimum", "maximum", "unit")),
            (TEXTUAL, ("pattern", "max_length")),
            ({FeatureType.CATEGORY}, ("categories",)),
        ):
            if self.type not in types:
                used = [key for key in keys if getattr(self, key) is not None]
                found += [(("type", key), f"{key} does not apply to type {self.type}") for key in used]
        if "closed" in self.model_fields_set and self.type is not FeatureType.CATEGORY:
            found.append((("type", "closed"), f"closed does not apply to type {self.type}"))
        if self.type is FeatureType.CATEGORY and self.closed and not self.categories:
            message = "a closed category lists its categories; say closed: false if any value is allowed"
            found.append((("type", "closed", "categories"), message))
        twice = [value for value, n in Counter(self.categories).items() if n > 1]
        if twice:
            found.append((("categories",), f"categories name {_listed(twice, 3)} twice"))
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            found.append((("minimum", "maximum"), "minimum is greater than maximum"))
        if self.pattern is not None and (reason := pattern_problem(self.pattern)):
            found.append((("pattern",), f"pattern cannot be used: {reason}"))
        found += self._reference_problems()
        return found

    def _reference_problems(self) -> list[tuple[tuple[str, ...], str]]:
        if self.reference is None:
            return []
        keys = ("type", "reference")
        if self.reference.values is not None and self.type not in {FeatureType.CATEGORY, FeatureType.BOOLEAN}:
            return [(keys, f"reference.values does not apply to type {self.type}")]
        if self.reference.counts is not None and self.type not in NUMERIC:
            return [(keys, f"reference.counts does not apply to type {self.type}")]
        if self.reference.text is not None and self.type not in TEXTUAL:
            return [(keys, f"reference.text does not apply to type {self.type}")]
        return []

    @property
    def expected(self) -> str:
        """What the schema asks for, in words; sensitive categories are counted, not named."""
        parts = [_NOUNS[self.type]]
        if self.type is FeatureType.CATEGORY and self.closed:
            values = self.categories or ()
            parts = [f"one of {len(values)} categories" if self.sensitive else "one of " + _listed(values)]
        low, high = self.minimum, self.maximum
        if low is not None and high is not None:
            parts.append(f"between {number_text(low)} and {number_text(high)}")
        elif low is not None:
            parts.append(f"of at least {number_text(low)}")
        elif high is not None:
            parts.append(f"of at most {number_text(high)}")
        if self.max_length is not None:
            parts.append(f"of at most {self.max_length} characters")
        if self.pattern is not None:
            parts.append(f"matching {clipped(self.pattern, 60)}")
        if self.unit:
            parts.append(f"({self.unit})")
        if self.nullable:
            parts.append("or null")
        return " ".join(parts)


_NOUNS: Final = {
    FeatureType.NUMBER: "a number",
    FeatureType.INTEGER: "an integer",
    FeatureType.STRING: "a string",
    FeatureType.CATEGORY: "a category (a string)",
    FeatureType.BOOLEAN: "true or false",
    FeatureType.ANY: "a value",
}


def number_text(value: float) -> str:
    """A number without a needless fraction.

    >>> number_text(120.0), number_text(0.5)
    ('120', '0.5')
    """
    return str(int(value)) if abs(value) < 1e15 and math.floor(value) == value else repr(value)


def _listed(values: Sequence[str], shown: int = 8) -> str:
    text = ", ".join(quoted(value, 24) for value in values[:shown])
    return text if len(values) <= shown else f"{text} and {len(values) - shown} more"
