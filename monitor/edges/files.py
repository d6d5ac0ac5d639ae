"""Rows of a CSV, Parquet or JSONL file, one at a time, as values that JSON can carry."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final

from monitor.core.errors import RowsError

Row = dict[str, Any]

_HEAD_ROWS: Final = 1_000
_BATCH_ROWS: Final = 4_096
_LINE_CHARS_MAX: Final = 16_000_000
_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_TRUTH: Final = {"true": True, "false": False}


def read_rows(path: Path | str) -> Iterator[Row]:
    """Rows of a file, by its ending: .csv, .tsv, .jsonl, .ndjson (each also .gz) or .parquet.

    A CSV column is read as numbers or as truth values if the values of its first thousand rows all are;
    a later value that is not stays a text, and an empty one is None. `01234` is a text.

    Raises:
        RowsError: the file cannot be read; the text says where.
    """
    path = Path(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = (suffixes[-2:-1] if packed else suffixes[-1:]) or [""]
    if kind[0] in {".csv", ".tsv"}:
        rows = _csv_rows(path, packed)
    elif kind[0] in {".jsonl", ".ndjson"}:
        rows = _json_rows(path, packed)
    elif kind[0] == ".parquet" and not packed:
        rows = _parquet_rows(path)
    else:
        raise RowsError(f"{path}: expected a file that ends in .csv, .tsv, .jsonl, .ndjson or .parquet")
    return rows


def row_count(path: Path | str) -> int | None:
    """Rows of a file if that can be told without reading it twice over (Parquet), else None."""
    path = Path(path)
    if path.suffix.lower() != ".parquet":
        return None
    with _failing(path):
        return int(_parquet().ParquetFile(path).metadata.num_rows)


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise RowsError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _open(path: Path, packed: bool) -> IO[str]:
    if packed:
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _bounded(lines: IO[str], path: Path) -> Iterator[str]:
    """Lines, none longer than memory should hold: a small packed file may hide a very long one."""
    while line := lines.readline(_LINE_CHARS_MAX + 1):
        if len(line) > _LINE_CHARS_MAX:
            raise RowsError(f"{path}: a line has more than {_LINE_CHARS_MAX:,} characters")
        yield line


def _csv_rows(path: Path, packed: bool) -> Iterator[Row]:
    with _failing(path), _open(path, packed) as text:
        lines = _bounded(text, path)
        first = next(lines, "")
        if not first.strip():
            raise RowsError(f"{path}: has no header line")
        separator = max(",;\t|", key=first.count)
        names = next(csv.reader([first], delimiter=separator))
        if len(set(names)) < len(names):
            raise RowsError(f"{path}: a column is named twice in the header")
        reader = csv.reader(lines, delimiter=separator)
        head = list(itertools.islice(reader, _HEAD_ROWS))
        parsers = [_parser([row[i] for row in head if i < len(row)]) for i in range(len(names))]
        for number, row in enumerate(itertools.chain(head, reader), 2):
            if not row:
                continue  # an empty line
            if len(row) != len(names):
                raise RowsError(f"{path}: line {number} has {len(row)} values, the header {len(names)}")
            yield {name: parse(text) for name, parse, text in zip(names, parsers, row, strict=True)}


def _parser(head: Sequence[str]) -> Callable[[str], Any]:
    """How the texts of a column are read, from its first values."""
    texts = [text.strip() for text in head if text.strip()]
    if texts and all(_NUMBER.fullmatch(text) for text in texts) and not any(map(_is_code, texts)):
        return _number
    if texts and all(text.lower() in _TRUTH for text in texts):
        return _truth
    return lambda text: text or None


def _is_code(text: str) -> bool:
    """Digits that are no quantity: a leading zero would be lost."""
    return text.isdigit() and len(text) > 1 and text[0] == "0"


def _number(text: str) -> Any:
    plain = text.strip()
    if _INTEGER.fullmatch(plain):
        return int(plain)
    if _NUMBER.fullmatch(plain):
        return float(plain)
    return text or None


def _truth(text: str) -> Any:
    return _TRUTH.get(text.strip().lower(), text or None)


def _json_rows(path: Path, packed: bool) -> Iterator[Row]:
    with _failing(path), _open(path, packed) as lines:
        for number, line in enumerate(_bounded(lines, path), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise RowsError(f"{path}: line {number} is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise RowsError(f"{path}: line {number} is not a JSON object")
            yield row


def _parquet() -> Any:  # pyarrow carries no types
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise RowsError("Parquet needs pyarrow, an extra; in the clone: pip install '.[parquet]'") from None
    return parquet


def _parquet_rows(path: Path) -> Iterator[Row]:
    parquet = _parquet()
    with _failing(path):
        try:
            batches = parquet.ParquetFile(path).iter_batches(batch_size=_BATCH_ROWS)
            for batch in batches:
                for row in batch.to_pylist():
                    yield {name: _plain(value) for name, value in row.items()}
        except ValueError as error:  # pyarrow's ArrowInvalid is one
            raise RowsError(f"{path}: is not Parquet: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
