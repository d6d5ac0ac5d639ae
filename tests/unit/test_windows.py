from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.counters import DEFAULT_TIERS, DEMO_TIERS, SCALARS, SCORES, Kind, Tier
from monitor.core.windows import Extent, Window, decompose, step_of

TINY = (Tier("fine", 2, 40), Tier("middle", 10, 200), Tier("coarse", 60, 6_000))
EVERYWHERE = Kind("everywhere", 1, True)
SHORT = Kind("short", 1, True, {"middle": 60, "coarse": 6_000})

HOUR = 3_600
DAY = 24 * HOUR
NOON = 20_000 * DAY + 12 * HOUR


def spans(events: list[int], tiers: tuple[Tier, ...] = TINY) -> dict[Tier, tuple[int, int] | None]:
    end_s = max(events)
    found: dict[Tier, tuple[int, int] | None] = {}
    for tier in tiers:
        starts = [at // tier.bucket_s * tier.bucket_s for at in events]
        alive = [start for start in starts if start + tier.bucket_s + tier.keep_s > end_s]
        found[tier] = (min(alive), max(alive))
    return found


def stored(events: list[int], kind: Kind, tiers: tuple[Tier, ...] = TINY) -> Counter[tuple[str, int]]:
    """What is left of `events` in every bucket when those past their retention are gone."""
    end_s = max(events)
    cells: Counter[tuple[str, int]] = Counter()
    for tier in tiers:
        for at in events:
            start = at // tier.bucket_s * tier.bucket_s
            if kind.kept_s(tier) and start + tier.bucket_s + kind.kept_s(tier) > end_s:
                cells[tier.name, start] += 1
    return cells


@settings(max_examples=500)
@given(
    events=st.lists(st.integers(0, 3_000), min_size=1, max_size=60),
    kind=st.sampled_from([EVERYWHERE, SHORT]),
    begin=st.integers(0, 3_100),
    length=st.integers(1, 1_000),
)
def test_parts_hold_exactly_the_traffic_of_the_window(
    events: list[int], kind: Kind, begin: int, length: int
) -> None:
    extent = Extent.of(spans(events), max(events))
    assert extent is not None
    window = decompose(kind, TINY, extent, begin, begin + length)
    assert window.from_s <= window.asked_from_s
    assert window.to_s >= window.asked_to_s
    edges = [(start, start + tier.bucket_s) for tier, start in window.parts]
    assert all(one[1] <= two[0] for one, two in zip(edges[:-1], edges[1:], strict=True))
    cells = stored(events, kind)
    assert sum(cells[tier.name, start] for tier, start in window.parts) == sum(
        window.from_s <= at < window.to_s for at in events
    )


@given(
    events=st.lists(st.integers(0, 3_000), min_size=1, max_size=60),
    begin=st.integers(0, 3_100),
    length=st.integers(1, 1_000),
)
def test_an_edge_moves_by_less_than_what_is_kept_there(events: list[int], begin: int, length: int) -> None:
    extent = Extent.of(spans(events), max(events))
    assert extent is not None
    window = decompose(EVERYWHERE, TINY, extent, begin, begin + length)
    assert begin - window.from_s < step_of(EVERYWHERE, TINY, extent, window.from_s).bucket_s
    assert window.to_s - begin - length < 60
    if begin % 2 == 0 and length % 2 == 0 and begin >= extent.end_s - 40:
        assert window.exact


@pytest.mark.parametrize("tiers", [DEFAULT_TIERS, DEMO_TIERS])
@given(end=st.integers(0, DAY - 1), length=st.sampled_from([HOUR, DAY, 7 * DAY, 30 * DAY]))
def test_windows_are_cut_into_few_parts(tiers: tuple[Tier, ...], end: int, length: int) -> None:
    now_s = NOON + end
    extent = Extent(NOON - 60 * DAY, now_s + 1, now_s)
    window = decompose(SCALARS, tiers, extent, now_s - length, now_s)
    assert len(window.parts) < 200


def test_the_open_hour_is_not_read_for_a_window_that_begins_within_it() -> None:
    extent = Extent(NOON - DAY, NOON + 1_800, NOON + 1_800)
    window = decompose(SCALARS, DEFAULT_TIERS, extent, NOON + 600, NOON + 1_800)
    assert {tier.name for tier, _ in window.parts} == {"1m"}
    assert window.exact
    whole = decompose(SCALARS, DEFAULT_TIERS, extent, NOON, NOON + 1_800)
    assert whole.parts == ((DEFAULT_TIERS[2], NOON),)
    assert whole.exact


def test_an_end_before_the_newest_traffic_is_cut_finely() -> None:
    extent = Extent(NOON - DAY, NOON + 1_800, NOON + 1_800)
    window = decompose(SCALARS, DEFAULT_TIERS, extent, NOON, NOON + 90)
    assert [(tier.name, start - NOON) for tier, start in window.parts] == [
        ("1m", 0),
        ("10s", 60),
        ("10s", 70),
        ("10s", 80),
    ]


def test_curves_widen_a_window_that_minutes_do_not_fit() -> None:
    extent = Extent(NOON - DAY, NOON + 1_800, NOON + 1_800)
    window = decompose(SCORES, DEFAULT_TIERS, extent, NOON + 30, NOON + 90)
    assert (window.from_s, window.to_s) == (NOON, NOON + 120)
    assert window.widened_s == 60
    assert not window.exact
    assert window.to_dict()["asked_from"] == "2024-10-04T12:00:30Z"


def test_a_tier_that_lost_buckets_is_passed_over() -> None:
    extent = Extent(NOON - DAY, NOON + 1_800, NOON + 1_800).losing({"10s": NOON + 600})
    window = decompose(SCALARS, DEFAULT_TIERS, extent, NOON + 30, NOON + 120)
    assert window.from_s == NOON
    assert {tier.name for tier, _ in window.parts} == {"1m"}
    assert extent.losing({"10s": NOON}).lost == {"10s": NOON + 600}


def test_long_gone_history_is_answered_by_the_coarsest_tier() -> None:
    extent = Extent(NOON - 1_000 * DAY, NOON, NOON)
    window = decompose(SCALARS, DEFAULT_TIERS, extent, NOON - 900 * DAY, NOON - 899 * DAY)
    assert [tier.name for tier, _ in window.parts] == ["1d", "1d"]


def test_an_expired_fine_tier_does_not_cut_the_end() -> None:
    ten, minute, hour, _ = DEFAULT_TIERS
    extent = Extent.of(
        {ten: (NOON - 600, NOON - 300), minute: (NOON - 600, NOON + 60), hour: (NOON - HOUR, NOON)}, NOON
    )
    assert extent == Extent(NOON - HOUR, NOON + 120, NOON)
    assert Extent.of({ten: None, hour: None}, NOON) is None


def test_retention_is_counted_from_the_clock_while_keys_may_have_expired_since() -> None:
    ten, minute, *_ = DEFAULT_TIERS
    stopped = Extent(NOON - DAY, NOON, NOON + 1_800)
    assert stopped.kept_from_s(SCALARS, ten) == NOON - 1_800
    running = Extent(NOON - DAY, NOON, NOON - 5)
    assert running.kept_from_s(SCALARS, ten) == NOON - HOUR - 10
    replayed = Extent(NOON - DAY, NOON, NOON + 100 * DAY)
    assert replayed.kept_from_s(SCALARS, ten) == NOON - HOUR
    assert replayed.kept_from_s(SCALARS, minute) == NOON - DAY


def test_where_there_was_no_traffic_nothing_is_read() -> None:
    window = decompose(SCALARS, DEFAULT_TIERS, Extent(NOON, NOON + 60, NOON + 60), NOON + 600, NOON + 660)
    assert window == Window(NOON + 600, NOON + 660, NOON + 600, NOON + 660, ())


def test_impossible_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="empty window"):
        decompose(SCALARS, DEFAULT_TIERS, Extent(0, 10, 10), 5, 5)
    with pytest.raises(ValueError, match="in none of the tiers"):
        decompose(SCORES, DEFAULT_TIERS[:1], Extent(0, 10, 10), 0, 5)
