"""Compressed batches unpacked within bounds, for both client libraries.

A few kilobytes may unpack to gigabytes, and brokers let them pass: they bound what is sent, not what it
becomes. Both libraries unpack a batch at once and whole, by functions that their record modules hold under
names of their own; `install` puts these in their place. What cannot be unpacked raises `UnpackError`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any, Final

import aiokafka.codec
import aiokafka.record._crecords.default_records as compiled
import aiokafka.record._crecords.legacy_records as compiled_legacy
import aiokafka.record.default_records as plain
import cramjam
import kafka.codec
import kafka.record.default_records
import kafka.record.legacy_records
import numpy as np

UNPACKED_BYTES_MAX: Final = 64 << 20
"""Of one batch: 64 times the largest that a broker takes unless told otherwise."""

_ROOM_BYTES: Final = 64 << 10
_ROOM_TIMES: Final = 16

_XERIAL: Final = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
"""What a snappy stream in blocks begins with; else it is one block."""


class UnpackError(OSError):
    """A batch that cannot be unpacked, or would be too large. An `OSError`, as gzip's own error is."""


def _too_large(limit: int) -> UnpackError:
    return UnpackError(f"a compressed batch unpacks beyond {limit:,} bytes")


def gzip_decode(packed: Any) -> bytes:
    """Unpack gzip, of one member or several.

    Raises:
        UnpackError: damaged, or too large.
    """
    limit = UNPACKED_BYTES_MAX
    found: list[bytes] = []
    size, rest = 0, bytes(packed)
    try:
        while rest:
            member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            found.append(member.decompress(rest, limit + 1 - size))
            size += len(found[-1])
            if size > limit:
                raise _too_large(limit)
            if not member.eof:
                raise UnpackError("a compressed batch ends early")
            rest = member.unused_data
    except zlib.error as error:
        raise UnpackError(f"a compressed batch is damaged: {error}") from None
    return found[0] if len(found) == 1 else b"".join(found)


def lz4_decode(packed: Any) -> bytes:
    """Unpack LZ4 frames; raises as `gzip_decode`."""
    return _into_room(cramjam.lz4.decompress_into, packed)


def zstd_decode(packed: Any) -> bytes:
    """Unpack Zstandard frames; raises as `gzip_decode`."""
    return _into_room(cramjam.zstd.decompress_into, packed)


def snappy_decode(packed: Any) -> bytes:
    """Unpack snappy, as one block or in blocks with their lengths (xerial); raises as `gzip_decode`."""
    data = bytes(packed)
    if not data.startswith(_XERIAL):
        return _snappy_block(data, UNPACKED_BYTES_MAX)
    found: list[bytes] = []
    at, room = len(_XERIAL), UNPACKED_BYTES_MAX
    while at < len(data):
        if at + 4 > len(data):
            raise UnpackError("a compressed batch ends early")
        (size,) = struct.unpack_from(">I", data, at)
        found.append(_snappy_block(data[at + 4 : at + 4 + size], room))
        room -= len(found[-1])
        at += 4 + size
    return b"".join(found)


def _snappy_block(block: bytes, room: int) -> bytes:
    try:
        if cramjam.snappy.decompress_raw_len(block) > room:  # a block begins with its size
            raise _too_large(UNPACKED_BYTES_MAX)
        return bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise UnpackError(f"a compressed batch is damaged: {error}") from None


def _into_room(unpack: Callable[[Any, Any], int], packed: Any) -> bytes:
    """Unpack into a room of a usual size; where that is too small, into one of the greatest."""
    limit = UNPACKED_BYTES_MAX
    for size in (min(max(_ROOM_BYTES, _ROOM_TIMES * len(packed)), limit), limit):
        room = np.empty(size, np.uint8)  # pages of it that nobody touches cost nothing
        try:
            return room[: unpack(packed, room)].tobytes()
        except cramjam.DecompressionError as error:
            if "whole buffer" not in str(error):
                raise UnpackError(f"a compressed batch is damaged: {error}") from None
    raise _too_large(limit)


_DECODERS: Final = {
    "gzip_decode": gzip_decode,
    "snappy_decode": snappy_decode,
    "lz4_decode": lz4_decode,
    "zstd_decode": zstd_decode,
}


def install() -> None:
    """Have both libraries unpack by the functions above."""
    holders = (
        compiled, compiled_legacy, plain, aiokafka.codec,
        kafka.codec, kafka.record.default_records, kafka.record.legacy_records,
    )  # fmt: skip
    for holder in holders:
        for name, decode in _DECODERS.items():
            if hasattr(holder, name):
                setattr(holder, name, decode)
    for codec in ("snappy", "lz4", "zstd"):  # kafka-python looks for libraries of its own
        setattr(kafka.codec, f"has_{codec}", lambda: True)


__all__ = ["UNPACKED_BYTES_MAX", "UnpackError", "install"]
