"""Performance before labels arrive: what the scores themselves promise, if calibration holds.

`calibration` learns from labelled rows how often each score comes true, `cbpe` reads that as expected
accuracy, F1 and ROC AUC, `slices` does so slice by slice; `dle` and `losses` do the like for errors of
regression, and `guard` tests on labels that came since whether what was learned of scores still holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from monitor.core.estimation.losses import ESTIMATED_MAE, ESTIMATED_RMSE, estimate_losses
from monitor.core.estimation.slices import ESTIMATES, all_undefined, estimate_slices

ESTIMATES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "binary": tuple(estimate.name for estimate in ESTIMATES),
    "multiclass": (),
    "regression": (ESTIMATED_MAE, ESTIMATED_RMSE),
}
"""Task → names of its estimates, in the order in which people read them."""

__all__ = ["ESTIMATES", "ESTIMATES_OF", "all_undefined", "estimate_losses", "estimate_slices"]
