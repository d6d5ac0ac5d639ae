"""Car loans: performance estimated without labels, against the estimates that NannyML publishes.

The map is learned from the reference's labels in the 512 score bins of the store; the windows of 5,000 rows
are then estimated from their score histograms and their share of positive decisions alone.

Source: NannyML, docs/example_notebooks, "Tutorial - Estimating Standard Performance Metrics - Binary
Classification", values reproduced with nannyml 0.13.1.
"""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import SCORE_BINS, Counts, score_bin
from monitor.core.estimation import ESTIMATES
from monitor.core.estimation.calibration import fit
from monitor.core.estimation.cbpe import Expected, said_yes

WINDOW: Final = 5_000

COLUMNS: Final = ("estimated_roc_auc", "estimated_accuracy", "estimated_f1")
PUBLISHED: Final = (
    (0.970744, 0.941792, 0.943030),
    (0.971011, 0.943321, 0.941324),
    (0.971407, 0.945492, 0.943574),
    (0.971091, 0.944816, 0.943159),
    (0.971123, 0.944645, 0.944204),
    (0.961090, 0.910714, 0.911753),
    (0.961825, 0.911149, 0.911766),
    (0.961073, 0.911193, 0.911661),
    (0.962533, 0.914389, 0.913763),
    (0.961316, 0.911731, 0.914751),
)
"""The estimates per window, in the order of `COLUMNS`."""

REALISED: Final = (
    (0.970962, 0.9422, 0.943344),
    (0.970248, 0.9422, 0.940178),
    (0.976282, 0.9502, 0.948201),
    (0.967721, 0.9436, 0.942142),
    (0.969886, 0.9410, 0.940488),
    (0.960050, 0.9146, 0.913685),
    (0.958530, 0.9156, 0.914954),
    (0.959041, 0.9144, 0.913395),
    (0.963094, 0.9224, 0.920589),
    (0.957556, 0.9122, 0.913498),
)
"""What the labels showed, in the order of `COLUMNS`."""


def car_loans_cbpe(data: Path) -> dict[str, Any]:
    """Estimates of each window and their greatest distance from the published ones.

    Args:
        data: folder of `car_loan_reference.csv.gz` and `car_loan_analysis.csv.gz`.

    Returns:
        `windows`: a list of metric name → value, low, high; `error_max`: metric name → greatest absolute
        difference from the published estimate; `realised_inside`: metric name → windows whose realised
        metric lies in the interval.
    """
    scores, labels = _columns(data / "car_loan_reference.csv.gz", "y_pred_proba", "repaid")
    learned = fit(*(_histogram(scores[labels == label]) for label in (1, 0)))
    scores, decisions = _columns(data / "car_loan_analysis.csv.gz", "y_pred_proba", "y_pred")
    windows: list[dict[str, dict[str, Any]]] = []
    for start in range(0, len(scores), WINDOW):
        part = slice(start, start + WINDOW)
        scored = _histogram(scores[part])
        rows = Expected(scored, said_yes(scored, float(decisions[part].mean())), learned)
        windows.append({estimate.name: estimate(rows).to_dict() for estimate in ESTIMATES})
    return {
        "windows": windows,
        "error_max": {
            name: max(
                abs(window[name]["value"] - row[at]) for window, row in zip(windows, PUBLISHED, strict=True)
            )
            for at, name in enumerate(COLUMNS)
        },
        "realised_inside": {
            name: sum(
                window[name]["low"] <= row[at] <= window[name]["high"]
                for window, row in zip(windows, REALISED, strict=True)
            )
            for at, name in enumerate(COLUMNS)
        },
    }


def _histogram(scores: NDArray[np.float64]) -> Counts:
    return np.bincount(score_bin(scores), minlength=SCORE_BINS).astype(np.int64)


def _columns(file: Path, *names: str) -> list[NDArray[np.float64]]:
    with gzip.open(file, "rt", newline="") as text:
        rows = list(csv.DictReader(text))
    return [np.array([float(row[name]) for row in rows]) for name in names]
