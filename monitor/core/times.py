"""Durations and instants as people write them, read in one place: settings, records, command line, reader."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_UNIT_S: Final = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_PIECE: Final = re.compile(r"(\d+(?:\.\d+)?)([wdhms])")
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")

_SECONDS_BELOW: Final = 1e11
"""A number below this is epoch seconds (until the year 5138), from it on epoch milliseconds (since 1973)."""

INSTANT_END_MS: Final = 253_402_300_800_000
"""The year 10000, where `datetime` ends."""


ABSENT: Final = -2
"""In a column of instants: there is none."""

_FLOAT_WHOLE: Final = 2**53 / 1000
"""Numbers below it, in seconds or milliseconds, are exact as doubles."""

_HOUR_CHARS: Final = 14  # 2026-11-23T09:
_SECONDS_CHARS: Final = 6  # 30:00Z
_DIGITS: Final = [0, 1, 3, 4]
_DIGITS_WITH_MS: Final = [*_DIGITS, 6, 7, 8]

_MARKS: Final = {
    20: {4: "-", 7: "-", 10: "T", 13: ":", 16: ":", 19: "Z"},
    24: {4: "-", 7: "-", 10: "T", 13: ":", 16: ":", 19: ".", 23: "Z"},
}
"""Width of a time as text → where its punctuation stands."""


def parse_duration(text: str | float | timedelta) -> int:
    """Seconds of a duration.

    Args:
        text: "7d", "90s", "1h30m", "1.5h"; a number (also as text) is seconds. Units: w, d, h, m, s.

    Returns:
        Whole seconds, 0 or more.

    Raises:
        ValueError: not a duration, negative, or not whole seconds.

    >>> parse_duration("7d"), parse_duration("1h30m"), parse_duration(90), parse_duration("1.5h")
    (604800, 5400, 90, 5400)
    """
    problem = ValueError(f"not a duration: {text!r}; write 7d, 12h, 30m, 90s or 1h30m (units w, d, h, m, s)")
    if isinstance(text, timedelta):
        seconds = text.total_seconds()
    elif isinstance(text, bool):
        raise problem
    elif isinstance(text, int | float):
        seconds = _float(text)
    else:
        squeezed = text.replace(" ", "").lower()
        pieces = _PIECE.findall(squeezed)
        if _NUMBER.fullmatch(squeezed):
            seconds = float(squeezed)
        elif pieces and "".join(number + unit for number, unit in pieces) == squeezed:
            seconds = sum(float(number) * _UNIT_S[unit] for number, unit in pieces)
        else:
            raise problem
    if not math.isfinite(seconds) or seconds < 0:
        raise problem
    if seconds != math.floor(seconds):
        raise ValueError(f"not a whole number of seconds: {text!r}")
    return int(seconds)


def parse_instant(value: str | float | datetime) -> int:
    """Epoch milliseconds of an instant.

    Args:
        value: ISO 8601 ("2026-11-23T09:30:00Z", "2026-11-23 10:30+01:00", "2026-11-23"; UTC where no zone is
            given), a `datetime` (UTC where naive), epoch seconds, or epoch milliseconds (from 1e11 on).
            Text made of digits is a number.

    Returns:
        Epoch milliseconds, from 0 (1970) to before the year 10000; fractions are rounded down.

    Raises:
        ValueError: not an instant, or outside that range.

    >>> parse_instant("1970-01-01T01:00:01+01:00"), parse_instant(1.5), parse_instant(1_700_000_000_123)
    (1000, 1500, 1700000000123)
    """
    problem = ValueError(
        f"not an instant: {value!r}; write ISO 8601 (2026-11-23T09:30:00Z) or epoch seconds or milliseconds"
    )
    if isinstance(value, bool):
        raise problem
    if isinstance(value, datetime):
        instant_ms = _of_datetime(value)
    elif isinstance(value, int | float):
        instant_ms = _of_number(value, problem)
    else:
        text = value.strip()
        if _NUMBER.fullmatch(text):
            instant_ms = _of_number(float(text) if not text.isdecimal() else int(text), problem)
        else:
            try:
                instant_ms = _of_datetime(datetime.fromisoformat(text))
            except ValueError:
                raise problem from None
    if not 0 <= instant_ms < INSTANT_END_MS:
        raise ValueError(f"not between the years 1970 and 9999: {value!r}")
    return instant_ms


def instants_ms(values: Sequence[Any]) -> NDArray[np.int64]:
    """`parse_instant` of a column, int64[n]: `ABSENT` for None, -1 for what is no instant.

    >>> instants_ms(["1970-01-01T00:00:01.500Z", None, "soon"]).tolist()
    [1500, -2, -1]
    """
    types = set(map(type, values))
    found = None
    if types == {str}:
        found = _of_texts(values)
    elif types in ({int}, {float}):
        found = _of_numbers(values)
    return np.array([_instant_ms(value) for value in values], np.int64) if found is None else found


def _instant_ms(value: Any) -> int:
    if value is None:
        return ABSENT
    try:
        return parse_instant(value) if isinstance(value, str | int | float) else -1
    except (ValueError, OverflowError):
        return -1


def _of_numbers(values: Sequence[Any]) -> NDArray[np.int64] | None:
    if not max(map(abs, values)) < _FLOAT_WHOLE or not all(map(math.isfinite, values)):
        return None
    numbers = np.array(values)
    instants = np.floor(np.where(abs(numbers) < _SECONDS_BELOW, numbers * 1000, numbers)).astype(np.int64)
    return np.where((instants >= 0) & (instants < INSTANT_END_MS), instants, -1)


def _of_texts(values: Sequence[str]) -> NDArray[np.int64] | None:
    """Times in UTC that are all written 2026-11-23T09:30:00Z, with or without milliseconds."""
    width = len(values[0])
    joined = "".join(values)
    if width not in {20, 24} or len(joined) != width * len(values) or not joined.isascii():
        return None
    if set(map(len, values)) != {width}:
        return None
    grid = np.frombuffer(joined.encode(), np.uint8).reshape(len(values), width)
    if (grid[:, :_HOUR_CHARS] == grid[0, :_HOUR_CHARS]).all():
        return _of_one_hour(values[0][:_HOUR_CHARS], grid[:, _HOUR_CHARS:])
    marks = _MARKS[width]
    if not (grid[:, list(marks)] == np.frombuffer("".join(marks.values()).encode(), np.uint8)).all():
        return None
    places = [place for place in range(width) if place not in marks]
    digits = grid[:, places].astype(np.int64) - ord("0")
    if (digits < 0).any() or (digits > 9).any():
        return None
    scales = (1000, 100, 10, 1), (10, 1), (10, 1), (10, 1), (10, 1), (10, 1), (100, 10, 1)
    parts, at = [], 0
    for scale in scales[: 6 if width == 20 else 7]:
        parts.append(digits[:, at : at + len(scale)] @ np.array(scale))
        at += len(scale)
    year, month, day, hour, minute, second = parts[:6]
    ms = parts[6] if width == 24 else np.zeros(len(values), np.int64)
    if (month < 1).any() or (month > 12).any() or (year < 1).any():
        return None
    months = (year - 1970) * 12 + month - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    length = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) - first
    right = (day >= 1) & (day <= length) & (hour < 24) & (minute < 60) & (second < 60)
    if not right.all():
        return None
    instants = (((first + day - 1) * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + ms
    found: NDArray[np.int64] = np.where(instants >= 0, instants, -1)
    return found


def _of_one_hour(hour: str, rest: NDArray[np.uint8]) -> NDArray[np.int64] | None:
    """Times that begin alike, as most of a chunk do; `rest` holds the characters after the hour."""
    start_ms = _instant_ms(f"{hour}00:00Z") if hour[10] == "T" else -1
    with_ms = rest.shape[1] > _SECONDS_CHARS
    mark = rest[:, 2] == ord(":")
    mark &= rest[:, -1] == ord("Z")
    if with_ms:
        mark &= rest[:, 5] == ord(".")
    digits = rest[:, _DIGITS_WITH_MS if with_ms else _DIGITS].astype(np.int64) - ord("0")
    if start_ms < 0 or not mark.all() or (digits < 0).any() or (digits > 9).any():
        return None
    if (digits[:, 0] > 5).any() or (digits[:, 2] > 5).any():
        return None
    scales = np.array([600_000, 60_000, 10_000, 1_000, 100, 10, 1])[: digits.shape[1]]
    found: NDArray[np.int64] = start_ms + digits @ scales
    return found


def format_instant(instant_s: float) -> str:
    """ISO 8601 in UTC of epoch seconds.

    >>> format_instant(1_700_000_000)
    '2023-11-14T22:13:20Z'
    """
    timespec = "seconds" if float(instant_s).is_integer() else "milliseconds"
    text = datetime.fromtimestamp(instant_s, UTC).isoformat(timespec=timespec)
    return text.removesuffix("+00:00") + "Z"


def format_duration(duration_s: int) -> str:
    """The shortest text `parse_duration` reads back.

    >>> format_duration(5400), format_duration(86_400), format_duration(0)
    ('1h30m', '1d', '0s')
    """
    pieces = []
    for unit, unit_s in _UNIT_S.items():
        if unit != "w" and duration_s >= unit_s:
            count, duration_s = divmod(duration_s, unit_s)
            pieces.append(f"{count}{unit}")
    return "".join(pieces) or "0s"


def _float(value: float) -> float:
    """An integer beyond a double's range is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _of_number(value: float, problem: ValueError) -> int:
    if not math.isfinite(_float(value)):
        raise problem
    return math.floor(value * 1000 if abs(value) < _SECONDS_BELOW else value)


def _of_datetime(value: datetime) -> int:
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
