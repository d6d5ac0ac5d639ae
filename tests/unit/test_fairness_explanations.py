"""What a gap comes from, and what became of the slice since."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.counters import SliceCounts
from monitor.core.fairness.decomposition import Confusion, explain_gap, split_by_labels
from monitor.core.fairness.followup import age, excess_errors, share_change
from monitor.core.fairness.score_mix import ErrorsByScore, errors_by_score, split_by_scores
from monitor.core.fairness.split import apart
from tests.support.fold import Rows, fold, logit_normal_rows


def confusion(rows: int, positives: float, misses: float, alarms: float) -> Confusion:
    """A table with exactly these rates."""
    yes = round(rows * positives)
    fn, fp = round(yes * misses), round((rows - yes) * alarms)
    return Confusion(yes - fn, fp, rows - yes - fp, fn)


CONFUSIONS = st.builds(Confusion, *[st.integers(1, 5_000)] * 4)


@given(CONFUSIONS, CONFUSIONS)
def test_the_parts_add_up_to_the_gap(one: Confusion, other: Confusion) -> None:
    split = split_by_labels(one, other)
    assert split.mix.value is not None
    assert split.model.value is not None
    assert split.mix.value + split.model.value == pytest.approx(split.gap, abs=1e-12)
    turned = split_by_labels(other, one)
    assert turned.mix.value == pytest.approx(-split.mix.value, abs=1e-12)
    json.dumps(explain_gap(one, other).values, allow_nan=False)


def test_a_gap_of_mix_alone_and_a_gap_of_the_model_alone() -> None:
    mix = explain_gap(confusion(10_000, 0.62, 0.2, 0.05), confusion(50_000, 0.41, 0.2, 0.05))
    assert mix.notes == (
        "of the gap of 3.1 points in error rate, 3.1 come from another label mix (62 % positives against "
        "41 %), 0.0 from the model being worse on the same labels, which may be chance",
    )
    model = explain_gap(confusion(10_000, 0.41, 0.3, 0.10), confusion(50_000, 0.41, 0.2, 0.05))
    assert model.notes == (
        "error rate is 7.0 points higher; its label mix (41 % positives against 41 %) does not explain that: "
        "the model is worse by 7.0 points on the same labels",
    )
    assert model.values["label_mix"]["mix"]["value"] == pytest.approx(0.0, abs=1e-9)


def test_a_gap_of_both() -> None:
    found = explain_gap(confusion(20_000, 0.62, 0.24, 0.06), confusion(80_000, 0.41, 0.20, 0.05))
    assert found.notes[0].startswith(
        "of the gap of 6.0 points in error rate, 3.5 come from another label mix"
    )
    assert found.notes[0].endswith("from the model being worse on the same labels")


def test_parts_that_pull_apart_are_told_one_by_one() -> None:
    found = explain_gap(confusion(20_000, 0.62, 0.10, 0.05), confusion(80_000, 0.41, 0.20, 0.05))
    assert "another label mix (62 % positives against 41 %) makes +2.1 points" in found.notes[0]
    assert "the model is better by 5.2 points" in found.notes[0]


def test_too_few_labels_of_a_class_explain_nothing() -> None:
    found = explain_gap(Confusion(5, 100, 100, 4), confusion(1_000, 0.4, 0.1, 0.1))
    assert found.notes == ()
    assert found.values["label_mix"] is None
    assert explain_gap(Confusion(0, 0, 0, 0), Confusion(0, 0, 0, 0)).notes == ()


def test_intervals_of_the_parts_hold_their_level() -> None:
    """Resampling whole tables: an oracle that knows nothing of the delta method."""
    rng = np.random.default_rng(1)
    one, other = np.array([0.40, 0.03, 0.45, 0.12]), np.array([0.32, 0.02, 0.58, 0.08])
    many, most = (Confusion(*(1e9 * p).astype(int).tolist()) for p in (one, other))
    truth = split_by_labels(many, most)
    covered = np.zeros(2)
    for _ in range(500):
        mine, rest = (Confusion(*rng.multinomial(n, p).tolist()) for n, p in ((600, one), (3_000, other)))
        split = split_by_labels(mine, rest)
        for place, (part, goal) in enumerate(((split.mix, truth.mix), (split.model, truth.model))):
            assert part.low is not None
            assert part.high is not None
            assert goal.value is not None
            covered[place] += part.low <= goal.value <= part.high
    assert ((covered / 500 >= 0.92) & (covered / 500 <= 0.98)).all(), covered


def scored(seed: int, rows: int, spread: float) -> Rows:
    """A calibrated model, decisions at 0.5: the narrower the logits, the harder the rows."""
    rng = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(-rng.normal(0, spread, rows)))
    return Rows.of(scores, scores >= 0.5, rng.random(rows) < scores)


def test_harder_rows_are_told_from_a_worse_model() -> None:
    easy = errors_by_score(fold(scored(1, 40_000, 3.0)), 0.5)
    hard = errors_by_score(fold(scored(2, 10_000, 1.2)), 0.5)
    assert easy is not None
    assert hard is not None
    split = split_by_scores(hard, easy)
    assert split is not None
    assert split.mix.value is not None
    assert split.mix.value > 0.9 * split.gap > 0.05
    assert not apart(split.model)
    note = explain_gap(confusion(100, 0.5, 0.2, 0.2), confusion(100, 0.5, 0.1, 0.1), split).notes[-1]
    assert "from where its scores lie (harder)" in note
    assert note.endswith("at the same score, which may be chance")
    noisy = scored(3, 10_000, 3.0)
    flipped = Rows(
        noisy.scores, noisy.decisions, np.where(np.arange(10_000) % 10 == 0, 1 - noisy.labels, noisy.labels)
    )
    worse = errors_by_score(fold(flipped), 0.5)
    assert worse is not None
    split = split_by_scores(worse, easy)
    assert split is not None
    assert split.model.value is not None
    assert split.model.value == pytest.approx(split.gap, abs=0.01)
    assert apart(split.model)


def test_errors_by_score_are_those_of_the_rows_or_nothing() -> None:
    rows = scored(4, 5_000, 2.0)
    counts = fold(rows)
    found = errors_by_score(counts, 0.5)
    assert found is not None
    assert found.errors.sum() == (rows.decisions != rows.labels).sum()
    assert found.rows.sum() == 5_000
    assert errors_by_score(counts, 0.7) is None  # decisions do not follow this threshold
    assert errors_by_score(SliceCounts(counts.scalars), 0.5) is None
    assert errors_by_score(SliceCounts.zero(), 0.5) is None
    rest = errors_by_score(fold(logit_normal_rows(np.random.default_rng(1), 40, 0.5, 1.0)), 0.5)
    assert rest is not None
    assert split_by_scores(found, rest) is None
    assert (found - found).rows.sum() == 0


@given(st.integers(0, 2**32 - 1))
def test_score_parts_add_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sides = []
    for _ in range(2):
        rows = rng.integers(0, 400, 64).astype(np.float64)
        sides.append(
            ErrorsByScore(rows, rng.binomial(rows.astype(np.int64), rng.random(64)).astype(np.float64))
        )
    one, other = sides
    split = split_by_scores(one, other)
    assert split is not None
    assert split.mix.value is not None
    assert split.model.value is not None
    assert split.mix.value + split.model.value == pytest.approx(split.gap, abs=1e-12)
    assert split.gap == pytest.approx(
        one.errors.sum() / one.rows.sum() - other.errors.sum() / other.rows.sum()
    )


def test_age() -> None:
    assert age(1_000, 91_500).values == {"age_s": 90}
    assert age(5_000, 1_000).text == "going on for 0s"


def test_excess_errors() -> None:
    fewer = excess_errors(1_000, 60, 10_000, 1_000)
    assert fewer is not None
    assert fewer.text.startswith("40 errors fewer than the rest would have made (")
    assert fewer.values["excess_errors"]["value"] == pytest.approx(-40)
    assert excess_errors(0, 0, 10, 1) is None
    assert excess_errors(10, 1, 0, 0) is None


def test_users_who_leave_are_told_from_chance() -> None:
    """A share that stays is said to fall or rise in about 5 % of windows; one that halves, always."""
    rng = np.random.default_rng(5)
    falls = moves = 0
    for _ in range(400):
        before, same, half = rng.binomial(5_000, 0.08), rng.binomial(2_000, 0.08), rng.binomial(2_000, 0.04)
        note, gone = share_change(before, 5_000, same, 2_000), share_change(before, 5_000, half, 2_000)
        assert note is not None
        assert gone is not None
        moves += "is what it was" not in note.text
        falls += "users may be leaving" in gone.text
    assert 6 <= moves <= 36
    assert falls >= 396


def test_what_share_change_cannot_say() -> None:
    assert share_change(0, 1_000, 10, 1_000) is None
    assert share_change(10, 1_000, 0, 0) is None
    gone = share_change(50, 1_000, 0, 1_000)
    assert gone is not None
    assert "(-100 %, between -100 % and" in gone.text
    rose = share_change(50, 1_000, 100, 1_000)
    assert rose is not None
    assert "rose from 5 % to 10 %" in rose.text
    unsure = share_change(50, 1_000, 100, 1_000, design_effect=10.0)
    assert unsure is not None
    assert "is what it was" in unsure.text
    json.dumps(unsure.values, allow_nan=False)
