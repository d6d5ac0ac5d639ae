"""A gap between means says what is left of it among like cases."""

from datetime import UTC, datetime

import numpy as np

from monitor.core.counters import SliceCounts
from monitor.core.evaluation import gap_notes
from monitor.core.records import Alert
from monitor.core.slices.spec import slice_key
from tests.support.values import counted

SLICES = {
    slice_key({"sex": sex, "band": band}): 10 * i + j
    for i, sex in enumerate(("Female", "Male"), 1)
    for j, band in enumerate(("low", "high"), 1)
} | {slice_key({"sex": "Female"}): 1, slice_key({"band": "low"}): 2}


def alert(metric: str = "mean_value", unit: str = "ratio") -> Alert:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    return Alert.model_validate(
        {
            "identity": "i", "alert_id": "a", "lease_epoch": 1, "sequence": 1, "state": "open",
            "severity": "page", "model": "m", "kind": "gap_change",
            "subject": {"slice": {"sex": "Female"}, "metric": metric}, "summary": "s", "advice": "a",
            "log_evidence": 20.0, "log_threshold": 15.0, "effect": 0.5, "effect_unit": unit, "rows": 100,
            "excess": None, "began_at": now, "opened_at": now, "published_at": now,
            "values": {}, "notes": [],
        }
    )  # fmt: skip


def values(rows: dict[int, tuple[int, float]]) -> dict[int, SliceCounts]:
    rng = np.random.default_rng(3)
    return {i: counted(level * rng.lognormal(0, 0.3, n)) for i, (n, level) in rows.items()}


def test_a_gap_that_another_mix_explains_may_be_nothing_at_the_same_band() -> None:
    strata = gap_notes.strata_of(alert(), ("band", "age"), SLICES)
    assert {feature: len(parts) for feature, parts in strata.items()} == {"band": 4}
    mix = values({11: (900, 100.0), 12: (100, 1_000.0), 21: (100, 100.0), 22: (900, 1_000.0)})
    (note,) = gap_notes.within_notes(alert(), strata, mix)
    assert note.startswith("at the same band it is ")
    assert note.endswith(", which may be nothing, over 1,000 rows of the slice")


def test_a_gap_among_like_cases_is_told_with_its_ratio_or_its_difference() -> None:
    strata = gap_notes.strata_of(alert(), ("band",), SLICES)
    unlike = values({11: (500, 50.0), 12: (500, 500.0), 21: (500, 100.0), 22: (500, 1_000.0)})
    (note,) = gap_notes.within_notes(alert(), strata, unlike)
    assert note.startswith("at the same band it is 0.5 times (0.4")
    assert "nothing" not in note
    (note,) = gap_notes.within_notes(alert(unit="difference"), strata, unlike)
    assert " apart (" in note
