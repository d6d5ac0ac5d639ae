"""Performance before labels arrive: what the scores themselves promise, if calibration holds.

`calibration` learns from labelled rows how often each score comes true, `cbpe` reads that as expected
accuracy, F1 and ROC AUC, `dle` does the like for losses of regression, and `guard` tests on labels that
came since whether what was learned still holds.
"""

from __future__ import annotations

from typing import Final

from monitor.core.estimation.cbpe import EstimatedAccuracy, EstimatedF1, EstimatedRocAuc, Expected

ESTIMATES: Final[tuple[EstimatedAccuracy | EstimatedF1 | EstimatedRocAuc, ...]] = (
    EstimatedAccuracy(),
    EstimatedF1(),
    EstimatedRocAuc(),
)
"""Every estimate, in the order in which people read them."""

__all__ = ["ESTIMATES", "Expected"]
