"""The car loans through Kafka, one window a day: the published alerts, read from the alerts topic.

The model's settings allow one false alarm in 30 days over the six published metrics, and tolerate no decline.
"""

from __future__ import annotations

import csv
import json
import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from monitor.core.evidence.levels import SHARES
from monitor.core.records import HEARTBEAT_KEY, Alert
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicProducer, read_last
from tests.real.test_car_loans_stream import DATA, WINDOW, rows
from tests.support.live import make_topics, wait_until_read, worker
from tests.support.redis_servers import running, valkey_binary

DAY_S = 86_400
SIX = {"roc_auc", "f1", "precision", "recall", "specificity", "accuracy"}
METRICS = 9
"""Watched of all traffic; they share the allowance alike."""


def _settings(kafka: str, suffix: str, reference: Path) -> dict[str, Any]:
    # log threshold = -ln(allowed a day · share / metrics) = ln(30 · 6)
    allowed_a_day = METRICS / (30 * len(SIX) * SHARES["daily_degradation"])
    return {
        "kafka": {
            "bootstrap_servers": kafka,
            "group_id": f"alerts-{suffix}",
            "predictions": {"topics": [f"alerts-predictions-{suffix}"]},
            "labels": {"topics": [f"alerts-labels-{suffix}"]},
            "alerts": {"topic": f"alerts-alerts-{suffix}"},
            "dead_letters": {"topic": f"alerts-dead-{suffix}"},
        },
        "models": {
            "loans": {
                "task": "binary",
                "labels": {"wait": "6h"},
                "reference": {"file": str(reference)},
                "alerts": {"false_alarms": f"{allowed_a_day:.4f} per day", "min_effect": 1.001},
            }
        },
        "worker": {"rebalance_timeout": "4s"},
    }


def _produce(
    kafka: str,
    settings: Mapping[str, Any],
    loans: list[dict[str, str]],
    outcomes: Mapping[str, int],
    first_s: int,
) -> None:
    """Windows in order; labels two hours later, shuffled within their window. Then some requests of today."""
    predictions, labels = [settings["kafka"][kind]["topics"][0] for kind in ("predictions", "labels")]
    step_s = DAY_S / WINDOW
    with TopicProducer(KafkaConnection(kafka)) as producer:
        for index, loan in enumerate(loans):
            record = {
                "request_id": loan["id"], "model": "loans",
                "timestamp": int((first_s + index * step_s) * 1_000),
                "features": {"car_value": float(loan["car_value"])},
                "score": float(loan["y_pred_proba"]), "decision": int(loan["y_pred"]),
            }  # fmt: skip
            producer.send(predictions, json.dumps(record).encode(), key=loan["id"].encode())
        for at in range(0, len(loans), WINDOW):
            window = list(enumerate(loans[at : at + WINDOW], start=at))
            random.Random(at).shuffle(window)
            for index, loan in window:
                label = {
                    "request_id": loan["id"], "model": "loans", "label": outcomes[loan["id"]],
                    "timestamp": int((first_s + index * step_s + 7_200) * 1_000),
                }  # fmt: skip
                producer.send(labels, json.dumps(label).encode(), key=loan["id"].encode())
        for extra in range(60):
            record = {
                "request_id": f"today-{extra}", "model": "loans", "features": {},
                "timestamp": int((first_s + 10 * DAY_S + 60 + extra) * 1_000), "score": 0.5,
            }  # fmt: skip
            producer.send(predictions, json.dumps(record).encode(), key=f"today-{extra}".encode())


@pytest.mark.real
@pytest.mark.skipif(not (DATA / "car_loan_analysis.csv.gz").exists(), reason=f"no car loan data in {DATA}")
@pytest.mark.timeout(600)
def test_the_published_alerts_come_at_the_close_of_window_five(kafka: str, tmp_path: Path) -> None:
    reference = tmp_path / "reference.csv"
    with reference.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["request_id", "score", "decision", "label", "car_value"])
        for loan in rows("car_loan_reference.csv.gz"):
            writer.writerow([loan[k] for k in ("id", "y_pred_proba", "y_pred", "repaid", "car_value")])
    outcomes = {row["id"]: int(row["repaid"]) for row in rows("car_loan_analysis_target.csv.gz")}
    first_s = int(time.time()) // DAY_S * DAY_S - 10 * DAY_S
    settings = _settings(kafka, f"{tmp_path.name}-{os.getpid()}", reference)
    make_topics(kafka, settings)
    _produce(kafka, settings, rows("car_loan_analysis.csv.gz"), outcomes, first_s)
    inputs = [settings["kafka"][kind]["topics"][0] for kind in ("predictions", "labels")]
    topic = settings["kafka"]["alerts"]["topic"]
    with running("store", valkey_binary()) as server:
        settings["redis"] = {"url": server.url, "shards": 1}
        with worker(settings, tmp_path):
            wait_until_read(kafka, server.url, 1, inputs, tmp_path)
            found: dict[str, list[Alert]] = {}
            deadline = time.monotonic() + 60
            while set(found) < SIX and time.monotonic() < deadline:
                time.sleep(1)
                told = [
                    Alert.model_validate_json(r.value or b"")
                    for r in read_last(KafkaConnection(kafka), topic, 5_000)
                    if not (r.key or b"").startswith(HEARTBEAT_KEY)
                ]
                found = {}
                for alert in told:
                    if alert.kind == "degradation" and alert.subject["slice"] == {}:
                        found.setdefault(alert.subject["metric"], []).append(alert)
    assert set(found) >= SIX, found.keys()
    for metric in SIX:
        windows = {(alert.opened_at.timestamp() - first_s) / DAY_S - 1 for alert in found[metric]}
        assert windows == {5.0}, metric
        assert all(alert.state == "open" for alert in found[metric])
        assert found[metric][0].log_threshold == pytest.approx(5.19, abs=0.01)
