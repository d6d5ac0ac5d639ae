"""Fairness: what groups should share, how far they are from it, and how sure that is.

Read `FAMILIES`, know the quantities; `equalized_odds` joins two of them. `comparison.compare` measures
the gaps.
"""

from __future__ import annotations

from typing import Final

from monitor.core.fairness.calibration_gap import CalibrationGap
from monitor.core.fairness.demographic_parity import DemographicParity
from monitor.core.fairness.equal_opportunity import EqualOpportunity
from monitor.core.fairness.error_rate import ErrorRateGap
from monitor.core.fairness.false_positive_rate import FalsePositiveRateGap
from monitor.core.fairness.family import Family
from monitor.core.fairness.mean_absolute_error import MeanAbsoluteErrorGap
from monitor.core.fairness.mean_error import MeanErrorGap
from monitor.core.fairness.mean_score import MeanScore
from monitor.core.fairness.mean_value import MeanValueGap
from monitor.core.fairness.predictive_parity import PredictiveParity

FAMILIES: Final[tuple[Family, ...]] = (
    DemographicParity(),
    EqualOpportunity(),
    FalsePositiveRateGap(),
    PredictiveParity(),
    ErrorRateGap(),
    CalibrationGap(),
    MeanScore(),
)
"""Every quantity of binary models, in the order in which people read them."""

REGRESSION_FAMILIES: Final[tuple[Family, ...]] = (MeanValueGap(), MeanAbsoluteErrorGap(), MeanErrorGap())
"""Of models that predict a number."""

__all__ = ["FAMILIES", "REGRESSION_FAMILIES", "Family"]
