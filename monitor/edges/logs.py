"""Structured logs: one JSON object a line on stderr, stdout stays for results."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

from monitor.core.printable import json_text

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CHATTY: Final = ("aiohttp", "aiokafka", "asyncio", "faust", "kafka", "mode")
_REPEAT_S: Final = 10.0
_KINDS_MAX: Final = 1_000


class JsonFormatter(logging.Formatter):
    """A record as one line: time, level, logger, message, what was given as `extra`, and the error if any.

    An error that a client library tells, of a connection that went away for example, is named without its
    traceback: where in the library it came up helps nobody.

    >>> record = logging.makeLogRecord({"created": 0.5, "levelname": "INFO", "name": "monitor"})
    >>> record.msg, record.partition = "ready", "predictions-0"
    >>> JsonFormatter().format(record)
    '{"time": "1970-01-01T00:00:00.500Z", "level": "info", "logger": "monitor", "message": "ready", \
"partition": "predictions-0"}'
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            ours = record.name.partition(".")[0] not in _CHATTY
            line["error"] = (
                self.formatException(record.exc_info) if ours else f"{type(error).__name__}: {error}"
            )
        return json_text(line, default=str)


class Calm(logging.Filter):
    """Lets a complaint of a client library through every ten seconds: an outage repeats it for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._last_s: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a repetition."""
        if record.name.partition(".")[0] not in _CHATTY or record.levelno <= logging.INFO:
            return True
        kind = (record.name, str(record.msg))
        if record.created - self._last_s.get(kind, -_REPEAT_S) < _REPEAT_S:
            return False
        if len(self._last_s) >= _KINDS_MAX:
            self._last_s.clear()
        self._last_s[kind] = record.created
        return True


def configure_logs(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send all logs as JSON lines to `stream` (stderr); the client libraries speak from WARNING on.

    Args:
        level: of our own loggers; DEBUG lets the libraries speak from INFO on. What they say below that holds
            passwords (kafka-python spells its whole configuration) and records.
        stream: where to write.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(Calm())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.INFO if root.level <= logging.DEBUG else logging.WARNING)
