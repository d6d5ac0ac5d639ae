"""What is tested of a model, by its task. Every task shares out the same parts of the allowance."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.core.detectors.degradation_measures import OF_BINARY, OF_CLASSES, OF_VALUES, Watched
from monitor.core.detectors.gap_tables import LABEL_METRICS, GapMetric
from monitor.core.detectors.mean_tables import MeanMetric
from monitor.core.tasks import Binary, Multiclass, Regression, Task


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
    """

    labels: tuple[GapMetric, ...] = LABEL_METRICS
    errors: tuple[MeanMetric, ...] = ()
    decisions: tuple[GapMetric, ...] = (GapMetric.POSITIVE_RATE,)
    values: tuple[MeanMetric, ...] = ()
    metrics: tuple[Watched, ...] = OF_BINARY
    classes: int = 0

    @classmethod
    def of(cls, task: Task) -> Watchlist:
        """Of a model's task. Where a score has no threshold, mean scores are compared as decisions are.

        >>> [metric.value for metric in Watchlist.of(Binary(threshold=None)).values]
        ['mean_score']
        """
        if isinstance(task, Regression):
            values = (MeanMetric.MEAN_VALUE,)
            return cls((), (MeanMetric.MAE, MeanMetric.BIAS), (), values, OF_VALUES)
        if isinstance(task, Multiclass):
            return cls((GapMetric.ERROR_RATE,), (), (), (), OF_CLASSES, len(task.classes))
        undecided = isinstance(task, Binary) and task.threshold is None
        return cls(values=(MeanMetric.MEAN_SCORE,) if undecided else ())
