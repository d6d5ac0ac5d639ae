"""Stock Faust as its users would write it: batches by `take()`, counts in Redis; what we are compared with.

A field per record id shows which record was lost or counted twice. A batch is one transaction of Redis, and
nothing ties it to the position in Kafka.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import faust
import redis.asyncio
from faust.types import StreamT

from tests.chaos.traffic import MODELS
from tests.chaos.worker import output_to

BATCH, WITHIN_S = 500, 1.0


def count_key(kind: str, model: str) -> str:
    """Hash of request id → records counted."""
    return f"counts:{kind}:{model}"


def place_of(value: bytes) -> tuple[str, str] | None:
    """Key and field that a record counts in; None for one that cannot be read."""
    try:
        record = json.loads(value)
        model, request_id = record["model"], record["request_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    kind = "labels" if "label" in record else "predictions"
    return (count_key(kind, model), request_id) if model in MODELS else None


def serve(bootstrap: str, group: str, topics: list[str], redis_url: str, session_s: float, log: str) -> None:
    """Be such a worker until told to stop."""
    output_to(log)
    app = faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        store="memory://",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        web_enabled=False,
        broker_session_timeout=session_s,
        broker_heartbeat_interval=2,
        broker_rebalance_timeout=session_s,
    )
    store = redis.asyncio.Redis.from_url(redis_url)

    async def count(stream: StreamT[Any]) -> None:
        async for batch in stream.take(BATCH, within=WITHIN_S):
            pipeline = store.pipeline()
            for value in batch:
                if (place := place_of(value)) is not None:
                    pipeline.hincrby(*place, 1)
            await pipeline.execute()

    app.agent(app.topic(*topics), name="count")(count)
    faust.Worker(app, loglevel=logging.WARNING, redirect_stdouts=False).execute_from_commandline()
