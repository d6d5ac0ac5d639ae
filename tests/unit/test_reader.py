"""The reading library over a store in a dictionary, compared with a recomputation from raw rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

import numpy as np
import pytest

from monitor.core.counters import (
    ALL_SLICE,
    CALIBRATION,
    CODES,
    DEFAULT_TIERS,
    JOIN,
    RANKING,
    RANKING_ROW,
    SCALARS,
    SCORES,
    VIOLATIONS,
    CellKey,
    Counts,
    Join,
    Kind,
    Scalar,
    SliceCounts,
    merge,
)
from monitor.core.errors import QueryError
from monitor.core.metrics import METRICS
from monitor.core.metrics.choice import estimate_of
from monitor.core.metrics.estimate import CONTRADICTION
from monitor.core.metrics.per_class import per_class
from monitor.core.schema.violations import Code
from monitor.core.slices.spec import slice_key
from monitor.core.times import format_instant
from monitor.edges.reader import MetricsReader
from monitor.ports import CounterReader
from tests.support.fold import Rows, fold, logit_normal_rows, ranked, ranking_bytes

HOUR: Final = 3_600
DAY: Final = 86_400
NOON: Final = 20_000 * DAY + 12 * HOUR
SEX: Final = {"Female": 1, "Male": 2}


class Shelf:
    """A `CounterReader` over a dictionary; what is older than its retention is gone.

    `rows_max` is the bound past which a ranking is closed.
    """

    def __init__(self, now_s: int, rows_max: int) -> None:
        self.now_s = now_s
        self.rows_max = rows_max
        self.rankings: dict[tuple[str, str, int, int], bytes] = {}
        self.cells: dict[tuple[str, str, int, int], Counts] = {}
        self.spans: dict[str, list[int]] = {}
        self.names: dict[str, dict[str, int]] = {
            "slices": {slice_key({"sex": sex}): number for sex, number in SEX.items()},
            "features": {"age": 1, "income": 2},
        }

    def add(self, kind: Kind, at_s: int, slice_id: int, counts: Counts) -> None:
        for tier in DEFAULT_TIERS:
            start_s = at_s // tier.bucket_s * tier.bucket_s
            if kind.kept_s(tier) and start_s + tier.bucket_s + kind.kept_s(tier) > self.now_s:
                key = (kind.name, tier.name, start_s, slice_id)
                total = np.zeros(max(len(counts), len(self.cells.get(key, ()))), np.int64)
                for part in (counts, self.cells.get(key, total[:0])):
                    total[: len(part)] += part
                self.cells[key] = total
                if kind is SCALARS and slice_id == ALL_SLICE:
                    self.spans.setdefault(tier.name, []).append(start_s)

    def count(self, at_s: int, slice_id: int, rows: Rows) -> None:
        counts = fold(rows)
        assert counts.scores is not None
        assert counts.calibration is not None
        for number in {ALL_SLICE, slice_id}:
            self.add(SCALARS, at_s, number, counts.scalars)
            self.add(SCORES, at_s, number, counts.scores)
            self.add(CALIBRATION, at_s, number, counts.calibration)
            for tier in DEFAULT_TIERS:
                if RANKING.kept_s(tier):
                    key = ("ranking", tier.name, at_s // tier.bucket_s * tier.bucket_s, number)
                    self.rankings[key] = self.rankings.get(key, b"") + ranking_bytes(rows)

    def forget(self, kind: Kind, tier: str, before_s: int) -> None:
        """What expired since; the span of buckets is not told."""
        for key in [key for key in self.cells if key[:2] == (kind.name, tier) and key[2] < before_s]:
            del self.cells[key]

    def read(self, keys: Sequence[CellKey]) -> list[Counts | None]:
        assert all(key.model == "income" for key in keys)
        return [self.cells.get((key.kind.name, key.tier.name, key.bucket_s, key.slice_id)) for key in keys]

    def read_rows(self, keys: Sequence[CellKey]) -> list[bytes | None]:
        assert all(key.model == "income" for key in keys)
        found = [
            self.rankings.get((key.kind.name, key.tier.name, key.bucket_s, key.slice_id), b"") for key in keys
        ]
        return [data if len(data) <= self.rows_max * RANKING_ROW.itemsize else None for data in found]

    def registry(self, model: str, family: str) -> dict[str, int]:
        return self.names.get(family, {})

    def worst_cases(self, model: str) -> list[bytes]:
        return []

    def buckets(self, model: str, tier: str) -> tuple[int, int] | None:
        starts = self.spans.get(tier) if model == "income" else None
        return (min(starts), max(starts)) if starts else None

    def now_ms(self) -> int:
        return self.now_s * 1000


class Traffic:
    """From two hours before noon to 12:34:56: a batch of rows every 25 s, women and men in turn."""

    def __init__(self, rows_max: int = 0) -> None:
        now_s, begin_s = NOON + 34 * 60 + 56, NOON - 2 * HOUR
        self.shelf = Shelf(now_s, rows_max)
        self.batches: list[tuple[int, int, Rows]] = []
        rng = np.random.default_rng(5)
        for i, at_s in enumerate(range(begin_s, now_s, 25)):
            rows = logit_normal_rows(rng, 20, 0.4, 1.5)
            slice_id = 1 + i % 2
            self.batches.append((at_s, slice_id, rows))
            self.shelf.count(at_s, slice_id, rows)
        self.reader = MetricsReader(self.shelf)

    def rows(self, from_s: int, to_s: int, slice_id: int = ALL_SLICE) -> Iterator[Rows]:
        for at_s, number, rows in self.batches:
            if from_s <= at_s < to_s and slice_id in (ALL_SLICE, number):
                yield rows


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic()


def test_the_shelf_is_a_counter_reader(traffic: Traffic) -> None:
    reader: CounterReader = traffic.shelf
    assert reader.now_ms()


@pytest.mark.parametrize(
    ("from_s", "to_s"),
    [
        (NOON - HOUR, NOON),
        (NOON - 1_800, NOON + 600),
        (NOON, NOON + 2 * HOUR),
        (NOON - DAY, NOON + DAY),
        (NOON + 60, NOON + 120),
    ],
)
def test_every_metric_of_every_slice_is_that_of_its_rows(traffic: Traffic, from_s: int, to_s: int) -> None:
    reports = traffic.reader.slices("income", from_=from_s, to=to_s)
    assert [dict(report.slice) for report in reports] == [{}, {"sex": "Female"}, {"sex": "Male"}]
    for number, report in enumerate(reports):
        expected = merge(fold(rows) for rows in traffic.rows(from_s, to_s, number))
        assert report.requests == expected[Scalar.REQUESTS]
        assert report.labelled == expected[Scalar.LABELLED]
        assert dict(report.metrics) == {metric.name: metric(expected) for metric in METRICS}
        assert report.window.exact
        assert report.wider is None


def test_slices_with_few_rows_are_ranked_by_them() -> None:
    small = Traffic(rows_max=700)  # half an hour is 1,440 rows: 720 of each, or more
    for begin_s, exactly in ((NOON + 600, ranked), (NOON - HOUR, fold)):
        reports = small.reader.slices("income", from_=begin_s, to=begin_s + 1_200 + 2_400 * (exactly is fold))
        for number, report in enumerate(reports):
            chunks = [*small.rows(report.window.from_s, report.window.to_s, number)]
            rows = Rows(
                np.concatenate([chunk.scores for chunk in chunks]),
                np.concatenate([chunk.decisions for chunk in chunks]),
                np.concatenate([chunk.labels for chunk in chunks]),
            )
            expected = exactly(rows)
            assert dict(report.metrics) == {metric.name: metric(expected) for metric in METRICS}


def test_rankings_that_miss_rows_are_not_read() -> None:
    small = Traffic(rows_max=10_000)
    small.shelf.rankings = {
        key: data[:-4] if key[1:3] == ("1m", NOON + 60) else data
        for key, data in small.shelf.rankings.items()
    }
    auc = {metric.name: metric for metric in METRICS}["roc_auc"]
    (report, *_) = small.reader.slices("income", from_=NOON + 60, to=NOON + 300, metrics=["roc_auc"])
    assert report["roc_auc"] == auc(merge(fold(rows) for rows in small.rows(NOON + 60, NOON + 300)))


def test_groups_are_the_slices_of_exactly_these_features(traffic: Traffic) -> None:
    found = traffic.reader.groups("income", [{"sex"}, {"sex", "race"}], from_=NOON, to=NOON + 600)
    assert found.declared == {frozenset({"sex"})}
    assert found.wider is None
    assert found.of(["sex", "race"]) == []
    assert [parts for parts, _ in found.of(["sex"])] == [{"sex": "Female"}, {"sex": "Male"}]
    for number, (_, counts) in enumerate(found.slices, 1):
        expected = merge(fold(rows) for rows in traffic.rows(NOON, NOON + 600, number))
        assert (counts.scalars == expected.scalars).all()
        assert counts.calibration is not None
        assert (counts.calibration == expected.calibration).all()
    recent = traffic.reader.groups("income", [{"sex"}], since="20m")
    assert recent.wider is not None
    assert all(counts.calibration is not None for _, counts in recent.slices)
    fine = traffic.reader.groups("income", [{"sex"}], from_=NOON + 10, to=NOON + 50)
    assert fine.wider is None
    assert all(counts.calibration is None for _, counts in fine.slices)


def test_counts_are_those_of_the_rows(traffic: Traffic) -> None:
    counts = traffic.reader.counts("income", from_=NOON, to=NOON + 600, where={"sex": "Male"})
    expected = merge(fold(rows) for rows in traffic.rows(NOON, NOON + 600, 2))
    (key,) = counts
    assert key == '{"sex":"Male"}'
    for mine, theirs in (
        (counts[key].scalars, expected.scalars),
        (counts[key].scores, expected.scores),
        (counts[key].calibration, expected.calibration),
    ):
        assert mine is not None
        assert theirs is not None
        assert np.array_equal(mine, theirs)
    assert traffic.reader.counts("income", from_=NOON + 10, to=NOON + 90)["{}"].scores is None


def test_ten_seconds_have_counts_and_say_why_they_have_no_curve(traffic: Traffic) -> None:
    (report, *_) = traffic.reader.slices("income", from_=NOON + 40, to=NOON + 130)
    assert report.window.exact
    assert report["accuracy"].value is not None
    assert report["roc_auc"].reason == (
        "score curves of that time are kept per minute: widen the window to whole minutes, "
        "from 2024-10-04T12:00:00Z to 2024-10-04T12:03:00Z"
    )
    assert set(report.to_dict()["roc_auc"]) == {"value", "reason"}


def test_the_last_hour_has_curves_of_a_slightly_wider_window_and_says_so(traffic: Traffic) -> None:
    (report, *_) = traffic.reader.slices("income", since="1h")
    from_s = NOON - HOUR + 34 * 60 + 50
    assert (report.window.from_s, report.window.to_s) == (from_s, NOON + 35 * 60)
    assert report.requests == sum(len(rows) for rows in traffic.rows(from_s, NOON + DAY))
    expected = merge(fold(rows) for rows in traffic.rows(from_s - 50, NOON + DAY))
    auc = next(metric for metric in METRICS if metric.name == "roc_auc")(expected)
    assert report["roc_auc"] == auc
    assert report.to_dict()["roc_auc"]["window"]["from"] == "2024-10-04T11:34:00Z"
    assert "window" not in report.to_dict()["accuracy"]


def test_a_slice_report_as_json(traffic: Traffic) -> None:
    report = traffic.reader.slices("income", from_=NOON, to=NOON + 600, metrics=["f1", "roc_auc"])[1]
    answer = json.loads(json.dumps(report.to_dict()))
    assert list(answer) == ["slice", "requests", "labelled", "f1", "roc_auc", "window"]
    assert answer["slice"] == {"sex": "Female"}
    assert set(answer["f1"]) == {"value", "low", "high"}
    assert set(answer["roc_auc"]) == {"value", "low", "high", "error_bound"}
    assert answer["window"] == {"from": "2024-10-04T12:00:00Z", "to": "2024-10-04T12:10:00Z"}


def test_slices_without_requests_are_left_out(traffic: Traffic) -> None:
    (batch_s, number, rows) = traffic.batches[-1]
    reports = traffic.reader.slices("income", from_=batch_s // 10 * 10, to=batch_s // 10 * 10 + 10)
    assert [report.slice.get("sex", "all") for report in reports] == ["all", ["Female", "Male"][number - 1]]
    assert reports[0].requests == len(rows)
    assert traffic.reader.slices("income", from_=0, to=100) == []


def test_where_keeps_the_slices_of_a_value(traffic: Traffic) -> None:
    reports = traffic.reader.slices("income", since="1h", where={"sex": "Male"})
    assert [dict(report.slice) for report in reports] == [{"sex": "Male"}]


def test_every_form_of_a_window_is_read(traffic: Traffic) -> None:
    requests = {
        traffic.reader.slices("income", from_=from_, to=to)[0].requests
        for from_, to in (
            (NOON, NOON + 600),
            (NOON * 1000, (NOON + 600) * 1000),
            ("2024-10-04T12:00:00Z", "2024-10-04 12:10"),
        )
    }
    assert len(requests) == 1
    hour = traffic.reader.slices("income", since=timedelta(hours=1))[0].requests
    assert traffic.reader.slices("income", since=3_600)[0].requests == hour
    everything = traffic.reader.slices("income")[0].requests
    assert everything == sum(len(rows) for _, _, rows in traffic.batches)


def test_replayed_history_is_read_like_the_present(traffic: Traffic) -> None:
    replayed = Traffic()
    replayed.shelf.now_s += 300 * DAY
    (now, *_), (then, *_) = (
        one.reader.slices("income", from_=NOON - 1_800, to=NOON + 600) for one in (traffic, replayed)
    )
    assert now == then
    with pytest.raises(QueryError, match=r"no traffic of income in the last 1h.*--from 2024-10-04T11:34:40Z"):
        replayed.reader.slices("income", since="1h")


def test_expired_buckets_are_never_read_as_empty() -> None:
    stopped = Traffic()
    stopped.shelf.now_s += 2 * DAY
    stopped.shelf.forget(SCALARS, "10s", NOON + DAY)
    (report, *_) = stopped.reader.slices("income", from_=NOON + 50, to=NOON + 110)
    assert (report.window.from_s, report.window.to_s) == (NOON, NOON + 120)
    assert report.requests == sum(len(rows) for rows in stopped.rows(NOON, NOON + 120))
    assert report.to_dict()["window"]["asked_from"] == format_instant(NOON + 50)


def test_expired_curves_are_told() -> None:
    stopped = Traffic()
    stopped.shelf.forget(SCORES, "1m", NOON + 300)
    (report, *_) = stopped.reader.slices("income", from_=NOON + 60, to=NOON + 600)
    assert report.requests == sum(len(rows) for rows in stopped.rows(NOON + 60, NOON + 600))
    assert report["roc_auc"].reason == (
        "score curves of that time are kept per hour: widen the window to whole hours, "
        "from 2024-10-04T12:00:00Z to 2024-10-04T13:00:00Z"
    )
    for tier in DEFAULT_TIERS:
        stopped.shelf.forget(SCORES, tier.name, NOON + DAY)
    (report, *_) = stopped.reader.slices("income", from_=NOON, to=NOON + 600)
    assert report["roc_auc"].reason == "the score curves of that time have expired"
    assert report["brier"].value is not None


def test_violations(traffic: Traffic) -> None:
    shelf = Traffic().shelf
    young, old = np.zeros(2 * CODES, np.int64), np.zeros(3 * CODES, np.int64)
    young[CODES + Code.OUT_OF_RANGE] = 5
    young[Code.BAD_TIMESTAMP] = 1
    old[2 * CODES + Code.NAN] = 7
    shelf.add(VIOLATIONS, NOON + 5, ALL_SLICE, young)
    shelf.add(VIOLATIONS, NOON + 15, ALL_SLICE, old)
    rows = MetricsReader(shelf).violations("income", from_=NOON, to=NOON + 600)
    requests = sum(len(rows) for rows in traffic.rows(NOON, NOON + 600))
    assert [row.to_dict() for row in rows] == [
        {"feature": "income", "code": "nan", "count": 7, "rate": 7 / requests},
        {"feature": "age", "code": "out_of_range", "count": 5, "rate": 5 / requests},
        {"feature": "record", "code": "bad_timestamp", "count": 1, "rate": 1 / requests},
    ]


def test_the_join_and_its_orphans() -> None:
    shelf = Traffic().shelf
    cells = np.zeros(len(Join), np.int64)
    cells[Join.PARKED_LABELS], cells[Join.ADOPTED_LABELS] = 5, 3
    shelf.add(JOIN, NOON + 5, ALL_SLICE, cells)
    shelf.add(JOIN, NOON + 1_500, ALL_SLICE, cells)
    reader = MetricsReader(shelf)
    report = reader.join("income", from_=NOON, to=NOON + HOUR, wait="20m")
    assert report.counts["parked_labels"] == 10
    assert report.orphans == 2
    assert report.to_dict()["adopted_labels"] == 6
    assert reader.join("income", from_=NOON, to=NOON + HOUR).orphans == 4
    assert reader.join("income", from_=NOON, to=NOON + HOUR, wait="7d").orphans == 0


def test_a_series_of_a_metric(traffic: Traffic) -> None:
    points = traffic.reader.series(
        "income", {"sex": "Male"}, "roc_auc", from_=NOON + 7, to=NOON + 600, step=60
    )
    assert [point.from_s for point in points] == list(range(NOON, NOON + 600, 60))
    auc = next(metric for metric in METRICS if metric.name == "roc_auc")
    for point in points:
        expected = merge(fold(rows) for rows in traffic.rows(point.from_s, point.to_s, 2))
        assert point.requests == expected[Scalar.REQUESTS]
        assert point.estimate == auc(expected)
    fine = traffic.reader.series("income", None, "accuracy", from_=NOON, to=NOON + 60, step="10s")
    assert [point.requests for point in fine] == [20, 0, 20, 0, 0, 20]
    assert fine[1].estimate.reason == "no labelled rows"
    assert fine[0].to_dict()["from"] == "2024-10-04T12:00:00Z"
    curves = traffic.reader.series("income", None, "pr_auc", from_=NOON, to=NOON + 60, step="30s")
    assert all("kept per minute" in (point.estimate.reason or "") for point in curves)
    recent = traffic.reader.series("income", metric="brier", since="10m", step="5m")
    assert [point.estimate.value is not None for point in recent] == [True, True, True]


def test_trends_are_the_series_of_each_slice(traffic: Traffic) -> None:
    slices = [{}, {"sex": "Female"}, {"sex": "unknown"}]
    trends = traffic.reader.trends("income", slices, "accuracy", "1h", 12)
    assert list(trends) == [slice_key({}), slice_key({"sex": "Female"})]
    for slice_ in slices[:2]:
        points = trends[slice_key(slice_)]
        assert points == traffic.reader.series("income", slice_, "accuracy", since="1h", step=300)
        assert any(point.requests for point in points)


def test_quick_metrics_need_no_curves(traffic: Traffic) -> None:
    quick = traffic.reader.quick_metrics("income")
    assert "accuracy" in quick
    assert not {"roc_auc", "pr_auc", "coverage"} & set(quick)


def test_a_series_over_expired_curves_has_no_values() -> None:
    stopped = Traffic()
    stopped.shelf.forget(SCORES, "1m", NOON + 300)
    stopped.shelf.forget(CALIBRATION, "1m", NOON + 300)
    for metric in ("roc_auc", "expected_calibration_error"):
        points = stopped.reader.series("income", None, metric, from_=NOON, to=NOON + 600, step="5m")
        assert [point.estimate.value is None for point in points] == [True, False]


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda r: r.slices("incme"), r"nothing is counted for a model named 'incme'"),
        (lambda r: r.slices("income", since="1h", to=5), r"either since, or from and to"),
        (lambda r: r.slices("income", since="an hour"), r"not a duration"),
        (lambda r: r.slices("income", since=0), r"at least one second"),
        (lambda r: r.slices("income", from_="noon"), r"not an instant"),
        (lambda r: r.slices("income", from_=NOON, to=NOON), r"empty window.*traffic ranges"),
        (lambda r: r.slices("income", metrics=["roc"]), r"no metric 'roc'"),
        (lambda r: r.slices("income", metrics=["accurcy"]), r"did you mean 'accuracy'"),
        (lambda r: r.series("income", {"sex": "Mal"}), r'no slice.*nearest is {"sex":"Male"}'),
        (lambda r: r.series("income", step=0), r"at least one second"),
        (lambda r: r.series("income", step=1, from_=NOON - DAY), r"widen the step"),
    ],
)
def test_questions_without_an_answer_say_why(traffic: Traffic, ask: object, text: str) -> None:
    assert callable(ask)
    with pytest.raises(QueryError, match=text):
        ask(traffic.reader)


def test_counters_that_contradict_each_other_are_no_figure() -> None:
    scalars = np.zeros(SCALARS.size, np.int64)
    scalars[[Scalar.LABELLED, Scalar.TP, Scalar.FP]] = 2, 9, -8
    for metric in METRICS:
        estimate = estimate_of(metric, SliceCounts(scalars), 0.95, None)
        assert (estimate.value is None) == (estimate.reason is not None)
        assert estimate.value is None or np.isfinite(estimate.value)
    (precision,) = (metric for metric in METRICS if metric.name == "precision")
    assert estimate_of(precision, SliceCounts(scalars), 0.95, None).reason == CONTRADICTION
    cells = np.array([1, 1, 1, 5, 2, 2, 1, 1])
    of_classes = per_class(SliceCounts(scalars, classes=cells), ["odd", "even"])
    assert {estimate.reason for estimate in of_classes["odd"].values()} == {CONTRADICTION}
    assert of_classes["even"]["recall"].value == 0.5
