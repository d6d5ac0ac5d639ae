"""The files of the demo: what a user of the monitor would write, or have `monitor init` write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from monitor.core.schema.inference import infer
from monitor.core.schema.text import write_yaml
from monitor.demo.population import NEW_USER_DAYS, THRESHOLD
from monitor.demo.traffic import LABELS, MODEL, PREDICTIONS

REFERENCE_ROWS: Final = 20_000
MERCHANTS_TOP: Final = 20


def settings_document(bootstrap_servers: str, redis_url: str, endpoint: str) -> dict[str, Any]:
    """The content of the demo's monitor.yaml, with the addresses of running services."""
    return {
        "kafka": {
            "bootstrap_servers": bootstrap_servers,
            "predictions": {"topics": [PREDICTIONS]},
            "labels": {"topics": [LABELS]},
        },
        "redis": {"url": redis_url},
        "tiers": "demo",
        # A first join of the bundled broker's group waits half of this.
        "worker": {"rebalance_timeout": "3s"},
        "models": {
            MODEL: {
                "task": "binary",
                "threshold": THRESHOLD,
                "schema": "schema.yaml",
                "reference": {"file": "reference.jsonl"},
                "slices": [
                    "gender",
                    "race",
                    "device_type",
                    ["gender", "race"],
                    {"name": "new users", "where": {"account_age_days": {"lt": NEW_USER_DAYS}}},
                    {"feature": "age", "bins": [25, 40, 65]},
                    {"feature": "merchant", "top": MERCHANTS_TOP},
                    "occupation",
                ],
                "protected": ["gender", "race"],
                "labels": {"wait": "5s", "ready_at": 0.99},
                "alerts": {"false_alarms": "1 per month", "min_effect": 1.25},
                "probes": {
                    "endpoint": endpoint,
                    "template": {"rows": "$rows"},
                    "sample": "10%",
                    "budget_rows_per_s": 200,
                    "probes": ["replay", "counterfactual", "sharp_boundary", "interaction"],
                },
            }
        },
    }


def write_files(
    directory: Path,
    reference: Sequence[dict[str, Any]],
    bootstrap_servers: str,
    redis_url: str,
    endpoint: str,
) -> Path:
    """Write reference.jsonl, the schema inferred from it, and monitor.yaml.

    Args:
        directory: where; it exists.
        reference: scored and labelled records in plain form.
        bootstrap_servers: of the running broker.
        redis_url: of the running store.
        endpoint: of the running model.

    Returns:
        Path of monitor.yaml.
    """
    with (directory / "reference.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(record) + "\n" for record in reference)
    infer([record["features"] for record in reference]).dump(directory / "schema.yaml")
    settings = directory / "monitor.yaml"
    document = settings_document(bootstrap_servers, redis_url, endpoint)
    settings.write_text(write_yaml(document), encoding="utf-8")
    return settings
