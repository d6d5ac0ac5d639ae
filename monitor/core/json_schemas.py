"""JSON Schemas of the records on topics, made from their models; `make schemas` writes them to `schemas/`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from monitor.core.records import Alert, DeadLetter, Heartbeat, Label, Prediction, Record

RECORDS: Final[dict[str, type[Record]]] = {
    "prediction": Prediction,
    "label": Label,
    "alert": Alert,
    "dead_letter": DeadLetter,
    "heartbeat": Heartbeat,
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """File name → JSON Schema (draft 2020-12) of each record.

    >>> sorted(json_schemas())
    ['alert.json', 'dead_letter.json', 'heartbeat.json', 'label.json', 'prediction.json']
    """
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {f"{name}.json": draft | record.model_json_schema() for name, record in RECORDS.items()}


def schema_text(schema: dict[str, Any]) -> str:
    """The content of a file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for file_name, content in json_schemas().items():
        Path(sys.argv[1], file_name).write_text(schema_text(content), encoding="utf-8")
