"""One root cause, one page."""

from typing import Any

import pytest

from monitor.core.detectors.finding import Finding
from monitor.core.detectors.grouping import Standing, cause_of
from monitor.core.records import AlertKind, Severity


def finding(kind: AlertKind, subject: dict[str, Any], began_s: int = 100, **more: Any) -> Finding:
    given: dict[str, Any] = {"effect": 0.1, "excess": 50.0, "features": frozenset(subject.get("slice", ()))}
    given |= more
    return Finding(
        kind=kind, subject=subject, holds=True, severity=Severity.PAGE, log_evidence=30.0, log_threshold=20.0,
        effect_unit="rate", rows=1000, began_ms=began_s * 1000, at_ms=began_s * 1000 + 5_000, summary="",
        advice="", **given,
    )  # fmt: skip


def gap(metric: str = "error_rate", began_s: int = 100, **parts: str) -> Finding:
    return finding(
        AlertKind.GAP_CHANGE, {"slice": parts, "metric": metric}, began_s, values={"side": "higher"}
    )


def violation(feature: str, code: str, began_s: int = 100, rate: float = 0.1) -> Finding:
    subject = {"feature": feature, "code": code}
    return finding(
        AlertKind.VIOLATION_RATE, subject, began_s, effect=rate, features=frozenset({feature} - {"record"})
    )


def standing(cause: Finding, ended_s: int | None = None, root: str = "") -> Standing:
    name = "-".join(str(value) for value in cause.subject.values())
    return Standing(
        name, root or name, cause.kind, cause.subject, cause.began_ms,
        None if ended_s is None else ended_s * 1000, cause.effect, cause.excess or 0.0,
        str(cause.values.get("side", "")),
    )  # fmt: skip


def explained(found: Finding, *others: Standing) -> str | None:
    return cause_of(found, others, 1000)


def test_a_gap_of_a_slice_follows_from_a_violation_of_its_feature() -> None:
    broken = violation("age", "out_of_range", 95)
    assert explained(gap(age="[65, inf)"), standing(broken)) == "age-out_of_range"
    assert explained(gap(age="[65, inf)"), standing(broken, ended_s=101)) == "age-out_of_range"
    assert explained(gap(age="[65, inf)"), standing(broken, ended_s=90)) is None
    assert explained(gap(age="[65, inf)"), standing(violation("age", "null", 120))) is None
    assert explained(gap(device="Android"), standing(broken)) is None


def test_a_gap_follows_from_a_violation_whose_rows_can_account_for_it() -> None:
    broken = standing(violation("income", "nan", 98))
    found = gap(device="Android")
    accounted = finding(found.kind, dict(found.subject), excess=50.0, invalid_rows=60)
    assert explained(accounted, broken) == "income-nan"
    assert explained(finding(found.kind, dict(found.subject), excess=50.0, invalid_rows=40), broken) is None
    earlier = standing(violation("income", "nan", 80))
    assert explained(accounted, earlier) is None


def test_one_slice_one_page() -> None:
    first = standing(gap("false_negative_rate", 100, sex="Female"))
    assert explained(gap("error_rate", 101, sex="Female"), first) == first.identity
    assert explained(gap("error_rate", 101, sex="Male"), first) is None


def test_a_crossing_follows_from_its_single_feature_and_the_chain_ends_at_the_root() -> None:
    single = standing(gap(gender="Female"), root="elsewhere")
    assert explained(gap(gender="Female", race="Black"), single) == "elsewhere"
    assert explained(gap(gender="Male", race="Black"), single) is None


def test_a_single_feature_follows_from_a_crossing_that_holds_most_of_it() -> None:
    crossing = gap(gender="Female", race="Black")
    heavy = standing(crossing)
    light = standing(finding(crossing.kind, dict(crossing.subject), excess=10.0))
    assert explained(gap(gender="Female"), heavy) == heavy.identity
    assert explained(gap(gender="Female"), light) is None


def test_who_is_favoured_follows_from_who_is_not() -> None:
    def rate(side: str, **parts: str) -> Finding:
        subject = {"slice": parts, "metric": "positive_rate"}
        return finding(AlertKind.GAP_CHANGE, subject, values={"side": side})

    low = standing(rate("lower", race="Black"))
    assert explained(rate("higher", race="White"), low) == low.identity
    assert explained(rate("higher", gender="Male", race="White"), low) == low.identity
    assert explained(rate("lower", race="Asian"), low) is None
    assert explained(rate("higher", gender="Male"), low) is None


def test_another_code_of_a_feature_is_a_matter_of_its_own_when_the_first_is_over() -> None:
    broken = violation("fee", "nan", 90)
    assert explained(violation("fee", "out_of_range", rate=1.0), standing(broken)) == "fee-nan"
    assert explained(violation("fee", "out_of_range", rate=1.0), standing(broken, ended_s=99)) is None
    assert explained(violation("fee", "out_of_range", rate=1.0), standing(broken, ended_s=101)) is None


def test_what_outlived_its_explanation_explains_what_begins_after_that() -> None:
    root = standing(violation("age", "nan", 50), ended_s=98)
    left = standing(gap(gender="Female"), root=root.identity)
    crossing = gap(gender="Female", race="Black")
    assert explained(crossing, root, left) == left.identity
    still = standing(violation("age", "nan", 50), ended_s=101)
    assert explained(crossing, still, left) == root.identity


def test_violations_of_one_feature_or_of_one_moment_and_rate_are_one_cause() -> None:
    first = standing(violation("age", "missing_feature", 100, 0.3))
    assert explained(violation("age", "null", 103, 0.1), first) == first.identity
    assert explained(violation("record", "unexpected_feature", 100, 0.31), first) == first.identity
    assert explained(violation("income", "null", 100, 0.1), first) is None
    assert explained(violation("income", "null", 105, 0.3), first) is None
    record = standing(violation("record", "bad_timestamp", 100, 0.3))
    assert explained(violation("record", "score_range", 110, 0.3), record) is None


def test_standing_gaps_group_among_themselves() -> None:
    wide = finding(AlertKind.STANDING_GAP, {"slice": {"sex": "Female"}, "metric": "error_rate"})
    narrow = finding(
        AlertKind.STANDING_GAP, {"slice": {"sex": "Female", "race": "Black"}, "metric": "error_rate"}
    )
    assert explained(narrow, standing(wide)) is not None
    assert explained(gap(sex="Female"), standing(wide)) is None


@pytest.mark.parametrize("kind", [AlertKind.MISSING_TRAFFIC, AlertKind.STALLED_PARTITION])
def test_the_others_explain_themselves(kind: AlertKind) -> None:
    assert explained(finding(kind, {}), standing(violation("age", "null"))) is None


def of_feature(kind: AlertKind, feature: str, began_s: int = 100) -> Finding:
    return finding(kind, {"feature": feature}, began_s, features=frozenset({feature}))


def of_output(output: str, began_s: int = 100) -> Finding:
    return finding(AlertKind.DRIFT, {"output": output}, began_s)


def degraded(metric: str, began_s: int = 100, **parts: str) -> Finding:
    return finding(AlertKind.DEGRADATION, {"slice": parts, "metric": metric}, began_s)


@pytest.mark.parametrize("kind", [AlertKind.SCALE_SHIFT, AlertKind.GIBBERISH, AlertKind.DRIFT])
def test_all_that_is_said_of_a_feature_is_one_page(kind: AlertKind) -> None:
    broken = standing(violation("amount", "out_of_range", 98))
    assert explained(of_feature(kind, "amount"), broken) == broken.identity
    assert explained(of_feature(kind, "income"), broken) is None
    first = standing(of_feature(kind, "amount", 98))
    assert explained(violation("amount", "out_of_range"), first) == first.identity


def test_drift_of_the_score_follows_from_a_missing_feature() -> None:
    missing = standing(violation("late_payments", "missing_feature", 95))
    assert explained(of_output("score"), missing) == missing.identity
    assert explained(of_output("score"), standing(violation("late_payments", "missing_feature", 60))) is None
    assert explained(of_output("score"), standing(violation("late_payments", "missing_feature", 110))) is None
    assert explained(of_output("decision"), standing(of_output("score", 99))) == "score"
    assert explained(of_feature(AlertKind.DRIFT, "income"), standing(of_output("score"))) is None


def test_a_degraded_metric_follows_from_the_widest_slice_that_shows_it() -> None:
    whole = standing(degraded("roc_auc", 99))
    assert explained(degraded("f1", sex="Female"), whole) == whole.identity
    assert explained(degraded("f1"), whole) == whole.identity
    assert explained(degraded("f1"), standing(degraded("f1", 99, sex="Female"))) is None
    gap_of = standing(gap("error_rate", sex="Female"))
    assert explained(degraded("recall", sex="Female"), gap_of) == gap_of.identity
    assert explained(degraded("recall", sex="Male"), gap_of) is None
    assert explained(degraded("accuracy"), gap_of) == gap_of.identity
    missing = standing(violation("late_payments", "missing_feature", 95))
    assert explained(degraded("accuracy"), missing) == missing.identity


def test_a_decline_follows_from_the_gap_that_holds_it_and_not_from_an_input_that_is_over() -> None:
    minute_ms = 60_000
    found = finding(AlertKind.DEGRADATION, {"slice": {}, "metric": "accuracy"}, excess=300.0)
    fax = violation("channel", "unknown_category", 0)
    lang = gap(lang="de", began_s=60)
    holds = standing(finding(lang.kind, dict(lang.subject), 60, excess=290.0))
    light = standing(finding(lang.kind, dict(lang.subject), 60, excess=100.0))
    assert cause_of(found, [standing(fax, ended_s=95), holds], minute_ms) == holds.identity
    assert cause_of(found, [standing(fax), holds], minute_ms) == holds.identity
    assert cause_of(found, [standing(fax), light], minute_ms) == "channel-unknown_category"
    assert cause_of(found, [standing(fax, ended_s=95), light], minute_ms) is None
    estimates = finding(AlertKind.CALIBRATION, {"slice": {}}, excess=300.0)
    assert cause_of(estimates, [standing(fax, ended_s=95), holds], minute_ms) == holds.identity


def test_an_input_that_began_with_the_decline_comes_before_a_gap_that_has_long_stood() -> None:
    old = standing(
        finding(AlertKind.GAP_CHANGE, {"slice": {"lang": "de"}, "metric": "error_rate"}, 0, excess=9e3)
    )
    missing = standing(violation("late_payments", "missing_feature", 95))
    assert explained(degraded("accuracy"), old, missing) == missing.identity
    assert explained(degraded("accuracy"), old) == old.identity
    assert explained(degraded("accuracy"), standing(violation("late_payments", "null", 60))) is None


def test_untrusted_estimates_follow_from_drift_of_the_label() -> None:
    found = finding(AlertKind.CALIBRATION, {"slice": {}})
    assert explained(found, standing(of_output("label"))) == "label"
    assert explained(found, standing(degraded("accuracy"))) is not None
    assert explained(found) is None
