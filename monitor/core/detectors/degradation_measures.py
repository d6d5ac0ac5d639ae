"""What is read of a bucket, or of a reference, to see whether a metric has declined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from monitor.core.counters import Scalar, SliceCounts
from monitor.core.evidence.edetector import Floats
from monitor.core.metrics.bias import Bias
from monitor.core.metrics.by_class import LABELLED, seen_classes
from monitor.core.metrics.estimate import Metric
from monitor.core.metrics.expected_calibration_error import ExpectedCalibrationError
from monitor.core.metrics.log_loss import LogLoss
from monitor.core.metrics.macro_f1 import MacroF1
from monitor.core.metrics.macro_precision import MacroPrecision
from monitor.core.metrics.macro_recall import MacroRecall
from monitor.core.metrics.mean_absolute_error import MeanAbsoluteError
from monitor.core.metrics.of_values import sums_of
from monitor.core.metrics.pr_auc import PrAuc
from monitor.core.metrics.r2 import R2
from monitor.core.metrics.roc_auc import RocAuc
from monitor.core.metrics.root_mean_squared_error import RootMeanSquaredError
from monitor.core.tasks.moments import Counted

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
    MACRO_F1 = "macro_f1"
    MACRO_PRECISION = "macro_precision"
    MACRO_RECALL = "macro_recall"
    MAE = "mae"
    RMSE = "rmse"
    BIAS = "bias"
    R2 = "r2"


OF_BINARY: Final = tuple(Watched)[:9]
OF_CLASSES: Final = (
    Watched.ACCURACY,
    Watched.MACRO_F1,
    Watched.MACRO_PRECISION,
    Watched.MACRO_RECALL,
    Watched.LOG_LOSS,
)
OF_VALUES: Final = (Watched.MAE, Watched.RMSE, Watched.BIAS, Watched.R2)
"""What is watched of each task."""

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
    Watched.MACRO_F1: MacroF1(),
    Watched.MACRO_PRECISION: MacroPrecision(),
    Watched.MACRO_RECALL: MacroRecall(),
    Watched.MAE: MeanAbsoluteError(),
    Watched.RMSE: RootMeanSquaredError(),
    Watched.BIAS: Bias(),
    Watched.R2: R2(),
}
MACRO: Final = frozenset({Watched.MACRO_F1, Watched.MACRO_PRECISION, Watched.MACRO_RECALL})
LOSSES: Final = frozenset({Watched.LOG_LOSS, Watched.CALIBRATION, Watched.MAE, Watched.RMSE, Watched.BIAS})
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
    Watched.MACRO_F1: "macro F1",
    Watched.MACRO_PRECISION: "macro precision",
    Watched.MACRO_RECALL: "macro recall",
    Watched.MAE: "mean absolute error",
    Watched.RMSE: "root mean squared error",
    Watched.BIAS: "bias (mean of value - label)",
    Watched.R2: "R²",
}

N, S, VALUE, VARIANCE = range(4)
"""Columns of sums: rows n, failures; of estimates Σ n·value and Σ n²·SE².

Buckets weigh by their rows. Inverse variances would weigh a bucket that did well by chance more, for a value
near 1 has a small standard error, and so make a reference out of small buckets better than it was."""


@dataclass(frozen=True, slots=True)
class DegradationStream:
    """One test: a slice and a metric. `classes`: how many a model has; a macro metric needs rows of each."""

    slice_id: int
    metric: Watched
    weight: float  # relative to the other streams
    classes: int = 0


def measured(
    streams: Sequence[DegradationStream], slices: Mapping[int, SliceCounts], class_min: int
) -> Floats:
    """What a bucket, or a reference, shows of each stream, float64[S, 4]; zeros where it shows nothing.

    Args:
        streams: what is tested.
        slices: slice id → counts; arrays that are not kept may be None.
        class_min: rows of each class before an area or a mean over classes is read; of a model without
            classes, rows before anything is.
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
        if _fewest(stream, counts) < class_min:
            continue
        estimate = ESTIMATES[stream.metric](counts, _ONE_SD)
        if estimate.value is None or estimate.low is None or estimate.high is None:
            continue
        error = max((estimate.high - estimate.low) / 2, 1e-9)
        rows = _rows(stream.metric, counts)
        found[row] = rows, 0, rows * estimate.value, (rows * error) ** 2
    return found


def _fewest(stream: DegradationStream, counts: SliceCounts) -> int:
    """Rows of the smallest class, or of all where the metric asks for no classes."""
    if stream.metric in MACRO:
        seen = seen_classes(counts)[:, LABELLED]
        return int(seen.min()) if len(seen) and len(seen) >= stream.classes else 0
    if stream.metric in OF_VALUES or counts.classes is not None:
        return _rows(stream.metric, counts)
    positives = counts[Scalar.LABEL_POSITIVE]
    return min(positives, counts[Scalar.LABELLED] - positives)


def _rows(metric: Watched, counts: SliceCounts) -> int:
    """Rows that a metric rests on."""
    if metric in OF_VALUES:
        return sums_of(counts).rows(Counted.JUDGED)
    if metric in MACRO:
        return int(seen_classes(counts)[:, LABELLED].sum())
    return counts[Scalar.RATED]
