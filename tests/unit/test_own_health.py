"""The monitor about itself: what makes it blind, when a worker is ready, its heartbeat."""

from __future__ import annotations

from monitor.core.detectors import blind
from monitor.core.detectors.blind import Blind, BlindState
from monitor.core.evaluation import EvaluatorState
from monitor.core.heartbeat import heartbeat
from monitor.core.own_health import Lost, Outbox, OwnHealth, WorkerReport, causes, problems
from monitor.core.records import AlertKind, Heartbeat

NOW_MS = 1_700_000_000_000


def own(rejected: int = 0, records: int = 100, at_ms: int = NOW_MS, **more: object) -> OwnHealth:
    report = WorkerReport(worker="w", recent={"predictions": (records, rejected)})
    return OwnHealth(at_ms, [(report, 0.5)], **more)  # type: ignore[arg-type]


def told(state: BlindState, health: OwnHealth) -> tuple[BlindState, list[tuple[str, str, bool]]]:
    state, findings = blind.step(Blind(), state, health)
    return state, [(f.kind.value, str(f.subject.get("cause", "")), f.holds) for f in findings]


def test_a_topic_that_cannot_be_read_is_told_until_it_can() -> None:
    state, found = told(BlindState(), own(rejected=40))
    assert found == []
    state, found = told(state, own(rejected=60))
    assert found == [("monitor_blind", "unreadable", True)]
    state, found = told(state, own(rejected=30))
    assert found == [("monitor_blind", "unreadable", True)], "no flicker between the two shares"
    silent = OwnHealth(NOW_MS)
    state, found = told(state, silent)
    assert found == [("monitor_blind", "unreadable", True)], "nobody knows that it is better"
    state, found = told(state, own(rejected=10))
    assert found == [("monitor_blind", "unreadable", False)]
    assert told(state, own(rejected=10))[1] == []
    assert told(BlindState(), own(rejected=19, records=19))[1] == [], "too few to say"


def test_an_outbox_that_does_not_empty_is_told() -> None:
    stuck = own(outboxes={"dead letters": Outbox(5, 61.0, 0)})
    state, found = told(BlindState(), stuck)
    assert found == [("monitor_blind", "unpublished", True)]
    state, found = told(state, own(outboxes={"dead letters": Outbox(0, 0.0, 0)}))
    assert found == [("monitor_blind", "unpublished", False)]
    _, found = told(BlindState(), own(outboxes={"dead letters": Outbox(5, 59.0, 0)}))
    assert found == []


def test_what_was_dropped_or_lost_is_told_for_an_hour() -> None:
    boxes = {"alerts of m": Outbox(0, 0.0, 3)}
    lost = {("predictions", 1): Lost(40, NOW_MS)}
    state, found = told(BlindState(), own(outboxes=boxes, lost=lost))
    assert found == [("monitor_blind", "dropped", True), ("records_lost", "", True)]
    later_ms = NOW_MS + 3_600_000
    state, found = told(state, own(outboxes=boxes, lost=lost, at_ms=later_ms))
    assert found == [("monitor_blind", "dropped", False), ("records_lost", "", False)]
    state, found = told(state, own(outboxes=boxes, lost=lost, at_ms=later_ms + 1000))
    assert found == []
    again = {"alerts of m": Outbox(0, 0.0, 4)}
    assert told(state, own(outboxes=again, at_ms=later_ms + 2000))[1] == [("monitor_blind", "dropped", True)]


def test_the_size_of_a_loss_is_in_its_alert() -> None:
    _, (finding,) = blind.step(Blind(), BlindState(), own(lost={("p", 0): Lost(1234, NOW_MS)}))
    assert finding.kind is AlertKind.RECORDS_LOST
    assert finding.effect == 1234
    assert "1,234 records of partition 0 of p" in finding.summary


def test_a_worker_is_ready_only_when_all_of_it_is() -> None:
    well = WorkerReport(worker="w", joined=True, evaluator_age_s=0.5)
    assert problems(well, 1.0, store_up=True) == []
    assert problems(well, 1.0, store_up=False) == ["the store does not answer"]
    assert len(problems(WorkerReport(worker="w"), 30.0, store_up=False)) == 4
    deaf = well.model_copy(update={"brokers_silent_s": 12.4})
    assert problems(deaf, 1.0, store_up=True) == [
        "the brokers have not answered about a partition for 12 s: nobody knows what waits"
    ]
    stalled = well.model_copy(update={"fence_age_s": 75.0, "evaluator_age_s": 61.0})
    assert len(problems(stalled, 1.0, store_up=True)) == 2


def test_nobody_at_work_is_a_reason_for_blindness() -> None:
    gone = OwnHealth(NOW_MS, [(WorkerReport(worker="w"), 40.0)])
    assert [str(cause) for cause in causes(gone, {"m": None}, 60)] == ["no_worker", "not_evaluated: m"]
    assert causes(own(), {"m": 1.0}, 60) == []


def test_brokers_that_do_not_answer_are_a_reason_for_blindness() -> None:
    deaf = OwnHealth(NOW_MS, [(WorkerReport(worker="w", brokers_silent_s=12.4), 0.5)])
    (cause,) = causes(deaf, {}, 60)
    assert str(cause) == "brokers_silent: w"
    assert "12 s" in cause.text


def test_a_heartbeat_says_how_far_and_how_blind() -> None:
    beat = heartbeat("m", 7, NOW_MS, NOW_MS - 2000, EvaluatorState(), own(rejected=90))
    assert beat.blind == ["unreadable: predictions"]
    assert beat.evaluated_until is not None
    assert Heartbeat.model_validate_json(beat.model_dump_json()) == beat
    assert heartbeat("m", 7, NOW_MS, 0, EvaluatorState(), own()).evaluated_until is None
    assert heartbeat("m", 7, NOW_MS, 0, EvaluatorState(), OwnHealth(NOW_MS)).blind == [], "it is a worker's"
