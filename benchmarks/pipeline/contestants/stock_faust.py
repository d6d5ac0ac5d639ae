"""Stock Faust, an agent on events; with `noop` as the last argument it does nothing with them."""

from __future__ import annotations

import logging
import sys

import faust
from clock import Clock, arguments
from job import Job

bootstrap, topics, records, redis_url = arguments()
noop = sys.argv[5:] == ["noop"]
clock = Clock(records)
app = faust.App(
    "faust-noop" if noop else "faust-job",
    broker=f"kafka://{bootstrap}",
    value_serializer="raw" if noop else "json",
    consumer_auto_offset_reset="earliest",
    topic_disable_leader=True,
    web_enabled=False,
    broker_rebalance_timeout=6,
    broker_session_timeout=6,
    broker_heartbeat_interval=2,
)
job = None if noop else Job(redis_url)


@app.agent(app.topic(*topics))
async def read(stream: faust.StreamT) -> None:
    async for body in stream:
        if job is not None:
            job.handle(body)
        clock.see(1)


if __name__ == "__main__":
    worker = faust.Worker(app, loglevel=logging.ERROR, redirect_stdouts=False)
    worker.execute_from_commandline()
