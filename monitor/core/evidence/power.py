"""How many rows of a slice it takes to see a failure of a given size, before there is one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from monitor.core.evidence.conditional import ODDS_FACTORS
from monitor.core.evidence.edetector import Floats


def rows_needed(
    rest: ArrayLike, failing: ArrayLike, tolerated: ArrayLike, share: ArrayLike, log_threshold: ArrayLike
) -> Floats:
    """Rows of a slice until `conditional.log_e_values` have climbed to the threshold, in the mean.

        (log threshold + ln Q) / ((1 - share) · max over ψ of E ln LR),   LR = P_ψ(x) / P_ψ0(x)

    with x a failure at rate `failing`, P_ψ the rate whose odds are ψ times those of the rest, and the Q
    alternatives of `ODDS_FACTORS`. It is Wald's approximation (1945) of a sequential test's mean length, the
    detector's averaging over Q alternatives included. A slice that is much of the traffic is compared with
    the little that remains, hence 1 - share.

    Args:
        rest: failure rate of the rest, in (0, 1), float[S].
        failing: failure rate of the slice once it fails, in (0, 1), float[S].
        tolerated: odds ratio that is no failure, float[S].
        share: share of the slice in the traffic, in [0, 1), float[S].
        log_threshold: float[S].

    Returns:
        float64[S]; inf where the failure is within what is tolerated.

    >>> rows_needed([0.1], [0.2], [1.25], [0.05], [19.8]).round(-1).tolist()
    [960.0]
    """
    r, p, psi0, q, bar = (
        np.asarray(x, np.float64)[:, None] for x in (rest, failing, tolerated, share, log_threshold)
    )
    odds = r / (1 - r)
    psi = psi0 * np.asarray(ODDS_FACTORS)
    one, zero = odds * psi / (1 + odds * psi), odds * psi0 / (1 + odds * psi0)
    gain = p * np.log(one / zero) + (1 - p) * (np.log1p(-one) - np.log1p(-zero))
    best = gain.max(axis=1) * (1 - q[:, 0])
    with np.errstate(divide="ignore"):
        rows: Floats = np.where(best > 0, (bar[:, 0] + math.log(len(ODDS_FACTORS))) / best, np.inf)
    return rows
