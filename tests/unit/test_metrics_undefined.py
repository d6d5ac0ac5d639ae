"""Zero denominators, one at a time: a reason, never a 0."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.core.counters import SliceCounts
from monitor.core.metrics import METRICS
from monitor.core.metrics.f1 import F1
from monitor.core.metrics.pr_auc import PrAuc
from monitor.core.metrics.roc_auc import RocAuc
from tests.support.fold import Rows, fold

NAN = float("nan")
BY_NAME = {metric.name: metric for metric in METRICS}

UNLABELLED = Rows.of([0.2, 0.7], [0, 1], [NAN, NAN])
UNSCORED = Rows.of([NAN, NAN], [0, 1], [0, 1])
UNDECIDED = Rows.of([0.2, 0.7], [NAN, NAN], [0, 1])
ALL_NEGATIVE = Rows.of([0.2, 0.7], [0, 1], [0, 0])
ALL_POSITIVE = Rows.of([0.2, 0.7], [0, 1], [1, 1])
NEVER_YES = Rows.of([0.2, 0.7], [0, 0], [0, 1])
ALL_RIGHT_NO = Rows.of([0.2, 0.3], [0, 0], [0, 0])


@pytest.mark.parametrize(
    ("rows", "name", "reason"),
    [
        *((UNLABELLED, name, "no labelled rows") for name in
          ("label_rate", "accuracy", "precision", "recall", "f1", "false_positive_rate", "specificity",
           "log_loss", "brier", "roc_auc", "pr_auc", "expected_calibration_error")),
        *((UNSCORED, name, "no labelled scores") for name in
          ("log_loss", "brier", "roc_auc", "pr_auc", "expected_calibration_error")),
        (UNSCORED, "mean_score", "no scored rows"),
        (UNDECIDED, "positive_rate", "no decisions"),
        (UNDECIDED, "accuracy", "no labelled decisions"),
        (ALL_NEGATIVE, "roc_auc", "one class only"),
        (ALL_POSITIVE, "roc_auc", "one class only"),
        (ALL_NEGATIVE, "pr_auc", "no positive labels"),
        (ALL_POSITIVE, "pr_auc", "one class only"),
        (ALL_NEGATIVE, "recall", "no positive labels"),
        (ALL_POSITIVE, "specificity", "no negative labels"),
        (ALL_POSITIVE, "false_positive_rate", "no negative labels"),
        (NEVER_YES, "precision", "no positive decisions"),
        (ALL_RIGHT_NO, "f1", "no positive decisions or labels"),
    ],
)  # fmt: skip
def test_why_there_is_no_value(rows: Rows, name: str, reason: str) -> None:
    estimate = BY_NAME[name](fold(rows))
    assert estimate.value is None
    assert estimate.reason == reason


def test_labels_need_to_be_awaited() -> None:
    assert BY_NAME["coverage"](SliceCounts.zero()).reason == "no requests whose labels are awaited"


def test_none_right_is_a_zero_with_an_interval() -> None:
    estimate = F1()(fold(Rows.of([0.9, 0.1], [1, 0], [0, 1])))
    assert estimate.value == 0.0
    assert estimate.low == 0.0
    assert estimate.high is not None
    assert estimate.high > 0.5


@pytest.mark.parametrize("name", ["roc_auc", "pr_auc", "expected_calibration_error"])
def test_curves_that_are_not_kept(name: str) -> None:
    whole = fold(UNDECIDED)
    bare = SliceCounts(whole.scalars)
    assert BY_NAME[name](bare).reason == "score curves are not kept for this window"
    assert BY_NAME["brier"](bare).value is not None
    assert BY_NAME[name](SliceCounts(fold(UNSCORED).scalars)).reason == "no labelled scores"
    assert BY_NAME[name](SliceCounts(fold(UNLABELLED).scalars)).reason == "no labelled rows"


def test_a_single_row_has_a_mean_and_no_interval() -> None:
    estimate = BY_NAME["brier"](fold(Rows.of([0.5], [1], [1])))
    assert estimate.to_dict() == {"value": 0.25, "low": None, "high": None}


def test_perfect_separation_of_few_rows_is_not_certain() -> None:
    counts = fold(Rows.of([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], [0, 0, 1, 1]))
    for estimate in (RocAuc()(counts), PrAuc()(counts)):
        assert estimate.value == pytest.approx(1.0)
        assert estimate.low is not None
        assert estimate.low < 0.7
        assert estimate.high == pytest.approx(1.0)
        assert estimate.error_bound == pytest.approx(0.0, abs=1e-12)


def test_clipped_scores_cost_what_scikit_learn_charges() -> None:
    counts = fold(Rows.of([0.0], [0], [1]))
    assert BY_NAME["log_loss"](counts).value == pytest.approx(-np.log(np.finfo(np.float64).eps), abs=1e-6)
