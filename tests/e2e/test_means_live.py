"""A credit limit and a score without a threshold fall for women: the real command tells the alerts topic."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from kafka import KafkaConsumer, KafkaProducer

from tests.support.live import CATCH_UP_S, make_topics, wait_until_read, worker

START_MS = 1_700_000_000_000
EVERY_MS = 50
CLEAN, FALLEN = 3_000, 4_000
REFERENCE_ROWS = 6_000


def answers(rng: np.random.Generator, rows: int) -> tuple[Any, Any]:
    """Credit limits, and scores between 0 and 1."""
    return 24_000 * rng.lognormal(0, 0.7, rows), rng.beta(4, 4, rows)


def test_both_are_paged_with_their_ratio(kafka: str, redis_url: str, tmp_path: Path) -> None:
    tag = uuid.uuid4().hex[:8]
    rng = np.random.default_rng(11)
    limits, scores = f"limits-{tag}", f"scores-{tag}"
    sex = ("Female", "Male")
    known = answers(rng, REFERENCE_ROWS)
    for name, key, column in ((limits, "value", known[0]), (scores, "score", known[1])):
        rows = [{"features": {"sex": sex[i % 2]}, key: x} for i, x in enumerate(column.tolist())]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings: dict[str, Any] = {
        "kafka": {
            "bootstrap_servers": kafka,
            "predictions": {"topics": [f"predictions-{tag}"]},
            "labels": {"topics": [f"labels-{tag}"]},
            "alerts": {"topic": f"alerts-{tag}"},
            "dead_letters": {"topic": f"dead-{tag}"},
            "group_id": f"monitor-{tag}",
        },
        "redis": {"url": redis_url, "shards": 1},
        "models": {
            limits: {
                "task": "regression", "unit": 10_000, "protected": ["sex"],
                "reference": {"file": str(tmp_path / f"{limits}.jsonl")},
            },
            scores: {
                "threshold": None, "protected": ["sex"],
                "reference": {"file": str(tmp_path / f"{scores}.jsonl")},
            },
        },
    }  # fmt: skip
    make_topics(kafka, settings, 1)
    producer = KafkaProducer(bootstrap_servers=kafka)
    values, chances = answers(rng, CLEAN + FALLEN)
    for i, (value, score) in enumerate(zip(values.tolist(), chances.tolist(), strict=True)):
        worse = i >= CLEAN and i % 2 == 0
        plain = {"timestamp": START_MS + i * EVERY_MS, "features": {"sex": sex[i % 2]}}
        for answer in (
            {"request_id": f"l{i}", "model": limits, "value": value * (0.05 if worse else 1.0)},
            {"request_id": f"s{i}", "model": scores, "score": score * (0.4 if worse else 1.0)},
        ):
            producer.send(f"predictions-{tag}", json.dumps(plain | answer).encode())
    producer.flush()
    producer.close()
    told: dict[str, dict[str, Any]] = {}
    with worker(settings, tmp_path):
        wait_until_read(kafka, redis_url, 1, [f"predictions-{tag}"], tmp_path)
        consumer = KafkaConsumer(
            f"alerts-{tag}", bootstrap_servers=kafka, auto_offset_reset="earliest", consumer_timeout_ms=1_000
        )
        deadline = time.monotonic() + CATCH_UP_S
        while set(told) != {limits, scores} and time.monotonic() < deadline:
            for record in consumer:
                alert = json.loads(record.value)
                if alert.get("kind") == "gap_change" and alert["state"] == "open":
                    told.setdefault(alert["model"], alert)
        consumer.close()
    assert set(told) == {limits, scores}, (tmp_path / "worker.log").read_text()[-4_000:]
    for name, metric, words, ratio in (
        (limits, "mean_value", "mean predicted value", 0.05),
        (scores, "mean_score", "mean score", 0.4),
    ):
        alert = told[name]
        assert alert["subject"] == {"slice": {"sex": "Female"}, "metric": metric}
        assert alert["summary"].startswith(f"{words} of sex = Female is 0.")
        assert "times that of sex = Male: " in alert["summary"]
        assert 0.8 * ratio < alert["effect"] < 1.2 * ratio
        assert "2023-11-14T22:15:20" < alert["began_at"] < "2023-11-14T22:16:20"  # it fell at 22:15:50
    assert "Traceback" not in (tmp_path / "worker.log").read_text()
