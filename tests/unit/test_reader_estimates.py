"""Estimates before labels, as the reading library answers them, from a store in a dictionary."""

from __future__ import annotations

import json
from typing import Final

import numpy as np
import pytest
import sklearn.metrics as sk

from monitor.core.counters import ALL_SLICE, DEFAULT_TIERS, SCORES, SliceCounts, merge
from monitor.core.errors import QueryError
from monitor.core.estimation import ESTIMATES, estimate_slices
from monitor.core.metrics import METRICS
from monitor.edges.reader import MetricsReader
from tests.support.fold import Rows, fold, logit_normal_rows
from tests.unit.test_reader import DAY, HOUR, NOON, Shelf

NAMES: Final = [estimate.name for estimate in ESTIMATES]
NOW: Final = NOON + 40 * 60


class Loans:
    """Batches from `past_s` before noon on; what is younger than `unlabelled_from_s` has no labels yet."""

    def __init__(
        self, past_s: int, every_s: int, rows: int, unlabelled_from_s: int = NOON, coverage: float = 1.0
    ) -> None:
        self.shelf = Shelf(NOW, 0)
        self.batches: list[tuple[int, int, Rows]] = []
        rng = np.random.default_rng(17)
        for i, at_s in enumerate(range(NOON - past_s, NOW, every_s)):
            truth = logit_normal_rows(rng, rows, 0.4, 1.5)
            known = (rng.random(rows) < coverage) & (at_s < unlabelled_from_s)
            seen = Rows(truth.scores, truth.decisions, np.where(known, truth.labels, np.nan))
            self.shelf.count(at_s, 1 + i % 2, seen)
            self.batches.append((at_s, 1 + i % 2, truth))
        self.reader = MetricsReader(self.shelf)

    def truth(self, from_s: int, slice_id: int = ALL_SLICE) -> Rows:
        chosen = [rows for at_s, number, rows in self.batches
                  if at_s >= from_s and slice_id in (ALL_SLICE, number)]  # fmt: skip
        return Rows(*(np.concatenate([getattr(rows, name) for rows in chosen])
                      for name in ("scores", "decisions", "labels")))  # fmt: skip


@pytest.mark.parametrize(
    ("past_s", "every_s", "rows"), [(10 * DAY, 2 * HOUR, 200), (8 * HOUR, 300, 200), (90 * 60, 30, 100)]
)
def test_rows_without_labels_have_estimates_that_hold(past_s: int, every_s: int, rows: int) -> None:
    loans = Loans(past_s, every_s, rows)
    (all_, *of_slices) = loans.reader.slices("income", from_=NOON)
    assert all_.labelled == 0
    assert all_["accuracy"].value is None
    for number, report in enumerate([all_, *of_slices]):
        if not report.requests:
            continue
        truth = loans.truth(NOON, 0 if not report.slice else 1 + (report.slice["sex"] == "Male"))
        realised = (
            sk.accuracy_score(truth.labels, truth.decisions),
            sk.f1_score(truth.labels, truth.decisions),
            sk.roc_auc_score(truth.labels, truth.scores),
        )
        for name, value in zip(NAMES, realised, strict=True):
            estimate = report[name]
            assert estimate.low is not None, (number, name, estimate.reason)
            assert estimate.high is not None
            assert estimate.low <= value <= estimate.high
            assert estimate.high - estimate.low < 0.25


def test_they_are_marked_as_json() -> None:
    loans = Loans(8 * HOUR, 300, 200)
    report = loans.reader.slices("income", from_=NOON, metrics=["estimated_roc_auc", "accuracy"])[0]
    answer = json.loads(json.dumps(report.to_dict()))
    assert list(answer) == ["slice", "requests", "labelled", "accuracy", "estimated_roc_auc", "window"]
    assert set(answer["estimated_roc_auc"]) == {"value", "low", "high", "estimate"}
    assert answer["estimated_roc_auc"]["estimate"] is True
    every = loans.reader.slices("income", from_=NOON)[0].to_dict()
    assert [name for name in every if name.startswith("estimated")] == NAMES
    assert [name for name in every if name in {metric.name for metric in METRICS}] == [
        metric.name for metric in METRICS
    ]


def test_the_window_itself_teaches_nothing() -> None:
    """Labels within the window are of another world here; what is learned comes from before it."""
    plain, turned = Loans(8 * HOUR, 300, 200), Loans(8 * HOUR, 300, 200)
    for at_s, number, rows in turned.batches:
        if at_s >= NOON:
            upside_down = Rows(np.full(len(rows), np.nan), rows.decisions, 1 - rows.labels)
            turned.shelf.count(at_s, number, upside_down)
    one, two = (each.reader.slices("income", from_=NOON)[0]["estimated_roc_auc"] for each in (plain, turned))
    assert one == two


def test_it_is_what_the_counts_say() -> None:
    loans = Loans(8 * HOUR, 300, 200)
    reports = loans.reader.slices("income", from_=NOON)
    past = [(at_s, number, rows) for at_s, number, rows in loans.batches if at_s < NOON]
    history = {
        number: merge(fold(rows) for _, of, rows in past if number in (ALL_SLICE, of)) for number in range(3)
    }
    unlabelled = {
        number: fold(Rows(rows.scores, rows.decisions, np.full(len(rows), np.nan)))
        for number in range(3)
        for rows in [loans.truth(NOON, number)]
    }
    expected = estimate_slices(unlabelled, history)
    for number, report in enumerate(reports):
        assert dict(report.estimates) == expected[number]
    assert expected[0]["estimated_roc_auc"] != expected[1]["estimated_roc_auc"]


def test_without_history_it_says_why() -> None:
    def reason(loans: Loans, from_s: int = NOON, **options: object) -> str | None:
        report = loans.reader.slices("income", from_=from_s, **options)[0]  # type: ignore[arg-type]
        reasons = {report[name].reason for name in NAMES}
        assert len(reasons) == 1
        return reasons.pop()

    begins = Loans(0, 60, 50)
    assert reason(begins) == "no labelled history: nothing before the window has labels"
    waiting = Loans(8 * HOUR, 300, 200, unlabelled_from_s=0)
    assert reason(waiting) == "no labelled history: nothing before the window has labels"
    partly = Loans(8 * HOUR, 300, 200, coverage=0.8)
    assert reason(partly) == "no labelled history: no bucket before the window has 95% of its labels"
    assert reason(partly, ready_at=0.7) is None
    assert reason(partly, wait="2h") is None
    assert reason(partly, wait="3d") is not None
    few = Loans(90 * 60, 1_800, 50)
    assert reason(few) == "labelled history of 150 scored rows; 300 are needed"
    loans = Loans(8 * HOUR, 300, 200)
    assert reason(loans, NOON + 90) is not None  # curves are of whole minutes


def test_decisions_that_do_not_follow_the_score_have_an_area_only() -> None:
    rng = np.random.default_rng(18)
    rows = logit_normal_rows(rng, 5_000, 0.4, 1.5)
    tossed = Rows(rows.scores, (rng.random(5_000) < 0.4).astype(np.float64), rows.labels)
    found = estimate_slices({0: fold(tossed)}, {0: fold(tossed)})[0]
    for name in NAMES[:2]:
        assert found[name].value is None
        assert (found[name].reason or "").startswith(
            "decisions do not follow the score: a cut at their share is right"
        )
    assert found[NAMES[2]].value is not None
    undecided = Rows(rows.scores, np.full(5_000, np.nan), rows.labels)
    found = estimate_slices({0: fold(undecided)}, {0: fold(undecided)})[0]
    assert [found[name].reason for name in NAMES] == ["no decisions", "no decisions", None]
    assert estimate_slices({0: SliceCounts.zero()}, {0: fold(rows)})[0][NAMES[2]].reason == "no scored rows"


def test_a_series_of_estimates_is_refused() -> None:
    with pytest.raises(QueryError, match="estimated for slices and has no series"):
        Loans(HOUR, 300, 50).reader.series("income", metric="estimated_f1", since="1h")


def test_history_is_read_in_few_buckets() -> None:
    """A month of hours would be 700 arrays a slice; days and a few hours do."""
    for past_s, most in ((30 * DAY, 31), (6 * DAY, 6 + 46), (8 * HOUR, 8), (100 * 60, 100)):
        loans = Loans(past_s, max(past_s // 600, 60), 20)
        asked: list[int] = []
        read = loans.shelf.read

        def counted(keys: object, read: object = read, asked: list[int] = asked) -> object:
            asked.append(sum(key.kind is SCORES and key.bucket_s < NOON for key in keys))  # type: ignore[attr-defined]
            return read(keys)  # type: ignore[operator]

        loans.shelf.read = counted  # type: ignore[method-assign, assignment]
        loans.reader.slices("income", from_=NOON, where={"sex": "Male"}, metrics=NAMES)
        assert max(asked) <= 2 * most
    assert any(SCORES.kept_s(tier) for tier in DEFAULT_TIERS)
