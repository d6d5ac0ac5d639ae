"""What a page of the dashboard shows, read from the store in a few calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from monitor.core.counters import Counts
from monitor.core.drift.layout import FIRST, SCORE, BlockKind, FeatureLayout
from monitor.core.errors import QueryError
from monitor.core.own_health import LOST_TOLD_S, Cause, OwnHealth, causes
from monitor.core.records import Alert, AlertState
from monitor.core.reports import JoinReport, Point, SliceReport
from monitor.core.schema import FeatureSchema
from monitor.core.understood import stored_alerts
from monitor.edges.reader import MetricsReader

WINDOWS: Final = ("5m", "1h", "24h")
SLICES_MAX: Final = 200
"""Slices of one page, those with most requests."""
STEPS: Final = 24


class HealthReader(Protocol):
    """What the pages need of a store besides counters."""

    def alerts(self, model: str) -> dict[str, bytes]:
        """Present form of every alert by identity."""
        ...

    def own_health(self, models: Sequence[str]) -> OwnHealth:
        """What the monitor knows about itself."""
        ...

    def evaluated_s(self, models: Sequence[str]) -> dict[str, float | None]:
        """Model → seconds since its evaluator finished a look."""
        ...


@dataclass(frozen=True)
class Picture:
    """Shares of a feature's values, live and in the reference (empty where there is none), with names."""

    name: str
    live: Sequence[float]
    reference: Sequence[float]
    labels: Sequence[str]


@dataclass(frozen=True)
class Page:
    """One model, now.

    Attributes:
        model, models, window: what is shown, and what else could be.
        alerts: those not resolved, pages first.
        slices: by requests; `beyond` more are not shown.
        trends: slice key → the error-like metric over the window.
        join: what the label join did, None without traffic.
        pictures: of the score and the features.
        own: the monitor itself.
        blind: why silence may not mean health.
        note: why there are no figures.
    """

    model: str
    models: Sequence[str]
    window: str
    alerts: Sequence[Alert]
    own: OwnHealth
    blind: Sequence[Cause]
    slices: Sequence[SliceReport] = ()
    beyond: int = 0
    trends: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    trend_metric: str = ""
    join: JoinReport | None = None
    pictures: Sequence[Picture] = ()
    note: str = ""


def page(
    store: HealthReader,
    metrics: MetricsReader,
    schemas: Mapping[str, FeatureSchema | None],
    waits_s: Mapping[str, int],
    model: str,
    window: str,
) -> Page:
    """Read a page.

    Args:
        store: alerts and the monitor's own health.
        metrics: counters.
        schemas: of every model.
        waits_s: how long each model's labels are waited for.
        model: which one.
        window: one of `WINDOWS`.
    """
    models = list(schemas)
    found = stored_alerts(store.alerts(model).values())
    alerts = sorted((a for a in found if a.state is not AlertState.RESOLVED), key=_urgency)
    own = store.own_health(models)
    blind = causes(own, store.evaluated_s(models), LOST_TOLD_S)
    try:
        quick = metrics.quick_metrics(model)  # curves of every slice would take most of a second
        reports = metrics.slices(model, since=window, metrics=quick, estimates=False)
        whole, *rest = reports
        shown = [whole, *sorted(rest, key=lambda report: -report.requests)[: SLICES_MAX - 1]]
        trend = "mae" if "mae" in whole.metrics else "accuracy"
        return Page(
            model, models, window, alerts, own, blind, shown, len(reports) - len(shown),
            metrics.trends(model, [report.slice for report in shown], trend, window, STEPS), trend,
            metrics.join(model, since=window, wait=waits_s[model]),
            _pictures(metrics, schemas[model], model, window),
        )  # fmt: skip
    except QueryError as error:
        return Page(model, models, window, alerts, own, blind, note=str(error))


def _urgency(alert: Alert) -> tuple[bool, bool, float]:
    return alert.state is not AlertState.OPEN, alert.severity != "page", -alert.opened_at.timestamp()


def _pictures(metrics: MetricsReader, schema: FeatureSchema | None, model: str, window: str) -> list[Picture]:
    if schema is None:
        return []
    layout = FeatureLayout.of(schema)
    live = metrics.histograms(model, layout.fingerprint, window)
    if live is None:
        return []
    reference = layout.reference(schema)
    pictures = []
    for block in layout.blocks:
        secret = block.name != SCORE and schema.features[block.name].sensitive
        if secret or block.kind is BlockKind.PRESENT:
            continue
        cells = slice(block.start + FIRST, block.start + block.size)
        shares = _shares(live[cells], block.size - FIRST)
        if shares:
            named = [] if block.values is None else [*block.values, "(other)"]
            pictures.append(Picture(block.name, shares, _shares(reference[cells], block.size - FIRST), named))
    return pictures


def _shares(counts: Counts, size: int) -> list[float]:
    total = int(counts.sum())
    return [float(count) / total for count in counts] + [0.0] * (size - len(counts)) if total else []
