"""Have two samples the same distribution? Evidence that may be looked at after every bucket.

Universal inference (Wasserman, Ramdas and Balakrishnan 2020, arXiv 1912.11436) on the counts r of a
reference and c of live rows over the same B cells:

    log E = ln Q(r, c) - sum_k (r_k + c_k) ln((r_k + c_k) / (m + n))

The second term is the greatest likelihood that any one distribution gives both samples. Q is a likelihood
of two distributions, averaged over what they might be, and written before a row is seen:

    Q(r, c) = DM(r; ½, ..., ½) · DM(c; κ (r_k + ½) / (m + B/2))
    ln DM(c; a) = lnΓ(A) - lnΓ(A + n) + sum_k [lnΓ(a_k + c_k) - lnΓ(a_k)],    A = sum_k a_k

the Dirichlet-multinomial of the reference with Jeffreys' prior, then that of the live rows with a prior
which knows the reference and is worth κ of its rows. For each m, n ↦ E is at most a test martingale
whatever the common distribution, so P(E ever reaches 1/α) ≤ α (Ville), and the sampling error of the
reference is accounted for. A fixed known reference is not: plugging 1,000 rows in as if they were the truth
alarms always, sooner or later.

What it costs is about (B - 1)/2 · ln m for the reference and (B - 1)/2 · ln(1 + n/κ) for the live rows.
Fewer cells cost less and see less: the evidence returned is the average of that on all cells and on some
merged into a handful (an average of e-values is one).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.special import gammaln, xlogy

from monitor.core.counters import Counts
from monitor.core.drift.reading import Floats

JEFFREYS: Final = 0.5
"""Prior rows in each cell of the reference."""

KAPPA: Final = 100.0
"""Rows of the reference that the prior for live rows is worth: a change worth an alert shows within some
hundred rows, and by then the prior is outweighed."""


def log_e_values(reference: Counts | Floats, live: Counts | Floats, starts: Counts) -> Floats:
    """Log evidence of every feature that its live rows are distributed otherwise than its reference.

    Args:
        reference: int64[..., cells], blocks of features one after the other, known before any live row.
        live: int64[..., cells], broadcast against `reference`.
        starts: first cell of each block, int64[F], increasing from 0.

    Returns:
        float64[..., F]; 0 where a side has no rows.
    """
    sizes = np.diff(np.append(starts, reference.shape[-1]))
    block = np.repeat(np.arange(starts.size), sizes)
    m, n = _totals(reference, starts), _totals(live, starts)
    prior_mass = JEFFREYS * sizes
    of_reference = (
        gammaln(prior_mass) - gammaln(prior_mass + m) + _totals(gammaln(reference + JEFFREYS), starts)
    )
    of_reference -= sizes * gammaln(JEFFREYS)
    prior = KAPPA * (reference + JEFFREYS) / (m + prior_mass)[..., block]
    of_live = gammaln(KAPPA) - gammaln(KAPPA + n) + _totals(gammaln(prior + live) - gammaln(prior), starts)
    both, total = reference + live, m + n
    of_null = _totals(xlogy(both, both), starts) - xlogy(total, total)
    value: Floats = np.where((m > 0) & (n > 0), of_reference + of_live - of_null, 0.0)
    return value


def averaged(
    reference: Counts | Floats, live: Counts | Floats, starts: Counts, merged: Counts, merged_starts: Counts
) -> Floats:
    """Log of the average of the evidence on all cells and on merged ones.

    Args:
        reference: int64[..., cells].
        live: int64[..., cells].
        starts: first cell of each block, int64[F].
        merged: first cell of each merged one, int64[M], increasing from 0; no merged cell crosses blocks.
        merged_starts: first merged cell of each block, int64[F].

    Returns:
        float64[..., F].
    """
    fine = log_e_values(reference, live, starts)
    coarse = log_e_values(_totals(reference, merged), _totals(live, merged), merged_starts)
    value: Floats = np.logaddexp(fine, coarse) - math.log(2.0)
    return value


def _totals(cells: Counts | Floats, starts: Counts) -> Floats:
    value: Floats = np.add.reduceat(cells, starts, axis=-1)
    return value
