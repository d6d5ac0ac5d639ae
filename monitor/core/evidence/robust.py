"""E-values of means that may be heavy-tailed: bounded, so that no single bucket, and no single row, decides.

Of a bucket nothing is asked but that its standardised contrast z has a mean of at most 0 while nothing is
wrong, and a variance of at most 1. Amounts of money are far from normal, and for them the likelihood ratio
exp(λ z - λ² / 2) may have no mean at all; with

    g(x) = 1 + x + x² / 2,  x = λ z cut to [-1, 8],     e_λ = g(λ z) / (1 + λ² / 2)

the mean is at most 1 whatever the distribution: g rises with x and lies below the same polynomial of the
uncut x, whose mean is 1 + λ² / 2. The idea of an influence function between the logarithms of two such
polynomials is Catoni's (2012), doi:10.1214/11-AIHP454; as evidence on a stream Wang and Ramdas (2022), arXiv
2202.01250. What it costs: at z = 4 a bucket tells 2 where a normal likelihood ratio tells 8.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.core.evidence.edetector import Floats

LAMBDAS: Final = (0.25, 0.5, 1.0, 1.5, 2.0)
"""Bets, from a small shift that lasts to a large one."""

_X_MIN: Final = -1.0
_X_MAX: Final = 8.0  # a bucket adds at most 3.7 to a log e-value


def log_e_values(z: Floats) -> Floats:
    """Log e-values of "the mean of z is at most 0", one per bet.

    Args:
        z: standardised contrasts, float64[S].

    Returns:
        float64[S, len(LAMBDAS)], each between -1.8 and 3.7.

    >>> log_e_values(np.array([-3.0, 0.0, 2.0, 1e9])).round(1)[:, 2].tolist()
    [-1.1, -0.4, 1.2, 3.3]
    """
    bets = np.array(LAMBDAS)
    x = np.clip(z[:, None] * bets, _X_MIN, _X_MAX)
    value: Floats = np.log(1 + x + x * x / 2) - np.log1p(bets * bets / 2)
    return value
