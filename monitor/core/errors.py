"""Every error the monitor raises on purpose, drawn as one tree.

A record that cannot be used is not an error: it is data with a bounded reason code
(`monitor.core.schema.violations`, `monitor.core.records.DeadLetter`). These are for people.

    MonitorError
    ├── SettingsError          monitor.yaml or the environment
    ├── SchemaError            a feature schema file
    ├── MappingError           a path of a mapping that cannot be parsed
    ├── StoreError             Redis
    │   ├── StoreUnavailable   could not be reached; waited out
    │   └── StoreRefused       reachable, but unsafe to use; says the way out
    ├── KafkaError             brokers, topics
    │   └── PositionRefused    a fence and a topic that do not belong together
    ├── ServiceError           an embedded service did not start
    ├── QueryError             a question the store cannot answer
    └── RowsError              a file of rows that cannot be read
"""

from __future__ import annotations

from monitor.core.printable import printable


class MonitorError(Exception):
    """The root; `str(error)` is a sentence that says what to do next."""


class SettingsError(MonitorError):
    """The settings are wrong; `problems` holds every mistake found, each with its place."""

    def __init__(self, problems: list[str], source: str = "settings") -> None:
        self.problems = [printable(problem) for problem in problems]
        self.source = source
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        noun = "mistake" if len(problems) == 1 else "mistakes"
        super().__init__(f"{source}: {len(problems)} {noun}\n{lines}")


class SchemaError(SettingsError):
    """A feature schema file is wrong; `problems` holds every mistake found."""


class MappingError(MonitorError):
    """A mapping path cannot be parsed."""


class StoreError(MonitorError):
    """Redis failed."""


class StoreUnavailable(StoreError):
    """Redis cannot be reached or is loading; the caller waits and tries again."""


class StoreRefused(StoreError):
    """Redis answers, but using it would lose or mix up counts; the text says the way out."""


class KafkaError(MonitorError):
    """Kafka failed."""


class PositionRefused(KafkaError):
    """The stored position does not belong to this topic (created again, or another cluster)."""


class ServiceError(MonitorError):
    """A bundled service did not start."""


class QueryError(MonitorError):
    """A reader was asked for what the store does not hold."""


class RowsError(MonitorError):
    """A file of rows cannot be read; says where it stopped."""
