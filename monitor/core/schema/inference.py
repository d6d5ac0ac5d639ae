"""A first schema from a sample of records, for a person to edit.

The rules aim at one thing: traffic like the sample must not page anybody, at any sample size. A limit
is therefore set only as tightly as the number of rows can vouch for at the tolerated rate of 0.1 %.

- **Type**: what at least 90 % of the values are (numbers, booleans, text, else `any`). Numbers are
  integers when all are whole and there are at least 100.
- **Required, nullable**: absence or null in less than half the tolerated rate is an accident, more is a
  habit.
- **Range**: the observed range widened on both sides by max(0.5, 1000/n) times its width, rounded
  outwards; what was never negative stays so, {0, 1} stays {0, 1}, a constant gets no range, and what
  grows (or falls) from row to row no end on that side. For tails as heavy as 1/x a row beyond the range
  then has a probability of about 1/(n + 1000) at most.
- **Closed categories**: at most 50 distinct values, and an upper bound of the probability of a value
  never seen, (f1 + 2·sqrt(f1 + 2·f2) + 3)/n, within the tolerated rate; f1 and f2 are the numbers of
  values seen once and twice. It is the Good-Turing estimate (Good 1953, doi:10.1093/biomet/40.3-4.237)
  with two standard errors, and the rule of three where nothing was seen once: 3,000 rows at least.
- **Open categories**: values that repeat (at most half of them distinct). Else a string.
- **Length** of strings and open categories: the longest seen, times max(2, 1 + 1000/n), at least 16.
- **Tolerated**: where the sample itself violates what was inferred, the rate it shows (its upper 99.9 %
  limit), and a note that says so.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from monitor.core.errors import SchemaError
from monitor.core.schema.feature import (
    CATEGORY_LENGTH_MAX,
    FEATURES_MAX,
    NAME_LENGTH_MAX,
    NUMERIC,
    TOLERATED,
    Feature,
    FeatureType,
    number_text,
)
from monitor.core.schema.histogram import reference_of
from monitor.core.schema.judges import OK, is_numeric_text, judge_of
from monitor.core.schema.model import FeatureSchema

ROWS_MAX: Final = 200_000
"""Rows of a sample that are looked at; the rest is not read."""

Column = Sequence[Any] | NDArray[Any]

TYPE_SHARE: Final = 0.9
INTEGER_ROWS_MIN: Final = 100
CLOSED_VALUES_MAX: Final = 50
OPEN_DISTINCT_SHARE: Final = 0.5
_ROWS_FULL: Final = 1 / TOLERATED
"""Rows of which one is the tolerated rate: a smaller sample gets wider margins."""


def infer(sample: Iterable[Mapping[str, Any]] | Mapping[str, Column]) -> FeatureSchema:
    """Infer a feature schema.

    Args:
        sample: records (feature name → value as decoded from JSON), or columns of equal length (name →
            values, None where there is none). At most `ROWS_MAX` rows are read.

    Returns:
        A schema with reference histograms and, where a person should look, notes.

    Raises:
        SchemaError: the sample holds no row or no feature, or columns differ in length.

    >>> schema = infer({"age": list(range(20, 70)) * 100, "sex": ["Female", "Male"] * 2500})
    >>> schema.features["age"].expected, schema.features["sex"].expected
    ('an integer between 0 and 94', 'one of "Female", "Male"')
    """
    columns, rows = _columns(sample)
    # Records that bring ever new names must not grow a schema without limit: the frequent ones stay.
    kept = set(sorted(columns, key=lambda name: -len(columns[name]))[:FEATURES_MAX])
    if not kept:
        raise SchemaError(["the sample holds no feature"], "sample")
    return FeatureSchema(
        unexpected="violate" if len(kept) == len(columns) else "tolerate",
        features={name: infer_feature(columns[name], rows) for name in columns if name in kept},
    )


def _columns(
    sample: Iterable[Mapping[str, Any]] | Mapping[str, Column],
) -> tuple[dict[str, list[Any]], int]:
    """Values present per feature, and the number of rows."""
    columns: dict[str, list[Any]] = {}
    rows = 0
    if isinstance(sample, Mapping):
        lengths = {len(values) for values in sample.values()}
        if len(lengths) > 1:
            raise SchemaError([f"columns differ in length: {sorted(lengths)}"], "sample")
        rows = min(ROWS_MAX, *lengths) if lengths else 0
        columns = {name: _plain(values[:rows]) for name, values in sample.items()}
    else:
        for record in itertools.islice(sample, ROWS_MAX):
            rows += 1
            for name, value in record.items():
                columns.setdefault(name, []).append(value)
    if rows == 0:
        raise SchemaError(["the sample holds no row"], "sample")
    return {name: values for name, values in columns.items() if _is_name(name)}, rows


def _plain(values: Column) -> list[Any]:
    """Python values of a column; arrays of numpy and pandas know how to make them."""
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and 0 < len(name) <= NAME_LENGTH_MAX and _is_encodable(name)


def infer_feature(values: Sequence[Any], rows: int) -> Feature:
    """Infer one feature.

    Args:
        values: what was sent where the feature was present, None included.
        rows: rows of the sample, those without the feature included; len(values) <= rows.
    """
    present = [value for value in values if value is not None]
    notes: list[str] = []
    declared = _declare(present, notes)
    accident = TOLERATED / 2
    declared["required"] = rows - len(values) <= accident * rows
    declared["nullable"] = len(values) - len(present) > accident * max(len(values), 1)
    feature = Feature.model_validate(declared)

    judge = judge_of(feature)
    right = [value for value in values if value is not None and judge(value) == OK]
    absent = (rows - len(values)) * feature.required + (len(values) - len(present)) * (not feature.nullable)
    wrong = len(present) - len(right) + absent
    if wrong > accident * rows:
        declared["tolerated"] = _tolerated(wrong, rows)
        notes.append(f"{wrong} of {rows} rows of the sample violate this; `tolerated` allows for it")
    if feature.type in NUMERIC:
        notes += _outlier_note(right)
    declared["note"] = "; ".join(notes) or None
    missing = rows - len(present)
    declared["reference"] = reference_of(feature, right, rows=rows, missing=missing)
    return Feature.model_validate(declared)


def _declare(present: Sequence[Any], notes: list[str]) -> dict[str, Any]:
    """Type and constraints of values other than null."""
    if not present:
        notes.append("no value in the sample: say what it is")
        return {"type": FeatureType.ANY}
    kinds = Counter(_kind(value) for value in present)
    kind, count = kinds.most_common(1)[0]
    if count < TYPE_SHARE * len(present):
        mixture = ", ".join(f"{name} {n / len(present):.0%}" for name, n in kinds.most_common())
        notes.append(f"a mixture of types ({mixture}): only presence and null are judged")
        return {"type": FeatureType.ANY}
    match kind:
        case "boolean":
            return {"type": FeatureType.BOOLEAN}
        case "number":
            return _declare_number([float(v) for v in present if _kind(v) == kind and _is_finite(v)], notes)
        case "text":
            return _declare_text([v for v in present if _kind(v) == kind and _is_encodable(v)], notes)
    notes.append("lists or objects: only presence and null are judged")
    return {"type": FeatureType.ANY}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, int | float) else "list or object"


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False


def _is_encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _declare_number(values: Sequence[float], notes: list[str]) -> dict[str, Any]:
    if not values:
        notes.append("no finite number in the sample")
        return {"type": FeatureType.NUMBER}
    whole = all(value.is_integer() for value in values) and len(values) >= INTEGER_ROWS_MIN
    declared: dict[str, Any] = {"type": FeatureType.INTEGER if whole else FeatureType.NUMBER}
    low, high = min(values), max(values)
    if low == high:
        notes.append(f"always {number_text(low)} in the sample: no range was set")
    elif whole and (low, high) == (0, 1):
        declared |= {"minimum": 0, "maximum": 1}
    else:
        declared |= _widened(low, high, len(values))
        steps = list(itertools.pairwise(values)) if len(values) >= INTEGER_ROWS_MIN else []
        if steps and all(before < after for before, after in steps):
            notes.append("grows from row to row: no maximum was set")
            declared.pop("maximum", None)
        elif steps and all(before > after for before, after in steps):
            notes.append("falls from row to row: no minimum was set")
            declared.pop("minimum", None)
    return declared


def _widened(low: float, high: float, rows: int) -> dict[str, float]:
    """The range [low, high] with its margins; an end that leaves the range of floats is left out."""
    width = high - low
    margin = max(0.5, _ROWS_FULL / rows) * width
    least = 0.0 if low >= 0 and low - margin < 0 else _outwards(low - margin, width, math.floor)
    greatest = 0.0 if high <= 0 and high + margin > 0 else _outwards(high + margin, width, math.ceil)
    ends = {"minimum": least, "maximum": greatest}
    return {key: end for key, end in ends.items() if math.isfinite(end)}


def _outwards(value: float, width: float, rounding: Any) -> float:
    """Round to two digits of the width."""
    if not math.isfinite(value) or not math.isfinite(width):
        return math.inf
    digits = 1 - math.floor(math.log10(width))
    if not -300 < digits < 300:
        return value
    scale = 10.0**-digits if digits < 0 else 10.0**digits
    scaled = value / scale if digits < 0 else value * scale
    if not math.isfinite(scaled):
        return value
    return float(rounding(scaled) * scale if digits < 0 else rounding(scaled) / scale)


def _outlier_note(values: Sequence[Any]) -> list[str]:
    """A value far outside the bulk has made the range as wide as it is: a person should judge it."""
    if len(values) < INTEGER_ROWS_MIN:
        return []
    numbers = np.array(values, np.float64)
    levels = (0.0, 0.01, 0.5, 0.99, 1.0)
    # As Python floats, which overflow to infinity in silence.
    least, low, middle, high, greatest = np.quantile(numbers, levels, method="inverted_cdf").tolist()
    notes = []
    if greatest - high > 10 * (high - middle) > 0:
        notes.append(f"greatest value {number_text(greatest)} is far from the rest: check maximum")
    if low - least > 10 * (middle - low) > 0:
        notes.append(f"least value {number_text(least)} is far from the rest: check minimum")
    return notes


def _declare_text(values: Sequence[str], notes: list[str]) -> dict[str, Any]:
    if not values:
        notes.append("no text that is valid Unicode in the sample")
        return {"type": FeatureType.STRING}
    rows = len(values)
    counts = Counter(values)
    longest = max(map(len, counts))
    length_max = max(16, math.ceil(longest * max(2.0, 1 + _ROWS_FULL / rows)))
    if all(map(is_numeric_text, counts)):
        notes.append("numbers sent as strings: declare type number if that is a mistake")
    if sum(_is_address(value) * count for value, count in counts.items()) > rows / 2:
        notes.append("looks like e-mail addresses")
        return {"type": FeatureType.STRING, "max_length": length_max, "sensitive": True}
    if len(counts) <= CLOSED_VALUES_MAX and longest <= CATEGORY_LENGTH_MAX:
        if unseen_bound(counts.values()) <= TOLERATED:
            return {"type": FeatureType.CATEGORY, "categories": sorted(counts), "closed": True}
        if len(counts) <= OPEN_DISTINCT_SHARE * rows:
            notes.append(
                f"{rows} rows do not vouch for having shown every value: closed: true is yours to say"
            )
            known = {"categories": sorted(counts), "closed": False}
            return {"type": FeatureType.CATEGORY, **known, "max_length": length_max}
    if len(counts) <= OPEN_DISTINCT_SHARE * rows:
        return {"type": FeatureType.CATEGORY, "closed": False, "max_length": length_max}
    return {"type": FeatureType.STRING, "max_length": length_max}


def _is_address(text: str) -> bool:
    name, at, host = text.partition("@")
    return bool(name and at) and "." in host and " " not in text


def unseen_bound(counts: Iterable[int]) -> float:
    """Upper bound of the probability that the next row shows a value not seen yet.

    (f1 + 2·sqrt(f1 + 2·f2) + 3)/n with f1, f2 the numbers of values seen once and twice among n rows:
    Good-Turing plus two standard errors plus the rule of three.

    Args:
        counts: rows per distinct value, each at least 1.

    >>> unseen_bound([1500, 1500])
    0.001
    """
    spectrum = Counter(counts)
    once, twice = spectrum[1], spectrum[2]
    rows = sum(count * values for count, values in spectrum.items())
    return (once + 2 * math.sqrt(once + 2 * twice) + 3) / rows


def _tolerated(wrong: int, rows: int) -> float:
    """Upper 99.9 % limit of a rate seen as wrong/rows (Clopper-Pearson), two digits, rounded up."""
    limit = float(beta.ppf(0.999, wrong + 1, rows - wrong)) if wrong < rows else 1.0
    digits = 1 - math.floor(math.log10(limit))
    return min(1.0, math.ceil(limit * 10.0**digits) / 10.0**digits)
