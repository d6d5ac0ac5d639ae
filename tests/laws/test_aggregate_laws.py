"""Sums do not depend on how rows are cut, and equal a plain recomputation, cell by cell."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.aggregate import Target, fold_cells, fold_wide
from monitor.core.contributions import Wide, calibration_cells, label_values, prediction_values, score_cells
from monitor.core.counters import (
    CALIBRATION,
    DEMO_TIERS,
    SCALARS,
    SCORES,
    CellKey,
    Increment,
    Scalar,
    score_bin,
)

BASE_MS = 1_700_000_000_000
TARGET = Target("income", DEMO_TIERS, create=True)

ROW = st.tuples(
    st.integers(0, 3 * 86_400_000),  # event time after BASE_MS
    st.floats(0, 1) | st.just(math.nan),
    st.sampled_from([-1, 0, 1]),
    st.sampled_from([0.0, 1.0]),
    st.tuples(st.sampled_from([-1, 1, 2]), st.sampled_from([-1, 5])),
)
ROWS = st.lists(ROW, min_size=1, max_size=30)

Cells = Counter[tuple[CellKey, int]]


def collect(increments: list[Increment]) -> Cells:
    total: Cells = Counter()
    for increment in increments:
        assert (np.diff(increment.cells) > 0).all()
        assert (increment.amounts > 0).all()
        for cell, amount in zip(increment.cells.tolist(), increment.amounts.tolist(), strict=True):
            total[increment.key, cell] += amount
    return total


def fold(rows: list[Any], watermark_ms: int = 0) -> Cells:
    """The product's way, on columns."""
    times = np.array([BASE_MS + row[0] for row in rows], np.int64)
    scores = np.array([row[1] for row in rows], np.float64)
    decisions = np.array([row[2] for row in rows], np.int8)
    labels = np.array([row[3] for row in rows], np.float64)
    members = np.array([(0, *row[4]) for row in rows], np.int64)
    marks = np.maximum(np.maximum.accumulate(times), watermark_ms)
    no = np.zeros(len(rows), np.bool_)
    values = prediction_values(scores, decisions, no, ~no) + label_values(scores, decisions, labels)
    wide = Wide(times, marks, members, values)
    part = np.where(labels > 0.5, 1, 2).astype(np.int64)
    return collect(
        fold_wide(wide, TARGET)
        + fold_cells(score_cells(wide, scores, 0), SCORES, TARGET)
        + fold_cells(score_cells(wide, scores, part), SCORES, TARGET)
        + fold_cells(calibration_cells(wide, scores, labels), CALIBRATION, TARGET)
    )


def plainly(rows: list[Any], watermark_ms: int = 0) -> Cells:
    """The same, a row and a cell at a time."""
    total: Cells = Counter()
    mark = watermark_ms
    for after_ms, score, decision, label, places in rows:
        time_ms = BASE_MS + after_ms
        mark = max(mark, time_ms)
        said, truth, rated = decision, label > 0.5, not math.isnan(score)
        one = np.array([score]), np.array([decision], np.int8), np.array([label])
        scalars = prediction_values(one[0], one[1], np.array([False]), np.array([True])) + label_values(*one)
        assert scalars[0, Scalar.REQUESTS] == 1
        assert scalars[0, Scalar.TP] == (said == 1 and truth)
        assert scalars[0, Scalar.TN] == (said == 0 and not truth)
        for tier in DEMO_TIERS:
            bucket = time_ms // 1000 // tier.bucket_s * tier.bucket_s
            for kind in (SCALARS, SCORES, CALIBRATION):
                keep_s = kind.kept_s(tier)
                if not keep_s or (bucket + tier.bucket_s + keep_s) * 1000 <= mark:
                    continue
                for slice_id in (0, *(place for place in places if place >= 0)):
                    key = CellKey(kind, tier, bucket, "income", slice_id)
                    if kind is SCALARS:
                        for cell in np.flatnonzero(scalars[0]).tolist():
                            total[key, cell] += int(scalars[0, cell])
                    elif rated and kind is SCORES:
                        base = int(score_bin(np.array([score]))[0]) * 3
                        total[key, base] += 1
                        total[key, base + (1 if truth else 2)] += 1
                    elif rated:
                        base = min(int(score * 20), 19) * 3
                        total[key, base] += 1
                        total[key, base + 1] += truth
                        total[key, base + 2] += round(score * (1 << 24))
    return +total


@settings(max_examples=150)
@given(ROWS)
def test_equals_a_plain_recomputation(rows: list[Any]) -> None:
    assert fold(rows) == plainly(rows)


@settings(max_examples=100)
@given(ROWS, st.integers(0, 30))
def test_the_cut_into_chunks_does_not_matter(rows: list[Any], at: int) -> None:
    head, tail = rows[:at], rows[at:]
    mark = max((BASE_MS + row[0] for row in head), default=0)
    parts = (fold(head) if head else Counter()) + (fold(tail, mark) if tail else Counter())
    assert parts == fold(rows)


def test_a_narrow_kind_is_kept_where_the_layout_says() -> None:
    tiers = {key.tier.name for key, _ in fold([(0, 0.5, 1, 1.0, (1, -1))]) if key.kind is SCORES}
    assert tiers == {"1m", "1h", "1d"}
