"""What a model's settings come to."""

from __future__ import annotations

import pytest

from monitor.config import ModelSettings
from monitor.core.slices import BinSlice, CategorySlice, VersionSlice


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
