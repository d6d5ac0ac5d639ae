"""The stream of alerts remembers no more than it may, whatever comes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from monitor.core.alerts import identity_of
from monitor.core.records import Alert, Heartbeat
from monitor.edges.kafka import alert_stream
from monitor.edges.kafka.alert_stream import AlertStream

AT = "2026-01-01T00:00:00Z"


@dataclass
class Fetched:
    key: bytes | None
    value: bytes | None


class Topic:
    """A consumer whose records are at hand."""

    def __init__(self, records: list[Fetched]) -> None:
        self._records = records

    def poll(self, timeout_ms: int) -> dict[str, list[Fetched]]:
        return {"alerts-0": self._records}


def alert(identity: str, sequence: int, **changes: Any) -> Fetched:
    fields = {
        "identity": identity, "alert_id": "a", "lease_epoch": 1, "sequence": sequence, "state": "open",
        "severity": "page", "model": "m", "kind": "drift", "subject": {}, "summary": "s", "advice": "a",
        "began_at": AT, "opened_at": AT, "published_at": AT, "log_evidence": 1, "log_threshold": 1,
        "effect": 1, "effect_unit": "rate", "rows": 1, **changes,
    }  # fmt: skip
    return Fetched(identity.encode(), json.dumps(fields).encode())


def heartbeat(model: str, **changes: Any) -> Fetched:
    fields = {"model": model, "lease_epoch": 1, "published_at": AT, "every_s": 30, "evaluated_until": None,
              "open_alerts": 0, **changes}  # fmt: skip
    return Fetched(f"heartbeat/{model}".encode(), json.dumps(fields).encode())


def take(stream: AlertStream, *records: Fetched) -> list[tuple[str, int]]:
    stream._consumer = Topic(list(records))
    return [(one.identity, one.sequence) for one in stream._poll()]


def test_alerts_heard_of_longest_ago_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_stream, "REMEMBERED_MAX", 3)
    stream = AlertStream("nowhere:1")
    assert len(take(stream, *(alert(name, 1) for name in "abc"))) == 3
    assert take(stream, alert("a", 1)) == [], "a repeat: heard of, not passed"
    assert take(stream, alert("d", 1)) == [("d", 1)]
    assert take(stream, alert("a", 1), alert("c", 1), alert("d", 1)) == []
    assert take(stream, alert("b", 1)) == [("b", 1)], "forgotten, it comes once more"


def test_heartbeats_are_of_so_many_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_stream, "REMEMBERED_MAX", 3)
    stream = AlertStream("nowhere:1")
    take(stream, *(heartbeat(name) for name in ("m1", "m2", "m3", "m1", "m4")))
    assert list(stream.heartbeats) == ["m3", "m1", "m4"]


def test_a_flood_of_identities_and_models_stays_bounded() -> None:
    stream, many = AlertStream("nowhere:1"), alert_stream.REMEMBERED_MAX + 50
    for first in range(0, many, 1_000):
        numbers = range(first, min(first + 1_000, many))
        take(stream, *(alert(f"i-{i}", 1) for i in numbers), *(heartbeat(f"m-{i}") for i in numbers))
    assert len(stream._newest._seen) == len(stream.heartbeats) == alert_stream.REMEMBERED_MAX
    assert stream.unreadable == 0


@pytest.mark.parametrize("changes", [{"lease_epoch": 10**400}, {"lease_epoch": 2**63}, {"sequence": 2**63}])
def test_an_order_beyond_64_bits_is_no_alert_and_mutes_none(changes: dict[str, int]) -> None:
    stream = AlertStream("nowhere:1")
    assert take(stream, alert("a", **{"sequence": 0, **changes}), alert("a", 5)) == [("a", 5)]
    assert stream.unreadable == 1


@pytest.mark.parametrize(
    "record",
    [
        alert("x" * 129, 1),
        alert("a", 1, alert_id="x" * 129),
        alert("a", 1, model="m" * 65),
        heartbeat("m" * 65),
        heartbeat(""),
        heartbeat("a model"),
        heartbeat("m", lease_epoch=2**63),
    ],
)
def test_what_is_longer_than_any_name_is_no_record(record: Fetched) -> None:
    stream = AlertStream("nowhere:1")
    assert take(stream, record) == []
    assert stream.unreadable == 1
    assert not stream.heartbeats


def test_what_the_monitor_itself_writes_is_within_the_bounds() -> None:
    model, most = "m" * 64, 2**63 - 1
    written = alert(identity_of(model, "drift", {"feature": "x" * 500}), most, model=model, lease_epoch=most)
    beat = heartbeat(model, lease_epoch=most)
    assert Alert.model_validate_json(written.value or b"").sequence == most
    assert Heartbeat.model_validate_json(beat.value or b"").model == model
