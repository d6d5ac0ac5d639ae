"""Everything the demo needs, running: broker, store, model, worker, and the files that tie them together."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.config import Settings
from monitor.demo.population import Row
from monitor.demo.server import HOST, ModelConnection, ModelProcess
from monitor.demo.setup import REFERENCE_ROWS, write_files
from monitor.demo.traffic import Ask, Send, reference
from monitor.demo.worker import WorkerProcess
from monitor.edges.embedded import EmbeddedKafka, EmbeddedRedis
from monitor.edges.kafka.alert_stream import AlertStream
from monitor.edges.kafka.topics import TopicProducer, ensure_topics
from monitor.wiring import connection, topic_specs

_PARTITIONS: Final = 2
_BATCH_ROWS: Final = 2_000
_LINGER_MS: Final = 50


@dataclass(frozen=True)
class Stage:
    """What runs, and how to use it.

    Attributes:
        settings_path: the demo's monitor.yaml, for any other command.
        worker: the monitor itself.
        ask: the model.
        send: publishes a record.
        alerts: what the monitor has to say from now on.
    """

    settings_path: Path
    worker: WorkerProcess
    ask: Ask
    send: Send
    alerts: AlertStream


def set_stage(running: ExitStack, seed: int, say: Callable[[str], None]) -> Stage:
    """Start everything; the model trains while the services start.

    Args:
        running: ends what was started, in reverse order.
        seed: of the model and the reference.
        say: told, in a few words, what is going on.

    Raises:
        ServiceError: something did not start.
        KafkaError: the broker does not do what it should.
    """
    directory = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="monitor-demo-")))
    say("starting the broker and the store, training the model")
    model = running.enter_context(ModelProcess(seed, directory))
    broker = running.enter_context(EmbeddedKafka())
    store = running.enter_context(EmbeddedRedis())
    port = model.port()
    ask = ModelConnection(port)
    running.callback(ask.close)

    say(f"scoring {REFERENCE_ROWS:,} reference rows, inferring the schema")
    records = reference(_in_batches(ask), seed, REFERENCE_ROWS)
    settings_path = write_files(
        directory, records, broker.bootstrap_servers, store.url, f"http://{HOST}:{port}/predict"
    )
    settings = Settings.load(settings_path, {})
    kafka = connection(settings)
    ensure_topics(kafka, topic_specs(settings, _PARTITIONS))

    say("starting the monitor")
    worker = running.enter_context(WorkerProcess(settings_path, directory))
    alerts = running.enter_context(AlertStream(kafka, settings.kafka.alerts.topic, timeout_s=0.5))
    producer = TopicProducer(kafka, linger_ms=_LINGER_MS)
    running.callback(producer.close)
    worker.wait_ready()

    def send(topic: str, key: bytes, value: bytes, at_ms: int) -> None:
        producer.send(topic, value, key, at_ms)

    return Stage(settings_path, worker, ask, send, alerts)


def _in_batches(ask: Ask) -> Ask:
    def batched(rows: Sequence[Row]) -> NDArray[np.float64]:
        starts = range(0, len(rows), _BATCH_ROWS)
        return np.concatenate([ask(rows[start : start + _BATCH_ROWS]) for start in starts])

    return batched
