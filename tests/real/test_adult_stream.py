"""UCI Adult through Kafka: every metric of every slice equals scikit-learn on the raw rows.

A model is trained on the first half; the second half is live traffic. Labels come late and shuffled.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicProducer
from tests.support.live import make_topics, wait_until_read, worker
from tests.support.redis_servers import running, valkey_binary

DATA = Path(os.environ.get("MONITOR_TEST_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
SLICES = [
    "sex",
    "race",
    ["sex", "race"],
    {"feature": "age", "bins": [25, 40, 65]},
    "education",
    "native-country",
]
MODELS = {
    "boosting": lambda: HistGradientBoostingClassifier(random_state=0),
    "forest": lambda: RandomForestClassifier(50, random_state=0),
    "logistic": lambda: LogisticRegression(max_iter=300),
}

Frame = Any


def trained(name: str, features: Frame, labels: Frame) -> Any:
    words = [column for column in features if not pd.api.types.is_numeric_dtype(features[column])]
    numbers = [column for column in features if column not in words]
    if name == "logistic":
        columns = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), words), (StandardScaler(), numbers)
        )
    else:
        encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
        columns = make_column_transformer((encoder, words), remainder="passthrough")
    return make_pipeline(columns, MODELS[name]()).fit(features, labels)


def age_bin(age: float) -> str:
    return next(
        text
        for edge, text in ((25, "(-inf, 25)"), (40, "[25, 40)"), (65, "[40, 65)"), (np.inf, "[65, inf)"))
        if age < edge
    )


def rows_of(slice_: dict[str, str], frame: Frame) -> Any:
    """Which rows a slice holds, found without the product."""
    chosen = np.ones(len(frame), bool)
    for feature, value in slice_.items():
        column = frame[feature].map(age_bin) if feature == "age" else frame[feature].fillna("(missing)")
        chosen &= (column == value).to_numpy()
    return chosen


ORACLES: dict[str, tuple[Callable[..., float], float]] = {
    "accuracy": (lambda y, p, d: sk.accuracy_score(y, d), 1e-12),
    "precision": (lambda y, p, d: sk.precision_score(y, d), 1e-12),
    "recall": (lambda y, p, d: sk.recall_score(y, d), 1e-12),
    "f1": (lambda y, p, d: sk.f1_score(y, d), 1e-12),
    "false_positive_rate": (lambda y, p, d: 1 - sk.recall_score(y, d, pos_label=0), 1e-12),
    "specificity": (lambda y, p, d: sk.recall_score(y, d, pos_label=0), 1e-12),
    "positive_rate": (lambda y, p, d: float(np.mean(d)), 1e-12),
    "label_rate": (lambda y, p, d: float(np.mean(y)), 1e-12),
    "mean_score": (lambda y, p, d: float(np.mean(p)), 1e-6),
    "log_loss": (lambda y, p, d: sk.log_loss(y, p, labels=[0, 1]), 1e-6),
    "brier": (lambda y, p, d: sk.brier_score_loss(y, p), 1e-6),
    "roc_auc": (lambda y, p, d: sk.roc_auc_score(y, p), 5e-4),
    "pr_auc": (lambda y, p, d: sk.average_precision_score(y, p), 1e-3),
}


@pytest.mark.real
@pytest.mark.skipif(not (DATA / "adult.csv.gz").exists(), reason=f"no UCI Adult in {DATA}")
@pytest.mark.timeout(900)
def test_every_slice_metric_equals_scikit_learn(kafka: str, tmp_path: Path) -> None:
    with gzip.open(DATA / "adult.csv.gz", "rt") as file:
        frame = pd.read_csv(file)
    labels = (frame.pop("class").str.strip() == ">50K").astype(int).to_numpy()
    half = len(frame) // 2
    live, truth = frame[half:].reset_index(drop=True), labels[half:]
    scores = {name: trained(name, frame[:half], labels[:half]).predict_proba(live)[:, 1] for name in MODELS}
    start_s = int(time.time()) // 3_600 * 3_600 - 2 * 3_600
    suffix = str(os.getpid())
    settings: dict[str, Any] = {
        "kafka": {
            "bootstrap_servers": kafka,
            "group_id": f"adult-{suffix}",
            "predictions": {"topics": [f"adult-predictions-{suffix}"]},
            "labels": {"topics": [f"adult-labels-{suffix}"]},
            "alerts": {"topic": f"adult-alerts-{suffix}"},
            "dead_letters": {"topic": f"adult-dead-{suffix}"},
        },
        # Three models answer the same requests, as a shadow does.
        "models": {name: {"positive_class": ">50K", "slices": SLICES} for name in MODELS},
        "worker": {"rebalance_timeout": "4s"},
    }
    make_topics(kafka, settings)
    topics = [settings["kafka"][kind]["topics"][0] for kind in ("predictions", "labels")]
    with TopicProducer(KafkaConnection(kafka)) as producer:
        for index, features in enumerate(live.to_dict("records")):
            for name in MODELS:
                record = {
                    "request_id": f"a-{index}",
                    "model": name,
                    "timestamp": start_s + index * 3_600 / len(live),
                    "features": features,
                    "score": float(scores[name][index]),
                }
                producer.send(topics[0], json.dumps(record).encode())
        for index in random.Random(2).sample(range(len(live)), len(live)):
            for name in MODELS:
                record = {"request_id": f"a-{index}", "model": name, "timestamp": start_s + 5_000}
                record["label"] = ">50K" if truth[index] else "<=50K"
                producer.send(topics[1], json.dumps(record).encode())
    wrong: list[str] = []
    with running("store", valkey_binary()) as server:
        settings["redis"] = {"url": server.url, "shards": 2}
        with worker(settings, tmp_path) as config:
            wait_until_read(kafka, server.url, 2, topics, tmp_path)
            for name in MODELS:
                command = [
                    sys.executable, "-m", "monitor", "slices", name, "--config", str(config), "--json",
                    "--from", str(start_s), "--to", str(start_s + 3_600),
                ]  # fmt: skip
                answer = subprocess.run(command, capture_output=True, check=True, text=True)
                wrong += differences(json.loads(answer.stdout), live, truth, scores[name])
    assert not wrong, "\n".join(wrong)


def differences(found: list[dict[str, Any]], live: Frame, truth: Any, scores: Any) -> list[str]:
    """Where the product and scikit-learn disagree."""
    decisions = (scores >= 0.5).astype(int)
    assert len(found) > 60
    wrong: list[str] = []
    for report in found:
        rows = rows_of(report["slice"], live)
        y, p, d = truth[rows], scores[rows], decisions[rows]
        assert (report["requests"], report["labelled"]) == (len(y), len(y)), report["slice"]
        for metric, (oracle, tolerance) in ORACLES.items():
            got = report[metric]["value"]
            if metric == "roc_auc" and len(set(y.tolist())) < 2:
                assert got is None
            elif got is None:
                assert report[metric]["reason"], metric
            elif abs(got - oracle(y, p, d)) > tolerance:
                wrong.append(f"{report['slice']} {metric}: {got} is not {oracle(y, p, d)} (n={len(y)})")
    return wrong
