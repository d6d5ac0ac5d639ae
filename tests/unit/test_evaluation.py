"""The evaluator on simulated traffic, from counters to the alerts it queues."""

import math
import zlib
from collections.abc import Mapping
from dataclasses import replace

import msgpack
import numpy as np
import pytest

from monitor.core.counters import DEFAULT_TIERS, DEMO_TIERS, Scalar, Tier
from monitor.core.detectors.finding import SliceName
from monitor.core.evaluation import (
    ModelEvaluation,
    ReferenceCounts,
    Silence,
    decode,
    encode,
    learning,
    streams_of,
)
from monitor.core.schema import FeatureSchema
from monitor.core.schema.violations import Code
from monitor.core.slices.spec import slice_key
from monitor.edges.evaluator import Evaluator
from monitor.ports import EVALUATOR_VIEW, LOOKED_FIELD, Partition, PartitionState
from tests.support.evaluator_world import (
    MODEL,
    MONTHLY,
    PREDICTIONS,
    SHARES,
    START_S,
    Flags,
    Floats,
    Rows,
    World,
)


def _faulty(rows: Rows, second: int, label: Flags) -> Floats:
    """The three faults of performance, one after another."""
    error = np.where(label, 0.15, 0.05)
    if 30 <= second < 55:
        error[rows["device"] == "Android"] = 0.20
    if 70 <= second < 95:
        error[rows["account"] == "new"] = 0.25
    if 110 <= second < 135:
        error[(rows["gender"] == "Female") & label] = 0.45
    return error


@pytest.fixture(scope="module")
def faults() -> World:
    world = World(
        seed=3,
        errors=_faulty,
        violations=lambda second: {("merchant", Code.OUT_OF_RANGE): 0.1} if 15 <= second < 20 else {},
    )
    world.store.samples["violations/merchant/out_of_range"] = [
        msgpack.packb({"request_id": f"r-{i}"}) for i in (9, 8, 8, 7)
    ]
    world.run(170)
    return world


@pytest.mark.parametrize(
    ("began_s", "subject", "evidence_s"),
    [
        (30, {"device": "Android"}, 10),
        (70, {"slice": "new users"}, 16),
        (110, {"gender": "Female"}, 6),
    ],
)
def test_each_fault_of_performance_is_one_page_within_seconds_of_evidence(
    faults: World, began_s: int, subject: Mapping[str, str], evidence_s: int
) -> None:
    pages = [alert for alert in faults.pages() if alert.subject.get("slice") == subject]
    assert len(pages) == 1
    assert began_s < faults.seconds(pages[0]) <= began_s + evidence_s
    assert abs(pages[0].began_at.timestamp() - START_S - began_s) <= 3
    ended = [a for a in faults.alerts if a.alert_id == pages[0].alert_id and a.state == "resolved"]
    assert len(ended) == 1
    assert ended[0].published_at.timestamp() - START_S <= began_s + 25 + 30


def test_nothing_else_pages(faults: World) -> None:
    expected = [{"device": "Android"}, {"slice": "new users"}, {"gender": "Female"}]
    gaps = [alert.subject["slice"] for alert in faults.pages() if alert.kind == "gap_change"]
    assert gaps == expected
    assert len(faults.pages()) == 4


def test_what_follows_from_a_fault_is_linked_to_its_page(faults: World) -> None:
    pages = {alert.identity for alert in faults.pages()}
    linked = [alert for alert in faults.opened() if alert.consequence_of]
    assert linked
    assert {alert.consequence_of for alert in linked} <= pages
    assert {alert.severity for alert in linked} == {"notice"}


def test_a_violation_is_told_in_its_first_second_with_requests_that_show_it(faults: World) -> None:
    (alert,) = faults.opened("violation_rate")
    assert 15 <= faults.seconds(alert) <= 16
    assert alert.published_at.timestamp() <= START_S + 16
    assert alert.request_ids == ["r-9", "r-8", "r-7"]


def test_everything_resolves_and_transitions_are_in_order(faults: World) -> None:
    last = {alert.identity: alert for alert in faults.alerts}
    assert {alert.state for alert in last.values()} == {"resolved"}
    order = [(alert.lease_epoch, alert.sequence) for alert in faults.alerts]
    assert order == sorted(set(order))
    assert set(faults.store.present) == set(last)


def test_two_ticks_a_second_are_cheap_to_store(faults: World) -> None:
    assert len(faults.store.held[0]) < 200_000


def _wave(second: int) -> float:
    return 0.5 + 0.5 * math.sin(second / 60)


def _moving_shares(second: int) -> Mapping[str, Mapping[str, float]]:
    wave = _wave(second)
    device = {"Android": 0.3 + 0.3 * wave, "iPhone": 0.5 - 0.2 * wave, "Desktop": 0.2 - 0.1 * wave}
    account = {"new": 0.05 + 0.08 * wave, "old": 0.95 - 0.08 * wave}
    return {**SHARES, "device": device, "account": account}


@pytest.mark.parametrize("reference_rows", [20_000, 0])
def test_nothing_pages_while_rates_and_shares_move_together(reference_rows: int) -> None:
    """At one false alarm a minute: what is promised would be five, what is seen is none."""
    world = World(
        seed=5,
        errors=lambda rows, second, _: np.full(len(rows["device"]), 0.05 + 0.15 * _wave(second)),
        shares=_moving_shares,
        base=lambda second: 0.3 + 0.2 * _wave(second),
        violations=lambda _: {("device", Code.NULL): 0.001, ("race", Code.OUT_OF_RANGE): 0.001},
        reference_rows=reference_rows,
        options={"false_alarms_per_s": 1 / 60},
    )
    world.run(300)
    assert not world.pages()
    assert learning(world.config, decode(world.store.held[0])) is None


def test_without_a_reference_it_says_how_far_it_has_learned_and_only_the_schema_speaks() -> None:
    world = World(
        seed=6,
        reference_rows=0,
        rows_per_s=200,
        errors=lambda rows, _, __: np.where(rows["device"] == "Android", 0.4, 0.1),
        violations=lambda second: {("device", Code.NAN): 0.2} if second > 10 else {},
    )
    world.run(15)
    progress = learning(world.config, decode(world.store.held[0]))
    assert progress is not None
    assert 1_000 < progress[0] < progress[1] == 5_000
    assert {alert.kind for alert in world.opened()} == {"violation_rate"}
    world.run(45)
    assert learning(world.config, decode(world.store.held[0])) is None
    assert {"device": "Android"} in [a.subject["slice"] for a in world.opened("standing_gap")]
    assert not [a for a in world.pages() if a.kind == "gap_change"]


def test_a_gap_of_the_reference_is_a_standing_notice_and_never_a_page() -> None:
    world = World(seed=7, errors=lambda rows, _, __: np.where(rows["gender"] == "Female", 0.2, 0.1))
    world.run(60)
    standing = [a for a in world.alerts if a.subject.get("slice") == {"gender": "Female"}]
    assert {(a.kind, a.state, a.severity) for a in standing} == {("standing_gap", "acknowledged", "notice")}
    assert not world.pages()


def test_labels_that_stop_coming_for_a_slice_are_told() -> None:
    world = World(
        seed=8, rows_per_s=500,
        comes=lambda rows, second: np.where((rows["device"] == "iPhone") & (second > 40), 0.6, 0.98),
    )  # fmt: skip
    world.run(70)
    (alert,) = [a for a in world.pages() if a.kind == "ignored_slice"]
    assert alert.subject == {"slice": {"device": "iPhone"}, "metric": "coverage"}
    assert 40 <= world.seconds(alert) <= 50


def test_a_slice_that_leaves_and_traffic_that_stops_are_told() -> None:
    gone = {**SHARES, "device": {"Android": 0.45, "iPhone": 0.02, "Desktop": 0.53}}
    world = World(seed=9, rows_per_s=300, shares=lambda second: gone if second > 70 else SHARES)
    world.run(80)
    (page,) = world.pages()
    assert page.subject == {"slice": {"device": "iPhone"}, "metric": "requests"}
    world.rows_per_s = 0
    world.run(10)
    assert world.opened("missing_traffic")
    assert world.seconds(world.opened("missing_traffic")[0]) <= 84


def test_a_slow_slice_waits_and_the_others_are_judged_at_their_coverage() -> None:
    world = World(seed=10, comes=lambda rows, _: np.where(rows["merchant"] == "m9", 0.7, 1.0))
    world.run(20)
    state = decode(world.store.held[0])
    ids = world.store.names["slices"]
    slow, other = state.label_cursor(ids['{"merchant":"m9"}']), state.label_cursor(ids['{"merchant":"m5"}'])
    assert START_S + 10 < slow < other < START_S + 20


def test_a_second_evaluator_takes_over_where_the_first_stood() -> None:
    world = World(seed=11, violations=lambda second: {("race", Code.NULL): 0.3} if second > 10 else {})
    world.run(14)
    before = len(world.alerts)
    assert before == 1
    other = Evaluator(world.store, [world.config], "worker-2")
    world.step()
    other.tick()
    assert len(world.alerts) == before + 1  # said again under the new lease
    assert world.alerts[-1].lease_epoch > world.alerts[0].lease_epoch
    assert world.alerts[-1].alert_id == world.alerts[0].alert_id
    world.step()
    other.tick()
    assert len(world.alerts) == before + 1


def test_a_lost_race_changes_nothing_and_is_retried() -> None:
    world = World(seed=12)
    world.run(5)
    state, sequence = world.store.held
    world.store.held = (state, sequence + 1)  # somebody else wrote
    world.run(1)
    assert world.store.held == (state, sequence + 1)
    world.run(1)
    assert world.store.held[1] == sequence + 2


def test_a_store_that_went_back_hears_an_alert_again_under_another_lease() -> None:
    world = World(seed=11, violations=lambda second: {("race", Code.NULL): 0.3} if second > 10 else {})
    world.run(10)
    before, present = world.store.held, dict(world.store.present)
    world.run(4)
    (told,) = world.alerts
    world.store.held, world.store.present = before, present
    world.run(8)
    again = world.alerts[1]
    assert (again.identity, again.state) == (told.identity, told.state)
    assert again.lease_epoch > told.lease_epoch


def test_a_long_outage_is_caught_up_bucket_by_bucket_in_bounded_steps() -> None:
    world = World(
        seed=13, rows_per_s=100,
        violations=lambda second: {("race", Code.NULL): 0.5} if 200 <= second < 230 else {},
    )  # fmt: skip
    world.run(10)
    for _ in range(590):
        world.step()
    world.evaluator.tick()
    (alert,) = world.opened("violation_rate")
    assert 200 < world.seconds(alert) <= 202
    state = decode(world.store.held[0])
    assert state.next_s == START_S + 600 - 2
    assert state.skipped == 0
    resolved = [a for a in world.alerts if a.state == "resolved"]
    assert len(resolved) == 1


def test_what_has_expired_is_skipped_and_counted() -> None:
    world = World(seed=14, rows_per_s=20)
    world.run(10)
    jump_s = 5_000
    world.second += jump_s
    world.step()
    for _ in range(3):
        world.step()
    world.evaluator.tick()
    state = decode(world.store.held[0])
    assert state.skipped == jump_s + 14 - 900 - 8
    assert state.next_s == START_S + world.second - 2


def test_buckets_that_expired_behind_a_laggard_are_not_judged_by_its_share() -> None:
    # The finest tier keeps a quarter of an hour; one of two partitions stands still for longer.
    world, laggard, stall_s = World(seed=15, rows_per_s=20), Partition("predictions", 1), 1_500
    stood = PartitionState(0, (START_S + 10) * 1000, False, 30.0)
    world.run(10)
    for _ in range(stall_s):
        world.step()
        world.store.marks[laggard] = stood
        if world.second % 10 == 0:
            world.evaluator.tick()
    state = decode(world.store.held[0])
    assert state.next_s is not None
    young_s = START_S + world.second - 900
    assert young_s - 75 < state.next_s <= young_s + 1, "as far as keys may have expired"
    assert state.skipped == state.next_s - START_S - 9
    taken = state.next_s
    world.store.marks[laggard] = replace(stood, watermark_ms=(taken + 5) * 1000, caught_up=False)
    world.step()
    world.evaluator.tick()
    after = decode(world.store.held[0])
    assert after.next_s == taken + 4, "the rest is taken as it comes"
    assert after.skipped == state.skipped


def test_a_partition_that_is_behind_holds_the_buckets_and_is_reported_when_it_stalls() -> None:
    world = World(seed=15, rows_per_s=50, options={"watch_partitions": True})
    world.run(5)
    behind = replace(world.store.marks[PREDICTIONS], caught_up=False, watermark_ms=(START_S + 5) * 1000)
    for _ in range(70):
        world.step()
        world.store.marks[PREDICTIONS] = PartitionState(behind.offset, behind.watermark_ms, False, 30.0)
        world.evaluator.tick()
    assert decode(world.store.held[0]).next_s == START_S + 4
    (alert,) = world.pages()
    assert alert.kind == "stalled_partition"
    assert alert.subject == {"topic": "predictions", "partition": 0}


def test_state_survives_its_stored_form() -> None:
    world = World(seed=16, violations=lambda _: {("race", Code.NULL): 0.5})
    world.run(12)
    data = world.store.held[0]
    assert encode(decode(data)) == data
    assert encode(decode(b"")) == encode(decode(zlib.compress(msgpack.packb({"version": 0}))))


def test_another_reference_starts_the_gaps_anew() -> None:
    world = World(seed=17, errors=lambda rows, _, __: np.where(rows["gender"] == "Female", 0.2, 0.1))
    world.run(10)
    assert world.opened("standing_gap")
    equal = {i: counts.copy() for i, counts in world.config.reference.scalars.items()}
    for counts in equal.values():
        counts[[Scalar.FP, Scalar.FN]] = counts[Scalar.LABELLED] // 20
    world.evaluator = Evaluator(
        world.store, [replace(world.config, reference=ReferenceCounts(equal))], "worker-1"
    )
    world.run(3)
    ended = [a for a in world.alerts if a.kind == "standing_gap" and a.state == "resolved"]
    assert {"gender": "Female"} in [alert.subject["slice"] for alert in ended]


def test_views_are_written_for_leased_models() -> None:
    world = World(seed=18)
    asked: list[str] = []

    def views(model: str) -> dict[str, dict[str, str]]:
        asked.append(model)
        return {"5m/all": {"requests": "12"}}

    world.evaluator = Evaluator(world.store, [world.config], "worker-1", views)
    world.run(3)
    assert asked == [MODEL]
    assert world.store.views["5m/all"] == {"requests": "12"}
    assert world.store.views[EVALUATOR_VIEW][LOOKED_FIELD] == str(1000 * (START_S + 1))


def test_a_tick_reads_little() -> None:
    world = World(seed=19)
    world.run(10)
    world.store.reads = 0
    world.run(10)
    slices = len(world.store.names["slices"]) + 1
    assert world.store.reads / 10 < 4 * slices


@pytest.mark.parametrize("nobody", ["(other)", "(missing)", "(not a value)"])
def test_nobody_belongs_to_rows_without_a_value(nobody: str) -> None:
    """Their share may fall: a repaired fault is no failure. And two values with them are still two."""
    keys = [{"device": device} for device in ("phone", "desktop", nobody)] + [{"device": nobody, "sex": "F"}]
    names = [SliceName(i + 1, slice_key(key)) for i, key in enumerate(keys)]
    streams = streams_of(names, frozenset(), MONTHLY, 1.0, 60.0)
    assert streams.shares.tolist() == [1, 2]
    assert [s.weight for s in streams.coverage[:2]] == [0.5, 0.5]


def test_levels_share_what_the_model_may_spend_among_its_slices() -> None:
    keys = ['{"sex":"Female"}', '{"sex":"Male"}', '{"city":"A"}', '{"city":"B"}', '{"city":"C"}',
            '{"city":"A","sex":"Male"}', '{"city":"(missing)"}', '{"model_version":"1"}']  # fmt: skip
    names = [SliceName(i + 1, key) for i, key in enumerate(keys)]
    streams = streams_of(names, frozenset({"sex"}), MONTHLY, 1.0, 60.0)
    assert [s.weight for s in streams.labels[::3]] == [0.5, 0.5, 1, 1, 1, 0.5, 1, 0.5]
    assert [(s.slice_id, s.low) for s in streams.decisions] == [(1, True), (2, True)]
    assert streams.shares.tolist() == [1, 2, 3, 4, 5, 6]
    spent = sum(
        float(np.exp(-threshold).sum()) / bucket_s
        for threshold, bucket_s in (
            (streams.labels_threshold, 60.0),
            (streams.coverage_threshold, 60.0),
            (streams.degradation_threshold, 60.0),
            (streams.daily_threshold, 86_400.0),
            (streams.calibration_threshold, 60.0),
            (streams.decisions_threshold, 1.0),
            (streams.shares_threshold, 1.0),
        )
    )
    assert spent == pytest.approx(0.4 * MONTHLY)
    # Crossings of protected features with strata take from the others: here thirty of half a weight to six
    # groups of weights 2 * 0.5 + 4.
    groups = [{"sex": sex} for sex in "FM"] + [{"race": race} for race in "ABCD"]
    plain = [SliceName(i + 1, slice_key(group)) for i, group in enumerate(groups)]
    crossed = [
        SliceName(10 + 5 * i + stratum, slice_key(group | {"credit_score": str(stratum)}))
        for i, group in enumerate(groups)
        for stratum in range(5)
    ]
    alone, among = (
        streams_of(found, frozenset(), MONTHLY, 1.0, 60.0) for found in (plain, [*plain, *crossed])
    )
    higher = among.labels_threshold[: len(alone.labels)] - alone.labels_threshold
    assert higher == pytest.approx(np.full(len(alone.labels), np.log(20 / 5)))
    several = streams_of(names, frozenset({"city"}), MONTHLY, 1.0, 60.0)
    assert [(s.slice_id, s.low) for s in several.decisions][:2] == [(3, True), (3, False)]


@pytest.mark.parametrize(
    ("wait_s", "tiers", "name"),
    [
        (5, DEMO_TIERS, "1s"),
        (900, DEMO_TIERS, "10s"),
        (86_400, DEFAULT_TIERS, "1h"),
        (7 * 86_400, DEFAULT_TIERS, "1h"),
    ],
)
def test_labels_are_judged_in_the_finest_tier_that_outlives_their_wait(
    wait_s: float, tiers: tuple[Tier, ...], name: str
) -> None:
    config = ModelEvaluation("m", frozenset(), tiers=tiers, label_wait_s=wait_s)
    assert config.label_tier.name == name


def test_a_silence_is_neither_judged_nor_learned() -> None:
    began_ms, lasts_ms = START_S * 1000 + 100_000, 40_000
    quiet = World(seed=6, rows_per_s=300, options={"silences": (Silence(began_ms, began_ms + lasts_ms),)})
    loud = World(seed=6, rows_per_s=300)
    for world in (quiet, loud):
        world.run(100)
        for _ in range(40):
            world.step(rows=10)
            world.evaluator.tick()
        world.run(20)
    assert [a.kind for a in loud.opened("missing_traffic")] == ["missing_traffic"]
    assert not quiet.opened("missing_traffic", "ignored_slice")
    level = decode(quiet.store.held[0]).traffic.level
    assert level.mean == pytest.approx(300, rel=0.05)


def test_a_flapping_fault_is_one_alert() -> None:
    on = [second for second in range(20, 120) if second // 10 % 2 == 0]
    world = World(
        seed=8,
        violations=lambda second: {("merchant", Code.OUT_OF_RANGE): 0.2} if second in on else {},
    )
    world.run(140)
    lives = [alert for alert in world.alerts if alert.kind == "violation_rate"]
    assert len({alert.alert_id for alert in lives}) == 1
    assert sum(alert.state == "resolved" for alert in lives) >= 3
    assert {alert.opened_at for alert in lives} == {lives[0].opened_at}
    assert "came back after it had been resolved" in lives[-1].notes


def test_a_group_explains_its_crossings() -> None:
    def worse(rows: Rows, second: int, label: Flags) -> Floats:
        return np.where((rows["gender"] == "Female") & (second >= 20), 0.25, 0.10)

    world = World(seed=9, errors=worse)
    world.run(60)
    opened = world.opened("gap_change")
    pages = [alert for alert in opened if alert.severity == "page"]
    assert [alert.subject["slice"] for alert in pages] == [{"gender": "Female"}]
    assert any("race" in alert.subject["slice"] for alert in opened)
    assert all(alert.consequence_of == pages[0].identity for alert in opened if alert is not pages[0])


def test_gibberish_is_told_in_its_first_seconds_and_is_no_violation() -> None:
    schema = FeatureSchema.parse("version: 1\nfeatures: {merchant: {type: string}}")
    world = World(
        seed=7,
        violations=lambda second: {("merchant", Code.GIBBERISH): 0.2 if 20 <= second < 30 else 0.01},
        options={"schema": schema},
    )
    world.run(60)
    lives = world.opened("violation_rate", "gibberish")
    assert [(alert.kind, alert.subject) for alert in lives] == [("gibberish", {"feature": "merchant"})]
    assert 20 <= world.seconds(lives[0]) <= 22
    assert [a.state for a in world.alerts if a.kind == "gibberish"][-1] == "resolved"


def test_a_gap_tells_what_it_comes_from_and_what_became_of_its_users(faults: World) -> None:
    opened = next(a for a in faults.alerts if a.kind == "gap_change" and a.consequence_of is None)
    assert any("label mix" in note for note in opened.notes)
    assert sum(note.startswith("its share of traffic") for note in opened.notes) == 1
    (told,) = [note for note in opened.notes if note.startswith("going on for ")]
    assert "errors more than the rest would have made" in told
