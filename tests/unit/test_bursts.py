"""What one request, sent again and again, explains of a bucket."""

from __future__ import annotations

import numpy as np

from monitor.core.estimation.guard import CELLS, CellLabels, Known, without_burst
from monitor.core.evidence import bursts


def test_a_burst_is_bounded_in_rows_and_in_its_part_of_a_bucket() -> None:
    rows, hits = np.array([1_000, 10_000, 100, 1_000]), np.array([200, 200, 100, 7])
    assert bursts.explained(rows, hits, 0).tolist() == [40, 50, 4, 7]
    assert bursts.explained(rows, hits, 1_250).tolist() == [50, 50, 50, 7]


def test_evidence_is_lessened_and_never_grows() -> None:
    log_e = np.array([[-3.0, 2.0, 40.0, 90.0]])
    without = np.array([[-9.0, -9.0, -3.0, 60.0]])
    assert bursts.capped(log_e, without, 6.0).tolist() == [[-3.0, 2.0, 6.0, 60.0]]


def test_the_cell_that_is_least_likely_is_brought_to_what_is_expected() -> None:
    known = Known(np.full((2, CELLS), -1.0), np.full((2, CELLS), 0.01))
    p = 1 / (1 + np.exp(1.0))
    rows = np.full((2, CELLS), 100.0)
    positive = np.full((2, CELLS), 27.0)
    rows[0, 5] += 30
    positive[0, 5] += 30
    rows[1, 9] += 45
    left = without_burst(CellLabels(positive, rows - positive), known)
    assert left.positive[0, 5] == 27  # the burst of 30 positives is gone
    assert left.negative[0, 5] == 73
    assert left.rows[1, 9] == 101
    assert left.positive[1, 9] == 27
    others = np.delete(left.positive[0], 5)
    assert (others == 27).all()
    assert abs(left.positive[0, 5] / left.rows[0, 5] - p) < 0.02
