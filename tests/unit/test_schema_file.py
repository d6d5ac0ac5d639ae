"""Schema files: read strictly, every mistake at once, written for people."""

from __future__ import annotations

import math
from pathlib import Path

import jsonschema
import pytest
import yaml

from monitor.core.errors import SchemaError
from monitor.core.schema import Code, Feature, FeatureSchema, FeatureType, Reference
from monitor.core.schema.feature import FEATURES_MAX, TextReference
from monitor.core.schema.text import read_yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "credit-schema.yaml"


def problems(text: str) -> list[str]:
    with pytest.raises(SchemaError) as caught:
        FeatureSchema.parse(text)
    return caught.value.problems


def test_every_mistake_of_a_file_is_reported_at_once() -> None:
    assert problems(
        """
version: 2
unexpcted: tolerate
features:
  age: {type: nmber, minimun: 3, maximum: no}
  b: {type: number, pattern: "(", required: 1, minimum: 4, maximum: 1}
  c: {type: category, categories: [no, 1, "1"]}
  1: {type: number}
  d: {type: string, pattern: "(?=a)", reference: {rowz: 1}}
  e:
  f: {type: number, reference: {rows: 3, edges: [2, 1], counts: [0, 1]}}
  g: {type: category}
"""
    ) == [
        "version: should be 1, not 2",
        "features.age.type: should be 'number', 'integer', 'string', 'category', 'boolean' or 'any', "
        "not 'nmber'; did you mean number?",
        "features.age.maximum: must be a number, not true or false",
        "features.age.minimun: unknown key; did you mean minimum?",
        "features.b.required: should be a valid boolean, not 1",
        "features.c.categories.0: categories are strings: write False in quotes",
        "features.c.categories.1: categories are strings: write 1 in quotes",
        "features.1: the name is no string of 1 to 200 characters; write it in quotes",
        "features.d.reference.rows: is missing",
        "features.d.reference.rowz: unknown key; did you mean rows?",
        "features.e: must be a mapping of keys to values",
        "features.f.reference: edges must increase",
        "features.f.reference: 2 edges make 3 counts",
        "features.f.reference: counts add up to 1, not to rows (3)",
        "features.g: a closed category lists its categories; say closed: false if any value is allowed",
        "unexpcted: unknown key; did you mean unexpected?",
        "features.b: pattern does not apply to type number",
        "features.b: minimum is greater than maximum",
        "features.b: pattern cannot be used: unclosed group",
        "features.d: pattern cannot be used: look-around, including look-ahead and look-behind, "
        "is not supported",
    ]


def test_a_part_may_be_repeated_by_its_name() -> None:
    schema = FeatureSchema.parse(
        "version: 1\nfeatures:\n  a: &amount {type: number, minimum: 0}\n  b: *amount\n"
        "  c: {<<: *amount, maximum: 9}\n"
    )
    assert schema.features["b"] == schema.features["a"]
    assert (schema.features["c"].minimum, schema.features["c"].maximum) == (0, 9)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("features: [", "not YAML"),
        ("version: 1\nfeatures: &a {b: *a}", "line 2: *a is part of what it repeats"),
        ("features: {a: *b}", "not YAML"),
        pytest.param(
            "a: &a " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 60 + "*a" + "]" * 60,
            "nested deeper than 100",
            id="deep by an alias",
        ),
        pytest.param("features: " + "[" * 200_000, "nested deeper than 100 levels", id="deep"),
        ("features:\n  a: {type: number}\n  a: {type: string}", "line 3: a is given twice"),
        ("", "the file: must be a mapping"),
        ("[]", "the file: must be a mapping"),
        ("features: {}", "features: "),
        ("\x00", "not YAML"),
        ("features: {a: {type: boolean, closed: false}}", "closed does not apply to type boolean"),
        ("features: {a: {type: number, tolerated: 0}}", "features.a.tolerated: should be greater than 0"),
        ("features: {a: {type: number, maximum: .inf}}", "features.a.maximum: should be a finite number"),
        ("features: {a: {type: category, categories: [x, x]}}", 'categories name "x" twice'),
        ('features: {a: {type: string, pattern: "a)|(b"}}', "pattern cannot be used: unopened group"),
        ('features: {a: {type: string, pattern: "(a)\\\\1"}}', "backreferences are not supported"),
        ('features: {a: {type: string, pattern: "a{999}{999}{99}"}}', "exceeds size limit"),
        (
            "features: {a: {type: number, reference: {rows: 1, values: {x: 1}}}}",
            "reference.values does not apply",
        ),
        (
            "features: {a: {type: string, reference: {rows: 1, edges: [1], counts: [1, 0]}}}",
            "reference.counts",
        ),
        (
            "features: {a: {type: number, reference: {rows: 0, quantiles: [1]}}}",
            "quantiles must be 25 numbers",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(text: str, problem: str) -> None:
    assert any(problem in line for line in problems(text)), problems(text)


def test_a_schema_has_at_most_a_thousand_features() -> None:
    many = {f"f{i}": {"type": "number"} for i in range(FEATURES_MAX + 1)}
    assert len(problems(yaml.safe_dump({"features": many}))) == 1


def test_files_are_written_and_read(tmp_path: Path) -> None:
    schema = FeatureSchema.load(EXAMPLE)
    schema.dump(tmp_path / "copy.yaml")
    assert FeatureSchema.load(tmp_path / "copy.yaml") == schema


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_a_schema_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "schema.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SchemaError, match=r"schema\.yaml: 1 mistake\n  - cannot be read"):
        FeatureSchema.load(path)


def test_what_is_written_is_short_and_stays_text() -> None:
    schema = FeatureSchema(
        features={
            "no": Feature(type="category", categories=("no", "1", "2020-01-01", "")),
            "x": Feature(
                type="number",
                minimum=0,
                maximum=1e-7,
                reference=Reference(rows=3, missing=1, edges=(0.5,), counts=(1, 1)),
            ),
        }
    )
    body = schema.text().split("features:\n")[1]
    assert body == (
        "  'no':\n"
        "    type: category\n"
        "    categories: ['no', '1', '2020-01-01', '']\n"
        "    closed: true\n"
        "  x:\n"
        "    type: number\n"
        "    minimum: 0\n"
        "    maximum: 1.0e-07\n"
        "    reference:\n"
        "      rows: 3\n"
        "      missing: 1\n"
        "      edges: [0.5]\n"
        "      counts: [1, 1]\n"
    )
    assert FeatureSchema.parse(schema.text()) == schema


def test_the_example_follows_the_published_json_schema() -> None:
    published = FeatureSchema.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(published)
    document = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    jsonschema.validate(document, published)
    for model in (FeatureSchema, Feature, Reference, TextReference):
        assert all(field.description for field in model.model_fields.values()), model


def test_the_documentation_names_every_field_and_code() -> None:
    text = (EXAMPLE.parents[1] / "docs" / "schema.md").read_text(encoding="utf-8")
    models = (FeatureSchema, Feature, Reference, TextReference)
    fields = [name for model in models for name in model.model_fields]
    for name in [*fields, *(code.slug for code in Code), *FeatureType]:
        assert f"`{name}`" in text, name


def test_numbers_are_in_base_10() -> None:
    text = "[12:30, 1:20.5, !!int 1:20, -1, 1_000, 0x1f, 1.5, .inf]"
    assert read_yaml(text) == (["12:30", "1:20.5", "1:20", -1, 1000, 31, 1.5, math.inf], [])
