"""Car loans, estimated before their labels: what others published of the same rows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from benchmarks.detection.cbpe import COLUMNS, PUBLISHED, car_loans_cbpe

DATA: Final = Path(os.environ.get("MONITOR_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no car loans: MONITOR_TEST_DATA ({DATA}) is absent"),
]


def test_every_window_has_the_published_estimates() -> None:
    found = car_loans_cbpe(DATA)
    assert len(found["windows"]) == len(PUBLISHED)
    assert found["error_max"]["estimated_roc_auc"] <= 2e-4
    assert found["error_max"]["estimated_accuracy"] <= 5e-4
    assert found["error_max"]["estimated_f1"] <= 5e-4
    for window in found["windows"]:
        for name in COLUMNS:
            assert window[name]["estimate"] is True
            assert window[name]["low"] < window[name]["value"] < window[name]["high"]
    areas = [window["estimated_roc_auc"]["high"] for window in found["windows"]]
    assert max(areas[5:]) < min(window["estimated_roc_auc"]["value"] for window in found["windows"][:5])


def test_what_the_labels_showed_lies_in_the_intervals() -> None:
    inside = car_loans_cbpe(DATA)["realised_inside"]
    assert all(inside[name] >= 8 for name in COLUMNS)
