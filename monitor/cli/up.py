"""`monitor up`."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from monitor.cli.common import AsJson, console, print_json


def up(
    kafka_port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of the broker; 0: any.")] = 9092,
    redis_port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of the store; 0: any.")] = 6379,
    as_json: AsJson = False,
) -> None:
    """Run the bundled Kafka broker and Redis store until Ctrl-C.

    They keep everything in memory: for trying out, not for production.

    Example: `monitor up --kafka-port 19092 --redis-port 16379`
    """
    from monitor.edges.embedded import EmbeddedKafka, EmbeddedRedis

    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with EmbeddedKafka(kafka_port) as kafka, EmbeddedRedis(redis_port) as redis:
        if as_json:
            print_json({"bootstrap_servers": kafka.bootstrap_servers, "redis_url": redis.url}, indent=None)
        else:
            out = console()
            out.print(f"Kafka  [bold]{kafka.bootstrap_servers}[/]\nRedis  [bold]{redis.url}[/]\n")
            out.print("For monitor.yaml:\n")
            out.print(
                f"kafka:\n  bootstrap_servers: {kafka.bootstrap_servers}\nredis: {{url: {redis.url}}}\n"
            )
            out.print("Both keep everything in memory. Ctrl-C stops them.")
        done.wait()
