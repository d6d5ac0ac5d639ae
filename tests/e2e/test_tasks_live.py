"""A classifier of several classes and a model of prices, through the real command, broker and store."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import KafkaProducer
from sklearn import metrics as sk

from tests.support.live import make_topics, wait_until_read, worker

START_MS = 1_700_000_000_000
CLASSES = ("cat", "dog", "eel")
ROWS = 2_000


def test_both_are_counted_and_read(kafka: str, redis_url: str, tmp_path: Path) -> None:
    tag = uuid.uuid4().hex[:8]
    rng = np.random.default_rng(7)
    truth = rng.choice(3, ROWS, p=[0.5, 0.3, 0.2])
    raw = rng.gamma(1.0, size=(ROWS, 3)) + np.eye(3)[truth]
    p = raw / raw.sum(axis=1, keepdims=True)
    price = rng.lognormal(10, 0.4, ROWS)
    value = price * rng.normal(1, 0.1, ROWS)
    low, high = 0.9 * value, (1.0 + 0.1 * (np.arange(ROWS) % 2)) * value
    zoo, houses = f"zoo-{tag}", f"houses-{tag}"
    settings: dict[str, Any] = {
        "kafka": {
            "bootstrap_servers": kafka,
            "predictions": {
                "topics": [f"predictions-{tag}"],
                "mapping": {
                    "interval_low": "$.quantiles.p10",
                    "interval_high": "$.quantiles['p90']",
                },
            },
            "labels": {"topics": [f"labels-{tag}"]},
            "alerts": {"topic": f"alerts-{tag}"},
            "dead_letters": {"topic": f"dead-{tag}"},
            "group_id": f"monitor-{tag}",
        },
        "redis": {"url": redis_url, "shards": 1},
        "models": {
            zoo: {"task": "multiclass", "classes": list(CLASSES), "slices": ["side"]},
            houses: {"task": "regression", "unit": 10_000, "slices": ["side"]},
        },
    }
    make_topics(kafka, settings, 2)
    producer = KafkaProducer(bootstrap_servers=kafka)
    for i in range(ROWS):
        plain = {"timestamp": START_MS + i * 20, "features": {"side": "left" if i % 2 else "right"}}
        answers = [
            {
                "request_id": f"z{i}",
                "model": zoo,
                "probabilities": dict(zip(CLASSES, p[i].tolist(), strict=True)),
            },
            {
                "request_id": f"h{i}",
                "model": houses,
                "value": value[i],
                "quantiles": {"p10": low[i], "p50": value[i], "p90": high[i]},
            },
        ]
        labels = [
            {"request_id": f"z{i}", "model": zoo, "label": CLASSES[truth[i]]},
            {"request_id": f"h{i}", "model": houses, "label": price[i]},
        ]
        for answer, label in zip(answers, labels, strict=True):
            producer.send(f"predictions-{tag}", json.dumps(plain | answer).encode(), partition=i % 2)
            late = label | {"timestamp": START_MS + i * 20 + 5_000}
            producer.send(f"labels-{tag}", json.dumps(late).encode(), partition=i % 2)
    producer.flush()
    producer.close()
    with worker(settings, tmp_path) as config:
        wait_until_read(kafka, redis_url, 1, [f"predictions-{tag}", f"labels-{tag}"], tmp_path)
        window = ["--from", "2023-11-14T22:00:00Z", "--to", "2023-11-14T23:00:00Z", "--json"]
        found = {}
        for model in (zoo, houses):
            command = [sys.executable, "-m", "monitor", "slices", model, "--config", str(config), *window]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[model] = {json.dumps(report["slice"]): report for report in json.loads(done.stdout)}
        command = [sys.executable, "-m", "monitor", "slices", zoo, "--config", str(config), *window[:-1]]
        table = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    animals, prices = found[zoo]["{}"], found[houses]["{}"]
    said = p.argmax(axis=1)
    assert animals["labelled"] == prices["labelled"] == ROWS
    assert animals["accuracy"]["value"] == pytest.approx(sk.accuracy_score(truth, said))
    assert animals["macro_f1"]["value"] == pytest.approx(sk.f1_score(truth, said, average="macro"))
    assert animals["log_loss"]["value"] == pytest.approx(sk.log_loss(truth, p), abs=1e-6)
    matrix = sk.confusion_matrix(truth, said)
    assert animals["confusion"]["cat"]["dog"] == matrix[0, 1]
    assert prices["mae"]["value"] == pytest.approx(sk.mean_absolute_error(price, value))
    assert prices["r2"]["value"] == pytest.approx(sk.r2_score(price, value))
    left = np.arange(ROWS) % 2 == 1
    mine = found[houses]['{"side": "left"}']
    assert mine["rmse"]["value"] == pytest.approx(sk.mean_squared_error(price[left], value[left]) ** 0.5)
    covered = (price >= low) & (price <= high)
    for side, of in (("left", left), ("right", ~left)):
        report = found[houses][json.dumps({"side": side})]["interval_coverage"]
        assert report["value"] == pytest.approx(covered[of].mean())
        assert report["low"] < report["value"] < report["high"]
    assert covered[left].mean() > covered[~left].mean() + 0.2
    assert "macro" in table
    assert "Traceback" not in (tmp_path / "worker.log").read_text()
