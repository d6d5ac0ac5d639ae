"""Publishes the outbox: alerts and dead letters, acknowledged by every in-sync replica."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError as ClientError

from monitor.core.errors import KafkaError
from monitor.edges.kafka.connection import KafkaConnection
from monitor.ports import OutboxEntry

_MAX_REQUEST_BYTES: Final = 8 << 20
_LINGER_MS: Final = 5


class KafkaPublisher:
    """A `Publisher` that waits for acknowledgements, with a timeout of its own.

    Args:
        connection: the brokers.
        topics: topic name by topic kind (`alerts`, `dead_letters`).
        timeout_s: of one `publish`, a missing topic or absent brokers included.
    """

    def __init__(
        self, connection: KafkaConnection, topics: Mapping[str, str], timeout_s: float = 10.0
    ) -> None:
        self._connection = connection
        self._topics = dict(topics)
        self._timeout_s = timeout_s
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, entries: Sequence[OutboxEntry]) -> None:
        """Deliver entries in order.

        Entries may be delivered and this still raise: publishing again repeats them, and readers drop repeats
        by identity and sequence.

        Raises:
            KafkaError: a topic is missing, a record is too large, or the brokers did not answer in time.
        """
        if not entries:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                producer = await self._open()
                await self._require({self._topics[entry.topic_kind] for entry in entries}, producer)
                sent = [
                    await producer.send(
                        self._topics[entry.topic_kind], value=entry.value, key=entry.key or None
                    )
                    for entry in entries
                ]
                await asyncio.gather(*sent)
        except TimeoutError as error:
            await self._drop()
            raise KafkaError(
                f"{self._connection.bootstrap_servers} did not take {len(entries)} records "
                f"within {self._timeout_s:.0f} s"
            ) from error
        except (ClientError, OSError) as error:
            await self._drop()
            raise KafkaError(
                f"publishing failed at {self._connection.bootstrap_servers}: {error!r}"
            ) from error

    async def _open(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self._connection.client_options(),
                acks="all",  # not idempotent: an outbox repeats itself anyway, and not every broker can
                linger_ms=_LINGER_MS,
                max_request_size=_MAX_REQUEST_BYTES,
                request_timeout_ms=int(self._timeout_s * 1000),
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _require(self, names: set[str], producer: AIOKafkaProducer) -> None:
        """Refuse a missing topic at once: the client would ask for it again and again."""
        for name in names:
            if not await producer.partitions_for(name):
                raise KafkaError(f"topic {name} does not exist at {self._connection.bootstrap_servers}")

    async def _drop(self) -> None:
        """Forget a producer in doubt: what it still holds would come after what is published next."""
        producer, self._producer = self._producer, None
        if producer is not None:
            stopping = asyncio.ensure_future(producer.stop())
            await asyncio.wait([stopping], timeout=1.0)
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)

    async def close(self) -> None:
        """Release connections."""
        await self._drop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
