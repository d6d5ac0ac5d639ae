"""Which values of two features the traffic has shown together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

PAIR_BINS: Final = 8
"""Bins of a numeric feature: coarse, so that a gap is a gap and not a lack of rows."""

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
