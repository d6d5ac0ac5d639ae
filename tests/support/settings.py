"""The smallest settings, and what is wrong with others."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.config import Settings
from monitor.core.errors import SettingsError

MINIMAL = """
kafka:
  bootstrap_servers: localhost:9092
  predictions: {topics: [predictions]}
models:
  income: {}
"""


def raw(**sections: Any) -> dict[str, Any]:
    """The smallest settings with sections replaced."""
    kafka = {"bootstrap_servers": "localhost:9092", "predictions": {"topics": ["predictions"]}}
    return {"kafka": kafka, "models": {"income": {}}} | sections


def kafka(**keys: Any) -> dict[str, Any]:
    """Settings whose kafka section has these keys too."""
    return raw(kafka=raw()["kafka"] | keys)


def mistakes(settings: dict[str, Any], env: dict[str, str] | None = None) -> list[str]:
    """What is refused."""
    with pytest.raises(SettingsError) as caught:
        Settings.parse(settings, env=env)
    return caught.value.problems
