"""Alerts as they happen, for a program of one's own."""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError as ClientError
from pydantic import ValidationError

from monitor.core.errors import KafkaError
from monitor.core.records import HEARTBEAT_KEY, Alert, Heartbeat
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import partitions

_T = TypeVar("_T")

_POLL_MS: Final = 250
_CONNECT_TIMEOUT_MS: Final = 10_000

REMEMBERED_MAX: Final = 10_000
"""Alerts whose newest transition is remembered, and models whose last heartbeat is."""


class Newest:
    """Passes each transition of an alert once, and none that is older than one already passed.

    The alerts topic repeats what stands from time to time and whenever another worker takes over, with newer
    figures, and may hold a late record of an evaluator that had lost its lease. `(lease_epoch, sequence)`
    orders them; a transition is another state or severity, another explanation, or another alert.

    `REMEMBERED_MAX` alerts are remembered; of more, those heard of longest ago are forgotten, and would pass
    once more.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[tuple[int, int], tuple[str | None, ...]]] = OrderedDict()

    def passes(self, alert: Alert) -> bool:
        """True the first time a transition newer than all before it comes."""
        order = (alert.lease_epoch, alert.sequence)
        said = (alert.alert_id, alert.state, alert.severity, alert.consequence_of)
        newest, known = self._seen.get(alert.identity, ((-1, -1), ()))
        newer = order > newest
        _remember(self._seen, alert.identity, (order, said) if newer else (newest, known))
        return newer and said != known


def _remember(known: OrderedDict[str, _T], key: str, value: _T) -> None:
    """Keep a value as the latest; the one that was heard of longest ago makes room."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > REMEMBERED_MAX:
        known.popitem(last=False)


class AlertStream:
    """Iterates over alert transitions, in order for each alert, without repeats.

    ```python
    with AlertStream("localhost:9092") as alerts:
        for alert in alerts:
            print(alert.severity, alert.summary)
    ```

    Args:
        connection: bootstrap servers, or a `KafkaConnection` with encryption and credentials.
        topic: the alerts topic.
        from_beginning: begin with everything the topic holds; else with what comes from now on.
        timeout_s: end the iteration after so long without a new transition; None goes on for ever.

    Attributes:
        unreadable: records skipped because they are no alerts.
        heartbeats: model → the last heartbeat of its evaluator, by which silence can be told from death; of
            `REMEMBERED_MAX` models at most.
    """

    def __init__(
        self,
        connection: str | KafkaConnection,
        topic: str = "model-alerts",
        *,
        from_beginning: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        self.unreadable = 0
        self.heartbeats: OrderedDict[str, Heartbeat] = OrderedDict()
        self._connection = KafkaConnection(connection) if isinstance(connection, str) else connection
        self._topic = topic
        self._from_beginning = from_beginning
        self._timeout_s = timeout_s
        self._newest = Newest()
        self._consumer: Any = None

    def open(self) -> Self:
        """Connect, and fix the place from which on alerts are seen.

        Raises:
            KafkaError: the brokers cannot be reached, or the topic is missing.
        """
        if self._consumer is not None:
            return self
        places = [
            TopicPartition(place.topic, place.number) for place in partitions(self._connection, [self._topic])
        ]
        try:
            consumer = KafkaConsumer(
                **self._connection.client_options(),
                client_id=f"alert-stream-{uuid.uuid4().hex[:8]}",
                bootstrap_timeout_ms=_CONNECT_TIMEOUT_MS,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
            )
            consumer.assign(places)
            if self._from_beginning:
                consumer.seek_to_beginning(*places)
            else:
                consumer.seek_to_end(*places)
            for place in places:
                consumer.position(place)  # seeking is lazy: without this "now" would be the first poll
        except (ClientError, OSError) as error:
            raise KafkaError(
                f"alerts cannot be read at {self._connection.bootstrap_servers}: {error}"
            ) from error
        self._consumer = consumer
        return self

    def close(self) -> None:
        """Release connections."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close(autocommit=False)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Alert]:
        """Transitions as they come.

        Raises:
            KafkaError: reading failed for good.
        """
        self.open()
        quiet_since_s = time.monotonic()
        while self._timeout_s is None or time.monotonic() - quiet_since_s < self._timeout_s:
            for alert in self._poll():
                yield alert
                quiet_since_s = time.monotonic()

    def _poll(self) -> list[Alert]:
        """New transitions, waiting a moment for some."""
        try:
            fetched = self._consumer.poll(timeout_ms=_POLL_MS)
        except (ClientError, OSError) as error:
            raise KafkaError(f"reading {self._topic} failed: {error}") from error
        alerts = []
        for record in (record for records in fetched.values() for record in records):
            if record.value is None:
                continue  # a tombstone: compaction forgets the alert
            try:
                if record.key is not None and record.key.startswith(HEARTBEAT_KEY):
                    beat = Heartbeat.model_validate_json(record.value)
                    _remember(self.heartbeats, beat.model, beat)
                    continue
                alert = Alert.model_validate_json(record.value)
            except ValidationError:
                self.unreadable += 1
                continue
            if self._newest.passes(alert):
                alerts.append(alert)
        return alerts
