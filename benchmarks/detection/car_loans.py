"""Car loans: one window of 5,000 a bucket, level one in 30 buckets over six metrics.

The decline that NannyML publishes of the same rows, read by the detector as the product has it, with a
tolerance of nothing (odds ratio 1.001), for those who published it tolerate nothing.
"""

from __future__ import annotations

import csv
import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.core.contributions import Wide, calibration_cells, label_values, prediction_values, score_cells
from monitor.core.counters import ALL_SLICE, CALIBRATION, SCORES, SliceCounts
from monitor.core.detectors import degradation
from monitor.core.detectors.degradation import Degradation, DegradationState
from monitor.core.detectors.degradation_measures import OF_BINARY, DegradationStream, Watched
from monitor.core.detectors.finding import SliceName

WINDOW = 5_000
SIX = (
    Watched.ROC_AUC, Watched.F1, Watched.PRECISION, Watched.RECALL, Watched.SPECIFICITY, Watched.ACCURACY
)  # fmt: skip
LOG_THRESHOLD = math.log(30 * len(SIX))
Floats = NDArray[np.float64]


def car_loans_alert_windows(data: Path) -> dict[str, Any]:
    """By metric: log evidence after each window, and the windows after which an alert stands."""
    reference = _columns(data / "car_loan_reference.csv.gz", "y_pred_proba", "y_pred", "repaid")
    scores, decisions = _columns(data / "car_loan_analysis.csv.gz", "y_pred_proba", "y_pred")
    (labels,) = _columns(data / "car_loan_analysis_target.csv.gz", "repaid")
    config = Degradation(min_effect=1.001)
    streams = [DegradationStream(ALL_SLICE, metric, 1.0) for metric in OF_BINARY]
    state = degradation.align(
        config, DegradationState.fresh(), streams, {ALL_SLICE: slice_counts(*reference)}
    )
    names = {ALL_SLICE: SliceName(ALL_SLICE, "{}")}
    bar, every = np.full(len(streams), LOG_THRESHOLD), np.ones(len(streams), np.bool_)
    evidence: dict[str, list[float]] = {metric.value: [] for metric in OF_BINARY}
    alerts: dict[str, list[int]] = {metric.value: [] for metric in OF_BINARY}
    for place, at in enumerate(range(0, len(scores), WINDOW)):
        part = slice(at, at + WINDOW)
        bucket = {ALL_SLICE: slice_counts(scores[part], decisions[part], labels[part])}
        state = degradation.step(config, state, bucket, place * 1000, every)
        for stream, value in zip(streams, state.tracker.log_evidence.tolist(), strict=True):
            evidence[stream.metric.value].append(round(value, 1))
        state, findings = degradation.judge(config, state, names, bar, place * 1000)
        for finding in findings:
            if finding.holds:
                alerts[finding.subject["metric"]].append(place)
    return {
        "alert_windows": {metric.value: alerts[metric.value] for metric in SIX},
        "other_metrics": {m.value: alerts[m.value] for m in OF_BINARY if m not in SIX},
        "log_evidence": evidence,
        "log_threshold": LOG_THRESHOLD,
    }


def slice_counts(scores: Floats, decisions: Floats, labels: Floats) -> SliceCounts:
    """Labelled rows as the product counts them."""
    n = len(scores)
    said, everyone = decisions.astype(np.int8), np.ones(n, np.bool_)
    values = prediction_values(scores, said, ~everyone, everyone) + label_values(scores, said, labels)
    zeros = np.zeros(n, np.int64)
    wide = Wide(zeros, zeros, np.zeros((n, 1), np.int64), values)
    kinds = np.where(labels > 0.5, 1, 2).astype(np.int64)
    curve = np.zeros(SCORES.size, np.int64)
    for cells in (score_cells(wide, scores, 0), score_cells(wide, scores, kinds)):
        np.add.at(curve, cells.cells, cells.amounts)
    table = np.zeros(CALIBRATION.size, np.int64)
    calibrated = calibration_cells(wide, scores, labels).one_by_one()
    np.add.at(table, calibrated.cells, calibrated.amounts)
    return SliceCounts(values.sum(0), curve, table)


def _columns(file: Path, *names: str) -> list[Floats]:
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    return [np.array([float(row[name]) for row in rows]) for name in names]
