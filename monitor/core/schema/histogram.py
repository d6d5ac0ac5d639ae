"""Reference histograms: how a feature was distributed in the sample."""

from __future__ import annotations

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
    return np.unique(np.concatenate([distinct[heavy], distinct[after], _six_digits(quantiles)]))


def _six_digits(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Enough for a person and a file; counts are taken over the rounded edges, so they stay exact."""
    return np.array([float(f"{value:.6g}") for value in values])


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
        shape["quantiles"] = _six_digits(
            np.quantile(numbers, QUANTILE_LEVELS, method="inverted_cdf")
        ).tolist()
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
