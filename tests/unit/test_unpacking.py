"""Compressed batches: every codec is read, and none unpacks without a bound."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable
from typing import Any

import aiokafka.codec
import aiokafka.record._crecords.default_records
import cramjam
import kafka.record.default_records
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecords as PlainRecords

from monitor.core.decode import Limits, NotUnpacked, RawRecord, Unreadable, decode_chunk
from monitor.core.mapping import Mapping
from monitor.core.typed_reader import ChunkReader
from monitor.edges.kafka import batches as handing_on
from monitor.edges.kafka import unpacking
from monitor.edges.kafka.batches import Arrivals
from monitor.edges.kafka.unpacking import UnpackError
from tests.support.two_ways import PLANS
from tests.unit.test_transport_contract import arrival, drained

CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "snappy": aiokafka.codec.snappy_encode,
    "lz4": aiokafka.codec.lz4_encode,
    "zstd": aiokafka.codec.zstd_encode,
}
UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": unpacking.gzip_decode,
    "snappy": unpacking.snappy_decode,
    "lz4": unpacking.lz4_decode,
    "zstd": unpacking.zstd_decode,
}


def batch(codec: int, offset: int, *values: bytes) -> bytes:
    """A batch of records from an offset on."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=False, producer_id=-1, producer_epoch=-1,
        base_sequence=-1, batch_size=10_000_000,
    )  # fmt: skip
    for at, value in enumerate(values):
        builder.append(at, 1_700_000_000_000 + at, None, value, [])
    made = bytearray(builder.build())
    made[:8] = offset.to_bytes(8, "big")
    return bytes(made)


def handed_on(data: bytes) -> Any:
    ours = Arrivals()
    ours["place"] = arrival(data, 0)
    return ours["place"]


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.binary(max_size=5_000) | st.integers(0, 90_000).map(lambda n: b"ab" * n))
def test_what_was_packed_comes_back(codec: str, data: bytes) -> None:
    assert UNPACK[codec](PACK[codec](data)) == data


def test_other_forms_of_the_same() -> None:
    data = b"abc" * 1_000
    assert unpacking.snappy_decode(bytes(cramjam.snappy.compress_raw(data))) == data
    assert unpacking.gzip_decode(gzip.compress(data) + gzip.compress(data)) == data + data


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.binary(max_size=300), cut=st.integers(0, 200), swap=st.integers(0, 200))
def test_whatever_comes_is_bytes_or_a_refusal(codec: str, data: bytes, cut: int, swap: int) -> None:
    packed = bytearray(PACK[codec](b"some text, some text" * 9))
    packed[swap % len(packed)] ^= 1 + cut % 255
    for hostile in (data, bytes(packed), bytes(packed[: cut % len(packed)])):
        with contextlib.suppress(UnpackError):
            assert len(UNPACK[codec](hostile)) <= unpacking.UNPACKED_BYTES_MAX


@pytest.mark.parametrize("codec", CODECS)
def test_nothing_unpacks_beyond_the_bound(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "UNPACKED_BYTES_MAX", 200_000)
    assert len(UNPACK[codec](PACK[codec](b" " * 200_000))) == 200_000
    with pytest.raises(UnpackError, match="unpacks beyond 200,000 bytes"):
        UNPACK[codec](PACK[codec](b" " * 200_001))


@pytest.mark.parametrize("codec", CODECS)
def test_records_are_those_of_a_batch_that_is_not_compressed(codec: str) -> None:
    values = [b"value %d" % at for at in range(5)]
    packed = batch(CODECS[codec], 0, *values) + batch(CODECS[codec], 5, *values)
    assert drained(handed_on(packed), 3) == drained(handed_on(batch(0, 0, *values) + batch(0, 5, *values)), 3)
    found = [record.value for record in next(iter([PlainRecords(packed)])).next_batch()]
    assert found == values


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_that_cannot_be_unpacked_costs_its_own_records(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = b'{"request_id":"r","model":"one"}'
    data = batch(0, 0, good) + batch(CODECS[codec], 1, b" " * 9_000, good, good) + batch(0, 4, good)
    monkeypatch.setattr(unpacking, "UNPACKED_BYTES_MAX", 5_000)
    arrived = handed_on(data)
    found = arrived.getall(100)
    assert [(record.offset, record.value) for record in found] == [
        (0, good), (1, b""), (2, b""), (3, b""), (4, good)
    ]  # fmt: skip
    raw = [RawRecord(record.value, record.offset, record.timestamp) for record in found]
    _, rejected = decode_chunk(raw, Mapping.parse(), {"one": object()}, Limits())
    reader = ChunkReader("predictions", Mapping.parse(), {"one": PLANS["violate"]["one"]}, Limits())
    for told in (rejected, reader.read(found).rejected):
        lost = [one for one in told if one.offset in {1, 2, 3}]
        assert [one.reason for one in lost] == [Unreadable.NOT_UNPACKED] * 3
        assert lost[0].detail == "a compressed batch unpacks beyond 5,000 bytes"
    with pytest.raises(OSError, match="unpacks beyond"):
        list(PlainRecords(batch(CODECS[codec], 0, b" " * 9_000)).next_batch())


def old_messages(magic: int, codec: int, *values: bytes) -> bytes:
    """Records of message format 0 or 1, from offset 0 on."""
    builder = LegacyRecordBatchBuilder(magic=magic, compression_type=codec, batch_size=10_000_000)
    for at, value in enumerate(values):
        builder.append(at, 1_700_000_000_000 + at, b"key", value)
    return bytes(builder.build())


@pytest.mark.parametrize(("magic", "codec"), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)])
def test_old_message_formats_are_read(magic: int, codec: int) -> None:
    values = [b"value %d" % at for at in range(5)]
    arrived = handed_on(old_messages(magic, codec, *values))
    found = [record for _ in range(3) for record in arrived.getall(2)]
    times = [1_700_000_000_000 + at if magic else -1 for at in range(5)]
    assert [(r.offset, r.value, r.timestamp, r.key) for r in found] == [
        (at, values[at], times[at], b"key") for at in range(5)
    ]


def test_an_old_message_that_cannot_be_unpacked_is_accounted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "UNPACKED_BYTES_MAX", 5_000)
    arrived = handed_on(old_messages(1, 1, b" " * 9_000))
    (lost,) = arrived.getall(9)
    assert (lost.offset, lost.value, type(lost.value)) == (0, b"", NotUnpacked)


def test_what_is_handed_on_at_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handing_on, "CHUNK_BYTES_MAX", 3_000)
    arrived = handed_on(b"".join(batch(4, at, b" " * 1_000) for at in range(10)))
    assert [len(arrived.getall(100)) for _ in range(4)] == [3, 3, 3, 1]


def test_a_missing_value_is_not_one_that_was_lost() -> None:
    lost = NotUnpacked.because("why")
    assert not lost
    raw = [RawRecord(None, 0, -1), RawRecord(b"", 1, -1), RawRecord(lost, 2, -1)]
    _, rejected = decode_chunk(raw, Mapping.parse(), {}, Limits())
    assert [one.reason for one in rejected] == [Unreadable.EMPTY, Unreadable.EMPTY, Unreadable.NOT_UNPACKED]


def test_the_libraries_unpack_by_these() -> None:
    for holder in (aiokafka.record._crecords.default_records, kafka.record.default_records):
        assert {name: getattr(holder, name) for name in unpacking._DECODERS} == unpacking._DECODERS
