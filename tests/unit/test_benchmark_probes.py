"""The benchmark of the probes measures what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.probes import against, exhaustive, page, planted, report, worlds


@pytest.fixture(scope="module")
def world() -> worlds.World:
    return worlds.synthetic()


def test_exhaustive_search_finds_the_true_minimum_of_a_line(world: worlds.World) -> None:
    weights = np.zeros(20)
    weights[3] = 1.0

    def predict(rows: worlds.Floats) -> worlds.Floats:
        score: worlds.Floats = 1 / (1 + np.exp(-(rows @ weights - 0.5)))
        return score

    axis = world.space.axes["x3"]
    for at in range(10):
        subject = worlds.subject_of(world, predict, at)
        found = exhaustive.single(world, predict, subject)
        assert found.possible
        assert found.distance == pytest.approx(abs(0.5 - subject.features["x3"]) / axis.unit, rel=1e-6)


def test_exhaustive_pairs_are_those_that_flip_together(world: worlds.World) -> None:
    def both(rows: worlds.Floats) -> worlds.Floats:
        score: worlds.Floats = np.where((rows[:, 1] > 1.0) & (rows[:, 3] > 1.0), 0.55, 0.1)
        return score

    rows = [at for at in range(30) if (world.rows[at, [1, 3]] <= 1.0).all()]
    assert len(rows) > 3
    for at in rows[:3]:
        subject = worlds.subject_of(world, both, at)
        assert not exhaustive.single(world, both, subject).possible
        assert exhaustive.pair(world, both, subject)
        assert not exhaustive.pair(world, lambda rows: np.full(len(rows), 0.1), subject)


def test_the_probe_is_held_against_it(world: worlds.World) -> None:
    found = against.measure(world, worlds.fit("logistic_regression", world), 12, 4)
    assert found["found"] == found["possible"] > 0
    assert found["pairs_found"] == found["pairs_possible"]
    assert found["queries_max"] <= 140
    assert min(found["ratios"]) >= 0.999
    whole = against.together({"one": found, "other": found})
    assert whole["possible"] == 2 * found["possible"]
    assert whole["distance_ratio_p50"] == pytest.approx(np.median(found["ratios"]), abs=1e-4)


@pytest.mark.real
def test_a_direct_effect_of_sex_is_found_and_a_blind_model_silent() -> None:
    adult = worlds.adult()
    if adult is None:
        pytest.skip("the data are not here: MONITOR_TEST_DATA")
    blind = planted._blind("logistic_regression", adult)
    space = planted.space_of(adult)
    silent = planted._swap(adult, space, blind, 300)
    told = planted._swap(adult, space, planted._direct(blind, adult), 300)
    assert silent["flips"] == 0
    assert silent["alarm_after_trials"] is None
    assert told["alarm_after_trials"] is not None
    assert told["score_change_mean"] > 0.03


def test_each_measurement_keeps_the_keys_of_the_others(tmp_path: Path) -> None:
    report.update({"types": {"sklearn": 1}}, tmp_path)
    report.update({"models": {}, "peers": {}}, tmp_path)
    held = json.loads((tmp_path / "probes.json").read_text())
    assert held == {"models": {}, "peers": {}, "types": {"sklearn": 1}}
    assert page.page(held, page.pictures(held)).startswith("# Probes")
