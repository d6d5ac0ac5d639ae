"""The life of alerts."""

from dataclasses import replace
from typing import Any

import pytest

from monitor.core import alerts
from monitor.core.alerts import AlertBook, AlertPolicy, Moment, Step, identity_of
from monitor.core.detectors.finding import Finding, SliceName, percent
from monitor.core.records import Alert, AlertKind, AlertState, Severity

POLICY = AlertPolicy()
MOMENT = Moment("income", 7, 1_000_000, 1_000)


def finding(feature: str = "age", at_s: int = 100, **changes: Any) -> Finding:
    base = Finding(
        kind=AlertKind.VIOLATION_RATE,
        subject={"feature": feature, "code": "null"},
        holds=True,
        severity=Severity.PAGE,
        log_evidence=30.0,
        log_threshold=20.0,
        effect=0.1 + 0.5 * len(feature),
        effect_unit="rate",
        rows=1_000,
        excess=99.0,
        began_ms=at_s * 1000 - 2_000,
        at_ms=at_s * 1000,
        summary="it is null",
        advice="look",
        samples=f"violations/{feature}/null",
        features=frozenset({feature}),
    )
    return replace(base, **changes)


def gap(at_s: int, *, holds: bool = True, began_s: int = 100) -> Finding:
    return finding(
        kind=AlertKind.GAP_CHANGE,
        subject={"slice": {"age": "[25, 40)"}, "metric": "error_rate"},
        at_ms=at_s * 1000,
        began_ms=began_s * 1000,
        holds=holds,
    )


def take(book: AlertBook, *findings: Finding, **moment: Any) -> Step:
    return alerts.apply(POLICY, book, findings, replace(MOMENT, **moment))


def only(step: Step) -> Alert:
    (alert,) = step.transitions
    return alert


@pytest.mark.parametrize("beyond", [float("inf"), float("-inf"), float("nan")])
def test_what_is_no_number_can_be_read_back(beyond: float) -> None:
    opened = take(AlertBook(), finding())
    step = take(
        opened.book, finding(at_s=101, effect=beyond, log_evidence=beyond, excess=beyond, holds=False)
    )
    for _, value in alerts.encoded([*step.transitions, *step.book.alerts.values()]):
        assert Alert.model_validate_json(value).state is AlertState.RESOLVED


def test_open_once_then_resolved() -> None:
    step = take(AlertBook(), finding())
    opened = only(step)
    assert (opened.state, opened.severity, opened.lease_epoch, opened.sequence) == ("open", "page", 7, 1)
    assert opened.opened_at.timestamp() == 100
    assert opened.began_at.timestamp() == 98
    assert step.samples == {opened.identity: "violations/age/null"}
    assert opened.identity == identity_of("income", "violation_rate", {"code": "null", "feature": "age"})
    step = take(step.book, finding(at_s=101))
    assert not step.transitions
    step = take(step.book, finding(at_s=110, holds=False, rows=2_000))
    ended = only(step)
    assert (ended.state, ended.sequence, ended.alert_id) == ("resolved", 2, opened.alert_id)
    assert ended.resolved_at is not None
    assert ended.resolved_at.timestamp() == 110
    assert ended.opened_at == opened.opened_at
    assert ended.rows == 2_000
    assert not take(step.book, finding(at_s=111, holds=False)).transitions


def test_a_recovery_of_nothing_says_nothing() -> None:
    assert not take(AlertBook(), finding(holds=False)).transitions


def test_a_relapse_in_the_cooldown_is_the_same_life_and_later_a_new_one() -> None:
    step = take(AlertBook(), finding())
    first = only(step)
    book = take(step.book, finding(at_s=110, holds=False)).book
    again = only(take(book, finding(at_s=400)))
    assert (again.state, again.alert_id, again.opened_at) == ("open", first.alert_id, first.opened_at)
    assert again.notes == ["came back after it had been resolved"]
    assert again.resolved_at is None
    later = only(take(book, finding(at_s=110 + 600)))
    assert later.alert_id != first.alert_id
    assert later.identity == first.identity


def test_figures_of_a_standing_alert_are_refreshed_for_readers_without_a_transition() -> None:
    book = take(AlertBook(), finding()).book
    step = take(book, finding(at_s=103, rows=4_000), now_ms=MOMENT.now_ms + 1_000)
    assert not step.changed
    step = take(book, finding(at_s=106, rows=9_000), now_ms=MOMENT.now_ms + 6_000)
    (identity,) = step.changed
    assert step.book.alerts[identity].rows == 9_000
    assert not step.transitions


def test_a_consequence_is_a_notice_and_pages_when_it_outlives_its_cause() -> None:
    step = take(AlertBook(), finding(at_s=101), gap(105))
    cause, effect = step.transitions
    assert (cause.kind, effect.kind) == ("violation_rate", "gap_change")
    assert (effect.consequence_of, effect.severity) == (cause.identity, "notice")
    book = take(step.book, finding(at_s=120, holds=False), gap(120)).book
    assert not take(book, gap(170)).transitions
    alone = only(take(book, gap(181)))
    assert (alone.severity, alone.consequence_of, alone.alert_id) == ("page", None, effect.alert_id)
    assert alone.notes == ["outlived what seemed to explain it"]
    assert not take(take(book, gap(181)).book, gap(182)).transitions


def test_what_comes_back_is_not_explained_by_its_own_consequence() -> None:
    def near_miss(at_s: int) -> Finding:
        subject = {"feature": "age", "code": "near_miss"}
        return finding(at_s=at_s, kind=AlertKind.GIBBERISH, subject=subject, severity=Severity.NOTICE)

    step = take(AlertBook(), finding(at_s=101), near_miss(105))
    cause, effect = step.transitions
    assert effect.consequence_of == cause.identity
    book = take(step.book, finding(at_s=200, holds=False), near_miss(200)).book
    for at_s in range(210, 4_000, 100):
        book = take(book, near_miss(at_s)).book
    again = only(take(book, finding(at_s=4_000), near_miss(4_000)))
    assert (again.identity, again.severity, again.consequence_of) == (cause.identity, "page", None)


def test_a_consequence_that_ends_with_its_cause_never_pages() -> None:
    book = take(AlertBook(), finding(at_s=101), gap(105)).book
    step = take(book, finding(at_s=120, holds=False), gap(125, holds=False))
    assert {alert.state for alert in step.transitions} == {AlertState.RESOLVED}


def test_a_notice_whose_failure_grows_becomes_a_page() -> None:
    book = take(AlertBook(), finding(severity=Severity.NOTICE)).book
    assert only(take(book, finding(at_s=130))).severity == "page"


def test_a_standing_gap_is_told_once_and_acknowledged() -> None:
    standing = replace(gap(100), kind=AlertKind.STANDING_GAP, acknowledged=True, severity=Severity.NOTICE)
    step = take(AlertBook(), standing)
    assert (only(step).state, only(step).severity) == ("acknowledged", "notice")
    assert not take(step.book, standing).transitions
    ended = alerts.retire(step.book, {AlertKind.STANDING_GAP}, MOMENT)
    assert only(ended).state == "resolved"


def test_present_state_is_published_again_on_a_new_lease_and_every_ten_minutes() -> None:
    book = take(AlertBook(), finding(), finding("income", 200)).book
    again = take(book, lease_epoch=8)
    assert [(a.lease_epoch, a.sequence) for a in again.transitions] == [(8, 3), (8, 4)]
    assert {a.identity for a in again.transitions} == set(book.alerts)
    assert again.changed == set(book.alerts)
    assert not take(again.book, lease_epoch=8, now_ms=MOMENT.now_ms + 599_000).transitions
    assert len(take(again.book, lease_epoch=8, now_ms=MOMENT.now_ms + 600_000).transitions) == 2


def test_sequences_only_rise() -> None:
    book, seen = AlertBook(), []
    for round_ in range(5):
        for step in (
            take(book, finding(at_s=100 + 700 * round_)),
            take(
                take(book, finding(at_s=100 + 700 * round_)).book,
                finding(at_s=110 + 700 * round_, holds=False),
            ),
        ):
            book = step.book
        seen.append(book.sequence)
    assert seen == sorted(set(seen))


def test_alerts_are_bounded_and_the_rest_counted() -> None:
    many = [finding(f"feature{i:04}", at_s=100 + 10 * i) for i in range(250)]
    step = take(AlertBook(), *many)
    assert len(step.transitions) == POLICY.open_max
    assert step.book.beyond == 50
    ended = take(step.book, *(replace(f, holds=False) for f in many))
    assert len(ended.book.alerts) == POLICY.resolved_max
    assert take(ended.book, many[220]).book.beyond == 0


def test_requests_are_shown_on_what_just_opened() -> None:
    step = take(AlertBook(), finding())
    identity = only(step).identity
    shown = alerts.with_evidence(step, {identity: {"request_ids": ["r-2", "r-1"]}})
    assert only(shown).request_ids == ["r-2", "r-1"]
    assert shown.book.alerts[identity].request_ids == ["r-2", "r-1"]
    ended = take(shown.book, finding(at_s=110, holds=False))
    assert only(ended).request_ids == ["r-2", "r-1"]


def test_encoded_records_are_keyed_by_identity_and_read_back() -> None:
    alert = only(take(AlertBook(), finding()))
    ((key, value),) = alerts.encoded([alert])
    assert key.decode() == alert.identity
    assert Alert.model_validate_json(value) == alert


@pytest.mark.parametrize(
    ("key", "text"),
    [('{"sex":"Female"}', "sex = Female"), ('{"slice":"new users"}', "new users"), ("{}", "all requests")],
)
def test_slices_have_names_for_people(key: str, text: str) -> None:
    assert SliceName(1, key).text == text


def test_a_named_slice_is_about_the_features_of_its_conditions() -> None:
    name = SliceName(1, '{"slice":"new users"}', {"new users": ("account_age_days",)})
    assert name.features == {"account_age_days"}
    assert SliceName(1, '{"slice":"new users"}').features == {"slice"}


def test_rates_read_well() -> None:
    assert [percent(rate) for rate in (0, 0.0005, 0.5, 0.123, 0.99)] == [
        "0 %",
        "0.05 %",
        "50 %",
        "12.3 %",
        "99.00 %",
    ]
