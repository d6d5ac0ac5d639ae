"""The same job as users of a stream library would write it: a record at a time, with pydantic and river.

Validates, finds ten slices, joins labels in memory, keeps accuracy, log loss and ROC AUC of each slice, and
writes what changed to Redis every second.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import redis
from pydantic import BaseModel, Field, ValidationError
from river import metrics


class Features(BaseModel):
    age: int = Field(ge=0, le=120)
    income: float
    sex: Literal["Female", "Male"]
    region: Literal["north", "south", "east", "west"]
    months_known: int = Field(ge=0)
    education: Literal["none", "school", "college", "university"]
    owner: bool
    balance: float


class Prediction(BaseModel):
    request_id: str
    model: str
    timestamp: str
    features: Features
    score: float = Field(ge=0, le=1)


class Label(BaseModel):
    request_id: str
    label: int


def slices_of(features: Features) -> list[str]:
    age = "young" if features.age < 35 else "middle" if features.age < 50 else "old"
    found = ["all", f"sex={features.sex}", f"region={features.region}", f"age={age}"]
    return [*found, "new"] if features.months_known < 12 else found


class Slice:
    def __init__(self) -> None:
        self.requests = 0
        self.accuracy, self.log_loss, self.auc = metrics.Accuracy(), metrics.LogLoss(), metrics.ROCAUC()


class Job:
    def __init__(self, redis_url: str) -> None:
        self.redis = redis.Redis.from_url(redis_url)
        self.slices: dict[str, Slice] = {}
        self.waiting: dict[str, tuple[list[str], float]] = {}
        self.invalid = 0
        self.written_s = time.monotonic()

    def prediction(self, body: Any) -> None:
        try:
            record = Prediction.model_validate(body)
        except ValidationError:
            self.invalid += 1
            return
        names = slices_of(record.features)
        for name in names:
            self.slices.setdefault(name, Slice()).requests += 1
        self.waiting[record.request_id] = names, record.score
        self.write()

    def label(self, body: Any) -> None:
        record = Label.model_validate(body)
        names, score = self.waiting.pop(record.request_id, ([], 0.0))
        truth = record.label == 1
        for name in names:
            found = self.slices[name]
            found.accuracy.update(truth, score >= 0.5)
            found.log_loss.update(truth, score)
            found.auc.update(truth, score)
        self.write()

    def handle(self, body: Any) -> None:
        if "label" in body:
            self.label(body)
        else:
            self.prediction(body)

    def write(self) -> None:
        if time.monotonic() - self.written_s < 1:
            return
        pipeline = self.redis.pipeline()
        for name, found in self.slices.items():
            figures = {
                "requests": found.requests,
                "accuracy": found.accuracy.get(),
                "log_loss": found.log_loss.get(),
                "roc_auc": found.auc.get(),
            }
            pipeline.hset(f"slice:{name}", mapping=figures)
        pipeline.execute()
        self.written_s = time.monotonic()
