"""Car loans, folded window by window: the metrics others published of the same rows.

Source: NannyML, docs/example_notebooks, "Tutorial - Calculating Standard Metrics - Binary Classification" and
"Tutorial - Compare Estimated and Realized Performance".
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pytest

from monitor.core.metrics import METRICS
from tests.support.fold import Rows, fold, ranked

DATA: Final = Path(os.environ.get("MONITOR_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
WINDOW: Final = 5_000

COLUMNS: Final = ("roc_auc", "f1", "precision", "recall", "specificity", "accuracy", "pr_auc")
PUBLISHED: Final = (
    (0.970962, 0.943344, 0.956660, 0.930394, 0.954847, 0.9422, 0.963617),
    (0.970248, 0.940178, 0.957016, 0.923922, 0.959874, 0.9422, 0.960533),
    (0.976282, 0.948201, 0.958368, 0.938246, 0.961494, 0.9502, 0.966286),
    (0.967721, 0.942142, 0.959866, 0.925060, 0.961875, 0.9436, 0.960979),
    (0.969886, 0.940488, 0.953764, 0.927577, 0.954564, 0.9410, 0.962524),
    (0.960050, 0.913685, 0.922449, 0.905086, 0.924091, 0.9146, 0.952855),
    (0.958530, 0.914954, 0.931473, 0.899010, 0.932525, 0.9156, 0.953275),
    (0.959041, 0.913395, 0.925379, 0.901718, 0.927113, 0.9144, 0.951779),
    (0.963094, 0.920589, 0.935524, 0.906124, 0.938443, 0.9224, 0.954327),
    (0.957556, 0.913498, 0.921304, 0.905823, 0.918886, 0.9122, 0.951960),
)
REFERENCE_AUC: Final = (
    0.976253, 0.969045, 0.971742, 0.971642, 0.969085, 0.967364, 0.968692, 0.970205, 0.974096, 0.971757,
)  # fmt: skip

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no car loans: MONITOR_TEST_DATA ({DATA}) is absent"),
]
BY_NAME: Final = {metric.name: metric for metric in METRICS}


def windows(file: str, targets: str | None = None) -> list[Rows]:
    table = pd.read_csv(DATA / file)
    if targets is not None:
        table = table.merge(pd.read_csv(DATA / targets), on="id")
    rows = Rows.of(table["y_pred_proba"], table["y_pred"], table["repaid"])
    return [rows.take(slice(at, at + WINDOW)) for at in range(0, len(rows), WINDOW)]


def test_every_window_has_the_published_metrics() -> None:
    found = windows("car_loan_analysis.csv.gz", "car_loan_analysis_target.csv.gz")
    assert len(found) == len(PUBLISHED)
    for rows, published in zip(found, PUBLISHED, strict=True):
        binned, one_by_one = fold(rows), ranked(rows)
        for name, value in zip(COLUMNS, published, strict=True):
            estimate = BY_NAME[name](binned)
            assert estimate.value is not None
            assert estimate.low is not None
            assert estimate.high is not None
            assert estimate.low <= value <= estimate.high
            if estimate.error_bound is None:
                assert estimate.value == pytest.approx(value, abs=1e-6)
                continue
            assert abs(estimate.value - value) <= estimate.error_bound + 1e-6
            # A histogram takes the ties of two-decimal scores for a spread, which average precision feels;
            # row by row ties are ties, and nothing is lost.
            assert estimate.value == pytest.approx(value, abs=5e-5 if name == "roc_auc" else 2e-3)
            assert BY_NAME[name](one_by_one).value == pytest.approx(value, abs=1e-6)


def test_the_reference_has_the_published_areas() -> None:
    for rows, published in zip(windows("car_loan_reference.csv.gz"), REFERENCE_AUC, strict=True):
        estimate = BY_NAME["roc_auc"](fold(rows))
        assert estimate.value == pytest.approx(published, abs=5e-5)
        labels, scores = rows.labels, rows.scores
        assert BY_NAME["brier"](fold(rows)).value == pytest.approx(np.mean((scores - labels) ** 2), abs=1e-7)
