"""Performance before labels arrive: what the scores themselves promise, if calibration holds.

`calibration` learns from labelled rows how often each score comes true, `cbpe` reads that as expected
accuracy, F1 and ROC AUC, `slices` does so slice by slice, `dle` does the like for losses of regression, and
`guard` tests on labels that came since whether what was learned still holds.
"""

from __future__ import annotations

from monitor.core.estimation.slices import ESTIMATES, estimate_slices

__all__ = ["ESTIMATES", "estimate_slices"]
