"""Types of single settings: durations, shares, instants, rates, paths beside the settings file."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, SecretStr, ValidationInfo

from monitor.core.shown import shown
from monitor.core.times import parse_duration, parse_instant

_PERIODS_S: Final = {
    "hour": 3_600.0,
    "day": 86_400.0,
    "week": 7 * 86_400.0,
    "month": 365.25 / 12 * 86_400.0,
    "year": 365.25 * 86_400.0,
}
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(?:per|/|a|an)\s*(hour|day|week|month|year)")


def parse_share(value: Any) -> float:
    """A share in (0, 1], written as a percentage or a fraction.

    >>> parse_share("1%"), parse_share(0.95)
    (0.01, 0.95)

    Raises:
        ValueError: neither, or outside (0, 1].
    """
    problem = ValueError(f"expected a share such as 1% or 0.01, above 0 and at most 100%, got {shown(value)}")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise problem
    try:
        share = float(value[:-1]) / 100 if isinstance(value, str) and value.endswith("%") else float(value)
    except ValueError:
        raise problem from None
    if not 0 < share <= 1:
        raise problem
    return share


def parse_rate(value: Any) -> float:
    """Events per second of a rate that people say; a month is a twelfth of 365.25 days.

    >>> parse_rate("1 per day") * 86_400
    1.0

    Raises:
        ValueError: not a rate, or not above 0.
    """
    match = _RATE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    count = float(match[1]) if match else 0.0
    if match is None or not math.isfinite(count) or count <= 0:
        raise ValueError(
            f"expected a rate such as '1 per month' (per hour, day, week, month or year), got {shown(value)}"
        )
    return count / _PERIODS_S[match[2]]


def _duration(value: Any) -> int:
    if not isinstance(value, str | int | float):
        raise ValueError(f"expected a duration such as 7d, 12h or 90s, got {shown(value)}")
    return parse_duration(value)


def _instant(value: Any) -> int:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    if not isinstance(value, str | int | float | datetime):
        raise ValueError(f"expected an instant such as 2026-11-23T09:30:00Z, got {shown(value)}")
    return parse_instant(value)


def existing_file(value: Any, info: ValidationInfo) -> Path:
    """A file named beside the settings file; relative paths start at `context["base"]`.

    Raises:
        ValueError: not a path, or no such file.
    """
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"expected the path of a file, got {shown(value)}")
    path = Path(info.context["base"] if info.context else ".", value).expanduser()
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    return path


def secret_file(value: Any, info: ValidationInfo) -> SecretStr:
    """The secret a file beside the settings holds, without the space around it.

    Raises:
        ValueError: no such file, or it cannot be read as text.
    """
    if isinstance(value, SecretStr):
        return value
    try:
        return SecretStr(existing_file(value, info).read_text("utf-8").strip())
    except (OSError, ValueError):  # what was written may be the secret itself
        raise ValueError("expected the path of a file that holds it as text; there is none to read") from None


DurationS = Annotated[int, BeforeValidator(_duration)]
Share = Annotated[float, BeforeValidator(parse_share)]
InstantMs = Annotated[int, BeforeValidator(_instant)]
RatePerS = Annotated[float, BeforeValidator(parse_rate)]
ExistingFile = Annotated[Path, BeforeValidator(existing_file)]
SecretFile = Annotated[SecretStr, BeforeValidator(secret_file)]
