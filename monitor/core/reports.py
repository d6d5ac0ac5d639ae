"""Answers of the reading library: plain values with the form they take as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitor.core.counters import SliceCounts
from monitor.core.metrics.estimate import Estimate
from monitor.core.times import format_instant
from monitor.core.windows import Window


@dataclass(frozen=True)
class SliceReport:
    """One slice in one window.

    Attributes:
        slice: what the slice is, `{"sex": "Female"}`; `{}` for all traffic.
        requests: predictions counted.
        labelled: those whose label has come.
        metrics: metric name → estimate.
        window: the window answered.
        wider: window of the metrics named in `wide`, where score curves are kept less finely than the rest.
        wide: names of the metrics that answer `wider` instead of `window`.
        estimates: name → what is expected of rows whose labels have not come.
        classes: of several classes, class → metric → estimate.
        confusion: of several classes, label → decision → rows; None where it is not kept for the window.
    """

    slice: Mapping[str, str]
    requests: int
    labelled: int
    metrics: Mapping[str, Estimate]
    window: Window
    wider: Window | None = None
    wide: frozenset[str] = frozenset()
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    classes: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    confusion: Mapping[str, Mapping[str, int]] | None = None

    def __getitem__(self, metric: str) -> Estimate:
        return self.estimates[metric] if metric in self.estimates else self.metrics[metric]

    def to_dict(self) -> dict[str, Any]:
        """The object of `monitor slices --json`."""
        answer: dict[str, Any] = {
            "slice": dict(self.slice),
            "requests": self.requests,
            "labelled": self.labelled,
        }
        for name, estimate in (*self.metrics.items(), *self.estimates.items()):
            answer[name] = estimate.to_dict()
            if self.wider is not None and name in self.wide:
                answer[name]["window"] = self.wider.to_dict()
        if self.classes:
            answer["classes"] = {
                name: {metric: estimate.to_dict() for metric, estimate in found.items()}
                for name, found in self.classes.items()
            }
            answer["confusion"] = None if self.confusion is None else dict(self.confusion)
        answer["window"] = self.window.to_dict()
        return answer


@dataclass(frozen=True)
class Groups:
    """Counters of slices of some features in one window.

    Attributes:
        window: the window of the scalars.
        wider: window of score curves and calibration, where they are kept less finely; None where it is the
            same, or where they are not kept.
        declared: sets of features that slices of the model are made of.
        slices: definition and counters of each slice with requests.
    """

    window: Window
    wider: Window | None
    declared: frozenset[frozenset[str]]
    slices: Sequence[tuple[Mapping[str, str], SliceCounts]]

    def of(self, features: Iterable[str]) -> list[tuple[Mapping[str, str], SliceCounts]]:
        """Slices made of exactly these features."""
        wanted = set(features)
        return [(parts, counts) for parts, counts in self.slices if parts.keys() == wanted]


@dataclass(frozen=True)
class ViolationRow:
    """How often one feature broke its schema in one way.

    Attributes:
        feature: its name; "record" for violations of the record itself.
        code: slug of the violation, `out_of_range`.
        count: records.
        rate: `count` as a share of all requests of the window, in [0, 1]; None without requests.
    """

    feature: str
    code: str
    count: int
    rate: float | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"feature": self.feature, "code": self.code, "count": self.count, "rate": self.rate}


@dataclass(frozen=True)
class JoinReport:
    """What the label join did in a window.

    Attributes:
        counts: cell of `monitor.core.counters.Join`, in lower case → count.
        orphans: labels whose prediction did not come within the wait.
        window: the window answered.
    """

    counts: Mapping[str, int]
    orphans: int
    window: Window

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**self.counts, "orphans": self.orphans, "window": self.window.to_dict()}


@dataclass(frozen=True)
class Point:
    """One step of a series: [from_s, to_s), epoch seconds."""

    from_s: int
    to_s: int
    requests: int
    estimate: Estimate

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "from": format_instant(self.from_s),
            "to": format_instant(self.to_s),
            "requests": self.requests,
            **self.estimate.to_dict(),
        }
