"""Hostile text and numbers where people see them or name things by them: nothing obeys what a record says."""

from __future__ import annotations

import gzip
import io
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from monitor.cli.common import console, print_json
from monitor.cli.init import write
from monitor.cli.init_draft import from_file, from_records, objects
from monitor.cli.main import app
from monitor.cli.tables import print_slices, print_violations
from monitor.core.errors import RowsError, SettingsError, StoreRefused
from monitor.core.guess import MODEL_NAME, model_name
from monitor.core.join import join_labels
from monitor.core.schema.violations import Code, Violation
from monitor.core.stubs import STUB_VERSION, LabelState, Order, Stub
from monitor.core.times import parse_duration, parse_instant
from monitor.core.understood import stored_alerts
from monitor.edges.files import read_rows
from monitor.edges.logs import JsonFormatter
from monitor.edges.redis.reader import _decode
from tests.fuzz.feed import TEXTS

TEXT = st.sampled_from(TEXTS) | st.text(st.characters(codec=None), max_size=30)
"""Any text, lone surrogates too."""

PLACES = ("k:9092", "redis://r:1/0", "labels")
DEEP = b"[" * 100_000 + b"]" * 100_000


def calm(shown: str) -> bool:
    """Whether a terminal is shown text and nothing else."""
    shown.encode()
    return all(line.isprintable() for line in shown.split("\n"))


@given(TEXT, TEXT)
def test_tables_show_text_and_obey_none(name: str, value: str) -> None:
    paper = io.StringIO()
    out = console()
    out.file = paper
    report = {"slice": {name: value}, "requests": 3, "accuracy": {"value": None, "reason": value}}
    print_slices(out, name, [{**report, "slice": {}}, report], [])
    print_violations(out, name, [{"feature": value, "code": "nan", "count": 1, "rate": None}])
    out.print(value, markup=False)
    assert calm(paper.getvalue())


@given(TEXT)
def test_json_for_programs_may_be_seen_on_a_terminal(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        paper = io.StringIO()
        patch.setattr("sys.stdout", paper)
        print_json({text: [text]})
    assert calm(paper.getvalue())
    assert json.loads(paper.getvalue()) == {text: [text]}


@given(TEXT)
def test_a_log_is_one_line_whatever_it_tells(text: str) -> None:
    record = logging.makeLogRecord({"msg": text.replace("%", ""), "name": "monitor", "slice": text})
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert calm(line)
    assert json.loads(line)["slice"] == text


@given(TEXT)
def test_a_refusal_and_a_violation_move_no_cursor(text: str) -> None:
    assert calm(str(SettingsError([text], "settings")))
    assert calm(Violation(text, Code.TYPE, text, "1").message)


def test_an_error_of_a_command_moves_no_cursor(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a,\x1b[2J\n1,2,3\n")
    answer = CliRunner().invoke(app, ["init", "--sample", str(file), "--label", "\x1b]0;x\x07"])
    assert answer.exit_code == 2
    assert calm(answer.output)


@given(
    st.integers(10**400, 10**500) | st.integers(-(10**500), -1),
    st.sampled_from([parse_duration, parse_instant]),
)
def test_no_number_is_too_large_to_be_refused(number: int, parse: object) -> None:
    assert callable(parse)
    for value in (number, str(number)):
        with pytest.raises(ValueError, match=r"not|Exceeds"):
            parse(value)


@given(st.lists(TEXT | st.integers(), max_size=3), TEXT)
def test_records_do_not_choose_where_a_file_is_written(names: list[object], otherwise: str) -> None:
    assert MODEL_NAME.fullmatch(model_name(names, otherwise))


def test_init_writes_where_it_was_told_to(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    record = {"request_id": "r", "model": "../../../evil", "features": {"age": 3}, "score": 0.5}
    found = objects([json.dumps(record).encode(), DEEP, b"[1", None])
    write(from_records(found, [], "predictions", None, PLACES), folder / "monitor.yaml", force=True)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "model.yaml",
        "monitor.yaml",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    rows = folder / "rows.jsonl"
    rows.write_text(json.dumps(record) + "\n")
    assert from_file(rows, None, {}, 9, folder / "monitor.yaml", PLACES).model == "rows"
    refused = CliRunner().invoke(app, ["init", "--sample", str(rows), "--model", "../evil"])
    assert refused.exit_code == 2
    assert "--model" in refused.output


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", DEEP),
        ("a.jsonl", b'{"a":' + DEEP + b"}"),
        ("a.jsonl", b'{"a":' + b"1" * 5_000 + b"}"),
        ("a.csv", b"a\n\xff\n"),
        ("a.csv", b"a\n" + b"x" * 200_000 + b"\n"),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n")[:-9]),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n")[:12] + b"\xff" * 20),
        ("a.jsonl.gz", gzip.compress(b'{"a": "' + b"x" * 17_000_000)),
        ("a.parquet", b"PAR1" + b"\xff" * 40 + b"PAR1"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(RowsError) as refused:
        list(read_rows(file))
    assert calm(str(refused.value))
    assert len(str(refused.value)) < 1_000


def stub_bytes() -> st.SearchStrategy[bytes]:
    """Pending predictions as they are stored, each damaged in one place."""
    stubs = st.builds(
        Stub,
        st.integers(0, 2**41),
        st.booleans(),
        st.floats(0, 1),
        st.integers(-1, 100),
        st.lists(st.integers(1, 65_535), max_size=4).map(tuple),
        st.none() | st.builds(LabelState, st.floats(0, 1), st.builds(Order, *[st.integers(0, 2**31)] * 3)),
        st.binary(max_size=4),
    )
    return stubs.map(Stub.pack)


LATER = bytes([STUB_VERSION + 1])


@given(stub_bytes(), st.data())
def test_a_damaged_pending_prediction_is_refused_and_never_another(
    written: bytes, data: st.DataObject
) -> None:
    cut_at = data.draw(st.integers(0, len(written) - 1))
    more = data.draw(st.binary(min_size=1, max_size=30))
    for damaged in (written[:cut_at], written + more, LATER + written[1:], b"\x00" + written[1:]):
        with pytest.raises(StoreRefused, match="pending prediction"):
            Stub.unpack(damaged)
    one = np.array([1.0]), np.array([5]), 3, np.array([9])
    with pytest.raises(StoreRefused):
        join_labels([b"k"], *one, {b"k": LATER + written[1:]}, [True])


@pytest.mark.parametrize("size", [1, 3, 7, 8 * 22 + 8, 8 * 500])
def test_a_counter_of_another_length_is_refused(size: int) -> None:
    counts = _decode([b"\x01" * size], 22, 64) if size <= 8 * 22 else None
    assert counts is None or len(counts[0]) == 22, "shorter is what Redis holds of trailing zeros"
    if size > 8 * 22:
        with pytest.raises(StoreRefused, match="a counter"):
            _decode([b"\x01" * size], 22, 64)


def test_less_than_nothing_is_refused() -> None:
    with pytest.raises(StoreRefused, match="a counter"):
        _decode([b"\xff" * 8], 22, 64)


def test_an_alert_that_is_none_is_refused_not_skipped() -> None:
    with pytest.raises(StoreRefused, match="an alert"):
        stored_alerts([b'{"identity": 1}'])
