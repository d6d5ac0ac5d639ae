"""How far event time has got."""

from monitor.core.event_time import NOTED_EVERY_MS, EventClock, PartitionView

NOW = 1_700_000_000_000


def part(number: int, watermark_ms: int, *, caught_up: bool = True, silent_s: float = 0.5) -> PartitionView:
    return PartitionView("predictions", number, 10, watermark_ms, caught_up, silent_s)


def reached(*rounds: tuple[int, list[PartitionView]]) -> int:
    clock = EventClock()
    for now_ms, parts in rounds:
        clock = clock.see(parts, now_ms)
    now_ms, parts = rounds[-1]
    return clock.reached_ms(parts, now_ms)


def test_nothing_is_known_at_first() -> None:
    assert reached((NOW, [])) == 0
    assert reached((NOW, [part(0, 0)])) == 0


def test_the_slowest_partition_holds() -> None:
    assert reached((NOW, [part(0, NOW - 100), part(1, NOW - 5_000, caught_up=False)])) == NOW - 5_000
    assert reached((NOW, [part(0, NOW - 100), part(1, 0, caught_up=False)])) == 0


def test_a_partition_that_keeps_up_and_moves_holds_at_its_watermark() -> None:
    rounds = [(NOW + i * 500, [part(0, NOW + i * 500), part(1, NOW + i * 500 - 3_000)]) for i in range(5)]
    assert reached(*rounds) == rounds[-1][0] - 3_000


def test_an_idle_caught_up_partition_stands_at_the_clock() -> None:
    idle = NOW - 60_000
    early = (NOW - 10_000, [part(0, NOW - 10_000), part(1, idle)])
    late = (NOW, [part(0, NOW), part(1, idle, silent_s=1.5)])
    assert reached(early, late) == NOW - 1_500
    stalled = (NOW, [part(0, NOW), part(1, idle, caught_up=False, silent_s=30)])
    assert reached(early, stalled) == idle


def test_a_live_stream_that_falls_silent_goes_on_with_the_clock() -> None:
    parts = [part(0, NOW, silent_s=0.0), part(1, NOW - 1_000, silent_s=0.0)]
    assert reached((NOW, parts), (NOW + 30_000, parts)) == NOW + 30_000


def test_a_finished_replay_of_old_data_stands_still() -> None:
    parts = [part(0, NOW - 10**9), part(1, NOW - 10**9 - 500)]
    assert reached((NOW, parts), (NOW + 30_000, parts)) == NOW - 10**9


KEEP_MS = 3_600_000


def test_what_the_foremost_passed_a_retention_ago_may_have_expired() -> None:
    clock, past = EventClock(), 0
    for second in range(0, 7_200, 10):
        now_ms = NOW + second * 1_000
        clock = clock.note(now_ms - 500, now_ms, KEEP_MS)
        gone_ms = clock.expired_ms(now_ms, KEEP_MS)
        assert gone_ms <= now_ms - KEEP_MS, "what is young is there"
        assert not past or gone_ms > now_ms - KEEP_MS - 2 * NOTED_EVERY_MS
        past = gone_ms
    assert past
    assert len(clock.noted) < KEEP_MS / NOTED_EVERY_MS + 3


def test_a_replay_and_a_return_after_an_outage_fill_their_buckets_now() -> None:
    replay = EventClock()
    for second in range(0, 3_000, 10):
        now_ms = NOW + second * 1_000
        replay = replay.note(NOW - 10**10 + second * 10**6, now_ms, KEEP_MS)
        assert not replay.expired_ms(now_ms, KEEP_MS)
    stood_ms = NOW - 500
    clock = EventClock().note(stood_ms, NOW, KEEP_MS)
    back_ms = NOW + 3 * KEEP_MS
    clock = clock.note(stood_ms, back_ms, KEEP_MS).note(back_ms - 500, back_ms + 5_000, KEEP_MS)
    assert clock.expired_ms(back_ms + 60_000, KEEP_MS) == stood_ms


def test_one_record_of_a_time_to_come_takes_no_bucket_with_it() -> None:
    clock = EventClock()
    for second in range(0, 4 * 3_600, 10):
        now_ms = NOW + second * 1_000
        foremost_ms = now_ms - 500 if second < 600 else NOW + 10**8
        clock = clock.note(foremost_ms, now_ms, KEEP_MS)
        assert clock.expired_ms(now_ms, KEEP_MS) <= now_ms - KEEP_MS


def test_what_a_clock_noted_that_was_ahead_is_forgotten() -> None:
    ahead_ms = NOW + 10**8
    clock = EventClock().note(ahead_ms - 500, ahead_ms, KEEP_MS)
    for second in range(0, 2 * 3_600, 10):
        now_ms = NOW + second * 1_000
        clock = clock.note(now_ms - 500, now_ms, KEEP_MS)
    assert now_ms - KEEP_MS - 2 * NOTED_EVERY_MS < clock.expired_ms(now_ms, KEEP_MS) <= now_ms - KEEP_MS
