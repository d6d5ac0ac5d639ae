"""Every value is counted once, in the cell a person would count it in."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.aggregate import Target
from monitor.core.counters import FEATURES, SCALE, TAILS, Tier
from monitor.core.drift.layout import (
    FIRST,
    INVALID,
    MAGNITUDES,
    MISSING,
    SCALE_CELLS,
    SCORE,
    BlockKind,
    FeatureLayout,
)
from monitor.core.feature_cells import FeatureCells, feature_cells, fold_features, sum_cells
from monitor.core.schema import FeatureSchema
from monitor.core.schema.inference import infer
from monitor.core.schema.violations import Code

TIERS = (Tier("1s", 1, 900), Tier("1m", 60, 86_400))

SAMPLE = [
    {"age": float(20 + i % 60), "children": i % 4, "sex": "Female" if i % 3 else "Male", "member": i % 2 == 0,
     "note": f"hello {i}"}
    for i in range(600)
]  # fmt: skip
SCHEMA = infer(SAMPLE)
LAYOUT = FeatureLayout.of(SCHEMA)
NAMES = [block.name for block in LAYOUT.blocks]

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**1100), 2**1100) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
records = st.lists(
    st.dictionaries(st.sampled_from([*SCHEMA.features, "other"]), anything, max_size=6),
    min_size=1,
    max_size=8,
)


def _found(features: list[dict[str, Any]], scores: list[float] | None = None) -> FeatureCells:
    account = SCHEMA.compiled.check_chunk(features)
    broken: dict[str, dict[int, int]] = {}
    for row, feature, code in zip(
        account.row.tolist(), account.feature.tolist(), account.code.tolist(), strict=True
    ):
        if feature >= 0:
            broken.setdefault(SCHEMA.compiled.names[feature], {})[row] = code
    given_scores = np.array(scores if scores is not None else [0.5] * len(features))
    return feature_cells(LAYOUT, 1, features, given_scores, broken)


def _cell(record: dict[str, Any], name: str) -> int:
    """Where a person would count a feature of a record, from `MISSING`."""
    block = LAYOUT.blocks[NAMES.index(name)]
    value = record.get(name)
    codes = {v.code for v in SCHEMA.check(record) if v.feature == name}
    if value is None:
        return MISSING
    if codes - {Code.OUT_OF_RANGE, Code.UNKNOWN_CATEGORY}:
        return INVALID
    if block.kind is BlockKind.NUMBER:
        assert block.edges is not None
        return FIRST + sum(bool(value >= edge) for edge in block.edges.tolist())
    if block.kind is BlockKind.CATEGORY:
        values = list(block.values or ())
        return FIRST + (values.index(value) if value in values else len(values))
    return FIRST + int(value) if block.kind is BlockKind.BOOLEAN else FIRST


@given(records)
def test_any_record_is_counted_where_a_person_would(features: list[dict[str, Any]]) -> None:
    found = _found([dict(record) for record in features])
    for row, record in enumerate(features):
        for at, block in enumerate(LAYOUT.blocks):
            if block.name != SCORE:
                assert found.cells[row, at] - block.start == _cell(record, block.name)
    numbers = list(LAYOUT.numeric)
    for row, record in enumerate(features):
        for at, name in enumerate(numbers):
            there = _cell(record, name) >= FIRST
            assert (found.scale[row, at] >= 0) == there
            if there:
                value = float(record[name])
                cell = found.scale[row, at] - at * SCALE_CELLS
                if value:
                    position = math.floor((math.log10(abs(value)) + 12) * 24)
                    expected = 1 + min(max(position, 0), MAGNITUDES - 1) + (value < 0) * MAGNITUDES
                    assert cell == expected
                else:
                    assert cell == 0


def test_the_sample_counted_again_is_the_reference_of_its_schema() -> None:
    found = _found([dict(record) for record in SAMPLE])
    counts = sum_cells(found.cells, LAYOUT.size)
    score = LAYOUT.blocks[-1]
    assert np.array_equal(counts[: score.start], LAYOUT.reference(SCHEMA)[: score.start])
    assert counts[score.start :].sum() == len(SAMPLE)


def test_blocks_cover_the_array_and_count_every_request_once() -> None:
    ends = [block.start + block.size for block in LAYOUT.blocks]
    assert [0, *ends[:-1]] == [block.start for block in LAYOUT.blocks]
    assert ends[-1] == LAYOUT.size
    counts = sum_cells(_found([{}, {"age": 30.0}, {"sex": 5}]).cells, LAYOUT.size)
    assert np.add.reduceat(counts, LAYOUT.starts).tolist() == [3] * len(LAYOUT.blocks)


def test_a_score_has_a_cell_and_its_absence_another() -> None:
    found = _found([{}, {}, {}], [0.0, 1.0, math.nan])
    score = LAYOUT.blocks[-1]
    assert (found.cells[:, -1] - score.start).tolist() == [FIRST, FIRST + 63, MISSING]


@given(
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["m", "n"])), min_size=1, max_size=40), st.data()
)
def test_sums_do_not_depend_on_how_rows_are_cut(rows: list[tuple[int, str]], data: st.DataObject) -> None:
    n = len(rows)
    features = [{"age": float(10 + 7 * (i % 13)), "children": i % 9, "sex": "Female"} for i in range(n)]
    times = np.array([second * 1000 for second, _ in rows])
    members = np.array([[0, 1 if where == "m" else 2] for _, where in rows])
    marks = np.maximum.accumulate(times)
    found = _found(features)
    target = Target("m", TIERS, create=True)

    def counted(parts: list[np.ndarray[Any, Any]]) -> Counter[Any]:
        total: Counter[Any] = Counter()
        for part in parts:
            for inc in fold_features(found, part, times, marks, members, target):
                assert np.all(np.diff(inc.cells) > 0)
                where = (inc.key.kind.name, inc.key.tier.name, inc.key.bucket_s, inc.key.slice_id)
                for cell, amount in zip(inc.cells.tolist(), inc.amounts.tolist(), strict=True):
                    total[*where, cell] += amount
        return total

    whole = counted([np.arange(n)])
    cut = data.draw(st.integers(0, n))
    assert counted([np.arange(cut), np.arange(cut, n)]) == whole
    brute: Counter[Any] = Counter()
    for row, (second, _) in enumerate(rows):
        for tier in TIERS:
            start = second // tier.bucket_s * tier.bucket_s
            brute.update((FEATURES.name, tier.name, start, 1, int(c)) for c in found.cells[row])
            brute.update((SCALE.name, tier.name, start, 1, int(c)) for c in found.scale[row] if c >= 0)
            for at in range(len(LAYOUT.numeric)):
                for side, flag in ((0, found.low[row, at]), (1, found.high[row, at])):
                    if flag:
                        brute.update(
                            (TAILS.name, tier.name, start, int(s), 2 * at + side) for s in members[row]
                        )
    kept = {key: count for key, count in brute.items() if key[1] == "1m" or key[0] == FEATURES.name}
    assert {k: v for k, v in whole.items() if k[1] == "1m" or k[0] == FEATURES.name} == kept


def test_a_schema_without_reference_counts_presence() -> None:
    schema = FeatureSchema.parse(
        "version: 1\nfeatures: {age: {type: number}, tag: {type: category, closed: false}}"
    )
    layout = FeatureLayout.of(schema)
    assert [block.kind for block in layout.blocks[:-1]] == [BlockKind.PRESENT, BlockKind.PRESENT]
    found = feature_cells(layout, 1, [{"age": 1.0}, {"tag": "x"}], np.array([0.5, 0.5]), {})
    assert (found.cells[:, :2] - layout.starts[:2]).tolist() == [[FIRST, MISSING], [MISSING, FIRST]]
    assert not found.low.any()
    assert not layout.reference(schema).any()
    assert layout.fingerprint != LAYOUT.fingerprint


def test_a_feature_cannot_take_the_place_of_the_score() -> None:
    schema = FeatureSchema.parse("version: 1\nfeatures: {'@score': {type: number}, age: {type: number}}")
    layout = FeatureLayout.of(schema)
    assert [(block.name, block.kind) for block in layout.blocks] == [
        ("age", BlockKind.PRESENT),
        (SCORE, BlockKind.SCORE),
    ]
    assert layout.numeric == ("age",)


@pytest.mark.parametrize("change", [{"minimum": -5.0}, {"tolerated": 0.5}, {"note": "n"}])
def test_the_layout_is_the_same_while_its_cells_mean_the_same(change: dict[str, Any]) -> None:
    features = dict(SCHEMA.features)
    features["age"] = features["age"].model_copy(update=change)
    assert (
        FeatureLayout.of(SCHEMA.model_copy(update={"features": features})).fingerprint == LAYOUT.fingerprint
    )
