"""Results add up in any order; the worst stay; budgets go where it pays; every group is sampled."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitor.core.counters import ALL_SLICE, PROBE_SHAPES, PROBE_TRIALS, PROBE_TYPES
from monitor.core.masking import Masking
from monitor.core.probes import PROBES, Answer, FeatureSpace, ProbeResult, Subject, Trial
from monitor.core.probes.answers import Case
from monitor.core.probes.results import (
    PROBES_MAX,
    VARIANTS_MAX,
    WORST_EACH,
    Added,
    Part,
    TypePart,
    WorstCase,
    count,
    merge_worst,
    trials_of,
    types_of,
    worst_of,
)
from monitor.core.probes.sampling import Candidate, pick, place
from monitor.core.probes.spending import Arm, Record, choose, learned
from monitor.core.probes.type_conversion import VARIANTS

NAMES = [probe.name for probe in PROBES]
NUMBERS = {"age": 0, "sex": 1}
SPACE = FeatureSpace({})


def result(probe: str, *trials: Trial, slices: tuple[int, ...] = (ALL_SLICE, 3), at: int = 0,
           cases: tuple[Case, ...] = ()) -> ProbeResult:  # fmt: skip
    subject = Subject(f"r-{at}", "m", "1", {}, Answer(score=0.1), 0.5, slices, space=SPACE)
    return ProbeResult(probe, subject, trials, cases)


def case(severity: float, feature: str = "age", *, flipped: bool = False) -> Case:
    before, after = Answer(score=0.1), Answer(score=0.2)
    return Case("sensitivity", (feature,), "w", {"a": 1}, {"a": severity}, before, after, flipped, severity)


trials = st.builds(
    Trial,
    feature=st.sampled_from(["", "age", "sex", "new"]),
    variant=st.sampled_from(["", *VARIANTS]),
    flipped=st.booleans(),
    near=st.booleans(),
    different=st.booleans(),
    error=st.sampled_from([None, "refused"]),
    score_change=st.one_of(st.none(), st.floats(0, 1)),
    distance_iqr=st.one_of(st.none(), st.floats(0, 10)),
)
results_ = st.lists(st.builds(result, st.sampled_from(NAMES), trials), max_size=12)


def dense(added: Added, kind: str, slice_id: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    cells, amounts = added.arrays().get((kind, slice_id), (np.zeros(0, np.int64), np.zeros(0, np.int64)))
    array = np.zeros(int(cells.max(initial=-1)) + 1, np.int64)
    array[cells] = amounts
    return array


@given(results_, results_)
def test_counts_of_parts_are_the_count_of_the_whole(one: list[ProbeResult], other: list[ProbeResult]) -> None:
    whole = count([*other, *one], NAMES, NUMBERS.get)
    assert (count(one, NAMES, NUMBERS.get) + count(other, NAMES, NUMBERS.get)).cells == whole.cells


@given(results_)
def test_cells_are_what_trials_say(found: list[ProbeResult]) -> None:
    added = count(found, NAMES, NUMBERS.get)
    for slice_id in (ALL_SLICE, 3):
        table = trials_of(dense(added, PROBE_TRIALS.name, slice_id))
        for probe, name in enumerate(NAMES):
            for row, feature in enumerate(["", "age", "sex"]):
                mine = [t for r in found if r.probe == name for t in r.trials if t.feature == feature]
                if row < len(table):
                    assert table[row, probe, Part.TRIALS] == len(mine)
                    assert table[row, probe, Part.FLIPS] == sum(t.flipped for t in mine)
                    assert table[row, probe, Part.ERRORS] == sum(t.error is not None for t in mine)
                else:
                    assert not mine
    matrix = types_of(dense(added, PROBE_TYPES.name, ALL_SLICE))
    typed = [t for r in found for t in r.trials if t.variant and t.feature != "new"]
    assert matrix[:, :, TypePart.TRIALS].sum() == len(typed)
    assert matrix[:, :, TypePart.DIFFERENT].sum() == sum(t.different for t in typed)
    shapes = dense(added, PROBE_SHAPES.name, ALL_SLICE)
    changes = [t.score_change for r in found for t in r.trials if t.feature != "new"]
    distances = [t.distance_iqr for r in found for t in r.trials if t.feature != "new"]
    assert shapes.sum() == sum(x is not None for x in [*changes, *distances])


def test_there_is_room_for_what_there_is() -> None:
    assert len(PROBES) <= PROBES_MAX
    assert len(VARIANTS) <= VARIANTS_MAX
    assert len(set(NAMES)) == len(NAMES)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.sampled_from("abc"), st.booleans()), max_size=40),
    st.integers(0, 40),
)
def test_the_worst_are_the_worst_however_they_are_merged(
    found: list[tuple[float, str, bool]], cut: int
) -> None:
    cases = [WorstCase(str(i), "r", "m", "1", case(s, f, flipped=b)) for i, (s, f, b) in enumerate(found)]
    whole = merge_worst(cases, limit=10)
    assert merge_worst(merge_worst(cases[:cut]), merge_worst(cases[cut:]), limit=10) == whole
    assert all(n <= WORST_EACH for n in Counter(c.case.features for c in whole).values())
    assert [c.rank for c in whole] == sorted((c.rank for c in whole), reverse=True)
    if cases:
        assert whole[0].rank == max(c.rank for c in cases)


def test_a_case_is_told_with_all_it_takes_and_without_what_is_hidden() -> None:
    found = worst_of([result("sensitivity", at=7, cases=(case(2.0),))])
    record = found[0].record(Masking())
    assert record["request_id"] == "r-7"
    assert (record["original"], record["changed"]) == ({"a": 1}, {"a": 2.0})
    assert record["before"]["score"] == pytest.approx(0.1)
    assert found[0].record(Masking(frozenset({"a"})))["changed"] == {"a": "(not shown)"}


def test_the_budget_goes_where_it_pays_and_a_fifth_elsewhere() -> None:
    arms: list[Arm] = [("single_feature", f"x{i}") for i in range(10)]
    records: dict[Arm, Record] = {}
    rng = np.random.default_rng(3)
    spent: Counter[Arm] = Counter()
    for at in range(2_000):
        arm = choose(records, arms, 1, rng)[0]
        pays = arm[1] == "x3" and rng.random() < 0.3
        more = learned([result(arm[0], Trial(arm[1], flipped=pays), at=at)])
        records = {key: records.get(key, Record()) + more.get(key, Record()) for key in {*records, *more}}
        if at >= 1_000:
            spent[arm] += 1
    assert spent["single_feature", "x3"] > 750  # 82 % once it is learned
    assert min(spent[arm] for arm in arms) >= 5  # 2 % are expected of each
    assert sum(spent.values()) - spent["single_feature", "x3"] >= 130


def test_arms_of_a_request_are_distinct() -> None:
    arms: list[Arm] = [("p", str(i)) for i in range(5)]
    chosen = choose({}, arms, 9, np.random.default_rng(1))
    assert sorted(chosen) == arms


def test_hashes_are_uniform() -> None:
    assert stats.kstest([place(f"r-{i}") for i in range(5_000)], "uniform").pvalue > 0.001


def test_every_slice_the_threshold_and_the_tail_are_sampled() -> None:
    rng = np.random.default_rng(4)
    candidates = [
        Candidate(f"r-{i}", (0, 1) if i % 200 == 7 else (0,), float(rng.uniform(0, 0.5)), tail=i % 100 == 3)
        for i in range(2_000)
    ]
    chosen = pick(candidates, 40)
    assert len(set(chosen)) == 40
    assert sum(1 in candidates[i].slices for i in chosen) >= 8
    assert sum(candidates[i].tail for i in chosen) >= 8
    assert sum((candidates[i].margin or 0) <= 0.05 for i in chosen) >= 8
    mixed = list(reversed(candidates))
    assert {mixed[i].request_id for i in pick(mixed, 40)} == {candidates[i].request_id for i in chosen}
    assert len(pick(candidates[:3], 40)) == 3
