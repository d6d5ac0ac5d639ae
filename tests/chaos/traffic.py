"""What the nemesis feeds: hard traffic with a known answer, unreadable records, times of 1970 and 2099."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Sequence

from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicProducer
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

_POISONED, _ODD = 0.004, 0.01
_SPAN_S = 2_400
_BURSTS = 8


class Feed:
    """The traffic of one run, made from its seed and produced in shares.

    Attributes:
        kafka_ms: the time that every record carries in Kafka; what an odd timestamp is replaced by.
    """

    def __init__(self, link: KafkaConnection, names: dict[str, str], seed: int, requests: int) -> None:
        rng = random.Random(seed)
        start_s = int(time.time()) // 60 * 60 - 3_000
        self.kafka_ms = (start_s + _SPAN_S + 100) * 1000
        messages: list[Message] = []
        for message in make_log(seed, requests, start_s=start_s, span_s=_SPAN_S, models=MODELS):
            messages.append(_odd(message, rng) if rng.random() < _ODD else message)
            if rng.random() < _POISONED:
                messages.append(Message(message.topic, message.partition, rng.choice(POISONS)))
        self._messages = messages
        self._names = names
        self._link = link
        self._at = 0

    def __len__(self) -> int:
        return len(self._messages)

    def share(self, count: int, spread_s: float) -> threading.Thread:
        """Produce the next `count` records in bursts over `spread_s`, meanwhile; join the thread."""
        part = self._messages[self._at : self._at + count]
        self._at += len(part)
        thread = threading.Thread(target=self._produce, args=(part, spread_s), daemon=True)
        thread.start()
        return thread

    def rest(self) -> threading.Thread:
        """Produce what is left."""
        return self.share(len(self._messages), 0.0)

    def _produce(self, part: Sequence[Message], spread_s: float) -> None:
        at_ms = self.kafka_ms
        size = -(-len(part) // _BURSTS) or 1
        sent = 0
        while sent < len(part):
            try:
                with TopicProducer(self._link) as producer:
                    while sent < len(part):
                        burst = part[sent : sent + size]
                        for m in burst:
                            producer.send(
                                self._names[m.topic],
                                m.value,
                                partition=m.partition,
                                timestamp_ms=at_ms,
                            )
                        producer.flush()
                        sent += len(burst)
                        time.sleep(spread_s / _BURSTS)
            except Exception:  # noqa: BLE001 - the brokers are down: the burst is produced again, repeats and all
                time.sleep(0.5)


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
