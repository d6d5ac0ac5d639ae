"""The faults of the nemesis: each does its harm while records flow, and leaves the world whole.

Outcome of every one: the workers go on by themselves (a supervisor restarts what ended) and every counter is
what the topics say. docs/chaos.md has the table.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

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
        strike: does it, and returns when the harm is over. False: it found nothing to harm.
        apache: needs a broker that keeps its data over a restart.
        ours: hurts what only the monitor has.
    """

    name: str
    strike: Callable[[World], bool]
    apache: bool = False
    ours: bool = False


def _any(world: World) -> WorkerProcess:
    return world.rng.choice(world.workers)


def _at_flush(moment: Moment, *, kill: bool) -> Callable[[World], bool]:
    def strike(world: World) -> bool:
        # Whichever worker flushes first: one of them may own nothing just now.
        traps = [worker.at_flush(moment, kill=kill) for worker in world.workers]
        deadline = time.monotonic() + _TRAP_S
        while time.monotonic() < deadline and not any(trap.sprung.is_set() for trap in traps):
            time.sleep(0.02)
        for worker in world.workers:
            worker.proxy.set(None)
        return any(trap.sprung.is_set() for trap in traps)

    return strike


def _kill(world: World) -> bool:
    time.sleep(world.rng.uniform(0, 2))
    _any(world).kill()
    return True


def _terminate(world: World) -> bool:
    time.sleep(world.rng.uniform(0, 2))
    _any(world).signal(signal.SIGTERM)
    return True


def _cut_redis(world: World) -> bool:
    for _ in range(world.rng.randrange(1, 6)):
        for worker in world.workers:
            worker.proxy.cut()
        time.sleep(world.rng.uniform(0.1, 1))
    return True


def _slow_redis(world: World) -> bool:
    for worker in world.workers:
        worker.proxy.delay_s = world.rng.uniform(1, 3)
    time.sleep(world.rng.uniform(3, 8))
    for worker in world.workers:
        worker.proxy.delay_s = 0.0
    return True


def _restart_redis(world: World) -> bool:
    time.sleep(1.5)  # the second that an append-only file may lag has passed for what was fed before
    world.redis.kill()
    time.sleep(world.rng.uniform(0, 3))
    world.redis.start()
    return True


def _lose_a_second(world: World) -> bool:
    time.sleep(world.rng.uniform(0.2, 2))
    world.redis.lose_a_second()
    return True


def _full_redis(world: World) -> bool:
    with world.redis.client() as client:
        client.config_set("maxmemory", 1)
        time.sleep(world.rng.uniform(2, 6))
        client.config_set("maxmemory", 0)
    return True


def _zombie(world: World) -> bool:
    worker = _any(world)
    worker.signal(signal.SIGSTOP)
    time.sleep(SESSION_S + world.rng.uniform(1, 4))
    worker.signal(signal.SIGCONT)
    return True


def _zombie_mid_flush(world: World) -> bool:
    """Stopped with a flush on its way; the flush may apply after another worker went on."""
    worker = _any(world)
    trap = worker.at_flush(Moment.SENT, kill=False)
    trap.strike = lambda: worker.signal(signal.SIGSTOP)
    struck = trap.sprung.wait(_TRAP_S)
    worker.proxy.set(None)
    if struck:
        time.sleep(SESSION_S + world.rng.uniform(1, 3))
    worker.signal(signal.SIGCONT)
    return struck


def _rebalance(world: World) -> bool:
    """Workers come and go while flushes run."""
    for turn in range(world.rng.randrange(1, 3)):
        with ExitStack() as stack:
            closing(stack, world.worker(f"guest-{turn}-{world.rng.randrange(1 << 30)}"))
            time.sleep(world.rng.uniform(4, 9))
    return True


def _clock_off(world: World) -> bool:
    worker = _any(world)
    worker.clock_s = world.rng.choice([-DAY_S, DAY_S])
    worker.kill()
    time.sleep(world.rng.uniform(4, 8))
    worker.clock_s = 0
    worker.kill()
    return True


def _broker_stands_still(world: World) -> bool:
    assert world.broker.apache is not None
    world.broker.apache.signal(signal.SIGSTOP)
    time.sleep(world.rng.uniform(2, 10))
    world.broker.apache.signal(signal.SIGCONT)
    return True


def _broker_restarts(world: World) -> bool:
    assert world.broker.apache is not None
    world.broker.apache.restart()
    return True


def _alerts_topic_comes(world: World) -> bool:
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

NO_FAULT = Fault("none", lambda _world: True)
"""What a comparison begins with: a system that errs without a fault proves nothing of faults."""
