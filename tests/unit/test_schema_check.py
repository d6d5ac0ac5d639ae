"""What each code means, and the sentences people read."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

from monitor.core.counters import CODES
from monitor.core.schema import Code, FeatureSchema, Violation
from monitor.core.schema.violations import RECORD, received_text

SCHEMA = FeatureSchema.parse(
    """
features:
  age: {type: integer, minimum: 0, maximum: 120, unit: years}
  income: {type: number, minimum: 0, nullable: true}
  sex: {type: category, categories: [Female, Male]}
  size: {type: category, categories: ["1", "2", "3"], required: false}
  merchant: {type: category, closed: false, required: false, max_length: 10}
  code: {type: string, pattern: "[A-Z]{2}-[0-9]+", max_length: 8, required: false}
  active: {type: boolean, required: false}
  ssn: {type: string, pattern: "[0-9]{9}", sensitive: true, required: false}
  tags: {type: any, required: false}
"""
)
NOTHING_SENSITIVE = SCHEMA.model_copy(
    update={"features": {name: one for name, one in SCHEMA.features.items() if name != "ssn"}}
)
RIGHT = {"age": 39, "income": 1200.5, "sex": "Female"}


@pytest.mark.parametrize(
    ("feature", "value", "slug"),
    [
        ("age", 39, None),
        ("age", 39.0, None),
        ("age", 0, None),
        ("age", 120, None),
        ("age", 39.5, "type_changed"),
        ("age", 100_000, "out_of_range"),
        ("age", -1, "out_of_range"),
        ("age", None, "null"),
        ("age", math.nan, "nan"),
        ("age", math.inf, "infinite"),
        ("age", -math.inf, "infinite"),
        ("age", 10**400, "infinite"),
        ("age", "42", "number_as_string"),
        ("age", " 42 ", "number_as_string"),
        ("age", "4.2e1", "number_as_string"),
        ("age", "1,5", "number_as_string"),
        ("age", "1.234,50", "number_as_string"),
        ("age", "nan", "type_changed"),
        ("age", "null", "type_changed"),
        ("age", "", "type_changed"),
        ("age", "forty", "type_changed"),
        ("age", "1" * 65, "type_changed"),
        ("age", "٤٢", "type_changed"),
        ("age", True, "type_changed"),
        ("age", [39], "type_changed"),
        ("age", {"value": 39}, "type_changed"),
        ("income", None, None),
        ("income", 7, None),
        ("income", -0.5, "out_of_range"),
        ("sex", "female", "unknown_category"),
        ("sex", "\ud800", "unknown_category"),
        ("sex", "", "unknown_category"),
        ("sex", 1, "type_changed"),
        ("size", "2", None),
        ("size", 2, "type_changed"),
        ("size", 2.0, "type_changed"),
        ("size", True, "type_changed"),
        ("merchant", "never seen", None),
        ("merchant", "never seen!", "too_long"),
        ("merchant", "\ud800", "pattern"),
        ("merchant", 5, "type_changed"),
        ("code", "AB-12", None),
        ("code", "AB-12\n", "pattern"),
        ("code", "xAB-12", "pattern"),
        ("code", "AB-123456", "too_long"),
        ("active", False, None),
        ("active", 1, "type_changed"),
        ("active", "true", "type_changed"),
        ("tags", [{"deep": [1]}], None),
        ("tags", None, "null"),
    ],
)
def test_a_value_has_the_code_the_documentation_gives_it(feature: str, value: Any, slug: str | None) -> None:
    found = SCHEMA.check({**RIGHT, feature: value})
    assert [violation.code.slug for violation in found] == ([] if slug is None else [slug])
    assert [violation.feature for violation in found] == ([] if slug is None else [feature])
    account = SCHEMA.compiled.check_chunk([RIGHT, {**RIGHT, feature: value}])
    assert account.code.tolist() == ([] if slug is None else [Code.from_slug(slug)])
    assert set(account.row.tolist()) <= {1}


def test_the_cells_of_the_codes_never_move() -> None:
    assert [(code.value, code.slug) for code in Code] == [
        (0, "missing_feature"),
        (1, "null"),
        (2, "nan"),
        (3, "infinite"),
        (4, "number_as_string"),
        (5, "type_changed"),
        (6, "out_of_range"),
        (7, "unknown_category"),
        (8, "pattern"),
        (9, "too_long"),
        (10, "unexpected_feature"),
        (11, "bad_timestamp"),
        (12, "score_range"),
        (13, "gibberish"),
        (14, "near_miss"),
    ]
    assert max(Code) < CODES


@pytest.mark.parametrize(
    ("record", "messages"),
    [
        (
            {**RIGHT, "age": 100_000},
            ["age: expected an integer between 0 and 120 (years), received 100000"],
        ),
        (
            {"income": None, "sex": "Female", "Age": 39},
            [
                "record: expected only features of the schema, received 1 undeclared feature",
                "age: expected an integer between 0 and 120 (years), received nothing: the feature is absent",
            ],
        ),
        ({**RIGHT, "income": "12"}, ['income: expected a number of at least 0 or null, received "12"']),
        ({**RIGHT, "sex": "F\u202e"}, ['sex: expected one of "Female", "Male", received "F\\u202e"']),
        (
            {**RIGHT, "ssn": "078-05-1120"},
            ["ssn: expected a string matching [0-9]{9}, received a string of 11 characters"],
        ),
        (
            {**RIGHT, **{f"x{i}": i for i in range(5)}},
            ["record: expected only features of the schema, received 5 undeclared features"],
        ),
        ([1, 2], ["record: expected an object of features, received a list of 2 items"]),
        ("078-05-1120", ["record: expected an object of features, received a string of 11 characters"]),
    ],
)
def test_messages_say_what_was_expected_and_what_came(record: Any, messages: list[str]) -> None:
    assert [violation.message for violation in SCHEMA.check(record)] == messages


@pytest.mark.parametrize(
    ("record", "received"),
    [
        ({**RIGHT, "Tags": 39}, '"Tags" (like "tags"?)'),
        ({**RIGHT, **{f"x{i}": i for i in range(5)}}, '"x0", "x1", "x2" and 2 more'),
        ("age=39", '"age=39"'),
    ],
)
def test_undeclared_features_are_named_where_nothing_is_sensitive(record: Any, received: str) -> None:
    assert [violation.received for violation in NOTHING_SENSITIVE.check(record)] == [received]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        pytest.param(10**5000, "an integer of 16610 bits", id="huge"),
        ("x" * 500, '"' + "x" * 98 + "…"),
        ("\ud800\x00", '"\\ud800\\u0000"'),
        ({"a": {}}, "an object of 1 keys"),
        (b"raw", "a value of type bytes"),
    ],
)
def test_received_values_are_bounded_and_escaped(value: Any, text: str) -> None:
    assert received_text(value) == text


@pytest.mark.parametrize("value", ["secret", 42, 42.5, True])
def test_a_masked_value_is_not_told(value: Any) -> None:
    assert str(value).lower() not in received_text(value, masked=True)


def test_unexpected_features_can_be_tolerated() -> None:
    schema = SCHEMA.model_copy(update={"unexpected": "tolerate"})
    assert SCHEMA.check({**RIGHT, "new": 1}) != []
    assert schema.check({**RIGHT, "new": 1}) == []
    assert len(schema.compiled.check_chunk([{**RIGHT, "new": 1}])) == 0


def test_a_serving_process_may_pass_numpy_scalars() -> None:
    record = {
        "age": np.int64(39),
        "income": np.float32(2.5),
        "sex": np.str_("Male"),
        "active": np.bool_(True),
    }
    assert SCHEMA.check(record) == []
    assert [v.code for v in SCHEMA.check({**record, "age": np.float64("nan")})] == [Code.NAN]


def test_a_used_schema_copies_pickles_and_compares_as_before() -> None:
    used = FeatureSchema.parse(SCHEMA.text())
    assert used.check(RIGHT) == []
    assert used == SCHEMA
    for twin in (pickle.loads(pickle.dumps(used)), copy.deepcopy(used), used.model_copy()):
        assert twin == used
        assert twin.check({**RIGHT, "age": None}) == [
            Violation("age", Code.NULL, "an integer between 0 and 120 (years)", "null")
        ]
    assert used.model_dump() == SCHEMA.model_dump()


def test_an_empty_chunk_has_an_empty_account() -> None:
    account = SCHEMA.compiled.check_chunk([])
    assert len(account) == 0
    assert account.rows.tolist() == []


def test_a_tuple_of_records_is_a_chunk() -> None:
    account = SCHEMA.compiled.check_chunk((RIGHT, {}))
    assert account.rows.tolist() == [1]
    assert account.explain((RIGHT, {}), 0).feature == "age"
    assert RECORD not in SCHEMA.features


def test_text_that_is_not_unicode_is_refused_though_nothing_else_is_asked_of_it() -> None:
    schema = FeatureSchema.parse("version: 1\nfeatures: {note: {type: string}}")
    assert not schema.compiled.accepts({"note": "\ud800"})
    assert schema.compiled.accepts({"note": "Zürich\n"})
