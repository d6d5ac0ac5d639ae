"""What probes find becomes findings where it is true, and nothing where it is tolerated."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from monitor.core.detectors import probe_rate, probe_slice, probe_version
from monitor.core.detectors.finding import Finding, SliceName
from monitor.core.detectors.probe_counterfactual import ProbeCounterfactual
from monitor.core.detectors.probe_rate import RateState, RateStream
from monitor.core.detectors.probe_slice import ProbeSlice, ProbeSliceState
from monitor.core.detectors.probe_type_conversion import ProbeTypeConversion, together
from monitor.core.detectors.probe_version import ProbeVersion, VersionState
from monitor.core.records import AlertKind

BAR = math.log(1e4)
SEX, RACE = RateStream("sex"), RateStream("race")
NAMES = {i: SliceName(i, json.dumps({"region": str(i)})) for i in (1, 2)}


def rates(
    config: probe_rate.Watch, buckets: list[dict[RateStream, tuple[int, int]]]
) -> tuple[RateState, list[list[Finding]]]:
    state, told = RateState.fresh(), []
    for at, counted in enumerate(buckets):
        state = probe_rate.step(config, state, counted, at * 1000)
        state, findings = probe_rate.judge(config, state, BAR, (at + 1) * 1000)
        told.append(findings)
    return state, told


def test_a_swap_that_flips_too_often_alarms_and_recovers() -> None:
    rng = np.random.default_rng(1)
    flips = [0.08 if 20 <= at < 60 else 0.002 for at in range(200)]
    buckets = [{SEX: (20, int(rng.binomial(20, p))), RACE: (20, int(rng.binomial(20, 0.005)))} for p in flips]
    _, told = rates(ProbeCounterfactual(), buckets)
    assert not any(told[:20])
    first = next(at for at, found in enumerate(told) if found)
    assert 20 <= first < 50
    finding = told[first][0]
    assert finding.kind is AlertKind.COUNTERFACTUAL
    assert finding.subject == {"feature": "sex"}
    assert 19_000 <= finding.began_ms <= 26_000
    assert finding.effect == pytest.approx(0.08, abs=0.05)
    assert finding.excess is not None
    assert finding.excess > 0
    last = [found for found in told if found][-1]
    assert [f.holds for f in last] == [False]
    assert not told[-1]


def test_what_is_tolerated_alarms_nobody() -> None:
    rng = np.random.default_rng(2)
    buckets = [{SEX: (20, int(rng.binomial(20, 0.05)))} for _ in range(400)]
    _, told = rates(ProbeCounterfactual(tolerances={"sex": 0.05}), buckets)
    assert not any(told)


def test_false_alarms_are_as_rare_as_the_threshold_says() -> None:
    rng = np.random.default_rng(3)
    config = ProbeCounterfactual(tolerance=0.05, hits_min=0, effect_min=0.0)
    alarmed = 0
    for _ in range(200):
        state = RateState.fresh()
        for at in range(50):
            state = probe_rate.step(config, state, {SEX: (20, int(rng.binomial(20, 0.05)))}, at)
        alarmed += bool(state.tracker.log_evidence[0] >= math.log(500))
    assert alarmed <= 30  # 200 runs of 50 looks at one in 500: 20 at most in the mean


def test_types_answered_in_silence() -> None:
    stream = RateStream("age", "text nan")
    _, told = rates(ProbeTypeConversion(), [{stream: (5, 5), RateStream("age", "text"): (5, 0)}] * 10)
    finding = next(found for found in told if found)[0]
    assert finding.subject == {"feature": "age", "variant": "text nan"}
    assert finding.kind is AlertKind.TYPE_CONVERSION
    assert "text nan" in finding.summary


def test_types_of_many_features_are_one_alert_while_any_of_them_holds() -> None:
    many = [RateStream(f"f{i}", "text") for i in range(6)]
    failing = dict.fromkeys(many, (5, 5)) | {many[3]: (5, 4)}
    config, state, told = ProbeTypeConversion(), RateState.fresh(), []
    later = dict.fromkeys(many, (5, 0)) | {many[3]: (5, 4)}
    for at, counted in enumerate([failing] * 10 + [later] * 30 + [dict.fromkeys(many, (5, 0))] * 300):
        state = probe_rate.step(config, state, counted, at * 1000)
        state, found = probe_rate.judge(config, state, BAR, (at + 1) * 1000)
        told += together(found)
    assert {len(one.subject) for one in told} == {0}
    holds = [one.holds for one in told]
    assert holds.index(False) == len(holds) - 1  # resolved once, and last
    assert len(told[5].values["cells"]) == 6
    assert told[5].summary.startswith(
        "values sent as another type are answered differently without an error: f0 as"
    )
    assert "and 3 more" in told[5].summary
    assert told[-2].values["cells"] == ["f3 as text"]
    assert together([]) == []


def slices(rate: float, rest: float, buckets: int, seed: int) -> list[list[Finding]]:
    rng = np.random.default_rng(seed)
    config, state = ProbeSlice(), probe_slice.align(ProbeSliceState.fresh(), [1, 2])
    told = []
    for at in range(buckets):
        one, two, other = rng.binomial(10, rate), rng.binomial(10, rest), rng.binomial(40, rest)
        counted = {1: (10, int(one)), 2: (10, int(two))}
        everything = (60, int(one + two + other))
        state = probe_slice.step(config, state, counted, everything, at * 1000)
        state, found = probe_slice.judge(config, state, NAMES, np.full(2, BAR), (at + 1) * 1000)
        told.append(found)
    return told


def test_a_fragile_slice_is_named() -> None:
    told = slices(0.4, 0.1, 40, 4)
    finding = next(found for found in told if found)[0]
    assert finding.kind is AlertKind.ROBUSTNESS_GAP
    assert finding.subject == {"slice": {"region": "1"}}
    assert finding.effect > 2
    assert {f.subject["slice"]["region"] for found in told for f in found} == {"1"}


def test_slices_that_are_alike_and_models_fragile_everywhere_are_silent() -> None:
    assert not any(slices(0.1, 0.1, 200, 5))
    assert not any(slices(0.5, 0.5, 200, 6))
    assert not any(slices(0.13, 0.1, 200, 7))


def test_slices_keep_their_state_when_others_come_and_go() -> None:
    config = ProbeSlice()
    state = probe_slice.align(ProbeSliceState.fresh(), [1])
    state = probe_slice.step(config, state, {1: (10, 5)}, (50, 8), 0)
    more = probe_slice.align(state, [2, 1])
    assert more.tracker.log_evidence[1] == state.tracker.log_evidence[0]
    assert more.tracker.log_evidence[0] == -math.inf


def versions(rates: list[tuple[str, float]], trials: int, seed: int) -> list[list[Finding]]:
    rng = np.random.default_rng(seed)
    config, state, told = ProbeVersion(), VersionState(), []
    for at, (version, rate) in enumerate(rates):
        hits = int(rng.binomial(trials, rate))
        state = probe_version.step(config, state, version, trials, hits, at * 1000)
        state, found = probe_version.judge(config, state, BAR, (at + 1) * 1000)
        told.append(found)
    return told


def test_a_version_that_is_more_fragile_is_told_until_it_is_replaced() -> None:
    told = versions([("1", 0.1)] * 40 + [("2", 0.3)] * 40 + [("3", 0.1)] * 40, 20, 8)
    assert not any(told[:40])
    first = next(at for at, found in enumerate(told) if found)
    assert 40 < first < 60
    finding = told[first][0]
    assert finding.subject == {"model_version": "2", "previous": "1"}
    assert finding.kind is AlertKind.ROBUSTNESS_CHANGE
    assert finding.began_ms == 40_000
    assert [f.holds for f in told[80]] == [False]
    assert not any(told[81:])


def test_versions_that_are_alike_are_silent_at_every_look() -> None:
    for seed in range(20):
        assert not any(versions([("1", 0.15)] * 40 + [("2", 0.15)] * 100, 20, seed))
    assert not any(versions([("1", 0.9)] * 40, 20, 1))  # nothing to compare with


def test_a_version_that_is_rolled_back_is_told_to_have_ended() -> None:
    told = versions([("1", 0.1)] * 40 + [("2", 0.3), ("1", 0.1)] * 40 + [("1", 0.1)] * 3, 20, 8)
    assert any(told)
    last = [found for found in told if found][-1]
    assert [f.holds for f in last] == [False]
    assert len(told) - 2 <= told.index(last) + 1
    assert not told[-1]
