"""Violation rates: from counts to findings."""

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.core.counters import CODES
from monitor.core.detectors import violation_rate
from monitor.core.detectors.finding import Finding
from monitor.core.detectors.violation_rate import ViolationRate, ViolationState
from monitor.core.schema.violations import Code

CONFIG = ViolationRate({"age": 0.001, "city": 0.05}, 20, 1 / (30 * 86_400), 1.0)
FEATURES = {1: "age", 2: "city"}


def cells(**counts: int) -> NDArray[np.int64]:
    """`age_NULL=3` and the like; `record_…` for the record itself."""
    ids = {"record": 0, "age": 1, "city": 2}
    array = np.zeros(3 * CODES, np.int64)
    for name, count in counts.items():
        feature, code = name.split("_", 1)
        array[ids[feature] * CODES + Code[code]] = count
    return array


def run(
    state: ViolationState, second: int, requests: int, found: NDArray[np.int64]
) -> tuple[ViolationState, list[Finding]]:
    state = violation_rate.step(CONFIG, state, FEATURES, requests, found, second * 1000)
    return violation_rate.judge(CONFIG, state, FEATURES, (second + 1) * 1000)


def test_a_tenth_of_bad_rows_is_told_in_its_first_second_in_plain_words() -> None:
    state, findings = run(ViolationState.fresh(), 9, 500, cells())
    assert not findings
    _, (finding,) = run(state, 10, 501, cells(age_OUT_OF_RANGE=49))
    assert finding.subject == {"feature": "age", "code": "out_of_range"}
    assert finding.summary == (
        "age is out of range in 9.8 % of requests (tolerated 0.1 %): 49 of 501 since 00:00:10"
    )
    assert finding.began_ms == 10_000
    assert finding.rows == 501
    assert finding.excess == pytest.approx(49 - 0.501)
    assert finding.samples == "violations/age/out_of_range"
    assert finding.log_evidence > finding.log_threshold > 20


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 1.0])
@pytest.mark.parametrize("requests", [20, 500, 5_000])
def test_bad_rows_of_any_rate_are_told(rate: float, requests: int) -> None:
    """Within two buckets from a twentieth on, a hundredth within forty bad rows."""
    rng = np.random.default_rng(6)
    state, told = ViolationState.fresh(), 0
    for second in range(400):
        bad = 0 if second < 100 else int(rng.binomial(requests, rate))
        state, findings = run(state, second, requests, cells(age_NULL=bad))
        if findings:
            told = second - 99
            break
    assert told
    assert told <= (2 if rate >= 0.05 and rate * requests >= 20 else 2 + 40 / (rate * requests))


@pytest.mark.parametrize("burst", [20, 50])
def test_one_request_sent_again_and_again_pages_nobody_though_it_comes_every_other_hour(burst: int) -> None:
    config = ViolationRate({}, 4, 1 / (30 * 86_400), 60.0)
    rng = np.random.default_rng(7)
    state = ViolationState.fresh()
    for minute in range(1_500):
        retries = burst if minute % 120 == 60 else 0
        found = cells(age_NULL=int(rng.binomial(1000, 0.0005)) + retries)
        state = violation_rate.step(config, state, FEATURES, 1000 + retries, found, minute * 60_000)
        state, findings = violation_rate.judge(config, state, FEATURES, (minute + 1) * 60_000)
        assert not findings


def test_a_burst_at_the_beginning_of_an_open_bucket_is_measured_by_whole_ones() -> None:
    state, _ = run(ViolationState.fresh(), 0, 1000, cells())
    for requests, burst in ((60, 40), (500, 40)):
        ahead = violation_rate.step(CONFIG, state, FEATURES, requests, cells(age_NULL=burst), 1_000)
        state, findings = violation_rate.peek(CONFIG, state, ahead, FEATURES, 1_500)
        assert not findings


def test_one_bad_record_pages_nobody_even_as_the_only_one() -> None:
    state = ViolationState.fresh()
    for second in range(5):
        state, findings = run(state, second, 1, cells(age_TYPE=1))
        assert not findings


def test_a_slow_stream_of_nothing_but_bad_records_is_told_after_ten() -> None:
    state, told = ViolationState.fresh(), []
    for second in range(12):
        state, findings = run(state, second * 60, 1, cells(age_TYPE=1))
        told.append(len(findings))
    assert told.index(1) == 9


@pytest.mark.parametrize(("feature", "per_second"), [("age_NULL", 1), ("city_NULL", 50)])
def test_the_tolerated_rate_is_silent(feature: str, per_second: int) -> None:
    rng = np.random.default_rng(4)
    state = ViolationState.fresh()
    for second in range(3_000):
        state, findings = run(
            state, second, 1000, cells(**{feature: int(rng.binomial(1000, per_second / 1000))})
        )
        assert not findings


def test_thrice_the_tolerated_rate_is_found() -> None:
    rng = np.random.default_rng(5)
    state = ViolationState.fresh()
    for second in range(120):
        state, findings = run(state, second, 1000, cells(age_NULL=int(rng.binomial(1000, 0.003))))
        if findings:
            break
    assert findings
    assert second < 60


def test_it_recovers_soon_after_the_failure_ends_and_says_so_once() -> None:
    state = ViolationState.fresh()
    for second in range(5):
        state, _ = run(state, second, 1000, cells(age_NULL=100))
    spoken = []
    for second in range(5, 15):
        state, findings = run(state, second, 1000, cells())
        spoken += [(second, finding.holds) for finding in findings]
    assert spoken == [(5, True), (6, True), (7, False)]
    assert not state.tracker.open.any()


def test_a_hard_failure_of_a_quiet_model_ends_after_some_tens_of_good_rows() -> None:
    state = ViolationState.fresh()
    for second in range(20):
        state, _ = run(state, second, 5, cells(age_TYPE=5))
    for second in range(20, 40):
        state, findings = run(state, second, 5, cells())
        if not findings[0].holds:
            break
    assert second - 20 < 10


def test_the_open_bucket_raises_but_does_not_resolve() -> None:
    state, _ = run(ViolationState.fresh(), 0, 1000, cells())
    ahead = violation_rate.step(CONFIG, state, FEATURES, 200, cells(age_NULL=60), 1_000)
    state, (finding,) = violation_rate.peek(CONFIG, state, ahead, FEATURES, 1_100)
    assert finding.holds
    assert finding.rows == 200
    # the same bucket, closed: the alert stands and rests on all of it
    state, (finding,) = run(state, 1, 1000, cells(age_NULL=300))
    assert (finding.rows, finding.began_ms) == (1000, 1_000)
    for _ in range(10):
        ahead = violation_rate.step(CONFIG, state, FEATURES, 5_000, cells(), 2_000)
        state, (finding,) = violation_rate.peek(CONFIG, state, ahead, FEATURES, 2_500)
        assert finding.holds


def test_the_record_itself_has_codes_too_and_reserved_codes_are_ignored() -> None:
    found = cells(record_BAD_TIMESTAMP=500)
    found[15] = 1_000
    _, (finding,) = run(ViolationState.fresh(), 0, 1000, found)
    assert finding.subject == {"feature": "record", "code": "bad_timestamp"}
    assert finding.summary.startswith("the record has a bad timestamp in 50 % of requests")
    assert finding.features == frozenset()


def test_a_violation_counted_before_its_request_does_no_harm() -> None:
    _, (finding,) = run(ViolationState.fresh(), 0, 100, cells(age_NULL=120))
    assert finding.effect == 1.0
