"""Rows of files."""

from __future__ import annotations

import gzip
import json
import math
import resource
from datetime import time, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitor.core.errors import RowsError
from monitor.edges import files, parquet
from monitor.edges.files import first_rows, read_rows, row_count


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_columns_have_types(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "rows.csv",
        "\ufeffid,age,rate,zip,member,note,mixed,empty\n"
        "a,39,0.5,01234,true,\"x, y\",1,\n"
        "b,,1e3,99999,False,,two,\n",
    )  # fmt: skip
    assert list(read_rows(path)) == [
        {"id": "a", "age": 39, "rate": 0.5, "zip": "01234", "member": True, "note": "x, y", "mixed": "1",
         "empty": None},
        {"id": "b", "age": None, "rate": 1e3, "zip": "99999", "member": False, "note": None, "mixed": "two",
         "empty": None},
    ]  # fmt: skip


def test_a_late_text_in_a_column_of_numbers_stays_a_text(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv", "n\n" + "1\n" * 1_500 + "broken\n")
    assert [row["n"] for row in read_rows(path)][-2:] == [1, "broken"]


def test_semicolons_tabs_and_gzip(tmp_path: Path) -> None:
    assert list(read_rows(write(tmp_path, "a.csv", "a;b\n1;2\n"))) == [{"a": 1, "b": 2}]
    packed = tmp_path / "b.tsv.gz"
    packed.write_bytes(gzip.compress(b"a\tb\n1\tx\n"))
    assert list(read_rows(packed)) == [{"a": 1, "b": "x"}]


def test_jsonl_as_python_writes_it(tmp_path: Path) -> None:
    rows = list(read_rows(write(tmp_path, "a.jsonl", '{"a": NaN}\n\n{"a": {"b": [1]}}\n')))
    assert math.isnan(rows[0]["a"])
    assert rows[1] == {"a": {"b": [1]}}


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    when = pa.array([0, 1_000_000], pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"a": [1, None], "when": when, "raw": [b"x", b"\xff"]}), path)
    assert row_count(path) == 2
    assert list(read_rows(path)) == [
        {"a": 1, "when": "1970-01-01T00:00:00+00:00", "raw": "x"},
        {"a": None, "when": "1970-01-01T00:00:01+00:00", "raw": "\\xff"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.xlsx", b"", "expected a file that ends in"),
        ("a.csv", b"", "no header"),
        ("a.csv", b"a,a\n", "named twice"),
        ("a.csv", b"a,b\n1,2\n3\n", "line 3 has 1 values, the header 2"),
        ("a.csv", b"a\n\xff\xfe\n", "cannot be read"),
        ("a.csv.gz", b"not gzip", "cannot be read"),
        ("a.jsonl", b"{}\nnot json\n", "line 2 is not JSON"),
        ("a.jsonl", b"[1]\n", "line 1 is not a JSON object"),
        ("a.parquet", b"not parquet", "is not Parquet"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RowsError, match=complaint):
        list(read_rows(tmp_path / name))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(RowsError, match="No such file"):
        list(read_rows(tmp_path / "a.csv"))


def test_a_row_is_no_longer_than_memory_should_hold(tmp_path: Path) -> None:
    lines = tmp_path / "a.csv.gz"
    lines.write_bytes(gzip.compress(b'a,b\n"' + (b"x" * 100_000 + b'\n","') * 200, 1))
    line = tmp_path / "a.jsonl.gz"
    line.write_bytes(gzip.compress(b'{"a": "' + b"x" * 17_000_000 + b'"}', 1))
    wide = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": ["", "x" * 17_000_000]}), wide, use_dictionary=False)
    for path, complaint in (
        (lines, "a row has more than 16,000,000 characters"),
        (line, "a row has more than 16,000,000 characters"),
        (wide, r"row 2 would take 17,\d{3},\d{3} bytes, more than 16,000,000"),
    ):
        with pytest.raises(RowsError, match=complaint):
            list(read_rows(path))


def test_types_of_columns_are_told_from_few_rows_where_they_are_long(tmp_path: Path) -> None:
    row = ",".join(["1", *["x" * 100_000] * 40]) + "\n"
    names = ",".join(f"c{i}" for i in range(41)) + "\n"
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress((names + row * 8 + "late" + row[1:]).encode(), 1))
    rows = read_rows(path)
    assert next(rows)["c0"] == 1
    assert [row["c0"] for row in rows][-1] == "late"


def test_texts_that_are_spelt_out_are_decoded_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_TEXT_BYTES", 1_000_000)
    rows = ["a", *["x" * 100_000] * 200]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"s": rows, "n": list(range(201))}), path, use_dictionary=False)
    with pq.ParquetFile(path) as file:
        assert parquet._rows_by_metadata(file, 0) == 1
    assert [row["s"] for row in read_rows(path)] == rows


def test_parquet_that_is_odd_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for table, complaint in (
        (pa.table([pa.array(["a"]), pa.array(["b"])], names=["s", "s"]), "two columns have one name"),
        (pa.table({"t": pa.array([2**31 - 1], pa.date32())}), "holds a time that is none"),
    ):
        pq.write_table(table, path)
        with pytest.raises(RowsError, match=complaint):
            list(read_rows(path))


def test_every_value_of_parquet_is_one_of_json(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {
        "time": pa.array([time(1, 2)]),
        "long": pa.array([timedelta(minutes=2)]),
        "json": pa.array(["{}"], pa.json_()),
        "uuid": pa.array([b"0" * 16], pa.uuid()),
        "map": pa.array([[("k", timedelta(0))]], pa.map_(pa.string(), pa.duration("s"))),
    }
    pq.write_table(pa.table(columns), path)
    (row,) = read_rows(path)
    assert row == json.loads(json.dumps(row))
    assert (row["time"], row["long"], row["json"]) == ("01:02:00", 120.0, "{}")
    assert row["map"] == [["k", 0.0]]


@pytest.mark.parametrize("nested", [False, True])
def test_a_text_that_every_row_names_is_not_spelt_out_at_once(tmp_path: Path, nested: bool) -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 4_096, pa.int32()), pa.array(["x" * 2_000_000]))
    plain = texts.slice(0, 64).dictionary_decode()
    column = pa.StructArray.from_arrays([plain], ["b"]) if nested else texts
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": column}), path, compression="zstd", dictionary_pagesize_limit=8 << 20)
    assert path.stat().st_size < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = read_rows(path)
    first = next(rows)["a"]
    assert len(first["b"] if nested else first) == 2_000_000
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 1_000_000


def test_parquet_in_small_pieces_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_BYTES_MAX", 3_000)
    table = pa.table(
        {
            "text": ["x", "y" * 50, None] * 40,
            "coded": pa.array(["x", "y", None] * 40).dictionary_encode(),
            "numbers": pa.array([1, 2, None] * 40).dictionary_encode(),
            "list": [["a", "b"], [], None] * 40,
            "struct": [{"q": "z"}, None, {"q": None}] * 40,
            "deep": [[{"a": ["u"]}], None, []] * 40,
            "map": pa.array([[("k", "v")], [], None] * 40, pa.map_(pa.string(), pa.string())),
            "whole": [1, 2, 3] * 40,
            "none": pa.nulls(120),
        }
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=50)
    assert list(parquet.parquet_rows(path)) == table.to_pylist()
    pq.write_table(table.slice(0, 0), path)
    assert list(parquet.parquet_rows(path)) == []


def test_a_sample_of_large_rows_has_fewer_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"a": ["x" * 100, {"b": None}]}
    path = write(tmp_path, "a.jsonl", f"{json.dumps(row)}\n" * 10)
    assert len(first_rows(path, 4)) == 4
    assert len(first_rows(path, 20)) == 10
    monkeypatch.setattr(files, "_SAMPLE_BYTES_MAX", 1_000)
    assert first_rows(path, 20) == [row, row]
