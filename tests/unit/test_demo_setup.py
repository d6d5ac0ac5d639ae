"""The demo's own settings and schema are such as the monitor reads, and its reference keeps to the schema."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monitor.config import Settings
from monitor.core.counters import DEMO_TIERS
from monitor.demo.population import THRESHOLD, draw
from monitor.demo.setup import write_files
from monitor.demo.traffic import LABELS, MODEL, PREDICTIONS, reference
from monitor.edges.files import read_rows


def test_the_files_are_read_back(tmp_path: Path) -> None:
    def ask(rows: object) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.full(len(rows), 0.5)  # type: ignore[arg-type]

    records = reference(ask, 7, 20_000)
    path = write_files(
        tmp_path, records, "127.0.0.1:19092", "redis://127.0.0.1:16379/0", "http://127.0.0.1:1/predict"
    )
    settings = Settings.load(path, {})
    model = settings.models[MODEL]
    assert settings.tiers == DEMO_TIERS
    assert settings.kafka.input_topics == (PREDICTIONS, LABELS)
    assert settings.warnings() == []
    assert model.threshold == THRESHOLD
    assert (model.labels.wait_s, model.labels.ready_at) == (5, 0.99)
    assert model.reference_file is not None
    assert list(read_rows(model.reference_file)) == records
    schema = model.feature_schema
    assert schema is not None
    assert [name for name, feature in schema.features.items() if feature.categories and feature.closed] == [
        "gender",
        "race",
        "device_type",
        "occupation",
    ]
    live = draw(np.random.default_rng(99), 20_000).rows
    assert sum(bool(schema.check(row)) for row in live) <= 4
