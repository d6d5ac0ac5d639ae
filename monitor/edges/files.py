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
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final

from monitor.core.errors import RowsError
from monitor.edges.parquet import parquet_row_count, parquet_rows

Row = dict[str, Any]

_HEAD_ROWS: Final = 1_000
_SAMPLE_BYTES_MAX: Final = 256_000_000
_VALUE_BYTES: Final = 64  # of a value of Python beside its text
_ROW_CHARS_MAX: Final = 16_000_000
_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_TRUTH: Final = {"true": True, "false": False}


def read_rows(path: Path | str) -> Iterator[Row]:
    """Rows of a file, by its ending: .csv, .tsv, .jsonl, .ndjson (each also .gz) or .parquet.

    A CSV column is read as numbers or as truth values if the values of its first thousand rows all are
    (fewer, where they are long); a later value that is not stays a text, and an empty one is None. `01234` is
    a text.

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


def first_rows(path: Path | str, count: int) -> list[Row]:
    """The first rows of a file, `count` of them at most: of large rows fewer, so that memory holds them.

    Raises:
        RowsError: the file cannot be read; the text says where.
    """
    found: list[Row] = []
    size = 0
    for row in itertools.islice(read_rows(path), count):
        found.append(row)
        size += _size_bytes(row)
        if size > _SAMPLE_BYTES_MAX:
            break
    return found


def _size_bytes(value: Any) -> int:
    if isinstance(value, str):
        return _VALUE_BYTES + len(value)
    if isinstance(value, dict):
        return _VALUE_BYTES + sum(map(_size_bytes, value)) + sum(map(_size_bytes, value.values()))
    if isinstance(value, list):
        return _VALUE_BYTES + sum(map(_size_bytes, value))
    return _VALUE_BYTES


def row_count(path: Path | str) -> int | None:
    """Rows of a file if that can be told without reading it twice over (Parquet), else None."""
    path = Path(path)
    if path.suffix.lower() != ".parquet":
        return None
    with _failing(path):
        return parquet_row_count(path)


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise RowsError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except MemoryError:
        raise RowsError(f"{path}: cannot be read: its rows take more memory than there is") from None


def _open(path: Path, packed: bool) -> IO[str]:
    if packed:
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


class _Lines:
    """Lines of a file, as far as one row of it may go: a small packed file may hide a very long one."""

    def __init__(self, text: IO[str], path: Path) -> None:
        self.chars = 0  # of the row so far
        self._text = text
        self._path = path

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(_ROW_CHARS_MAX - self.chars + 1):
            self.chars += len(line)
            if self.chars > _ROW_CHARS_MAX:
                raise RowsError(f"{self._path}: a row has more than {_ROW_CHARS_MAX:,} characters")
            yield line

    def next_row(self) -> int:
        """Begin a row; characters of the one before."""
        chars, self.chars = self.chars, 0
        return chars


def _csv_rows(path: Path, packed: bool) -> Iterator[Row]:
    with _failing(path), _open(path, packed) as text:
        lines = _Lines(text, path)
        first = next(iter(lines), "")
        lines.next_row()
        if not first.strip():
            raise RowsError(f"{path}: has no header line")
        separator = max(",;\t|", key=first.count)
        names = next(csv.reader([first], delimiter=separator))
        if len(set(names)) < len(names):
            raise RowsError(f"{path}: a column is named twice in the header")
        rows = _full_rows(lines, separator, len(names), path)
        head, chars = [], 0
        for row in rows:
            head.append(row)
            chars += lines.next_row()
            if len(head) >= _HEAD_ROWS or chars > _ROW_CHARS_MAX:
                break
        parsers = [_parser([row[i] for row in head]) for i in range(len(names))]
        head.reverse()  # each is let go once it is given
        while head:
            yield _typed(names, parsers, head.pop())
        for row in rows:
            lines.next_row()
            yield _typed(names, parsers, row)


def _full_rows(lines: _Lines, separator: str, width: int, path: Path) -> Iterator[list[str]]:
    """The rows below the header that are not empty."""
    for number, row in enumerate(csv.reader(lines, delimiter=separator), 2):
        if row and len(row) != width:
            raise RowsError(f"{path}: line {number} has {len(row)} values, the header {width}")
        if row:
            yield row
        else:
            lines.next_row()


def _typed(names: list[str], parsers: list[Callable[[str], Any]], row: list[str]) -> Row:
    return {name: parse(text) for name, parse, text in zip(names, parsers, row, strict=True)}


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
    with _failing(path), _open(path, packed) as text:
        lines = _Lines(text, path)
        for number, line in enumerate(lines, 1):
            lines.next_row()
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise RowsError(f"{path}: line {number} is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise RowsError(f"{path}: line {number} is not a JSON object")
            yield row


def _parquet_rows(path: Path) -> Iterator[Row]:
    with _failing(path):
        for row in parquet_rows(path):
            yield {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """As JSON has it: durations in seconds, what JSON has no form for as text."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)
