"""Who gets credit: the rules, as laws."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.records import AlertState, Severity
from monitor.demo.faults import Fault, timeline
from monitor.demo.scoreboard import GRACE_S, Sighting, Sightings, belongs, document, judge
from tests.support.demo_alerts import START_MS, alert, life, right

TIMELINE = timeline()


subjects = st.sampled_from(
    [(s.kind, dict(s.subject)) for fault in TIMELINE.faults for s in fault.symptoms]
    + [
        ("violation_rate", {"feature": "income", "code": "null"}),
        ("gap_change", {"slice": {"race": "Asian"}, "metric": "error_rate"}),
        ("standing_gap", {"slice": {"gender": "Female"}, "metric": "false_negative_rate"}),
        ("missing_traffic", {}),
    ]
)


@st.composite
def histories(draw: st.DrawFn) -> list[Sighting]:
    found: dict[str, Sighting] = {}
    for _ in range(draw(st.integers(0, 12))):
        kind, subject = draw(subjects)
        opened_s = float(draw(st.integers(0, 104)))
        known = [one.alert.identity for one in found.values()]
        link = draw(st.none() | st.sampled_from(known)) if known else None
        one = life(
            kind,
            subject,
            opened_s,
            opened_s + draw(st.floats(0, 8)),
            severity=draw(st.sampled_from(["page", "notice"])),
            consequence_of=link,
        )
        found[one.alert.alert_id] = one
    return list(found.values())


@given(histories())
def test_every_alert_is_in_one_place(lives: list[Sighting]) -> None:
    verdict = judge(TIMELINE, lives)
    owned = [one for one in lives if any(belongs(one, fault) for fault in TIMELINE.faults)]
    places = [*owned, *verdict.consequences, *verdict.false_alarms, *verdict.notices]
    assert sorted(one.alert.alert_id for one in places) == sorted(one.alert.alert_id for one in lives)


@given(histories(), st.randoms())
def test_the_order_of_arrival_in_the_list_does_not_matter(lives: list[Sighting], rng: Any) -> None:
    shuffled = list(lives)
    rng.shuffle(shuffled)
    assert judge(TIMELINE, shuffled) == judge(TIMELINE, lives)


@given(histories())
def test_credit_is_earned(lives: list[Sighting]) -> None:
    for credit in judge(TIMELINE, lives).credits:
        if credit.caught_by is None:
            assert not [one for one in lives if belongs(one, credit.fault)]
            continue
        fault, one = credit.fault, credit.caught_by
        assert any((one.alert.kind, one.alert.subject) == (s.kind, s.subject) for s in fault.symptoms)
        assert fault.began_s <= one.opened_s < fault.ended_s + GRACE_S
        assert credit.delay_s is not None
        assert credit.delay_s >= 0
        assert one.seen_s == min(other.seen_s for other in lives if belongs(other, fault))


@given(histories())
def test_false_alarms_page_and_are_linked_to_nothing_that_is_explained(lives: list[Sighting]) -> None:
    verdict = judge(TIMELINE, lives)
    owned = {one.alert.identity for one in lives if any(belongs(one, f) for f in TIMELINE.faults)}
    for one in verdict.false_alarms:
        assert one.alert.severity == Severity.PAGE
        assert one.alert.consequence_of not in owned or one.opened_s < max(f.ended_s for f in TIMELINE.faults)
    for one in verdict.consequences:
        assert one.alert.consequence_of is not None
    assert all(one.alert.severity == Severity.NOTICE for one in verdict.notices)


@given(histories())
def test_an_alert_more_takes_no_credit_away(lives: list[Sighting]) -> None:
    before = judge(TIMELINE, lives[:-1])
    after = judge(TIMELINE, lives)
    for had, has in zip(before.credits, after.credits, strict=True):
        assert had.caught_by is None or has.caught_by is not None


@pytest.mark.parametrize("fault", TIMELINE.faults, ids=lambda fault: fault.name)
def test_a_right_alert_is_credited(fault: Fault) -> None:
    verdict = judge(TIMELINE, [right(fault, 1.0, 2.5)])
    assert [c.fault.name for c in verdict.credits if c.caught_by] == [fault.name]
    assert next(c.delay_s for c in verdict.credits if c.caught_by) == 2.5
    assert not verdict.false_alarms
    assert verdict.detected == 1


@pytest.mark.parametrize(
    "fault", [fault for fault in TIMELINE.faults if not fault.standing], ids=lambda fault: fault.name
)
@pytest.mark.parametrize("after_s", [-1.0, 25.0 + GRACE_S])
def test_too_early_or_too_late_is_false(fault: Fault, after_s: float) -> None:
    verdict = judge(TIMELINE, [right(fault, after_s)])
    assert verdict.detected == 0
    assert len(verdict.false_alarms) == 1


def test_an_alert_on_a_bucket_before_the_fault_is_false_though_it_was_read_after() -> None:
    fault = TIMELINE.faults[-1]
    assert judge(TIMELINE, [right(fault, -1.0, 5.0)]).detected == 0


def test_a_standing_gap_earns_nothing() -> None:
    fault = TIMELINE.faults[-1]
    one = life("standing_gap", fault.symptoms[0].subject, fault.began_s + 9, severity="notice")
    verdict = judge(TIMELINE, [one])
    assert verdict.detected == 0
    assert verdict.notices == (one,)
    assert not verdict.false_alarms


def test_a_consequence_is_explained_however_far_down() -> None:
    fault = TIMELINE.faults[-1]
    root = right(fault, 8.0)
    crossing = {"slice": {"gender": "Female", "race": "White"}, "metric": "false_negative_rate"}
    child = life("gap_change", crossing, fault.began_s + 9, consequence_of=root.alert.identity)
    other = {"slice": {"gender": "Female", "race": "Black"}, "metric": "false_negative_rate"}
    grandchild = life("gap_change", other, fault.began_s + 9, consequence_of=child.alert.identity)
    verdict = judge(TIMELINE, [grandchild, child, root])
    assert {one.alert.alert_id for one in verdict.consequences} == {
        child.alert.alert_id,
        grandchild.alert.alert_id,
    }
    assert not verdict.false_alarms
    assert len(judge(TIMELINE, [grandchild, child]).false_alarms) == 2


def test_a_consequence_cannot_come_before_its_cause() -> None:
    fault = TIMELINE.faults[-1]
    root = right(fault, 8.0)
    early = life("missing_traffic", {}, fault.began_s - 3, consequence_of=root.alert.identity)
    assert judge(TIMELINE, [root, early]).false_alarms == (early,)


def test_alerts_that_explain_each_other_explain_nothing() -> None:
    one = alert("missing_traffic", {}, 50.0)
    subject = {"feature": "income", "code": "null"}
    other = alert("violation_rate", subject, 51.0, consequence_of=one.identity)
    linked = one.model_copy(update={"consequence_of": other.identity})
    lives = [Sighting(linked, 50.0, 51.0), Sighting(other, 51.0, 52.0)]
    assert len(judge(TIMELINE, lives).false_alarms) == 2


def test_the_first_transition_dates_a_life_and_the_last_describes_it() -> None:
    sightings = Sightings(START_MS)
    subject = {"feature": "age", "code": "out_of_range"}
    opened = alert("violation_rate", subject, 11.0)
    sightings.see(opened, 12.5)
    resolved = opened.model_copy(update={"state": AlertState.RESOLVED, "sequence": 2})
    sightings.see(resolved, 19.0)
    sightings.see(alert("violation_rate", subject, 14.0, sequence=3), 19.5)
    first, again = sightings
    assert (first.opened_s, first.seen_s, first.alert.state) == (11.0, 12.5, AlertState.RESOLVED)
    assert first.resolved_s == 19.0
    assert (again.opened_s, again.resolved_s) == (14.0, None)
    verdict = judge(TIMELINE, sightings)
    assert verdict.credits[0].delay_s == 2.5
    assert not verdict.false_alarms  # two lives of one alert in one fault


def test_roots_are_counted_and_the_last_to_resolve_ends_a_fault() -> None:
    fault = TIMELINE.faults[-1]
    roots = [replace(right(fault), resolved_s=fault.ended_s + end_s) for end_s in (4.0, 9.0)]
    roots[1] = replace(roots[1], alert=roots[1].alert.model_copy(update={"alert_id": "a second life"}))
    follower = right(fault, 2.0, consequence_of="another")
    credit = judge(TIMELINE, [*roots, follower]).credits[-1]
    assert (len(credit.roots), credit.resolved_s) == (2, 9.0)
    standing = [replace(roots[0], resolved_s=None), roots[1]]
    assert judge(TIMELINE, standing).credits[-1].resolved_s is None


@given(histories())
def test_the_document_has_the_promised_form(lives: list[Sighting]) -> None:
    verdict = judge(TIMELINE, lives)
    made = json.loads(
        json.dumps(document(TIMELINE, verdict, rate_per_s=998.0, start_up_s=8.0), allow_nan=False)
    )
    assert len(made["faults"]) == len(TIMELINE.faults)
    for row in made["faults"]:
        assert {"fault", "began_s", "detected", "delay_s", "alert"} <= row.keys()
        assert row["detected"] == (row["delay_s"] is not None) == (row["alert"] is not None)
    assert made["false_alarms"] == len(verdict.false_alarms)
    assert made["clean_s"] == TIMELINE.clean_s
