"""Car loans: the decline that NannyML publishes, found in the windows it publishes and in no other.

Source: as in test_car_loans_metrics. The published pattern is an alert on ROC AUC, F1, precision, recall,
specificity and accuracy in windows 5 to 9, silence in 0 to 4, and never one on average precision.
"""

import math

import numpy as np
import pytest

from monitor.core.detectors import degradation
from monitor.core.detectors.degradation import Degradation, DegradationState
from monitor.core.detectors.degradation_measures import OF_BINARY, DegradationStream, Watched
from monitor.core.detectors.finding import SliceName
from tests.real.test_car_loans_metrics import DATA, windows
from tests.support.fold import Rows, fold

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no car loans: MONITOR_TEST_DATA ({DATA}) is absent"),
]
SIX = {
    Watched.ROC_AUC, Watched.F1, Watched.PRECISION, Watched.RECALL, Watched.SPECIFICITY, Watched.ACCURACY
}  # fmt: skip
LOG_THRESHOLD = math.log(30 * len(SIX))
"""One false alarm in 30 windows, over six metrics."""


@pytest.fixture(scope="module")
def alerts() -> dict[Watched, list[int]]:
    """Metric → windows after which an alert stands."""
    config = Degradation(min_effect=1.001)  # any decline matters here, as it does to those who published it
    streams = [DegradationStream(0, metric, 1.0) for metric in OF_BINARY]
    parts = windows("car_loan_reference.csv.gz")
    whole = Rows(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("scores", "decisions", "labels")
        )
    )
    state = degradation.align(config, DegradationState.fresh(), streams, {0: fold(whole)})
    assert state.ready.all()
    names = {0: SliceName(0, "{}")}
    found: dict[Watched, list[int]] = {metric: [] for metric in OF_BINARY}
    everyone, bar = np.ones(len(streams), np.bool_), np.full(len(streams), LOG_THRESHOLD)
    for place, rows in enumerate(windows("car_loan_analysis.csv.gz", "car_loan_analysis_target.csv.gz")):
        state = degradation.step(config, state, {0: fold(rows)}, place * 1000, everyone)
        state, findings = degradation.judge(config, state, names, bar, place * 1000 + 1000)
        for finding in findings:
            if finding.holds:
                found[Watched(finding.subject["metric"])].append(place)
    return found


@pytest.mark.parametrize("metric", sorted(SIX))
def test_the_published_alerts_and_no_others(alerts: dict[Watched, list[int]], metric: Watched) -> None:
    assert alerts[metric] == [5, 6, 7, 8, 9]


def test_log_loss_fell_while_the_model_got_worse(alerts: dict[Watched, list[int]]) -> None:
    """Confident wrong scores of exactly 0 and 1 dominate it: it says nothing of this decline."""
    assert alerts[Watched.LOG_LOSS] == []


def test_average_precision_declines_too_slowly_for_a_window(alerts: dict[Watched, list[int]]) -> None:
    """Never published as an alert. It falls by three standard errors of a window, and evidence adds up."""
    assert alerts[Watched.PR_AUC] == [8, 9]
