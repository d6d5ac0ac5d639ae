"""Rows of a Parquet file, a little memory at a time: one of half a kilobyte may spell out gigabytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from monitor.core.errors import RowsError

_ROWS: Final = 4_096
_VALUES: Final = 2_000_000
_TEXT_BYTES: Final = 256_000_000
"""Of a batch, as Arrow holds it."""
_FEW_ROWS: Final = 16
_BYTES_MAX: Final = 16_000_000
"""Of rows that are values of Python at once, and of a single row."""
_VALUE_BYTES: Final = 64
"""Of a Python value beside its text: what a small one takes, and its place."""

_NO_TEXT: Final = {"DECIMAL", "FLOAT16", "UUID", "INTERVAL"}


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a file, with Python values.

    Raises:
        RowsError: pyarrow is missing, the file is not Parquet, or a row is too large.
    """
    parquet = _parquet()
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if len(set(names)) < len(names):
                raise RowsError(f"{path}: two columns have one name")
            texts = _texts(file.schema, nested=False)
            with parquet.ParquetFile(path, read_dictionary=texts) as coded:
                first = 1
                for group in range(file.metadata.num_row_groups):
                    rows = min(_rows_by_metadata(file, group), _rows_by_texts(coded, group, texts))
                    for batch in file.iter_batches(batch_size=rows, row_groups=[group]):
                        yield from _small(batch, path, first)
                        first += batch.num_rows
    except OverflowError as error:
        raise RowsError(f"{path}: holds a time that is none: {error}") from None
    except (ValueError, NotImplementedError) as error:  # pyarrow's ArrowInvalid is one
        raise RowsError(f"{path}: is not Parquet: {error}") from error


def parquet_row_count(path: Path) -> int:
    """Rows of a file, by its own word."""
    with _parquet().ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def _parquet() -> Any:  # pyarrow carries no types
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise RowsError("Parquet needs pyarrow, an extra; in the clone: pip install '.[parquet]'") from None
    return parquet


def _texts(schema: Any, nested: bool) -> list[str]:
    """Columns of texts or bytes: those inside lists and structures, or the others."""
    columns = [schema.column(position) for position in range(len(schema))]
    return [
        column.path
        for column in columns
        if column.physical_type == "BYTE_ARRAY"
        and column.logical_type.type not in _NO_TEXT
        and (column.max_repetition_level > 0 or "." in column.path) == nested
    ]


def _rows_by_metadata(file: Any, group: int) -> int:
    """Rows to decode at once: fewer where a row holds many values, or nested texts that may be long."""
    rows, nested, plain = _ROWS, set(_texts(file.schema, True)), set(_texts(file.schema, False))
    about = file.metadata.row_group(group)
    columns = [about.column(i) for i in range(about.num_columns)]
    values: int = sum(column.num_values for column in columns)
    if values > 0:
        rows = min(rows, _VALUES * int(about.num_rows) // values)
    # No text is longer than all of its column, in whose dictionary it stands once for every row.
    longest: int = sum(c.total_uncompressed_size for c in columns if c.path_in_schema in nested)
    rows = min(rows, max(_FEW_ROWS, _TEXT_BYTES // max(1, longest)))
    # Texts that stand in no dictionary are spelt out for every row, and any of them may be the longest.
    spelt: int = sum(c.total_uncompressed_size for c in columns if c.path_in_schema in plain)
    if spelt > _TEXT_BYTES:
        rows = min(rows, _FEW_ROWS * _TEXT_BYTES // spelt)
    return max(1, rows)


def _rows_by_texts(coded: Any, group: int, texts: list[str]) -> int:
    """Rows to decode at once, if each had the longest text of each dictionary; all else comes once."""
    longest = 0
    for batch in coded.iter_batches(batch_size=1, row_groups=[group], columns=texts) if texts else ():
        coded_columns = (column for column in batch.columns if hasattr(column, "dictionary"))
        longest = sum(max(_lengths(column.dictionary), default=0) for column in coded_columns)
        break
    return max(1, _TEXT_BYTES // max(1, longest))


def _small(batch: Any, path: Path, first: int) -> Iterator[dict[str, Any]]:
    """The rows of a batch, halved until they fit; `first` is the number of its first row."""
    size = sum(_bytes(column) for column in batch.columns)
    if size <= _BYTES_MAX:
        yield from batch.to_pylist()
    elif batch.num_rows == 1:
        raise RowsError(f"{path}: row {first:,} would take {size:,} bytes, more than {_BYTES_MAX:,}")
    else:
        half = batch.num_rows // 2
        yield from _small(batch.slice(0, half), path, first)
        yield from _small(batch.slice(half), path, first + half)


def _bytes(array: Any) -> int:
    """What an array's values take in Python, nearly, with texts of a dictionary spelt out."""
    import pyarrow as pa  # noqa: PLC0415 - an optional extra

    kind, types = array.type, pa.types
    size: int = _VALUE_BYTES * len(array)
    if types.is_dictionary(kind):
        lengths = _lengths(array.dictionary)
        return size + int(sum(lengths[i] for i in array.indices.to_pylist() if i is not None))
    if types.is_struct(kind):
        return size + sum(_bytes(field) for field in array.flatten())
    if types.is_map(kind):
        start, end = array.offsets[0].as_py(), array.offsets[len(array)].as_py()
        return size + sum(_bytes(part.slice(start, end - start)) for part in (array.keys, array.items))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return size + _bytes(array.flatten())
    return size + int(array.nbytes)


def _lengths(dictionary: Any) -> list[int]:
    """Bytes of each text of a dictionary; 0 for what is no text."""
    import pyarrow as pa  # noqa: PLC0415 - an optional extra
    from pyarrow import compute  # noqa: PLC0415 - an optional extra

    kind, types = dictionary.type, pa.types
    measured = (
        types.is_string, types.is_large_string, types.is_binary, types.is_large_binary,
        types.is_fixed_size_binary,
    )  # fmt: skip
    if not any(is_kind(kind) for is_kind in measured):
        return [0] * len(dictionary)
    return [length or 0 for length in compute.binary_length(dictionary).to_pylist()]
