"""Multiclass and regression: counters equal a recount of the raw records, metrics equal scikit-learn's."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from monitor.core.batch import Reading
from monitor.core.counters import (
    CLASSES,
    CONFUSION,
    DEFAULT_TIERS,
    LOSSES,
    RESIDUALS,
    SCALARS,
    VALUES,
    CellKey,
    Kind,
)
from monitor.core.errors import QueryError, StoreRefused
from monitor.core.fairness.report import CRITERIA_OF, fairness_report
from monitor.core.reports import SliceReport
from monitor.core.stubs import ModelIdentity
from monitor.core.tasks import Binary, Multiclass, Regression, Task
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.edges.reader import MetricsReader
from monitor.ports import Partition
from tests.support.topology import Log, Worker, plan
from tests.support.traffic import Message

START_S = 1_700_000_000 // 3_600 * 3_600
CLASSES_NAMED = ("cat", "dog", "eel")
MODEL = "zoo"

Record = dict[str, Any]


def messages(topic: str, records: list[Record]) -> list[Message]:
    return [Message(topic, i % 2, json.dumps(record).encode()) for i, record in enumerate(records)]


def counted(
    task: Task,
    predictions: list[Record],
    labels: list[Record],
    *,
    rows: int = 7,
    labels_first: bool = False,
    until_s: int = START_S + 300,
) -> MemoryStore:
    """A store after one worker has read both topics, written at `until_s`, in pieces of `rows`."""

    async def run() -> MemoryStore:
        store = MemoryStore(2, {MODEL: 7 * 86_400}, ManualClock(START_S * 1000))
        log = Log([*messages("predictions", predictions), *messages("labels", labels)], until_s * 1000)
        of_model = replace(plan(MODEL), reading=Reading(task, ModelIdentity()))
        worker = Worker(store, log, {MODEL: of_model})
        await worker.take(list(log.partitions))
        for partition in sorted(log.partitions, reverse=not labels_first):
            while await worker.step(partition, rows):
                pass
        return store

    return asyncio.run(run())


def report(store: MemoryStore, **window: Any) -> SliceReport:
    return MetricsReader(store.reader()).slices(MODEL, **window)[0]


def record(i: int, **what: Any) -> Record:
    features = {"sex": "Female" if i % 3 else "Male"}
    at_ms = (START_S + i % 50) * 1000
    return {"request_id": f"r{i}", "model": MODEL, "timestamp": at_ms, "features": features, **what}


def label(i: int, value: Any, after_s: int = 60) -> Record:
    return {"request_id": f"r{i}", "model": MODEL, "timestamp": (START_S + after_s) * 1000, "label": value}


def zoo(n: int, seed: int = 1) -> tuple[list[Record], list[Record], list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(CLASSES_NAMED), n, p=[0.6, 0.3, 0.1])
    raw = rng.gamma(1.0, size=(n, 3)) + 1.5 * np.eye(3)[truth] * rng.random((n, 1))
    p = raw / raw.sum(axis=1, keepdims=True)
    answers = [
        record(i, probabilities=dict(zip(CLASSES_NAMED, row.tolist(), strict=True)))
        for i, row in enumerate(p)
    ]
    names = [CLASSES_NAMED[k] for k in truth]
    return answers, [label(i, name) for i, name in enumerate(names)], names, p


def test_multiclass_metrics_are_scikit_learns() -> None:
    answers, labels, truth, p = zoo(400)
    found = report(counted(Multiclass(CLASSES_NAMED), answers, labels))
    said = [CLASSES_NAMED[k] for k in p.argmax(axis=1)]
    expected = {
        "accuracy": sk.accuracy_score(truth, said),
        "macro_precision": sk.precision_score(truth, said, average="macro"),
        "macro_recall": sk.recall_score(truth, said, average="macro"),
        "macro_f1": sk.f1_score(truth, said, average="macro"),
        "log_loss": sk.log_loss(truth, p, labels=CLASSES_NAMED),
        "brier": np.mean(((p - np.eye(3)[[CLASSES_NAMED.index(t) for t in truth]]) ** 2).sum(axis=1)) / 2,
    }
    for name, value in expected.items():
        estimate = found[name]
        assert estimate.value == pytest.approx(value, abs=1e-6), name
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < value < estimate.high
    matrix = sk.confusion_matrix(truth, said, labels=CLASSES_NAMED)
    assert found.confusion is not None
    shown = [[found.confusion.get(t, {}).get(d, 0) for d in CLASSES_NAMED] for t in CLASSES_NAMED]
    assert shown == matrix.tolist()
    each = sk.precision_recall_fscore_support(truth, said, labels=CLASSES_NAMED)
    for k, name in enumerate(CLASSES_NAMED):
        ours = found.classes[name]
        assert [ours[m].value for m in ("precision", "recall", "f1")] == pytest.approx(
            [e[k] for e in each[:3]]
        )
    assert json.loads(json.dumps(found.to_dict()))["classes"]["cat"]["recall"]["value"] == pytest.approx(
        each[1][0]
    )


def house(n: int, seed: int = 2) -> tuple[list[Record], list[Record], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.lognormal(12, 0.5, n)
    value = truth * rng.normal(1.02, 0.1, n)
    answers = [record(i, value=v, interval=[0.9 * v, 1.1 * v]) for i, v in enumerate(value.tolist())]
    return answers, [label(i, t) for i, t in enumerate(truth.tolist())], truth, value


@pytest.mark.parametrize("unit", [1.0, 1e5])
def test_regression_metrics_are_scikit_learns(unit: float) -> None:
    answers, labels, truth, value = house(300)
    found = report(counted(Regression.in_units_of(unit), answers, labels))
    inside = np.mean((truth >= 0.9 * value) & (truth <= 1.1 * value))
    expected = {
        "mean_value": value.mean(),
        "mae": sk.mean_absolute_error(truth, value),
        "rmse": sk.mean_squared_error(truth, value) ** 0.5,
        "bias": np.mean(value - truth),
        "r2": sk.r2_score(truth, value),
        "interval_coverage": inside,
    }
    for name, wanted in expected.items():
        estimate = found[name]
        assert estimate.value == pytest.approx(wanted, rel=1e-7), name
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < wanted < estimate.high
    median = found["median_absolute_error"]
    assert median.value is not None
    assert median.error_bound is not None
    assert abs(median.value - sk.median_absolute_error(truth, value)) <= median.error_bound * 1.01


def test_an_interval_comes_in_three_shapes() -> None:
    answers = [
        record(0, value=2.0, interval=[1, 3]),
        record(1, value=2.0, interval={"low": 1, "high": 3}),
        record(2, value=2.0, interval_low=1, interval_high=3),
        record(3, value=2.0),
    ]
    found = report(counted(Regression(), answers, [label(i, [1, 3, 3.5, 2][i]) for i in range(4)]))
    assert found["interval_coverage"].value == pytest.approx(2 / 3)


def test_intervals_of_regression_hold_as_often_as_they_say() -> None:
    held = dict.fromkeys(("mae", "rmse", "bias", "r2"), 0)
    rng = np.random.default_rng(3)
    everyone = rng.normal(0, 2, 200_000)
    worlds = 60
    for world in range(worlds):
        truth = rng.choice(everyone, 250)
        value = truth + rng.normal(0.1, 0.7, len(truth))
        answers = [record(i, value=v) for i, v in enumerate(value.tolist())]
        found = report(
            counted(Regression(), answers, [label(i, t) for i, t in enumerate(truth.tolist())], rows=500)
        )
        real = {
            "mae": 0.5642, "rmse": (0.49 + 0.01) ** 0.5, "bias": 0.1, "r2": 1 - 0.5 / everyone.var(),
        }  # fmt: skip
        for name, wanted in real.items():
            estimate = found[name]
            assert estimate.low is not None
            assert estimate.high is not None
            held[name] += estimate.low <= wanted <= estimate.high
        del world
    # 95 % of 60 is 57; fewer than 50 happens once in 2,000 times.
    assert min(held.values()) >= 50, held


def arrays(store: MemoryStore, kinds: tuple[Kind, ...]) -> dict[tuple[str, int, str], list[int]]:
    """Everything counted, what was taken back subtracted, by name of the slice."""
    reader = store.reader()
    slices = {"{}": 0, **reader.registry(MODEL, "slices")}
    found = {}
    for kind, tier, name in itertools.product(kinds, DEFAULT_TIERS[:3], slices):
        for bucket in range(START_S // tier.bucket_s * tier.bucket_s, START_S + 60, tier.bucket_s):
            (cells,) = reader.read([CellKey(kind, tier, bucket, MODEL, slices[name])])
            if cells is not None and cells.any():
                found[f"{kind.name}/{tier.name}", bucket, name] = np.trim_zeros(cells, "b").tolist()
    return found


@settings(max_examples=25)
@given(st.data())
def test_sums_do_not_depend_on_order_pieces_repeats_or_corrections(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    regression = data.draw(st.booleans())
    task: Task = Regression.in_units_of(1000.0) if regression else Multiclass(CLASSES_NAMED)
    answers, labels, *_ = house(n) if regression else zoo(n)
    kinds = (SCALARS, VALUES, RESIDUALS, LOSSES) if regression else (SCALARS, CLASSES, CONFUSION)
    plain = arrays(counted(task, answers, labels, rows=100), kinds)
    wrong = [label(i, 5.0 if regression else "eel", after_s=30) for i in range(0, n, 3)]
    mixed = [*labels, *data.draw(st.permutations(wrong)), *labels[: n // 2]]
    rows = data.draw(st.integers(1, 9))
    first = data.draw(st.booleans())
    again = counted(task, [*answers, *answers[: n // 2]], mixed, rows=rows, labels_first=first)
    assert arrays(again, kinds) == plain


@pytest.mark.parametrize(
    ("task", "answer", "received"),
    [
        (Multiclass(CLASSES_NAMED), {"probabilities": {"cat": 0.5, "dog": 0.1}}, "0.5"),
        (Multiclass(CLASSES_NAMED), {"probabilities": {"cat": 1.0, "ox": 0.0}}, "ox"),
        (Multiclass(CLASSES_NAMED), {"probabilities": [0.5, 0.5]}, "0.5"),
        (Multiclass(CLASSES_NAMED), {"probabilities": "cat"}, "cat"),
        (Regression(), {"value": "12"}, "12"),
        (Regression(), {"value": 1e300}, "1e+300"),
        (Regression(), {"value": 1.0, "interval": [3, 2]}, "[3, 2]"),
        (Regression(), {"value": 1.0, "interval_low": 3, "interval_high": 2}, "[3, 2]"),
        (Regression(), {"value": 1.0, "interval_high": 2}, "[None, 2]"),
        (Regression(), {"value": True}, "True"),
    ],
)
def test_an_answer_that_means_nothing_is_a_violation(task: Task, answer: Record, received: str) -> None:
    store = counted(task, [record(0, **answer)], [])
    (row,) = MetricsReader(store.reader()).violations(MODEL)
    assert (row.code, row.count) == ("score_range", 1)
    assert report(store).requests == 1


def test_a_label_of_another_task_is_refused() -> None:
    store = counted(Multiclass(CLASSES_NAMED), zoo(3)[0], [label(0, "ox"), label(1, "dog")])
    assert report(store).labelled == 1


def test_a_list_of_probabilities_is_in_the_order_of_the_settings_and_a_decision_wins() -> None:
    answers = [
        record(0, probabilities=[0.2, 0.7, 0.1]),
        record(1, probabilities=[0.2, 0.7, 0.1], decision="eel"),
    ]
    found = report(counted(Multiclass(CLASSES_NAMED), answers, [label(0, "dog"), label(1, "eel")]))
    assert found["accuracy"].value == 1.0
    assert found.confusion == {"dog": {"dog": 1}, "eel": {"eel": 1}}


def test_without_a_threshold_nothing_is_decided() -> None:
    found = report(
        counted(Binary(None), [record(0, score=0.9), record(1, score=0.2)], [label(0, 1), label(1, 0)])
    )
    assert found["accuracy"].value is None
    assert found["roc_auc"].value == 1.0
    assert found["log_loss"].value is not None


def test_a_metric_of_another_task_is_named() -> None:
    store = counted(Regression(), house(3)[0], [])
    with pytest.raises(QueryError, match="no metric 'roc_auc': there are coverage, mean_value"):
        report(store, metrics=["roc_auc"])


def test_a_model_that_changes_its_task_is_refused() -> None:
    async def run() -> None:
        store = MemoryStore(1, {MODEL: 60}, ManualClock(START_S * 1000))
        for task in (Regression(), Multiclass(CLASSES_NAMED)):
            log = Log(messages("predictions", [record(i, value=1.0) for i in range(3)]), START_S * 1000)
            worker = Worker(store, log, {MODEL: replace(plan(MODEL), reading=Reading(task, ModelIdentity()))})
            await worker.take(list(log.partitions))
            await worker.step(Partition("predictions", 0), 1)

    with pytest.raises(StoreRefused, match="counted under another task"):
        asyncio.run(run())


def test_a_credit_limit_twenty_times_lower_is_a_ratio_of_mean_values() -> None:
    rng = np.random.default_rng(5)
    limits = rng.lognormal(8, 0.3, 400)
    women = np.arange(400) % 3 > 0
    limits[women] /= 20
    answers = [record(i, value=v) for i, v in enumerate(limits.tolist())]
    labels = [label(i, 1.1 * v) for i, v in enumerate(limits.tolist())]
    store = counted(Regression(), answers, labels)
    found = MetricsReader(store.reader()).groups(MODEL, [{"sex"}])
    told = fairness_report(["sex"], found.of(["sex"]), {}, criteria=CRITERIA_OF["regression"])
    values = told.criteria["mean_value"]
    assert values.worst.higher == "sex=Male"
    assert values.worst.ratio.value == pytest.approx(limits[women].mean() / limits[~women].mean())
    assert values.worst.ratio.low is not None
    assert values.worst.ratio.high is not None
    assert values.worst.ratio.low < 1 / 20 < values.worst.ratio.high < 0.06
    errors = told.criteria["mean_absolute_error"].groups["sex=Female"]
    assert errors.value.value == pytest.approx(0.1 * limits[women].mean())
    assert errors.value.low is not None
    assert told.criteria["mean_error"].apart == "yes"
    assert json.dumps(told.to_dict())


def test_error_rates_of_several_classes_are_compared() -> None:
    answers, labels, *_ = zoo(300)
    store = counted(Multiclass(CLASSES_NAMED), answers, labels)
    reader = MetricsReader(store.reader())
    found = reader.groups(MODEL, [{"sex"}])
    told = fairness_report(["sex"], found.of(["sex"]), {}, criteria=CRITERIA_OF["multiclass"])
    women = next(each for each in reader.slices(MODEL) if each.slice == {"sex": "Female"})
    rate = told.criteria["error_rate"].groups["sex=Female"].value.value
    assert women["accuracy"].value is not None
    assert rate == pytest.approx(1 - women["accuracy"].value)
