"""Labelled rows of the time before a window: what estimates without labels are learned from.

Only buckets whose labels are complete enough count, for labels that come early are not a fair sample
(fraud is reported fast, honesty never). The window asked about itself takes no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitor.core.counters import (
    ALL_SLICE,
    LOSSES,
    SCALARS,
    SCORES,
    VALUES,
    CellKey,
    Counts,
    Kind,
    Scalar,
    SliceCounts,
)
from monitor.core.windows import Part, decompose
from monitor.edges.window_reader import Question, WindowReader
from monitor.ports import CounterReader

HISTORY_S: Final = 30 * 86_400
"""How far back labelled rows are read: a month is beyond most waits, and a model is seldom older."""

_BUCKETS_MIN: Final = 7
"""Mature buckets that make finer ones not worth reading: the newest rows are those whose labels are the
least complete, and a slice is as many arrays as there are buckets."""


@dataclass(frozen=True)
class Maturity:
    """When the labels of a bucket are complete enough.

    Attributes:
        ready_at: share of awaited labels that have come, in [0, 1].
        wait_s: seconds after which no more labels are expected; None if unknown.
    """

    ready_at: float
    wait_s: int | None


@dataclass(frozen=True)
class History:
    """What estimates of a task learn from.

    Attributes:
        labelled: counts the labelled rows that teach something.
        kinds: arrays that are read beside the scalars; the first is kept in the tiers of score curves.
    """

    labelled: Scalar
    kinds: tuple[Kind, ...]


OF_SCORES: Final = History(Scalar.RATED, (SCORES,))
OF_VALUES: Final = History(Scalar.LABELLED, (LOSSES, VALUES))


class LabelledHistory:
    """Reads labelled rows before a window.

    Args:
        reader: the reading side of a store.
        windows: sums over windows of it.
    """

    def __init__(self, reader: CounterReader, windows: WindowReader) -> None:
        self._reader = reader
        self._windows = windows

    def read(
        self,
        question: Question,
        slices: Sequence[int],
        maturity: Maturity,
        cells: History,
    ) -> dict[int, SliceCounts] | str:
        """Scalars and `cells` of each slice, and of all traffic, or why there are none."""
        parts, labelled = self._parts(question, maturity, cells.labelled)
        if not parts:
            if not labelled:
                return "no labelled history: nothing before the window has labels"
            return (
                f"no labelled history: no bucket before the window has {maturity.ready_at:.0%} of its labels"
            )
        wanted = sorted({ALL_SLICE, *slices})
        scalars = self._windows.sums(SCALARS, question.model, wanted, parts)
        known = [number for number in wanted if scalars[number][cells.labelled]]
        arrays = {kind: self._windows.sums(kind, question.model, known, parts) for kind in cells.kinds}
        return {
            number: SliceCounts(scalars[number]).holding({kind: arrays[kind][number] for kind in arrays})
            for number in known
        }

    def _parts(self, question: Question, maturity: Maturity, cell: Scalar) -> tuple[list[Part], bool]:
        """Mature buckets before the window, as few as will do; and whether there are labels at all."""
        begin_s = max(question.extent.begin_s, question.from_s - HISTORY_S)
        mature: list[Part] = []
        labelled = False
        for tier in reversed([tier for tier in self._windows.tiers if SCORES.kept_s(tier)]):
            end_s = question.from_s // tier.bucket_s * tier.bucket_s
            if begin_s >= end_s:
                continue
            window = decompose(SCORES, self._windows.tiers, question.extent, begin_s, end_s)
            if window.to_s > question.from_s:
                continue  # not kept this finely
            keys = [CellKey(SCALARS, tier, start_s, question.model) for tier, start_s in window.parts]
            found = zip(window.parts, self._reader.read(keys), strict=True)
            known = [(part, counts) for part, counts in found if counts is not None and counts[cell]]
            mature = [part for part, counts in known if _is_mature(question, part, counts, maturity)]
            labelled = labelled or bool(known)
            if len(mature) >= _BUCKETS_MIN:
                break
        return mature, labelled


def _is_mature(question: Question, part: Part, scalars: Counts, maturity: Maturity) -> bool:
    """Whether the labels of a bucket have come, or will not come any more."""
    tier, start_s = part
    age_s = question.extent.end_s - (start_s + tier.bucket_s)
    old = maturity.wait_s is not None and age_s >= maturity.wait_s
    return old or bool(scalars[Scalar.LABELLED] >= maturity.ready_at * scalars[Scalar.TRACKED])
