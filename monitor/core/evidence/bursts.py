"""One failing request, sent again and again within a bucket, is one failure and not fifty.

A design effect (`clusters`, `design_effect`) is learned from many buckets; a burst comes once in days, and no
average tells of it. So a bucket whose evidence a burst explains may say only so much alone: the next has
to agree. A failure of many rows is more than a burst, and is told as soon as without this.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROWS_MAX: Final = 50
"""Rows of a bucket that one request sent again may come to."""

SHARE_MAX: Final = 0.04
"""Part of a bucket that it may come to: a tenth of all rows is a failure, whoever sends them."""


def explained(rows: Ints, hits: Ints | Floats, usual: ArrayLike) -> Ints:
    """Hits that one burst explains, int64[S].

    Args:
        rows: of the bucket, perhaps open still, int64[S].
        hits: among them, [S].
        usual: rows of the last whole bucket, [S] or one: of an open one too little has come to measure by.
    """
    limit = np.minimum(SHARE_MAX * np.maximum(rows, usual), ROWS_MAX)
    return np.floor(np.minimum(hits, limit)).astype(np.int64)


def capped(log_e: Floats, without: Floats, limit: float) -> Floats:
    """Log e-values at most `limit` each, or what they are without the burst, if that is more.

    They never grow, so e-values remain e-values.

    Args:
        log_e: of the bucket, float64[S, Q].
        without: of the bucket less what a burst explains, float64[S, Q].
        limit: what a bucket may say that a burst explains, above 0.

    >>> capped(np.array([[2.0, 40.0, 90.0]]), np.array([[-1.0, -3.0, 60.0]]), 6.0).tolist()
    [[2.0, 6.0, 60.0]]
    """
    value: Floats = np.minimum(log_e, np.maximum(without, limit))
    return value
