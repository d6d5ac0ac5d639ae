"""Predictions and labels through a whole worker over a store in memory, one chunk at a time and all at once.

However the records are cut into chunks, and over however many shards, every counter and dead letter comes out
the same; each record is counted once under exactly one name.
"""

from __future__ import annotations

from collections import Counter

from monitor.core.batch import Reading
from monitor.core.counters import JOIN, SCALARS, CellKey, Join, Scalar, Tier
from monitor.core.drift.layout import FeatureLayout
from monitor.core.plan import ModelPlan
from monitor.core.schema import FeatureSchema
from monitor.core.slices import SliceAssigner, VersionSlice, parse_slice
from monitor.core.stubs import ModelIdentity
from monitor.core.tasks import Binary, Multiclass, Regression, Task
from monitor.edges.memory import ManualClock, MemoryStore
from tests.fuzz.loop import done
from tests.fuzz.targets.target import Target
from tests.support.topology import COMPARED, Log, Worker
from tests.support.traffic import Message
from tests.support.two_ways import DECLARED, NOW_MS, SLICES

_APART = b"\x1e"
_PLACES = {
    ord("P"): ("predictions", 0),
    ord("Q"): ("predictions", 1),
    ord("L"): ("labels", 0),
    ord("M"): ("labels", 1),
}
_YEAR_S = 31_536_000
_TIERS = (Tier("year", _YEAR_S, 60 * _YEAR_S),)
"""One tier that keeps whatever time a record may bear, so that nothing is too late to be counted."""

Outcome = tuple[dict[str, int], Counter[bytes], Counter[str], int]
"""Counters, dead letters, their reasons, and records of probes."""


def run(data: bytes) -> None:
    bits, pieces = (data[:1] or b"\0")[0], data[1:].split(_APART)
    messages = [Message(*_PLACES[piece[0]], piece[1:]) for piece in pieces if piece and piece[0] in _PLACES]
    if not messages:
        return
    task: Task = (Binary(), Multiclass(("a", "b", "c")), Regression.in_units_of(1.0))[bits % 3]
    sample = 0.5 if bits & 4 else 1.0
    first = bool(bits & 128)
    once = _counted(messages, task, sample, first, 1, len(messages))
    again = _counted(messages, task, sample, first, 1 + bits // 8 % 3, 1 + bits // 32 % 4)
    assert once[0] == again[0], "counters do not depend on chunks and shards"
    assert once[1] == again[1], "nor do dead letters"
    assert once[2] == again[2], "nor do reasons"
    _accounted(len(messages), once)


def _accounted(sent: int, outcome: Outcome) -> None:
    cells, letters, _, probes = outcome
    joins = {cell: cells.get(f"m {cell.name}", 0) for cell in Join}
    predictions = cells.get("m {} REQUESTS", 0) + joins[Join.DUPLICATE_PREDICTIONS]
    predictions += joins[Join.CONFLICTING_PREDICTIONS]
    labels = joins[Join.PARKED_LABELS] + joins[Join.UNSAMPLED_LABELS] + joins[Join.LABELS_APPLIED]
    labels += joins[Join.DUPLICATE_LABELS] + joins[Join.CORRECTED_LABELS] + joins[Join.STALE_LABELS]
    labels -= joins[Join.ADOPTED_LABELS]
    assert predictions + labels + letters.total() + probes == sent, "every record has one name"


def _counted(
    messages: list[Message], task: Task, sample: float, predictions_first: bool, shards: int, rows: int
) -> Outcome:
    schema = FeatureSchema(unexpected="tolerate", features=DECLARED)
    assigner = SliceAssigner([*map(parse_slice, SLICES), VersionSlice()])
    reading = Reading(task, ModelIdentity(sample))
    plan = ModelPlan(
        "m", reading, schema.compiled, assigner, _TIERS, slices_max=40, layout=FeatureLayout.of(schema)
    )
    store = MemoryStore(shards, {"m": 600}, ManualClock(NOW_MS))
    worker = Worker(store, Log(messages, NOW_MS), {"m": plan})

    async def work() -> None:
        await worker.take(list(worker.log.partitions))
        # Whose turn it is decides which label is parked and which prediction came first: it stays the same.
        for partition in sorted(worker.log.partitions, reverse=predictions_first):
            while await worker.step(partition, rows):
                pass

    done(work())
    progress = worker.ingest.progress
    assert progress.records == len(messages)
    assert progress.rewinds == progress.retries == 0
    letters = Counter(entry.value for entry in store.contents.outbox)
    assert letters.total() == progress.dead_letters
    reasons = Counter({f"{topic}/{reason}": n for (topic, reason), n in progress.rejected.items()})
    assert reasons.total() == letters.total(), "every dead letter has its reason"
    return _cells(store), letters, reasons, progress.probes_returned


def _cells(store: MemoryStore) -> dict[str, int]:
    reader = store.reader()
    found: dict[str, int] = {}
    names = {0: "{}", **{number: name for name, number in reader.registry("m", "slices").items()}}
    starts = {at[2] for shard in store.contents.shards for at in shard.arrays}
    for start_s in starts:
        keys = [CellKey(SCALARS, _TIERS[0], start_s, "m", number) for number in names]
        for name, counts in zip(names.values(), reader.read(keys), strict=True):
            for cell in COMPARED if counts is not None else ():
                assert counts is not None
                key = f"m {name} {cell}"
                found[key] = found.get(key, 0) + int(counts[Scalar[cell]])
        (joins,) = reader.read([CellKey(JOIN, _TIERS[0], start_s, "m")])
        for join in Join if joins is not None else ():
            assert joins is not None
            found[f"m {join.name}"] = found.get(f"m {join.name}", 0) + int(joins[join])
    return {key: amount for key, amount in found.items() if amount}


def _seed(bits: int, *pieces: str) -> bytes:
    return bytes([bits]) + _APART.join(piece.encode() for piece in pieces)


_P = '{"request_id":"%s","model":"m","timestamp":1700000000,"score":%s,"features":{"age":39,"sex":"Female"}}'
_L = '{"request_id":"%s","model":"m","timestamp":%d,"label":%s}'

TARGET = Target(
    run,
    seeds=(
        _seed(0, "P" + _P % ("a", 0.5), "L" + _L % ("a", 1700000001, 1), "P" + _P % ("b", 0.1)),
        _seed(40, "L" + _L % ("a", 1700000001, 0), "Q" + _P % ("a", 0.5), "M" + _L % ("a", 1700000002, 1)),
        _seed(
            12, "P" + _P % ("a", 0.5), "Q" + _P % ("a", 0.6), "L" + _L % ("a", 5, 1), "L" + _L % ("a", 4, 0)
        ),
        _seed(
            1, 'P{"request_id":"a","model":"m","probabilities":{"a":0.5,"b":0.5}}', "L" + _L % ("a", 1, '"b"')
        ),
        _seed(2, 'P{"request_id":"a","model":"m","value":2,"interval":[1,3]}', "L" + _L % ("a", 1, 2.5)),
        _seed(
            0, 'P{"request_id":"monitor-probe-1","model":"m"}', 'L{"request_id":"b","model":"m","probe":1}'
        ),
        _seed(0, "P{", "L[]", 'Q{"request_id":"c","model":"n"}', 'L{"request_id":"c","model":"m"}'),
    ),
)
