"""What the alert of a gap says of its age and of the errors so far."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from monitor.core.counters import Counts, Scalar
from monitor.core.evaluation.gap_notes import BUCKETS_MAX, notes
from monitor.core.records import Alert, AlertKind, AlertState, Severity

BEGAN_S = 1_700_000_000


def gap(metric: str = "error_rate", *said: str) -> Alert:
    at = datetime.fromtimestamp(BEGAN_S, UTC)
    return Alert(
        alert_id="1", identity="f", lease_epoch=1, sequence=1, state=AlertState.OPEN, severity=Severity.PAGE,
        model="credit", kind=AlertKind.GAP_CHANGE, summary="", advice="", opened_at=at, began_at=at,
        subject={"slice": {"sex": "Female"}, "metric": metric}, published_at=at, log_evidence=20.0,
        log_threshold=19.0, effect=2.0, effect_unit="odds_ratio", rows=300, notes=list(said),
    )  # fmt: skip


def bucket(rows: int, wrong: int, *, several: bool = False) -> Counts:
    """All traffic and the slice, a tenth of it; the slice alone errs."""
    cells = np.zeros((2, len(Scalar)), np.int64)
    right_cell, wrong_cell = (Scalar.CORRECT, Scalar.WRONG) if several else (Scalar.TN, Scalar.FP)
    cells[:, Scalar.REQUESTS] = [10 * rows, rows]
    cells[:, wrong_cell] = wrong
    cells[:, right_cell] = [10 * rows - wrong, rows - wrong]
    return cells


def test_age_and_excess_are_told_anew() -> None:
    quiet = [bucket(100, 0)] * 3
    for several in (False, True):
        alert = gap("error_rate", "a worker saw a change", "going on for 1s: 2 errors more than the rest")
        found = notes(alert, quiet, [bucket(100, 20, several=several)] * 3, 60, BEGAN_S + 180)
        (told,) = [note for note in found if note.startswith("going on for")]
        assert told.startswith("going on for 3m: 60 errors more than the rest would have made (")
        assert found[0] == "a worker saw a change"


def test_an_old_gap_is_counted_over_its_newest_stretch() -> None:
    found = notes(gap(), [], [bucket(10, 1)] * BUCKETS_MAX, 60, BEGAN_S + 86_400)
    assert any(note.startswith("going on for 1d, in the last 6h40m: 400 errors more") for note in found)


def test_a_gap_of_decisions_has_no_errors() -> None:
    found = notes(gap("positive_rate"), [bucket(100, 0)], [bucket(100, 20)], 60, BEGAN_S + 60)
    assert not any("errors" in note for note in found)
