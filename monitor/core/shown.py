"""Values of settings in complaints about them: short, and without secrets that stand in the wrong place."""

from __future__ import annotations

import re
from typing import Any, Final

_CHARS_MAX: Final = 80
_MASK: Final = "**********"
_SECRET: Final = re.compile(r"password|token|sensitive_key", re.IGNORECASE)
_GIVEN: Final = re.compile(r"((?:password|token|sensitive_key)\s*[=:]\s*)[^&\s]+", re.IGNORECASE)


def is_secret(key: object) -> bool:
    """Whether what stands under a key is a secret, by its name."""
    return _SECRET.search(str(key)) is not None


def shown(value: Any) -> str:
    """A value as Python writes it, cut to 80 characters.

    >>> shown({"shards": 3, "password": "hunter2"})
    "{'shards': 3, 'password': '**********'}"
    >>> shown("redis://u:hunter/2@redis:6379/0")
    "'redis://**********@redis:6379/0'"
    """
    try:
        text = repr(_masked(value))
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number too long to write"
    return text if len(text) <= _CHARS_MAX else text[: _CHARS_MAX - 3] + "..."


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {_masked(k): _MASK if is_secret(k) else _masked(inner) for k, inner in value.items()}
    if isinstance(value, str):
        return without_login(value)
    if isinstance(value, list | tuple):
        return type(value)(map(_masked, value)) if type(value) in {list, tuple} else value
    return value


def without_login(text: str) -> str:
    """A text without the user and password of an address; a password may hold `/`, `#`, `?` and `@`.

    >>> without_login("redis://u:hunter2@h")
    'redis://**********@h'
    """
    login, at, host = text.rpartition("@")
    scheme, slashes, _ = login.partition("://")
    if at and (slashes or ":" in login):
        text = f"{scheme}://{_MASK}@{host}" if slashes and ":" not in scheme else f"{_MASK}@{host}"
    return _GIVEN.sub(rf"\1{_MASK}", text)
