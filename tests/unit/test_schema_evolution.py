"""From what broke a schema to the schema that would accept it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.errors import SchemaError
from monitor.core.schema import FeatureSchema
from monitor.core.schema.evolution import Change, accept, compare, propose
from monitor.core.schema.violations import RECORD, Code

SCHEMA = FeatureSchema.parse("""
version: 1
features:
  age: {type: integer, minimum: 18, maximum: 120}
  income: {type: number, minimum: 0}
  sex: {type: category, categories: [Female, Male]}
  plate: {type: string, pattern: '[A-Z]+', max_length: 3}
  member: {type: boolean}
""")

RECORDS: dict[str, Any] = {"age": 39, "income": 1.5, "sex": "Female", "plate": "AB", "member": True}

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=2),
)


@given(feature=st.sampled_from(sorted(SCHEMA.features)), value=values | st.just(...))
def test_the_changed_schema_accepts_what_was_refused(feature: str, value: Any) -> None:
    record = RECORDS | {feature: value}
    if value is ...:
        del record[feature]
    schema = SCHEMA
    for _ in range(4):  # a text that matches no pattern may be too long as well
        broken = schema.check(record)
        if not broken:
            break
        changes = propose(schema, feature, broken[0].code, [broken[0].received])
        assert changes, broken[0].message
        assert all(change.feature == feature and change.before != change.after for change in changes)
        schema = accept(schema, changes)
    assert schema.check(record) == []
    assert FeatureSchema.parse(schema.text()) == schema


def test_a_proposal_says_what_it_changes_and_what_it_gives_up() -> None:
    (widened,) = propose(SCHEMA, "age", Code.OUT_OF_RANGE, ["100000", "130", "not json"])
    assert widened == Change("age", "maximum", 120.0, 100_000.0)
    assert widened.text == "age: maximum 120 → 100000"
    both = propose(SCHEMA, "age", Code.OUT_OF_RANGE, ["-1", "130"])
    assert [(change.field, change.after) for change in both] == [("minimum", -1.0), ("maximum", 130.0)]
    (added,) = propose(SCHEMA, "sex", Code.UNKNOWN_CATEGORY, ['"X"', '"X"', '"Y"'])
    assert added.after == ["Female", "Male", "X", "Y"]
    assert "retrain" in added.caution
    (kind,) = propose(SCHEMA, "age", Code.TYPE, ["39.5"])
    assert (kind.after, kind.caution) == ("number", "")
    (record,) = propose(SCHEMA, RECORD, Code.UNEXPECTED, [])
    assert accept(SCHEMA, [record]).unexpected == "tolerate"


def test_what_no_schema_can_accept_has_no_proposal() -> None:
    assert propose(SCHEMA, RECORD, Code.SCORE_RANGE, ["2.0"]) == ()
    assert propose(SCHEMA, "sex", Code.UNKNOWN_CATEGORY, ["a string of 3 characters"]) == ()
    assert propose(SCHEMA, "gone", Code.NULL, []) == ()


def test_a_change_that_contradicts_the_schema_is_refused() -> None:
    with pytest.raises(SchemaError, match="minimum is greater"):
        accept(SCHEMA, [Change("age", "minimum", 18.0, 500.0)])
    with pytest.raises(SchemaError, match="no feature 'gone'"):
        accept(SCHEMA, [Change("gone", "nullable", False, True)])


def test_two_schemas_are_compared_field_by_field() -> None:
    changed = accept(SCHEMA, propose(SCHEMA, "age", Code.OUT_OF_RANGE, ["130"]))
    features = {name: feature for name, feature in changed.features.items() if name != "plate"}
    new = changed.model_copy(update={"features": features, "unexpected": "tolerate"})
    assert [change.text for change in compare(SCHEMA, new)] == [
        "record: unexpected violate → tolerate",
        "age: maximum 120 → 130",
        "plate: removed",
    ]
    assert compare(SCHEMA, SCHEMA) == ()
    assert json.dumps([change.to_dict() for change in compare(SCHEMA, new)])
