"""Topics seen from outside the stream: creation, identity, offsets, a look at the last records, feeding.

Synchronous (kafka-python): for the command line, for checks at start, and for the watchdog, which must not
depend on the consumer it watches.
"""

from __future__ import annotations

import heapq
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError as ClientError
from kafka.errors import TopicAlreadyExistsError, for_code

from monitor.core.errors import KafkaError
from monitor.edges.kafka.chunks import Bounds, RawRecord
from monitor.edges.kafka.connection import KafkaConnection
from monitor.ports import Partition

_KNOCK_TIMEOUT_S: Final = 5.0
_NO_TLS: Final = "; is it a port without TLS?"
_CONNECT_TIMEOUT_MS: Final = 10_000
_REQUEST_TIMEOUT_MS: Final = 15_000
_EMPTY_POLL_MS: Final = 500
_SILENT_MS_MAX: Final = 60_000
_FLUSH_TIMEOUT_S: Final = 60.0
_RECORD_BYTES: Final = 300  # of a record beside its key, value and headers, as Python holds it

_NO_ID: Final = str(UUID(int=0))
"""Of a topic whose brokers know ids and whose metadata do not."""

SAMPLE_BYTES_MAX: Final = 256_000_000
"""Of records that are looked at and held at once, of all topics together."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to be created.

    Attributes:
        name: its name.
        partitions: how many.
        compacted: keep the last record of each key (the alerts topic), instead of a stretch of time.
        replication: copies; -1 for the cluster's default.
    """

    name: str
    partitions: int = 1
    compacted: bool = False
    replication: int = -1


def _knock(connection: KafkaConnection, doing: str) -> None:
    """Refuse at once when no broker listens, or none speaks TLS that is asked for.

    The client would try for long (a handshake with a plain-text port for ever), and leave its sockets open.
    """
    problems = []
    context = connection.ssl_context
    for server in connection.servers:
        host, _, port = server.rpartition(":") if ":" in server else (server, "", "9092")
        host = host.strip("[]")
        try:
            with socket.create_connection((host, int(port)), _KNOCK_TIMEOUT_S) as plain:
                if context is not None:
                    context.wrap_socket(plain, server_hostname=host).close()
        except TimeoutError:
            problems.append(f"{server} (no answer in {_KNOCK_TIMEOUT_S:.0f} s{_NO_TLS if context else ''})")
        except ssl.SSLCertVerificationError as error:
            problems.append(f"{server} (its certificate: {error.verify_message})")
        except ssl.SSLError as error:
            problems.append(f"{server} ({error.reason or error}{_NO_TLS})")
        except (OSError, ValueError) as error:
            problems.append(f"{server} ({error}{_NO_TLS if isinstance(error, ConnectionResetError) else ''})")
        else:
            return
    raise KafkaError(f"{doing} failed: no Kafka broker answers at {', '.join(problems)}")


@contextmanager
def _failing_as(doing: str, connection: KafkaConnection) -> Iterator[None]:
    """Turn the client's errors into ours, with what was tried and where."""
    try:
        yield
    except (ClientError, OSError) as error:
        raise KafkaError(f"{doing} failed at {connection.bootstrap_servers}: {error}") from error


@contextmanager
def _admin(connection: KafkaConnection, doing: str) -> Iterator[Any]:
    _knock(connection, doing)
    with _failing_as(doing, connection):
        client = KafkaAdminClient(
            **connection.client_options(),
            bootstrap_timeout_ms=_CONNECT_TIMEOUT_MS,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
        )
        try:
            yield client
        finally:
            client.close()


@contextmanager
def _reader(connection: KafkaConnection, doing: str, isolation: str) -> Iterator[Any]:
    _knock(connection, doing)
    with _failing_as(doing, connection):
        consumer = KafkaConsumer(
            **connection.client_options(),
            bootstrap_timeout_ms=_CONNECT_TIMEOUT_MS,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            group_id=None,
            isolation_level=isolation,
        )
        try:
            yield consumer
        finally:
            consumer.close(autocommit=False)


def cluster_id(connection: KafkaConnection) -> str:
    """The cluster's own id, empty when the broker has none.

    Raises:
        KafkaError: the brokers cannot be reached.
    """
    with _admin(connection, "asking for the cluster id") as admin:
        return str(admin.describe_cluster().get("cluster_id") or "")


def _describe(admin: Any, topics: Sequence[str], connection: KafkaConnection) -> dict[str, Mapping[str, Any]]:
    """Metadata of every topic; a missing one raises."""
    if not topics:
        return {}
    described = {entry["name"]: entry for entry in admin.describe_topics(list(topics))}
    failed = {
        name: for_code(described[name]["error_code"] if name in described else 3).__name__
        for name in topics
        if name not in described or described[name]["error_code"]
    }
    if failed:
        problems = ", ".join(f"{name} ({error})" for name, error in failed.items())
        raise KafkaError(
            f"topics that cannot be used at {connection.bootstrap_servers}: {problems}. "
            "Create them, or let `monitor init --create-topics` do it"
        )
    return described


def topic_ids(connection: KafkaConnection, topics: Sequence[str]) -> dict[str, str]:
    """Id of each topic: a topic that was deleted and created again has another one. Empty before Kafka 2.8.

    Raises:
        KafkaError: a topic is missing, or the brokers cannot be reached.
    """
    return identified(connection, topics)[1]


def partitions(connection: KafkaConnection, topics: Sequence[str]) -> list[Partition]:
    """Every partition of the topics, sorted.

    Raises:
        KafkaError: a topic is missing, or the brokers cannot be reached.
    """
    return identified(connection, topics)[0]


def identified(connection: KafkaConnection, topics: Sequence[str]) -> tuple[list[Partition], dict[str, str]]:
    """Every partition of the topics, sorted, and the id of each topic, as `topic_ids`.

    Raises:
        KafkaError: a topic is missing, or the brokers cannot be reached.
    """
    with _admin(connection, "asking for partitions") as admin:
        described = _describe(admin, topics, connection)
    found = sorted(
        Partition(name, int(part["partition_index"]))
        for name, entry in described.items()
        for part in entry["partitions"]
    )
    ids = {name: str(entry["topic_id"] or "") for name, entry in described.items()}
    return found, {name: "" if topic_id == _NO_ID else topic_id for name, topic_id in ids.items()}


def ensure_topics(connection: KafkaConnection, specs: Iterable[TopicSpec]) -> list[str]:
    """Create what is missing and wait until it has leaders; what exists is left as it is.

    Returns:
        Names of the topics created now.

    Raises:
        KafkaError: a topic could not be created.
    """
    wanted = {spec.name: spec for spec in specs}
    created = []
    with _admin(connection, "creating topics") as admin:
        present = set(admin.list_topics())
        for name, spec in wanted.items():
            if name in present:
                continue
            request: dict[str, Any] = {
                "num_partitions": spec.partitions,
                "replication_factor": spec.replication,
            }
            if spec.compacted:
                request["configs"] = {"cleanup.policy": "compact"}
            try:
                admin.create_topics({name: request})
            except TopicAlreadyExistsError:
                continue  # somebody else was faster
            created.append(name)
        admin.wait_for_topics(list(wanted))
    return created


def offset_bounds(
    connection: KafkaConnection, places: Iterable[Partition], isolation: str = "read_uncommitted"
) -> dict[Partition, Bounds]:
    """First and last offsets as the broker reports them now.

    Raises:
        KafkaError: the brokers cannot be reached.
    """
    asked = {TopicPartition(place.topic, place.number): place for place in places}
    if not asked:
        return {}
    with _reader(connection, "asking for offsets", isolation) as consumer:
        earliest = consumer.beginning_offsets(list(asked))
        end = consumer.end_offsets(list(asked))
    return {place: Bounds(earliest[client], end[client]) for client, place in asked.items()}


def end_offsets(
    connection: KafkaConnection, places: Iterable[Partition], isolation: str = "read_uncommitted"
) -> dict[Partition, int]:
    """Offset after the last record of each partition, as the broker reports it now.

    Raises:
        KafkaError: the brokers cannot be reached.
    """
    return {place: bounds.end for place, bounds in offset_bounds(connection, places, isolation).items()}


def committed_offsets(
    connection: KafkaConnection, group_id: str, places: Iterable[Partition]
) -> dict[Partition, int]:
    """What a consumer group has committed of the partitions; those it never committed are left out.

    Raises:
        KafkaError: the brokers cannot be reached, or do not say.
    """
    asked = {TopicPartition(place.topic, place.number): place for place in places}
    doing = f"asking what {group_id} has committed"
    if not asked:
        return {}
    with _admin(connection, doing) as admin:
        found = admin.list_group_offsets({group_id: list(asked)}).get(group_id, {})
    return {asked[client]: at.offset for client, at in found.items() if client in asked and at.offset >= 0}


class _Kept:
    """The newest of the records that are added: so many, and so many bytes of them, at most.

    Args:
        count: records.
        bytes_max: what they may take; None for no limit.
    """

    def __init__(self, count: int, bytes_max: int | None) -> None:
        self._count = count
        self._bytes_max = bytes_max
        self._bytes = 0
        self._added = 0
        self._heap: list[tuple[int, int, int, int, RawRecord]] = []

    def add(self, records: Iterable[RawRecord]) -> None:
        """Take records in any order; the oldest fall."""
        for record in records:
            self._added += 1
            size = _size_bytes(record)
            self._bytes += size
            heapq.heappush(self._heap, (record.timestamp, record.offset, self._added, size, record))
            while len(self._heap) > self._count or self._is_too_much():
                self._bytes -= heapq.heappop(self._heap)[3]

    def _is_too_much(self) -> bool:
        return self._bytes_max is not None and self._bytes > self._bytes_max and len(self._heap) > 1

    def oldest_first(self) -> list[RawRecord]:
        """What was kept."""
        return [record for *_, record in sorted(self._heap)]


def _size_bytes(record: RawRecord) -> int:
    headers = sum(len(key) + len(value or b"") for key, value in record.headers)
    return _RECORD_BYTES + len(record.key or b"") + len(record.value or b"") + headers


def read_last(
    connection: KafkaConnection, topic: str, count: int, bytes_max: int | None = None
) -> list[RawRecord]:
    """The last records of a topic, `count` of them over all partitions, oldest first.

    Args:
        connection: where the brokers are.
        topic: its name.
        count: how many records, at most.
        bytes_max: what they may take in memory: of large records, fewer are read; None for no limit.

    Raises:
        KafkaError: the topic is missing, or the brokers cannot be reached.
    """
    places = partitions(connection, [topic])
    clients = [TopicPartition(place.topic, place.number) for place in places]
    with _reader(connection, f"reading {topic}", "read_committed") as consumer:
        consumer.assign(clients)
        earliest = consumer.beginning_offsets(clients)
        end = consumer.end_offsets(clients)
        for client in clients:
            consumer.seek(client, max(earliest[client], end[client] - count))
        kept, silent_ms = _Kept(count, bytes_max), 0
        while True:
            fetched = consumer.poll(timeout_ms=_EMPTY_POLL_MS)
            for records in fetched.values():
                kept.add(records)
            behind = any(consumer.position(client) < end[client] for client in clients)
            unheard = any(consumer.highwater(client) is None for client in clients)
            silent_ms = 0 if fetched else silent_ms + _EMPTY_POLL_MS
            # One empty answer past the end: some brokers report an end that lies before the last records.
            if not fetched and not behind and not unheard:
                break
            if silent_ms >= _SILENT_MS_MAX:
                raise KafkaError(f"reading {topic}: no answer from the brokers for {silent_ms // 1000} s")
    return kept.oldest_first()


class TopicProducer:
    """Feeds records to topics, batched; counts what was delivered and what was not.

    Attributes:
        delivered: records acknowledged by the brokers.
        failed: records given up; `last_error` is why.
    """

    def __init__(self, connection: KafkaConnection, linger_ms: int = 20) -> None:
        self.delivered = 0
        self.failed = 0
        self.last_error: Exception | None = None
        self._connection = connection
        _knock(connection, "opening a producer")
        with _failing_as("opening a producer", connection):
            self._producer = KafkaProducer(
                **connection.client_options(),
                acks="all",
                linger_ms=linger_ms,
                batch_size=256 * 1024,
                max_request_size=8 * 1024 * 1024,
            )

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        timestamp_ms: int | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Queue a record; it is counted once its outcome is known.

        Raises:
            KafkaError: it cannot be queued at all (no such topic, too large).
        """
        with _failing_as(f"sending to {topic}", self._connection):
            future = self._producer.send(
                topic,
                value=value,
                key=key,
                timestamp_ms=timestamp_ms,
                partition=partition,
                headers=list(headers),
            )
        future.add_callback(self._on_delivered)
        future.add_errback(self._on_failed)

    def _on_delivered(self, _metadata: object) -> None:
        self.delivered += 1

    def _on_failed(self, error: Exception) -> None:
        self.failed += 1
        self.last_error = error

    def flush(self) -> None:
        """Wait until every queued record is delivered or counted as failed.

        Raises:
            KafkaError: the brokers did not take them in time.
        """
        with _failing_as("flushing", self._connection):
            self._producer.flush(timeout=_FLUSH_TIMEOUT_S)

    def close(self) -> None:
        """Flush and release connections."""
        self._producer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()
