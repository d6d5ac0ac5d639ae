"""What the monitor knows about itself, and when that makes it blind. Pure.

No alert must mean that nothing is wrong, never that nobody looked. So workers say once a second what they
did, and whatever keeps the monitor from seeing has a name: a `Cause`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

LOST_TOLD_S: Final = 86_400.0
"""For so long people are told of records that were lost; nothing brings those back."""

BEAT_FRESH_S: Final = 5.0
"""How long an owner's report of a partition counts as the present."""

SILENT_S: Final = 10.0
"""A worker that has said nothing for so long is not counted on."""

RECENT_S: Final = 60
"""What a report calls recent."""

UNREADABLE_SHARE: Final = 0.5
READABLE_SHARE: Final = 0.25
"""A topic is unreadable from the first share of rejected records on, and readable again below the second."""

UNREADABLE_ROWS_MIN: Final = 20
"""Recent records of a topic before its share of rejected ones says anything."""

UNPUBLISHED_S: Final = 60.0
"""An outbox whose oldest entry waits for so long is stuck."""

STALL_S: Final = 60.0
"""A partition with records to read that stands still for so long is stalled."""

BROKERS_SILENT_S: Final = 10.0
"""Brokers that have not answered about a partition for so long are away: a fetch takes them 0.25 s."""

EVALUATED_S: Final = 60.0
"""An evaluator that has not finished a look for so long does not look."""


class WorkerReport(BaseModel):
    """What a worker says of itself, every second. Counts are since its start.

    Attributes:
        worker: unique name of the process.
        up_s: seconds since its start.
        joined: it has partitions, or waits for some in the group.
        partitions: how many it reads.
        records: records counted.
        rejected: reason → records that could not be read.
        lag: records that wait to be read.
        fence_age_s: longest time for which a partition not read to its end has stood still.
        brokers_silent_s: longest time for which the brokers have not answered about a partition.
        flushes: scripts applied.
        flush_ms_p50, flush_ms_p99: how long a flush took lately; None before the first.
        rewinds, conflicts, retries: partitions sent back, flushes computed again, calls repeated.
        recent: topic → records read and records rejected in the last `RECENT_S`.
        evaluator_age_s: since its evaluator finished a look at every model; None before the first.
        probe_rows: model → rows its prober asked.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    worker: str = Field(max_length=256)
    up_s: float = 0.0
    joined: bool = False
    partitions: int = 0
    records: int = 0
    rejected: dict[str, int] = Field(default_factory=dict)
    lag: int = 0
    fence_age_s: float = 0.0
    brokers_silent_s: float = 0.0
    flushes: int = 0
    flush_ms_p50: float | None = None
    flush_ms_p99: float | None = None
    rewinds: int = 0
    conflicts: int = 0
    retries: int = 0
    recent: dict[str, tuple[int, int]] = Field(default_factory=dict)
    evaluator_age_s: float | None = None
    probe_rows: dict[str, int] = Field(default_factory=dict)


@dataclass(frozen=True)
class Lost:
    """Records of a partition that were deleted before they were read: how many ever, and when last."""

    records: int
    at_ms: int


@dataclass(frozen=True)
class Outbox:
    """Records that wait to be published: how many, since when the oldest waits, and how many ever fell."""

    waiting: int
    oldest_s: float
    dropped: int


@dataclass(frozen=True)
class OwnHealth:
    """All of it, as the store has it.

    Attributes:
        now_ms: the store's clock.
        workers: last report of each worker, and seconds since.
        lost: (topic, partition) → what was lost.
        outboxes: `alerts of MODEL` or `dead letters` → its state.
    """

    now_ms: int
    workers: Sequence[tuple[WorkerReport, float]] = ()
    lost: Mapping[tuple[str, int], Lost] = field(default_factory=dict)
    outboxes: Mapping[str, Outbox] = field(default_factory=dict)

    @property
    def live(self) -> list[WorkerReport]:
        """Reports of workers that were heard of lately."""
        return [report for report, silent_s in self.workers if silent_s < SILENT_S]

    @property
    def recent(self) -> dict[str, tuple[int, int]]:
        """Topic → records read and rejected lately, over all workers."""
        found: dict[str, tuple[int, int]] = {}
        for report in self.live:
            for topic, (records, rejected) in report.recent.items():
                before = found.get(topic, (0, 0))
                found[topic] = (before[0] + records, before[1] + rejected)
        return found


class Blindness(StrEnum):
    """What keeps the monitor from seeing, or from being heard."""

    NO_WORKER = "no_worker"  # nobody reads
    NOT_EVALUATED = "not_evaluated"  # a model is counted and not judged
    BROKERS_SILENT = "brokers_silent"  # nobody knows what waits to be read
    STALLED = "stalled"  # records of a partition wait
    UNREADABLE = "unreadable"  # most records of a topic cannot be read
    UNPUBLISHED = "unpublished"  # alerts or dead letters do not get out
    DROPPED = "dropped"  # some fell beyond the bound of their outbox
    LOST = "lost"  # records were deleted before they were read


@dataclass(frozen=True)
class Cause:
    """One reason why silence would not mean health.

    Attributes:
        code: which.
        where: topic, partition, model or outbox; "" for the whole.
        text: a sentence for people.
        advice: what to do.
    """

    code: Blindness
    where: str
    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.code.value}: {self.where}" if self.where else self.code.value


STUCK_S: Final = 60.0
"""A worker that has not watched itself for so long is stuck: only a restart helps."""


def problems(report: WorkerReport, watched_s: float, *, store_up: bool) -> list[str]:
    """Why a worker is not ready, in words; empty when it is.

    Args:
        report: its last pulse.
        watched_s: since then.
        store_up: the store answered at the last look.
    """
    found = []
    if watched_s > SILENT_S:
        found.append(f"the worker has not watched itself for {watched_s:.0f} s")
    if not store_up:
        found.append("the store does not answer")
    if not report.joined:
        found.append("the consumer group has given it no part yet")
    if report.brokers_silent_s >= BROKERS_SILENT_S:
        found.append(brokers_silent_text(report.brokers_silent_s))
    if report.fence_age_s >= STALL_S:
        found.append(f"a partition is not read to its end and has stood still for {report.fence_age_s:.0f} s")
    if report.evaluator_age_s is None:
        found.append("no model was judged yet")
    elif report.evaluator_age_s > EVALUATED_S:
        found.append(f"no model was judged for {report.evaluator_age_s:.0f} s")
    return found


def unreadable(own: OwnHealth, before: frozenset[str] = frozenset()) -> dict[str, tuple[int, int]]:
    """Topics most of whose recent records cannot be read → (records, rejected).

    Args:
        own: the present.
        before: topics that were unreadable before, held to the lower share.

    >>> report = WorkerReport(worker="w", recent={"p": (100, 60), "l": (100, 30)})
    >>> unreadable(OwnHealth(0, [(report, 0.0)]))
    {'p': (100, 60)}
    """
    found = {}
    for topic, (records, rejected) in own.recent.items():
        bar = READABLE_SHARE if topic in before else UNREADABLE_SHARE
        enough = records >= UNREADABLE_ROWS_MIN or topic in before
        if enough and rejected > bar * records:
            found[topic] = (records, rejected)
    return found


def causes(own: OwnHealth, evaluated_s: Mapping[str, float | None], lost_within_s: float) -> list[Cause]:
    """Every reason why the monitor may not see now.

    Args:
        own: the present.
        evaluated_s: model → seconds since its evaluator finished a look; None where it never did.
        lost_within_s: a loss is told for so long.
    """
    found = []
    if not own.live:
        last_s = min((silent_s for _, silent_s in own.workers), default=None)
        since = "" if last_s is None else f"; the last was heard of {last_s:.0f} s ago"
        found.append(Cause(Blindness.NO_WORKER, "", f"no worker runs{since}", "Start `monitor run`."))
    for model, age_s in evaluated_s.items():
        if age_s is None or age_s > EVALUATED_S:
            when = "has not been judged yet" if age_s is None else f"was last judged {age_s:.0f} s ago"
            found.append(Cause(
                Blindness.NOT_EVALUATED, model, f"{model} {when}", "See the log of a worker."
            ))  # fmt: skip
    for report in own.live:
        if report.brokers_silent_s >= BROKERS_SILENT_S:
            text = brokers_silent_text(report.brokers_silent_s)
            found.append(Cause(Blindness.BROKERS_SILENT, report.worker, text, BROKERS_ADVICE))
    for topic, (records, rejected) in unreadable(own).items():
        found.append(
            Cause(Blindness.UNREADABLE, topic, unreadable_text(topic, records, rejected), READ_ADVICE)
        )
    for name, outbox in own.outboxes.items():
        if outbox.waiting and outbox.oldest_s >= UNPUBLISHED_S:
            found.append(Cause(
                Blindness.UNPUBLISHED, name, unpublished_text(name, outbox), PUBLISH_ADVICE
            ))  # fmt: skip
    for (topic, number), lost in own.lost.items():
        if own.now_ms - lost.at_ms < 1000 * lost_within_s:
            found.append(
                Cause(Blindness.LOST, f"{topic}-{number}", lost_text(topic, number, lost), LOST_ADVICE)
            )
    return found


READ_ADVICE: Final = (
    "Look at the dead-letter topic for the reasons and compare `kafka.*.mapping` with a record; "
    "`monitor check` tries it on the last records."
)
BROKERS_ADVICE: Final = "See that the brokers run, that the partitions have leaders, and the worker's log."
PUBLISH_ADVICE: Final = (
    "See that the topic exists and that the worker may write to it; its log says why it cannot."
)
LOST_ADVICE: Final = (
    "Nothing brings them back, and every figure of that time lacks them: give the topic a longer retention, "
    "or run more workers."
)


def unreadable_text(topic: str, records: int, rejected: int) -> str:
    """A sentence about a topic that cannot be read."""
    return (
        f"{rejected:,} of the last {records:,} records of {topic} could not be read: "
        "what they say is neither counted nor judged"
    )


def brokers_silent_text(silent_s: float) -> str:
    """A sentence about brokers that do not answer."""
    return f"the brokers have not answered about a partition for {silent_s:.0f} s: nobody knows what waits"


def unpublished_text(name: str, outbox: Outbox) -> str:
    """A sentence about an outbox that is stuck."""
    return f"{outbox.waiting:,} {name} wait to be published, the oldest for {outbox.oldest_s:.0f} s"


def lost_text(topic: str, number: int, lost: Lost) -> str:
    """A sentence about records that are gone."""
    return (
        f"{lost.records:,} records of partition {number} of {topic} were deleted before they were read: "
        "they are in no metric"
    )
