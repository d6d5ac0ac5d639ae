"""Empties an outbox: what the store holds for a topic, published and then removed."""

from __future__ import annotations

import logging
from typing import Final

from monitor.core.errors import KafkaError, StoreUnavailable
from monitor.ports import Clock, Publisher, Store, TopicKind

log = logging.getLogger(__name__)

_BATCH: Final = 500
_PAUSE_S: Final = 0.1
_STORE_RETRY_S: Final = 1.0
_TOPIC_RETRY_S: Final = 5.0


async def empty_outbox(store: Store, publisher: Publisher, topic_kind: TopicKind, clock: Clock) -> None:
    """Publish what waits for one kind of topic, for ever.

    Each kind has a loop of its own: a missing topic keeps its entries and stalls nothing else. An entry may
    be published twice, never lost.
    """
    while True:
        try:
            entries = await store.outbox_read(topic_kind, _BATCH)
            if entries:
                await publisher.publish(entries)
                await store.outbox_ack(entries)
                continue
            await clock.sleep(_PAUSE_S)
        except StoreUnavailable:
            await clock.sleep(_STORE_RETRY_S)
        except KafkaError as error:
            log.warning("the outbox waits: %s", error, extra={"topic_kind": topic_kind})
            await clock.sleep(_TOPIC_RETRY_S)
