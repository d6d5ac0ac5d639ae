"""A metric that declines is told, one that does not is not, and what it was is known with its error."""

from collections.abc import Mapping

import numpy as np
import pytest

from monitor.core.counters import Scalar, SliceCounts
from monitor.core.detectors import degradation
from monitor.core.detectors.degradation import Degradation, DegradationState
from monitor.core.detectors.degradation_measures import OF_BINARY, DegradationStream, Watched, measured
from monitor.core.detectors.finding import Finding, SliceName
from monitor.core.evaluation.stored import dump, load
from tests.support.fold import Rows, fold

CONFIG = Degradation()
ALL = SliceName(0, "{}")
MONTHLY_OF_100 = 19.4 - np.log(60.0)
"""Log threshold of one of 100 streams, one false alarm a month, buckets of a minute."""


def scored(rng: np.random.Generator, rows: int, separation: float) -> SliceCounts:
    """Calibrated scores of a logistic model whose classes are `separation` apart on the logit scale."""
    labels = rng.random(rows) < 0.4
    logits = rng.normal(np.where(labels, separation, -separation) / 2, 1.0) * separation + np.log(0.4 / 0.6)
    scores = 1 / (1 + np.exp(-logits))
    return fold(Rows.of(scores, scores >= 0.5, labels))


def answered(rng: np.random.Generator, rows: int, error: float) -> SliceCounts:
    """Counts without scores: half are positive, `error` of all are answered wrongly."""
    counts = SliceCounts.zero()
    wrong = rng.binomial(rows, error)
    fn = rng.binomial(wrong, 0.5)
    positives = rng.binomial(rows - wrong, 0.5)
    cells = [Scalar.LABELLED, Scalar.FN, Scalar.FP, Scalar.TP, Scalar.TN, Scalar.LABEL_POSITIVE]
    counts.scalars[cells] = rows, fn, wrong - fn, positives, rows - wrong - positives, positives + fn
    return counts


def watched(
    reference: SliceCounts | None,
    buckets: list[SliceCounts],
    metrics: tuple[Watched, ...] = OF_BINARY,
    threshold: float = MONTHLY_OF_100,
) -> tuple[DegradationState, list[tuple[int, Finding]]]:
    streams = [DegradationStream(0, metric, 1.0) for metric in metrics]
    known: Mapping[int, SliceCounts] = {} if reference is None else {0: reference}
    state = degradation.align(CONFIG, DegradationState.fresh(), streams, known)
    found = []
    for place, counts in enumerate(buckets):
        take = np.ones(len(streams), np.bool_)
        state = degradation.step(CONFIG, state, {0: counts}, place * 60_000, take)
        bar = np.full(len(streams), threshold)
        state, findings = degradation.judge(CONFIG, state, {0: ALL}, bar, (place + 1) * 60_000)
        found += [(place, finding) for finding in findings]
    return state, found


def test_every_metric_declines_when_a_model_loses_its_grip() -> None:
    rng = np.random.default_rng(1)
    reference = scored(rng, 20_000, 2.5)
    good = [scored(rng, 500, 2.5) for _ in range(20)]
    bad = [scored(rng, 500, 1.2) for _ in range(40)]
    _, found = watched(reference, good + bad)
    opened = {finding.subject["metric"]: place for place, finding in reversed(found) if finding.holds}
    rest = set(OF_BINARY) - {Watched.CALIBRATION}  # the weaker model is as calibrated as it was
    assert set(opened) >= rest
    assert all(20 <= opened[metric] <= 40 for metric in rest)
    finding = next(f for _, f in found if f.subject["metric"] == "roc_auc")
    assert finding.summary.startswith("ROC AUC of all requests fell from 0.9")
    assert finding.notes
    accuracy = next(f for _, f in found if f.subject["metric"] == "accuracy")
    assert accuracy.excess is not None
    assert accuracy.excess > 0


def test_scores_that_stop_meaning_what_they_say_are_told_by_calibration() -> None:
    rng = np.random.default_rng(2)

    def overconfident(rows: int) -> SliceCounts:
        logits = rng.normal(0.0, 1.5, rows)
        labels = rng.random(rows) < 1 / (1 + np.exp(-0.4 * logits))
        scores = 1 / (1 + np.exp(-logits))
        return fold(Rows.of(scores, scores >= 0.5, labels))

    _, found = watched(
        scored(rng, 20_000, 2.5), [overconfident(2_000) for _ in range(20)], (Watched.CALIBRATION,)
    )
    assert any(finding.holds for _, finding in found)


def test_a_decline_ends() -> None:
    rng = np.random.default_rng(3)
    buckets = [answered(rng, 300, 0.25 if 20 <= place < 40 else 0.1) for place in range(100)]
    _, found = watched(answered(rng, 20_000, 0.1), buckets, (Watched.ACCURACY,))
    assert 20 <= found[0][0] <= 30
    assert not found[-1][1].holds
    assert 40 < found[-1][0] < 60


def test_what_is_within_the_tolerance_is_never_told() -> None:
    rng = np.random.default_rng(4)
    buckets = [answered(rng, 1_000, 0.115) for _ in range(300)]
    state, found = watched(
        answered(rng, 20_000, 0.1), buckets, (Watched.ACCURACY, Watched.RECALL, Watched.F1)
    )
    assert found == []
    assert state.tracker.log_evidence.max() < 5


def test_stationary_streams_keep_the_promise() -> None:
    """200 models of three metrics, 300 buckets each: at level 1/1000 a bucket no more than 180 may alarm."""
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        reference = answered(rng, 5_000, 0.1)  # small: its own error is part of the promise
        buckets = [answered(rng, 200, 0.1) for _ in range(300)]
        metrics = (Watched.ACCURACY, Watched.PRECISION, Watched.RECALL)
        _, found = watched(reference, buckets, metrics, threshold=np.log(1_000.0))
        alarms += len({finding.subject["metric"] for _, finding in found})
    assert alarms <= 3


def test_areas_of_stationary_streams_keep_the_promise() -> None:
    alarms = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        buckets = [scored(rng, 300, 2.0) for _ in range(60)]
        metrics = (Watched.ROC_AUC, Watched.PR_AUC, Watched.LOG_LOSS, Watched.CALIBRATION)
        _, found = watched(scored(rng, 5_000, 2.0), buckets, metrics, threshold=np.log(1_000.0))
        alarms += len({finding.subject["metric"] for _, finding in found})
    assert alarms <= 2


def test_without_a_reference_the_first_rows_are_it() -> None:
    rng = np.random.default_rng(6)
    learnt, found = watched(None, [answered(rng, 500, 0.1) for _ in range(12)], (Watched.ACCURACY,))
    assert learnt.ready.tolist() == [True]
    assert learnt.reference[0, 0] == 5_000
    assert found == []
    _, found = watched(
        None, [answered(rng, 500, 0.1 if i < 12 else 0.3) for i in range(20)], (Watched.ACCURACY,)
    )
    assert found[0][0] in (12, 13)


@pytest.mark.parametrize("metric", [Watched.ROC_AUC, Watched.PR_AUC, Watched.CALIBRATION])
def test_a_bucket_of_one_class_shows_no_area(metric: Watched) -> None:
    counts = fold(Rows.of([0.2] * 50, [0] * 50, [0] * 50))
    assert not measured([DegradationStream(0, metric, 1.0)], {0: counts}, 10).any()


def test_the_state_is_stored() -> None:
    rng = np.random.default_rng(7)
    state, _ = watched(answered(rng, 6_000, 0.1), [answered(rng, 100, 0.1)])
    read = load(DegradationState, dump(state, 1), 1)
    assert read is not None
    assert read.streams == state.streams
    assert np.array_equal(read.tracker.sr, state.tracker.sr)
