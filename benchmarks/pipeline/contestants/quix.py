"""Quix Streams, a dataframe on each topic."""

from __future__ import annotations

import logging

from clock import Clock, arguments
from job import Job
from quixstreams import Application

logging.disable(logging.WARNING)
bootstrap, topics, records, redis_url = arguments()
clock, job = Clock(records), Job(redis_url)
app = Application(
    broker_address=bootstrap, consumer_group="quix", auto_offset_reset="earliest", loglevel=None,
    auto_create_topics=False, use_changelog_topics=False,
)  # fmt: skip


def handle(body: object) -> None:
    job.handle(body)
    clock.see(1)


for name in topics:
    app.dataframe(app.topic(name, value_deserializer="json")).update(handle)
app.run()
