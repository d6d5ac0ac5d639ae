"""How many rows a rare event comes with: the design effect of counts whose rate is known beforehand.

`design_effect` is for a slice against the rest, where hundreds of failures say at once whether rows cluster.
Prefer this one where events are rare, or where nothing may be taken for granted before they are seen: it
starts from a cautious guess, and what is seen takes its place row by row.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from monitor.core.evidence.edetector import Flags, Floats, Ints

PRIOR: Final = 3.0
"""Design effect before anything is known: five to ten rows a user whose failures are correlated by 0.3."""

PRIOR_WEIGHT: Final = 4.0
"""Full pairs of buckets that the guess weighs as much as."""

FULL: Final = 10.0
"""Events in a pair of buckets that make it half a full one."""

MEMORY_BUCKETS: Final = 1_000
"""Buckets after which what was seen weighs 1/e."""

JUMP: Final = 4.0
"""A pair counts as at most so many times what is usual: a failure that sets in is no cluster."""


@dataclass(frozen=True)
class Clusters:
    """What is known of S streams.

    Attributes:
        rows, hits: of the last bucket with rows, float64[S].
        scatter, weight: sums of u q / w and of u over pairs of successive buckets, with forgetting,
            float64[S].
    """

    rows: Floats
    hits: Floats
    scatter: Floats
    weight: Floats

    @classmethod
    def fresh(cls, streams: int) -> Clusters:
        """Nothing seen."""
        return cls(*(np.zeros(streams) for _ in fields(cls)))

    def take(self, rows: Ints | Flags) -> Clusters:
        """Chosen streams, in the order given."""
        return Clusters(*(getattr(self, field.name)[rows] for field in fields(self)))

    def extend(self, count: int) -> Clusters:
        """The same streams and `count` fresh ones after them."""
        nothing = np.zeros(count)
        return Clusters(*(np.concatenate([getattr(self, field.name), nothing]) for field in fields(self)))

    @property
    def design_effect(self) -> Floats:
        """By what to divide log e-values of the next bucket, float64[S], at least 1."""
        value: Floats = (self.scatter + PRIOR_WEIGHT * PRIOR) / (self.weight + PRIOR_WEIGHT)
        return np.maximum(value, 1.0)


def follow(seen: Clusters, rows: Ints, hits: Ints, spread: Floats) -> Clusters:
    """Take one bucket.

    For two successive buckets with n and m rows and h and k hits

        q = (h m - k n)² / (n m),    w = (h + k) · spread

    have the same mean if rows are independent, whatever the common rate, and q has φ times that of w if they
    are not. A pair weighs u = w / (w + 10): rare events by their number, frequent ones by the pair.

    Args:
        seen: before the bucket.
        rows: n, int64[S].
        hits: h, int64[S], at most n.
        spread: variance of one row over its rate, 1 - rate, float64[S]; 1 for rare events.
    """
    n, h = rows.astype(np.float64), hits.astype(np.float64)
    w = (h + seen.hits) * spread
    pair = (n > 0) & (seen.rows > 0) & (w > 0)
    m, k = np.where(pair, seen.rows, 1.0), seen.hits
    q = (h * m - k * n) ** 2 / (np.where(pair, n, 1.0) * m)
    safe = np.where(pair, w, 1.0)
    u = np.where(pair, safe / (safe + FULL), 0.0)
    ratio = np.minimum(q / safe, JUMP * seen.design_effect)
    kept = np.where(n > 0, 1.0 - 1.0 / MEMORY_BUCKETS, 1.0)
    return Clusters(
        np.where(n > 0, n, seen.rows),
        np.where(n > 0, h, seen.hits),
        kept * seen.scatter + u * ratio,
        kept * seen.weight + u,
    )
