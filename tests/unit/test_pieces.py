"""Chunks cut into pieces: every record is in one of them, and none is larger than it may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.edges.pieces import Chunk, Piece, cut
from tests.support.topology import LogRecord

NOW_MS = 1_700_000_000_000


@given(
    st.lists(st.integers(0, 12)), st.integers(1, 6), st.integers(0, 30), st.integers(1, 3), st.integers(0, 2)
)
def test_pieces_meet_and_are_bounded(
    sizes: list[int], rows_max: int, bytes_max: int, apart: int, hole: int
) -> None:
    records = [LogRecord(b"x" * size, apart * i + hole, NOW_MS) for i, size in enumerate(sizes)]
    end = records[-1].offset + 1 + hole if records else hole
    rest: Chunk | None = Piece("predictions", 0, 0, end, records)
    pieces: list[Chunk] = []
    while rest is not None:
        piece, rest = cut(rest, rows_max, bytes_max)
        pieces.append(piece)
    assert [record for piece in pieces for record in piece.records] == records
    assert [piece.start for piece in pieces] == [0, *(piece.next for piece in pieces[:-1])]
    assert pieces[-1].next == end
    for piece in pieces:
        held = sum(len(record.value) for record in piece.records)
        assert len(piece.records) <= rows_max
        assert held <= bytes_max or len(piece.records) == 1
    for piece, following in zip(pieces, pieces[1:], strict=False):
        held = sum(len(record.value) for record in (*piece.records, following.records[0]))
        assert len(piece.records) == rows_max or held > bytes_max, "no smaller than it has to be"


def test_a_record_without_a_value_has_no_bytes() -> None:
    chunk = Piece("predictions", 0, 0, 2, [LogRecord(None, i, NOW_MS) for i in range(2)])  # type: ignore[arg-type]
    assert cut(chunk, 5, 0) == (chunk, None)
