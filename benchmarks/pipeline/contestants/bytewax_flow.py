"""Bytewax, its Kafka input and a sink."""

from __future__ import annotations

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main
from clock import Clock, arguments
from job import Job

bootstrap, topics, records, redis_url = arguments()
clock, job = Clock(records), Job(redis_url)


class Counting(StatelessSinkPartition):
    def write_batch(self, items: list[object]) -> None:
        clock.see(len(items))


class Sink(DynamicSink):
    def build(self, *_: object) -> Counting:
        return Counting()


def handle(message: object) -> int:
    job.handle(orjson.loads(message.value))
    return 1


flow = Dataflow("job")
messages = op.input("read", flow, KafkaSource([bootstrap], topics, tail=True, batch_size=1_000))
op.output("count", op.map("handle", messages, handle), Sink())
run_main(flow)
