"""Distributions that change are told with their size; those that follow the hour are not."""

import numpy as np
import pytest

from monitor.core.counters import Counts
from monitor.core.detectors import drift
from monitor.core.detectors.drift import PAST, REFERENCE, Cells, Drift, Drifted, DriftState
from monitor.core.detectors.drift_words import drift_finding
from monitor.core.drift.layout import FIRST, SCORE, SCORE_CELLS, Block, BlockKind
from monitor.core.drift.scatter import Scatter
from monitor.core.drift.windows import Windows

EDGES = np.array([-1.64, -1.28, -1.04, -0.84, -0.67, -0.52, -0.39, -0.25, -0.13, 0.0, 0.13, 0.25, 0.39, 0.52,
                  0.67, 0.84, 1.04, 1.28, 1.64])  # fmt: skip
FEATURES = 5
SIZE = FIRST + len(EDGES) + 1
BLOCKS = tuple(Block(f"f{i}", BlockKind.NUMBER, i * SIZE, SIZE, edges=EDGES) for i in range(FEATURES))
MONTHLY_OF_30 = float(np.log(30 * 86_400 * 30 / 0.2))
"""Log threshold of one of 30 blocks, buckets of a second."""


def counted(
    rng: np.random.Generator, rows: int, shift: float = 0.0, missing: float = 0.0, cluster: int = 1
) -> Counts:
    """One bucket; only the first feature shifts or goes missing."""
    counts = np.zeros(FEATURES * SIZE, np.int64)
    for feature in range(FEATURES):
        values = np.repeat(rng.normal(shift if feature == 0 else 0.0, 1.0, rows // cluster), cluster)
        cells = FIRST + np.searchsorted(EDGES, values, side="right")
        if feature == 0:
            cells[rng.random(len(cells)) < missing] = 0
        counts[feature * SIZE : (feature + 1) * SIZE] = np.bincount(cells, minlength=SIZE)
    return counts


def run(
    buckets: list[Counts],
    reference: Counts | None,
    config: Drift | None = None,
    threshold: float = MONTHLY_OF_30,
) -> list[tuple[int, Drifted]]:
    cells = Cells(BLOCKS, np.zeros(FEATURES * SIZE, np.int64) if reference is None else reference)
    config = config or Drift(1)
    state = drift.align(DriftState.fresh(), cells)
    found = []
    for place, counts in enumerate(buckets):
        state = drift.step(config, state, cells, counts, place * 1000)
        state, drifted = drift.judge(config, state, cells, np.full(FEATURES, threshold))
        found += [(place, one) for one in drifted]
    return found


def lives(found: list[tuple[int, Drifted]]) -> list[tuple[int, int]]:
    """(feature, bucket) of each end."""
    return [(one.place, place) for place, one in found if not one.holds]


@pytest.mark.parametrize("known", [True, False])
def test_a_shift_is_told_in_seconds_and_ends(known: bool) -> None:
    rng = np.random.default_rng(1)
    reference = counted(rng, 20_000) if known else None
    buckets = [counted(rng, 500, shift=1.0 if 30 <= place < 36 else 0.0) for place in range(60)]
    found = run(buckets, reference)
    assert {one.place for _, one in found} == {0}
    first_place, first = found[0]
    assert 30 <= first_place <= 32
    assert first.since_ms == 30_000
    assert first.against == (REFERENCE if known else PAST) or known
    ((feature, ended),) = lives(found)
    assert feature == 0
    assert 36 <= ended <= 50
    finding = drift_finding(BLOCKS[0], first, MONTHLY_OF_30, 33_000)
    assert finding.effect == pytest.approx(1.0, rel=0.4)  # a normal shifted by d: PSI = d²
    assert finding.subject == {"feature": "f0"}
    assert "median -0" in finding.summary or "median 0" in finding.summary


def test_live_traffic_that_is_not_the_training_data_is_told_at_once() -> None:
    rng = np.random.default_rng(2)
    found = run([counted(rng, 300, shift=0.8) for _ in range(20)], counted(rng, 20_000))
    assert found[0][0] <= 12
    assert found[0][1].against == REFERENCE


def test_a_feature_that_goes_missing_is_told() -> None:
    rng = np.random.default_rng(3)
    buckets = [counted(rng, 500, missing=0.1 if place >= 20 else 0.0) for place in range(30)]
    found = run(buckets, counted(rng, 20_000))
    assert 20 <= found[0][0] <= 23
    assert "missing 0 % → " in drift_finding(BLOCKS[0], found[0][1], 20.0, 0).summary


def test_a_daily_cycle_is_not_told_within_the_day_nor_by_days() -> None:
    rng = np.random.default_rng(4)
    minutes = [counted(rng, 200, shift=0.2 * np.sin(2 * np.pi * place / 1440)) for place in range(2 * 1440)]
    reference = counted(rng, 20_000)
    assert run(minutes, reference, Drift(60)) == []
    whole_days = [sum(minutes[at : at + 1440], np.zeros_like(reference)) for at in (0, 1440)]
    assert run(whole_days * 5, reference, Drift(86_400, warm_pairs=0), threshold=10.0) == []


def test_a_small_lasting_shift_is_told_by_days_alone() -> None:
    rng = np.random.default_rng(5)
    reference = counted(rng, 50_000)
    days = [counted(rng, 20_000, shift=0.3 if place >= 6 else 0.0) for place in range(9)]
    assert run([counted(rng, 500, shift=0.3) for _ in range(200)], reference) == []
    found = run(days, reference, Drift(86_400, warm_pairs=0), threshold=10.0)
    assert found[0][0] == 6
    assert found[0][1].place == 0


def test_eight_rows_are_insufficient() -> None:
    rng = np.random.default_rng(6)
    assert run([counted(rng, 8, shift=5.0)], counted(rng, 20_000)) == []


@pytest.mark.parametrize(("cluster", "effect_min"), [(1, 0.0), (10, 0.2)])
def test_stationary_traffic_is_silent_clusters_or_not(cluster: int, effect_min: float) -> None:
    """Independent rows by their evidence alone, ten rows a person by evidence and effect."""
    rng = np.random.default_rng(7)
    reference = counted(rng, 5_000)  # small: its sampling error is no drift
    config = Drift(1, effect_min=effect_min)
    buckets = [counted(rng, 100, cluster=cluster) for _ in range(600)]
    assert run(buckets, reference, config, threshold=np.log(6_000.0)) == []


def test_windows_count_what_came_since_each_start() -> None:
    rng = np.random.default_rng(8)
    buckets = rng.integers(0, 9, (300, 3))
    windows = Windows.fresh(3)
    for place, counts in enumerate(buckets):
        windows = windows.take(counts, place * 10, 1_000)
        assert np.all(np.diff(windows.numbers) > 0)
        for number, start_ms, since in zip(windows.numbers, windows.starts_ms, windows.since, strict=True):
            assert start_ms == number * 10
            assert np.array_equal(since, buckets[number : place + 1].sum(axis=0))
        ages = windows.taken - windows.numbers
        assert ages[-1] == 1
        assert np.all(ages[:-1] <= 3 * ages[1:] + 3)  # no gap between neighbouring ages beyond this
        assert len(ages) <= 4 * np.log2(place + 2) + 4
    aged = windows.take(np.zeros(3, np.int64), 0, 10)
    assert (aged.taken - aged.numbers).max() <= 10


def test_scatter_sees_clusters_and_no_others() -> None:
    rng = np.random.default_rng(9)
    starts = np.array([block.start for block in BLOCKS])
    for cluster in (1, 5):
        seen = Scatter.fresh(FEATURES * SIZE, FEATURES)
        for place in range(200):
            seen = seen.take(counted(rng, 500, shift=1.0 if place > 100 else 0.0, cluster=cluster), starts)
        assert np.all(np.abs(seen.design_effect - cluster) < 0.25 * cluster)


def test_merged_cells_hold_a_fifth_each() -> None:
    words = Block("word", BlockKind.CATEGORY, 0, FIRST + 7, values=("a", "b", "c", "d", "e", "f"))
    number = Block("x", BlockKind.NUMBER, words.size, SIZE, edges=EDGES)
    score = Block(SCORE, BlockKind.SCORE, words.size + SIZE, FIRST + SCORE_CELLS)
    present = Block("text", BlockKind.PRESENT, score.start + score.size, FIRST + 1)
    reference = np.zeros(present.start + present.size, np.int64)
    reference[FIRST : FIRST + 6] = 60, 12, 12, 8, 4, 4
    reference[words.size + FIRST : words.size + SIZE] = 50
    firsts, blocks = Cells((words, number, score, present), reference).merged()
    parts = [part.tolist() for part in np.split(firsts, blocks[1:])]
    assert parts[0] == [0, 1, 2, 3, 5, 8]  # a alone, b and c, d to f, what is not listed
    assert parts[1] == [words.size + cell for cell in (0, 1, 2, 6, 10, 14, 18)]
    cuts = 1 / (1 + np.exp(16 - (np.array(parts[2][3:]) - score.start - FIRST) / 2))
    assert cuts == pytest.approx([0.2, 0.4, 0.6, 0.8], abs=0.12)
    assert parts[3] == [present.start, present.start + 1, present.start + 2]


def test_a_score_without_a_reference_is_told_against_its_past() -> None:
    rng = np.random.default_rng(10)
    cells = Cells(
        (Block(SCORE, BlockKind.SCORE, 0, FIRST + SCORE_CELLS),), np.zeros(FIRST + SCORE_CELLS, np.int64)
    )
    state, config = drift.align(DriftState.fresh(), cells), Drift(1)
    told = []
    for place in range(40):
        logits = rng.normal(0.7 if place >= 30 else 0.0, 1.0, 300)
        counts = np.bincount(
            FIRST + np.floor(2 * (logits + 16)).astype(np.int64), minlength=FIRST + SCORE_CELLS
        )
        state = drift.step(config, state, cells, counts, place * 1000)
        state, found = drift.judge(config, state, cells, np.array([20.0]))
        told += [place for one in found if one.against == PAST]
    assert told[0] in (31, 32)


def test_a_lasting_difference_from_the_past_is_adopted_and_one_from_the_reference_is_not() -> None:
    rng = np.random.default_rng(11)
    reference = counted(rng, 20_000)
    buckets = [counted(rng, 500, shift=1.0 if place >= 20 else 0.0) for place in range(60)]
    config = Drift(1, adopt_s=25)
    found = run(buckets, None, config)
    assert {one.against for _, one in found} == {PAST}
    assert [place for place, one in found if not one.holds] == [45]
    assert found[-1][0] == 45
    found = run([counted(rng, 500, shift=1.0) for _ in range(60)], reference, config)
    assert {one.against for _, one in found} == {REFERENCE}
    assert all(one.holds for _, one in found)


def test_a_change_does_not_pass_for_scatter() -> None:
    rng = np.random.default_rng(12)
    starts = np.array([block.start for block in BLOCKS])
    seen = Scatter.fresh(FEATURES * SIZE, FEATURES)
    for place in range(13):
        seen = seen.take(counted(rng, 500, shift=3.0 if place == 12 else 0.0), starts)
    assert seen.design_effect.tolist() == [1.0] * FEATURES
