"""How much less the rows of a stream say than independent rows would.

Rows of one person, and retries of one request, come in clusters: m rows with correlation ρ carry the
evidence of m / (1 + (m - 1) ρ). The factor is seen in how counts scatter between buckets. Residuals are
taken against the mean given a bucket's margins, so a base rate or a mix that moves with the hour adds
nothing; and it is their *successive differences* that are squared (von Neumann 1941), so a level that has
shifted adds one term, not one a bucket.

Log e-values are divided by the factor. For a likelihood ratio of normal deviates whose variance is φ times
the assumed one, exp(log e / φ) has mean 1 again (quasi-likelihood, Wedderburn 1974); dividing all counts
by φ comes to the same, without the rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.core.evidence.edetector import Flags, Floats, Ints

MEMORY_BUCKETS: Final = 1_000
"""Buckets after which what was seen weighs 1/e: long enough to be steady, short enough to follow."""

PAIRS_MIN: Final = 10.0
"""Pairs of buckets before a factor is read at all."""

_OWN_SE: Final = 2.0
_POOLED_SE: Final = 4.0  # slices overlap, so a pool's standard error is too small
_NUM, _DEN, _QQ, _QW, _WW, _PAIRS = range(6)


@dataclass(frozen=True)
class Dispersion:
    """What is known of the scatter of S streams.

    Attributes:
        residual, variance: of the last bucket, float64[S]; nan before the first.
        sums: q, w, q², q w, w² and 1 summed over pairs of buckets with exponential forgetting, float64[S, 6];
            q is a squared difference of residuals, w what it would be if rows were independent.
    """

    residual: Floats
    variance: Floats
    sums: Floats

    @classmethod
    def fresh(cls, streams: int) -> Dispersion:
        """Nothing seen."""
        return cls(np.full(streams, np.nan), np.full(streams, np.nan), np.zeros((streams, 6)))

    def take(self, rows: Ints) -> Dispersion:
        """Chosen streams, in the order given."""
        return Dispersion(self.residual[rows], self.variance[rows], self.sums[rows])

    def extend(self, count: int) -> Dispersion:
        """The same streams and `count` fresh ones after them."""
        more = Dispersion.fresh(count)
        return Dispersion(
            np.concatenate([self.residual, more.residual]),
            np.concatenate([self.variance, more.variance]),
            np.concatenate([self.sums, more.sums]),
        )


def observe(seen: Dispersion, n1: Ints, s1: Ints, n2: Ints, s2: Ints, active: Flags) -> Dispersion:
    """Take one bucket of 2 × 2 tables.

    Args:
        seen: before the bucket.
        n1: rows of the slice, int64[S].
        s1: failures of the slice, int64[S].
        n2: rows of the rest, int64[S].
        s2: failures of the rest, int64[S].
        active: streams that take part, bool[S].
    """
    n = np.maximum(n1 + n2, 1).astype(np.float64)
    residual = s1 - n1 * (s1 + s2) / n
    # Each side's own rate: between groups that differ, the common one would pass for scatter.
    own = n1 * (s1 * (n1 - s1) / np.maximum(n1 * (n1 - 1), 1))
    rest = n2 * (s2 * (n2 - s2) / np.maximum(n2 * (n2 - 1), 1))
    variance = (n2 * n2 * own + n1 * n1 * rest) / (n * n)
    return follow(seen, residual, variance, active & (n1 > 1) & (n2 > 1))


def follow(seen: Dispersion, residual: Floats, variance: Floats, known: Flags) -> Dispersion:
    """Take one bucket of residuals.

    Args:
        seen: before the bucket.
        residual: what was counted beyond what was expected, float64[S].
        variance: of the residual, if rows were independent, float64[S].
        known: streams for which the bucket has both, bool[S].
    """
    pair = known & ~np.isnan(seen.residual)
    q = np.where(pair, (residual - seen.residual) ** 2, 0.0)
    w = np.where(pair, variance + seen.variance, 0.0)
    added = np.stack([q, w, q * q, q * w, w * w, pair.astype(np.float64)], axis=1)
    kept = np.where(pair, 1.0 - 1.0 / MEMORY_BUCKETS, 1.0)[:, None]
    return Dispersion(
        np.where(known, residual, seen.residual),
        np.where(known, variance, seen.variance),
        seen.sums * kept + added,
    )


def design_effect(seen: Dispersion, groups: Ints) -> Floats:
    """By what to divide log e-values, float64[S], at least 1.

    The greater of a stream's own factor and that of its group, each only where it is established: more than
    2 (own) or 4 (pooled) standard errors above 1. What is used then is one standard error above the estimate.

    Args:
        seen: of S streams.
        groups: streams with one number are pooled (one metric, most often), int64[S], from 0.
    """
    pooled = np.zeros((int(groups.max(initial=-1)) + 1, 6))
    np.add.at(pooled, groups, seen.sums)
    value: Floats = np.maximum(_factor(seen.sums, _OWN_SE), _factor(pooled, _POOLED_SE)[groups])
    return value


def _factor(sums: Floats, errors: float) -> Floats:
    q, w, qq, qw, ww, pairs = sums.T
    safe = np.where(w > 0, w, 1.0)
    phi = q / safe
    error = np.sqrt(np.maximum(qq - 2 * phi * qw + phi * phi * ww, 0.0)) / safe
    established = (pairs >= PAIRS_MIN) & (phi - errors * error > 1.0)
    value: Floats = np.where(established, phi + error, 1.0)
    return value
