"""Which values of two features the traffic has shown together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from monitor.core.schema.feature import NUMERIC, FeatureType
from monitor.core.schema.model import FeatureSchema

PAIR_BINS: Final = 8
"""Bins of a numeric feature: coarse, so that a gap is a gap and not a lack of rows."""

VALUES_MAX: Final = 20
"""Categories of a feature up to which a pair that was not seen is one that does not come."""

ROWS_MIN: Final = 1_000
"""Rows below which a pair that was not seen may merely be rare."""

FEATURES_MAX: Final = 60
"""Features whose pairs are kept: 60 make 1,770 pairs of at most some hundred cells."""


@dataclass(frozen=True)
class PairCounts:
    """Pairs of bins that were seen at least once; values themselves for categories.

    Attributes:
        edges: numeric feature → cut points, ascending; other features are their own bins.
        cells: (feature, feature), in the order of `names` → pairs of bins seen.
        names: features that take part.
    """

    names: tuple[str, ...]
    edges: Mapping[str, tuple[float, ...]]
    cells: Mapping[tuple[str, str], frozenset[tuple[Any, Any]]] = field(repr=False)

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], edges: Mapping[str, tuple[float, ...]],
           names: tuple[str, ...]) -> PairCounts:  # fmt: skip
        """Count a sample.

        Args:
            rows: of the traffic.
            edges: numeric feature → cut points (see `cut`).
            names: features to take part; those beyond `FEATURES_MAX` do not.
        """
        names = names[:FEATURES_MAX]
        found: dict[tuple[str, str], set[tuple[Any, Any]]] = {
            (a, b): set() for i, a in enumerate(names) for b in names[i + 1 :]
        }
        for row in rows:
            bins = [_bin(edges.get(name), row.get(name)) for name in names]
            for i, a in enumerate(names):
                for j in range(i + 1, len(names)):
                    found[a, names[j]].add((bins[i], bins[j]))
        return cls(names, edges, {pair: frozenset(seen) for pair, seen in found.items()})

    def seen(self, features: Mapping[str, Any], name: str) -> bool:
        """Whether the value of one feature was seen with that of every other."""
        if name not in self.names:
            return True
        mine = _bin(self.edges.get(name), features.get(name))
        at = self.names.index(name)
        for place, other in enumerate(self.names):
            if place == at:
                continue
            theirs = _bin(self.edges.get(other), features.get(other))
            pair = (name, other) if at < place else (other, name)
            if ((mine, theirs) if at < place else (theirs, mine)) not in self.cells[pair]:
                return False
        return True


def cut(quantiles: Iterable[float]) -> tuple[float, ...]:
    """Cut points of at most `PAIR_BINS` bins, from the quantiles of a reference.

    >>> cut([0.0, 0.0, 0.0, 1.0, 2.0])
    (1.0, 2.0)
    """
    distinct = np.unique(np.asarray(list(quantiles), np.float64))
    if distinct.size > PAIR_BINS:
        picks = np.linspace(0, distinct.size - 1, PAIR_BINS + 1).round().astype(int)[1:-1]
        return tuple(distinct[picks].tolist())
    return tuple(distinct[1:].tolist())


def _bin(edges: tuple[float, ...] | None, value: Any) -> Any:
    if edges is None or value is None or isinstance(value, str):
        return value
    return int(np.searchsorted(edges, value, side="right"))


def pairs_of(schema: FeatureSchema, rows: Sequence[Mapping[str, Any]]) -> PairCounts | None:
    """Pairs of the features whose values are few enough to meet in so many rows.

    Args:
        schema: with the quantiles that cut numbers.
        rows: of the traffic or of a reference; fewer than `ROWS_MIN` say nothing.
    """
    if len(rows) < ROWS_MIN:
        return None
    edges = {
        name: cut(feature.reference.quantiles)
        for name, feature in schema.features.items()
        if feature.type in NUMERIC and feature.reference is not None and feature.reference.quantiles
    }
    few = [
        name
        for name, feature in schema.features.items()
        if feature.type is FeatureType.BOOLEAN
        or (feature.type is FeatureType.CATEGORY and 0 < len(feature.categories or ()) <= VALUES_MAX)
    ]
    names = tuple(name for name in schema.features if name in edges or name in few)
    plain = [{name: _comparable(row.get(name)) for name in names} for row in rows]
    kept = [
        row for row in plain if all(row[name] is None or not isinstance(row[name], str) for name in edges)
    ]
    return PairCounts.of(kept, edges, names)


def _comparable(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else None
