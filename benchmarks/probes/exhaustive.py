"""Every plausible value of every feature, and every pair of a fine grid: what there is to be found.

The nearest flip of the reference's values is then bisected to the last digit, so that the minimum the probes
are held against is the model's own step and not a grid's.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from benchmarks.probes.worlds import THRESHOLD, Floats, Predict, World
from monitor.core.probes.answers import Subject

VALUES_MAX = 2_000
"""Distinct reference values of a feature that are tried, evenly by rank."""

PAIR_VALUES = 10
"""Values of a feature in a pair: quantiles and the ends."""

_ROWS = 400_000
_REFINED = 4
_STEPS = 40


@dataclass(frozen=True)
class Exhausted:
    """What exhaustive search found.

    Attributes:
        possible: some single feature flips.
        distance: least distance that flips, in interquartile ranges; nan without one.
    """

    possible: bool
    distance: float


def values_of(world: World, name: str, count: int) -> Floats:
    """Plausible values of a feature in the matrix, the ends among them, float64[k]."""
    axis = world.space.axes[name]
    column = world.train[:, world.columns.index(name)]
    if name in world.codes:
        return np.array([world.codes[name][value] for value in axis.values], np.float64)
    inside = np.unique(column[(column >= axis.low) & (column <= axis.high)])
    if inside.size > count:
        inside = inside[np.linspace(0, inside.size - 1, count).round().astype(int)]
    return np.unique([*inside, axis.low, axis.high])


def single(world: World, predict: Predict, subject: Subject) -> Exhausted:
    """All values of all features, one at a time."""
    base = world.encode([subject.features])[0]
    positive = subject.base.score is not None and subject.base.score >= THRESHOLD
    grids = [values_of(world, name, VALUES_MAX) for name in world.columns]
    rows = np.repeat(base[None], sum(map(len, grids)), axis=0)
    at = 0
    for j, grid in enumerate(grids):
        rows[at : at + len(grid), j] = grid
        at += len(grid)
    flipped = (_scores(predict, rows) >= THRESHOLD) != positive
    found: list[tuple[float, int, float, float]] = []
    at = 0
    for j, (name, grid) in enumerate(zip(world.columns, grids, strict=True)):
        flips = flipped[at : at + len(grid)]
        at += len(grid)
        axis, here = world.space.axes[name], base[j]
        if name in world.codes:
            if flips.any():
                found.append((1.0, -1, 0.0, 0.0))
            continue
        for side in (-1, 1):
            beyond = side * (grid - here) > 0
            if (flips & beyond).any():
                far = grid[flips & beyond][np.argmin(np.abs(grid[flips & beyond] - here))]
                same = grid[beyond & (np.abs(grid - here) < abs(far - here))]
                near = same[np.argmax(np.abs(same - here))] if same.size else here
                found.append((abs(far - here) / axis.unit, j, float(near), float(far)))
    found.sort()
    best = min((d for d, *_ in found), default=float("nan"))
    for _, j, near, far in found[:_REFINED]:
        if j >= 0:
            best = min(best, _bisected(world, predict, base, j, near, far, positive))
    return Exhausted(bool(found), best)


def _bisected(
    world: World, predict: Predict, base: Floats, j: int, near: float, far: float, positive: bool
) -> float:
    axis = world.space.axes[world.columns[j]]
    places = axis.places(float(base[j]))
    for _ in range(_STEPS):
        middle = float(axis.number((near + far) / 2, places))
        if not min(near, far) < middle < max(near, far):
            break
        row = base.copy()
        row[j] = middle
        if (predict(row[None])[0] >= THRESHOLD) != positive:
            far = middle
        else:
            near = middle
    return float(abs(far - base[j]) / axis.unit)


def pair(world: World, predict: Predict, subject: Subject) -> bool:
    """Whether two features of a grid flip together."""
    base = world.encode([subject.features])[0]
    positive = subject.base.score is not None and subject.base.score >= THRESHOLD
    grids = [_few(world, name) for name in world.columns]
    blocks = []
    for i, j in itertools.combinations(range(len(grids)), 2):
        one, other = np.meshgrid(grids[i], grids[j], indexing="ij")
        rows = np.repeat(base[None], one.size, axis=0)
        rows[:, i], rows[:, j] = one.ravel(), other.ravel()
        blocks.append(rows)
    return bool(((_scores(predict, np.concatenate(blocks)) >= THRESHOLD) != positive).any())


def _few(world: World, name: str) -> Floats:
    axis = world.space.axes[name]
    if name in world.codes:
        return values_of(world, name, PAIR_VALUES)[:PAIR_VALUES]
    return np.array([axis.low, *axis.grid(PAIR_VALUES - 2), axis.high])


def _scores(predict: Predict, rows: Floats) -> Floats:
    return np.concatenate([predict(rows[i : i + _ROWS]) for i in range(0, len(rows), _ROWS)])
