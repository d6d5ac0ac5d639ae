"""What a store holds, damaged or of another version, read back by every reader of it.

It is read or refused (`StoreRefused`): no reader falls over it, nothing less than nothing was counted, and a
pending prediction that is read is the one that was written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.core.counters import (
    DEFAULT_TIERS,
    RANKING,
    SCALARS,
    SCORES,
    VIOLATIONS,
    CellKey,
    Counts,
    Ranking,
)
from monitor.core.errors import QueryError, StoreRefused
from monitor.core.evaluation.stored import dump, load
from monitor.core.hints import Hint
from monitor.core.join import join_labels, join_predictions
from monitor.core.stubs import LabelState, Order, Stub
from monitor.core.times import INSTANT_END_MS
from monitor.core.understood import stored_alerts
from monitor.edges.alert_evidence import case_by_id, cases_of, samples_of
from monitor.edges.reader import MetricsReader
from monitor.edges.redis.reader import RedisReader
from monitor.edges.redis.registry import names_of
from monitor.edges.redis.store import _fence
from tests.fuzz.feed import Feed
from tests.fuzz.targets.target import Target

_KEY = b"k" * 12


class _Redis:
    """A Redis that holds whatever the fuzzer says, under every key."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def _bytes(self) -> bytes:
        kind = self._feed.below(4)
        return (
            _WRITTEN[self._feed.below(len(_WRITTEN))] if not kind else self._feed.take(self._feed.below(40))
        )

    def _some(self, of: Callable[[], Any]) -> list[Any]:
        return [of() for _ in range(self._feed.below(4))]

    def call(self, *command: Any) -> Any:
        match command[0]:
            case "TIME":
                return [b"1700000000", b"0"]
            case "HGETALL":
                return dict(self._some(lambda: (self._bytes(), self._bytes())))
            case "MGET":
                return [None if self._feed.flag() else self._bytes() for _ in command[1:]]
            case "HMGET":
                return [None if self._feed.flag() else self._bytes() for _ in command[2:]]
            case "ZRANGE" | "HVALS" | "LRANGE":
                return self._some(self._bytes)
            case "XLEN":
                return self._feed.below(256)
            case "XRANGE":
                return self._some(lambda: (b"1700000000000-0", {}))
            case _:
                return None if self._feed.flag() else self._bytes()

    def many(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        return [self.call(*command) for command in commands]


@dataclass(frozen=True)
class _State:
    """One of every sort of thing that an evaluator remembers."""

    number: int
    share: float
    name: str
    counts: Counts
    seen: frozenset[str]
    pairs: tuple[tuple[str, int], ...]
    more: dict[str, float]
    last: int | None


_STATE = _State(3, 0.5, "a", np.arange(3), frozenset({"x"}), (("a", 1),), {"b": 0.25}, None)
_STUBS = (
    Stub(1_700_000_000_000, True, 0.25, 1, (3, 9), LabelState(1.0, Order(7, 1, 2))),
    Stub(1_700_000_000_000, False, 0.5, 7, (), None, b"rest"),
    Stub(-1, False, float("nan"), -1, (), LabelState(0.0, Order(1_700_000_000_000, 1, 2))),
)
_WRITTEN = (
    *(stub.pack() for stub in _STUBS), b"7:3", b"5:1700000000000", b"0:0:0:0", b'{"sex":"Female"}', b"slices",
    b"1700000000000:{}", b'["a","b"]', b"\x84\xa1a\x01", Hint("mean_score", 5, 0.25, 0.5).pack(), b"binary",
    b"multiclass", b"regression in units of 2^10", b"topic-0", b'{"id":"a","cases":[]}', dump(_STATE, 1),
)  # fmt: skip


def run(data: bytes) -> None:
    feed = Feed(data)
    ask = feed.pick(_QUESTIONS)
    try:
        answer = ask(feed)
    except (StoreRefused, QueryError) as error:
        assert 0 < len(str(error)) < 5_000, "a refusal is a sentence"
        return
    json.dumps(answer, allow_nan=False, default=repr)


def _reader(feed: Feed) -> RedisReader:
    reader = RedisReader("redis://nowhere:1/0", 1 + feed.below(2))
    reader._link = _Redis(feed)  # type: ignore[assignment]
    return reader


def _stub(feed: Feed) -> Any:
    written = feed.pick(_STUBS).pack()
    at = feed.below(len(written) + 1)
    changed = written[:at] + feed.take(feed.below(12)) + written[at + feed.below(12) :]
    stub = Stub.unpack(changed)
    assert _same(Stub.unpack(stub.pack()), stub), "what is read is what was written"
    assert -INSTANT_END_MS <= stub.time_ms < INSTANT_END_MS
    label = (np.array([1.0]), np.array([5]), 3, np.array([9]), {_KEY: changed}, [True])
    joined = join_labels([_KEY], *label)
    for value in joined.values.values():
        assert Stub.unpack(value).label is not None
    joined = join_predictions([_KEY], [_STUBS[0].pack()], {_KEY: changed}, [True])
    for value in joined.values.values():
        assert Stub.unpack(value).has_prediction
    return None


def _same(one: Stub, other: Stub) -> bool:
    return repr(one) == repr(other)


def _counters(feed: Feed) -> Any:
    kind = feed.pick((SCALARS, SCORES, VIOLATIONS))
    found = _reader(feed).read([CellKey(kind, tier, 0, "m") for tier in DEFAULT_TIERS if kind.kept_s(tier)])
    return [None if counts is None else counts.tolist() for counts in found]


def _rankings(feed: Feed) -> Any:
    keys = [CellKey(RANKING, tier, 0, "m") for tier in DEFAULT_TIERS if RANKING.kept_s(tier)]
    for rows in _reader(feed).read_rows(keys):
        Ranking.of(rows or b"")
    return None


def _state(feed: Feed) -> Any:
    written = dump(_STATE, 1)
    at = feed.below(len(written))
    held = load(_State, written[:at] + feed.take(3) + written[at + feed.below(4) :], 1)
    assert held is None or type(held.number) is int
    return None


def _metrics(feed: Feed) -> Any:
    reader = MetricsReader(_reader(feed))
    match feed.below(4):
        case 0:
            return [report.to_dict() for report in reader.slices("m", estimates=False)]
        case 1:
            return reader.join("m").to_dict()
        case 2:
            return reader.probes("m").to_dict()
        case _:
            return [row.to_dict() for row in reader.violations("m")]


def _samples(feed: Feed) -> Any:
    reader = _reader(feed)
    found = samples_of(reader.evidence("m", "errors/0"))
    cases_of(found, "m")
    return case_by_id(reader, "m", "a")


_QUESTIONS: tuple[Callable[[Feed], Any], ...] = (
    _stub, _counters, _rankings, _state, _metrics, _samples,
    lambda feed: _reader(feed).registry("m", "slices"),
    lambda feed: _reader(feed).worst_cases("m"),
    lambda feed: _reader(feed).buckets("m", "1m"),
    lambda feed: _reader(feed).state("m"),
    lambda feed: stored_alerts(_reader(feed).alerts("m").values()),
    lambda feed: list(_reader(feed).partitions().values()),
    lambda feed: repr(_reader(feed).own_health(["m"])),
    lambda feed: _reader(feed).evaluated_s(["m"]),
    lambda feed: _reader(feed).view("m", "5m/all"),
    lambda feed: _reader(feed).outbox_dropped(["m"]),
    lambda feed: repr(_fence(feed.take(20))),
    lambda feed: names_of({feed.take(4): feed.take(8)}),
    lambda feed: repr(Hint.unpack(feed.take(40))),
)  # fmt: skip

TARGET = Target(
    run,
    seeds=tuple(
        bytes([kind]) + bytes((number * 7 + kind) % 251 for number in range(120)) for kind in range(19)
    ),
    bytes_max=600,
)
