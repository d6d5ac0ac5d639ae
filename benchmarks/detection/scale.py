"""Changes of unit: found in 200 rows, named in 1,000, seen in no clean window, and with 30 % of the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import Counts
from monitor.core.drift.layout import MAGNITUDES, SCALE_CELLS
from monitor.core.drift.scale import Distribution, ScaleShift, explain
from monitor.core.drift.units import CHANGES
from monitor.core.schema.feature import QUANTILE_LEVELS

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

FEATURES: Final[Mapping[str, Draw]] = {
    "lognormal": lambda rng, n: rng.lognormal(5.0, 0.5, n),
    "wide lognormal": lambda rng, n: rng.lognormal(3.0, 1.0, n),
    "gamma": lambda rng, n: rng.gamma(2.0, 30.0, n),
    "normal": lambda rng, n: np.maximum(rng.normal(50.0, 10.0, n), 0.1),
    "uniform": lambda rng, n: rng.uniform(0.0, 1.0, n),
}
FACTORS: Final = sorted({change.slope for change in CHANGES if change.is_factor})


def counted(values: Floats) -> Counts:
    """Values by magnitude, int64[cells]."""
    magnitude = np.floor((np.log10(np.abs(np.where(values == 0, 1.0, values))) + 12) * 24)
    place = np.clip(magnitude, 0, MAGNITUDES - 1).astype(np.int64)
    cell = np.where(values > 0, 1 + place, np.where(values < 0, 1 + MAGNITUDES + place, 0))
    return np.bincount(cell, minlength=SCALE_CELLS).astype(np.int64)


def trials(rows: int, share: float, repeats: int, seed: int) -> list[tuple[float, ScaleShift | None]]:
    """Factor that acted, and what was found."""
    rng = np.random.default_rng(seed)
    found = []
    for draw in FEATURES.values():
        known = Distribution(
            tuple(np.quantile(draw(rng, 10_000), QUANTILE_LEVELS).tolist()), QUANTILE_LEVELS, 10_000
        )
        for factor in FACTORS * repeats:
            values = draw(rng, rows)
            changed = np.where(rng.random(rows) < share, factor * values, values)
            found.append((factor, explain(known, counted(changed))))
    return found


def named(factor: float, shift: ScaleShift | None) -> bool:
    """What happened is among what is named: the words, since several factors share them."""
    words = {change.words for change in CHANGES if change.is_factor and change.slope == factor}
    return shift is not None and any(change.words in words for change in shift.changes)


def clean(windows: int, rows: int, seed: int) -> int:
    """Windows of unchanged values in which a change is found."""
    rng = np.random.default_rng(seed)
    false = 0
    for draw in FEATURES.values():
        known = Distribution(
            tuple(np.quantile(draw(rng, 10_000), QUANTILE_LEVELS).tolist()), QUANTILE_LEVELS, 10_000
        )
        false += sum(
            explain(known, counted(draw(rng, rows))) is not None for _ in range(windows // len(FEATURES))
        )
    return false


def run(quick: bool) -> dict[str, Any]:
    """The section of the report. A third of rows times less than 3 cannot be told from a change of shape."""
    repeats, windows = (1, 200) if quick else (3, 5_000)
    whole = trials(200, 1.0, repeats, 1)
    larger = trials(1_000, 1.0, repeats, 2)
    partly = trials(1_000, 0.3, repeats, 3)
    wide = [one for one in partly if not 1 / 3 < one[0] < 3]
    return {
        "found": float(np.mean([shift is not None for _, shift in whole])),
        "named": float(np.mean([named(factor, shift) for factor, shift in larger])),
        "false": clean(windows, 500, 4),
        "clean_windows": windows,
        "contaminated_found": float(np.mean([shift is not None for _, shift in wide])),
        "contaminated_found_all_factors": float(np.mean([shift is not None for _, shift in partly])),
        "factors": len(FACTORS),
        "trials": len(whole),
    }
