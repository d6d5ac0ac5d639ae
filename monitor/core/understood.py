"""What a store holds is read as this version wrote it, or refused: never guessed at."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import msgpack

from monitor.core.errors import StoreRefused
from monitor.core.records import Alert

_UNREADABLE: Final = (
    ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, struct.error,
    msgpack.UnpackException,
)  # fmt: skip


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Around the reading of stored values, or above a function that reads them.

    >>> with understood("a fence"):
    ...     int(b"x")
    Traceback (most recent call last):
    monitor.core.errors.StoreRefused: a fence in the store is damaged, or of another version: run that \
version, or restore the store from a backup

    Args:
        what: is read.

    Raises:
        StoreRefused: it is not what this version writes.
    """
    try:
        yield
    except _UNREADABLE as error:
        raise StoreRefused(
            f"{what} in the store is damaged, or of another version: "
            "run that version, or restore the store from a backup"
        ) from error


@understood("an alert")
def stored_alerts(values: Iterable[bytes]) -> list[Alert]:
    """Alerts as they are stored.

    Raises:
        StoreRefused: one is none.
    """
    return [Alert.model_validate_json(value) for value in values]
