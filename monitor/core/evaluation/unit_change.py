"""The change of unit that explains a drift: since when, in what share of the values, and whether it stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from monitor.core.drift.layout import SCALE_CELLS
from monitor.core.drift.magnitudes import PART_ROWS_MIN, Magnitudes
from monitor.core.drift.scale import Distribution, ScaleShift, explain

_NAMED_ROWS: Final = 1_000
"""A change of unit that was named from so many values stays as it is, for later ones may come after its end;
unless its share turns out to be larger."""

_GROWN: Final = 1.1
"""That much larger: a share is known to some percent."""

_BEGUN: Final = 0.9
"""A change began where its share of what came since is this part of the largest."""

_BEGUN_ROWS: Final = 300
"""Values that a beginning is dated by."""

_LOOKED_PARTS: Final = _BEGUN_ROWS // PART_ROWS_MIN
"""The last ones, which hold so many values."""

_SHARE_KEPT: Final = 0.8
"""For the same reason one whose share falls below this part of what it was is not taken."""


@dataclass(frozen=True)
class LastValues:
    """The last values of the numeric features, and what they are held against.

    Attributes:
        references: feature → its reference.
        numeric: features in the order of their cells.
        magnitudes: of the last values.
    """

    references: Mapping[str, Distribution]
    numeric: Sequence[str]
    magnitudes: Magnitudes


def unit_change(values: LastValues, name: str, since_ms: int, known: ScaleShift | None) -> ScaleShift | None:
    """The change of unit of a feature, None where none explains its drift, or the one that is known stays.

    Args:
        values: of the model.
        name: of a feature with a reference.
        since_ms: since when it has drifted.
        known: what explained it before.
    """
    least = 0.0 if known is None else _SHARE_KEPT * known.share
    if known is not None and known.rows >= _NAMED_ROWS:
        least = _GROWN * known.share
        if known.whole or not _reaches(_explained(values, name, known.since_ms), least):
            return None
    shift = _dated(values, name, since_ms)
    return shift if _reaches(shift, least) else None


def _reaches(shift: ScaleShift | None, least: float) -> bool:
    return shift is not None and shift.share >= least


def _dated(values: LastValues, name: str, since_ms: int) -> ScaleShift | None:
    """A change of unit from its own beginning on: drift may be dated earlier, which thins its share."""
    starts_ms = values.magnitudes.starts_since(since_ms)
    # Most drift is no change of unit, and each look costs milliseconds.
    last = max(len(starts_ms) - _LOOKED_PARTS, 0)
    if not any(_explained(values, name, starts_ms[at]) for at in {0, last // 2, last}):
        return None
    fits: list[ScaleShift] = []
    for start_ms in starts_ms:
        shift = _explained(values, name, start_ms)
        if fits and (shift is None or shift.rows < _BEGUN_ROWS):
            break
        if shift is not None:
            fits.append(shift)
    most = max((shift.share for shift in fits), default=0.0)
    return next((shift for shift in fits if shift.share >= _BEGUN * most), None)


def _explained(values: LastValues, name: str, since_ms: int) -> ScaleShift | None:
    numeric = values.numeric
    live = values.magnitudes.since(since_ms, len(numeric) * SCALE_CELLS)
    shift = explain(values.references[name], live.reshape(len(numeric), -1)[numeric.index(name)])
    return None if shift is None else replace(shift, since_ms=since_ms)
