"""Records to be monitored: 300 bytes of JSON, 8 features, 10 slices, a label for each."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from monitor.core.batch import Reading
from monitor.core.counters import DEFAULT_TIERS
from monitor.core.drift.layout import FeatureLayout
from monitor.core.plan import ModelPlan
from monitor.core.schema import FeatureSchema
from monitor.core.schema.compiled import CompiledSchema
from monitor.core.schema.inference import infer
from monitor.core.slices import SliceAssigner, VersionSlice, parse_slice
from monitor.core.stubs import ModelIdentity
from monitor.core.tasks import Binary

START_S = 1_700_000_000 // 3_600 * 3_600
SAMPLE_ROWS = 5_000
REGIONS = ("north", "south", "east", "west")
TENTH_SLICES: tuple[Any, ...] = (
    "sex",  # 2
    "region",  # 4
    {"feature": "age", "bins": [35, 50]},  # 3
    {"name": "new customers", "where": {"months_known": {"lt": 12}}},  # 1
)
"""Ten slices; each row is in three or four of them, and in all traffic."""


@dataclass(frozen=True)
class Shape:
    """What the traffic is like.

    Attributes:
        features: per record; 8 as named below, more are numbers.
        slices: 10, or more with a feature `branch` of so many values.
        violating: share of records that break the schema.
        models: how many share the traffic.
        rate_per_s: predictions per second of event time.
        label_wait_s: labels come so much later, uniformly from 0.
    """

    features: int = 8
    slices: int = 10
    violating: float = 0.0
    models: int = 1
    rate_per_s: float = 20_000.0
    label_wait_s: float = 5.0


PLAIN = Shape()


@dataclass(frozen=True)
class Traffic:
    """Values of the two topics, in order; `known_s` is when each label came."""

    predictions: list[bytes]
    labels: list[bytes]
    known_s: list[float]
    models: tuple[str, ...]
    end_s: float
    shape: Shape = field(default=PLAIN)


def features_of(rng: random.Random, shape: Shape) -> dict[str, Any]:
    """One record's features."""
    found: dict[str, Any] = {
        "age": rng.randrange(18, 90),
        "income": round(rng.lognormvariate(10, 0.6), 2),
        "sex": rng.choice(("Female", "Male")),
        "region": rng.choice(REGIONS),
        "months_known": rng.randrange(0, 240),
        "education": rng.choice(("none", "school", "college", "university")),
        "owner": rng.random() < 0.4,
        "balance": round(rng.gauss(500, 800), 2),
    }
    for extra in range(len(found), shape.features):
        found[f"x{extra}"] = round(rng.gauss(0, 1), 4)
    if shape.slices > 10:
        found["branch"] = f"b{rng.randrange(shape.slices - 10)}"
    return found


def make(requests: int, shape: Shape = PLAIN, seed: int = 1) -> Traffic:
    """Predictions and a label for each."""
    rng = random.Random(seed)
    models = tuple(f"credit-{i}" if shape.models > 1 else "credit" for i in range(shape.models))
    predictions: list[bytes] = []
    labels: list[tuple[float, bytes]] = []
    for i in range(requests):
        at_s = START_S + i / shape.rate_per_s
        features = features_of(rng, shape)
        if rng.random() < shape.violating:
            features["age"] = rng.choice((-5, "41", None))
        score = round(rng.betavariate(0.7, 0.9), 6)
        name, request_id = models[i % len(models)], f"{rng.getrandbits(64):016x}"
        head = {"request_id": request_id, "model": name}
        stamp = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = {**head, "model_version": "3", "timestamp": stamp, "features": features, "score": score}
        predictions.append(json.dumps(body).encode())
        known_s = at_s + rng.random() * shape.label_wait_s
        label = {**head, "timestamp": int(known_s * 1000), "label": int(rng.random() < score)}
        labels.append((known_s, json.dumps(label).encode()))
    labels.sort(key=lambda pair: pair[0])
    end_s = START_S + requests / shape.rate_per_s + shape.label_wait_s
    return Traffic(
        predictions, [value for _, value in labels], [known for known, _ in labels], models, end_s, shape
    )


def schema_of(shape: Shape = PLAIN, seed: int = 2) -> FeatureSchema:
    """Inferred from a sample, as `monitor init` does."""
    rng = random.Random(seed)
    return infer([features_of(rng, shape) for _ in range(SAMPLE_ROWS)])


def plans(traffic: Traffic, seed: int = 2) -> dict[str, ModelPlan]:
    """A binary model's plan with a schema inferred from a sample, histograms of features on."""
    shape = traffic.shape
    schema = schema_of(shape, seed)
    slices = [*TENTH_SLICES, *(["branch"] if shape.slices > 10 else [])]
    return {
        name: ModelPlan(
            name,
            Reading(Binary(), ModelIdentity()),
            CompiledSchema(schema),
            SliceAssigner([*map(parse_slice, slices), VersionSlice()]),
            DEFAULT_TIERS,
            layout=FeatureLayout.of(schema),
        )
        for name in traffic.models
    }


def mean_bytes(values: list[bytes]) -> float:
    """Mean size of a value."""
    return float(np.mean([len(value) for value in values]))
