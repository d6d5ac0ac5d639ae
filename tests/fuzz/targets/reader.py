"""Arguments of the reading library, as a person or a program may give them.

A question is answered or refused in a sentence; an answer can be written as JSON, its intervals hold their
values, and no slice has more requests than all traffic.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from monitor.core.errors import QueryError
from monitor.core.metrics import METRICS_OF
from monitor.core.metrics.estimate import Estimate
from monitor.edges.memory import ManualClock, MemoryStore
from monitor.edges.reader import MetricsReader
from tests.fuzz.feed import Feed
from tests.fuzz.loop import done
from tests.fuzz.targets.target import Target
from tests.support.topology import Log, Worker, plan
from tests.support.traffic import make_log

_START_S = 1_700_000_000 // 3_600 * 3_600
_SPAN_S = 1_800
_NOW_MS = (_START_S + _SPAN_S) * 1000
_NAMES = ("credit", "shadow", "none", "")
_METRICS = tuple(metric.name for metrics in METRICS_OF.values() for metric in metrics)
_DURATIONS = ("1h", "5m", "1s", "0s", "30m", "1h30m", "7d", "1.5h", "1e3", "9w", "400d", "x", "-1", "1" * 30)
_INSTANTS = (
    "2023-11-14T22:13:20Z", "2023-11-14", "2023-11-14 23:13+01:00", "1970-01-01", "9999-12-31T23:59:59Z",
    "now", "0001-01-01T00:00:00+14:00", "1700000000", "1700000000123", "2023-02-30", "20231114T22",
    "2023-W46-2",
)  # fmt: skip
_WHERE: tuple[Mapping[str, str], ...] = (
    {}, {"sex": "Female"}, {"sex": "Female", "device": "iPhone"}, {"slice": "young"}, {"age": "[25, 40)"},
    {"model_version": "1"}, {"sex": "nobody"},
)  # fmt: skip


@cache
def _reader() -> MetricsReader:
    log = Log(make_log(7, 120, start_s=_START_S, span_s=_SPAN_S, models=("credit",)), _NOW_MS)
    store = MemoryStore(2, {"credit": 600}, ManualClock(_NOW_MS))
    worker = Worker(store, log, {"credit": plan("credit")})

    async def work() -> None:
        await worker.take(list(log.partitions))
        for partition in log.partitions:
            while await worker.step(partition, 50):
                pass

    done(work())
    return MetricsReader(store.reader())


def run(data: bytes) -> None:
    feed = Feed(data)
    ask = feed.pick(_QUESTIONS)
    try:
        answer = ask(_reader(), feed)
    except QueryError as error:
        assert 0 < len(str(error)) < 5_000, "a refusal is a sentence"
        return
    json.dumps(answer, allow_nan=False)


def _duration(feed: Feed) -> Any:
    match feed.below(5):
        case 0 | 1:
            return feed.pick(_DURATIONS)
        case 2:
            return feed.number()
        case 3:
            return timedelta(seconds=feed.below(256) * 77.5)
        case _:
            return feed.text()


def _instant(feed: Feed) -> Any:
    match feed.below(5):
        case 0:
            return feed.pick(_INSTANTS)
        case 1:
            return feed.number()
        case 2 | 3:
            return _START_S + feed.below(256) * 8
        case _:
            return feed.text() if feed.flag() else datetime(1 + feed.below(256) * 39, 1, 1, tzinfo=UTC)


def _window(feed: Feed) -> dict[str, Any]:
    match feed.below(4):
        case 0:
            return {}
        case 1:
            return {"since": _duration(feed)}
        case 2:
            return {"from_": _instant(feed), "to": _instant(feed)}
        case _:
            return (
                {"since": _duration(feed), "from_": _instant(feed)} if feed.flag() else {"to": _instant(feed)}
            )


def _model(feed: Feed) -> str:
    return "credit" if feed.below(4) else feed.pick(_NAMES) or feed.text()


def _definition(feed: Feed) -> Mapping[str, str]:
    return feed.pick(_WHERE) if feed.below(4) else {feed.text(): feed.text()}


def _level(feed: Feed) -> float:
    return 0.95 if feed.below(4) else float(feed.pick((0.5, 0.0, 1.0, -1.0, 1e-300, 0.999999, float("nan"))))


def _slices(reader: MetricsReader, feed: Feed) -> Any:
    metrics = None if feed.flag() else [feed.pick(_METRICS) for _ in range(feed.below(4))]
    if metrics and not feed.below(8):
        metrics.append(feed.text())
    reports = reader.slices(
        _model(feed), **_window(feed), metrics=metrics, where=_definition(feed), level=_level(feed),
        ready_at=feed.below(12) / 10, wait=_duration(feed) if feed.flag() else None, estimates=feed.flag(),
    )  # fmt: skip
    for report in reports:
        for estimate in [*report.metrics.values(), *report.estimates.values()]:
            _sound(estimate)
        assert 0 <= report.labelled <= report.requests
        assert reports[0].slice or report.requests <= reports[0].requests, "a part is no more than all"
    return [report.to_dict() for report in reports]


def _sound(estimate: Estimate) -> None:
    assert (estimate.value is None) == (estimate.reason is not None), "a value or a reason"
    if estimate.value is not None and estimate.low is not None and estimate.high is not None:
        assert estimate.low <= estimate.value + 1e-9, "an interval holds its value"
        assert estimate.value <= estimate.high + 1e-9, "an interval holds its value"


def _series(reader: MetricsReader, feed: Feed) -> Any:
    metric = feed.pick(_METRICS) if feed.below(8) else feed.text()
    points = reader.series(
        _model(feed), _definition(feed), metric, step=_duration(feed),
        level=_level(feed), **_window(feed),
    )  # fmt: skip
    for point in points:
        _sound(point.estimate)
    return [point.to_dict() for point in points]


def _trends(reader: MetricsReader, feed: Feed) -> Any:
    found = reader.trends(
        _model(feed), [_definition(feed), {}], feed.pick(_METRICS), _duration(feed), 1 + feed.below(48)
    )
    return {key: [point.to_dict() for point in points] for key, points in found.items()}


def _counts(reader: MetricsReader, feed: Feed) -> Any:
    found = reader.counts(_model(feed), where=_definition(feed), **_window(feed))
    return {key: counts.scalars.tolist() for key, counts in found.items()}


def _groups(reader: MetricsReader, feed: Feed) -> Any:
    found = reader.groups(_model(feed), [{"sex"}, {feed.text()}, set()], **_window(feed))
    return [dict(parts) for parts, _ in found.of(["sex"])]


def _violations(reader: MetricsReader, feed: Feed) -> Any:
    return [row.to_dict() for row in reader.violations(_model(feed), **_window(feed))]


def _join(reader: MetricsReader, feed: Feed) -> Any:
    found = reader.join(_model(feed), wait=_duration(feed), **_window(feed))
    assert all(count >= 0 for count in found.counts.values())
    return found.to_dict()


def _probes(reader: MetricsReader, feed: Feed) -> Any:
    return reader.probes(_model(feed), _duration(feed) if feed.flag() else None, _definition(feed)).to_dict()


_QUESTIONS: tuple[Callable[[MetricsReader, Feed], Any], ...] = (
    _slices, _series, _trends, _counts, _groups, _violations, _join, _probes,
)  # fmt: skip

TARGET = Target(
    run,
    seeds=(
        *(bytes([kind]) + bytes(range(1, 40)) for kind in range(8)),
        b"\x01\x01\x00\x00\x01\x00\x01\x02\x00" * 4,
    ),
    bytes_max=200,
)
