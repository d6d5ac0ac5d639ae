"""Too much of everything, through a whole worker: bounded, counted by reason, and the neighbours as ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from monitor.core.batch import Reading, prediction_batch
from monitor.core.columns import Columns
from monitor.core.counters import DEFAULT_TIERS, SCALARS, CellKey, Scalar
from monitor.core.decode import Limits
from monitor.core.mapping import Mapping
from monitor.core.plan import ModelPlan
from monitor.core.records import DeadLetter
from monitor.core.schema import Feature, FeatureSchema
from monitor.core.slices import SliceAssigner, VersionSlice, parse_slice
from monitor.core.slices.assign import _CACHE_TOKENS_MAX, OUTSIDE
from monitor.core.stubs import ModelIdentity
from monitor.core.tasks import Binary
from monitor.core.typed_layout import _KNOWN_CHARS_MAX, _KNOWN_MAX
from monitor.core.typed_reader import ChunkReader
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.edges.views import slice_name
from monitor.ports import Partition
from tests.fuzz.feed import TEXTS
from tests.support.topology import Log, LogRecord, Worker
from tests.support.traffic import Message

NOW_MS = 1_700_000_600_000
DAY = DEFAULT_TIERS[3]
P = Partition("predictions", 0)
GOOD = '{"request_id":"%s","model":"m","timestamp":1700000000,"score":0.5,"features":{"city":"Bern","age":3}}'
BAD = '{"request_id":"bad","model":"m","timestamp":1700000000,"score":0.5,"features":%s}'


def plan() -> ModelPlan:
    schema = FeatureSchema(
        unexpected="tolerate",
        features={
            "city": Feature(type="category", closed=False),
            "age": Feature(type="number", minimum=0, maximum=120, required=False),
            "code": Feature(type="string", pattern="[a-z0-9 -]+", required=False),
        },
    )
    slices = SliceAssigner([parse_slice({"feature": "city", "top": 50}), VersionSlice()])
    return ModelPlan("m", Reading(Binary(), ModelIdentity()), schema.compiled, slices, DEFAULT_TIERS)


@pytest.mark.parametrize(
    ("value", "reason", "requests"),
    [
        (b"[" * 100_000, "too_deep", 2),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "too_deep", 2),
        ((BAD % ("[" * 32 + "]" * 32)).encode(), "too_deep", 2),
        (b'{"a":"' + b"x" * 10_000_000 + b'"}', "too_large", 2),
        (b" " * 10_000_000, "too_large", 2),
        (b'"' + b"\\" * 900_000, "not_json", 2),
        (b'"' + b'\\"[{' * 200_000, "not_json", 2),
        ((BAD % '{"city":"\\ud800"}').encode(), "not_json", 2),
        ((BAD % '{"city":"').encode() + b'\xed\xa0\x80"}}', "not_json", 2),
        ((BAD % '{"age":1e99999,"city":"x"}').encode(), None, 3),
        ((BAD % ('{"age":%s,"city":"x"}' % ("9" * 5_000))).encode(), "not_json", 2),
        ((BAD % ('{"age":0.%s,"city":"x"}' % ("9" * 5_000))).encode(), None, 3),
        ((BAD % ('{"age":3,"city":"%s"' % (("1" * 308 + "x") * 3_300))).encode(), "not_json", 2),
        ((BAD % ('{"age":3,"city":"%s"}' % (("1" * 4_299 + "x") * 240))).encode(), None, 3),
        ((BAD % ('{"age":3,"city":"x","junk":[%s[]]}' % ("[]," * 340_000))).encode(), None, 3),
        ((BAD % ('{"age":3,"city":"x","junk":[%s[]]}' % ('"\\\\\\"[",' * 110_000))).encode(), None, 3),
        ((BAD % '{"city":"a","city":"b"}').encode(), None, 3),
        ((BAD % '{"city":"x"},"model":"m","model":"other"').encode(), "unknown_model", 2),
        ((BAD % json.dumps({f"f{i}": i for i in range(50_000)})).encode(), None, 3),
        ((BAD % ('{"city":"x","code":"%s"}' % ("a" * 900_000))).encode(), None, 3),
        ((BAD % '{"city":"\\u0000\\u001b[2J"}').encode(), None, 3),
    ],
)  # fmt: skip
async def test_a_monstrous_record_has_its_reason_and_its_neighbours_live(
    value: bytes, reason: str | None, requests: int
) -> None:
    values = [(GOOD % "first").encode(), value, (GOOD % "last").encode()]
    store = MemoryStore(2, {"m": 600}, ManualClock(NOW_MS))
    worker = Worker(store, Log([Message("predictions", 0, v) for v in values], NOW_MS), {"m": plan()})
    await worker.take([P])
    await worker.step(P, 9)
    letters = [DeadLetter.model_validate_json(entry.value) for entry in store.contents.outbox]
    assert [letter.reason for letter in letters] == ([] if reason is None else [reason])
    assert all(len(entry.value) < 4_000 for entry in store.contents.outbox), "what is told of it is bounded"
    assert worker.ingest.progress.rejected.total() == len(letters)
    (counts,) = store.reader().read([CellKey(SCALARS, DAY, 1_700_000_000 // 86_400 * 86_400, "m")])
    assert counts is not None
    assert counts[Scalar.REQUESTS] == requests
    bern = (await store.registry("m", "slices"))['{"city":"Bern"}']
    (found,) = store.reader().read([CellKey(SCALARS, DAY, 1_700_000_000 // 86_400 * 86_400, "m", bern)])
    assert found is not None
    assert found[Scalar.REQUESTS] == 2


def test_a_million_categories_leave_a_bounded_trace() -> None:
    slices = plan().slices
    seen = 0
    for first in range(0, 1_000_000, 50_000):
        cities = Columns([{}] * 50_000, {"city": [f"c{i}" for i in range(first, first + 50_000)]})
        tokens = slices.tokens(cities, [None] * 50_000)
        for place, fresh in slices.unknown(tokens).items():
            seen += len(fresh) if place == 0 else 0
            for token in fresh:
                slices.learn(place, token, OUTSIDE)
        assert (slices.codes(tokens)[:, 0] == OUTSIDE).all()
    assert seen == 1_000_000, "each is asked for"
    assert all(len(known) <= _CACHE_TOKENS_MAX + 50_000 for known in slices._ids)


def test_a_flood_of_texts_leaves_a_bounded_trace() -> None:
    one, mapping = plan(), Mapping.parse()
    reader = ChunkReader("predictions", mapping, {"m": one}, Limits())
    for chunk in chunks(values=50_000, of=5_000):
        (found,) = reader.read(chunk).readable
        batch = prediction_batch(found, mapping, one.reading)
        assert one.schema is not None
        assert not len(one.schema.check_chunk(batch.features, batch.unjudged.tolist()))
        one.schema.soft_chunk(batch.features)
    (layout,) = reader._layouts.values()
    assert layout.features is not None
    assert all(0 < len(known) <= _KNOWN_MAX for known in layout.features._known.values())


def test_long_texts_are_judged_and_not_remembered() -> None:
    text = '{"request_id":"r%d","model":"m","score":0.5,"features":{"city":"Bern","code":"%d%s"}}'
    one = plan()
    reader = ChunkReader("predictions", Mapping.parse(), {"m": one}, Limits())
    for first in (0, 30):
        records = [LogRecord((text % (i, i, "a" * 50_000)).encode(), i, NOW_MS) for i in range(first, 50)]
        (found,) = reader.read(records).readable
        assert not len(found.unjudged), "right, so the compiled pass keeps them"
    bad = [LogRecord((text % (50, 50, "A" * 50_000)).encode(), 50, NOW_MS)]
    (found,) = reader.read(bad).readable
    assert found.unjudged.tolist() == [0]
    (layout,) = reader._layouts.values()
    assert layout.features is not None
    known = layout.features._known["code"]
    assert not any(len(value) > _KNOWN_CHARS_MAX for value in known if value is not None)
    reader.read([LogRecord((text % (51, 51, "")).encode(), 51, NOW_MS)])
    assert "51" in known


def chunks(values: int, of: int) -> Iterator[list[LogRecord]]:
    """Records of as many categories and texts, none twice."""
    text = '{"request_id":"r%d","model":"m","score":0.5,"features":{"city":"c%d","code":"t%d"}}'
    for first in range(0, values, of):
        yield [LogRecord((text % (i, i, i)).encode(), i, NOW_MS) for i in range(first, first + of)]


def test_no_slice_takes_the_name_of_another() -> None:
    parts: list[dict[str, str]] = [
        {"sex": "Female"}, {"sex": "Female", "device": "iPhone"}, {"sex": "Female,device=iPhone"}, {},
        {"device": "iPhone,sex=Female"}, {"sex=Female,device": "iPhone"}, {"sex": 'Female"'}, {"all": ""},
        *({"sex": text} for text in TEXTS),
    ]  # fmt: skip
    distinct = {json.dumps(part, sort_keys=True) for part in parts}
    names: dict[str, Any] = {slice_name(part): part for part in parts}
    assert len(names) == len(distinct)
    assert slice_name({"sex": "Female", "device": "iPhone"}) == "device=iPhone,sex=Female"
