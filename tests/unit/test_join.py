"""The label join's state machine, alone: any order of arrival ends the same."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.counters import Join
from monitor.core.join import Joined, join_labels, join_predictions
from monitor.core.stubs import LabelState, ModelIdentity, Order, Stub, shards_of, stub_key

KEY = stub_key("r-1")
PREDICTION = Stub(1_000, True, 0.75, 1, (3, 4), None)


def label(value: float, time_ms: int, offset: int = 0) -> LabelState:
    return LabelState(value, Order(time_ms, 0, offset))


def net(effects: list[tuple[float, bool]]) -> dict[float, int]:
    """Applied minus retracted, by label value."""
    total: dict[float, int] = {}
    for value, retracted in effects:
        total[value] = total.get(value, 0) + (-1 if retracted else 1)
    return {value: count for value, count in total.items() if count}


def labelled(labels: list[LabelState], seen: dict[bytes, bytes]) -> Joined:
    """Labels for one id, in one chunk."""
    return join_labels(
        [KEY] * len(labels),
        np.array([one.value for one in labels]),
        np.array([one.order.time_ms for one in labels]),
        0,
        np.array([one.order.offset for one in labels]),
        seen,
        [True] * len(labels),
    )


def all_effects(joined: Joined) -> list[tuple[float, bool]]:
    many = [(value, False) for part in joined.columns for value in part.values.tolist()]
    return many + [(effect.value, effect.retracted) for effect in joined.effects]


def run(events: list[Stub | LabelState]) -> tuple[Stub, dict[float, int], int, dict[Join, int]]:
    """Apply events one chunk each; the final stub, net label effects, counted predictions, join counts."""
    stored: bytes | None = None
    effects: list[tuple[float, bool]] = []
    counted = 0
    counts: dict[Join, int] = {}
    for event in events:
        seen = {} if stored is None else {KEY: stored}
        joined: Joined
        if isinstance(event, Stub):
            joined = join_predictions([KEY], [event.pack()], seen, [True])
        else:
            joined = labelled([event], seen)
        stored = joined.values.get(KEY, stored)
        effects += all_effects(joined)
        counted += len(joined.counted)
        for count in joined.counts:
            counts[count.cell] = counts.get(count.cell, 0) + 1
        for tally in joined.tallies:
            counts[tally.cell] = counts.get(tally.cell, 0) + len(tally.times_ms)
    assert stored is not None
    return Stub.unpack(stored), net(effects), counted, counts


LABELS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 5)),
    min_size=0,
    max_size=5,
    unique_by=lambda x: x[1],
)


@given(LABELS, st.randoms(use_true_random=False))
def test_any_order_of_arrival_ends_the_same(given_labels: list[tuple[float, int]], rng: object) -> None:
    events: list[Stub | LabelState] = [PREDICTION, *(label(v, t, t) for v, t in given_labels)]
    expected = run(sorted(events, key=lambda e: e.order if isinstance(e, LabelState) else Order(-1, 0, 0)))
    rng.shuffle(events)  # type: ignore[attr-defined]
    stub, effects, counted, _ = run(events)
    assert stub == expected[0]
    assert effects == expected[1]
    assert counted == 1
    if given_labels:
        winner = max(given_labels, key=lambda pair: pair[1])
        assert effects == {winner[0]: 1}


def test_one_chunk_or_many_is_the_same() -> None:
    events = [label(1.0, 5), label(0.0, 7), label(0.0, 6), label(0.0, 9)]
    for order in itertools.permutations(events):
        at_once = labelled(list(order), {KEY: PREDICTION.pack()})
        stub, effects, _, counts = run([PREDICTION, *order])
        assert Stub.unpack(at_once.writes[KEY]) == stub
        assert net(all_effects(at_once)) == effects == {0.0: 1}
        assert sum(counts.values()) == 4


def test_an_equal_label_moves_the_order_on() -> None:
    stub, effects, _, counts = run([PREDICTION, label(1.0, 1), label(1.0, 3), label(0.0, 2)])
    assert stub.label == label(1.0, 3)
    assert effects == {1.0: 1}
    assert counts[Join.STALE_LABELS] == 1


def test_an_early_label_is_parked_and_adopted() -> None:
    stub, effects, counted, counts = run([label(1.0, 500), PREDICTION])
    assert stub == PREDICTION._replace(label=label(1.0, 500))
    assert effects == {1.0: 1}
    assert counted == 1
    assert counts == {Join.PARKED_LABELS: 1, Join.ADOPTED_LABELS: 1, Join.LABELS_APPLIED: 1}


def test_an_early_label_that_was_corrected_is_adopted_where_it_was_parked() -> None:
    parked = labelled([label(1.0, 500)], {})
    corrected = labelled([label(0.0, 9_000), label(0.0, 12_000)], parked.writes)
    adopted = join_predictions([KEY], [PREDICTION.pack()], corrected.writes, [True])
    counts = [*parked.counts, *corrected.counts, *adopted.counts]
    for cell in (Join.PARKED_LABELS, Join.ADOPTED_LABELS):
        assert [count.time_ms for count in counts if count.cell is cell] == [500]
    assert Stub.unpack(adopted.writes[KEY]).label == label(0.0, 12_000)


def test_a_label_that_an_earlier_version_parked_is_adopted_at_its_own_time() -> None:
    parked = Stub(-1, False, float("nan"), -1, (), label(1.0, 700)).pack()
    joined = join_predictions([KEY], [PREDICTION.pack()], {KEY: parked}, [True])
    assert [c.time_ms for c in joined.counts if c.cell is Join.ADOPTED_LABELS] == [700]


@pytest.mark.parametrize(
    ("second", "cell"),
    [
        (PREDICTION, Join.DUPLICATE_PREDICTIONS),
        (PREDICTION._replace(score=0.5), Join.CONFLICTING_PREDICTIONS),
        (PREDICTION._replace(time_ms=2_000), Join.CONFLICTING_PREDICTIONS),
        # Kafka's time stands in for a missing one and differs between repeats.
        (PREDICTION._replace(time_ms=2_000, own_time=False), Join.DUPLICATE_PREDICTIONS),
    ],
)
def test_a_second_prediction_never_counts(second: Stub, cell: Join) -> None:
    stub, _, counted, counts = run([PREDICTION, second])
    assert stub == PREDICTION
    assert counted == 1
    assert counts == {cell: 1}


def test_repeats_inside_one_chunk_are_settled_before_the_store() -> None:
    joined = join_predictions([KEY, KEY], [PREDICTION.pack()] * 2, {}, [True, True])
    assert joined.counted == [0]
    assert [count.cell for count in joined.counts] == [Join.DUPLICATE_PREDICTIONS]


@given(
    st.integers(-1, 2**45),
    st.booleans(),
    st.floats(0, 1) | st.just(math.nan),
    st.sampled_from([-1, 0, 1]),
    st.lists(st.integers(1, 2**16 - 1), max_size=30),
    st.none()
    | st.builds(
        LabelState,
        st.floats(allow_nan=False),
        st.builds(Order, st.integers(0, 2**45), st.integers(0, 2**32 - 1), st.integers(0, 2**60)),
    ),
)
def test_packing_is_exact(
    time_ms: int, own: bool, score: float, decision: int, slices: list[int], known: LabelState | None
) -> None:
    stub = Stub(time_ms, own, score, decision, tuple(slices), known)
    again = Stub.unpack(stub.pack())
    assert again._replace(score=0) == stub._replace(score=0)
    assert again.score == score or math.isnan(score)
    assert len(stub.pack()) == 20 + 2 * len(slices) + (28 if known else 0)


def test_the_label_sample_and_the_shard_depend_on_the_id_alone() -> None:
    keys = [stub_key(f"r-{i}") for i in range(20_000)]
    tracked = ModelIdentity(0.1).tracked(keys)
    assert 0.09 < tracked.mean() < 0.11
    assert (ModelIdentity(0.2).tracked(keys) >= tracked).all()
    shards = shards_of("income", keys, 4)
    assert set(shards.tolist()) == {0, 1, 2, 3}
    assert (shards_of("income", keys[::2], 4) == shards[::2]).all()
