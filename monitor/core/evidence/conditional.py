"""The conditional e-value: a slice against the rest, whatever the common rate does.

Given the margins of a bucket's 2 × 2 table, the failures that fall into the slice follow Fisher's
noncentral hypergeometric distribution with the odds ratio as its only parameter. The common failure rate
and the slice's share of traffic drop out, so a rate that moves with the hour, or together with the
slice's share (Simpson's paradox), costs nothing. One bucket is one stratum; logs of buckets add.

Evaluate once, when a bucket has closed: unlike `bernoulli`, it is not valid at every look inside one.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

ODDS_FACTORS: Final = (1.2, 1.6, 2.4, 4.0, 8.0)
"""Alternatives, as multiples of the tolerated odds ratio: from barely worse to broken."""

_SD_KEPT = 12.0
_TERMS_KEPT = 40
_CELLS_MAX = 200_000


def log_e_values(
    n1: ArrayLike, s1: ArrayLike, n2: ArrayLike, s2: ArrayLike, tolerated: ArrayLike, alternatives: ArrayLike
) -> Floats:
    """Log e-values of "the slice's odds ratio is at most `tolerated`", one per alternative.

        log e_ψ = s1 ln(ψ / ψ0) - ln Σ_k w_k ψ^k + ln Σ_k w_k ψ0^k,    w_k = C(n1, k) C(n2, s - k)

    with s = s1 + s2 and k over the support max(0, s - n2) … min(n1, s). The mean is 1 at odds ratio ψ0 and
    below 1 under every smaller one, by the monotone likelihood ratio. Terms further than 12 standard
    deviations outside the modes of ψ0 and of the largest ψ are left out; they weigh less than 1e-20.

    Args:
        n1: rows of the slice, int[S].
        s1: failures of the slice, int[S], 0 ≤ s1 ≤ n1.
        n2: rows of the rest, int[S].
        s2: failures of the rest, int[S], 0 ≤ s2 ≤ n2.
        tolerated: ψ0, float[S], positive.
        alternatives: ψ, float[S, Q], each above its ψ0.

    Returns:
        float64[S, Q]; 0 where the margins leave nothing to learn.

    Source: stratified conditional test of Cochran, Mantel and Haenszel in likelihood-ratio form.

    >>> log_e_values([10], [6], [90], [6], [1.0], [[4.0]]).round(2).tolist()
    [[5.47]]
    """
    a, b, c, d = (np.asarray(x, np.float64) for x in (n1, s1, n2, s2))
    psi0 = np.asarray(tolerated, np.float64)
    psi = np.asarray(alternatives, np.float64)
    result = np.zeros(psi.shape)
    total = b + d
    low, high = np.maximum(0.0, total - c), np.minimum(a, total)
    informative = np.flatnonzero(high > low)
    if informative.size == 0:
        return result
    pick = informative
    a, b, c, total, low, high = a[pick], b[pick], c[pick], total[pick], low[pick], high[pick]
    psi0, psi = psi0[pick], psi[pick]
    low, high = _window(a, c, total, low, high, psi0, psi.max(axis=1))
    width = (high - low + 1).astype(np.int64)
    order = np.argsort(width)
    values = np.empty(psi.shape)
    at = 0
    while at < order.size:
        # Widths rise along `order`: as many streams as fit when padded to the widest of them.
        fits = np.flatnonzero(width[order[at:]] * np.arange(1, order.size - at + 1) <= _CELLS_MAX)
        end = at + (int(fits[-1]) + 1 if fits.size else 1)
        part = order[at:end]
        values[part] = _block(
            a[part], b[part], c[part], total[part], low[part], width[part], psi0[part], psi[part]
        )
        at = end
    result[informative] = values
    return result


def odds_ratios_above(tolerated: ArrayLike) -> Floats:
    """Alternatives above each tolerated odds ratio, float64[S, 5]."""
    values: Floats = np.asarray(tolerated, np.float64)[:, None] * np.asarray(ODDS_FACTORS)
    return values


def _window(
    n1: Floats, n2: Floats, total: Floats, low: Floats, high: Floats, psi_low: Floats, psi_high: Floats
) -> tuple[Floats, Floats]:
    """The part of the support that carries the weight between two odds ratios."""
    first, first_sd = _mode(n1, n2, total, psi_low)
    last, last_sd = _mode(n1, n2, total, psi_high)
    return (
        np.maximum(low, np.floor(first - _SD_KEPT * first_sd - _TERMS_KEPT)),
        np.minimum(high, np.ceil(last + _SD_KEPT * last_sd + _TERMS_KEPT)),
    )


def _mode(n1: Floats, n2: Floats, total: Floats, psi: Floats) -> tuple[Floats, Floats]:
    """Mode and standard deviation of the noncentral hypergeometric, approximately (Liao and Rosen 2001)."""
    quadratic = psi - 1.0
    linear = (n1 + total) * psi + (n2 - total)
    constant = psi * n1 * total
    root = np.sqrt(np.maximum(linear * linear - 4 * quadratic * constant, 0.0))
    mode = 2 * constant / (linear + root)  # the stable form: ψ near 1 does not cancel
    cells = np.stack([mode, n1 - mode, total - mode, n2 - total + mode])
    precision = (1.0 / np.maximum(cells, 0.5)).sum(axis=0)
    return mode, 1.0 / np.sqrt(precision)


def _block(
    n1: Floats,
    s1: Floats,
    n2: Floats,
    total: Floats,
    low: Floats,
    width: NDArray[np.int64],
    psi0: Floats,
    psi: Floats,
) -> Floats:
    """Log e-values of streams padded to one width."""
    steps = np.arange(int(width.max()))
    k = low[:, None] + steps
    inside = steps < width[:, None]
    upper = steps[:-1] < width[:, None] - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(
            ((n1[:, None] - k) * (total[:, None] - k))[:, :-1]
            / ((k + 1) * (n2[:, None] - total[:, None] + k + 1))[:, :-1]
        )
    log_w = np.zeros(k.shape)
    np.cumsum(np.where(upper, ratio, 0.0), axis=1, out=log_w[:, 1:])
    log_w[~inside] = -np.inf

    def log_sum(log_psi: Floats) -> Floats:
        terms = log_w + steps * log_psi[:, None]
        top = terms.max(axis=1)
        summed: Floats = np.log(np.exp(terms - top[:, None]).sum(axis=1)) + top + low * log_psi
        return summed

    log_psi0 = np.log(psi0)
    base = log_sum(log_psi0)
    columns = []
    for column in psi.T:
        log_psi = np.log(column)
        columns.append(s1 * (log_psi - log_psi0) - log_sum(log_psi) + base)
    return np.stack(columns, axis=1)
