"""The reading library: metrics of slices, violations, the join and series, from counters alone.

    reader = MetricsReader(store)
    for report in reader.slices("income", since="1h"):
        print(report.slice, report["roc_auc"].value)

Windows are of event time, [from, to). Where one cannot be answered exactly, the answer says which window it
speaks of, or why there is none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from monitor.core.counters import (
    CALIBRATION,
    CLASSES,
    CODES,
    CONFUSION,
    DEFAULT_TIERS,
    FEATURES,
    JOIN,
    JUDGED,
    LOSSES,
    SCALARS,
    SCORES,
    VALUES,
    VIOLATIONS,
    Counts,
    Curve,
    Join,
    Kind,
    Scalar,
    SliceCounts,
    Tier,
)
from monitor.core.drift.layout import FAMILY
from monitor.core.errors import QueryError
from monitor.core.estimation import ESTIMATES_OF, all_undefined, estimate_losses, estimate_slices
from monitor.core.metrics import METRICS_OF, Estimate
from monitor.core.metrics.choice import BESIDE, FINE, estimate_of, metric_named, whole
from monitor.core.metrics.per_class import confusion, per_class
from monitor.core.probes.report import ProbesReport
from monitor.core.reports import Groups, JoinReport, Point, SliceReport, ViolationRow
from monitor.core.schema.model import JUDGES
from monitor.core.schema.violations import RECORD, Code
from monitor.core.slices.spec import slice_key
from monitor.core.tasks import Binary, Multiclass, Regression
from monitor.core.tasks.losses import Losses
from monitor.core.tasks.moments import Counted
from monitor.core.times import format_duration
from monitor.core.windows import Window, decompose
from monitor.edges.labelled_history import OF_SCORES, OF_VALUES, LabelledHistory, Maturity
from monitor.edges.model_names import ModelNames, definition
from monitor.edges.probe_reader import read_probes
from monitor.edges.window_reader import (
    CurveWindow,
    Duration,
    Instant,
    Question,
    WindowReader,
    add,
    checked_level,
    duration_s,
)
from monitor.ports import CounterReader

POINTS_MAX: Final = 10_000
"""Steps of one series."""

RANKED_MAX: Final = 32_768
"""Labelled rows of a slice in a window up to which they are read one by one, where they are kept."""


_STEPS_S: Final = (1, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600, 86_400)
"""Steps of trends: whole buckets of the usual tiers."""


class MetricsReader:
    """Answers questions about models from the store's counters.

    Every window is given as `since` ("1h", counted back from the store's clock, open to the newest traffic)
    or by event time as `from_` and `to` (ISO 8601, epoch seconds or milliseconds); without any of them it is
    all that is kept.

    Args:
        reader: the reading side of a store.
        tiers: the tiers the worker counts in.
    """

    def __init__(self, reader: CounterReader, tiers: Sequence[Tier] = DEFAULT_TIERS) -> None:
        self._reader = reader
        self._windows = WindowReader(reader, tiers)
        self._names = ModelNames(reader)
        self._history = LabelledHistory(reader, self._windows)

    def slices(
        self,
        model: str,
        since: Duration | None = None,
        from_: Instant | None = None,
        to: Instant | None = None,
        metrics: Sequence[str] | None = None,
        where: Mapping[str, str] | None = None,
        level: float = 0.95,
        ready_at: float = 0.95,
        wait: Duration | None = None,
        estimates: bool = True,
    ) -> list[SliceReport]:
        """Metrics of every slice with requests in the window: all traffic first, then as first seen.

        Args:
            model: the model's name.
            since: the window as a length of time until now.
            from_: begin of the window.
            to: end of the window.
            metrics: names, in the order wanted; all of the task's `monitor.core.metrics.METRICS_OF` and all
                its estimates (`monitor.core.estimation.ESTIMATES_OF`) by default.
            where: only slices whose definition has these entries, `{"sex": "Female"}`.
            level: confidence level of the intervals, in (0, 1).
            ready_at: estimates learn from buckets before the window of whose labels this share has come,
            wait: or that are older than this, so that no more labels are expected.
            estimates: False leaves out those that were not named: they read a month of history.

        Raises:
            QueryError: nothing is counted for the model, no traffic in `since`, no such metric, or `wait` is
                not a duration.
        """
        level = checked_level(level)
        maturity = Maturity(ready_at, None if wait is None else duration_s(wait))
        task = self._names.task(model)
        estimated = set(ESTIMATES_OF[task.name])
        estimated &= (estimated if estimates else set()) if metrics is None else set(metrics)
        chosen = METRICS_OF[task.name]
        if metrics is not None:
            chosen = tuple(metric_named(name, task.name) for name in metrics if name not in estimated)
        question = self._windows.question(model, since, from_, to)
        question, (window,) = self._windows.cut(question, [question.span])
        named = self._names.slices(model, where)
        scalars = self._windows.sums(SCALARS, model, list(named), window.parts)
        seen = {slice_id: found for slice_id, found in scalars.items() if found[Scalar.REQUESTS]}
        beside = {metric.kind for metric in chosen} & BESIDE
        wanted = {metric.kind for metric in chosen} - {SCALARS} - BESIDE
        if task.name == Multiclass.name and metrics is None:
            wanted.add(CONFUSION)
        told, learned = (LOSSES, Scalar.REQUESTS) if task.name == Regression.name else (SCORES, Scalar.SCORED)
        drawable = {
            slice_id: found
            for slice_id, found in seen.items()
            if (wanted and found[Scalar.LABELLED]) or (estimated and found[learned])
        }
        curves = self._windows.curve_window(question, window) if drawable else None
        refusal = None if curves is None else curves.refusal
        wider = curves.window if curves is not None and curves.differs and refusal is None else None
        drawn: dict[int, SliceCounts] = {}
        if curves is not None and refusal is None:
            kinds = wanted | {told} if estimated else wanted
            drawn = self._drawn(question, drawable, curves.window, kinds, task.unit)
        counts_of = {slice_id: drawn.get(slice_id) or SliceCounts(found) for slice_id, found in seen.items()}
        for kind in beside:
            arrays = self._windows.sums(kind, model, list(seen), window.parts)
            counts_of = {
                slice_id: counts.holding({kind: arrays[slice_id]}, task.unit)
                for slice_id, counts in counts_of.items()
            }
        expected = (
            self._estimates(question, task.name, counts_of, curves, level, maturity) if estimated else {}
        )
        reports = []
        for slice_id, found in seen.items():
            counts = counts_of[slice_id]
            mine = expected.get(slice_id, {})
            reports.append(
                SliceReport(
                    slice=definition(named[slice_id]),
                    requests=int(found[Scalar.REQUESTS]),
                    labelled=int(found[Scalar.LABELLED]),
                    metrics={metric.name: estimate_of(metric, counts, level, refusal) for metric in chosen},
                    window=window,
                    wider=wider,
                    wide=frozenset(metric.name for metric in chosen if metric.kind not in FINE) | estimated,
                    estimates={name: mine[name] for name in mine if name in estimated},
                    classes=per_class(counts, task.classes, level),
                    confusion=confusion(counts, task.classes),
                )
            )
        return reports

    def counts(
        self,
        model: str,
        since: Duration | None = None,
        from_: Instant | None = None,
        to: Instant | None = None,
        where: Mapping[str, str] | None = None,
    ) -> dict[str, SliceCounts]:
        """The counters behind `slices`, by slice key; curves are None where the window is too fine for them.

        Raises:
            QueryError: as `slices`.
        """
        question = self._windows.question(model, since, from_, to)
        question, (window,) = self._windows.cut(question, [question.span])
        named = self._names.slices(model, where)
        scalars = self._windows.sums(SCALARS, model, list(named), window.parts)
        seen = {slice_id: found for slice_id, found in scalars.items() if found[Scalar.REQUESTS]}
        curves = self._windows.curve_window(question, window)
        if curves.refusal is None and not curves.differs:
            drawn = self._drawn(question, seen, curves.window, {SCORES, CALIBRATION}, unit=1.0)
        else:
            drawn = {slice_id: SliceCounts(found) for slice_id, found in seen.items()}
        task = self._names.task(model)
        for kind in {Regression.name: (VALUES,), Multiclass.name: (CLASSES,)}.get(task.name, ()):
            arrays = self._windows.sums(kind, model, list(drawn), window.parts)
            drawn = {i: counts.holding({kind: arrays[i]}, task.unit) for i, counts in drawn.items()}
        return {named[slice_id]: counts for slice_id, counts in drawn.items()}

    def groups(
        self,
        model: str,
        features: Sequence[Collection[str]],
        since: Duration | None = None,
        from_: Instant | None = None,
        to: Instant | None = None,
    ) -> Groups:
        """The counters of every slice that is made of exactly one of these sets of features.

        `[{"sex"}, {"sex", "credit_score"}]` reads the groups of `sex`, and those of its crossing.

        Raises:
            QueryError: as `slices`.
        """
        question = self._windows.question(model, since, from_, to)
        question, (window,) = self._windows.cut(question, [question.span])
        parts = {number: definition(key) for number, key in self._names.slices(model, None).items()}
        wanted = [set(names) for names in features]
        ids = [number for number, definition in parts.items() if definition.keys() in wanted]
        scalars = self._windows.sums(SCALARS, model, ids, window.parts) if ids else {}
        curves = self._windows.curve_window(question, window)
        task = self._names.task(model)
        arrays: dict[Kind, dict[int, Counts]] = {}
        if ids and curves.refusal is None and task.name == Binary.name:
            for kind in (SCORES, CALIBRATION):
                arrays[kind] = self._windows.sums(kind, model, ids, curves.window.parts)
        if ids and task.name == Regression.name:
            arrays[VALUES] = self._windows.sums(VALUES, model, ids, window.parts)
        return Groups(
            window,
            curves.window if curves.differs and curves.refusal is None else None,
            frozenset(frozenset(definition) for definition in parts.values() if definition),
            [
                (
                    parts[number],
                    SliceCounts(found).holding({k: arrays[k][number] for k in arrays}, task.unit),
                )
                for number, found in scalars.items()
                if found[Scalar.REQUESTS]
            ],
        )

    def violations(
        self,
        model: str,
        since: Duration | None = None,
        from_: Instant | None = None,
        to: Instant | None = None,
    ) -> list[ViolationRow]:
        """Breaches of the feature schema in the window, the most frequent first.

        Raises:
            QueryError: as `slices`.
        """
        question = self._windows.question(model, since, from_, to)
        _, (window,) = self._windows.cut(question, [question.span])
        names = {number: name for name, number in self._reader.registry(model, "features").items()}
        names[0] = RECORD
        requests = int(self._windows.total(SCALARS, model, window)[Scalar.REQUESTS])
        cells = self._windows.total(VIOLATIONS, model, window)
        rows = [
            ViolationRow(
                feature=names.get(int(cell) // CODES, f"feature {int(cell) // CODES}"),
                code=Code(int(cell) % CODES).slug,
                count=int(cells[cell]),
                rate=int(cells[cell]) / requests if requests else None,
            )
            for cell in np.flatnonzero(cells)
        ]
        return sorted(rows, key=lambda row: (-row.count, row.feature, row.code))

    def judges(
        self,
        model: str,
        since: Duration | None = None,
        from_: Instant | None = None,
        to: Instant | None = None,
    ) -> dict[str, int]:
        """Feature schemas that judged the requests of the window: fingerprint → requests, as first seen.

        Raises:
            QueryError: as `slices`.
        """
        question = self._windows.question(model, since, from_, to)
        _, (window,) = self._windows.cut(question, [question.span])
        cells = self._windows.total(JUDGED, model, window)
        known = sorted(self._reader.registry(model, JUDGES).items(), key=lambda item: item[1])
        return {name: int(cells[at]) for name, at in known if at < len(cells) and cells[at]}

    def join(
        self,
        model: str,
        since: Duration | None = None,
        from_: Instant | None = None,
        to: Instant | None = None,
        wait: Duration = 0,
    ) -> JoinReport:
        """What the label join did in the window.

        Args:
            model: the model's name.
            since: the window as a length of time until now.
            from_: begin of the window.
            to: end of the window.
            wait: how long labels are waited for; a label parked longer than that before the newest traffic
                is an orphan.

        Raises:
            QueryError: as `slices`, or `wait` is not a duration.
        """
        question = self._windows.question(model, since, from_, to)
        settled_s = min(question.to_s, question.extent.end_s - duration_s(wait))
        spans = [question.span]
        if settled_s > question.from_s:
            spans.append((question.from_s, settled_s))
        _, (window, *settled) = self._windows.cut(question, spans, JOIN)
        cells = self._windows.total(JOIN, model, window)
        orphans = 0
        for part in settled:
            old = self._windows.total(JOIN, model, part)
            orphans = max(int(old[Join.PARKED_LABELS] - old[Join.ADOPTED_LABELS]), 0)
        return JoinReport({cell.name.lower(): int(cells[cell]) for cell in Join}, orphans, window)

    def series(
        self,
        model: str,
        slice_: Mapping[str, str] | None = None,
        metric: str = "accuracy",
        from_: Instant | None = None,
        to: Instant | None = None,
        step: Duration = "1h",
        since: Duration | None = None,
        level: float = 0.95,
    ) -> list[Point]:
        """One metric of one slice, step by step.

        Args:
            model: the model's name.
            slice_: definition of the slice; all traffic by default.
            metric: its name.
            from_: begin of the window, rounded down to a multiple of the step.
            to: end of the window.
            step: length of a step. A step finer than what is kept at its time has no value, and says so.
            since: the window as a length of time until now.
            level: confidence level of the intervals, in (0, 1).

        Raises:
            QueryError: as `slices`; no such slice; or more than 10,000 steps.
        """
        task = self._names.task(model)
        chosen = metric_named(metric, task.name)
        step_s, level = duration_s(step), checked_level(level)
        if step_s == 0:
            raise QueryError("a step is at least one second")
        slice_id = self._names.slice_id(model, slice_ or {})
        question = self._windows.question(model, since, from_, to)
        first_s = max(question.from_s, question.extent.begin_s) // step_s * step_s
        steps = range(first_s, question.to_s, step_s)
        if len(steps) > POINTS_MAX:
            text = format_duration(step_s)
            raise QueryError(f"{len(steps)} steps of {text} are more than {POINTS_MAX}; widen the step")
        spans = [(at_s, at_s + step_s) for at_s in steps]
        question, windows = self._windows.cut(question, spans)
        scalars = self._windows.each(SCALARS, model, slice_id, windows)
        arrays: list[Counts | None] = [None] * len(spans)
        if chosen.kind is not SCALARS:
            windows = [decompose(chosen.kind, self._windows.tiers, question.extent, *span) for span in spans]
            arrays = [*self._windows.each(chosen.kind, model, slice_id, windows)]
        points = []
        for span, window, found, array in zip(spans, windows, scalars, arrays, strict=True):
            refusal = self._windows.too_fine(chosen.kind, question, window)
            counts = SliceCounts(found)
            if array is not None and whole(chosen.kind, array, found):
                counts = counts.holding({chosen.kind: array}, task.unit)
            estimate = Estimate.undefined(refusal) if refusal else chosen(counts, level)
            points.append(Point(*span, requests=int(found[Scalar.REQUESTS]), estimate=estimate))
        return points

    def probes(
        self, model: str, since: Duration | None = None, slice_: Mapping[str, str] | None = None
    ) -> ProbesReport:
        """What probes have found: per probe and feature, the type matrix, sets, and the worst cases.

        Args:
            model: the model's name.
            since: counted in the last stretch of the store's clock; all that is kept by default. The edge
                moves outwards to the buckets there are.
            slice_: definition of the slice; all traffic by default. Only trials are of the slice.

        Raises:
            QueryError: no such slice, or not a duration.
        """
        wanted = slice_ or {}
        since_s = None if since is None else duration_s(since)
        slice_id = self._names.slice_id(model, wanted)
        return read_probes(self._reader, self._windows, model, since_s, wanted, slice_id)

    def quick_metrics(self, model: str) -> list[str]:
        """Names of the metrics of a model that need no curves, label coverage aside."""
        chosen = METRICS_OF[self._names.task(model).name]
        return [metric.name for metric in chosen if metric.kind in FINE and metric.name != "coverage"]

    def trends(
        self, model: str, slices: Sequence[Mapping[str, str]], metric: str, since: Duration, steps: int
    ) -> dict[str, list[Point]]:
        """One metric of many slices, step by step over a window, in one read.

        Args:
            model: the model's name.
            slices: definitions; those that are not known are left out.
            metric: a metric of scalars or of values.
            since: the window as a length of time until now.
            steps: about how many steps; each is as long as a bucket at least.

        Returns:
            Slice key → its points.

        Raises:
            QueryError: as `slices`.
        """
        task = self._names.task(model)
        chosen = metric_named(metric, task.name)
        question = self._windows.question(model, since, None, None)
        ids = {key: number for number, key in self._names.slices(model, None).items()}
        keys = [key for key in map(slice_key, slices) if key in ids]
        least_s = max(duration_s(since) / steps, self._windows.tiers[0].bucket_s)
        step_s = next((step_s for step_s in _STEPS_S if step_s >= least_s), _STEPS_S[-1])
        first_s = max(question.from_s, question.extent.begin_s) // step_s * step_s
        spans = [(at_s, at_s + step_s) for at_s in range(first_s, question.to_s, step_s)]
        question, windows = self._windows.cut(question, spans)
        parts = [part for window in windows for part in window.parts]
        kind = chosen.kind if chosen.kind in BESIDE else SCALARS
        cells = self._windows.rows(SCALARS, model, [ids[key] for key in keys], parts)
        beside = cells if kind is SCALARS else self._windows.rows(kind, model, [ids[k] for k in keys], parts)
        found: dict[str, list[Point]] = {}
        for key, scalars, arrays in zip(keys, cells, beside, strict=True):
            points, at = [], 0
            for span, window in zip(spans, windows, strict=True):
                here = slice(at, at + len(window.parts))
                at = here.stop
                counts = SliceCounts(add(scalars[here], SCALARS.size))
                if kind is not SCALARS:
                    counts = counts.holding({kind: add(arrays[here], kind.size)}, task.unit)
                points.append(Point(*span, requests=counts[Scalar.REQUESTS], estimate=chosen(counts, 0.95)))
            found[key] = points
        return found

    def histograms(self, model: str, fingerprint: str, since: Duration) -> Counts | None:
        """Counts of every feature in the window, laid out as the schema of that fingerprint says.

        Raises:
            QueryError: as `slices`.
        """
        layout_id = self._reader.registry(model, FAMILY).get(fingerprint)
        if layout_id is None:
            return None
        question = self._windows.question(model, since, None, None)
        window = decompose(FEATURES, self._windows.tiers, question.extent, *question.span)
        return self._windows.sums(FEATURES, model, [layout_id], window.parts)[layout_id]

    def _estimates(
        self,
        question: Question,
        task: str,
        counts: Mapping[int, SliceCounts],
        curves: CurveWindow | None,
        level: float,
        maturity: Maturity,
    ) -> dict[int, dict[str, Estimate]]:
        """Estimates without labels of every slice, or the one reason why there are none."""
        of_values = task == Regression.name
        refusal = "no scored rows" if curves is None else curves.refusal
        if curves is not None and of_values and refusal is None:
            refusal = self._losses_lost(question.model, curves.window)
        history: dict[int, SliceCounts] | str | None = refusal
        if history is None:
            cells = OF_VALUES if of_values else OF_SCORES
            history = self._history.read(question, list(counts), maturity, cells)
        if not isinstance(history, dict):
            return dict.fromkeys(counts, all_undefined(ESTIMATES_OF[task], str(history)))
        return (estimate_losses if of_values else estimate_slices)(counts, history, level)

    def _losses_lost(self, model: str, window: Window) -> str | None:
        """Why the sizes of predictions do not answer; None where they hold every prediction with a value."""
        valued = int(self._windows.total(VALUES, model, window)[: Counted.VALUED + 1].sum())
        told = int(Losses.of(self._windows.total(LOSSES, model, window)).valued.sum())
        return "the sizes of predictions of that time have expired" if told < valued else None

    def _drawn(
        self,
        question: Question,
        scalars: Mapping[int, Counts],
        window: Window,
        kinds: set[Kind],
        unit: float,
    ) -> dict[int, SliceCounts]:
        """Scalars with their curves over `window`, and the rows themselves where they are few enough."""
        ids = list(scalars)
        arrays: dict[Kind, dict[int, Counts]] = {SCORES: {}, CALIBRATION: {}}
        for kind in kinds:
            arrays[kind] = self._windows.sums(kind, question.model, ids, window.parts)
        curves = {number: Curve.of(cells) for number, cells in arrays[SCORES].items()}
        labelled = {number: int((curve.positive + curve.negative).sum()) for number, curve in curves.items()}
        few = [number for number, rows in labelled.items() if 0 < rows <= RANKED_MAX]
        rankings = {
            number: ranking
            for number, ranking in self._windows.rankings(question, few, window).items()
            # Read after the curves: at least their rows, unless some were not kept.
            if int((ranking.positive + ranking.negative).sum()) >= labelled[number]
        }
        return {
            number: SliceCounts(found, ranking=rankings.get(number)).holding(
                {kind: of_kind[number] for kind, of_kind in arrays.items() if number in of_kind}, unit
            )
            for number, found in scalars.items()
        }
