"""Histograms of features equal a recount of the raw records, however these are cut, repeated and spread."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.counters import (
    DEFAULT_TIERS,
    FEATURES,
    SCALARS,
    SCALE,
    TAILS,
    CellKey,
    Kind,
    Scalar,
    Tier,
)
from monitor.core.drift.layout import FAMILY, SCALE_CELLS, FeatureLayout
from monitor.core.schema.inference import infer
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.ports import CounterReader
from tests.support.topology import Log, Worker, plan
from tests.support.traffic import Message

START_S = 1_700_000_000 // 3_600 * 3_600
SPAN_S = 300
"""All within the shortest retention of a kind, so that nothing is too late to be counted."""

SCHEMA = infer(
    {
        "age": 20.5 + i % 60, "children": i % 4, "sex": "Female" if i % 3 else "Male", "member": i % 2 == 0,
        "record": i + 0.5, "note": f"a word of {i} letters",
    }
    for i in range(400)
)  # fmt: skip
LAYOUT = FeatureLayout.of(SCHEMA)

VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 90)
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.floats(0, 500)
    | st.sampled_from(["Female", "Male", "female", "", "42", "a word of 3 letters"])
    | st.lists(st.integers(), max_size=1)
    | st.dictionaries(st.text(max_size=1), st.none(), max_size=1)
)
REQUESTS = st.lists(
    st.tuples(
        st.integers(0, SPAN_S * 1000 - 1),
        st.fixed_dictionaries({}, optional=dict.fromkeys([*SCHEMA.features, "unexpected"], VALUES)),
        st.none() | st.floats(0, 1) | st.just(1.5) | st.just("high"),
        st.sampled_from(["1", "2"]),
        st.lists(st.integers(0, 1), min_size=1, max_size=3),  # a partition for each copy
    ),
    min_size=1,
    max_size=15,
)


def message(at: int, request: Any, partition: int) -> Message:
    after_ms, features, score, version, _ = request
    record = {
        "request_id": f"r{at}", "model": "credit", "model_version": version,
        "timestamp": START_S * 1000 + after_ms, "features": features, "score": score,
    }  # fmt: skip
    return Message("predictions", partition, json.dumps(record).encode())


def is_number(name: str, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return name != "children" or value == math.floor(value)


def cell_of(name: str, value: Any) -> int:
    """The cell of a value within its block: 0 for none, 1 for one that cannot be counted, then the values."""
    if value is None:
        return 0
    block = next(block for block in LAYOUT.blocks if block.name == name)
    if name in {"age", "children", "record"}:
        assert block.edges is not None
        return 2 + sum(float(value) >= edge for edge in block.edges) if is_number(name, value) else 1
    if name == "member":
        return 2 + value if isinstance(value, bool) else 1
    if not isinstance(value, str):
        return 1
    if name == "sex":
        assert block.values is not None
        return 2 + (block.values.index(value) if value in block.values else len(block.values))
    limit, pattern = SCHEMA.features[name].max_length, SCHEMA.features[name].pattern
    assert pattern is None
    return 1 if limit is not None and len(value) > limit else 2


def score_cell(score: Any) -> int:
    if not isinstance(score, float) or score > 1:
        return 0
    logit = math.log(score) - math.log1p(-score) if 0 < score < 1 else math.inf * (score - 0.5)
    return 2 + min(max(math.floor(max(min(logit, 99), -99) * 2 + 32), 0), 63)


def scale_cell(x: float) -> int:
    if x == 0:
        return 0
    place = min(max(math.floor((math.log10(abs(x)) + 12) * 24), 0), 671)
    return 1 + place + (x < 0) * 672


def recount(requests: list[Any], tier: Tier) -> Counter[tuple[str, int, str, int]]:
    """(kind, bucket, slice, cell) → count, one value at a time."""
    total: Counter[tuple[str, int, str, int]] = Counter()
    for after_ms, features, score, version, _ in requests:
        bucket = START_S + after_ms // 1000 // tier.bucket_s * tier.bucket_s
        for block in LAYOUT.blocks[:-1]:
            total["features", bucket, "", block.start + cell_of(block.name, features.get(block.name))] += 1
        total["features", bucket, "", LAYOUT.blocks[-1].start + score_cell(score)] += 1
        if tier.name not in {"10s", "1m"}:
            continue
        for row, name in enumerate(LAYOUT.numeric):
            value = features.get(name)
            if not is_number(name, value):
                continue
            total["scale", bucket, "", row * SCALE_CELLS + scale_cell(float(value))] += 1
            low, high = np.quantile([float(r[name]) for r in sample()], [0.01, 0.99], method="inverted_cdf")
            for beyond, side in ((value < low, 0), (value > high, 1)):
                for where in ("{}", f'{{"model_version":"{version}"}}') if beyond else ():
                    total["tails", bucket, where, row * 2 + side] += 1
    return total


def sample() -> list[dict[str, float]]:
    return [{"age": 20.5 + i % 60, "children": i % 4, "record": i + 0.5} for i in range(400)]


def stored(reader: CounterReader, tier: Tier) -> Counter[tuple[str, int, str, int]]:
    """The same, out of the store."""
    schema_id = reader.registry("credit", FAMILY)[LAYOUT.fingerprint]
    slices = {"{}": 0, **reader.registry("credit", "slices")}
    wanted: list[tuple[Kind, str, int]] = [(FEATURES, "", schema_id), (SCALE, "", schema_id)]
    wanted += [
        (TAILS, key, slice_id) for key, slice_id in slices.items() if key == "{}" or "model_version" in key
    ]
    total: Counter[tuple[str, int, str, int]] = Counter()
    for kind, name, slice_id in wanted:
        for bucket in range(START_S // tier.bucket_s * tier.bucket_s, START_S + SPAN_S, tier.bucket_s):
            (counts,) = reader.read([CellKey(kind, tier, bucket, "credit", slice_id)])
            if counts is None:
                continue
            for cell in np.flatnonzero(counts).tolist():
                total[kind.name, max(bucket, START_S), name, cell] += int(counts[cell])
    return total


async def run(log: Log, store: MemoryStore, cuts: list[int]) -> CounterReader:
    judged = replace(plan("credit"), schema=SCHEMA.compiled, layout=LAYOUT)
    worker = Worker(store, log, {"credit": judged})
    await worker.take(list(log.partitions))
    step = 0
    moving = True
    while moving:
        moving = False
        for partition in log.partitions:
            moving |= await worker.step(partition, cuts[step % len(cuts)])
            step += 1
    assert worker.ingest.progress.dead_letters == 0
    return store.reader()


@settings(max_examples=150)
@given(REQUESTS, st.integers(1, 3), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.randoms())
def test_histograms_equal_a_recount(requests: list[Any], shards: int, cuts: list[int], rng: Any) -> None:
    messages = [message(at, request, place) for at, request in enumerate(requests) for place in request[-1]]
    rng.shuffle(messages)
    store = MemoryStore(shards, {"credit": 600}, ManualClock(START_S * 1000))
    reader = asyncio.run(run(Log(messages, (START_S + SPAN_S) * 1000), store, cuts))
    for tier in DEFAULT_TIERS[:3]:
        assert stored(reader, tier) == recount(requests, tier)
    schema_id = reader.registry("credit", FAMILY)[LAYOUT.fingerprint]
    for tier in DEFAULT_TIERS:
        for bucket in {(START_S * 1000 + r[0]) // 1000 // tier.bucket_s * tier.bucket_s for r in requests}:
            counts, scalars = reader.read(
                [
                    CellKey(FEATURES, tier, bucket, "credit", schema_id),
                    CellKey(SCALARS, tier, bucket, "credit"),
                ]
            )
            assert counts is not None
            assert scalars is not None
            blocks = np.add.reduceat(np.pad(counts, (0, LAYOUT.size - len(counts))), LAYOUT.starts)
            assert blocks.tolist() == [scalars[Scalar.REQUESTS]] * len(LAYOUT.blocks)


def test_past_the_cap_of_layouts_nothing_is_counted_under_another_layout() -> None:
    requests = [(0, {"age": 30.0}, 0.5, "1", [0])]
    log = Log([message(0, requests[0], 0)], (START_S + SPAN_S) * 1000)
    store = MemoryStore(1, {"credit": 600}, ManualClock(START_S * 1000))
    store.contents.ids["credit", FAMILY] = {f"layout {i}": i for i in range(1, 10_001)}
    reader = asyncio.run(run(log, store, [1]))
    hour = DEFAULT_TIERS[2]
    scalars, features = reader.read([CellKey(kind, hour, START_S, "credit") for kind in (SCALARS, FEATURES)])
    assert scalars is not None
    assert scalars[Scalar.REQUESTS] == 1
    assert features is None
