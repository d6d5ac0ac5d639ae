"""The detection report measures what it says, in small."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection import configuration, delay, false_alarms, scale
from benchmarks.detection.__main__ import write


def test_a_larger_failure_is_told_sooner() -> None:
    slow, fast = delay.algorithm(0.15, streams=60), delay.algorithm(0.20, streams=60)
    assert 100 <= fast < slow <= 1_500


def test_the_product_tells_after_a_short_quiet_time() -> None:
    assert 300 <= delay.product(0.25, streams=10, quiet_days=1) <= 1_000


@pytest.mark.parametrize("world", false_alarms.WORLDS)
def test_the_worlds_are_stationary_at_a_tenth(world: str) -> None:
    hours = list(false_alarms.hours(world, 20, 10, np.random.default_rng(1)))
    rate = sum((h.s1 + h.s2).sum() for h in hours) / sum((h.n1 + h.n2).sum() for h in hours)
    assert rate == pytest.approx(0.10, abs=0.01)
    spread = np.var([(h.s2 / h.n2)[0] for h in hours]) / (0.09 / 950)
    assert (spread > 1.5) == (world not in {"constant", "retry bursts"})


def test_scales_are_found_and_clean_windows_are_not() -> None:
    found = scale.trials(300, 1.0, 1, 1)
    assert np.mean([shift is not None for _, shift in found]) > 0.95
    assert np.mean([scale.named(factor, shift) for factor, shift in found]) > 0.8
    assert scale.clean(50, 300, 2) == 0


WHO = ("algorithm", "product")


def test_the_report_has_its_pages(tmp_path: Path) -> None:
    one = {"delay_median": 100.0, "missed": 0, "early": 0, "runs": 1}
    report = {
        "car_loans": {
            "alert_windows": {"roc_auc": [5]}, "other_metrics": {"log_loss": []}, "cbpe_auc_error_max": 1e-5,
            "log_evidence": {"roc_auc": [0.0, 6.0]}, "log_threshold": 5.2,
        },
        "delay_rows": {f"{error} {who}": 10.0 for error in ("0.15", "0.20") for who in WHO},
        "false_alarms": {
            "promised": 2.0, "observed": 0, "interval": [0.0, 3.7], "streams": 2, "days": 30,
            "peers_a_stream_and_month": {"<KS>": 100.0},
        },
        "scale_shift": {
            "found": 1.0, "named": 1.0, "false": 0, "clean_windows": 5, "contaminated_found": 1.0,
            "contaminated_found_all_factors": 0.9,
        },
        "gibberish": {"delay_rows": {"x": {"within_300": 1.0}}, "false": {"windows": 5, "rate": 0.0}},
        "peers": {"synthetic": {"SEA": {"ours": one}}},
        "configuration_sha256": configuration.sha256(),
    }  # fmt: skip
    write(report, tmp_path)
    assert json.loads((tmp_path / "detection.json").read_text())["delay_rows"]["0.15 product"] == 10.0
    assert "| car loans, roc_auc | windows 5 | 5–9 |" in (tmp_path / "detection.md").read_text()
    assert "&lt;KS&gt;" in (tmp_path / "detection_false_alarms.svg").read_text()
    assert len(configuration.sha256()) == 64
