"""Metrics: pure functions from the counters of a slice to an estimate with an interval.

Read `METRICS`, know the product. Each lives in a file of its own name.
"""

from __future__ import annotations

from typing import Final

from monitor.core.metrics.accuracy import Accuracy
from monitor.core.metrics.brier import Brier
from monitor.core.metrics.coverage import Coverage
from monitor.core.metrics.estimate import Estimate, Metric
from monitor.core.metrics.expected_calibration_error import ExpectedCalibrationError
from monitor.core.metrics.f1 import F1
from monitor.core.metrics.false_positive_rate import FalsePositiveRate
from monitor.core.metrics.label_rate import LabelRate
from monitor.core.metrics.log_loss import LogLoss
from monitor.core.metrics.mean_score import MeanScore
from monitor.core.metrics.positive_rate import PositiveRate
from monitor.core.metrics.pr_auc import PrAuc
from monitor.core.metrics.precision import Precision
from monitor.core.metrics.recall import Recall
from monitor.core.metrics.roc_auc import RocAuc
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
"""Every metric, in the order in which people read them."""

__all__ = ["METRICS", "Estimate", "Metric"]
