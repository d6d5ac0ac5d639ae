"""A small lender for tests of probes: traffic, a model with planted effects, a worker and a prober."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor.core.batch import Reading
from monitor.core.counters import DEFAULT_TIERS, CellKey, Counts, Kind
from monitor.core.plan import ModelPlan
from monitor.core.probes import PROBES, Constraints, FeatureSpace
from monitor.core.schema import FeatureSchema
from monitor.core.schema.inference import infer
from monitor.core.slices import SliceAssigner, VersionSlice, parse_slice
from monitor.core.stubs import ModelIdentity
from monitor.core.tasks import Binary
from monitor.edges.ingest import Ingest
from monitor.edges.memory import ManualClock, MemoryModelClient, MemoryStore
from monitor.edges.probe_budget import ProbeBudget
from monitor.edges.prober import ProbedModel, Prober
from monitor.ports import ModelClient, Partition
from tests.support.topology import SOURCES, LogChunk, LogRecord

MODEL = "loans"
NOW_MS = 1_700_000_000_000
P = Partition("predictions", 0)


def applicant(rng: random.Random) -> dict[str, Any]:
    return {
        "income": rng.randrange(1_000, 9_000),
        "debt": round(rng.random(), 3),
        "sex": rng.choice(["Female", "Male"]),
        "region": rng.choice(["north", "south", "east"]),
    }


def fair(row: Mapping[str, Any]) -> float:
    """A smooth score that sex has no part in; what is no number counts as nothing."""
    income, debt = (x if isinstance(x := row.get(name), int | float) else 0.0 for name in ("income", "debt"))
    if not (math.isfinite(income) and math.isfinite(debt)):
        return 0.5
    return 1 / (1 + math.exp(-min(max((income - 5_000) / 2_000 - 2 * (debt - 0.5), -30.0), 30.0)))


def unfair(row: Mapping[str, Any]) -> float:
    """The same, a good deal lower for women."""
    return fair(row) * (0.5 if row.get("sex") == "Female" else 1.0)


def schema() -> FeatureSchema:
    rng = random.Random(0)
    return infer([applicant(rng) for _ in range(2_000)])


def probed(sensitive: tuple[str, ...] = (), key: bytes | None = None, **settings: Any) -> ProbedModel:
    told = schema()
    for name in sensitive:
        told.features[name] = told.features[name].model_copy(update={"sensitive": True})
    space = FeatureSpace.of(told, Constraints(protected=("sex",)), sensitive_key=key)
    return ProbedModel(MODEL, space, 0.5, **{"tiers": DEFAULT_TIERS, "sample": 1.0, **settings})


@dataclass
class World:
    """A worker that counts predictions and a prober that asks about them, over a store in memory.

    Attributes:
        beyond: features that every request has beside those of the schema.
    """

    client: ModelClient
    model: ProbedModel = field(default_factory=probed)
    burst: float = 25.0
    beyond: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = ManualClock(NOW_MS)
        self.store = MemoryStore(1, {MODEL: 3_600}, self.clock)
        self.prober = Prober(self.model, self.store, self.client, self.clock, "test")
        specs = [parse_slice("region"), parse_slice("sex"), VersionSlice()]
        plan = ModelPlan(MODEL, Reading(Binary(), ModelIdentity()), None, SliceAssigner(specs), DEFAULT_TIERS)
        self.ingest = Ingest(
            self.store, {MODEL: plan}, SOURCES, self._rewind, self.clock, taps={MODEL: self.prober}
        )
        self.sent = 0

    async def _rewind(self, partition: Partition, offset: int) -> None:
        raise AssertionError(f"sent back to {offset} of {partition}")

    async def traffic(self, count: int, score: Any = fair, **fields: Any) -> None:
        """Predictions by `score`, counted."""
        if not self.sent:
            await self.ingest.take({P: 0})
        rng, records = random.Random(self.sent), []
        for at in range(self.sent, self.sent + count):
            row = {**applicant(rng), **self.beyond}
            record = {
                "request_id": f"r-{at}", "model": MODEL, "model_version": "7",
                "timestamp": self.clock.now_ms(), "features": row, "score": score(row), **fields,
            }  # fmt: skip
            records.append(LogRecord(json.dumps(record).encode(), at, self.clock.now_ms()))
        chunk = LogChunk("predictions", 0, self.sent, self.sent + count, records)
        self.sent += count
        await self.ingest.handle(chunk)

    async def probe(self, rounds: int, score: Any = fair, each: int = 40) -> None:
        """Traffic, and a round of probes, so many times."""
        for _ in range(rounds):
            await self.traffic(each, score)
            assert await self.prober.round()

    def cells(self, kind: Kind, slice_id: int = 0) -> Counts:
        """An array of the present day."""
        day = DEFAULT_TIERS[-1]
        now_s = self.clock.now_ms() // 1_000
        key = CellKey(kind, day, now_s - now_s % day.bucket_s, MODEL, slice_id)
        (found,) = self.store.reader().read([key])
        assert found is not None
        return found


def world(answer: Any = fair, **settings: Any) -> World:
    """A world whose model answers by a function of a row."""
    return World(MemoryModelClient(answer), probed(**settings))


def budget(made: World, rate_per_s: float, burst: float) -> ProbeBudget:
    async def answered(call: Any) -> Any:
        return await call()

    return ProbeBudget(made.store, MODEL, rate_per_s, burst, made.clock, answered)


NAMES = [probe.name for probe in PROBES]
