"""Records on the alerts topic, as a subscriber reads them.

Each is passed on, recognised as old or as a heartbeat, or counted as unreadable; none stops the stream; of
each identity only newer transitions pass; and what passes is printed without moving a cursor.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from monitor.cli.common import console
from monitor.cli.tables import print_alerts
from monitor.core.records import Alert
from monitor.edges.kafka.alert_stream import AlertStream
from tests.fuzz.targets.target import Target

_APART = b"\x1e"


@dataclass(frozen=True)
class _Fetched:
    key: bytes | None
    value: bytes | None


class _Topic:
    """The consumer of a topic whose records are at hand."""

    def __init__(self, records: list[_Fetched]) -> None:
        self._records = records

    def poll(self, timeout_ms: int) -> dict[str, list[_Fetched]]:
        records, self._records = self._records, []
        return {"alerts-0": records}


def run(data: bytes) -> None:
    pieces = data.split(_APART)
    records = [_Fetched(key or None, value or None) for key, _, value in (p.partition(b"\t") for p in pieces)]
    stream = AlertStream("nowhere:1")
    stream._consumer = _Topic(records)
    passed: list[Alert] = stream._poll()
    assert len(passed) + stream.unreadable + len(stream.heartbeats) <= len(records)
    newest: dict[str, tuple[int, int]] = {}
    for alert in passed:
        order = (alert.lease_epoch, alert.sequence)
        assert order > newest.get(alert.identity, (-1, -1)), "only newer transitions pass"
        newest[alert.identity] = order
        assert Alert.model_validate_json(alert.model_dump_json()).model_dump_json() == alert.model_dump_json()
    paper = io.StringIO()
    print_alerts(on(paper), passed)
    shown = paper.getvalue()
    assert all(line.isprintable() for line in shown.split("\n")), "a terminal is shown text and nothing else"
    shown.encode()


def on(paper: io.StringIO) -> Console:
    """The console of the commands, on paper."""
    found = console()
    found.file = paper
    return found


def _alert(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "identity": "i", "alert_id": "a", "lease_epoch": 1, "sequence": 2, "state": "open",
        "severity": "page", "model": "m", "kind": "drift", "subject": {"feature": "age"},
        "summary": "age drifted", "advice": "Look.",
        "began_at": "2026-01-01T00:00:00Z", "opened_at": "2026-01-01T00:00:00Z",
        "published_at": "2026-01-01T00:00:00Z", "log_evidence": 9.0, "log_threshold": 5.0, "effect": 0.3,
        "effect_unit": "psi", "rows": 10, **changes,
    }  # fmt: skip
    return b"i\t" + Alert(**fields).model_dump_json().encode()


TARGET = Target(
    run,
    seeds=(
        _alert() + _APART + _alert(sequence=3, state="resolved", resolved_at="2026-01-02T00:00:00Z"),
        _alert(request_ids=["r-1"], notes=["n"], excess=3.5, values={"x": 1}, consequence_of="j", cases=[{}]),
        _alert(severity="notice", state="acknowledged", schema_change=[{"feature": "a"}]),
        b'heartbeat/m\t{"record":"heartbeat","model":"m","lease_epoch":1,"published_at":"2026-01-01T00:00:00Z",'
        b'"every_s":30,"evaluated_until":null,"open_alerts":0,"blind":[]}\x1ei\t\x1e\t{}',
    ),
)
