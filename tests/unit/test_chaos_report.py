"""The arithmetic of the chaos suite: its oracle, its comparison with stock Faust, its report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from monitor.ports import Partition
from tests.chaos.report import summary, table
from tests.chaos.stock import Count, compared
from tests.chaos.verdict import Verdict
from tests.support.traffic import coarser, make_log, oracle


@dataclass(frozen=True)
class _Record:
    topic: str
    partition: int
    offset: int
    value: bytes


def _record(offset: int, request_id: str) -> _Record:
    body = {"model": "credit", "request_id": request_id, "score": 0.5}
    return _Record("predictions", 0, offset, json.dumps(body).encode())


def test_an_hour_is_the_sum_of_its_minutes() -> None:
    log = [
        (message.topic, message.partition, offset, message.value)
        for offset, message in enumerate(make_log(5, 200, start_s=1_700_000_040, span_s=5_000))
    ]
    assert coarser(oracle(log, 60), 3_600) == oracle(log, 3_600)


def test_what_stock_faust_did_not_count_is_lost_below_its_position_and_unread_above() -> None:
    records = [_record(n, request_id) for n, request_id in enumerate(["a", "b", "c", "c", "d", "e"])]
    records.append(_Record("predictions", 0, 6, b"{"))
    found = {("counts:predictions:credit", name): times for name, times in [("a", 1), ("c", 3), ("d", 1)]}
    count = compared(records, {Partition("predictions", 0): 4}, found)
    assert count == Count(records=7, lost=1, double=1, unread=1)


def _entry(**changed: Any) -> dict[str, Any]:
    names = Verdict.__dataclass_fields__
    strikes = [
        {"name": "zombie", "struck": True, "recovery_s": 2.0},
        {"name": "redis_cut", "struck": False, "recovery_s": 9.0},
    ]
    entry = {"seed": 1, "broker": "bundled", "faults": strikes, "error": None, **dict.fromkeys(names, 0)}
    return entry | changed


def test_a_report_counts_runs_that_ended_and_shows_those_that_did_not() -> None:
    entries = [_entry(records=10), _entry(records=5, lost=2, broker="apache"), _entry(error="NotRecovered")]
    fuzz = [{"target": "decode", "minutes": 60, "findings": 0}]
    report = summary(entries, {"fuzz": fuzz})
    assert (report["runs"], report["runs_not_ended"], report["runs_on_apache_kafka"]) == (2, 1, 1)
    assert (report["records"], report["lost"]) == (15, 2)
    assert report["faults"] == {"zombie": {"times": 2, "lost": 2, "double": 0, "recovery_s_p95": 2.0}}
    assert report["fuzz"] == fuzz
    assert report["stock_faust"] is None


def test_stock_faust_stands_beside_the_monitor() -> None:
    stock = {
        "stock_faust": "zombie", "seed": 3, "broker": "bundled", "error": None, "struck": True,
        "recovered": True, "recovery_s": 4.0, "ended": False,
        "records": 100, "lost": 7, "double": 1_500, "unread": 3,
    }  # fmt: skip
    report = summary([_entry(records=10), stock], {})
    assert report["records"] == 10
    assert report["stock_faust"] == {
        "runs": 1, "runs_not_ended": 0, "runs_stuck": 1, "records": 100,
        "lost": 7, "double": 1_500, "unread": 3,
        "faults": {"zombie": {"times": 1, "lost": 7, "double": 1_500, "unread": 3, "recovery_s_p95": 4.0}},
    }  # fmt: skip
    assert "| `zombie` | 1 | 0 | 0 | 2.0 s | 1 | 7 | 1,500 |" in table(report)
    assert summary([_entry()], {"stock_faust": report["stock_faust"]})["stock_faust"]["lost"] == 7
