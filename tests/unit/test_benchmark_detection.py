"""The detection report measures what it says, in small."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.detection import configuration, delay, false_alarms, river_streams, scale, stories, worlds
from benchmarks.detection.__main__ import kept, write
from benchmarks.detection.false_alarms import FAMILIES, Task, Told
from benchmarks.detection.other_monitors import Windows, z_tests
from benchmarks.detection.worlds import DAY_S, HOUR_S, WORLDS, World
from monitor.config import Settings
from monitor.core.detectors.violation_rate import Seen, ViolationRate
from monitor.core.evaluation import ReferenceCounts
from monitor.core.evidence.levels import SHARES
from monitor.core.metrics.accuracy import Accuracy
from monitor.core.schema.violations import Code
from monitor.wiring import model_evaluation


def test_the_configuration_is_what_settings_that_say_nothing_come_to() -> None:
    topics = {name: [{"topics": [name]}] for name in ("predictions", "labels")}
    kafka = topics | {"bootstrap_servers": "broker:9092"}
    settings = Settings.model_validate({"kafka": kafka, "models": {"benchmark": {}}})
    default = model_evaluation("benchmark", settings, ReferenceCounts(), watch_partitions=False)
    assert default == configuration.PRODUCT
    assert len(configuration.sha256()) == 64


def test_a_larger_failure_is_told_sooner() -> None:
    slow, fast = (delay.summary(delay.algorithm(error, streams=60)) for error in (0.15, 0.20))
    assert 100 <= fast["median"] < slow["median"] <= 1_500
    assert slow["low"] <= slow["median"] <= slow["high"] <= slow["p95"]
    assert slow["missed"] == 0


def test_the_product_tells_a_failure_after_a_quiet_time_and_nothing_else() -> None:
    found = delay.product([0.25, delay.BASE], streams=10, quiet_days=1)
    assert 300 <= np.median(found[0.25]) <= 1_000
    assert delay.summary(found[delay.BASE]) == {
        "median": None, "low": None, "high": None, "p95": None, "missed": 10, "streams": 10,
    }  # fmt: skip


def drawn(world: World, rate: float = 0.1, together: bool = False) -> list[worlds.Table]:
    rng = np.random.default_rng(1)
    return [
        worlds.draw(world, rng, 20, 1_000, 0.05, rate, start_s, HOUR_S, together=together)
        for start_s in range(0, 10 * DAY_S, HOUR_S)
    ]


@pytest.mark.parametrize("name", WORLDS)
def test_worlds_come_back_to_themselves_and_scatter_as_they_say(name: str) -> None:
    tables = drawn(WORLDS[name])
    rows = sum(t.n1.sum() + t.n2.sum() for t in tables)
    rate = sum(t.s1.sum() + t.s2.sum() for t in tables) / rows
    # Where traffic and rate move together, more of the rows come at the higher rate.
    assert rate == pytest.approx(0.1 * (1 + 0.5 * 0.5 * 0.3 * (WORLDS[name].rate_swing > 0)), abs=0.004)
    assert rows / len(tables) / 20 == pytest.approx(1_000, rel=0.02)
    assert sum(t.n1.sum() for t in tables) / rows == pytest.approx(0.05, abs=0.01)
    spread = np.var([(t.s2 / t.n2)[0] for t in tables]) / (0.09 / 950)
    assert (spread > 1.25) == (name != "constant")


def test_features_of_one_request_share_its_rows_and_retries_are_counted_once_in_them() -> None:
    for table in drawn(WORLDS["retry bursts"], together=True)[:50]:
        assert len(set((table.n1 + table.n2).tolist())) == 1
        assert (table.s1 <= table.n1).all()
        assert (table.s2 <= table.n2).all()


@pytest.mark.parametrize("name", WORLDS)
def test_labelled_rows_are_those_of_a_calibrated_model(name: str) -> None:
    rng = np.random.default_rng(2)
    hours = [worlds.labelled(WORLDS[name], rng, 1_000, hour * HOUR_S, HOUR_S) for hour in range(48)]
    accuracies = [Accuracy()(hour, 0.95).value for hour in hours]
    assert np.mean([value for value in accuracies if value is not None]) == pytest.approx(0.79, abs=0.03)


def task() -> Task:
    return Task(WORLDS["constant"], streams=1, days=0.25, seed=(0, 0), rows_slow=500)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_constant_morning_is_silent(family: str) -> None:
    assert false_alarms.measure((family, task())).alarms == 0


def test_a_rate_beyond_what_is_tolerated_would_be_counted() -> None:
    weight = SHARES["violations"] / (2 * len(Code))
    config = ViolationRate({}, 1, 1 / (weight * configuration.MONTH_S), 60)
    assert config.log_threshold == pytest.approx(np.log(30 * 1_440))  # once in a month of minutes
    assert false_alarms._rates(task(), config, Code.OUT_OF_RANGE, 0.01).alarms == 1


def test_an_alarm_that_ends_and_opens_again_is_counted_again() -> None:
    watch = ViolationRate({}, 1, 1e-6, 60)
    finding = watch.finding(Seen("x", Code.NULL, 100, 50, 0, 60_000, 20.0, holds=True))
    told = Told()
    for held in ([finding], [finding], [replace(finding, holds=False)], [], [finding]):
        told.take(held)
    assert told.alarms == 2


def test_the_interval_is_that_of_a_poisson_count() -> None:
    told = {(family, world): Told(others={"x": 2.0}) for family in FAMILIES for world in WORLDS}
    told["drift", "clusters"].alarms = 7
    report = false_alarms.summary(told, streams=4, days=30, rows_slow=1)
    low, high = report["interval"]
    assert stats.poisson.sf(6, low) == pytest.approx(0.025, abs=1e-3)
    assert stats.poisson.cdf(7, high) == pytest.approx(0.025, abs=1e-3)
    assert (report["promised"], report["observed"], report["streams"]) == (200, 7, 200)
    assert report["by_world"]["clusters"]["drift"] == 7
    assert report["peers_a_stream_and_month"] == {"x": 2.0 * len(FAMILIES)}


def test_fixed_rules_alarm_as_they_are_known_to() -> None:
    rng = np.random.default_rng(3)
    windows = Windows(rng.normal(size=(4, 20_000)))
    for _ in range(100):
        windows.take(rng.normal(size=(4, 500)))
        windows.close()
    assert windows.alarms["PSI 0.2, hourly"] == 0
    assert windows.alarms["KS p<0.05, hourly"] == pytest.approx(20, abs=12)
    tests = [z_tests(table) for table in drawn(WORLDS["constant"])]
    assert np.mean(tests) / 20 == pytest.approx(0.05, abs=0.015)
    windows.take(rng.normal(1.0, size=(4, 500)))
    windows.close()
    assert windows.alarms["PSI 0.2, hourly"] == 4


def test_rivers_detectors_alarm_where_river_says() -> None:
    assert river_streams.published() == {"ADWIN": 1_023, "PageHinkley": 1_006, "KSWIN": 1_016}


def test_a_planted_change_in_real_rows_is_told_after_it() -> None:
    run = river_streams.measure(("ImageSegments", 0))
    assert run["after"] > 2 * run["before"]
    delay_rows, early = run["told"]["ours"]
    assert 0 < delay_rows <= 300
    assert early == 0


def test_scales_are_found_and_clean_windows_are_not() -> None:
    found = scale.trials(300, 1.0, 1, 1)
    assert np.mean([shift is not None for _, shift in found]) > 0.95
    assert np.mean([scale.named(factor, shift) for factor, shift in found]) > 0.8
    assert scale.clean(50, 300, 2) == 0


def test_a_missing_feature_is_one_alert_with_what_follows() -> None:
    told = stories.missing_feature()
    assert told["roots"] == 1
    assert "amount is missing in 4" in told["told"][0]
    assert "drift (score)" in told["following"]


def test_the_guard_speaks_of_overconfident_scores_only() -> None:
    told = stories.overconfident()
    assert (told["roots"], told["on_honest_scores"]) == (1, 0)


def report() -> dict[str, Any]:
    one = {"delay_median": None, "missed": 1, "early": 0}
    stream = {"error_before": 0.1, "error_after": 0.3, "runs": 1, "detectors": {"ours": one}}
    cases = [f"{error} {who}" for error in ("0.15", "0.20") for who in ("algorithm", "product")]
    quiet = {"promised": 200.0, "observed": 0, "interval": [0.0, 3.7], "streams": 200, "days": 30}
    story = {"roots": 1, "consequences": 0, "told": ["a | b"], "following": [], "on_honest_scores": 0}
    shown = {"low": 5.0, "high": 15.0, "p95": 30.0, "missed": 0, "streams": 9, "median": 10.0}
    return {
        "car_loans": {
            "alert_windows": {"roc_auc": [5]}, "other_metrics": {"log_loss": []}, "cbpe_auc_error_max": 1e-5,
            "log_evidence": {"roc_auc": [0.0, 6.0]}, "log_threshold": 5.2,
        },
        "delay_rows": dict.fromkeys(cases, 10.0),
        "delay_details": dict.fromkeys(cases, shown),
        "false_alarms": quiet | {
            "peers_a_stream_and_month": {"<KS>": 100.0}, "worlds": "Stationary.", "rows_slow": 10,
            "simulated": {"drift": "a feature"}, "by_world": {"constant": {"drift": 0}},
        },
        "scale_shift": {
            "found": 1.0, "named": 1.0, "false": 0, "clean_windows": 5, "contaminated_found": 1.0,
            "contaminated_found_all_factors": 0.9,
        },
        "gibberish": {"delay_rows": {"x": {"within_300": 1.0}}, "false": {"windows": 5, "rate": 0.0}},
        "peers": {"synthetic": {"SEA": stream}, "real": {}, "published_check": {"ADWIN": 1_023}},
        "stories": {"overconfident scores, logits × 1/0.7": story},
    }  # fmt: skip


def test_the_report_has_its_pages(tmp_path: Path) -> None:
    write(report(), tmp_path)
    held = json.loads((tmp_path / "detection.json").read_text(encoding="utf-8"))
    assert held["delay_rows"]["0.15 product"] == 10.0
    assert held["peers"]["false_alarms_a_stream_and_month"] == {"<KS>": 100.0}
    page = (tmp_path / "detection.md").read_text(encoding="utf-8")
    assert "| car loans, roc_auc | windows 5 | 5–9 |" in page
    assert "| SEA | 0.100 → 0.300 | ours | – | 1 of 1 | 0 |" in page
    assert "| a / b |" in page
    assert "&lt;KS&gt;" in (tmp_path / "detection_false_alarms.svg").read_text(encoding="utf-8")


def test_a_section_measured_anew_keeps_the_rest_of_the_same_configuration(tmp_path: Path) -> None:
    write(report(), tmp_path)
    rest = kept(tmp_path, {"delay_rows", "scale_shift"})
    assert set(rest) == {"delay_rows", "delay_details", "scale_shift"}
    write(rest, tmp_path)
    assert "River" not in (tmp_path / "detection.md").read_text(encoding="utf-8")
    file = tmp_path / "detection.json"
    file.write_text(file.read_text(encoding="utf-8").replace(configuration.sha256(), "0" * 64))
    assert kept(tmp_path, set()) == {}
    with pytest.raises(SystemExit, match="another configuration"):
        kept(tmp_path, {"delay_rows"})
