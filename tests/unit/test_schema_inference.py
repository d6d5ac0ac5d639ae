"""A schema inferred from a sample: what it decides, and that it does not page on its own traffic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from monitor.core.errors import SchemaError
from monitor.core.schema import Feature, FeatureSchema, FeatureType
from monitor.core.schema.feature import FEATURES_MAX, QUANTILE_LEVELS
from monitor.core.schema.histogram import bin_counts, cut_points
from monitor.core.schema.inference import infer, unseen_bound


def feature(values: list[Any]) -> Feature:
    return infer({"f": values}).features["f"]


def declared(values: list[Any]) -> dict[str, Any]:
    return feature(values).model_dump(exclude_defaults=True, exclude={"reference", "note"}, mode="json")


AGES = [17 + i % 74 for i in range(5_000)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (AGES, {"type": "integer", "minimum": 0, "maximum": 127}),
        ([float(age) for age in AGES], {"type": "integer", "minimum": 0, "maximum": 127}),
        ([age - 60 for age in AGES], {"type": "integer", "minimum": -80, "maximum": 67}),
        ([-age for age in AGES], {"type": "integer", "minimum": -127, "maximum": 0}),
        ([0, 1] * 500, {"type": "integer", "minimum": 0, "maximum": 1}),
        ([7] * 500, {"type": "integer"}),
        ([0.5, 1.0] * 50, {"type": "number", "minimum": 0, "maximum": 6}),
        ([1, 2] * 10, {"type": "number", "minimum": 0, "maximum": 52}),  # too few to call it integer
        (list(range(1000, 2000)), {"type": "integer", "minimum": 0}),  # a counter
        (list(range(2000, 1000, -1)), {"type": "integer", "maximum": 3000}),
        ([1e308, -1e308] * 50, {"type": "integer"}),
        ([True, False] * 50, {"type": "boolean"}),
        (["a", "b"] * 1_500, {"type": "category", "categories": ["a", "b"]}),
        (
            ["a", "b"] * 1_499,
            {"type": "category", "categories": ["a", "b"], "closed": False, "max_length": 16},
        ),
        ([f"m{i % 500}" for i in range(5_000)], {"type": "category", "closed": False, "max_length": 16}),
        ([f"order {i:06}" for i in range(5_000)], {"type": "string", "max_length": 24}),
        (
            [f"p{i}@example.org" for i in range(5_000)],
            {"type": "string", "max_length": 34, "sensitive": True},
        ),
        ([[1, 2]] * 50, {"type": "any"}),
        ([None] * 50, {"type": "any", "nullable": True}),
        ([1, "x"] * 50, {"type": "any"}),
        ([math.nan] * 50, {"type": "number", "tolerated": 1}),
        (["\ud800"] * 50, {"type": "string", "tolerated": 1}),
    ],
)
def test_what_a_column_becomes(values: list[Any], expected: dict[str, Any]) -> None:
    assert declared(values) == expected


def test_few_strings_among_numbers_do_not_change_the_type() -> None:
    found = feature([*AGES, *["unknown"] * 50])
    assert found.type is FeatureType.INTEGER
    assert 0.01 < found.tolerated < 0.02
    assert found.note == "50 of 5050 rows of the sample violate this; `tolerated` allows for it"
    assert found.reference is not None
    assert found.reference.invalid == 50


@pytest.mark.parametrize(("absent", "required"), [(0, True), (2, True), (3, False)])
def test_absence_is_a_habit_above_half_the_tolerated_rate(absent: int, required: bool) -> None:
    rows = [{"a": 1, "b": i} if i >= absent else {"a": 1} for i in range(4_000)]
    assert infer(rows).features["b"].required is required
    nulls = [{"b": None if i < absent else i} for i in range(4_000)]
    assert infer(nulls).features["b"].nullable is not required


def test_an_outlier_is_pointed_out() -> None:
    note = feature([*AGES, 100_000]).note
    assert note == "greatest value 100000 is far from the rest: check maximum"
    note = feature([*AGES, -100_000]).note
    assert note == "least value -100000 is far from the rest: check minimum"


def test_a_rare_country_does_not_open_the_set() -> None:
    values = ["US"] * 40_000 + ["NL"] + ["FR"] * 20
    assert feature(values).closed
    assert unseen_bound([40_000, 1, 20]) < 0.001 < unseen_bound([2_000, 1, 20])


@pytest.mark.parametrize("rows", [30, 200, 1_000, 5_000])
def test_traffic_like_the_sample_stays_within_the_tolerated_rate(rows: int) -> None:
    """Violations of 50 samples' schemas on fresh rows: heavy tails and rare categories included."""
    rng = np.random.default_rng(7)
    fresh = 2_000
    wrong = np.zeros(4)

    def columns(n: int) -> dict[str, Any]:
        return {
            "pareto": 1 / rng.random(n),  # as heavy as 1/x
            "normal": rng.normal(size=n),
            "category": rng.choice([f"c{i}" for i in range(30)], n, p=np.arange(1, 31) ** 3.0 / 216_225),
            "text": [f"{'x' * length}{i}" for i, length in enumerate(rng.geometric(0.1, n))],
        }

    for _ in range(50):
        schema = infer(columns(rows))
        data = {name: list(values) for name, values in columns(fresh).items()}
        records = [dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)]
        wrong += np.bincount(schema.compiled.check_chunk(records).feature, minlength=4)
    # Three standard errors above the tolerated rate would be 1.3 e-3.
    assert (wrong / (50 * fresh) <= 0.0013).all(), wrong


def test_rows_and_columns_make_the_same_schema() -> None:
    rows = [{"a": i % 7, "b": "x" if i % 2 else "y"} for i in range(300)]
    columns = {name: [row[name] for row in rows] for name in ("a", "b")}
    arrays = {name: np.array(values) for name, values in columns.items()}
    assert infer(iter(rows)) == infer(columns) == infer(arrays)
    assert FeatureSchema.parse(infer(rows).text()) == infer(rows)


def test_every_row_of_the_sample_is_counted_once_in_the_reference() -> None:
    rng = np.random.default_rng(1)
    values = [*rng.lognormal(size=997).tolist(), None, math.nan, "12"]
    found = feature(values)
    assert found.reference is not None
    assert (found.reference.rows, found.reference.missing, found.reference.invalid) == (1000, 1, 2)
    assert found.reference.counts is not None
    assert sum(found.reference.counts) == 997
    assert found.reference.quantiles is not None
    inside = np.array([v for v in values if isinstance(v, float) and not math.isnan(v)])
    np.testing.assert_allclose(
        found.reference.quantiles, np.quantile(inside, QUANTILE_LEVELS, method="inverted_cdf"), rtol=1e-5
    )


def test_categories_beyond_the_top_are_other() -> None:
    found = feature([f"m{i % 250}" for i in range(5_000)])
    assert found.reference is not None
    assert found.reference.values is not None
    assert len(found.reference.values) == 100
    assert found.reference.other == 150 * 20


def test_bins_agree_with_numpy_and_zeros_do_not_swallow_the_rest() -> None:
    rng = np.random.default_rng(3)
    values = np.where(rng.random(10_000) < 0.95, 0.0, rng.lognormal(5, 1, 10_000))
    edges = cut_points(values)
    assert len(edges) >= 20
    everywhere = np.concatenate([[-np.inf], edges, [np.inf]])
    assert bin_counts(values, edges).tolist() == np.histogram(values, everywhere)[0].tolist()
    assert bin_counts(values, edges)[2:].max() < 100


@pytest.mark.parametrize("scale", [1.0, 1_000.0])
def test_edges_have_the_digits_that_part_them(scale: float) -> None:
    rng = np.random.default_rng(3)
    values = scale * (1.7e9 + np.floor(rng.uniform(0, 7_200, 8_000)))
    counts = bin_counts(values, cut_points(values))
    assert len(counts) == 20
    assert counts.min() > 8_000 / 20 * 0.9
    reference = feature(values.tolist()).reference
    assert reference is not None
    assert reference.quantiles is not None
    assert len(set(reference.quantiles)) == len(reference.quantiles)


def test_edges_of_ordinary_columns_have_six_digits() -> None:
    values = np.random.default_rng(3).lognormal(8, 2, 8_000)
    levels = np.arange(1, 20) / 20
    expected = [float(f"{edge:.6g}") for edge in np.quantile(values, levels, method="inverted_cdf")]
    assert cut_points(values).tolist() == expected


@pytest.mark.parametrize("values", [[-1.7e308, 1.7e308], [5e-324 * i for i in range(50)], [0.0] * 3])
def test_edges_reach_the_ends_of_floats(values: list[float]) -> None:
    spread = np.array([value / (1 + i % 7) for i, value in enumerate(values * 40)])
    assert bin_counts(spread, cut_points(spread)).sum() == len(spread)


@pytest.mark.parametrize(
    ("sample", "problem"),
    [
        ([], "no row"),
        ({}, "no row"),
        ([{}], "no feature"),
        ([{"": 1}, {"\ud800": 1}], "no feature"),
        ({"a": [1], "b": []}, "differ in length"),
    ],
)
def test_a_sample_without_content_is_refused(sample: Any, problem: str) -> None:
    with pytest.raises(SchemaError, match=problem):
        infer(sample)


def test_ever_new_names_keep_the_frequent_features() -> None:
    rows = [{"age": 1, f"x{i}": 1} for i in range(FEATURES_MAX + 10)]
    schema = infer(rows)
    assert len(schema.features) == FEATURES_MAX
    assert "age" in schema.features
    assert schema.unexpected == "tolerate"
