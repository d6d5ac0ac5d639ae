"""`monitor fairness`, over rows that went through the slices of real settings into counters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.config import Settings
from monitor.core.counters import (
    ALL_SLICE,
    CALIBRATION,
    DEFAULT_TIERS,
    SCALARS,
    SCORES,
    CellKey,
    Counts,
    Tier,
)
from monitor.core.fairness.sums import Trials
from monitor.core.fairness.within import within
from monitor.core.slices import SliceAssigner
from monitor.core.slices.assign import token_name
from tests.support.fold import Rows, fold

RUNNER = CliRunner()
HOUR_S = 3_600
AT_S = 500_000 * HOUR_S

SETTINGS = """
kafka:
  bootstrap_servers: 127.0.0.1:1
  predictions: {topics: [predictions]}
redis: {url: redis://127.0.0.1:1/0}
models:
  loans:
    slices: [city, [city, sex]]
    protected: [sex]
    legitimate: [{feature: credit_score, bins: [600, 700]}]
  bare: {}
"""


def start_s(tier: Tier) -> int:
    """Start of the bucket that holds the traffic."""
    return AT_S // tier.bucket_s * tier.bucket_s


class Book:
    """A `CounterReader` of one hour of traffic."""

    def __init__(self, settings: Settings, features: list[dict[str, Any]], rows: Rows) -> None:
        assigner = SliceAssigner(settings.models["loans"].slice_specs)
        tokens = assigner.tokens(features, [None] * len(features))
        self.names: dict[str, int] = {}
        for place, fresh in assigner.unknown(tokens).items():
            for token in fresh:
                key = token_name(assigner.specs[place], token)
                assigner.learn(place, token, self.names.setdefault(key, len(self.names) + 1))
        codes = assigner.codes(tokens)
        self.cells: dict[tuple[str, int], Counts] = {}
        for number in (ALL_SLICE, *self.names.values()):
            inside = (codes == number).any(axis=1) | (number == ALL_SLICE)
            counts = fold(rows.take(np.flatnonzero(inside)))
            assert counts.scores is not None
            assert counts.calibration is not None
            self.cells["scalars", number] = counts.scalars
            self.cells["scores", number] = counts.scores
            self.cells["calibration", number] = counts.calibration

    def read(self, keys: Sequence[CellKey]) -> list[Counts | None]:
        return [
            self.cells.get((key.kind.name, key.slice_id))
            if key.bucket_s == start_s(key.tier) and key.kind in (SCALARS, SCORES, CALIBRATION)
            else None
            for key in keys
        ]

    def registry(self, model: str, family: str) -> dict[str, int]:
        return self.names if (model, family) == ("loans", "slices") else {}

    def buckets(self, model: str, tier: str) -> tuple[int, int] | None:
        found = next(start_s(each) for each in DEFAULT_TIERS if each.name == tier)
        return (found, found)

    def now_ms(self) -> int:
        return (AT_S + 5) * 1000

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def world() -> tuple[list[dict[str, Any]], Rows]:
    """Loans by credit score alone, women with lower scores; labels of men alone are noisy in Ulm."""
    rng = np.random.default_rng(1)
    n = 8_000
    women = rng.random(n) < 0.5
    credit = rng.normal(np.where(women, 630, 680), 50)
    score = 1 / (1 + np.exp(-(credit - 650) / 25))
    labels = rng.random(n) < score
    ulm = rng.random(n) < 0.1
    labels = np.where(ulm & (rng.random(n) < 0.4), ~labels, labels)
    features = [
        {"sex": "Female" if w else "Male", "credit_score": float(c), "city": "Ulm" if u else "Bonn"}
        for w, c, u in zip(women, credit, ulm, strict=True)
    ]
    return features, Rows.of(score, score >= 0.5, labels)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: tuple[list[dict[str, Any]], Rows]) -> str:
    path = tmp_path / "monitor.yaml"
    path.write_text(SETTINGS)
    book = Book(Settings.load(path, env={}), *world)
    monkeypatch.setattr("monitor.wiring.open_reader", lambda settings: book)
    return str(path)


def ask(config: str, *arguments: str, code: int = 0) -> str:
    result = RUNNER.invoke(app, ["fairness", "loans", "-c", config, *arguments], env={"COLUMNS": "160"})
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_every_figure_is_that_of_the_rows(config: str, world: tuple[list[dict[str, Any]], Rows]) -> None:
    (found,) = json.loads(ask(config, "--reference", "sex=Male", "--json"))
    features, rows = world
    women = np.array([row["sex"] == "Female" for row in features])
    credit = np.array([row["credit_score"] for row in features])
    assert found["by"] == ["sex"]
    assert found["groups"]["sex=Female"] == {"sex": "Female"}
    parity = found["criteria"]["demographic_parity"]
    rates = {True: rows.decisions[women].mean(), False: rows.decisions[~women].mean()}
    group = parity["groups"]["sex=Female"]
    assert group["rows"] == women.sum()
    assert group["value"]["value"] == pytest.approx(rates[True])
    assert group["to_reference"]["difference"]["value"] == pytest.approx(rates[True] - rates[False])
    assert group["to_reference"] == group["to_rest"]
    assert parity["worst_pair"]["higher"] == "sex=Male"
    assert parity["four_fifths"] == "no"
    errors = found["criteria"]["error_rate"]["groups"]["sex=Female"]["value"]["value"]
    assert errors == pytest.approx((rows.decisions != rows.labels)[women].mean())
    calibration = found["criteria"]["calibration"]["groups"]["sex=Female"]["value"]["value"]
    assert calibration == pytest.approx((rows.scores - rows.labels)[women].mean(), abs=1e-6)
    (crossed,) = found["within"]
    assert crossed["features"] == ["credit_score"]
    bands = np.digitize(credit, [600, 700])
    strata = [
        {
            name: Trials(int(rows.decisions[mask].sum()), int(mask.sum()))
            for name, mask in (("f", women & (bands == b)), ("m", ~women & (bands == b)))
        }
        for b in range(3)
    ]
    expected = within(strata, "f").to_dict()
    assert crossed["criteria"]["demographic_parity"]["sex=Female"] == expected
    assert abs(expected["difference"]["value"]) < abs(expected["unadjusted"]["difference"]["value"]) / 2
    assert "sex=Male" not in crossed["criteria"]["demographic_parity"]
    assert found["calibration_bins"]["sex=Male"][0]["rows"] > 0


def test_the_table(config: str) -> None:
    text = ask(config, "--metric", "demographic_parity", "--metric", "equalized_odds")
    assert "sex · demographic parity · positive rate" in text
    assert "gap to the rest" in text
    assert "gap within credit_score" in text
    assert "differs" in text
    assert "worst pair: sex=Male over sex=Female" in text
    assert "below four fifths" in text
    assert "error rate" not in text


def test_a_gap_that_may_be_nothing_within_strata_is_marked(config: str) -> None:
    text = ask(config, "--metric", "error_rate")
    assert text.count("not within credit_score") == 2
    assert "error rate · error rate" not in text


def test_a_gap_is_explained(config: str) -> None:
    text = ask(config, "--by", "city", "--metric", "error_rate", "--metric", "calibration")
    assert "city=Ulm: error rate is" in text
    assert "\ncity=Bonn:" not in text
    assert "the model is worse by" in text
    assert "by score:" in text
    (found,) = json.loads(ask(config, "--by", "city", "--json"))
    split = found["explanations"]["city=Ulm"]["label_mix"]
    assert split["mix"]["value"] + split["model"]["value"] == pytest.approx(split["gap"])
    assert found["within"] == []


def test_intersections(config: str) -> None:
    (found,) = json.loads(ask(config, "--by", "sex", "--by", "city", "--json"))
    assert set(found["groups"]) == {
        f"city={city} sex={sex}" for city in ("Bonn", "Ulm") for sex in ("Female", "Male")
    }
    held = "city=Bonn sex=Male"
    (found,) = json.loads(ask(config, "--reference", "sex=Male", "--reference", "city=Bonn", "--json"))
    assert (found["by"], found["reference"]) == (["city", "sex"], held)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--by", "race"], "nothing is counted by race: write `slices: [race]` into the settings of loans"),
        (["--by", "race"], "counted are city, city × sex, credit_score × sex, sex"),
        (["--by", "sex", "--by", "race"], "`slices: [[race, sex]]`"),
        (["--by", "sex", "--within", "city", "--within", "job"], "write `slices: [[sex, city, job]]`"),
        (
            ["--by", "city", "--within", "job"],
            "`protected: [city]` and `legitimate: [job]`, or `slices: [[city, job]]`",
        ),
        (
            ["--reference", "sex=Mal"],
            "no group sex=Mal to hold others against in this window; there are sex=",
        ),
        (["--metric", "parity"], "no criterion 'parity'"),
        (["--metric", "equal_oportunity"], "did you mean equal_opportunity?"),
        (["--reference", "Male"], "expected key=value"),
    ],
)
def test_what_to_type_next_is_said(config: str, arguments: list[str], told: str) -> None:
    assert told in ask(config, *arguments, code=2)


def test_without_protected_features_one_is_named(config: str) -> None:
    result = RUNNER.invoke(app, ["fairness", "bare", "-c", config])
    assert result.exit_code == 2
    assert "--by sex" in result.stderr
    assert "protected: [sex]" in result.stderr
