"""Kolmogorov-Smirnov distance on ordered cells: the largest difference of two distribution functions, 0 to 1.

    D = max_k |F_k - G_k|

Between the edges of cells the difference may be larger than is seen, and a maximum over fewer places
exceeds a limit less often: the threshold of Kolmogorov's distribution, K⁻¹(1 - α) sqrt(1/n + 1/m), is
conservative here. The mean of D under no change is at most sqrt(π/2) ln 2 · sqrt(1/n + 1/m).

Oracle: `scipy.stats.ks_2samp` on cell numbers.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import kolmogi

from monitor.core.counters import Counts
from monitor.core.drift.reading import ALPHA, Insufficient, Reading, inverse_rows, too_few


def reading(reference: Counts, live: Counts) -> Reading | Insufficient:
    """Distance of two histograms over the same ordered cells.

    Args:
        reference: int64[B], cells in increasing order of value.
        live: int64[B].

    >>> reading(np.array([50, 50]), np.array([80, 20])).value
    0.3
    """
    few = too_few(reference, live)
    if few is not None:
        return few
    gap = np.cumsum(reference) / reference.sum() - np.cumsum(live) / live.sum()
    value = float(round(np.abs(gap).max(), 12))
    scale = math.sqrt(inverse_rows(reference, live))
    chance = math.sqrt(math.pi / 2) * math.log(2) * scale
    return Reading(value, float(kolmogi(ALPHA)) * scale, max(0.0, value - chance))
