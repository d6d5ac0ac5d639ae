"""What is read of a bucket, or of a reference, to see whether a metric has declined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from monitor.core.counters import Scalar, SliceCounts
from monitor.core.evidence.edetector import Floats
from monitor.core.metrics.estimate import Metric
from monitor.core.metrics.expected_calibration_error import ExpectedCalibrationError
from monitor.core.metrics.log_loss import LogLoss
from monitor.core.metrics.pr_auc import PrAuc
from monitor.core.metrics.roc_auc import RocAuc

_ONE_SD: Final = 0.6827  # level of an interval that reaches one standard error to each side


class Watched(StrEnum):
    """Metrics whose decline is looked for."""

    ACCURACY = "accuracy"
    PRECISION = "precision"
    RECALL = "recall"
    SPECIFICITY = "specificity"
    F1 = "f1"
    ROC_AUC = "roc_auc"
    PR_AUC = "pr_auc"
    LOG_LOSS = "log_loss"
    CALIBRATION = "expected_calibration_error"


RATES: Final = {
    Watched.ACCURACY: (
        (Scalar.TP, Scalar.FP, Scalar.TN, Scalar.FN, Scalar.CORRECT, Scalar.WRONG),
        (Scalar.FP, Scalar.FN, Scalar.WRONG),
    ),
    Watched.PRECISION: ((Scalar.TP, Scalar.FP), (Scalar.FP,)),
    Watched.RECALL: ((Scalar.TP, Scalar.FN), (Scalar.FN,)),
    Watched.SPECIFICITY: ((Scalar.TN, Scalar.FP), (Scalar.FP,)),
    Watched.F1: ((Scalar.TP, Scalar.FP, Scalar.FN), (Scalar.FP, Scalar.FN)),
}
"""Rows, and failures among them. F1 goes by the Jaccard index TP / (TP + FP + FN), which rises with it."""

ESTIMATES: Final[Mapping[Watched, Metric]] = {
    Watched.ROC_AUC: RocAuc(),
    Watched.PR_AUC: PrAuc(),
    Watched.LOG_LOSS: LogLoss(),
    Watched.CALIBRATION: ExpectedCalibrationError(),
}
LOSSES: Final = frozenset({Watched.LOG_LOSS, Watched.CALIBRATION})
WORDS: Final = {
    Watched.ACCURACY: "accuracy",
    Watched.PRECISION: "precision",
    Watched.RECALL: "recall",
    Watched.SPECIFICITY: "specificity",
    Watched.F1: "F1",
    Watched.ROC_AUC: "ROC AUC",
    Watched.PR_AUC: "PR AUC",
    Watched.LOG_LOSS: "log loss",
    Watched.CALIBRATION: "calibration error",
}

N, S, VALUE, VARIANCE = range(4)
"""Columns of sums: rows n, failures; of estimates Σ n·value and Σ n²·SE².

Buckets weigh by their rows. Inverse variances would weigh a bucket that did well by chance more, for a value
near 1 has a small standard error, and so make a reference out of small buckets better than it was."""


@dataclass(frozen=True, slots=True)
class DegradationStream:
    """One test: a slice and a metric."""

    slice_id: int
    metric: Watched
    weight: float  # relative to the other streams


def measured(
    streams: Sequence[DegradationStream], slices: Mapping[int, SliceCounts], class_min: int
) -> Floats:
    """What a bucket, or a reference, shows of each stream, float64[S, 4]; zeros where it shows nothing.

    Args:
        streams: what is tested.
        slices: slice id → counts; arrays that are not kept may be None.
        class_min: rows of each class before an area is read.
    """
    found = np.zeros((len(streams), 4))
    for row, stream in enumerate(streams):
        counts = slices.get(stream.slice_id)
        if counts is None:
            continue
        if stream.metric in RATES:
            at_risk, failures = RATES[stream.metric]
            found[row, N] = counts.scalars[list(at_risk)].sum()
            found[row, S] = counts.scalars[list(failures)].sum()
            continue
        positives = counts[Scalar.LABEL_POSITIVE]
        if min(positives, counts[Scalar.LABELLED] - positives) < class_min:
            continue
        estimate = ESTIMATES[stream.metric](counts, _ONE_SD)
        if estimate.value is None or estimate.low is None or estimate.high is None:
            continue
        error = max((estimate.high - estimate.low) / 2, 1e-9)
        rows = counts[Scalar.RATED]
        found[row] = rows, 0, rows * estimate.value, (rows * error) ** 2
    return found
