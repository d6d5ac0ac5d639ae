"""Wasserstein distance of order 1: how far values have moved on average, in interquartile ranges.

    W = sum_k |F_k - G_k| (x_{k+1} - x_k) / IQR

where x_k stands for the values of cell k: its lower edge, and for the open cell below the first edge a
point as far below as the second edge is above. A shift of every value by one interquartile range reads 1.
Says how large a change is, in the feature's own terms; it decides nothing, for its noise depends on the
tails.

Under no change n^½ (F - G) is a Brownian bridge B. The mean of ∫|B(F(x))|dx is sqrt(2/π) ∫ sqrt(F(1 - F))
dx; no projection of B onto signs varies more than ∫B(F(x))dx, whose variance is Var x. By the inequality of
Borell and of Tsirelson, Ibragimov and Sudakov (Adler & Taylor 2007, theorem 2.1.1) the distance exceeds its
mean by sd(x) sqrt(2 ln(1/α) (1/n + 1/m)) with probability at most α.

Oracle: `scipy.stats.wasserstein_distance`.
"""

from __future__ import annotations

import math

import numpy as np

from monitor.core.counters import Counts
from monitor.core.drift.reading import ALPHA, Floats, Insufficient, Reading, inverse_rows, too_few


def reading(reference: Counts, live: Counts, edges: Floats) -> Reading | Insufficient:
    """Distance of two histograms over the bins of a numeric feature.

    Args:
        reference: int64[B].
        live: int64[B].
        edges: float64[B - 1], increasing.

    >>> edges = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    >>> reading(np.array([0, 25, 25, 25, 25, 0]), np.array([0, 0, 25, 25, 25, 25]), edges).value
    0.5
    """
    few = too_few(reference, live)
    if few is not None:
        return few
    if edges.size < 2:
        return Insufficient("two bins have no width")
    below, at = np.cumsum(reference) / reference.sum(), places(edges)
    low, high = (float(at[min(int(np.searchsorted(below, level)), at.size - 1)]) for level in (0.25, 0.75))
    if high <= low:
        return Insufficient("the quartiles of the reference are equal")
    widths = np.diff(at) / (high - low)
    gap = (below - np.cumsum(live) / live.sum())[:-1]
    value = float((np.abs(gap) * widths).sum())
    both = reference + live
    pooled = (np.cumsum(both) / both.sum())[:-1]
    scale = math.sqrt(inverse_rows(reference, live))
    chance = math.sqrt(2 / math.pi) * float((np.sqrt(pooled * (1 - pooled)) * widths).sum()) * scale
    shares, units = both / both.sum(), at / (high - low)
    spread = math.sqrt(max(0.0, float((shares * units * units).sum() - (shares * units).sum() ** 2)))
    threshold = chance + spread * math.sqrt(2 * math.log(1 / ALPHA)) * scale
    return Reading(value, threshold, max(0.0, value - chance))


def places(edges: Floats) -> Floats:
    """The value that stands for each bin: float64[len(edges) + 1].

    >>> places(np.array([1.0, 3.0, 4.0])).tolist()
    [-1.0, 1.0, 3.0, 4.0]
    """
    step = edges[1] - edges[0] if edges.size > 1 else 1.0
    return np.concatenate([[edges[0] - step], edges])
