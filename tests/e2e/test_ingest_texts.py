"""Doubtful texts through the worker: counted and sampled, while their records stay valid."""

from __future__ import annotations

import json

import msgpack

from monitor.core.batch import Reading
from monitor.core.counters import CODES, DEFAULT_TIERS, SCALARS, VIOLATIONS, CellKey, Scalar
from monitor.core.plan import ModelPlan
from monitor.core.schema import Code, FeatureSchema
from monitor.core.slices import SliceAssigner, VersionSlice
from monitor.core.stubs import ModelIdentity
from monitor.core.tasks import Binary
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.ports import Partition
from tests.support.topology import Log, Worker
from tests.support.traffic import Message

START_S = 1_700_000_000 // 86_400 * 86_400
NOW_MS = (START_S + 600) * 1000
TIER = DEFAULT_TIERS[0]
P = Partition("predictions", 0)

SCHEMA = FeatureSchema.parse("""
features:
  town: {type: category, categories: [Amsterdam, Rotterdam], closed: false}
  job: {type: category, categories: [Sales, Retail]}
""")

ROWS = (
    {"town": "Amsterdam", "job": "Sales"},
    {"town": "Utrecht", "job": "Retail"},  # new, which is no fault
    {"town": "Amstredam", "job": "Sales"},
    {"town": "Z\ufffdrich", "job": "Retail"},
    {"town": "Amsterdam", "job": "Slaes"},  # breaks a closed category, and is a near miss
    {"town": 7, "job": "Sales"},
)


async def test_a_record_with_nothing_but_doubts_is_valid() -> None:
    messages = [
        Message(
            "predictions",
            0,
            json.dumps(
                {"request_id": f"r-{i}", "model": "m", "timestamp": START_S, "score": 0.7, "features": row}
            ).encode(),
        )
        for i, row in enumerate(ROWS)
    ]
    store = MemoryStore(1, {"m": 600}, ManualClock(NOW_MS))
    reading = Reading(Binary(), ModelIdentity())
    plan = ModelPlan("m", reading, SCHEMA.compiled, SliceAssigner([VersionSlice()]), DEFAULT_TIERS)
    worker = Worker(store, Log(messages, NOW_MS), {"m": plan})
    await worker.take([P])
    await worker.step(P, 100)

    reader = store.reader()
    features = reader.registry("m", "features")
    scalars, cells = reader.read([CellKey(kind, TIER, START_S, "m", 0) for kind in (SCALARS, VIOLATIONS)])
    assert scalars is not None
    assert cells is not None
    assert (scalars[Scalar.REQUESTS], scalars[Scalar.INVALID]) == (6, 2)
    found = {
        (name, code): int(cells[number * CODES + code])
        for name, number in features.items()
        for code in Code
        if number * CODES + code < len(cells) and cells[number * CODES + code]
    }
    assert found == {
        ("town", Code.NEAR_MISS): 1,
        ("town", Code.GIBBERISH): 1,
        ("town", Code.TYPE): 1,
        ("job", Code.UNKNOWN_CATEGORY): 1,
        ("job", Code.NEAR_MISS): 1,
    }
    (sample,) = reader.evidence("m", "violations/job/near_miss")
    assert msgpack.unpackb(sample)["received"] == '"Slaes", a typo of "Sales"'
