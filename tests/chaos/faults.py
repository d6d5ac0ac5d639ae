"""The faults of the nemesis: each does its harm while records flow, and leaves the world whole.

Several may strike at once, so each knows again only what is its own: its traps, and what it holds `hurt` of.

Outcome of every one: the workers go on by themselves (a supervisor restarts what ended) and every counter is
what the topics say. docs/chaos.md has the table.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random

from tests.chaos.processes import WorkerProcess, closing
from tests.chaos.proxy import Moment
from tests.chaos.world import SESSION_S, World

_TRAP_S = 20.0
DAY_S = 86_400


@dataclass(frozen=True)
class Fault:
    """A way to do harm.

    Attributes:
        name: as in the report.
        strike: does it, choosing by the generator, and returns when the harm is over. False: it found nothing
            to harm.
        apache: needs a broker that keeps its data over a restart.
        ours: hurts what only the monitor has.
    """

    name: str
    strike: Callable[[World, Random], bool]
    apache: bool = False
    ours: bool = False


def _any(world: World, rng: Random) -> WorkerProcess:
    return rng.choice(world.workers)


def _at_flush(moment: Moment, *, kill: bool) -> Callable[[World, Random], bool]:
    def strike(world: World, rng: Random) -> bool:
        # Whichever worker flushes first: one of them may own nothing just now.
        traps = [worker.at_flush(moment, kill=kill) for worker in world.workers]
        deadline = time.monotonic() + _TRAP_S
        while time.monotonic() < deadline and not any(trap.sprung.is_set() for trap in traps):
            time.sleep(0.02)
        for worker, trap in zip(world.workers, traps, strict=True):
            worker.proxy.unset(trap)
        return any(trap.sprung.is_set() for trap in traps)

    return strike


def _kill(world: World, rng: Random) -> bool:
    time.sleep(rng.uniform(0, 2))
    _any(world, rng).kill()
    return True


def _terminate(world: World, rng: Random) -> bool:
    time.sleep(rng.uniform(0, 2))
    _any(world, rng).signal(signal.SIGTERM)
    return True


def _cut_redis(world: World, rng: Random) -> bool:
    for _ in range(rng.randrange(1, 6)):
        for worker in world.workers:
            worker.proxy.cut()
        time.sleep(rng.uniform(0.1, 1))
    return True


def _slow_redis(world: World, rng: Random) -> bool:
    for worker in world.workers:
        worker.proxy.delay_s = rng.uniform(1, 3)
    time.sleep(rng.uniform(3, 8))
    for worker in world.workers:
        worker.proxy.delay_s = 0.0
    return True


def _restart_redis(world: World, rng: Random) -> bool:
    with world.redis.hurt:
        time.sleep(1.5)  # the second that an append-only file may lag has passed for what was fed before
        world.redis.kill()
        time.sleep(rng.uniform(0, 3))
        world.redis.start()
    return True


def _lose_a_second(world: World, rng: Random) -> bool:
    with world.redis.hurt:
        time.sleep(rng.uniform(0.2, 2))
        world.redis.lose_a_second()
    return True


def _full_redis(world: World, rng: Random) -> bool:
    with world.redis.hurt, world.redis.client() as client:
        client.config_set("maxmemory", 1)
        time.sleep(rng.uniform(2, 6))
        client.config_set("maxmemory", 0)
    return True


def _zombie(world: World, rng: Random) -> bool:
    worker = _any(world, rng)
    worker.signal(signal.SIGSTOP)
    time.sleep(SESSION_S + rng.uniform(1, 4))
    worker.signal(signal.SIGCONT)
    return True


def _zombie_mid_flush(world: World, rng: Random) -> bool:
    """Stopped with a flush on its way; the flush may apply after another worker went on."""
    worker = _any(world, rng)
    trap = worker.at_flush(Moment.SENT, kill=False)
    trap.strike = lambda: worker.signal(signal.SIGSTOP)
    struck = trap.sprung.wait(_TRAP_S)
    worker.proxy.unset(trap)
    if struck:
        time.sleep(SESSION_S + rng.uniform(1, 3))
    worker.signal(signal.SIGCONT)
    return struck


def _rebalance(world: World, rng: Random) -> bool:
    """Workers come and go while flushes run."""
    for turn in range(rng.randrange(1, 3)):
        with ExitStack() as stack:
            closing(stack, world.worker(f"guest-{turn}-{rng.randrange(1 << 30)}"))
            time.sleep(rng.uniform(4, 9))
    return True


def _clock_off(world: World, rng: Random) -> bool:
    worker = _any(world, rng)
    worker.clock_s = rng.choice([-DAY_S, DAY_S])
    worker.kill()
    time.sleep(rng.uniform(4, 8))
    worker.clock_s = 0
    worker.kill()
    return True


def _broker_stands_still(world: World, rng: Random) -> bool:
    assert world.broker.apache is not None
    with world.broker.apache.hurt:
        world.broker.apache.signal(signal.SIGSTOP)
        time.sleep(rng.uniform(2, 10))
        world.broker.apache.signal(signal.SIGCONT)
    return True


def _broker_restarts(world: World, rng: Random) -> bool:
    assert world.broker.apache is not None
    with world.broker.apache.hurt:
        world.broker.apache.restart()
    return True


def _alerts_topic_comes(world: World, rng: Random) -> bool:
    """It was missing from the start, with alerts waiting for it."""
    if not world.late_topics:
        return False
    world.finish_topics()
    return True


FAULTS = (
    Fault("kill_before_flush", _at_flush(Moment.REQUEST, kill=True)),
    Fault("kill_inside_flush", _at_flush(Moment.SENT, kill=True)),
    Fault("kill_after_flush", _at_flush(Moment.REPLIED, kill=True)),
    Fault("kill_any_time", _kill),
    Fault("terminate", _terminate),
    Fault("lost_reply", _at_flush(Moment.REPLIED, kill=False)),
    Fault("truncated_reply", _at_flush(Moment.HALF_REPLIED, kill=False)),
    Fault("redis_cut", _cut_redis),
    Fault("redis_slow", _slow_redis),
    Fault("redis_restart", _restart_redis),
    Fault("redis_loses_a_second", _lose_a_second),
    Fault("redis_full", _full_redis),
    Fault("zombie", _zombie),
    Fault("zombie_mid_flush", _zombie_mid_flush),
    Fault("rebalance_during_flush", _rebalance),
    Fault("clock_off_by_a_day", _clock_off, ours=True),
    Fault("alerts_topic_missing", _alerts_topic_comes, ours=True),
    Fault("broker_stands_still", _broker_stands_still, apache=True),
    Fault("broker_restart", _broker_restarts, apache=True),
)
"""Every fault, by hand: read one tuple, know the nemesis."""

NO_FAULT = Fault("none", lambda _world, _rng: True)
"""What a comparison begins with: a system that errs without a fault proves nothing of faults."""
