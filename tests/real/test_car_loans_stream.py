"""The car loans through Kafka, labels shuffled and late: the published figures, window by window."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicProducer
from tests.support.live import make_topics, wait_until_read, worker
from tests.support.redis_servers import running, valkey_binary

DATA = Path(os.environ.get("MONITOR_TEST_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
WINDOW = 5_000

PUBLISHED = {
    # Chunks of 5,000 in file order: ROC AUC, F1, precision, recall, specificity, accuracy.
    0: (0.970962, 0.943344, 0.956660, 0.930394, 0.954847, 0.9422),
    1: (0.970248, 0.940178, 0.957016, 0.923922, 0.959874, 0.9422),
    2: (0.976282, 0.948201, 0.958368, 0.938246, 0.961494, 0.9502),
    3: (0.967721, 0.942142, 0.959866, 0.925060, 0.961875, 0.9436),
    4: (0.969886, 0.940488, 0.953764, 0.927577, 0.954564, 0.9410),
    5: (0.960050, 0.913685, 0.922449, 0.905086, 0.924091, 0.9146),
    6: (0.958530, 0.914954, 0.931473, 0.899010, 0.932525, 0.9156),
    7: (0.959041, 0.913395, 0.925379, 0.901718, 0.927113, 0.9144),
    8: (0.963094, 0.920589, 0.935524, 0.906124, 0.938443, 0.9224),
    9: (0.957556, 0.913498, 0.921304, 0.905823, 0.918886, 0.9122),
}
NAMES = ("f1", "precision", "recall", "specificity", "accuracy")


def rows(name: str) -> list[dict[str, str]]:
    with gzip.open(DATA / name, "rt", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.real
@pytest.mark.skipif(not (DATA / "car_loan_analysis.csv.gz").exists(), reason=f"no car loan data in {DATA}")
@pytest.mark.timeout(600)
def test_published_figures_per_window(kafka: str, tmp_path: Path) -> None:
    loans = rows("car_loan_analysis.csv.gz")
    outcomes = {row["id"]: int(row["repaid"]) for row in rows("car_loan_analysis_target.csv.gz")}
    # One window an hour, the last one ended before now.
    first_s = int(time.time()) // 3_600 * 3_600 - 11 * 3_600
    step_s = 3_600 / WINDOW
    suffix = f"{tmp_path.name}-{os.getpid()}"
    settings: dict[str, Any] = {
        "kafka": {
            "bootstrap_servers": kafka,
            "group_id": f"loans-{suffix}",
            "predictions": {"topics": [f"loan-predictions-{suffix}"]},
            "labels": {"topics": [f"loan-labels-{suffix}"]},
            "alerts": {"topic": f"loan-alerts-{suffix}"},
            "dead_letters": {"topic": f"loan-dead-{suffix}"},
        },
        "models": {"loans": {"task": "binary", "labels": {"wait": "1d"}}},
        "worker": {"rebalance_timeout": "4s"},
    }
    make_topics(kafka, settings)
    predictions, labels = [settings["kafka"][kind]["topics"][0] for kind in ("predictions", "labels")]
    late = list(enumerate(loans))
    random.Random(1).shuffle(late)
    with TopicProducer(KafkaConnection(kafka)) as producer:
        for index, loan in enumerate(loans):
            record = {
                "request_id": loan["id"],
                "model": "loans",
                "timestamp": int((first_s + index * step_s) * 1_000),
                "features": {"car_value": float(loan["car_value"])},
                "score": float(loan["y_pred_proba"]),
                "decision": int(loan["y_pred"]),
            }
            producer.send(predictions, json.dumps(record).encode(), key=loan["id"].encode())
        for index, loan in late:
            known_ms = int((first_s + index * step_s + 7_200) * 1_000)
            label = {
                "request_id": loan["id"],
                "model": "loans",
                "timestamp": known_ms,
                "label": outcomes[loan["id"]],
            }
            producer.send(labels, json.dumps(label).encode(), key=loan["id"].encode())
    with running("store", valkey_binary()) as server:
        settings["redis"] = {"url": server.url, "shards": 1}
        with worker(settings, tmp_path) as config:
            wait_until_read(kafka, server.url, 1, [predictions, labels], tmp_path)
            for window, (auc, *others) in PUBLISHED.items():
                start_s = first_s + window * 3_600
                command = [
                    sys.executable, "-m", "monitor", "slices", "loans", "--config", str(config), "--json",
                    "--from", str(start_s), "--to", str(start_s + 3_600),
                ]  # fmt: skip
                answer = subprocess.run(command, capture_output=True, check=True, text=True)
                everything = json.loads(answer.stdout)[0]
                assert everything["slice"] == {}
                assert everything["requests"] == everything["labelled"] == WINDOW
                for name, published in zip(NAMES, others, strict=True):
                    assert everything[name]["value"] == pytest.approx(published, abs=1e-6), (window, name)
                    assert everything[name]["low"] < everything[name]["value"] < everything[name]["high"]
                found = everything["roc_auc"]
                assert abs(found["value"] - auc) <= min(5e-5, found["error_bound"]) + 5e-7, window
