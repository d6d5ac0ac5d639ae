"""The published JSON Schemas are those of the records."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from monitor.core.json_schemas import json_schemas, schema_text

FOLDER = Path(__file__).parents[2] / "schemas"


def test_schemas_are_up_to_date() -> None:
    expected = {name: schema_text(schema) for name, schema in json_schemas().items()}
    found = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert found == expected, "run `make schemas`"


@pytest.mark.parametrize("name", sorted(json_schemas()))
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schemas()[name])


def test_the_documented_records_conform() -> None:
    prediction = {
        "request_id": "r-1", "model": "income", "model_version": "3", "timestamp": "2026-11-23T09:30:00Z",
        "features": {"age": 39, "sex": "Female"}, "score": 0.83, "decision": True,
    }  # fmt: skip
    label = {"request_id": "r-1", "model": "income", "timestamp": "2026-11-24T10:00:00Z", "label": 1}
    jsonschema.validate(prediction, json_schemas()["prediction.json"])
    jsonschema.validate(label, json_schemas()["label.json"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(label | {"request_id": ""}, json_schemas()["label.json"])
