"""The evaluator's loop: lease, read, step, commit. Decides nothing.

Synchronous, for a thread of its own: a step is arithmetic over counters and a few reads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import Final

from monitor.core import alerts
from monitor.core.alerts import Moment, Step
from monitor.core.counters import ALL_SLICE
from monitor.core.detectors.finding import SliceName
from monitor.core.errors import StoreError, StoreUnavailable
from monitor.core.evaluation import (
    EvaluatorState,
    ModelEvaluation,
    Plan,
    Streams,
    brought_back,
    decode,
    encode,
    evaluate,
    plan,
    streams_of,
)
from monitor.core.event_time import PartitionView
from monitor.core.heartbeat import HEARTBEAT_S, beat_key, heartbeat
from monitor.core.own_health import OwnHealth
from monitor.core.records import Alert
from monitor.core.steady_clock import SteadyClock
from monitor.core.tasks.multiclass import FAMILY as CLASSES_FAMILY
from monitor.edges.alert_evidence import evidence
from monitor.edges.counter_reads import CounterReads
from monitor.ports import EVALUATOR_VIEW, JUDGED_FIELD, LOOKED_FIELD, SKIPPED_FIELD, EvaluatorStore

log = logging.getLogger(__name__)

Views = Callable[[str], Mapping[str, Mapping[str, str]]]
"""Model → view name → field → text."""

STEPS_MAX: Final = 20
"""Steps in one tick while catching up."""

_LEASE_TTL_MS = 5_000
_STEP_S_MAX: Final = 1.0
"""A step that took longer has the next one do half: one that outlived its lease would be refused, and so
would each after it."""

_PART_MIN: Final = 1 / 64

_VIEWS_EVERY_S = 5.0
_VIEWS_TTL_S = 120
_OUTAGE_PAUSE_S = 1.0
_OWN_EVERY_S = 2.0


@dataclass(frozen=True)
class Judged:
    """A model that this process judges.

    Attributes:
        alerts: their present forms.
        reached_ms: event time up to which traffic is judged; 0 before the first request.
        views: as last written.
    """

    alerts: Sequence[Alert]
    reached_ms: int
    views: Mapping[str, Mapping[str, str]]


@dataclass
class _Held:
    """A model's evaluator as this process holds it."""

    config: ModelEvaluation
    refused: int = 0
    lease_epoch: int = 0
    state: EvaluatorState | None = None
    sequence: int = 0
    saved: bytes = b""
    streams: Streams | None = None
    slices: Mapping[str, int] | None = None
    classes: Mapping[str, int] | None = None
    views_at_s: float = float("-inf")
    views: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    looked_ms: int = 0
    reached_ms: int = 0
    beat_ms: int | None = None
    part: float = 1.0


class Evaluator:
    """Evaluates the models whose lease it gets.

    Args:
        store: counters, and the evaluators' slots.
        models: every model this process may evaluate.
        owner: unique name of this process.
        views: writes what people read; called for leased models every few seconds.
        own: asks what the monitor knows about itself.
        tick_s: pause between ticks.
        monotonic_s: counts the seconds that pass, for the store's clock may leap.

    Attributes:
        looked_s: `time.monotonic()` at which a look at every model was last finished; None before the first.
        own_health: as it last was; None before it was asked for.
    """

    def __init__(
        self,
        store: EvaluatorStore,
        models: Sequence[ModelEvaluation],
        owner: str,
        views: Views | None = None,
        tick_s: float = 0.5,
        own: Callable[[], OwnHealth] | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._reads = CounterReads(store)
        self._owner = owner
        self._views = views
        self._tick_s = tick_s
        self._own = own
        self._monotonic_s = monotonic_s
        self._clock = SteadyClock()
        self._told_ms = 0
        self.own_health: OwnHealth | None = None
        self._own_at_s = float("-inf")
        self.looked_s: float | None = None
        self._held = [_Held(config) for config in models]

    def run(self, stop: Event) -> None:
        """Tick until told to stop. An outage of the store is waited out."""
        while not stop.is_set():
            pause_s = self._tick_s
            try:
                self.tick()
            except StoreUnavailable as error:
                log.warning("evaluation waits for the store: %s", error)
                pause_s = _OUTAGE_PAUSE_S
            except StoreError:
                log.exception("evaluation failed; trying again")
                pause_s = _OUTAGE_PAUSE_S
            stop.wait(pause_s)

    def tick(self) -> None:
        """Evaluate every model once, as far as the counters go.

        Raises:
            StoreUnavailable: the store cannot be reached; nothing is lost, tick again.
        """
        self._look_inside()
        for held in self._held:
            for _ in range(STEPS_MAX):
                if not self._lease(held) or not self._step(held):
                    break
            if held.lease_epoch and self._views is not None:
                self._write_views(held, self._views)
        self.looked_s = time.monotonic()

    def judged(self) -> dict[str, Judged]:
        """What is known of the models whose lease is held; from any thread."""
        held = [(h.config.model, h.state, h) for h in self._held if h.lease_epoch]
        return {
            model: Judged(tuple(state.book.alerts.values()), h.reached_ms, h.views)
            for model, state, h in held
            if state is not None
        }

    def _look_inside(self) -> None:
        """Ask what the monitor knows about itself, every few seconds."""
        now_s = time.monotonic()
        if self._own is not None and now_s - self._own_at_s >= _OWN_EVERY_S:
            self.own_health, self._own_at_s = self._own(), now_s

    def _lease(self, held: _Held) -> bool:
        # Refused once, it comes under another name: the state is not what it knew, and what it said of the
        # state that was lost must not be said otherwise under the same epoch. The old lease expires first.
        owner = f"{self._owner}/{held.refused}" if held.refused else self._owner
        epoch = self._store.lease(held.config.model, owner, _LEASE_TTL_MS)
        if epoch != held.lease_epoch or held.state is None:
            held.lease_epoch, held.state = epoch, None
            if epoch:
                held.saved, held.sequence = self._store.state(held.config.model)
                held.state, held.beat_ms = decode(held.saved), None
                log.info("evaluating", extra={"model": held.config.model, "lease_epoch": epoch})
        return bool(epoch)

    def _now_ms(self) -> int:
        """The store's clock; where it leapt, what it should tell."""
        self._told_ms = told_ms = self._store.now_ms()
        before = self._clock
        self._clock = before.look(told_ms, self._monotonic_s())
        if self._clock.leapt_s is not None and before.leapt_s is None:
            log.warning(
                "the store's clock leapt; event time goes on without it until it has lasted a minute",
                extra={"seconds": (told_ms - self._clock.now_ms) // 1000},
            )
        return self._clock.now_ms

    def _step(self, held: _Held) -> bool:
        """One step of a leased model. Returns whether another should follow at once."""
        config, store = held.config, self._store
        assert held.state is not None
        began_s = self._monotonic_s()
        streams = self._streams(held)
        now_ms = self._now_ms()
        topics = config.prediction_topics | config.label_topics
        partitions = [
            PartitionView(p.topic, p.number, s.offset, s.watermark_ms, s.caught_up, s.silent_s)
            for p, s in store.partitions().items()
            if p.topic in topics
        ]
        state = brought_back(config, held.state, partitions, now_ms)
        if state is not held.state:
            log.warning(
                "event time had run ahead of the clock; evaluation goes back to the present",
                extra={"model": config.model, "from_s": held.state.next_s, "to_s": state.next_s},
            )
        first_s = None
        if state.next_s is None:
            span = store.buckets(config.model, config.tier.name)
            first_s = span[0] if span else None
        first_day_s = None
        if state.days_next_s is None and config.day_tier is not None:
            span = store.buckets(config.model, config.day_tier.name)
            first_day_s = span[0] if span else None
        looked = plan(config, state, partitions, now_ms, len(streams.names), first_s, first_day_s, held.part)
        seen = self._reads.observed(config, state, looked, streams, partitions, now_ms, self.own_health)
        moment = Moment(config.model, held.lease_epoch, now_ms, config.tier.bucket_s * 1000)
        after, step = evaluate(config, state, seen, moment)
        read = partial(self._reads.scalars, config, tier=config.label_tier)
        told = evidence(store, config, step, looked.reached_ms // 1000, read)
        step = alerts.with_evidence(step, told)
        after = replace(after, book=step.book)
        beat = self._heartbeat(held, after, looked, now_ms)
        took_s = self._monotonic_s() - began_s
        if took_s > _STEP_S_MAX:
            held.part = max(held.part / 2, _PART_MIN)
        elif took_s < _STEP_S_MAX / 4:
            held.part = min(2 * held.part, 1.0)
        if not self._commit(held, after, step, beat):
            return False
        # Readers hold this against the store's clock, whatever it tells.
        held.looked_ms, held.reached_ms = self._told_ms, looked.reached_ms
        held.beat_ms = now_ms if beat else held.beat_ms
        return bool(looked.traffic) and not looked.open

    def _heartbeat(
        self, held: _Held, after: EvaluatorState, looked: Plan, now_ms: int
    ) -> list[tuple[bytes, bytes]]:
        """The record that says somebody looks, when it is due."""
        if self._own is None or (
            held.beat_ms is not None and 0 <= now_ms - held.beat_ms < 1000 * HEARTBEAT_S
        ):
            return []
        beat = heartbeat(
            held.config.model, held.lease_epoch, now_ms, looked.reached_ms, after, self.own_health
        )
        return [(beat_key(beat), beat.model_dump_json().encode())]

    def _commit(
        self, held: _Held, after: EvaluatorState, step: Step, beat: Sequence[tuple[bytes, bytes]]
    ) -> bool:
        data = encode(after)
        if data == held.saved and not beat:
            return True
        changed = {identity: step.book.alerts[identity] for identity in step.changed}
        kept = self._store.commit(
            held.config.model,
            held.lease_epoch,
            held.sequence,
            data,
            [*alerts.encoded(step.transitions), *beat],
            {
                identity: value
                for (_, value), identity in zip(alerts.encoded(changed.values()), changed, strict=True)
            },
        )
        if not kept:
            log.warning(
                "another evaluator took over, or the store went back in time",
                extra={"model": held.config.model},
            )
            held.state = None
            held.refused += 1
            return False
        held.state, held.saved, held.sequence = after, data, held.sequence + 1
        for alert in step.transitions:
            log.info(
                "alert %s: %s",
                alert.state.value,
                alert.summary,
                extra={"model": alert.model, "kind": alert.kind.value, "severity": alert.severity.value},
            )
        return True

    def _streams(self, held: _Held) -> Streams:
        config = held.config
        registry = self._store.registry(config.model, "slices")
        # The store numbers from 1, cells of classes from 0.
        classes = self._store.registry(config.model, CLASSES_FAMILY) if config.task.classes else {}
        if held.streams is None or (registry, classes) != (held.slices, held.classes):
            names = [SliceName(i, key, config.named_slices) for key, i in registry.items() if i != ALL_SLICE]
            held.slices, held.classes = registry, classes
            held.streams = streams_of(
                sorted(names, key=lambda name: name.id),
                config.protected,
                config.false_alarms_per_s,
                config.tier.bucket_s,
                config.label_tier.bucket_s,
                config.curve_tier.bucket_s,
                config.watchlist({name: number - 1 for name, number in classes.items()}),
            )
        return held.streams

    def _write_views(self, held: _Held, views: Views) -> None:
        now_s = time.monotonic()
        if now_s - held.views_at_s >= _VIEWS_EVERY_S:
            held.views_at_s = now_s
            model = held.config.model
            found = dict(views(model))
            held.views = dict(found)
            told = {LOOKED_FIELD: str(held.looked_ms), "by": self._owner}
            if held.state is not None:
                told[SKIPPED_FIELD] = str(held.state.skipped)
            if held.state is not None and held.state.labels_from_s is not None:
                told[JUDGED_FIELD] = str(held.state.hindmost_s)
            found[EVALUATOR_VIEW] = told
            self._store.write_views(model, found, _VIEWS_TTL_S)
