"""The oracle's verdict: reads the topics from the start, recomputes everything, and compares.

It shares with the product only the forms of records and the reading of stored cells.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from monitor.core.counters import DEFAULT_TIERS
from monitor.core.decode import OLDEST_MS
from monitor.core.times import parse_instant
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import read_last
from monitor.edges.redis.reader import RedisReader
from tests.chaos.traffic import LABEL_POISONS, MODELS, POISONS
from tests.support.topology import counted
from tests.support.traffic import Cell, coarser, oracle

TIERS = DEFAULT_TIERS[1:3]
RECORD_CELLS = ("REQUESTS", "LABELLED")
"""Cells in which one record counts one: lost and double are counted in these, of all traffic."""

ALL = 10_000_000


@dataclass
class Verdict:
    """What a run came to. Everything but `records`, `cells`, `alerts` and `letters` must be 0 or empty.

    Attributes:
        unfed: records that were fed and are not in the topics: the run proves nothing about them.
    """

    records: int = 0
    unfed: int = 0
    cells: int = 0
    alerts: int = 0
    letters: int = 0
    lost: int = 0
    double: int = 0
    wrong_cells: int = 0
    stubs_off: int = 0
    letters_missing: int = 0
    letters_two_bodies: int = 0
    letters_of_other_bytes: int = 0
    alerts_missing: int = 0
    alerts_two_bodies: int = 0
    examples: list[str] = field(default_factory=list)


def judge(
    link: KafkaConnection, names: Mapping[str, str], redis_url: str, shards: int, kafka_ms: int, fed: int
) -> Verdict:
    """Compare the store and the output topics with the input topics, once all is read.

    Args:
        link: the brokers.
        names: role (`predictions`, `labels`, `alerts`, `dead`) → topic.
        redis_url: the store itself, no proxy between.
        shards: of the store.
        kafka_ms: the time records carry in Kafka.
        fed: records that the brokers took.
    """
    verdict = Verdict()
    readable: list[tuple[str, int, int, bytes]] = []
    poisoned: dict[tuple[str, int, int], bytes] = {}
    for kind in ("predictions", "labels"):
        records: Sequence[Any] = read_last(link, names[kind], ALL)
        verdict.records += len(records)
        for record in records:
            if record.value in (*POISONS, *LABEL_POISONS):
                poisoned[names[kind], record.partition, record.offset] = record.value
            else:
                readable.append((kind, record.partition, record.offset, _at_its_time(record.value, kafka_ms)))
    verdict.unfed = max(fed - verdict.records, 0)
    reader = RedisReader(redis_url, shards)
    expected = oracle(readable, TIERS[0].bucket_s)
    for tier in TIERS:
        _compare(verdict, coarser(expected, tier.bucket_s), counted(reader, MODELS, tier), tier.name)
    reader.close()
    with redis.Redis.from_url(redis_url) as client:
        _stubs(verdict, readable, client, shards)
        _alerts(verdict, read_last(link, names["alerts"], ALL), client)
    _letters(verdict, poisoned, read_last(link, names["dead"], ALL))
    return verdict


def _at_its_time(value: bytes, kafka_ms: int) -> bytes:
    """A record whose timestamp no event can have counts at its time in Kafka (docs/schema.md)."""
    if b'"odd-' not in value:
        return value
    record = json.loads(value)
    instant_ms = parse_instant(record["timestamp"])
    assert instant_ms < OLDEST_MS or instant_ms > kafka_ms
    return json.dumps(record | {"timestamp": kafka_ms}).encode()


def _compare(verdict: Verdict, expected: Mapping[Cell, int], found: dict[Cell, int], tier: str) -> None:
    verdict.cells += len(expected)
    if tier == TIERS[0].name:
        for cell in expected.keys() | found.keys():
            if cell[1] == "{}" and cell[3] in RECORD_CELLS:
                missing = expected.get(cell, 0) - found.get(cell, 0)
                verdict.lost += max(missing, 0)
                verdict.double += max(-missing, 0)
    wrong = [cell for cell in expected.keys() | found.keys() if expected.get(cell) != found.get(cell)]
    verdict.wrong_cells += len(wrong)
    verdict.examples += [
        f"{tier} {cell}: expected {expected.get(cell)}, found {found.get(cell)}" for cell in sorted(wrong)[:5]
    ]


def _stubs(
    verdict: Verdict, readable: Sequence[tuple[str, int, int, bytes]], client: Any, shards: int
) -> None:
    ids = {(record["model"], record["request_id"]) for record in (json.loads(row[3]) for row in readable)}
    expected = Counter(model for model, _ in ids)
    for model in MODELS:
        fields = {
            name
            for shard in range(shards)
            for key in client.scan_iter(match=f"{{mon:{shard}}}:stubs:{model}:*", count=1000)
            for name in client.hkeys(key)
        }
        if len(fields) != expected[model]:
            verdict.stubs_off += abs(len(fields) - expected[model])
            verdict.examples.append(f"stubs of {model}: expected {expected[model]}, found {len(fields)}")


def _letters(
    verdict: Verdict, poisoned: Mapping[tuple[str, int, int], bytes], records: Sequence[Any]
) -> None:
    bodies: dict[tuple[str, int, int], set[bytes]] = {}
    for record in records:
        letter = json.loads(record.value)
        place = (letter["topic"], letter["partition"], letter["offset"])
        bodies.setdefault(place, set()).add(record.value)
        told = (letter["value_head"], letter["value_bytes"])
        if place in poisoned and told != _told(poisoned[place]):
            verdict.letters_of_other_bytes += 1
            verdict.examples.append(f"dead letter of {place}: {told}, the record is {poisoned[place]!r}")
    verdict.letters = len(poisoned)
    verdict.letters_missing = len(poisoned.keys() ^ bodies.keys())
    verdict.letters_two_bodies = sum(len(found) > 1 for found in bodies.values())
    if verdict.letters_missing:
        verdict.examples.append(f"dead letters: {sorted(poisoned.keys() ^ bodies.keys())[:5]}")


def _told(value: bytes) -> tuple[str, int]:
    """How a record's beginning and its size are told."""
    head = value[:200].decode("utf-8", "backslashreplace")
    return head.encode("unicode_escape").decode("ascii")[:600], len(value)


def _alerts(verdict: Verdict, records: Sequence[Any], client: Any) -> None:
    bodies: dict[tuple[str, int, int], set[bytes]] = {}
    published: set[str] = set()
    for record in records:
        alert = json.loads(record.value)
        if "alert_id" not in alert:
            continue  # a heartbeat
        place = (alert["model"], alert["lease_epoch"], alert["sequence"])
        bodies.setdefault(place, set()).add(record.value)
        published.add(alert["alert_id"])
    standing = {
        json.loads(body)["alert_id"]
        for model in MODELS
        for body in client.hvals(f"{{mon:eval:{model}}}:alerts")
    }
    verdict.alerts = len(published)
    verdict.alerts_missing = len(standing - published) + (not published)
    verdict.alerts_two_bodies = sum(len(found) > 1 for found in bodies.values())
    if verdict.alerts_missing or verdict.alerts_two_bodies:
        twice = [sorted(found) for found in bodies.values() if len(found) > 1][:2]
        verdict.examples.append(
            f"alerts: standing but unpublished {standing - published}, two bodies {twice}"
        )
