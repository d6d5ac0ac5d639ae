"""Hard traffic with a known answer: repeats, early, late, corrected and shared labels, and an oracle.

The oracle knows nothing of the product but its record forms: it recomputes every counter from the raw
log in plain Python.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import add

FIXED_ONE = 1 << 24
EPS = 2.220446049250313e-16

Cell = tuple[str, str, int, str]
"""Model, slice key, bucket start (epoch s), counter."""


@dataclass(frozen=True)
class Message:
    """A record to be produced, in the order of the list it is in."""

    topic: str
    partition: int
    value: bytes


def make_log(
    seed: int,
    n: int,
    *,
    start_s: int,
    span_s: int,
    models: Sequence[str] = ("credit", "shadow"),
    partitions: int = 4,
    repeated: float = 0.05,
    early: float = 0.05,
    corrected: float = 0.02,
    labelled: float = 0.95,
) -> list[Message]:
    """Predictions of several models under the same request ids, with their labels.

    Event times lie in `[start_s, start_s + span_s)`; every choice is the seed's.
    """
    rng = random.Random(seed)
    timeline: list[tuple[float, Message]] = []
    for i in range(n):
        at = i / n * span_s
        request_id = f"r-{seed}-{i}"
        time_ms = int((start_s + at) * 1000) - rng.choice([0, 0, 0, rng.randrange(5_000)])
        time_ms = max(time_ms, start_s * 1000)
        features = {
            "sex": rng.choice(["Female", "Male"]),
            "age": rng.choice([rng.randrange(18, 90), rng.uniform(18, 90)]),
            "device": rng.choice(["iPhone", "Android", "Android"]),
        }
        for model in models:
            score = round(rng.betavariate(0.7, 0.9), 6)
            record = {
                "request_id": request_id,
                "model": model,
                "model_version": rng.choice(["1", "1", "2"]),
                "timestamp": rng.choice(
                    [time_ms, time_ms, datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()]
                ),
                "features": features,
                "score": score,
            }
            value = json.dumps(record).encode()
            copies = 2 if rng.random() < repeated else 1
            for copy in range(copies):
                sent = at + copy * rng.uniform(0, 20)
                timeline.append((sent, Message("predictions", rng.randrange(partitions), value)))
            if rng.random() < labelled:
                truth = int(rng.random() < score)
                delay = rng.uniform(-10, -0.1) if rng.random() < early else rng.expovariate(1 / 5)
                timeline += _labels(rng, model, request_id, truth, at, delay, start_s, corrected, partitions)
    timeline.sort(key=lambda pair: pair[0])
    return [message for _, message in timeline]


def _labels(
    rng: random.Random,
    model: str,
    request_id: str,
    truth: int,
    at: float,
    delay: float,
    start_s: int,
    corrected: float,
    partitions: int,
) -> list[tuple[float, Message]]:
    def message(value: int, sent: float, known: float) -> tuple[float, Message]:
        record = {
            "request_id": request_id,
            "model": model,
            "timestamp": int((start_s + known) * 1000),
            "label": value,
        }
        return sent, Message("labels", rng.randrange(partitions), json.dumps(record).encode())

    first = max(at + delay, 0.0)
    found = [message(truth, first, round(first, 3))]
    if rng.random() < 0.05:
        found.append(message(truth, first + rng.uniform(0, 20), round(first, 3)))
    if rng.random() < corrected:
        later = first + rng.uniform(0.01, 15)
        # Sometimes the correction overtakes what it corrects.
        found.append(message(1 - truth, rng.choice([later, max(first - 1, 0)]), round(later, 3)))
    return found


def oracle(log: Sequence[tuple[str, int, int, bytes]], bucket_s: int) -> Counter[Cell]:
    """Every counter, recomputed from (topic, partition, offset, value) records.

    Where two different labels of one id carry the same time the partition and the offset decide, as the
    product documents; the topic is one here.
    """
    predictions: dict[tuple[str, str], dict[str, object]] = {}
    labels: dict[tuple[str, str], tuple[tuple[int, int, int], int]] = {}
    for topic, partition, offset, value in log:
        record = json.loads(value)
        key = (record["model"], record["request_id"])
        if topic == "predictions":
            predictions.setdefault(key, record)
        else:
            order = (record["timestamp"], partition, offset)
            if key not in labels or order > labels[key][0]:
                labels[key] = (order, record["label"])
    rows: dict[tuple[str, str, int], list[int]] = {}
    for key, record in predictions.items():
        label = labels.get(key)
        amounts = _amounts(record, None if label is None else label[1])
        for slice_key in slices_of(record):
            place = (key[0], slice_key, _time_ms(record) // 1000 // bucket_s * bucket_s)
            row = rows.get(place)
            rows[place] = amounts if row is None else list(map(add, row, amounts))
    return Counter(
        {
            (*place, name): amount
            for place, row in rows.items()
            for name, amount in zip(_COUNTED, row, strict=True)
            if amount
        }
    )


def coarser(cells: Counter[Cell], bucket_s: int) -> Counter[Cell]:
    """What `oracle` says for buckets of `bucket_s`, from what it said for a divisor of it."""
    total: Counter[Cell] = Counter()
    for (model, slice_key, bucket, name), amount in cells.items():
        total[model, slice_key, bucket // bucket_s * bucket_s, name] += amount
    return total


_COUNTED = (
    "REQUESTS", "TRACKED", "SCORED", "DECIDED", "POSITIVE", "SCORE_SUM", "SCORE_SQ_SUM", "LABELLED", "RATED",
    "LABEL_POSITIVE", "TP", "FP", "TN", "FN", "LOG_LOSS_SUM", "BRIER_SUM",
)  # fmt: skip


def _time_ms(record: dict[str, object]) -> int:
    stamp = record["timestamp"]
    time_ms = int(datetime.fromisoformat(stamp).timestamp() * 1000) if isinstance(stamp, str) else stamp
    assert isinstance(time_ms, int)
    return time_ms


def _amounts(record: dict[str, object], label: int | None) -> list[int]:
    """What one prediction adds to each of `_COUNTED`."""
    score = record["score"]
    assert isinstance(score, float)
    yes = score >= 0.5
    amounts = [1, 1, 1, 1, int(yes), round(score * FIXED_ONE), round(score * score * FIXED_ONE)]
    if label is None:
        return amounts + [0] * (len(_COUNTED) - len(amounts))
    p = min(max(score, EPS), 1 - EPS)
    loss = -math.log(p if label else 1 - p)
    brier = (score - label) ** 2
    judged = [int((yes, label) == cell) for cell in ((True, 1), (True, 0), (False, 0), (False, 1))]
    return [*amounts, 1, 1, label, *judged, round(loss * FIXED_ONE), round(brier * FIXED_ONE)]


def slices_of(record: dict[str, object]) -> list[str]:
    """Slices declared as sex, [sex, device], age bins 25/40/65, "young" (age < 25), and the version."""
    features = record["features"]
    assert isinstance(features, dict)
    age = features["age"]
    edges = [(25, "(-inf, 25)"), (40, "[25, 40)"), (65, "[40, 65)"), (math.inf, "[65, inf)")]
    name = next(text for edge, text in edges if age < edge)
    sex, device = features["sex"], features["device"]
    found = [
        "{}",
        f'{{"sex":"{sex}"}}',
        f'{{"device":"{device}","sex":"{sex}"}}',
        f'{{"age":"{name}"}}',
        f'{{"model_version":"{record["model_version"]}"}}',
    ]
    return [*found, '{"slice":"young"}'] if age < 25 else found


SLICES = ["sex", ["sex", "device"], {"feature": "age", "bins": [25, 40, 65]}]
YOUNG = {"name": "young", "where": {"age": {"lt": 25}}}
