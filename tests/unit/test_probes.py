"""Every probe against models whose weak points are known, and laws that all probes keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.probes import (
    PROBES,
    Answer,
    Constraints,
    FeatureSpace,
    ProbeResult,
    Subject,
    drive,
    drive_all,
)
from monitor.core.probes.counterfactual import Counterfactual
from monitor.core.probes.dialogue import Conversation, Probe
from monitor.core.probes.feature_set import FeatureSet
from monitor.core.probes.interaction import Interaction
from monitor.core.probes.missing import Missing
from monitor.core.probes.out_of_range import OutOfRange
from monitor.core.probes.pairs import PairCounts, cut
from monitor.core.probes.relations import Relation
from monitor.core.probes.replay import Replay, repeats
from monitor.core.probes.sensitivity import Sensitivity
from monitor.core.probes.sharp_boundary import SharpBoundary
from monitor.core.probes.single_feature import SingleFeature
from monitor.core.probes.turns import Turns
from monitor.core.probes.type_conversion import VARIANTS, TypeConversion, matrix
from monitor.core.probes.unit_change import UnitChange
from monitor.core.schema.inference import infer
from monitor.core.schema.model import FeatureSchema

Score = Callable[[Mapping[str, Any]], float]


def schema() -> FeatureSchema:
    rng = np.random.default_rng(5)
    n = 4_000
    return infer(
        {
            "age": rng.integers(18, 90, n).tolist(),
            "income": np.round(rng.lognormal(8, 0.5, n), 2).tolist(),
            "ratio": rng.normal(0, 1, n).tolist(),
            "loans": rng.integers(0, 9, n).tolist(),
            "sex": rng.choice(["Female", "Male"], n).tolist(),
            "relation": rng.choice(["Husband", "Wife", "None"], n).tolist(),
            "member": rng.choice([True, False], n).tolist(),
        }
    )


SCHEMA = schema()
SPACE = FeatureSpace.of(SCHEMA, Constraints(protected=("sex",)))
ROW = {
    "age": 40, "income": 3000.0, "ratio": 0.1, "loans": 2, "sex": "Female", "relation": "Wife",
    "member": True,
}  # fmt: skip


def subject(score: Score, row: Mapping[str, Any] = ROW, space: FeatureSpace = SPACE) -> Subject:
    return Subject("r-1", "m", "1", row, Answer(score=score(row)), 0.5, space=space)


def asking(score: Score) -> Callable[[Sequence[Mapping[str, Any]]], list[Answer]]:
    def ask(rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
        answers = []
        for row in rows:
            try:
                value = score(row)
            except (TypeError, KeyError, ValueError):
                answers.append(Answer(error="refused"))
            else:
                answers.append(Answer(score=value) if math.isfinite(value) else Answer(error="not a number"))
        return answers

    return ask


def run(probe: Probe, score: Score, row: Mapping[str, Any] = ROW, space: FeatureSpace = SPACE) -> ProbeResult:
    return drive(probe, subject(score, row, space), asking(score))


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-max(-500.0, min(500.0, x))))


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_a_model_that_always_says_the_same_has_no_weak_point(probe: Probe) -> None:
    result = run(probe, lambda row: 0.3)
    assert result.flips == 0
    assert result.errors == 0
    assert not any(trial.different for trial in result.trials)
    assert result.queries <= 140


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_a_model_that_refuses_everything_is_errors_and_no_flips(probe: Probe) -> None:
    asked = subject(lambda row: 0.3)
    result = drive(probe, asked, lambda rows: [Answer(error="http 500")] * len(rows))
    assert result.flips == 0
    assert not any(trial.different for trial in result.trials)
    assert result.answer is None


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_merged_rounds_find_what_single_ones_do(probe: Probe) -> None:
    def score(row: Mapping[str, Any]) -> float:
        return logistic(0.2 * (float(row["age"]) - 43) + float(row["ratio"] or 0) + (row["sex"] == "Male"))

    rng = np.random.default_rng(2)
    rows = [{**ROW, "age": int(age)} for age in rng.integers(20, 80, 6)]
    subjects = [replace(subject(score, row), request_id=f"r-{i}") for i, row in enumerate(rows)]
    alone = [drive(probe, one, asking(score)) for one in subjects]
    merged = drive_all([(probe, one) for one in subjects], asking(score), rows_max=17)
    assert [r.trials for r in merged] == [r.trials for r in alone]
    assert [r.queries for r in merged] == [r.queries for r in alone]


def test_as_many_answers_as_rows() -> None:
    talk = Conversation([(Replay(), subject(lambda row: 0.3))])
    with pytest.raises(ValueError, match="1 answers to 2 rows"):
        talk.tell([Answer(score=0.3)])


def test_replay_tells_a_model_that_does_not_repeat_itself() -> None:
    steady = run(Replay(), lambda row: 0.3)
    assert repeats(steady)
    assert steady.answer == Answer(score=0.3)
    scores = iter([0.3, 0.3001, 0.32])
    noisy = run(Replay(), lambda row: next(scores))
    assert not repeats(noisy)
    assert [trial.different for trial in noisy.trials] == [True, True]
    moved = drive(Replay(), subject(lambda row: 0.3), asking(lambda row: 0.6))
    assert [trial.different for trial in moved.trials] == [True, False]
    assert moved.flips == 1


@given(st.integers(18, 89), st.integers(18, 89))
def test_the_nearest_flip_of_a_step_is_found_to_the_unit(age: int, step: int) -> None:
    def score(row: Mapping[str, Any]) -> float:
        return 0.9 if row["age"] >= step else 0.1

    axis = SPACE.axes["age"]
    result = run(SingleFeature(), score, {**ROW, "age": age})
    nearest = step if age < step else step - 1
    whole = result.trials[0]
    if axis.low <= nearest <= axis.high:
        assert whole.distance_iqr == pytest.approx(abs(nearest - age) / axis.unit)
        assert result.cases[0].changed == {**ROW, "age": nearest}
    else:
        assert not whole.flipped
    assert result.queries <= 140


def test_the_nearest_of_several_features_wins() -> None:
    def score(row: Mapping[str, Any]) -> float:
        return 0.9 if row["ratio"] > 0.7321 or row["income"] > 3010.25 else 0.1

    result = run(SingleFeature(), score)
    unit = SPACE.axes["income"].unit
    assert result.trials[0].distance_iqr == pytest.approx(10.26 / unit, rel=0.15)
    assert {case.features for case in result.cases if case.flipped} == {("ratio",), ("income",)}
    assert result.trials[0].near


def test_searches_respect_what_cannot_change() -> None:
    rows: list[Mapping[str, Any]] = []

    def score(row: Mapping[str, Any]) -> float:
        rows.append(row)
        return logistic(row["income"] / 1000 - 4 + row["loans"] - row["age"] / 50)

    constraints = Constraints(
        immutable=frozenset({"age"}), protected=("sex",), relations=(Relation.parse("loans <= age"),),
        ends={"income": (2_000.0, 3_500.0)},
    )  # fmt: skip
    space = FeatureSpace.of(SCHEMA, constraints)
    base = {**ROW, "age": 4}
    for probe in (SingleFeature(), FeatureSet(), SharpBoundary(), Sensitivity()):
        run(probe, score, base, space)
    assert len(rows) > 60
    assert {row["age"] for row in rows} == {4}
    assert {row["sex"] for row in rows} == {"Female"}
    assert max(row["loans"] for row in rows) <= 4
    assert all(isinstance(row["loans"], int) for row in rows)
    assert {type(row["member"]) for row in rows} == {bool}
    assert {row["relation"] for row in rows} == {"Husband", "Wife", "None"}
    scanned = [row["income"] for row in rows]
    assert min(scanned) >= 2_000
    assert max(scanned) <= 3_500


def test_values_never_seen_together_are_left_out() -> None:
    sample = [
        {"sex": s, "relation": r} for s, r in (("Female", "Wife"), ("Male", "Husband"), ("Female", "None"))
    ]
    pairs = PairCounts.of(sample, {}, ("sex", "relation"))
    space = FeatureSpace.of(SCHEMA, Constraints(protected=("sex",)), pairs)
    assert space.plausible({**ROW, "relation": "None"}, ("relation",))
    assert not space.plausible({**ROW, "relation": "Husband"}, ("relation",))
    result = run(SingleFeature(), lambda row: 0.9 if row["relation"] == "Husband" else 0.1, ROW, space)
    assert not result.trials[0].flipped
    numbers = PairCounts.of(
        [{"a": 1, "b": 1}, {"a": 9, "b": 9}], {"a": cut([1, 5, 9]), "b": cut([1, 5, 9])}, ("a", "b")
    )
    assert numbers.seen({"a": 10, "b": 20}, "a")
    assert not numbers.seen({"a": 10, "b": 1}, "b")


def test_pairs_that_flip_only_together_are_found_and_minimal() -> None:
    def score(row: Mapping[str, Any]) -> float:
        both = min(row["ratio"], 1.5) / 1.5 + min(row["income"], 4000) / 4000
        return 0.1 + 0.21 * float(both)

    alone = run(SingleFeature(), score)
    assert not alone.trials[0].flipped
    result = run(FeatureSet(), score)
    assert result.trials[0].flipped
    assert set(result.cases[0].features) == {"ratio", "income"}
    assert result.queries <= 140
    assert score(result.cases[0].changed) >= 0.5


def test_a_set_of_three_is_pruned_of_what_it_does_not_need() -> None:
    def score(row: Mapping[str, Any]) -> float:
        return 0.3 + 0.08 * float((row["ratio"] > 1) + (row["age"] > 60) + (row["loans"] > 5))

    result = run(FeatureSet(), score)
    assert set(result.cases[0].features) == {"ratio", "age", "loans"}


def test_a_swap_of_sex_with_its_proxies() -> None:
    def score(row: Mapping[str, Any]) -> float:
        return 0.4 + 0.2 * float(row["sex"] == "Male" and row["relation"] == "Husband")

    proxies = {"sex": {"relation": {"Wife": "Husband", "Husband": "Wife"}}}
    space = FeatureSpace.of(SCHEMA, Constraints(protected=("sex",), proxies=proxies))
    result = run(Counterfactual(), score, ROW, space)
    assert [(t.feature, t.flipped, t.different) for t in result.trials] == [("sex", True, True)]
    assert result.cases[0].changed == {**ROW, "sex": "Male", "relation": "Husband"}
    assert result.queries == 1
    assert run(Counterfactual(), score).flips == 0


@given(st.floats(-2.0, 2.0))
def test_a_planted_edge_is_found_and_a_slope_is_not(at: float) -> None:
    def edge(row: Mapping[str, Any]) -> float:
        return 0.2 + 0.3 * float(row["ratio"] > at)

    result = run(SharpBoundary(), edge)
    mine = next(trial for trial in result.trials if trial.feature == "ratio")
    assert mine.different
    assert mine.score_change == pytest.approx(0.3)
    case = result.cases[0]
    low, high = sorted([case.original["ratio"], case.changed["ratio"]])
    assert low <= at < high
    assert high - low <= 0.01 * SPACE.axes["ratio"].unit * (1 + 1e-9)
    smooth = run(SharpBoundary(), lambda row: logistic(row["ratio"] - at))
    assert not any(trial.different for trial in smooth.trials)
    assert result.queries <= 140


def test_sensitivity_is_the_change_of_a_small_step() -> None:
    result = run(Sensitivity(), lambda row: 0.3 + 0.1 * row["ratio"])
    changes = {trial.feature: trial.score_change for trial in result.trials}
    assert changes["ratio"] == pytest.approx(0.1 * 0.25 * SPACE.axes["ratio"].unit)
    assert changes["income"] == 0


def test_the_matrix_has_fourteen_columns() -> None:
    axis = SPACE.axes["ratio"]
    assert set(matrix(axis, 7)) == set(VARIANTS) - {"int"}
    assert set(matrix(axis, 7.0)) == set(VARIANTS) - {"float"}
    assert matrix(axis, 0.25)["text with exponent"] == "2.5e-1"
    assert matrix(axis, 40)["text with exponent"] == "4e1"


@given(st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), st.floats(allow_nan=False, allow_infinity=False)))
def test_text_variants_of_a_number_are_that_number(value: float) -> None:
    found = matrix(SPACE.axes["ratio"], value)
    for name in ("text", "text of float", "text with spaces"):
        assert float(found[name]) == value
    assert float(found["text with exponent"]) == pytest.approx(value, rel=1e-15)
    assert float(found["text with comma"].replace(",", ".")) == value


def test_types_read_as_something_else_in_silence() -> None:
    def parsing(row: Mapping[str, Any]) -> float:
        age = row["age"]
        if age in (None, "", "nan") or age != age:  # noqa: PLR0124 - NaN is not itself
            return 0.7
        return logistic(float(str(age).replace(",", "")) / 100 - 1)

    result = run(TypeConversion(), parsing)
    age = {trial.variant: trial for trial in result.trials if trial.feature == "age"}
    silent = {name for name, trial in age.items() if trial.different}
    assert silent == {"null", "nan", "text nan", "empty text", "text with comma", "inf"}
    assert {name for name, trial in age.items() if trial.error} == {"true", "text true"}
    assert not any(trial.different for trial in result.trials if trial.feature != "age")
    words = {case.words for case in result.cases}
    assert any("read as if it were missing" in text for text in words)


def test_missing_features_are_findings_where_the_schema_wants_them() -> None:
    def score(row: Mapping[str, Any]) -> float:
        return 0.2 if row.get("ratio") is None else 0.6

    result = run(Missing(), score)
    ratio = {trial.variant: trial for trial in result.trials if trial.feature == "ratio"}
    assert ratio["absent"].different
    assert ratio["null"].flipped
    features = {**SCHEMA.features, "ratio": SCHEMA.features["ratio"].model_copy(update={"nullable": True})}
    space = FeatureSpace.of(SCHEMA.model_copy(update={"features": features}))
    allowed = {t.variant: t for t in run(Missing(), score, ROW, space).trials if t.feature == "ratio"}
    assert not allowed["null"].different
    assert allowed["absent"].different


def test_out_of_range_values_are_outside() -> None:
    rows: list[Mapping[str, Any]] = []

    def score(row: Mapping[str, Any]) -> float:
        rows.append(row)
        return 0.3

    run(OutOfRange(), score)
    changed = [row for row in rows if row != ROW]
    assert changed
    assert all(not SPACE.plausible(row) for row in changed)


def test_units_that_fit_are_tried() -> None:
    features = {**SCHEMA.features, "age": SCHEMA.features["age"].model_copy(update={"unit": "years"})}
    space = FeatureSpace.of(SCHEMA.model_copy(update={"features": features}))
    result = run(UnitChange(), lambda row: logistic(row["age"] / 10 - 8), ROW, space)
    words = " ".join(case.words for case in result.cases)
    assert "months instead of years" in words
    assert "40 → 480" in words


def test_sensitive_values_are_not_told() -> None:
    features = {**SCHEMA.features, "ratio": SCHEMA.features["ratio"].model_copy(update={"sensitive": True})}
    space = FeatureSpace.of(SCHEMA.model_copy(update={"features": features}))
    for probe in (SingleFeature(), SharpBoundary(), TypeConversion()):
        result = run(probe, lambda row: 0.9 if row["ratio"] != 0.1 else 0.1, ROW, space)
        told = [case.words for case in result.cases if case.features == ("ratio",)]
        assert told
        assert not any("0.1" in words for words in told)


def test_an_answer_is_a_score_or_an_error() -> None:
    with pytest.raises(ValueError, match="a score or an error"):
        Answer()
    with pytest.raises(ValueError, match="a score or an error"):
        Answer(score=0.1, error="refused")


@pytest.mark.parametrize("text", ["a", "a <", "<= b", "a => b", ""])
def test_relations_that_do_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="no relation"):
        Relation.parse(text)


def test_two_features_that_act_only_together_are_found() -> None:
    low, high = SPACE.axes["age"].low, SPACE.axes["ratio"].high

    def both(row: Mapping[str, Any]) -> float:
        return 0.05 if row["age"] <= low + 1 and row["ratio"] >= high - 0.01 else 0.8

    result = run(Interaction(), both)
    assert result.together == (("age", "ratio"),)
    assert result.queries <= 140
    assert {both(case.changed) for case in result.cases} == {0.05}
    (trial,) = result.trials
    assert trial.flipped
    assert trial.distance_iqr is None


def test_what_features_do_alone_is_no_interaction() -> None:
    def additive(row: Mapping[str, Any]) -> float:
        return logistic(row["ratio"] + (row["age"] - 40) / 10 + (2.0 if row["relation"] == "Wife" else 0.0))

    def one(row: Mapping[str, Any]) -> float:
        return 0.01 if row["age"] >= 80 else 0.9

    for score in (additive, one):
        assert run(Interaction(), score).together == ()
    assert run(Interaction(), lambda row: 1_000.0 + row["age"]).trials == ()  # no probabilities


def test_turns_follow_rows_and_learn_what_pays() -> None:
    def cliff(row: Mapping[str, Any]) -> float:
        return 0.9 if isinstance(row["age"], int) and row["age"] >= 50 else 0.1

    turns = Turns([Counterfactual(), SharpBoundary()])
    rows, aimed = {"counterfactual": 0, "sharp_boundary": 0}, []
    for at in range(60):
        probes = turns.next(100.0, requests_max=50)
        assert probes
        jobs = [
            (probe, turns.aimed(probe, replace(subject(cliff), request_id=f"r-{at}-{place}")))
            for place, probe in enumerate(probes)
        ]
        aimed += [one.focus for probe, one in jobs if probe.name == "sharp_boundary"]
        results = drive_all(jobs, asking(cliff))
        turns.learn(results)
        for result in results:
            rows[result.probe] += result.queries
    assert 0.7 < rows["counterfactual"] / rows["sharp_boundary"] < 1.4
    late = aimed[len(aimed) // 2 :]
    assert sum("age" in (focus or ()) for focus in late) > 0.8 * len(late)
    assert any("sex" in (focus or ()) for focus in aimed)  # and some are tried whatever is known
    assert [probe.name for probe in Turns([]).next(7.0, requests_max=9)] == ["replay"] * 3


def test_a_narrow_step_is_found_where_most_of_the_traffic_is_one_value() -> None:
    """Quantiles say nothing of the few that have a gain; the cut points of the histogram do."""
    rng = np.random.default_rng(8)
    gains = rng.choice([114, 1506, 2202, 2829, 3103, 3411, 4064, 5178, 7298, 7688, 15024], 5_000)
    column = np.where(rng.random(5_000) < 0.92, 0, gains)
    space = FeatureSpace.of(infer({"gain": column.tolist(), "other": rng.normal(0, 1, 5_000).tolist()}))

    def score(row: Mapping[str, Any]) -> float:
        gain = row["gain"]
        return 0.8 if 3_090 <= gain < 3_140 or gain >= 7_000 else 0.2 + gain / 40_000

    result = run(SingleFeature(), score, {"gain": 0, "other": 0.0}, space)
    axis = space.axes["gain"]
    assert result.trials[0].distance_iqr == pytest.approx(axis.distance(0, 3_090), rel=0.01)
    assert space.axes["other"].marks.size == 0
