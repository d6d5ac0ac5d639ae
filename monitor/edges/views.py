"""Plain hashes of named metrics for people with redis-cli: one for each window and slice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from monitor.core.errors import QueryError
from monitor.core.reports import SliceReport
from monitor.edges.reader import MetricsReader
from monitor.ports import Clock

WINDOWS: Final = {"5m": 0.0, "1h": 15.0, "24h": 60.0}
"""Window → seconds for which its figures stand: a day changes little in a minute, and its curves are dear."""

_APART: Final = frozenset(',="')
JOIN_WINDOW: Final = "1h"
JOIN_VIEW: Final = f"join/{JOIN_WINDOW}"
"""What the label join did, in a view of its own."""


class ViewWriter:
    """Makes the views of a model.

    Args:
        reader: where the figures come from.
        clock: for their age.
    """

    def __init__(self, reader: MetricsReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._made: dict[tuple[str, str], tuple[float, dict[str, dict[str, str]]]] = {}

    def __call__(self, model: str) -> dict[str, dict[str, str]]:
        """View name (`5m/all`, `1h/sex=Female`) → field → text; a window without traffic has no view."""
        views: dict[str, dict[str, str]] = {}
        now_s = self._clock.monotonic_s()
        for window, keep_s in WINDOWS.items():
            made_s, found = self._made.get((model, window), (float("-inf"), {}))
            if not found or now_s - made_s >= keep_s:
                found = self._of_window(model, window)
                self._made[model, window] = now_s, found
            views |= found
        return views

    def _of_window(self, model: str, window: str) -> dict[str, dict[str, str]]:
        try:
            reports = self._reader.slices(model, since=window, estimates=False)
        except QueryError:
            return {}  # no traffic in the window: an absent view says so
        views = {f"{window}/{slice_name(report.slice)}": fields(report) for report in reports}
        if window == JOIN_WINDOW:
            join = self._reader.join(model, since=window)
            views[JOIN_VIEW] = {what: str(count) for what, count in join.counts.items()}
        return views


def slice_name(slice_: Mapping[str, str]) -> str:
    """A slice in a key: `all`, `sex=Female`, `race=Black,sex=Female`.

    What holds a comma, an equals sign or a quotation mark is in quotes: no value can pass for another slice.

    >>> slice_name({}), slice_name({"sex": "Female"}), slice_name({"sex": "F,race=B"})
    ('all', 'sex=Female', 'sex="F,race=B"')
    """
    return ",".join(f"{_part(feature)}={_part(value)}" for feature, value in sorted(slice_.items())) or "all"


def _part(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if _APART.intersection(text) else text


def fields(report: SliceReport) -> dict[str, str]:
    """Figures as text; a metric without data is an empty text beside its `_reason`."""
    found = {"requests": str(report.requests), "labelled": str(report.labelled)}
    for name, estimate in report.metrics.items():
        if estimate.value is None:
            found |= {name: "", f"{name}_reason": estimate.reason or "no data"}
            continue
        found[name] = f"{estimate.value:.6g}"
        if estimate.low is not None and estimate.high is not None:
            found |= {f"{name}_low": f"{estimate.low:.6g}", f"{name}_high": f"{estimate.high:.6g}"}
    return found
