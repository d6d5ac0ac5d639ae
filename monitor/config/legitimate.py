"""Features that may justify a difference: within which strata of them the groups of others are compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from monitor.config.problems import Problem, Problems
from monitor.core.schema import FeatureSchema
from monitor.core.schema.feature import NUMERIC, QUANTILE_LEVELS
from monitor.core.shown import shown
from monitor.core.slices.spec import BinSlice, CategorySlice, CrossSlice, SliceSpec, crossing, parse_slice

STRATA: Final = 5
"""Strata of a number whose bins nobody wrote: fifths of the reference take away some nine tenths of what the
feature explains (Cochran 1968, doi:10.2307/2528036)."""

Stratum = BinSlice | CategorySlice


def parse_legitimate(value: Any) -> tuple[Stratum, ...]:
    """Read `legitimate`: names of features, or numbers with bins.

    Raises:
        Problems: every entry that is neither.
    """
    if not isinstance(value, list | tuple):
        raise ValueError(
            "expected a list, e.g. [occupation, {feature: credit_score, bins: [600, 700]}], "
            f"got {shown(value)}"
        )
    found: list[Stratum] = []
    problems: list[Problem] = []
    for position, item in enumerate(value):
        try:
            spec = item if isinstance(item, BinSlice | CategorySlice) else parse_slice(item)
        except ValueError as error:
            problems.append(Problem((position,), str(error)))
            continue
        if not isinstance(spec, BinSlice | CategorySlice):
            problems.append(
                Problem((position,), f"expected a feature, or {{feature, bins}}; got {shown(item)}")
            )
        elif spec.feature in {other.feature for other in found}:
            problems.append(Problem((position,), f"declared twice: {spec.feature}"))
        else:
            found.append(spec)
    if problems:
        raise Problems(problems)
    return tuple(found)


def with_bins(spec: Stratum, slices: Iterable[SliceSpec], schema: FeatureSchema | None) -> Stratum:
    """The feature in bins, where it is a number: its own, those of a slice of it, or fifths of the reference.

    Raises:
        ValueError: a number of which no bins are known.
    """
    if isinstance(spec, BinSlice):
        return spec
    for other in slices:
        if isinstance(other, BinSlice) and other.feature == spec.feature:
            return other
    feature = schema.features.get(spec.feature) if schema is not None else None
    if feature is None or feature.type not in NUMERIC:
        return spec
    quantiles = feature.reference.quantiles if feature.reference is not None else None
    edges = _fifths(quantiles) if quantiles else ()
    if not edges:
        raise ValueError(
            f"{spec.feature} is a number: write {{feature: {spec.feature}, bins: [...]}} with the cut points "
            "between strata"
        )
    return BinSlice(spec.feature, edges)


def crossings(
    protected: Sequence[str], legitimate: Sequence[Stratum], declared: Sequence[SliceSpec]
) -> tuple[CrossSlice, ...]:
    """Every protected feature crossed with every legitimate one, but for crossings declared already."""
    known = {spec.features for spec in declared if isinstance(spec, CrossSlice)}
    bins = {spec.feature: spec for spec in declared if isinstance(spec, BinSlice)}
    bins |= {spec.feature: spec for spec in legitimate if isinstance(spec, BinSlice)}
    found: list[CrossSlice] = []
    for name in protected:
        for spec in legitimate:
            parts = (name, spec.feature)
            cross = crossing(parts, [bins[part] for part in parts if part in bins])
            if name != spec.feature and cross.features not in known:
                known.add(cross.features)
                found.append(cross)
    return tuple(found)


def _fifths(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Cut points at fifths, to three figures; fewer where values repeat."""
    cuts = np.interp(np.arange(1, STRATA) / STRATA, QUANTILE_LEVELS, quantiles)
    return tuple(sorted({float(f"{cut:.3g}") for cut in cuts.tolist()}))
