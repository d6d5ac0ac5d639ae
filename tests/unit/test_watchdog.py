"""The watchdog on a clock of its own: it bites a stalled worker and nobody else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from monitor.core.errors import KafkaError
from monitor.edges.kafka.chunks import Bounds
from monitor.edges.kafka.flow import Flow
from monitor.edges.kafka.watchdog import Watchdog
from monitor.ports import Partition

PLACE = Partition("predictions", 0)
OTHER = Partition("predictions", 1)
STALL_S, JOIN_S = 60.0, 90.0


async def positions(_bounds: Mapping[Partition, Bounds]) -> Mapping[Partition, int]:
    return {}


async def lost(_partition: Partition, _fence: int, _earliest: int) -> None:
    return


class World:
    """A worker's flow, its brokers and a clock whose every tick runs `life`."""

    def __init__(self, life: Callable[[World], None]) -> None:
        self.flow = Flow(positions, lost)
        self.flow.joined = True
        self.flow.begin_epoch(PLACE)
        self.flow.placed(PLACE, 0)
        self.now_s = 0.0
        self.end = 0
        self.brokers_up = True
        self.store_up = True
        self.life = life

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s
        self.life(self)
        if self.now_s > 3_600:
            raise TimeoutError

    async def ends(self) -> Mapping[Partition, int]:
        if not self.brokers_up:
            raise KafkaError("no answer")
        return {PLACE: self.end, OTHER: 10_000}

    async def bitten_s(self) -> float | None:
        """When the watchdog ended the worker; None when it let it live for an hour."""
        dog = Watchdog(self.flow, self.ends, lambda: not self.store_up, STALL_S, JOIN_S, self)
        try:
            assert re.search("predictions-0|group", await dog.stalled())
        except TimeoutError:
            return None
        return self.now_s


async def test_a_stall_is_bitten() -> None:
    def life(world: World) -> None:
        world.end = 100 if world.now_s > 600 else 0

    bitten_s = await World(life).bitten_s()
    assert bitten_s is not None
    assert 600 + STALL_S <= bitten_s <= 600 + 1.5 * STALL_S


async def test_a_partition_that_stands_while_others_move_waits_longer_but_not_for_ever() -> None:
    def life(world: World) -> None:
        world.end = 100
        world.flow.placed(OTHER, int(world.now_s))

    bitten_s = await World(life).bitten_s()
    assert bitten_s is not None
    assert 5 * STALL_S <= bitten_s <= 5.5 * STALL_S


async def test_its_turn_comes_late_and_it_is_left_alone() -> None:
    def life(world: World) -> None:
        world.end = 100
        world.flow.placed(OTHER, int(world.now_s))
        world.flow.placed(PLACE, int(world.now_s) // 200)

    assert await World(life).bitten_s() is None


async def test_progress_however_slow_and_an_idle_partition_are_left_alone() -> None:
    def slow(world: World) -> None:
        world.end = 10_000
        world.flow.placed(PLACE, int(world.now_s // 50))

    assert await World(slow).bitten_s() is None
    assert await World(lambda _world: None).bitten_s() is None


async def test_a_marker_at_the_tail_is_no_lag() -> None:
    def life(world: World) -> None:
        world.end = 66
        world.flow.placed(PLACE, 66)

    assert await World(life).bitten_s() is None


async def test_known_outages_are_waited_out_and_time_begins_again_after() -> None:
    def brokers(world: World) -> None:
        world.end = 100
        world.brokers_up = world.now_s > 1_000

    def store(world: World) -> None:
        world.end = 100
        world.store_up = world.now_s > 1_000

    def placing(world: World) -> None:
        world.end = 100
        world.flow.store_away = world.now_s <= 1_000

    for life in (brokers, store, placing):
        bitten_s = await World(life).bitten_s()
        assert bitten_s is not None
        assert bitten_s >= 1_000 + STALL_S


async def test_a_rewind_is_not_a_stall_while_it_replays() -> None:
    def life(world: World) -> None:
        world.end = 10_000
        if world.now_s == 300:
            world.flow.placed(PLACE, 0)
        else:
            world.flow.placed(PLACE, (world.flow.handled(PLACE) or 0) + 1)

    assert await World(life).bitten_s() is None


async def test_a_group_that_lets_nobody_in_is_bitten() -> None:
    def life(world: World) -> None:
        world.flow.joined = False

    bitten_s = await World(life).bitten_s()
    assert bitten_s is not None
    assert JOIN_S <= bitten_s <= 1.5 * JOIN_S


async def test_a_partition_that_went_away_is_forgotten() -> None:
    def life(world: World) -> None:
        world.end = 100
        if world.now_s > 30:
            world.flow.revoke(PLACE)

    assert await World(life).bitten_s() is None


async def test_a_partition_that_comes_back_has_its_time_again() -> None:
    def life(world: World) -> None:
        world.end = 100
        if world.now_s % 100 < 50:
            world.flow.placed(PLACE, 0)
        else:
            world.flow.revoke(PLACE)

    assert await World(life).bitten_s() is None


async def test_time_outside_the_group_is_no_stall_of_what_comes_back() -> None:
    def life(world: World) -> None:
        world.end += 10
        world.flow.joined = not 100 < world.now_s % 200 <= 100 + STALL_S + 10
        if not world.flow.joined:
            world.flow.revoke(PLACE)
        elif PLACE not in world.flow.standing and PLACE not in world.flow.unplaced:
            world.flow.begin_epoch(PLACE)  # a check comes while it is being placed
        else:
            world.flow.placed(PLACE, world.end)

    assert await World(life).bitten_s() is None


async def test_a_partition_that_is_never_placed_is_bitten() -> None:
    def life(world: World) -> None:
        if world.now_s < 30:
            world.flow.begin_epoch(PLACE)

    bitten_s = await World(life).bitten_s()
    assert bitten_s is not None
    assert STALL_S <= bitten_s <= 1.5 * STALL_S


async def test_a_partition_sent_back_again_and_again_is_bitten() -> None:
    def life(world: World) -> None:
        world.end = 100
        world.flow.begin_epoch(PLACE)
        if world.now_s % 20 < 10:
            world.flow.placed(PLACE, 7)

    bitten_s = await World(life).bitten_s()
    assert bitten_s is not None
    assert bitten_s <= 2 * STALL_S
