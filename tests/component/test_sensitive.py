"""Values of features marked sensitive are nowhere in Redis, from where everything else is told."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from monitor.core.batch import Reading
from monitor.core.counters import DEFAULT_TIERS
from monitor.core.plan import ModelPlan
from monitor.core.schema import Code, FeatureSchema
from monitor.core.schema.violations import RECORD
from monitor.core.slices import SliceAssigner, VersionSlice
from monitor.core.stubs import ModelIdentity
from monitor.core.tasks import Binary
from monitor.edges.redis import RedisStore
from monitor.ports import Partition
from tests.support.redis_servers import Server, contents, redis_binary, running, valkey_binary
from tests.support.topology import Log, Worker
from tests.support.traffic import Message

NOW_MS = 1_700_000_000_000
P = Partition("predictions", 0)
SCHEMA = FeatureSchema.parse("""
features:
  iban: {type: string, pattern: "[A-Z]{2}[0-9]{4}", sensitive: true}
  town: {type: category, categories: [Amsterdam, Rotterdam], sensitive: true}
  income: {type: integer, minimum: 0, maximum: 1000, sensitive: true}
  job: {type: category, categories: [Sales, Retail]}
""")
PLANTED = ("XQ-PLANTED-77", "Amstredam", "Secretville", "987654321")
SHOWN = "Slaes"
RIGHT: dict[str, Any] = {"iban": "AB1234", "town": "Amsterdam", "income": 1, "job": "Sales"}

ROWS: tuple[dict[str, Any], ...] = (
    {"iban": "XQ-PLANTED-77", "town": "Amsterdam", "income": 1, "job": SHOWN},
    {"iban": "AB1234", "town": "Amstredam", "income": 987_654_321, "job": "Sales"},
    {"iban": "AB1234", "town": "Secretville", "income": "987654321", "job": "Sales"},
    {"iban": ["XQ-PLANTED-77"], "town": {"x": "Secretville"}, "income": 987_654_321.5, "job": "Sales"},
    # Under names the schema does not have, nested, and as a name.
    RIGHT
    | {
        "Income": 987_654_321,
        "applicant": {"iban": "XQ-PLANTED-77"},
        "XQ-PLANTED-77": 1,
        "twon": "Secretville",
    },
)
LANDED: tuple[dict[str, Any], ...] = (
    {"score": "Secretville"},
    {"score": 987_654_321},
    {"score": {"iban": "XQ-PLANTED-77"}},
    {"timestamp": "XQ-PLANTED-77"},
    {"timestamp": ["Amstredam", 987_654_321.5]},
    {"features": "XQ-PLANTED-77"},
)
"""Values in fields of the record that they do not belong into."""


@pytest.fixture
def server() -> Iterator[Server]:
    binary = redis_binary()
    with running("redis", binary) if binary else running("valkey", valkey_binary()) as made:
        yield made


async def test_planted_values_are_found_nowhere(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "monitor")
    values = [
        json.dumps({"request_id": f"r-{i}", "model": "m", "timestamp": NOW_MS, "score": 0.7, **more})
        for i, more in enumerate(
            [*({"features": row} for row in ROWS), *({"features": RIGHT} | one for one in LANDED)]
        )
    ]
    # What cannot be read at all: cut short, without an id, of a model that the value itself is mistaken for.
    mistaken = json.dumps({"request_id": "x", "model": "Secretville"})
    broken = [values[0][:-5], json.dumps({"features": ROWS[0]}), mistaken]
    messages = [Message("predictions", 0, text.encode()) for text in (*values, *broken)]
    store = RedisStore(server.url, 1, {"m": 600})
    await store.open()
    try:
        reading = Reading(Binary(), ModelIdentity())
        plan = ModelPlan("m", reading, SCHEMA.compiled, SliceAssigner([VersionSlice()]), DEFAULT_TIERS)
        worker = Worker(store, Log(messages, NOW_MS), {"m": plan})
        await worker.take([P])
        while await worker.step(P, 100):
            pass
        letters = await store.outbox_read("dead_letters", 99)
    finally:
        await store.close()
    everything = contents(server.url) + caplog.text.encode()
    assert len(letters) == len(broken)
    assert SHOWN.encode() in everything, "evidence is there, of what may be shown"
    for code in (Code.SCORE_RANGE, Code.BAD_TIMESTAMP, Code.UNEXPECTED):
        assert f"violations/{RECORD}/{code.slug}".encode() in everything
    for planted in PLANTED:
        assert planted.encode() not in everything
    for number in (987_654_321, 987_654_321.5):
        assert msgpack.packb(number) not in everything
