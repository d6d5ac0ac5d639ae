"""The stored form of what an evaluator remembers: MessagePack, arrays as their bytes, compressed.

Written and read by the annotations of the dataclasses, so a detector's state is stored because it is a field.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import msgpack
import numpy as np
from pydantic import BaseModel

_LEVEL: Final = 1
"""zlib's fastest: merged counts are mostly zeros, and a state is written at every bucket."""

_PLAIN: Final = (bool, int, float, str, bytes)
_BYTES_MAX: Final = 1 << 28

T = TypeVar("T")


def dump(value: Any, version: int) -> bytes:
    """Stored form of a dataclass."""
    packed: bytes = msgpack.packb({"version": version, "state": _plain(value)})
    return zlib.compress(packed, _LEVEL)


def load(kind: type[T], data: bytes, version: int) -> T | None:
    """Read a stored form; None for nothing, for another version, and for what is not one of ours."""
    try:
        held = msgpack.unpackb(_unpacked(data), strict_map_key=False)
        if not isinstance(held, dict) or held.get("version") != version:
            return None
        value: T = _read(kind, held["state"])
    except (zlib.error, msgpack.UnpackException, ValueError, LookupError, TypeError, AttributeError):
        return None
    return value


def _unpacked(data: bytes) -> bytes:
    """No larger than a state can be."""
    unpacking = zlib.decompressobj()
    found = unpacking.decompress(data, _BYTES_MAX)
    if not unpacking.eof:
        raise ValueError("cut off, or too large")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [value.dtype.str, list(value.shape), value.tobytes()]
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    if isinstance(value, tuple | frozenset):
        return [_plain(item) for item in (sorted(value) if isinstance(value, frozenset) else value)]
    return value


def _read(hint: Any, held: Any) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return None if held is None else _read(next(part for part in inner if part is not NoneType), held)
    if origin is np.ndarray:
        dtype, shape, data = held
        return np.frombuffer(data, np.dtype(dtype)).reshape(shape).copy()
    if origin is tuple:
        hints = [inner[0]] * len(held) if inner[-1] is Ellipsis else inner
        return tuple(_read(part, item) for part, item in zip(hints, held, strict=True))
    if origin is frozenset:
        return frozenset(_read(inner[0], item) for item in held)
    if origin is not None and issubclass(origin, Mapping):
        return {_read(inner[0], key): _read(inner[1], item) for key, item in held}
    if isinstance(hint, type) and is_dataclass(hint):
        hints_of = _hints(hint)
        return hint(**{name: _read(hints_of[name], item) for name, item in held.items()})
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return hint.model_validate_json(held)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(held)
    if hint in _PLAIN and not isinstance(held, hint) and not (hint is float and isinstance(held, int)):
        raise TypeError(f"{held!r} is no {hint.__name__}")
    return held


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
