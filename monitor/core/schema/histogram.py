"""Reference histograms: how a feature was distributed in the sample."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.schema.feature import (
    CATEGORY_LENGTH_MAX,
    NUMERIC,
    QUANTILE_LEVELS,
    Feature,
    FeatureType,
    Reference,
)
from monitor.core.schema.text_profile import text_reference

BINS: Final = 20
"""Bins of equal frequency for numbers that take more than `EXACT_VALUES_MAX` values."""

EXACT_VALUES_MAX: Final = 32
"""Up to so many distinct numbers, each has a bin of its own."""

DIGITS: Final = 6
"""Significant digits of an edge, where they part it from the next."""

_DIGITS_MAX: Final = 17
"""Enough for any float."""

TOP_VALUES: Final = 100
"""Categories counted by name; the rest is `other`."""


def cut_points(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of a reference histogram: float64[B], increasing.

    Args:
        values: float64[n], n >= 1, finite.

    >>> cut_points(np.array([3.0, 1.0, 1.0])).tolist()
    [1.0, 3.0]
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= EXACT_VALUES_MAX:
        return distinct
    # A value as frequent as a bin (zeros, most often) gets a bin of its own; else it would swallow the
    # quantiles around it, and with them the shape of the rest.
    heavy = np.flatnonzero(counts * BINS >= len(values))
    after = heavy[heavy < len(distinct) - 1] + 1
    rest = values[~np.isin(values, distinct[heavy])]
    levels = np.arange(1, BINS) / BINS
    quantiles = np.quantile(rest, levels, method="inverted_cdf") if len(rest) else rest
    return np.unique(np.concatenate([distinct[heavy], distinct[after], _rounded(quantiles)]))


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Increasing values with the digits that a person and a file need; counts stay exact, taken over these.

    Six digits, or as many as it takes to move none by more than a twentieth of the way to the next: six
    of an epoch second are three hours, which would make one bin of a week.

    >>> _rounded(np.array([1234.56789, 2000.0])).tolist()
    [1234.57, 2000.0]
    >>> _rounded(np.array([1.7e9 + 0.25, 1.7e9 + 60])).tolist()
    [1700000000.0, 1700000060.0]
    """
    distinct = np.unique(values)
    with np.errstate(over="ignore"):
        gaps = np.diff(distinct, prepend=-np.inf, append=np.inf)
    nearest = dict(zip(distinct.tolist(), np.minimum(gaps[:-1], gaps[1:]).tolist(), strict=True))
    return np.array([float(f"{value:.{_digits(value, nearest[value])}g}") for value in values.tolist()])


def _digits(value: float, gap: float) -> int:
    """Significant digits of a value that lies `gap` from the next."""
    if value == 0 or not math.isfinite(gap):
        return DIGITS
    step = math.floor(math.log10(gap)) - 1
    return min(max(DIGITS, math.floor(math.log10(abs(value))) + 1 - step), _DIGITS_MAX)


def bin_counts(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows per bin of a reference: int64[len(edges) + 1].

    Bin 0 holds x < edges[0], bin i holds edges[i-1] <= x < edges[i], the last x >= edges[-1].

    >>> bin_counts(np.array([0.0, 1.0, 2.0, 9.0]), np.array([1.0, 3.0])).tolist()
    [1, 2, 1]
    """
    bins = np.searchsorted(edges, values, side="right")
    return np.bincount(bins, minlength=len(edges) + 1).astype(np.int64)


def reference_of(feature: Feature, values: Sequence[Any], *, rows: int, missing: int) -> Reference:
    """The reference of a feature.

    Args:
        feature: as declared.
        values: the values that do not violate it, null not among them.
        rows: rows of the sample.
        missing: rows without the feature or with null; len(values) + missing <= rows.
    """
    shape: dict[str, Any] = {}
    invalid = rows - missing - len(values)
    if feature.type in NUMERIC and values:
        numbers = np.array(values, np.float64)
        edges = cut_points(numbers)
        shape["edges"] = edges.tolist()
        shape["counts"] = bin_counts(numbers, edges).tolist()
        shape["quantiles"] = _rounded(np.quantile(numbers, QUANTILE_LEVELS, method="inverted_cdf")).tolist()
    elif feature.type is FeatureType.BOOLEAN:
        shape["values"] = {name: values.count(value) for name, value in (("true", True), ("false", False))}
    elif feature.type is FeatureType.CATEGORY:
        counted = Counter(value for value in values if len(value) <= CATEGORY_LENGTH_MAX)
        # Ties by name: the same sample in another order makes the same file.
        top = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:TOP_VALUES]
        shape["values"] = dict(top)
        shape["other"] = len(values) - sum(count for _, count in top)
    reference = Reference.model_validate({"rows": rows, "missing": missing, "invalid": invalid, **shape})
    text = text_reference(feature, values, reference)
    return reference if text is None else reference.model_copy(update={"text": text})
