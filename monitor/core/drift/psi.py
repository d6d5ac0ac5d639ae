"""Population stability index: how far two histograms are apart, in nats. The effect that alerts go by.

    PSI = sum_k (q_k - p_k) ln(q_k / p_k)

with p_k, q_k the shares of cell k in reference and live rows, half a row added to each cell that either side
has seen. Without change PSI · 1/(1/n + 1/m) is χ² with B - 1 degrees of freedom (Yurdakul 2018, thesis,
Western Michigan University), so its mean is (B - 1)(1/n + 1/m): 0.17 for ten cells and fifty rows, where
the customary limit is 0.1. For a shift of a normal by d standard deviations PSI is d².

Oracle: the sum of both Kullback-Leibler divergences, `scipy.stats.entropy`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import chdtri

from monitor.core.counters import Counts
from monitor.core.drift.reading import ALPHA, Floats, Insufficient, Reading, inverse_rows, too_few

PRIOR: Final = 0.5
"""Rows added to each cell, so that a cell that one side lacks is far and not infinitely far."""


def reading(reference: Counts, live: Counts) -> Reading | Insufficient:
    """PSI of two histograms over the same cells.

    Args:
        reference: int64[B].
        live: int64[B].

    >>> reading(np.array([500, 500]), np.array([90, 10])).effect > 0.5
    True
    """
    few = too_few(reference, live)
    if few is not None:
        return few
    seen = (reference + live) > 0
    cells = int(seen.sum())
    if cells < 2:
        return Insufficient("one cell holds every row")
    scale = inverse_rows(reference, live)
    r, c = reference[seen] + PRIOR, live[seen] + PRIOR
    p, q = r / r.sum(), c / c.sum()
    value = float(((q - p) * np.log(q / p)).sum())
    threshold = scale * float(chdtri(cells - 1, ALPHA))
    return Reading(value, threshold, max(0.0, value - (cells - 1) * scale))


def debiased(reference: Counts, live: Counts, starts: Counts, design_effect: Floats) -> tuple[Floats, Floats]:
    """PSI of many features and windows at once, less its mean under no change, and the noise left in it.

    Args:
        reference: int64[..., cells], blocks of features one after the other.
        live: int64[..., cells].
        starts: first cell of each block, int64[F], increasing from 0.
        design_effect: by how much rows scatter more than independent ones, float64[F], at least 1.

    Returns:
        PSI, 0 or greater, and its standard deviation under no change for live rows alone (the reference's
        share of it stays the same however long one waits), float64[..., F] each. PSI is nan where a side
        has no rows.
    """
    seen = (reference + live) > 0
    r, c = np.where(seen, reference + PRIOR, 0.0), np.where(seen, live + PRIOR, 0.0)
    block = np.repeat(np.arange(starts.size), np.diff(np.append(starts, live.shape[-1])))
    m, n = (np.add.reduceat(x, starts, axis=-1) for x in (reference, live))
    total_r, total_c = (np.maximum(np.add.reduceat(x, starts, axis=-1), PRIOR) for x in (r, c))
    p, q = r / total_r[..., block], c / total_c[..., block]
    ratio = np.where(seen, q, 1.0) / np.where(seen, p, 1.0)
    value = np.add.reduceat((q - p) * np.log(ratio), starts, axis=-1)
    free = np.maximum(np.add.reduceat(seen.astype(np.int64), starts, axis=-1) - 1, 1)
    known = (m > 0) & (n > 0)
    one_m, one_n = 1.0 / np.maximum(m, 1), 1.0 / np.maximum(n, 1)
    effect = np.maximum(value - free * (one_m + one_n) * design_effect, 0.0)
    noise = np.sqrt(2.0 * free) * one_n * design_effect
    return np.where(known, effect, np.nan), noise
