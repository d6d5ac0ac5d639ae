"""Jensen-Shannon divergence, in bits: from 0 (alike) to 1 (nothing in common). Bounded, where PSI is not.

    JS = H((p + q)/2) - (H(p) + H(q))/2,    H the entropy in bits

Both sides weigh the same, so the value does not depend on how many rows there are. Near no change JS is PSI
/ (8 ln 2): the same quadratic form as the G-test of two samples, hence JS · 8 ln 2 / (1/n + 1/m) is χ² with
B - 1 degrees of freedom.

Oracle: the square of `scipy.spatial.distance.jensenshannon(..., base=2)`.
"""

from __future__ import annotations

import math

from scipy.special import chdtri, xlogy

from monitor.core.counters import Counts
from monitor.core.drift.reading import ALPHA, Floats, Insufficient, Reading, inverse_rows, too_few


def reading(reference: Counts, live: Counts) -> Reading | Insufficient:
    """Divergence of two histograms over the same cells.

    Args:
        reference: int64[B].
        live: int64[B].

    >>> import numpy as np
    >>> reading(np.array([100, 0]), np.array([0, 100])).value
    1.0
    """
    few = too_few(reference, live)
    if few is not None:
        return few
    seen = (reference + live) > 0
    cells = int(seen.sum())
    if cells < 2:
        return Insufficient("one cell holds every row")
    p, q = reference[seen] / reference.sum(), live[seen] / live.sum()
    value = max(0.0, _entropy_bits((p + q) / 2) - (_entropy_bits(p) + _entropy_bits(q)) / 2)
    scale = inverse_rows(reference, live) / (8 * math.log(2))
    return Reading(value, scale * float(chdtri(cells - 1, ALPHA)), max(0.0, value - (cells - 1) * scale))


def _entropy_bits(shares: Floats) -> float:
    return -float(xlogy(shares, shares).sum()) / math.log(2)
