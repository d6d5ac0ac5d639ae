"""A worker's metrics for Prometheus: its own, what the store knows, and those of the models it judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from monitor.core.own_health import OwnHealth, WorkerReport
from monitor.core.probes.results import Work
from monitor.core.records import AlertState
from monitor.edges.evaluator import Judged
from monitor.edges.views import JOIN_VIEW
from monitor.edges.web.prometheus import Family

SLICES_MAX: Final = 100
"""Slices of a model and window that are exported, those with most requests first."""

WINDOWS: Final = ("5m", "1h")

Labels = Mapping[str, str]
Views = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class ProbeUse:
    """What a prober did, and what it may do.

    Attributes:
        budget_rows_per_s: most rows a second, of all workers together.
        done: work → how much, since the start.
    """

    budget_rows_per_s: float
    done: Mapping[Work, int]


@dataclass(frozen=True)
class WorkerState:
    """What a worker can say without asking anybody.

    Attributes:
        report: its pulse.
        version: of the monitor.
        problems: why it is not ready; empty when it is.
        live: False when only a restart would help.
        read: topic → records.
        rejected: (topic, reason) → records.
        lag: (topic, partition) → records that wait.
        flush_total_s: of all flushes.
        store_up: the store answered at the last look.
        own: as the store has it; None before the first answer.
        judged: the models it judges.
        probes: model → what its prober here did.
    """

    report: WorkerReport
    version: str
    problems: tuple[str, ...] = ()
    live: bool = True
    read: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[tuple[str, str], int] = field(default_factory=dict)
    lag: Mapping[tuple[str, int], int] = field(default_factory=dict)
    flush_total_s: float = 0.0
    store_up: bool = False
    own: OwnHealth | None = None
    judged: Mapping[str, Judged] = field(default_factory=dict)
    probes: Mapping[str, ProbeUse] = field(default_factory=dict)


def families(state: WorkerState) -> Iterator[Family]:
    """Everything there is to scrape."""
    yield from _of_worker(state)
    if state.own is not None:
        yield from _of_monitor(state.own)
    yield from _of_models(state)
    yield from _of_probes(state.probes)


def _of_probes(probes: Mapping[str, ProbeUse]) -> Iterator[Family]:
    yield Family(
        "monitor_probe_budget_rows_per_second", "gauge", "Most rows a second, of all workers together.",
        [({"model": model}, use.budget_rows_per_s) for model, use in sorted(probes.items())],
    )  # fmt: skip
    yield Family(
        "monitor_probe_work_total", "counter", "What probing did here.",
        [
            ({"model": model, "what": work.name.lower()}, use.done.get(work, 0))
            for model, use in sorted(probes.items())
            for work in Work
        ],
    )  # fmt: skip


def _of_worker(state: WorkerState) -> Iterator[Family]:
    report = state.report
    info = {"worker": report.worker, "version": state.version}
    yield Family("monitor_worker_info", "gauge", "This process.", [(info, 1.0)])
    yield Family("monitor_ready", "gauge", "1 when /readyz says so.", [({}, float(not state.problems))])
    yield Family("monitor_store_up", "gauge", "1 when the store answers.", [({}, float(state.store_up))])
    yield Family("monitor_partitions", "gauge", "Partitions read here.", [({}, report.partitions)])
    yield Family(
        "monitor_records_total", "counter", "Records counted.",
        [({"topic": topic}, count) for topic, count in sorted(state.read.items())],
    )  # fmt: skip
    yield Family(
        "monitor_dead_letters_total", "counter", "Records that could not be read.",
        [({"topic": t, "reason": reason}, count) for (t, reason), count in sorted(state.rejected.items())],
    )  # fmt: skip
    yield Family(
        "monitor_lag_records", "gauge", "Records that wait to be read.",
        [({"topic": t, "partition": str(n)}, lag) for (t, n), lag in sorted(state.lag.items())],
    )  # fmt: skip
    yield Family(
        "monitor_fence_age_seconds", "gauge", "Longest time a partition not read to its end stood still.",
        [({}, report.fence_age_s)],
    )  # fmt: skip
    yield Family(
        "monitor_brokers_silent_seconds", "gauge", "Longest time the brokers said nothing of a partition.",
        [({}, report.brokers_silent_s)],
    )  # fmt: skip
    quantiles = {"0.5": report.flush_ms_p50, "0.99": report.flush_ms_p99}
    yield Family(
        "monitor_flush_seconds", "summary", "How long a flush took, of the last minute.",
        [({"quantile": q}, ms / 1000) for q, ms in quantiles.items() if ms is not None],
    )  # fmt: skip
    yield Family("monitor_flush_seconds_total", "counter", "Seconds in flushes.", [({}, state.flush_total_s)])
    yield Family("monitor_flushes_total", "counter", "Flushes.", [({}, report.flushes)])
    yield Family("monitor_rewinds_total", "counter", "Partitions sent back.", [({}, report.rewinds)])
    yield Family("monitor_conflicts_total", "counter", "Flushes computed again.", [({}, report.conflicts)])
    yield Family("monitor_store_retries_total", "counter", "Calls repeated.", [({}, report.retries)])
    if report.evaluator_age_s is not None:
        age_s = report.evaluator_age_s
        yield Family("monitor_evaluator_age_seconds", "gauge", "Since every model was judged.", [({}, age_s)])


def _of_monitor(own: OwnHealth) -> Iterator[Family]:
    yield Family("monitor_workers", "gauge", "Workers heard of lately.", [({}, len(own.live))])
    boxes = sorted(own.outboxes.items())
    yield Family(
        "monitor_outbox_waiting", "gauge", "Records that wait to be published.",
        [({"outbox": name}, box.waiting) for name, box in boxes],
    )  # fmt: skip
    yield Family(
        "monitor_outbox_oldest_seconds", "gauge", "For how long the oldest of them waits.",
        [({"outbox": name}, box.oldest_s) for name, box in boxes],
    )  # fmt: skip
    yield Family(
        "monitor_outbox_dropped_total", "counter", "Records that were never published.",
        [({"outbox": name}, box.dropped) for name, box in boxes],
    )  # fmt: skip
    yield Family(
        "monitor_records_lost_total", "counter", "Records deleted before they were read.",
        [({"topic": t, "partition": str(n)}, lost.records) for (t, n), lost in sorted(own.lost.items())],
    )  # fmt: skip


def _of_models(state: WorkerState) -> Iterator[Family]:
    yield Family(
        "monitor_open_alerts", "gauge", "Alerts that stand.",
        [
            ({"model": model, "kind": kind, "severity": severity}, count)
            for model, judged in sorted(state.judged.items())
            for (kind, severity), count in sorted(_open(judged).items())
        ],
    )  # fmt: skip
    yield Family(
        "monitor_evaluated_timestamp_seconds", "gauge", "Event time up to which the model is judged.",
        [({"model": m}, j.reached_ms / 1000) for m, j in sorted(state.judged.items()) if j.reached_ms],
    )  # fmt: skip
    shown, beyond = _shown({model: judged.views for model, judged in state.judged.items()})
    counts: list[tuple[Labels, float]] = []
    found: dict[str, list[tuple[Labels, float]]] = {"": [], "_low": [], "_high": []}
    for labels, fields in shown:
        for name, text in fields.items():
            if name in ("requests", "labelled"):
                counts.append(({**labels, "count": name}, float(text)))
            elif text and not name.endswith(("_low", "_high", "_reason")):
                for suffix, samples in found.items():
                    if bound := fields.get(name + suffix):
                        samples.append(({**labels, "metric": name}, float(bound)))
    yield Family("monitor_slice_count", "gauge", "Requests of a slice, and those with a label.", counts)
    yield Family("monitor_slice_metric", "gauge", "A metric of a slice.", found[""])
    yield Family("monitor_slice_metric_low", "gauge", "Lower end of its interval.", found["_low"])
    yield Family("monitor_slice_metric_high", "gauge", "Upper end of its interval.", found["_high"])
    yield Family("monitor_slices_beyond", "gauge", f"Slices beyond the {SLICES_MAX} exported.", beyond)
    yield Family(
        "monitor_join", "gauge", "What the label join did in the last hour.",
        [
            ({"model": model, "what": what}, float(count))
            for model, judged in sorted(state.judged.items())
            for what, count in judged.views.get(JOIN_VIEW, {}).items()
        ],
    )  # fmt: skip


def _open(judged: Judged) -> Counter[tuple[str, str]]:
    """(kind, severity) → alerts that stand; 0 of a kind that stood is no sample."""
    return Counter((a.kind.value, a.severity.value) for a in judged.alerts if a.state is AlertState.OPEN)


def _shown(
    views_of: Mapping[str, Views],
) -> tuple[list[tuple[dict[str, str], Mapping[str, str]]], list[tuple[Labels, float]]]:
    """Labels and fields of the slices exported, and how many are not."""
    shown: list[tuple[dict[str, str], Mapping[str, str]]] = []
    beyond: list[tuple[Labels, float]] = []
    for model, views in sorted(views_of.items()):
        for window in WINDOWS:
            prefix = f"{window}/"
            mine = [(name.removeprefix(prefix), f) for name, f in views.items() if name.startswith(prefix)]
            mine.sort(key=lambda item: (item[0] != "all", -int(item[1].get("requests", "0"))))
            shown += [
                ({"model": model, "window": window, "slice": name}, fields)
                for name, fields in mine[:SLICES_MAX]
            ]
            if mine:
                labels = {"model": model, "window": window}
                beyond.append((labels, max(0, len(mine) - SLICES_MAX)))
    return shown, beyond
