"""Figures counted anew from Kafka into another database, beside workers that go on counting into theirs.

Nothing of the present store is touched. The rebuilt one holds counters and the positions they include, like
any other, so the switch is a change of address: a worker that starts on it reads on from there, exactly once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from monitor.app import Worker, running_loops
from monitor.config import Settings
from monitor.core.costs import STUB_BYTES
from monitor.core.errors import StoreRefused, StoreUnavailable
from monitor.core.own_health import SILENT_S
from monitor.core.records import DeadLetter
from monitor.edges.collector import pace_collector
from monitor.edges.kafka import topics
from monitor.edges.kafka.worker import create_app, run_worker
from monitor.edges.redis.reader import RedisReader
from monitor.ports import Partition
from monitor.wiring import connection, open_reader

log = logging.getLogger(__name__)

GROUP_SUFFIX: Final = "-rebuild"
"""Of the consumer group, so that the workers keep their partitions."""

_LOOK_S: Final = 0.5


@dataclass(frozen=True)
class RebuildPlan:
    """What a rebuild will read, and what it cannot bring back.

    Attributes:
        into: address of the database.
        spans: partition → (first offset that Kafka still has, end).
        counted: partition → position of the present figures; empty where there are none.
        gone: partition → records the present figures rest on, at most, that Kafka has no longer.
        resumed: the database holds a rebuild that was stopped.
    """

    into: str
    spans: Mapping[Partition, tuple[int, int]]
    counted: Mapping[Partition, int]
    gone: Mapping[Partition, int]
    resumed: bool

    @property
    def records(self) -> int:
        """Records to read, at most: offsets without a record are among them."""
        return sum(end - first for first, end in self.spans.values())

    @property
    def stub_bytes(self) -> int:
        """Most memory of pending predictions: for one label wait from now on, every record has a stub."""
        return STUB_BYTES * self.records

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "into": self.into,
            "records": self.records,
            "stub_bytes": self.stub_bytes,
            "resumed": self.resumed,
            "partitions": [
                {
                    "topic": place.topic, "partition": place.number, "first": first, "end": end,
                    "counted": self.counted.get(place), "gone": self.gone.get(place, 0),
                }
                for place, (first, end) in sorted(self.spans.items())
            ],
        }  # fmt: skip


def plan_rebuild(settings: Settings, into: str, *, resume: bool) -> RebuildPlan:
    """Look at Kafka and at both databases; changes nothing.

    Args:
        settings: of the workers.
        into: address of an empty database, with neither user nor password: those of the settings are used.
        resume: go on with a rebuild that was stopped.

    Raises:
        StoreRefused: the database cannot be used.
        StoreUnavailable, KafkaError: no answer.
    """
    parts = urlsplit(into)
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise StoreRefused("expected the address of a database, redis://HOST:PORT/N")
    if "@" in parts.netloc:
        raise StoreRefused(
            "no user or password in the address, it would be in lists of processes: those of `redis` are used"
        )
    with (
        closing(open_reader(settings)) as present,
        closing(open_reader(settings.at(redis_url=into))) as target,
    ):
        if present.run_id() == target.run_id() and _number(settings.redis.url) == _number(into):
            raise StoreRefused("this is the database the workers count into; name another one, such as …/1")
        found = target.partitions()
        owners = [report.worker for report, silent_s in target.own_health([]).workers if silent_s < SILENT_S]
        if owners:
            raise StoreRefused(
                f"a worker counts into this database already: {', '.join(owners)}; "
                f"if it was killed, try again in {SILENT_S:.0f} s"
            )
        if found and not resume:
            raise StoreRefused(
                "the database is not empty: name another one, or --resume if it holds a stopped rebuild"
            )
        starts = present.starts()
        counted = {place: state.offset for place, state in present.partitions().items()}
    kafka = connection(settings)
    places = topics.partitions(kafka, settings.kafka.input_topics)
    bounds = topics.offset_bounds(kafka, places, settings.kafka.isolation_level)
    return RebuildPlan(
        into,
        {place: (kept.earliest, kept.end) for place, kept in bounds.items()},
        {place: counted[place] for place in places if counted.get(place, -1) >= 0},
        {
            place: gone
            for place in places
            if place in starts and (gone := min(counted[place], bounds[place].earliest) - starts[place]) > 0
        },
        bool(found),
    )


def _number(url: str) -> str:
    """Which database of a server an address means.

    >>> _number("redis://redis:6379/1"), _number("rediss://redis"), _number("unix:///run/redis.sock?db=2")
    ('1', '0', '2')
    """
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query)).get("db")
    return asked or ("" if parts.scheme == "unix" else parts.path.strip("/")) or "0"


class Rebuilder(Worker):
    """A worker that counts everything anew and neither judges nor publishes.

    Args:
        settings: of the workers.
        plan: of the rebuild.
        advance: told how many records more were read, now and then.
    """

    def __init__(self, settings: Settings, plan: RebuildPlan, advance: Callable[[int], None]) -> None:
        super().__init__(_rebuilding(settings, plan.into))
        self._present = settings
        self._plan = plan
        self._advance = advance
        self._stop = asyncio.Event()
        self.done = False

    async def run(self) -> int:
        """Count until the figures have caught up with those of the workers, and Kafka's end at the start.

        Returns:
            Exit code: 0 when they have.
        """
        await self._open()
        app = create_app(self._config, self, self._flow)
        pace_collector()
        present, target = open_reader(self._present), open_reader(self._settings)
        try:
            loops = (self._watch(), self._follow(present, target))
            async with running_loops(*loops):
                return await run_worker(
                    app, outage=lambda: self._store_away, stop=self._stop, recognise=self._recognise
                )
        finally:
            present.close()
            target.close()
            with suppress(StoreUnavailable):
                await self._store.report(self.name, "")
            await self._store.close()

    async def _follow(self, present: RedisReader, target: RedisReader) -> None:
        """Compare both stores, and let go of dead letters that the workers tell."""
        told = 0
        while not self.done:
            await self._clock.sleep(_LOOK_S)
            with suppress(StoreUnavailable):
                counted = await asyncio.to_thread(_offsets, present)
                rebuilt = await asyncio.to_thread(_offsets, target)
                await self._let_go(counted, present)
                read = sum(rebuilt.get(p, first) - first for p, (first, _) in self._plan.spans.items())
                self._advance(max(0, read - told))
                told = max(told, read)
                self.done = all(
                    rebuilt.get(place, -1) >= max(end, counted.get(place, -1))
                    for place, (_, end) in self._plan.spans.items()
                )
        self._stop.set()

    async def _let_go(self, counted: Mapping[Partition, int], present: RedisReader) -> None:
        """Drop dead letters that the workers have told: of records that the present figures hold.

        Those that still wait to be published there are kept, and all that follow them in their partition:
        whoever switches before they are out leaves them behind.

        Args:
            counted: positions of the present figures, read before their outbox is: what was told up to them
                waits there or is out.
            present: the workers' store.
        """
        every = self._settings.limits.outbox_max * self._settings.redis.shards
        entries = await self._store.outbox_read("dead_letters", every)
        if not entries:
            return
        until = dict(counted)
        for letter in await asyncio.to_thread(present.letters):
            partition, offset = _place(letter)
            until[partition] = min(until.get(partition, offset), offset)
        places = ((entry, *_place(entry.value)) for entry in entries)
        told = [entry for entry, partition, offset in places if offset < until.get(partition, 0)]
        await self._store.outbox_ack(told)


def _offsets(reader: RedisReader) -> dict[Partition, int]:
    return {place: state.offset for place, state in reader.partitions().items()}


def _place(value: bytes) -> tuple[Partition, int]:
    letter = DeadLetter.model_validate_json(value)
    return Partition(letter.topic, letter.partition), letter.offset


def _rebuilding(settings: Settings, into: str) -> Settings:
    """The settings of a rebuild: everything from the start, another group, another database, no probes."""
    kafka = settings.kafka
    earliest = {
        kind: tuple(source.model_copy(update={"start": "earliest"}) for source in sources)
        for kind, sources in (("predictions", kafka.predictions), ("labels", kafka.labels))
    }
    group = {"group_id": kafka.group_id + GROUP_SUFFIX}
    models = {name: model.model_copy(update={"probes": None}) for name, model in settings.models.items()}
    changed = {"kafka": kafka.model_copy(update=earliest | group), "models": models}
    return settings.model_copy(update=changed).at(redis_url=into)
