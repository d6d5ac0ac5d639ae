"""What is tested of a model, by its task. Every task shares out the same parts of the allowance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from monitor.core.detectors.degradation_measures import OF_BINARY, OF_CLASSES, OF_VALUES, Watched
from monitor.core.detectors.gap_tables import LABEL_METRICS, GapMetric
from monitor.core.detectors.mean_tables import MeanMetric
from monitor.core.tasks import Binary, Multiclass, Regression, Task

CLASSES_TOLD: Final = 20
"""Classes with tests of their own: the first that are listed."""


@dataclass(frozen=True)
class Watchlist:
    """What is tested.

    Attributes:
        labels: rates of each slice, against the rest.
        errors: means of each slice that need labels, likewise.
        decisions: rates of protected slices that need none, likewise.
        values: means of protected slices, likewise.
        metrics: what may decline, of all traffic and of each slice.
        classes: how many the model has; 0 for other tasks.
        numbers: name → number of each class that has tests of its own.
    """

    labels: tuple[GapMetric, ...] = LABEL_METRICS
    errors: tuple[MeanMetric, ...] = ()
    decisions: tuple[GapMetric, ...] = (GapMetric.POSITIVE_RATE,)
    values: tuple[MeanMetric, ...] = ()
    metrics: tuple[Watched, ...] = OF_BINARY
    classes: int = 0
    numbers: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, task: Task, numbers: Mapping[str, int] | None = None) -> Watchlist:
        """Of a model's task.

        Where a score has no threshold, mean scores are compared as decisions are.

        Args:
            task: of the model.
            numbers: name → number of classes, as the store gave them; those listed are looked up.

        >>> [metric.value for metric in Watchlist.of(Binary(threshold=None)).values]
        ['mean_score']
        """
        if isinstance(task, Regression):
            values = (MeanMetric.MEAN_VALUE,)
            return cls((), (MeanMetric.MAE, MeanMetric.BIAS), (), values, OF_VALUES)
        if isinstance(task, Multiclass):
            known = {name: (numbers or {})[name] for name in task.classes if name in (numbers or {})}
            told = dict(list(known.items())[:CLASSES_TOLD])
            return cls(
                (GapMetric.ERROR_RATE, GapMetric.CLASS_RECALL), (), (GapMetric.CLASS_RATE,), (), OF_CLASSES,
                len(task.classes), told,
            )  # fmt: skip
        undecided = isinstance(task, Binary) and task.threshold is None
        return cls(values=(MeanMetric.MEAN_SCORE,) if undecided else ())
