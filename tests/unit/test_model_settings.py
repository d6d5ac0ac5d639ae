"""What a model's settings come to."""

from __future__ import annotations

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
