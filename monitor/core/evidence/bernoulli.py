"""E-values for a rate that is known to stay on one side of a boundary.

Prefer this to `conditional` where the tolerated rate is known beforehand (a tolerated violation rate,
a share of traffic in the reference); prefer `conditional` where two groups share an unknown, moving rate.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

ODDS_ABOVE: Final = (3.0, 10.0, 30.0, 100.0, 1_000.0, 10_000.0)
"""Alternatives above the boundary, as multiples of its odds: from "thrice" to "nearly all"."""

RATE_MIN: Final = 1e-6
"""A boundary below this is read as this: a rate of zero cannot be tested."""


def log_e_values(
    rows: ArrayLike, hits: ArrayLike, boundary: ArrayLike, alternatives: ArrayLike
) -> NDArray[np.float64]:
    """Log likelihood ratio of each alternative rate against the boundary.

        log e_q = h ln(q / p) + (n - h) ln((1 - q) / (1 - p))

    For q > p its mean is at most 1 under every rate up to p, for q < p under every rate from p; a mean over
    several q is an e-value again. It depends on the present counts alone and is a supermartingale row by
    row, so it may be read in a bucket that is still open (Wald 1945; Ville 1939).

    Args:
        rows: n, int[S], rows seen.
        hits: h, int[S], rows counted, 0 ≤ h ≤ n.
        boundary: p, float[S] in (0, 1).
        alternatives: q, float[S, Q] in (0, 1), all on one side of p.

    Returns:
        float64[S, Q].

    >>> log_e_values([100], [2], [0.01], [[0.03]]).round(3).tolist()
    [[0.197]]
    """
    n = np.asarray(rows, np.float64)[:, None]
    h = np.asarray(hits, np.float64)[:, None]
    p = np.asarray(boundary, np.float64)[:, None]
    q = np.asarray(alternatives, np.float64)
    values: NDArray[np.float64] = h * np.log(q / p) + (n - h) * (np.log1p(-q) - np.log1p(-p))
    return values


def rates_above(boundary: ArrayLike) -> NDArray[np.float64]:
    """Alternatives above each boundary, float64[S, 6]: its odds times `ODDS_ABOVE`.

    >>> rates_above([0.001]).round(3).tolist()
    [[0.003, 0.01, 0.029, 0.091, 0.5, 0.909]]
    """
    p = np.asarray(boundary, np.float64)[:, None]
    odds: NDArray[np.float64] = p / (1 - p) * np.asarray(ODDS_ABOVE)
    return odds / (1 + odds)


def rates_below(boundary: ArrayLike, factors: tuple[float, ...] = (0.7, 0.4, 0.1)) -> NDArray[np.float64]:
    """Alternatives below each boundary, float64[S, len(factors)]: the boundary times each factor."""
    values: NDArray[np.float64] = np.asarray(boundary, np.float64)[:, None] * np.asarray(factors)
    return values
