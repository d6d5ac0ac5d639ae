"""Declared slices: every form, every mistake, and which rows belong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.slices import (
    BinSlice,
    CategorySlice,
    CrossSlice,
    SliceAssigner,
    VersionSlice,
    WhereSlice,
    parse_slice,
)
from monitor.core.slices.assign import OUTSIDE, other_token, token_name
from monitor.core.slices.spec import features_of


@pytest.mark.parametrize(
    ("written", "spec"),
    [
        ("sex", CategorySlice("sex")),
        (["sex", "race"], CrossSlice(("race", "sex"))),
        (
            ["sex", {"feature": "age", "bins": [25]}],
            CrossSlice(("age", "sex"), bins=(BinSlice("age", (25.0,)),)),
        ),
        ({"feature": "age", "bins": [25, 40]}, BinSlice("age", (25.0, 40.0))),
        ({"feature": "merchant", "top": 50}, CategorySlice("merchant", 50)),
        (
            {"name": "new users", "where": {"account_age_days": {"lt": 30}}},
            WhereSlice("new users", (("account_age_days", "lt", 30),)),
        ),
        ({"name": "x", "where": {"sex": "Female"}}, WhereSlice("x", (("sex", "eq", "Female"),))),
    ],
)
def test_every_form_is_read(written: Any, spec: object) -> None:
    assert parse_slice(written) == spec


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (7, "a slice is a feature name"),
        (["sex"], "two or three features"),
        (["sex", "sex"], "each feature once"),
        (["sex", {"feature": "sex", "bins": [1]}], "each feature once"),
        (["sex", {"feature": "age", "top": 5}], "numbers with bins"),
        (["sex", {"feature": "age", "bins": [2, 1]}], "increasing numbers"),
        ({"feature": "age", "bins": [40, 25]}, "increasing numbers"),
        ({"feature": "age", "bin": [25]}, "did you mean bins"),
        ({"feature": "age"}, "expected {feature, bins}"),
        ({"feature": "m", "top": 0}, "from 1 to 1000"),
        ({"name": "x", "where": {"age": {"less": 3}}}, "unknown operator"),
        ({"name": "x", "where": {"age": {"lt": "3"}}}, "expected a number"),
        ({"name": "x", "where": {}}, "expected conditions"),
    ],
)
def test_every_mistake_is_told(written: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_slice(written)


def codes(
    spec: Any, rows: list[dict[str, Any]], versions: list[str | None] | None = None
) -> list[str | None]:
    """Names of the slices of each row, by way of ids."""
    assigner = SliceAssigner([spec])
    tokens = assigner.tokens(rows, versions or [None] * len(rows))
    names: list[str] = []
    for fresh in assigner.unknown(tokens).values():
        for token in fresh:
            names.append(token_name(spec, token))
            assigner.learn(0, token, len(names))
    assert assigner.unknown(tokens) == {}
    ids = assigner.codes(tokens)
    assert ids.shape == (len(rows), 1)
    assert ids.dtype == np.int64
    return [None if i == OUTSIDE else names[i - 1] for i in ids[:, 0].tolist()]


def test_categories_read_values_as_text() -> None:
    rows = [{"x": v} for v in ["a", 1, 1.0, True, None, 2.5, [1], "y" * 200]] + [{}]
    named = codes(CategorySlice("x"), rows)
    assert named[:6] == [
        '{"x":"a"}',
        '{"x":"1"}',
        '{"x":"1"}',
        '{"x":"true"}',
        '{"x":"(missing)"}',
        '{"x":"2.5"}',
    ]
    assert named[6] == '{"x":"(not a value)"}'
    assert named[8] == '{"x":"(missing)"}'
    assert len(named[7] or "") < 120


def test_bins_are_half_open() -> None:
    values = [24.9, 25, 39, 40, 1e300, -5, 10**400, math.nan, math.inf, "30", None]
    named = codes(BinSlice("age", (25.0, 40.0)), [{"age": v} for v in values])
    low, middle, high, missing = (
        '{"age":"(-inf, 25)"}', '{"age":"[25, 40)"}', '{"age":"[40, inf)"}', '{"age":"(missing)"}',
    )  # fmt: skip
    assert named == [low, middle, middle, high, high, low, high, missing, high, missing, missing]


def test_conditions_and_crossings_and_versions() -> None:
    spec = parse_slice({"name": "new", "where": {"days": {"ge": 0, "lt": 30}, "kind": {"in": ["a", "b"]}}})
    rows: list[dict[str, Any]] = [
        {"days": 3, "kind": "a"},
        {"days": 30, "kind": "a"},
        {"days": 3, "kind": "c"},
        {"days": "3"},
    ]
    assert codes(spec, rows) == ['{"slice":"new"}', None, None, None]
    crossed = codes(CrossSlice(("race", "sex")), [{"sex": "F", "race": "B"}, {"sex": "F"}])
    assert crossed == ['{"race":"B","sex":"F"}', '{"race":"(missing)","sex":"F"}']
    binned = codes(
        parse_slice(["sex", {"feature": "age", "bins": [30]}]), [{"sex": "F", "age": 30}, {"age": "x"}]
    )
    assert binned == ['{"age":"[30, inf)","sex":"F"}', '{"age":"(missing)","sex":"(missing)"}']
    assert codes(VersionSlice(), [{}, {}], ["3", None]) == ['{"model_version":"3"}', None]
    assert token_name(CategorySlice("m"), other_token(CategorySlice("m"))) == '{"m":"(other)"}'
    assert features_of(spec) == ("days", "kind")


VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers())
)


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b"]), VALUES), max_size=8))
def test_no_value_stops_the_assigner(rows: list[dict[str, Any]]) -> None:
    for written in [
        "a",
        ["a", "b"],
        {"feature": "a", "bins": [0]},
        {"name": "n", "where": {"a": {"lt": 1, "ne": 0}}},
    ]:
        assert len(codes(parse_slice(written), rows)) == len(rows)
