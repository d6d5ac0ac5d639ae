"""What the nemesis feeds: hard traffic with a known answer, unreadable records, times of 1970 and 2099."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError as ClientError

from monitor.edges.kafka.connection import KafkaConnection
from monitor.ports import Partition
from tests.support.traffic import Message, make_log

MODELS = ("credit", "shadow")
ODD_TIMES = (0, 86_400, 4_085_000_000, 4_085_000_000_000)
"""1970 in seconds, 2099 in seconds and in milliseconds: none can be an event's time."""

POISONS = (
    b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"request_id":NaN}', b'{"a":1e400}', b"[" * 500,
    b'{"request_id":"x","model":"nobody","timestamp":1}', b'{"model":"credit"}',
    b'{"request_id":"\xed\xa0\x80"}',
)  # fmt: skip
"""Records that no topic should hold; each must become a dead letter."""

LABEL_POISONS = (
    b'{"request_id": "x",  "model": "credit", "label": "maybe", "note": "\\u00e9"}',
    b'{"model": "credit",  "request_id": "x", "labl": 1}',
)
"""Labels that mean nothing: read without fault, and dead letters all the same."""

SPREAD_S = 2.0
"""From the first to the second burst of the records of a fault, where the seed says two."""

_POISONED, _ODD = 0.004, 0.01
_SPAN_S = 300
_TAKEN_S = 60.0
_PRODUCER: dict[str, Any] = {"acks": "all", "linger_ms": 60_000, "batch_size": 1 << 18}


class Feed:
    """The traffic of one run, made from its seed and produced in shares.

    Attributes:
        kafka_ms: the time that every record carries in Kafka; what an odd timestamp is replaced by.
        ends: the offset after the last record that the brokers took, per partition.
    """

    def __init__(self, link: KafkaConnection, names: dict[str, str], seed: int, requests: int) -> None:
        rng = random.Random(seed)
        start_s = int(time.time()) // 60 * 60 - _SPAN_S - 300
        self.kafka_ms = (start_s + _SPAN_S + 100) * 1000
        messages: list[Message] = []
        for message in make_log(seed, requests, start_s=start_s, span_s=_SPAN_S, models=MODELS):
            messages.append(_odd(message, rng) if rng.random() < _ODD else message)
            if rng.random() < _POISONED:
                poisons = POISONS + LABEL_POISONS if message.topic == "labels" else POISONS
                messages.append(Message(message.topic, message.partition, rng.choice(poisons)))
        self._messages = messages
        self._bursts = rng.choice([1, 2])
        self._names = names
        self._link = link
        self._at = 0
        self.ends: dict[Partition, int] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def share(self, count: int, spread_s: float) -> threading.Thread:
        """Produce the next `count` records, in bursts `spread_s` apart, at 0 all at once; join the thread."""
        part = self._messages[self._at : self._at + count]
        self._at += len(part)
        thread = threading.Thread(target=self._produce, args=(part, spread_s), daemon=True)
        thread.start()
        return thread

    def rest(self) -> threading.Thread:
        """Produce what is left."""
        return self.share(len(self._messages), 0.0)

    def _produce(self, part: Sequence[Message], spread_s: float) -> None:
        size = -(-len(part) // self._bursts) if spread_s else len(part)
        sent = 0
        while sent < len(part):
            try:
                with closing(KafkaProducer(**self._link.client_options(), **_PRODUCER)) as producer:
                    while sent < len(part):
                        burst = part[sent : sent + size]
                        sending = [self._send(producer, message) for message in burst]
                        producer.flush(_TAKEN_S)  # not before: one batch per partition, not one per moment
                        self._taken(sending)
                        sent += len(burst)
                        if sent < len(part):
                            time.sleep(spread_s)
            except ClientError:  # the brokers are down: the burst is produced again, repeats and all
                time.sleep(0.5)

    def _send(self, producer: Any, message: Message) -> Any:
        return producer.send(
            self._names[message.topic],
            message.value,
            partition=message.partition,
            timestamp_ms=self.kafka_ms,
        )

    def _taken(self, sending: Sequence[Any]) -> None:
        """Wait until the brokers have taken every record of a burst."""
        for future in sending:
            taken = future.get(timeout=_TAKEN_S)
            place = Partition(taken.topic, taken.partition)
            self.ends[place] = max(self.ends.get(place, 0), taken.offset + 1)


def _odd(message: Message, rng: random.Random) -> Message:
    if message.topic != "predictions":
        return message
    record = json.loads(message.value)
    # An id of its own: a repeat with another time would be a conflict, in which the first one wins.
    odd = record | {
        "request_id": f"odd-{record['request_id']}-{rng.random()}",
        "timestamp": rng.choice(ODD_TIMES),
    }
    return Message(message.topic, message.partition, json.dumps(odd).encode())
