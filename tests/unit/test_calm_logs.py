"""An outage does not drown the log."""

from __future__ import annotations

import json
import logging
import sys

from monitor.edges.logs import Calm, JsonFormatter


def record(name: str, at_s: float, message: str = "Unable connect to node with id %s") -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": name, "levelno": logging.ERROR, "msg": message, "args": (at_s,), "created": at_s}
    )


def test_a_library_repeats_itself_every_ten_seconds_only() -> None:
    calm = Calm()
    passed = [at_s for at_s in range(100, 125) if calm.filter(record("aiokafka.client", at_s))]
    assert passed == [100, 110, 120]
    assert calm.filter(record("aiokafka.client", 121, "something else"))
    noise = [calm.filter(record("aiohttp.server", at_s)) for at_s in (1, 2, 12)]
    assert noise == [True, False, True]


def test_our_own_words_always_pass() -> None:
    calm = Calm()
    assert all(calm.filter(record("monitor.app", at_s)) for at_s in range(5))


def test_a_traceback_is_told_of_our_own_code_only() -> None:
    def told(name: str) -> str:
        try:
            raise OSError("gone")
        except OSError:
            failed = logging.makeLogRecord({"name": name, "msg": "failed", "exc_info": sys.exc_info()})
        return str(json.loads(JsonFormatter().format(failed))["error"])

    assert told("kafka.cluster") == "OSError: gone"
    assert told("monitor.app").startswith("Traceback")
