"""The Kafka side of a worker as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from monitor.edges.kafka.connection import KafkaConnection

FETCH_BYTES_MAX: Final = 1 << 20
"""Of one partition in one answer; some thousand records."""


@dataclass(frozen=True)
class KafkaWorkerConfig:
    """What to read and how.

    Attributes:
        connection: the brokers.
        group_id: consumer group; its committed offsets are a hint for lag tools only.
        predictions: topics of predictions.
        labels: topics of labels; may be empty.
        isolation_level: `read_committed` skips aborted and open transactions.
        poll_records_max: records in one chunk, at most.
        buffered_chunks_max: chunks of one kind waiting in memory, at most; records that wait before they are
            cut into chunks come in fewer and larger ones.
        fetch_bytes_max: bytes of one partition in one answer; a larger record still comes, alone.
        session_timeout_s: a worker silent for so long loses its partitions.
        rebalance_timeout_s: how long a rebalance waits for a worker.
        request_timeout_s: of one request to a broker; not below `session_timeout_s`.
        stall_s: records to read but no progress for so long ends the process.
        stop_s: a stop that takes longer is cut off.
    """

    connection: KafkaConnection
    group_id: str
    predictions: tuple[str, ...]
    labels: tuple[str, ...] = ()
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed"
    poll_records_max: int = 5_000
    buffered_chunks_max: int = 1
    fetch_bytes_max: int = FETCH_BYTES_MAX
    session_timeout_s: float = 20.0
    rebalance_timeout_s: float = 60.0
    request_timeout_s: float = 40.0
    stall_s: float = 60.0
    stop_s: float = 20.0

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic read, predictions first."""
        return (*self.predictions, *self.labels)
