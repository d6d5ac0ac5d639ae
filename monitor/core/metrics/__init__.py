"""Metrics: pure functions from the counters of a slice to an estimate with an interval.

Read `METRICS`, know the product. Each lives in a file of its own name.
"""

from __future__ import annotations

from typing import Final

from monitor.core.metrics.accuracy import Accuracy
from monitor.core.metrics.bias import Bias
from monitor.core.metrics.brier import Brier
from monitor.core.metrics.coverage import Coverage
from monitor.core.metrics.estimate import Estimate, Metric
from monitor.core.metrics.expected_calibration_error import ExpectedCalibrationError
from monitor.core.metrics.f1 import F1
from monitor.core.metrics.false_positive_rate import FalsePositiveRate
from monitor.core.metrics.interval_coverage import IntervalCoverage
from monitor.core.metrics.label_rate import LabelRate
from monitor.core.metrics.log_loss import LogLoss
from monitor.core.metrics.macro_f1 import MacroF1
from monitor.core.metrics.macro_precision import MacroPrecision
from monitor.core.metrics.macro_recall import MacroRecall
from monitor.core.metrics.mean_absolute_error import MeanAbsoluteError
from monitor.core.metrics.mean_score import MeanScore
from monitor.core.metrics.mean_value import MeanValue
from monitor.core.metrics.median_absolute_error import MedianAbsoluteError
from monitor.core.metrics.positive_rate import PositiveRate
from monitor.core.metrics.pr_auc import PrAuc
from monitor.core.metrics.precision import Precision
from monitor.core.metrics.r2 import R2
from monitor.core.metrics.recall import Recall
from monitor.core.metrics.roc_auc import RocAuc
from monitor.core.metrics.root_mean_squared_error import RootMeanSquaredError
from monitor.core.metrics.specificity import Specificity

METRICS: Final[tuple[Metric, ...]] = (
    Coverage(),
    PositiveRate(),
    LabelRate(),
    MeanScore(),
    Accuracy(),
    Precision(),
    Recall(),
    F1(),
    FalsePositiveRate(),
    Specificity(),
    LogLoss(),
    Brier(),
    RocAuc(),
    PrAuc(),
    ExpectedCalibrationError(),
)
"""Every metric of a binary model, in the order in which people read them."""

MULTICLASS_METRICS: Final[tuple[Metric, ...]] = (
    Coverage(),
    MeanScore(),
    Accuracy(),
    MacroPrecision(),
    MacroRecall(),
    MacroF1(),
    LogLoss(),
    Brier(),
    ExpectedCalibrationError(),
)
"""Of several classes; the score is the probability of the class decided for."""

REGRESSION_METRICS: Final[tuple[Metric, ...]] = (
    Coverage(),
    MeanValue(),
    MeanAbsoluteError(),
    MedianAbsoluteError(),
    RootMeanSquaredError(),
    Bias(),
    R2(),
    IntervalCoverage(),
)
"""Of a number."""

METRICS_OF: Final = {
    "binary": METRICS,
    "multiclass": MULTICLASS_METRICS,
    "regression": REGRESSION_METRICS,
}
"""Task → its metrics."""

__all__ = ["METRICS", "METRICS_OF", "MULTICLASS_METRICS", "REGRESSION_METRICS", "Estimate", "Metric"]
