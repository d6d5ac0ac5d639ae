"""The demo's faults: each does what it says, to what it says, and the timeline fits into two minutes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.core.schema import FeatureSchema
from monitor.core.schema.inference import infer
from monitor.demo.faults import Family, Fault, Pace, Timeline, timeline
from monitor.demo.model import CreditModel
from monitor.demo.population import FINANCIAL, THRESHOLD, People, Row, draw
from monitor.demo.traffic import answer

ROWS = 30_000
TIMELINE = timeline()
INPUT = [fault for fault in TIMELINE.faults if fault.family == Family.INPUT]
MODEL = [fault for fault in TIMELINE.faults if fault.standing]
BIAS = [fault for fault in TIMELINE.faults if fault.family == Family.BIAS]

SLICES: dict[str, Callable[[Row], bool]] = {
    "women": lambda row: row["gender"] == "Female",
    "men": lambda row: row["gender"] == "Male",
    "Android": lambda row: row["device_type"] == "Android",
    "iPhone": lambda row: row["device_type"] == "iPhone",
    "new users": lambda row: row["account_age_days"] < 30,
    "other users": lambda row: row["account_age_days"] >= 30,
    "White": lambda row: row["race"] == "White",
    "not White": lambda row: row["race"] != "White",
    "under 40": lambda row: row["age"] < 40,
    "40 and over": lambda row: row["age"] >= 40,
    "65 and over": lambda row: row["age"] >= 65,
}
PAIRS = [("women", "men"), ("Android", "iPhone"), ("new users", "other users"), ("White", "not White")]
PAIRS += [("under 40", "40 and over"), ("65 and over", "under 40")]
HIT = {
    "android_worse": ("Android", {"error_rate": 0.20}),
    "new_users_underserved": ("new users", {"error_rate": 0.28}),
    "women_refused": ("women", {"false_negative_rate": 0.45, "false_positive_rate": 0.06}),
}
KEPT = {"women_refused": {"false_positive_rate"}}


def named(fault: Fault) -> str:
    return fault.name


@cache
def model() -> CreditModel:
    return CreditModel(7)


@cache
def schema() -> FeatureSchema:
    return infer(draw(np.random.default_rng(1), 20_000).rows)


@cache
def healthy() -> People:
    return draw(np.random.default_rng(21), ROWS)


@cache
def served(name: str | None) -> tuple[list[Row], NDArray[np.float64]]:
    rows = copy.deepcopy(healthy().rows)
    faults = [fault for fault in TIMELINE.faults if fault.name == name]
    return rows, answer(rows, faults, model().score, np.random.default_rng(31))


@cache
def rates(name: str | None, who: str) -> dict[str, float]:
    rows, scores = served(name)
    mine = np.array([SLICES[who](row) for row in rows])
    granted, repays = scores[mine] >= THRESHOLD, healthy().repays[mine]
    return {
        "error_rate": float((granted != repays).mean()),
        "false_negative_rate": float((~granted[repays]).mean()),
        "false_positive_rate": float(granted[~repays].mean()),
        "positive_rate": float(granted.mean()),
    }


def odds_ratio(rate: float, other: float) -> float:
    return rate / (1 - rate) / (other / (1 - other))


def test_the_whole_leaves_a_quarter_of_a_minute_of_two_to_start() -> None:
    assert TIMELINE.length_s <= 105
    assert len(TIMELINE.faults) == 13
    assert [fault.ended_s - fault.began_s for fault in INPUT] == [5.0] * 7
    assert [fault.ended_s - fault.began_s for fault in BIAS] == [25.0] * 3
    assert TIMELINE.faults[0].began_s == 10.0
    assert TIMELINE.clean_s == 15.0
    assert [(fault.began_s, fault.ended_s) for fault in MODEL] == [(0.0, TIMELINE.length_s)] * 3


def test_faults_of_both_kinds_never_overlap() -> None:
    assert max(fault.ended_s for fault in INPUT) <= min(fault.began_s for fault in BIAS)
    for earlier, later in zip(BIAS, BIAS[1:], strict=False):
        assert later.began_s - earlier.began_s >= 20


@given(st.floats(0.05, 20))
def test_any_pace_gives_whole_seconds_in_the_same_order(factor: float) -> None:
    stretched = timeline(Pace().stretched(factor))
    assert [fault.name for fault in stretched.faults] == [fault.name for fault in TIMELINE.faults]
    for fault in stretched.faults:
        assert fault.began_s.is_integer()
        assert fault.ended_s.is_integer()
        assert fault.began_s < fault.ended_s <= stretched.length_s
    assert stretched.clean_s == sum(not stretched.active(at + 0.5) for at in range(int(stretched.length_s)))


def test_subjects_are_distinct_so_that_credit_is() -> None:
    declared = [(s.kind, repr(s.subject)) for fault in TIMELINE.faults for s in fault.symptoms]
    assert len(declared) == len(set(declared))


def test_a_timeline_without_faults_is_clean() -> None:
    assert Timeline((), 30.0).clean_s == 30.0


@pytest.mark.parametrize("fault", INPUT, ids=named)
def test_an_input_fault_changes_its_feature_only(fault: Fault) -> None:
    feature = fault.symptoms[0].subject["feature"]
    rows, _ = served(fault.name)
    changed = 0
    for before, after in zip(healthy().rows, rows, strict=True):
        if feature not in after or after[feature] != before[feature]:
            changed += 1
        assert before | after == before | {name: after[name] for name in (feature,) if name in after}
    assert changed >= 0.05 * ROWS


@pytest.mark.parametrize("fault", INPUT, ids=named)
def test_an_input_fault_violates_what_it_declares_and_nothing_else(fault: Fault) -> None:
    rows, _ = served(fault.name)
    found: dict[tuple[str, str], int] = {}
    for row in rows[:5_000]:
        for violation in schema().check(row):
            key = (violation.feature or "", violation.code.slug)
            found[key] = found.get(key, 0) + 1
    declared = {
        (symptom.subject["feature"], symptom.subject["code"])
        for symptom in fault.symptoms
        if symptom.kind == "violation_rate"
    }
    often = {key for key, count in found.items() if count > 5}
    assert often == declared
    assert all(found[key] >= 0.05 * 5_000 for key in declared)


def test_drift_stays_in_the_range_and_is_large() -> None:
    rows, _ = served("utilisation_drift")
    before = np.array([row["credit_utilisation"] for row in healthy().rows])
    after = np.array([row["credit_utilisation"] for row in rows])
    assert after.max() <= before.max()
    assert after.mean() - before.mean() > 0.5 * before.std()


@pytest.mark.parametrize("fault", INPUT, ids=named)
@pytest.mark.parametrize("pair", PAIRS, ids="/".join)
def test_an_input_fault_opens_no_gap(fault: Fault, pair: tuple[str, str]) -> None:
    mine, rest = (rates(fault.name, who) for who in pair)
    for metric in ("error_rate", "false_negative_rate", "positive_rate"):
        assert 1 / 1.25 < odds_ratio(mine[metric], rest[metric]) < 1.25, metric


@pytest.mark.parametrize("fault", BIAS, ids=named)
def test_a_bias_fault_has_the_size_it_is_told_with(fault: Fault) -> None:
    who, wanted = HIT[fault.name]
    found = rates(fault.name, who)
    for metric, rate in wanted.items():
        assert found[metric] == pytest.approx(rate, abs=0.03), metric


@pytest.mark.parametrize("fault", BIAS, ids=named)
@pytest.mark.parametrize("pair", PAIRS, ids="/".join)
def test_a_bias_fault_opens_a_gap_in_its_slice_only(fault: Fault, pair: tuple[str, str]) -> None:
    mine, rest = (rates(fault.name, who) for who in pair)
    who, _ = HIT[fault.name]
    if who in pair:
        for symptom in fault.symptoms:
            metric = symptom.subject["metric"]
            assert not 1 / 1.25 < odds_ratio(mine[metric], rest[metric]) < 1.25, metric
        for metric in KEPT.get(fault.name, set()):
            assert 1 / 1.25 < odds_ratio(mine[metric], rest[metric]) < 1.25, metric
    else:
        for metric in ("error_rate", "false_negative_rate", "positive_rate"):
            assert 1 / 1.25 < odds_ratio(mine[metric], rest[metric]) < 1.25, metric


@pytest.mark.parametrize("fault", BIAS, ids=named)
def test_a_bias_fault_breaks_no_schema_and_touches_nobody_else(fault: Fault) -> None:
    who, _ = HIT[fault.name]
    rows, scores = served(fault.name)
    _, before = served(None)
    others = np.array([not SLICES[who](row) for row in rows])
    assert (scores[others] == before[others]).all()
    for row, was in zip(rows[:3_000], healthy().rows[:3_000], strict=True):
        assert not schema().check(row)
        assert {name: row[name] for name in row if name not in FINANCIAL} == {
            name: was[name] for name in was if name not in FINANCIAL
        }


def test_nan_is_sent_as_nan() -> None:
    rows, _ = served("income_nan")
    hit = [row["income"] for row in rows if isinstance(row["income"], float)]
    assert hit
    assert all(map(math.isnan, hit))
