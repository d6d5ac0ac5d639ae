"""Windows read from a store: questions resolved, buckets found whole, arrays summed.

Which buckets a window is read from is decided in `monitor.core.windows`; here the store is asked what it
holds, and whether what it holds is whole. A fine bucket that expired reads as empty, which would be a silent
undercount: so the buckets of an edge are compared with the coarser bucket around them first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from monitor.core.counters import (
    ALL_SLICE,
    RANKING,
    SCALARS,
    SCORES,
    CellKey,
    Counts,
    Curve,
    Kind,
    Ranking,
    Scalar,
    Tier,
)
from monitor.core.errors import QueryError
from monitor.core.times import INSTANT_END_MS, format_duration, format_instant, parse_duration, parse_instant
from monitor.core.windows import Extent, Part, Window, decompose, step_of
from monitor.ports import CounterReader

Duration = str | int | float | timedelta
Instant = str | int | float | datetime

_LONGEST_S: Final = 100 * 31_557_600
_LATEST_S: Final = INSTANT_END_MS // 1000 - _LONGEST_S
"""The end of a window, so that the longest step that begins before it is over before dates end."""

_UNITS: Final = {1: "second", 60: "minute", 3_600: "hour", 86_400: "day"}


@dataclass(frozen=True)
class Question:
    """A window of one model, resolved.

    Attributes:
        model: the model's name.
        extent: what the store holds of it.
        from_s, to_s: [from, to), epoch seconds.
        open_ended: asked as "the last hour", so a few seconds more are welcome.
    """

    model: str
    extent: Extent
    from_s: int
    to_s: int
    open_ended: bool

    @property
    def span(self) -> tuple[int, int]:
        """[from, to), epoch seconds."""
        return self.from_s, self.to_s


@dataclass(frozen=True)
class CurveWindow:
    """Where score curves answer a question.

    Attributes:
        window: the window they cover.
        differs: it is not the window of the scalars.
        refusal: why they do not answer, None where they do.
    """

    window: Window
    differs: bool
    refusal: str | None


class WindowReader:
    """Sums of counters over windows.

    Args:
        reader: the reading side of a store.
        tiers: the tiers the worker counts in; bucket lengths divide one another.
    """

    def __init__(self, reader: CounterReader, tiers: Sequence[Tier]) -> None:
        self._reader = reader
        self.tiers = tuple(sorted(tiers, key=lambda tier: tier.bucket_s))

    def question(
        self, model: str, since: Duration | None, from_: Instant | None, to: Instant | None
    ) -> Question:
        """Resolve a window: `since`, or `from_` and `to`, or everything.

        Raises:
            QueryError: not a window, nothing is counted for the model, or no traffic in `since`.
        """
        now_s = -(-self._reader.now_ms() // 1000)
        extent = Extent.of({tier: self._reader.buckets(model, tier.name) for tier in self.tiers}, now_s)
        if extent is None:
            raise QueryError(
                f"nothing is counted for a model named {model!r}: compare with the settings, "
                "and see that a worker runs"
            )
        if since is not None:
            if from_ is not None or to is not None:
                raise QueryError("a window is either since, or from and to")
            return self._since(model, extent, duration_s(since))
        from_s = extent.begin_s if from_ is None else min(_instant_ms(from_) // 1000, _LATEST_S)
        to_s = extent.end_s if to is None else min(-(-_instant_ms(to) // 1000), _LATEST_S)
        if from_s >= to_s:
            raise QueryError(
                f"an empty window: from {format_instant(from_s)} to {format_instant(to_s)}; "
                f"traffic ranges from {format_instant(extent.begin_s)} to {format_instant(extent.end_s)}"
            )
        return Question(model, extent, from_s, to_s, open_ended=False)

    def cut(
        self, question: Question, spans: Sequence[tuple[int, int]], kind: Kind = SCALARS
    ) -> tuple[Question, list[Window]]:
        """Windows of buckets that are whole, and the question with what was learnt about them."""
        extent = question.extent
        while True:
            windows = [decompose(kind, self.tiers, extent, *span) for span in spans]
            lost = self._lost(question.model, extent, windows)
            if not lost:
                return replace(question, extent=extent), windows
            extent = extent.losing(lost)

    def curve_window(self, question: Question, window: Window) -> CurveWindow:
        """Where score curves answer the question that `window` answers from scalars."""
        kept = [tier for tier in self.tiers if SCORES.kept_s(tier)]
        if not kept:
            return CurveWindow(window, differs=False, refusal="score curves are kept in none of the tiers")
        extent = question.extent
        while True:
            curves = decompose(SCORES, self.tiers, extent, *question.span)
            if self._curves_whole(question.model, curves):
                break
            finest = min((tier for tier, _ in curves.parts), key=lambda tier: tier.bucket_s)
            if finest is kept[-1]:
                return CurveWindow(curves, differs=True, refusal="the score curves of that time have expired")
            extent = extent.losing({finest.name: extent.end_s})
        differs = (curves.from_s, curves.to_s) != (window.from_s, window.to_s)
        welcome = question.open_ended and curves.widened_s <= question.to_s - question.from_s
        refusal = None
        if differs and not welcome:
            refusal = self.too_fine(SCORES, replace(question, extent=extent), curves)
        return CurveWindow(curves, differs, refusal)

    def too_fine(self, kind: Kind, question: Question, window: Window) -> str | None:
        """Why a window that had to be widened is no answer; None for one that is exact."""
        if window.exact:
            return None
        edges_s = (window.from_s, window.to_s - 1)
        tier = max(
            (step_of(kind, self.tiers, question.extent, edge_s) for edge_s in edges_s),
            key=lambda tier: tier.bucket_s,
        )
        unit = _UNITS.get(tier.bucket_s, f"{format_duration(tier.bucket_s)} step")
        what = "counters" if kind is SCALARS else "score curves"
        return (
            f"{what} of that time are kept per {unit}: widen the window to whole {unit}s, "
            f"from {format_instant(window.from_s)} to {format_instant(window.to_s)}"
        )

    def sums(self, kind: Kind, model: str, slices: Sequence[int], parts: Sequence[Part]) -> dict[int, Counts]:
        """The array of each slice, summed over `parts`."""
        keys = [CellKey(kind, tier, start_s, model, number) for number in slices for tier, start_s in parts]
        arrays = self._reader.read(keys)
        width = len(parts)
        return {
            number: add(arrays[row * width : (row + 1) * width], kind.size)
            for row, number in enumerate(slices)
        }

    def rows(
        self, kind: Kind, model: str, slices: Sequence[int], parts: Sequence[Part]
    ) -> list[list[Counts | None]]:
        """The arrays of each slice, one for each of `parts`."""
        keys = [CellKey(kind, tier, start_s, model, number) for number in slices for tier, start_s in parts]
        arrays = self._reader.read(keys)
        width = len(parts)
        return [arrays[row * width : (row + 1) * width] for row in range(len(slices))]

    def total(self, kind: Kind, model: str, window: Window) -> Counts:
        """The array of all traffic, summed over a window."""
        return self.sums(kind, model, [ALL_SLICE], window.parts)[ALL_SLICE]

    def each(self, kind: Kind, model: str, slice_id: int, windows: Sequence[Window]) -> list[Counts]:
        """The array of one slice, summed over each window."""
        keys = [
            CellKey(kind, tier, start_s, model, slice_id)
            for window in windows
            for tier, start_s in window.parts
        ]
        arrays = iter(self._reader.read(keys))
        return [add([next(arrays) for _ in window.parts], kind.size) for window in windows]

    def rankings(self, question: Question, slices: Sequence[int], curves: Window) -> dict[int, Ranking]:
        """Labelled scores row by row, of the slices that keep them over the whole of `curves`."""
        if not slices or not any(RANKING.kept_s(tier) for tier in self.tiers):
            return {}
        window = decompose(RANKING, self.tiers, question.extent, curves.from_s, curves.to_s)
        if not window.exact:
            return {}
        keys = [
            CellKey(RANKING, tier, start_s, question.model, number)
            for number in slices
            for tier, start_s in window.parts
        ]
        data = self._reader.read_rows(keys)
        width = len(window.parts)
        found: dict[int, Ranking] = {}
        for row, number in enumerate(slices):
            pieces = data[row * width : (row + 1) * width]
            kept = [piece for piece in pieces if piece is not None]
            if len(kept) == width:
                found[number] = Ranking.of(b"".join(kept))
        return found

    def _since(self, model: str, extent: Extent, length_s: int) -> Question:
        if length_s == 0:
            raise QueryError("a window is at least one second long")
        step_s = self.tiers[0].bucket_s
        from_s = (extent.now_s - length_s) // step_s * step_s
        if extent.end_s <= from_s:
            begin_s = max(extent.end_s - length_s, extent.begin_s)
            raise QueryError(
                f"no traffic of {model} in the last {format_duration(length_s)}; the newest was before "
                f"{format_instant(extent.end_s)}: ask for it with --from {format_instant(begin_s)} "
                f"--to {format_instant(extent.end_s)}"
            )
        # Producers' clocks may run ahead of the store's: the window is open to the newest traffic.
        to_s = max(-(-extent.now_s // step_s) * step_s, extent.end_s)
        return Question(model, extent, from_s, to_s, open_ended=True)

    def _lost(self, model: str, extent: Extent, windows: Iterable[Window]) -> dict[str, int]:
        """Tiers whose buckets do not add up to the coarser bucket around them, and until when."""
        coarser = dict(zip(self.tiers[:-1], self.tiers[1:], strict=True))
        parents = sorted(
            {
                (tier.bucket_s, start_s // coarser[tier].bucket_s * coarser[tier].bucket_s)
                for window in windows
                for tier, start_s in window.parts
                if tier in coarser
            }
        )
        tier_of = {tier.bucket_s: tier for tier in self.tiers}
        # The wholes are read before their parts: what is counted in between makes no part look lost.
        keys = [CellKey(SCALARS, coarser[tier_of[bucket_s]], start_s, model) for bucket_s, start_s in parents]
        families: list[range] = []
        for bucket_s, start_s in parents:
            tier = tier_of[bucket_s]
            first_s = max(start_s, -(-extent.kept_from_s(SCALARS, tier) // bucket_s) * bucket_s)
            families.append(range(first_s, start_s + coarser[tier].bucket_s, bucket_s))
            keys.extend(CellKey(SCALARS, tier, at_s, model) for at_s in families[-1])
        arrays = iter(self._reader.read(keys))
        wholes = [_requests(next(arrays)) for _ in parents]
        lost: dict[str, int] = {}
        for (bucket_s, start_s), family, whole in zip(parents, families, wholes, strict=True):
            found = sum(_requests(next(arrays)) for _ in family)
            tier = tier_of[bucket_s]
            # Of a bucket half out of retention only the later part can be there; if that may be an old
            # tail whose keys are all gone, something must be.
            due = min(whole, 0 if extent.fresh(tier.keep_s) else 1)
            if found < (whole if family.start == start_s else due):
                end_s = start_s + coarser[tier].bucket_s
                lost[tier.name] = max(end_s, lost.get(tier.name, 0))
        return lost

    def _curves_whole(self, model: str, curves: Window) -> bool:
        """Whether curves hold every scored row; the scalars are read first, and counters only grow."""
        scored = int(self.total(SCALARS, model, curves)[Scalar.SCORED])
        return int(Curve.of(self.total(SCORES, model, curves)).scored.sum()) >= scored


def add(arrays: Iterable[Counts | None], size: int) -> Counts:
    """Sum of arrays that may be absent, or of different lengths where `size` is 0."""
    total = np.zeros(size, np.int64)
    for array in arrays:
        if array is None:
            continue
        if len(array) > len(total):
            total = np.pad(total, (0, len(array) - len(total)))
        total[: len(array)] += array
    return total


def duration_s(value: Duration) -> int:
    """Seconds of a duration.

    Raises:
        QueryError: not a duration.
    """
    try:
        found = parse_duration(value)
    except ValueError as error:
        raise QueryError(str(error)) from None
    if found > _LONGEST_S:
        raise QueryError(f"longer than a hundred years: {format_duration(found)}")
    return found


def checked_level(level: float) -> float:
    """A confidence level.

    Raises:
        QueryError: not in (0, 1).
    """
    if not 0 < level < 1:
        raise QueryError(f"a confidence level lies between 0 and 1, not at {level}")
    return level


def _instant_ms(value: Instant) -> int:
    try:
        return parse_instant(value)
    except ValueError as error:
        raise QueryError(str(error)) from None


def _requests(array: Counts | None) -> int:
    return 0 if array is None else int(array[Scalar.REQUESTS])
