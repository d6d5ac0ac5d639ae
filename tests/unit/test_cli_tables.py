"""What people see of answers."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from monitor.cli import tables
from monitor.cli.status import show
from monitor.core.records import Alert, AlertKind, AlertState, Severity

WHEN = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


def page(draw: Any, *arguments: Any) -> str:
    """Text of what is printed, on a wide page."""
    out = Console(file=io.StringIO(), width=200, highlight=False)
    draw(out, *arguments)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def report(slice_: dict[str, str], requests: int, **metrics: Any) -> dict[str, Any]:
    return {"slice": slice_, "requests": requests, "labelled": requests // 2, **metrics}


def test_slices_in_reading_order() -> None:
    reports = [
        report({"sex": "Male"}, 5),
        report({"sex": "Male", "race": "Black"}, 9),
        report({"sex": "Female"}, 7),
        report({}, 12),
        report({"age": "[25, 40)"}, 1),
    ]
    found = [tables.slice_name(item["slice"]) for item in tables.in_reading_order(reports)]
    assert found == ["all traffic", "age=[25, 40)", "sex=Female", "sex=Male", "sex=Male race=Black"]


def test_the_table_of_slices() -> None:
    reports = [
        report({}, 12_000, accuracy={"value": 0.9, "low": 0.88, "high": 0.92}),
        report({"sex": "[b]"}, 10, accuracy={"value": None, "reason": "no labelled rows"}),
    ]
    text = page(tables.print_slices, "income", reports, [])
    assert "0.900 [0.880, 0.920]" in text
    assert "12,000" in text
    assert "sex=[b]" in text
    assert "— accuracy: no labelled rows" in text
    assert "f1" not in text
    assert "Nothing in this window" in page(tables.print_slices, "income", [], [])


def test_a_narrow_page_keeps_the_names_of_slices_whole() -> None:
    figures = {name: {"value": 0.9, "low": 0.88, "high": 0.92} for name in tables.COLUMNS}
    out = Console(file=io.StringIO(), width=80, highlight=False)
    reports = [report({}, 12_000, **figures), report({"education": "Some-college"}, 10, **figures)]
    tables.print_slices(out, "income", reports, [])
    assert isinstance(out.file, io.StringIO)
    text = out.file.getvalue()
    assert "education=Some-college" in text
    assert "accuracy" in text
    assert "log loss" not in text
    assert "2 left out: f1, log_loss; a wider page, --metric, or --json has them" in " ".join(text.split())


AMOUNTS = {
    "coverage": {"value": 0.95, "low": 0.94, "high": 0.96},
    "mae": {"value": 75_796.66, "low": 71_000.2, "high": 80_123.9},
    "rmse": {"value": 1_234_567.8, "low": 1_100_000.0, "high": 1_300_000.0},
    "bias": {"value": -12_345.6, "low": -20_000.0, "high": -4_000.0},
    "r2": {"value": 0.81, "low": 0.79, "high": 0.83},
    "interval_coverage": {"value": 0.9, "low": 0.88, "high": 0.92},
}


@pytest.mark.parametrize("metrics", [[], ["mae", "rmse"], list(AMOUNTS)])
@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_number_of_a_regression_is_cut(width: int, metrics: list[str]) -> None:
    out = Console(file=io.StringIO(), width=width, highlight=False)
    rows = [report({}, 1_200_000, **AMOUNTS), report({"region": "north"}, 10, **AMOUNTS)]
    tables.print_slices(out, "price", rows, metrics)
    assert isinstance(out.file, io.StringIO)
    text = out.file.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    shown = " ".join(text.split())
    if width >= 80 or metrics[:1] == ["mae"]:
        assert "75,797" in shown
    assert "75796" not in shown
    assert ("left out" in shown) == ((width < 80 and len(metrics) != 2) or width < 60)


WORKER = {
    "worker": "monitor-worker-7d9f8b6c5-x2x4z-12-3fa9bc", "silent_s": 1.0, "partitions": 12,
    "records": 123_456_789, "rejected": {"no_request_id": 7, "unknown_label": 1_234, "not_json": 3},
    "lag": 1_234_567, "fence_age_s": 2.0, "flush_ms_p50": 4.0, "flush_ms_p99": 1_900.0,
    "evaluator_age_s": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_table_of_workers_fits_the_page(width: int) -> None:
    out = Console(file=io.StringIO(), width=width, highlight=False)
    found = {"workers": [WORKER], "outboxes": {}, "evaluated_s": {}, "probe_budgets_rows_per_s": {}}
    show(out, found | {"lost": [], "blind": []})
    assert isinstance(out.file, io.StringIO)
    text = out.file.getvalue()
    shown = " ".join(text.split())
    assert "…" not in text
    assert "123,456,789" in text
    assert "1,234 unreadable, unknown_label" in shown
    assert ("left out: " in shown) == (width < 160)
    assert ("4 to 1900" in text) == (width == 160)


def test_the_table_of_violations() -> None:
    rows = [{"feature": "age", "code": "out_of_range", "count": 1_200, "rate": 0.05}]
    text = page(tables.print_violations, "income", rows)
    assert "out_of_range" in text
    assert "5.000%" in text
    assert "count as valid" not in text
    assert "No violation" in page(tables.print_violations, "income", [])


def test_the_table_of_violations_says_which_are_doubts() -> None:
    rows = [
        {"feature": "age", "code": "out_of_range", "count": 1_200, "rate": 0.05},
        {"feature": "job", "code": "near_miss", "count": 12, "rate": 0.0005},
    ]
    text = page(tables.print_violations, "income", rows)
    assert "near_miss: doubts about texts; the records count as valid" in text


def alert(**changes: Any) -> Alert:
    fields: dict[str, Any] = {
        "identity": "i", "alert_id": "a", "lease_epoch": 1, "sequence": 1, "state": AlertState.OPEN,
        "severity": Severity.PAGE, "model": "income", "kind": AlertKind.VIOLATION_RATE,
        "subject": {"feature": "age", "code": "out_of_range"}, "summary": "age is out of range [0, 120]",
        "advice": "Look at its producer.", "began_at": WHEN, "opened_at": WHEN, "published_at": WHEN,
        "log_evidence": 20.0, "log_threshold": 12.0, "effect": 0.1, "effect_unit": "rate", "rows": 1_000,
        "excess": 99.0, "request_ids": ["r-1"], "notes": ["selective labels"],
    }  # fmt: skip
    return Alert(**fields | changes)


def test_alerts() -> None:
    text = page(tables.print_alerts, [alert()])
    assert "open income violation_rate: age is out of range [0, 120]" in text
    for part in (
        "2026-11-23 09:30:00",
        "1,000 rows",
        "99 rows beyond",
        "Look at its",
        "r-1",
        "selective labels",
    ):
        assert part in text
    consequence = alert(identity="j", severity=Severity.NOTICE, summary="worse", consequence_of="i")
    both = page(tables.print_alerts, [alert(), consequence])
    assert "open (notice) income violation_rate: worse\n  follows from: age is out of range" in both
    silent = page(tables.print_alerts, [alert(kind=AlertKind.MISSING_TRAFFIC, subject={})])
    assert "99 requests missing" in silent
    known = page(tables.print_alerts, [alert(state=AlertState.ACKNOWLEDGED, severity=Severity.NOTICE)])
    assert known.count("\n") == 1
    resolved = page(tables.print_alerts, [alert(state=AlertState.RESOLVED, resolved_at=WHEN)])
    assert "resolved 09:30:00" in resolved
    assert "Look at its" not in resolved
    assert "No open alert" in page(tables.print_alerts, [])
