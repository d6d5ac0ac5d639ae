"""Ways to get a chunk of JSON into judged columns, side by side: CPU µs a record (docs/decisions/0007).

    python -m benchmarks.pipeline.readers [--rounds 30]

Interleaved rounds over chunks of 5,000 records of 300 bytes; medians.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import orjson
import pyarrow.json
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from benchmarks.pipeline.traffic import Traffic, make, plans
from monitor.core.decode import Limits, RawRecord, decode_chunk
from monitor.core.mapping import Mapping
from monitor.core.typed_reader import ChunkReader
from monitor.edges.collector import pace_collector

CHUNK_ROWS = 5_000
CHUNKS = 4


class Record(NamedTuple):
    """As the reader is given it."""

    value: bytes
    offset: int
    timestamp: int


class Features(TypedDict):
    age: float
    income: float
    sex: str
    region: str
    months_known: float
    education: str
    owner: bool
    balance: float


class Prediction(TypedDict):
    request_id: str
    model: str
    model_version: str
    timestamp: str
    features: Features
    score: float


class FeatureStruct(msgspec.Struct, gc=False):
    age: float
    income: float
    sex: str
    region: str
    months_known: float
    education: str
    owner: bool
    balance: float


class PredictionStruct(msgspec.Struct, gc=False):
    request_id: str
    model: str
    model_version: str
    timestamp: str
    features: FeatureStruct
    score: float


def columns(rows: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """Dictionaries as columns."""
    names = Features.__annotations__
    heads = [[row[name] for row in rows] for name in ("request_id", "timestamp", "model_version", "score")]
    inner = [row["features"] for row in rows]
    return heads + [[row[name] for row in inner] for name in names]


def struct_columns(rows: Sequence[PredictionStruct]) -> list[Sequence[Any]]:
    """Structs as columns."""
    heads = list(zip(*map(msgspec.structs.astuple, rows), strict=True))
    return heads + list(zip(*map(msgspec.structs.astuple, heads[4]), strict=True))


def chunks_of(traffic: Traffic) -> list[list[bytes]]:
    """Values of the predictions, a chunk each."""
    starts = range(0, CHUNK_ROWS * CHUNKS, CHUNK_ROWS)
    return [traffic.predictions[at : at + CHUNK_ROWS] for at in starts]


def contestants(traffic: Traffic) -> dict[str, Callable[[list[bytes]], object]]:
    """Name → what reads a chunk."""
    plan = plans(traffic)
    mapping, limits = Mapping.parse(), Limits()
    reader = ChunkReader("predictions", mapping, plan, limits)
    schema = plan["credit"].schema
    assert schema is not None
    typed = TypeAdapter(Prediction)
    msg = msgspec.json.Decoder(PredictionStruct)
    many = msgspec.json.Decoder(list[PredictionStruct])
    records = {
        chunk[0]: [Record(value, offset, 0) for offset, value in enumerate(chunk)]
        for chunk in chunks_of(traffic)
    }

    def record_by_record(values: list[bytes]) -> object:
        rows, _ = decode_chunk([RawRecord(v, i, 0) for i, v in enumerate(values)], mapping, plan, limits)
        features = [row.body["features"] for row in rows]
        return columns([row.body for row in rows]), schema.check_chunk(features, list(range(len(rows))))

    def pydantic_chunk(values: list[bytes]) -> object:
        return columns([typed.validate_json(value, strict=True) for value in values])

    def pydantic_after_orjson(values: list[bytes]) -> object:
        return columns([typed.validate_python(orjson.loads(value)) for value in values])

    return {
        "orjson alone, dictionaries": lambda values: [orjson.loads(value) for value in values],
        "orjson, columns, nothing judged": lambda values: columns([orjson.loads(v) for v in values]),
        "orjson and judges of our own, one by one (the exact way)": record_by_record,
        "pydantic-core from JSON to TypedDict, columns": pydantic_chunk,
        "orjson, pydantic-core on dictionaries, columns": pydantic_after_orjson,
        "msgspec to structs, columns": lambda values: struct_columns(list(map(msg.decode, values))),
        "msgspec on the chunk as one list, columns": lambda values: struct_columns(
            many.decode(b"[" + b",".join(values) + b"]")
        ),
        "pyarrow's JSON reader, types guessed": lambda values: pyarrow.json.read_json(
            io.BytesIO(b"\n".join(values)), pyarrow.json.ReadOptions(use_threads=False)
        ),
        "ours: msgspec, limits, judges, columns": lambda values: reader.read(records[values[0]]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    traffic = make(CHUNK_ROWS * CHUNKS)
    chunks = chunks_of(traffic)
    read = contestants(traffic)
    taken: dict[str, list[float]] = {name: [] for name in read}
    pace_collector()
    for number in range(options.rounds):
        for name, one in read.items():
            began_s = time.process_time()
            found = one(chunks[number % CHUNKS])
            taken[name].append(time.process_time() - began_s)
            del found
    for name, seconds in taken.items():
        print(f"{statistics.median(seconds) / CHUNK_ROWS * 1e6:6.2f}  {name}")


if __name__ == "__main__":
    main()
