"""Commands that need a broker and a store."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.config import Settings
from monitor.core.records import Alert, AlertKind, AlertState, Severity
from monitor.core.schema import FeatureSchema
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import read_last
from monitor.wiring import open_reader

RUNNER = CliRunner()

ROWS = "id,age,sex,score,label\n" + "".join(
    f"r-{i},{20 + i % 50},{'Female' if i % 3 else 'Male'},{i % 100 / 100},{i % 2}\n" for i in range(1_000)
)


def invoke(*arguments: str, code: int = 0) -> str:
    result = RUNNER.invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def config(tmp_path: Path, kafka: str, redis_url: str, make_topic: Callable[..., str]) -> str:
    """Settings of a model learnt from a file, whose topics exist."""
    (tmp_path / "income.csv").write_text(ROWS)
    path = tmp_path / "monitor.yaml"
    invoke(
        "init", "--sample", str(tmp_path / "income.csv"), "-c", str(path), "--labels-topic", make_topic("l")
    )
    text = path.read_text().replace("localhost:9092", kafka).replace("redis://localhost:6379/0", redis_url)
    for name in ("predictions", "model-alerts", "monitor-dead-letters"):
        text = text.replace(f"[{name}]", f"[{make_topic(name)}]").replace(
            f"topic: {name}", f"topic: {make_topic(name)}"
        )
    path.write_text(text)
    return str(path)


def test_a_file_is_replayed_and_found_sound(config: str, tmp_path: Path, kafka: str) -> None:
    rows = str(tmp_path / "income.csv")
    sent = json.loads(invoke("replay", rows, "-c", config, "--rate", "max", "--shuffle-labels", "--json"))
    assert sent["sent"] == {"predictions": 1_000, "labels": 1_000}
    settings = Settings.load(config, env={})
    (topic,) = settings.kafka.predictions[0].topics
    (first, *_) = read_last(KafkaConnection(kafka), topic, 1_000)
    assert json.loads(first.value or b"") == {
        "request_id": "r-0", "model": "income", "features": {"age": 20, "sex": "Male"}, "score": 0.0
    }  # fmt: skip
    found = json.loads(invoke("check", "-c", config, "--json"))
    assert found["problems"] == []
    assert [entry["readable"] for entry in found["topics"]] == [1_000, 1_000]
    (model,) = found["models"]
    assert (model["predictions"], model["joined"], model["violations"]) == (1_000, 1_000, [])
    assert "Ready for `monitor run`" in invoke("check", "-c", config)


def test_check_names_what_stands_in_the_way(config: str) -> None:
    text = Path(config).read_text()
    (topic,) = Settings.load(config, env={}).kafka.predictions[0].topics
    Path(config).write_text(text.replace(topic, "no-such-topic"))
    result = RUNNER.invoke(app, ["check", "-c", config, "--json"])
    assert result.exit_code == 1
    assert "no-such-topic" in json.loads(result.stdout)["problems"][0]


def test_topics_are_created_when_told_to(config: str, make_topic: Callable[..., str]) -> None:
    (topic,) = Settings.load(config, env={}).kafka.predictions[0].topics
    Path(config).write_text(Path(config).read_text().replace(topic, f"{topic}-new"))
    assert f"created {topic}-new" in invoke("init", "--create-topics", "-c", config)
    assert "every topic was there" in invoke("init", "--create-topics", "-c", config)


def test_settings_are_learnt_from_a_topic(config: str, tmp_path: Path, kafka: str) -> None:
    invoke("replay", str(tmp_path / "income.csv"), "-c", config, "--rate", "max")
    kafka_settings = Settings.load(config, env={}).kafka
    learnt = str(tmp_path / "learnt" / "monitor.yaml")
    Path(learnt).parent.mkdir()
    told = invoke(
        "init", "--topic", kafka_settings.input_topics[0], "--labels-topic", kafka_settings.input_topics[1],
        "--bootstrap-servers", kafka, "-c", learnt,
    )  # fmt: skip
    assert all(f"read the last 1,000 records of {topic}" in told for topic in kafka_settings.input_topics)
    model = Settings.load(learnt, env={}).models["income"]
    assert model.feature_schema is not None
    assert list(model.feature_schema.features) == ["age", "sex"]


def _raise_violation(config: str, state: AlertState = AlertState.OPEN) -> str:
    """An alert about `sex` as an evaluator would have stored it. Returns its identity."""
    settings = Settings.load(config, env={})
    at = datetime(2026, 11, 24, tzinfo=UTC)
    alert = Alert(
        identity="3f2a9c" * 5, alert_id="a", lease_epoch=1, sequence=1, state=state,
        severity=Severity.PAGE, model="income", kind=AlertKind.VIOLATION_RATE,
        subject={"feature": "sex", "code": "unknown_category"}, summary="sex has an unknown category",
        advice="", began_at=at, opened_at=at, published_at=at, log_evidence=30, log_threshold=20, effect=0.1,
        effect_unit="rate", rows=100,
        schema_change=[{"feature": "sex", "field": "categories", "before": ["Female", "Male"],
                        "after": ["Female", "Male", "X"], "caution": "retrain"}],
    )  # fmt: skip
    with closing(open_reader(settings)) as store:
        epoch = store.lease("income", "test", 5_000)
        stored = {alert.identity: alert.model_dump_json().encode()}
        assert store.commit("income", epoch, store.state("income")[1], b"state", [], stored)
    return alert.identity


def test_an_alert_becomes_an_edited_schema(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no violation of income stands" in invoke("schema", "diff", "income", "-c", config)
    identity = _raise_violation(config)
    shown = invoke("schema", "diff", "-c", config)
    assert "sex: categories" in shown
    assert f"monitor schema accept income {identity[:12]}" in shown
    (proposal,) = json.loads(invoke("schema", "diff", "income", "-c", config, "--json"))
    assert proposal["changes"][0]["after"] == ["Female", "Male", "X"]
    path = Path(config).parent / "schemas" / "income.yaml"
    before = path.read_text()
    assert "would write" in invoke("schema", "accept", "income", "3f2a", "--dry-run", "-c", config)
    assert path.read_text() == before
    accepted = invoke("schema", "accept", "income", "3f2a", "-c", config)
    assert "restart the workers" in accepted
    edited = FeatureSchema.load(path)
    assert edited.features["sex"].categories == ("Female", "Male", "X")
    assert f"version {FeatureSchema.parse(before).fingerprint} → {edited.fingerprint}" in " ".join(
        accepted.split()
    )
    (path.parent / "old.yaml").write_text(before)
    files = ("--old", str(path.parent / "old.yaml"), "--new", str(path))
    assert [c["field"] for c in json.loads(invoke("schema", "diff", *files, "--json"))] == ["categories"]
    result = RUNNER.invoke(app, ["schema", "accept", "income", "77", "-c", config])
    assert result.exit_code == 2
    written = path.read_text()
    other = path.parent / "other.yaml"
    other.write_text(before)
    monkeypatch.setenv("MONITOR__MODELS__INCOME__SCHEMA", str(other))
    invoke("schema", "accept", "income", "3f2a", "-c", config)
    assert FeatureSchema.load(other).fingerprint == edited.fingerprint
    assert path.read_text() == written
    _raise_violation(config, AlertState.RESOLVED)  # other tests share this store


def test_no_alert_is_no_alert(config: str) -> None:
    assert "No open alert" in invoke("alerts", "-c", config)
    assert invoke("alerts", "-c", config, "--json") == ""


def test_several_workers_share_the_partitions_and_stop_together(config: str, tmp_path: Path) -> None:
    invoke("replay", str(tmp_path / "income.csv"), "-c", config, "--rate", "max")
    command = [sys.executable, "-m", "monitor", "run", "-c", config, "--processes", "2"]
    with closing(open_reader(Settings.load(config, env={}))) as reader, subprocess.Popen(command) as parent:
        try:
            give_up_s = time.monotonic() + 120
            while len(reader.own_health(["income"]).workers) < 2:
                assert parent.poll() is None
                assert time.monotonic() < give_up_s
                time.sleep(0.2)
        finally:
            parent.terminate()
        assert parent.wait(timeout=60) == 0
        assert reader.own_health(["income"]).workers == ()
