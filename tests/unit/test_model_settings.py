"""What a model's settings come to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monitor.config import ModelSettings, Settings
from monitor.core.schema import FeatureSchema
from monitor.core.slices import BinSlice, CategorySlice, CrossSlice, VersionSlice
from monitor.core.tasks import Binary, ClassNames, Multiclass, Regression
from monitor.wiring import task_of


def test_a_protected_feature_is_a_slice_unless_it_is_one_already() -> None:
    model = ModelSettings.model_validate(
        {"slices": ["sex", {"feature": "age", "bins": [25, 40]}], "protected": ["age", "sex", "race"]}
    )
    assert model.slice_specs == (
        CategorySlice("sex"),
        BinSlice("age", (25.0, 40.0)),
        CategorySlice("race"),
        VersionSlice(),
    )


def test_a_task_is_what_the_settings_say_of_it() -> None:
    def task(**settings: object) -> object:
        return task_of(ModelSettings.model_validate(settings))

    assert task() == Binary(0.5)
    assert task(threshold=None, positive_class="yes") == Binary(None, ClassNames("yes"))
    assert task(task="multiclass", classes=["a", 2]) == Multiclass(("a", "2"))
    assert task(task="regression", unit=1000) == Regression(10)


def test_silences_are_stretches_that_may_repeat() -> None:
    holiday = {"from": "2026-12-24", "to": "2026-12-27"}
    model = ModelSettings.model_validate({"alerts": {"silences": [holiday, holiday | {"repeat": "7d"}]}})
    once, again = model.alerts.silences
    assert (once.to_ms - once.from_ms, once.repeat_s, again.repeat_s) == (3 * 86_400_000, None, 7 * 86_400)
    for wrong, told in (
        ({"from": "2026-12-27", "to": "2026-12-24"}, "must be later than from"),
        (holiday | {"repeat": "2d"}, "must not be shorter than the silence itself"),
    ):
        with pytest.raises(ValueError, match=told):
            ModelSettings.model_validate({"alerts": {"silences": [wrong]}})


def _schema(**features: object) -> FeatureSchema:
    return FeatureSchema.model_validate({"features": features})


def test_protected_features_are_crossed_with_legitimate_ones() -> None:
    bins = {"feature": "credit_score", "bins": [600, 700]}
    model = ModelSettings.model_validate(
        {
            "slices": [{"feature": "age", "bins": [40]}, ["sex", "occupation"]],
            "protected": ["sex", "age"],
            "legitimate": [bins, "occupation"],
        }
    )
    score, age = BinSlice("credit_score", (600.0, 700.0)), BinSlice("age", (40.0,))
    assert model.slice_specs == (
        age,
        CrossSlice(("occupation", "sex")),
        CategorySlice("sex"),
        CrossSlice(("credit_score", "sex"), bins=(score,)),
        CrossSlice(("age", "credit_score"), bins=(age, score)),
        CrossSlice(("age", "occupation"), bins=(age,)),
        VersionSlice(),
    )


def test_a_legitimate_number_has_bins_from_a_slice_or_from_its_reference() -> None:
    sliced = ModelSettings.model_validate(
        {"slices": [{"feature": "score", "bins": [1, 2]}], "legitimate": ["score"]}
    )
    assert sliced.legitimate == (BinSlice("score", (1.0, 2.0)),)
    values = np.arange(1, 10_001) / 10.0
    levels = 0.01 + 0.98 * np.arange(25) / 24
    reference = {"rows": 10_000, "quantiles": np.quantile(values, levels).tolist()}
    schema = _schema(score={"type": "number", "reference": reference})
    model = ModelSettings.model_validate({"schema": schema, "legitimate": ["score"]})
    assert model.legitimate == (BinSlice("score", (200.0, 400.0, 600.0, 800.0)),)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"legitimate": "score"}, "expected a list"),
        ({"legitimate": [["a", "b"]]}, "expected a feature, or"),
        ({"legitimate": ["a", {"feature": "a", "bins": [1]}]}, "declared twice: a"),
        ({"legitimate": [{"feature": "a", "bins": [2, 1]}]}, "increasing numbers"),
        ({"legitimate": ["sex"], "protected": ["sex"]}, "sex is protected"),
        (
            {"legitimate": ["score"], "schema": _schema(score={"type": "number"})},
            "write {feature: score, bins",
        ),
        ({"legitimate": ["scor"], "schema": _schema(score={"type": "number"})}, "did you mean score"),
    ],
)
def test_mistakes_in_legitimate_features_are_told(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ModelSettings.model_validate(settings)


TYPED: dict[str, Any] = {
    "fee": {"type": "number"}, "visits": {"type": "integer"}, "blob": {"type": "any"},
    "region": {"type": "category", "categories": ["n", "s"]}, "vip": {"type": "boolean"},
    "note": {"type": "string"},
}  # fmt: skip


@pytest.mark.parametrize("feature", ["region", "vip", "note"])
def test_only_numbers_have_bins(feature: str) -> None:
    cut = {"feature": feature, "bins": [1]}
    kind = TYPED[feature]["type"]
    for settings in ({"slices": [cut]}, {"slices": [["visits", cut]]}, {"legitimate": [cut]}):
        with pytest.raises(ValueError, match=f"{feature} is a {kind} in the schema, which has no bins"):
            ModelSettings.model_validate(settings | {"schema": _schema(**TYPED)})
        ModelSettings.model_validate(settings)  # without a schema nobody knows


def test_numbers_that_are_not_cut_are_told() -> None:
    def told(**model: Any) -> list[str]:
        kafka = {"bootstrap_servers": "k:9092", "predictions": {"topics": ["p"]}}
        settings = Settings.parse({"kafka": kafka, "models": {"m": model | {"schema": _schema(**TYPED)}}})
        return [text for text in settings.warnings() if "is a number" in text]

    bins = [{"feature": name, "bins": [1, 2]} for name in ("fee", "visits", "blob")]
    assert told(slices=[*bins, "region", ["region", bins[0]]], protected=["fee", "vip"]) == []
    assert told(slices=["visits"]) == []  # integers of few values may be meant
    for model in (
        {"slices": ["fee"]},
        {"slices": [["region", "fee"]]},
        {"slices": [bins[0], ["vip", "fee"]]},
    ):
        assert told(**model) == [
            "models.m.slices: fee is a number, and every value of it a slice of its own; "
            "write {feature: fee, bins: [...]} under slices"
        ]
    for slices in ([], [["region", bins[0]]]):
        assert [text.split(":")[0] for text in told(protected=["fee"], slices=slices)] == [
            "models.m.protected"
        ]
