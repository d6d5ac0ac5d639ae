"""Values of settings in complaints about them: short, and without secrets that stand in the wrong place."""

from __future__ import annotations

import re
from typing import Any, Final

_CHARS_MAX: Final = 80
_MASK: Final = "**********"
_SECRET: Final = re.compile(r"password|token|sensitive_key", re.IGNORECASE)
_CREDENTIALS: Final = re.compile(r"://[^/\s]*@")


def is_secret(key: object) -> bool:
    """Whether what stands under a key is a secret, by its name."""
    return _SECRET.search(str(key)) is not None


def shown(value: Any) -> str:
    """A value as Python writes it, cut to 80 characters.

    >>> shown({"shards": 3, "password": "hunter2"})
    "{'shards': 3, 'password': '**********'}"
    >>> shown("redis://u:hunter2@redis:6379/0")
    "'redis://**********@redis:6379/0'"
    """
    text = _CREDENTIALS.sub(f"://{_MASK}@", repr(_masked(value)))
    return text if len(text) <= _CHARS_MAX else text[: _CHARS_MAX - 3] + "..."


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _MASK if is_secret(key) else _masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_masked, value)) if type(value) in {list, tuple} else value
    return value
