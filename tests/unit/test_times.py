from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.times import format_duration, format_instant, parse_duration, parse_instant


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7d", 604_800),
        ("1w", 604_800),
        ("90s", 90),
        ("1h30m", 5_400),
        ("1h 30m", 5_400),
        ("1.5H", 5_400),
        ("90", 90),
        (90, 90),
        (90.0, 90),
        (0, 0),
        (timedelta(hours=1), 3_600),
    ],
)
def test_durations(text: Any, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "7 days", "-1h", -1, float("nan"), float("inf"), "1e999", True, "1h!", "0.5s"]
)
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"duration|whole number of seconds"):
        parse_duration(text)


@given(st.integers(0, 10**9))
def test_durations_round_trip(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


NOON_MS = 1_795_435_200_000
ALSO_NOON = [
    "2026-11-23T12:00:00Z",
    "2026-11-23T12:00:00",
    "2026-11-23 12:00",
    "2026-11-23T13:00:00+01:00",
    "20261123T120000Z",
    1_795_435_200,
    1_795_435_200.0,
    1_795_435_200_000,
    "1795435200",
    "1795435200000",
    "1.7954352e9",
    datetime(2026, 11, 23, 12, tzinfo=UTC),
    datetime(2026, 11, 23, 12),  # noqa: DTZ001 - a naive datetime is what is tested
    datetime(2026, 11, 23, 13, tzinfo=timezone(timedelta(hours=1))),
]


@pytest.mark.parametrize("value", ALSO_NOON)
def test_every_form_of_one_instant(value: Any) -> None:
    assert parse_instant(value) == NOON_MS


@pytest.mark.parametrize(
    "value", ["", "noon", "2026-13-01", "1h", True, float("nan"), float("inf"), -5, "-5", "1e30", 10**30]
)
def test_what_is_no_instant_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"instant|between the years"):
        parse_instant(value)


@given(st.integers(0, 253_402_300_799_999))
def test_instants_round_trip(instant_ms: int) -> None:
    assert abs(parse_instant(format_instant(instant_ms / 1000)) - instant_ms) <= 1
