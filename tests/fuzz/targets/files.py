"""What `monitor init` and `probe` learn from: CSV, JSON lines, Parquet, packed or not, and records of topics.

A file is refused in words or read; of what was read a schema and settings are drafted that can be loaded
again, and nothing is written but there.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path

from monitor.cli.init import write
from monitor.cli.init_draft import from_file, from_records, objects
from monitor.config import Settings
from monitor.config.draft import Draft
from monitor.core.errors import MonitorError, RowsError
from monitor.edges.files import read_rows
from monitor.edges.rehearsing import read_case
from tests.fuzz.targets.target import Target

_ENDINGS = (".csv", ".jsonl", ".tsv", ".parquet", ".csv.gz", ".jsonl.gz", ".json", ".topic")
_ROWS = 50
_PLACES = ("k:9092", "redis://r:1/0", "labels")


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-files-"))


def run(data: bytes) -> None:
    ending = _ENDINGS[(data[:1] or b"\0")[0] % len(_ENDINGS)]
    folder = _folder() / "in"
    folder.mkdir(exist_ok=True)
    file = folder / f"sample{ending}"
    file.write_bytes(data[1:])
    if ending == ".json":
        try:
            read_case(str(file))
        except RowsError as error:
            _readable(error)
        return
    config = folder / "monitor.yaml"
    if ending == ".topic":
        found = objects(data[1:].splitlines())
        if found:
            _drafted(lambda: from_records(found, found[::2], "predictions", None, _PLACES), config)
        return
    try:
        rows = list(islice(read_rows(file), _ROWS))
    except RowsError as error:
        _readable(error)
        return
    assert all(isinstance(name, str) for row in rows for name in row)
    _drafted(lambda: from_file(file, None, {}, _ROWS, config, _PLACES), config)


def _drafted(draft_of: Callable[[], Draft], config: Path) -> None:
    """Draft, write and read back."""
    try:
        draft = draft_of()
        write(draft, config, force=True)
    except MonitorError as error:
        _readable(error)
    else:
        settings = Settings.load(config, {})
        assert next(iter(settings.models.values())).feature_schema == draft.schema
    assert {path.name for path in _folder().iterdir()} == {"in"}, "nothing is written elsewhere"


def _readable(error: MonitorError) -> None:
    assert str(error).replace("\n", "").isprintable(), "a refusal moves no cursor"
    assert len(str(error)) < 5_000, "and can be read"


TARGET = Target(
    run,
    seeds=(
        b"\x00id,age,sex,score,label\n1,39,Female,0.5,1\n2,40,Male,0.25,0\n3,,Male,nan,0\n",
        b'\x01{"request_id":"r","model":"m","features":{"age":39,"sex":"F"},"score":0.5,"label":1}\n',
        b'\x01{"age":39,"sex":"F","ok":true,"p":[1],"q":{"a":1},"label":"yes","probability":0.1}\n' * 3,
        b"\x02a\tb\nx\t007\ny\ttrue\n",
        b'\x00"a;b";c|d\n1;"2"\n',
        b"\x04" + gzip.compress(b"a,b\n1,2\n3,4\n"),
        b"\x05" + gzip.compress(b'{"a":1}\n'),
        b'\x07{"id":"r","model":"../m","payload":{"inputs":{"age":39,"sex":"F"}},"score":0.5,"label":1}',
        b'\x06{"cases":[{"original":{"a":1},"changed":{"a":2},"before":{"score":1},"after":{"score":2}}]}',
    ),
)
