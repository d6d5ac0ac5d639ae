"""Values that arrive in another unit: all of them, or those of one client.

Live values are counted by order of magnitude. For each change of unit g in the table the reference says how
g(x) would be distributed, and the live counts are fitted as a mixture

    share · g(reference) + (1 - share) · reference

whose share is found by expectation maximisation, or is 1 where the rows allow it. A scale shift is the
likeliest of these fits, provided that

- live values are not those of the reference: KS0 > 1.95 sqrt(1/n + 1/m) + 0.01, KS0 the distance from it;
- the fit explains them outright, for real drift is rarely an exact multiple: KS1, the distance from the fit,
  is below 1.75 sqrt(1/n + 1/m) + 0.01, and below half of KS0 (about a third where only part of the values
  changed, for a free share fits more);
- its log likelihood is at least 10 above that of no change;
- where part of the values changed, they lie apart from the others, else any drift could be taken for that.

Changes that the rows cannot tell from the likeliest are named too. Factors closer to 1 than 1.6, such as
dollars for euros, are not looked for: they cannot be told from a change of the world.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from monitor.core.counters import Counts
from monitor.core.drift.layout import MAGNITUDE_MIN, MAGNITUDES, MAGNITUDES_PER_DECADE, SCALE_CELLS
from monitor.core.drift.reading import Floats
from monitor.core.drift.units import CHANGES, Change

ROWS_MIN: Final = 50
"""Live values before a factor is named."""

KS_COEFFICIENT: Final = 1.95
KS_MARGIN: Final = 0.01
FIT_COEFFICIENT: Final = 1.75
EXPLAINED: Final = 0.5
EXPLAINED_PART: Final = 0.35
LOG_RATIO_MIN: Final = 10.0
APART_MAX: Final = 0.45
"""Greatest overlap of the reference with its image for a changed part to be told from the rest."""

APART_MAX_AFFINE: Final = 0.1
"""The same for temperatures: slope and intercept together bend a part of anything into many others."""

UNTOLD_LOG: Final = 3.0
"""Factors whose likelihoods are within e³ of the best are named as well."""

PART_MIN: Final = 0.02
"""A smaller part is not named."""

_OUTLIERS: Final = 0.02
_APART_MAX_OF_CHANGES: Final = np.array([APART_MAX_AFFINE if c.intercept else APART_MAX for c in CHANGES])
_EM_STEPS: Final = 60
_TINY: Final = 1e-300


@dataclass(frozen=True)
class Distribution:
    """What is known of a distribution function: hashable, for what follows from it is kept.

    Between and beyond these points it is taken to be linear as a normal deviate of the magnitude: exact for
    lognormal values, and smooth enough for others.

    Attributes:
        values: not decreasing, at least two.
        levels: share of values up to each, not decreasing, in (0, 1).
        rows: values it was made from.
    """

    values: tuple[float, ...]
    levels: tuple[float, ...]
    rows: int

    @classmethod
    def of_cells(cls, cells: Counts) -> Distribution | None:
        """From counts of values by magnitude, int64[SCALE_CELLS]; None with fewer than `ROWS_MIN`."""
        rows = int(cells.sum())
        if rows < ROWS_MIN:
            return None
        below = np.cumsum(_ordered(cells)) / rows
        step = np.flatnonzero(np.diff(below) > 0)
        step = step[(below[step] > 0) & (below[step] < 1)]
        if step.size < 2:
            return None
        return cls(tuple(_EDGES[step + 1].tolist()), tuple(below[step].tolist()), rows)

    def below(self, at: Floats) -> Floats:
        """Share of values below each of `at`, float64[k]."""
        values, levels = np.array(self.values), np.array(self.levels)
        positive, negative = values[0] > 0, values[-1] < 0
        some = np.abs(values[values != 0])
        unit = float(np.median(some)) if some.size else 1.0

        def magnitude(x: Floats) -> Floats:
            if positive:
                return np.log(np.maximum(x, _TINY))
            if negative:
                return -np.log(np.maximum(-x, _TINY))
            return np.arcsinh(x / unit)

        x, z = magnitude(values), ndtri(levels)
        places = magnitude(at)
        deviates = np.interp(places, x, z)
        for end, inner, beyond in ((0, 1, places < x[0]), (-1, -2, places > x[-1])):
            step = x[end] - x[inner]
            # A value repeated at the end is a heap, not a tail.
            slope = (z[end] - z[inner]) / step if step else math.inf
            deviates[beyond] = z[end] + slope * (places[beyond] - x[end])
        share: Floats = ndtr(deviates)
        if positive:
            share[at <= 0] = 0.0
        if negative:
            share[at >= 0] = 1.0
        return share


@dataclass(frozen=True)
class ScaleShift:
    """A change of unit that explains live values.

    Attributes:
        changes: the likeliest first, then those that cannot be told from it.
        share: part of the values that changed, in (0, 1].
        rows: live values.
        ks_before: distance of live values from the reference, 0 to 1.
        ks_after: distance from the reference after the change.
        since_ms: start of the live values, epoch ms; 0 where nobody said.
        rows_before: rows of the drift that came before them.
    """

    changes: tuple[Change, ...]
    share: float
    rows: int
    ks_before: float
    ks_after: float
    since_ms: int = 0
    rows_before: int = 0

    @property
    def whole(self) -> bool:
        """All values changed, and not a part of them."""
        return self.share == 1.0


def explain(reference: Distribution, live: Counts) -> ScaleShift | None:
    """The change of unit by which live values differ from those of the reference, if there is one.

    Args:
        reference: of the feature.
        live: values by magnitude, int64[SCALE_CELLS].
    """
    rows = int(live.sum())
    if rows < ROWS_MIN or reference.rows < ROWS_MIN:
        return None
    counts = _ordered(live)
    chances = _images(reference)
    before, images = chances[0], chances[1:]
    seen = np.cumsum(counts) / rows
    ks_before = float(np.abs(seen - np.cumsum(before)).max())
    noise = math.sqrt(1 / rows + 1 / reference.rows)
    if ks_before <= KS_COEFFICIENT * noise + KS_MARGIN:
        return None
    used = np.flatnonzero(counts)
    share, gain, gain_whole = _fit(before[used], images[:, used], counts[used])
    apart = np.minimum(before, images).sum(axis=1) <= _APART_MAX_OF_CHANGES
    part = (share >= PART_MIN) & (gain - gain_whole > UNTOLD_LOG)
    share = np.where(part, share, 1.0)
    gain = np.where(part, gain, gain_whole)
    fits = np.cumsum(share[:, None] * images + (1 - share[:, None]) * before, axis=1)
    ks_after = np.abs(seen - fits).max(axis=1)
    explained = np.where(part, EXPLAINED_PART, EXPLAINED) * ks_before
    explained = np.minimum(explained, FIT_COEFFICIENT * noise + KS_MARGIN)
    possible = (gain >= LOG_RATIO_MIN) & (apart | ~part) & (ks_after < explained)
    if not possible.any():
        return None
    merit = np.where(possible, gain, -np.inf)
    told = _told(merit)
    best = told[0]
    return ScaleShift(
        tuple(CHANGES[i] for i in told), float(share[best]), rows, ks_before, float(ks_after[best])
    )


def _told(merit: Floats) -> list[int]:
    """The best change and those that cannot be told from it, best first; one for each name."""
    best_of: dict[str, float] = {}
    for change, value in zip(CHANGES, merit.tolist(), strict=True):
        best_of[change.words] = max(best_of.get(change.words, -math.inf), value)
    limit = max(best_of.values()) - UNTOLD_LOG
    named: dict[str, int] = {}
    for i, change in enumerate(CHANGES):
        if merit[i] >= max(limit, best_of[change.words] - UNTOLD_LOG):
            named.setdefault(change.words, i)
    return sorted(named.values(), key=lambda i: -best_of[CHANGES[i].words])


def _fit(before: Floats, images: Floats, counts: Counts) -> tuple[Floats, Floats, Floats]:
    """For each change: its share of values, the log likelihood it gains, and that with share 1."""
    rows = float(counts.sum())
    # Values that neither explains, such as a mistyped one, must not decide between the two.
    strange = _OUTLIERS / SCALE_CELLS
    p0, p1 = (1 - _OUTLIERS) * before + strange, (1 - _OUTLIERS) * images + strange
    share = np.full(images.shape[0], 0.5)
    for _ in range(_EM_STEPS):
        changed = share[:, None] * p1
        share = (counts * changed / (changed + (1 - share[:, None]) * p0)).sum(axis=1) / rows
    fitted = share[:, None] * p1 + (1 - share[:, None]) * p0
    return share, (counts * np.log(fitted / p0)).sum(axis=1), (counts * np.log(p1 / p0)).sum(axis=1)


@lru_cache(maxsize=32)
def _images(reference: Distribution) -> Floats:
    """Chance of each cell, in order of value, for the reference and its image under each change."""
    rows = []
    for change in (Change(1.0, 0.0, ""), *CHANGES):
        edges = (_EDGES - change.intercept) / change.slope
        below = reference.below(edges)
        rows.append(np.diff(below if change.slope > 0 else 1.0 - below))
    chances = np.stack(rows)
    chances.setflags(write=False)
    return chances


def _edges() -> Floats:
    """Edges of the cells in order of value, float64[SCALE_CELLS + 1]."""
    positive = 10.0 ** (MAGNITUDE_MIN + np.arange(MAGNITUDES + 1) / MAGNITUDES_PER_DECADE)
    return np.concatenate([-positive[::-1], positive])


def _ordered(cells: Counts) -> Counts:
    """From the order of the store to that of value: negative from the largest on, zero, positive."""
    return np.concatenate([cells[:MAGNITUDES:-1], cells[:1], cells[1 : MAGNITUDES + 1]])


_EDGES: Final = _edges()
