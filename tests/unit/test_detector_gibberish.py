"""The rate of doubtful texts: from counts to findings."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection.gibberish import delays, false_windows
from monitor.core.counters import CODES
from monitor.core.detectors import violation_rate
from monitor.core.detectors.finding import Finding
from monitor.core.detectors.gibberish import Gibberish
from monitor.core.detectors.violation_rate import ViolationRate, ViolationState
from monitor.core.records import AlertKind, Severity
from monitor.core.schema.violations import SOFT, Code

PER_S = 1 / (30 * 86_400)
CONFIG = Gibberish({"job": {Code.GIBBERISH: 0.02, Code.NEAR_MISS: 0.05}}, 14, PER_S, 1.0)
HARD = ViolationRate({"job": 0.001}, 14, PER_S, 1.0)
FEATURES = {1: "job", 2: "town"}


def bucket(
    config: Gibberish | ViolationRate,
    state: ViolationState,
    second: int,
    requests: int,
    counts: dict[tuple[int, Code], int],
) -> tuple[ViolationState, list[Finding]]:
    cells = np.zeros(3 * CODES, np.int64)
    for (feature, code), count in counts.items():
        cells[feature * CODES + code] = count
    state = violation_rate.step(config, state, FEATURES, requests, cells, second * 1000)
    return violation_rate.judge(config, state, FEATURES, (second + 1) * 1000)


def test_gibberish_is_a_page_that_says_what_is_wrong() -> None:
    _, (finding,) = bucket(CONFIG, ViolationState.fresh(), 10, 300, {(1, Code.GIBBERISH): 60})
    assert finding.kind is AlertKind.GIBBERISH
    assert finding.subject == {"feature": "job"}
    assert finding.severity is Severity.PAGE
    assert finding.summary == (
        "job reads like gibberish in 20 % of requests (tolerated 2 %): 60 of 300 since 00:00:10"
    )
    assert finding.excess == pytest.approx(60 - 6)
    assert finding.samples == "violations/job/gibberish"
    assert finding.features == frozenset({"job"})
    assert finding.log_evidence > finding.log_threshold > 20


def test_near_misses_are_a_notice_with_a_boundary_of_their_own() -> None:
    counts = {(1, Code.NEAR_MISS): 60, (2, Code.NEAR_MISS): 60}
    _, findings = bucket(CONFIG, ViolationState.fresh(), 10, 300, counts)
    assert [finding.subject for finding in findings] == [
        {"feature": "job", "code": "near_miss"},
        {"feature": "town", "code": "near_miss"},
    ]
    assert {finding.kind for finding in findings} == {AlertKind.VIOLATION_RATE}
    assert {finding.severity for finding in findings} == {Severity.NOTICE}
    assert [finding.values["tolerated"] for finding in findings] == [0.05, 0.02]


@pytest.mark.parametrize("code", sorted(Code))
def test_each_code_is_watched_by_one_detector(code: Code) -> None:
    spoken = [
        len(bucket(config, ViolationState.fresh(), 0, 300, {(1, code): 200})[1]) for config in (CONFIG, HARD)
    ]
    assert spoken == ([1, 0] if code in SOFT else [0, 1])


@pytest.mark.parametrize("rate", [0.01, 0.02, 0.025])
def test_flags_at_their_boundary_are_not_told(rate: float) -> None:
    """A little above it neither: the mildest alternative is three times its odds."""
    rng = np.random.default_rng(1)
    state = ViolationState.fresh()
    for second in range(400):
        flagged = int(rng.binomial(1_000, rate))
        state, findings = bucket(CONFIG, state, second, 1_000, {(1, Code.GIBBERISH): flagged})
        assert not findings


def test_it_recovers_when_the_texts_do() -> None:
    state = ViolationState.fresh()
    for second in range(5):
        state, _ = bucket(CONFIG, state, second, 1_000, {(1, Code.GIBBERISH): 200})
    spoken = []
    for second in range(5, 12):
        state, findings = bucket(CONFIG, state, second, 1_000, {(1, Code.GIBBERISH): 3})
        spoken += [finding.holds for finding in findings]
    assert spoken == [True, True, False]


def test_a_fifth_of_gibberish_is_found_within_three_hundred_rows() -> None:
    """By the product's threshold, in names of which none was in the sample and in the demo's employers."""
    found = delays(40)
    assert len(found) == 4
    for field, rows in found.items():
        assert rows["median"] <= 170, field
        assert rows["within_300"] >= 0.9, field


def test_clean_names_never_seen_raise_no_alarm() -> None:
    assert false_windows(600)["rate"] <= 0.002
