"""Laws of the feature schema, for any schema and any record JSON can carry."""

from __future__ import annotations

import math
import string
from typing import Any

import numpy as np
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.core.errors import SchemaError
from monitor.core.schema import Code, CompiledSchema, Feature, FeatureSchema, FeatureType
from monitor.core.schema.inference import infer
from monitor.core.schema.violations import RECORD_INDEX, TEXT_MAX

TEXT = st.text(max_size=12)
HOSTILE_TEXT = st.one_of(
    TEXT,
    st.text(st.characters(categories=["Cs", "Cc", "Lu", "Nd"]), max_size=6),
    st.sampled_from(
        ["", " 42 ", "4.2e1", "1,5", "nan", "NaN", "null", "Infinity", "a", "b", "aab", "a\n", "١٢"]
    ),
    st.integers(-(10**9), 10**9).map(str),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-200, 200),
    st.integers(),
    st.sampled_from([10**308, 10**309, -(10**400), 2**53 + 1, 2**63, -(2**64)]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 39.0, 39.5, 1e300, 5e-324, math.nan, math.inf, -math.inf]),
    HOSTILE_TEXT,
)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(HOSTILE_TEXT, v, max_size=3), max_leaves=5
)
NAMES = st.sampled_from(["age", "sex", "a b", "Ä", "x.y", "items", "get", "", "no"])
YAML_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
BOUNDS = st.one_of(st.integers(-50, 150).map(float), st.floats(allow_nan=False, allow_infinity=False))


@st.composite
def features(draw: st.DrawFn) -> Feature:
    kind = draw(st.sampled_from(FeatureType))
    declared: dict[str, Any] = {
        "type": kind,
        "required": draw(st.booleans()),
        "nullable": draw(st.booleans()),
        "tolerated": draw(st.floats(1e-6, 1)),
        "sensitive": draw(st.booleans()),
        "note": draw(st.none() | YAML_TEXT),
    }
    if kind in {FeatureType.NUMBER, FeatureType.INTEGER}:
        low, high = sorted((draw(BOUNDS), draw(BOUNDS)))
        declared["minimum"] = draw(st.sampled_from([None, low]))
        declared["maximum"] = draw(st.sampled_from([None, high]))
        declared["unit"] = draw(st.none() | YAML_TEXT)
    if kind in {FeatureType.STRING, FeatureType.CATEGORY}:
        declared["pattern"] = draw(st.sampled_from([None, "[ab]*", "a|b", r"\d+", ".*", "(?i)AA?B"]))
        declared["max_length"] = draw(st.sampled_from([None, None, 0, 3]))
    if kind is FeatureType.CATEGORY:
        declared["closed"] = draw(st.booleans())
        values = st.lists(YAML_TEXT | st.sampled_from(["a", "b", "42", "no"]), max_size=4, unique=True)
        declared["categories"] = draw(values.filter(bool) if declared["closed"] else values)
    return Feature.model_validate(declared)


@st.composite
def schemas(draw: st.DrawFn) -> FeatureSchema:
    names = st.one_of(NAMES.filter(bool), YAML_TEXT.filter(bool))
    return FeatureSchema(
        unexpected=draw(st.sampled_from(["tolerate", "violate"])),
        features=draw(st.dictionaries(names, features(), min_size=1, max_size=5)),
    )


@st.composite
def chunks(draw: st.DrawFn) -> tuple[FeatureSchema, list[Any]]:
    schema = draw(schemas())
    likely = dict.fromkeys(schema.features, VALUES | SCALARS)
    record = st.one_of(
        st.fixed_dictionaries({}, optional=likely),
        st.fixed_dictionaries(likely),
        st.dictionaries(st.sampled_from(list(schema.features)) | HOSTILE_TEXT, VALUES, max_size=6),
        VALUES,
    )
    return schema, draw(st.lists(record, max_size=6))


@given(chunks())
@settings(max_examples=500)
def test_the_account_of_a_chunk_is_that_of_its_records_one_by_one(
    chunk: tuple[FeatureSchema, list[Any]],
) -> None:
    schema, records = chunk
    compiled = schema.compiled
    account = compiled.check_chunk(records)
    plain = [(row, *found) for row, record in enumerate(records) for found in compiled.check_record(record)]
    got = list(zip(account.row.tolist(), account.feature.tolist(), account.code.tolist(), strict=True))
    assert got == plain
    assert got == sorted(got)
    assert len({(row, feature) for row, feature, _ in got}) == len(got)
    assert account.rows.tolist() == sorted({row for row, _, _ in plain})
    assert {column.dtype for column in (account.row, account.feature, account.code)} == {np.dtype(np.int64)}


NEAR = st.one_of(
    st.sampled_from([None, True, math.nan, math.inf, -math.inf, 10**400, 0.5]),
    st.integers(-60, 160),
    st.floats(-60, 160),
    st.text("abAB4", max_size=5),
    VALUES,
)


@st.composite
def near(draw: st.DrawFn) -> tuple[Feature, Any]:
    feature = draw(features())
    listed = st.sampled_from(feature.categories) if feature.categories else NEAR
    return feature, draw(listed | NEAR)


@given(near())
@example((Feature(type=FeatureType.CATEGORY, categories=("a",), max_length=0), "a"))
@settings(max_examples=1_000)
def test_the_compiled_validator_passes_only_what_the_judges_pass(judged: tuple[Feature, Any]) -> None:
    feature, value = judged
    # One feature alone, so that no other hides what the validator lets through.
    compiled = CompiledSchema(FeatureSchema(features={"f": feature}))
    found = compiled.check_record({"f": value})
    if compiled.accepts({"f": value}):
        assert found == []
    assert compiled.check_chunk([{"f": value}]).code.tolist() == [code for _, code in found]


@given(chunks())
def test_every_violation_has_a_bounded_sentence(chunk: tuple[FeatureSchema, list[Any]]) -> None:
    schema, records = chunk
    account = schema.compiled.check_chunk(records)
    for j in range(len(account)):
        violation = account.explain(records, j)
        assert len(violation.received) <= TEXT_MAX
        assert violation.received.isprintable()
        violation.message.encode()
        assert violation.code == account.code[j]


@given(chunks())
def test_check_of_one_record_tells_what_the_chunk_tells(chunk: tuple[FeatureSchema, list[Any]]) -> None:
    schema, records = chunk
    account = schema.compiled.check_chunk(records)
    told = [account.explain(records, j) for j in range(len(account))]
    assert [violation for record in records for violation in schema.check(record)] == told


@given(chunks(), st.integers(0, 6))
def test_chunks_may_be_cut_anywhere(chunk: tuple[FeatureSchema, list[Any]], cut: int) -> None:
    schema, records = chunk
    whole = schema.compiled.check_chunk(records)
    head, tail = schema.compiled.check_chunk(records[:cut]), schema.compiled.check_chunk(records[cut:])
    shift = len(records[:cut])
    assert [*head.row, *(tail.row + shift)] == whole.row.tolist()
    assert [*head.feature, *tail.feature] == whole.feature.tolist()
    assert [*head.code, *tail.code] == whole.code.tolist()


def oracle(feature: Feature, value: Any) -> Code | None:
    """Types and ranges judged anew from the documentation, for features without text constraints."""
    if value is None:
        return None if feature.nullable else Code.NULL
    if feature.type is FeatureType.ANY:
        return None
    if feature.type is FeatureType.BOOLEAN:
        return None if value is True or value is False else Code.TYPE
    if type(value) not in {int, float}:
        if type(value) is str and len(value) <= 64:
            try:
                number = float(value.replace(",", "."))
            except ValueError:
                return Code.TYPE
            plain = set(value.strip()) <= set(string.digits + "+-.,eE")
            return Code.NUMBER_AS_STRING if plain and math.isfinite(number) else Code.TYPE
        return Code.TYPE
    try:
        number = float(value)
    except OverflowError:
        return Code.INFINITE
    if math.isnan(number):
        return Code.NAN
    if math.isinf(number):
        return Code.INFINITE
    if feature.type is FeatureType.INTEGER and number % 1 != 0:
        return Code.TYPE
    outside = (feature.minimum is not None and number < feature.minimum) or (
        feature.maximum is not None and number > feature.maximum
    )
    return Code.OUT_OF_RANGE if outside else None


JUDGED = features().filter(lambda f: f.type not in {FeatureType.STRING, FeatureType.CATEGORY})


@given(JUDGED, VALUES)
@settings(max_examples=500)
def test_numbers_and_booleans_agree_with_an_oracle(feature: Feature, value: Any) -> None:
    compiled = CompiledSchema(FeatureSchema(features={"f": feature}))
    code = oracle(feature, value)
    assert compiled.check_record({"f": value}) == ([] if code is None else [(0, code)])


@given(features(), VALUES)
def test_absence_and_surplus_are_counted_once(feature: Feature, value: Any) -> None:
    schema = FeatureSchema(features={"f": feature})
    missing = [(0, Code.MISSING)] if feature.required else []
    assert schema.compiled.check_record({}) == missing
    found = schema.compiled.check_record({"g": value, "h": value})
    assert found == [(RECORD_INDEX, Code.UNEXPECTED), *missing]


@given(schemas())
@settings(max_examples=200)
def test_a_dumped_schema_reads_back_equal(schema: FeatureSchema) -> None:
    assert FeatureSchema.parse(schema.text()) == schema


@given(st.one_of(VALUES, st.fixed_dictionaries({"features": st.dictionaries(TEXT, VALUES, max_size=3)})))
def test_any_document_is_read_or_refused_with_reasons(document: Any) -> None:
    try:
        text = yaml.safe_dump(document, allow_unicode=True)
    except (yaml.YAMLError, UnicodeEncodeError):
        return
    problems = problems_of(text)
    assert all(problem and "\n" not in problem for problem in problems)


def problems_of(text: str) -> list[str]:
    try:
        FeatureSchema.parse(text)
    except SchemaError as error:
        assert error.problems  # noqa: PT017 - refused or not, both are allowed
        return error.problems
    return []


@given(st.lists(st.dictionaries(NAMES.filter(bool) | HOSTILE_TEXT, VALUES | SCALARS, max_size=4), max_size=8))
def test_any_sample_makes_a_schema_that_reads_back(rows: list[dict[str, Any]]) -> None:
    try:
        schema = infer(rows * 20)
    except SchemaError:
        assert not any(rows) or all(not name or not is_utf8(name) for row in rows for name in row)
        return
    assert FeatureSchema.parse(schema.text()) == schema
    for feature in schema.features.values():
        assert feature.reference is not None
        assert feature.reference.rows == 20 * len(rows)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70), min_size=1))
def test_an_inferred_number_accepts_its_sample(values: list[float]) -> None:
    schema = infer({"f": values * 20})
    assert len(schema.compiled.check_chunk([{"f": value} for value in values])) == 0


def is_utf8(text: str) -> bool:
    return text.encode(errors="replace").decode() == text
