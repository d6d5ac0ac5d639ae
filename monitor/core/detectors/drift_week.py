"""A distribution differs from what it is at the same hour of the week.

Hours and weekdays move every distribution, so windows within a day are told only of large changes. Once an
hour of the week has been seen in two weeks, the hour that runs is held against it, and the effect that
whole days need is enough. One window begins with every hour, and its evidence may be looked at after every
bucket: the level is that of one look an hour. Hours and days are those of UTC.

An hour is learned when it is over, and only where nothing stands; a change that has lasted for a week is
the new custom.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import Counts
from monitor.core.detectors.drift import Cells, Drifted, growth
from monitor.core.drift import psi, two_sample
from monitor.core.evidence.edetector import Flags, Floats, Ints

HOUR_S: Final = 3_600
HOUR_MS: Final = HOUR_S * 1000
HOURS: Final = 168

WEEK: Final = 2
"""`Drifted.against`: the same hour of earlier weeks."""

CELLS_MAX: Final = 8_192
"""Layouts with more cells keep no weeks: 168 hours of them would be more than 5 MB of state."""


@dataclass(frozen=True)
class WeekDrift:
    """Configuration of the detector.

    Attributes:
        effect_min: least PSI, less noise.
        cell_min: growth of the share of missing, uncountable or unseen values that is an effect as well.
        rows_min: rows of the hour, divided by their design effect, before anything is said.
        weeks_min: weeks an hour must have been seen in to be compared with.
        weeks_max: weeks after which what was learned of an hour is halved.
        calm_rows: rows that are looked at for recovery, divided by their design effect.
        calm_looks: looks in a row that must show it.
        adopt_s: a change that stands for so long is the custom from then on.
    """

    effect_min: float = 0.05
    cell_min: float = 0.05
    rows_min: int = 1_000
    weeks_min: int = 2
    weeks_max: int = 8
    calm_rows: int = 1_000
    calm_looks: int = 3
    adopt_s: int = HOURS * HOUR_S


@dataclass(frozen=True)
class WeekState:
    """State of F features with C cells in all.

    Attributes:
        rows: counts by hour of the week, int32[168, C]; int32[0, C] before an hour is over.
        weeks: weeks each hour was learned in, int64[168].
        hour_ms: start of the hour that runs, epoch ms.
        hour: its counts so far, int64[C].
        open: an alert stands, bool[F].
        since_ms: where its evidence begins, int64[F].
        baseline: counts of the same hours in earlier weeks, int64[C].
        live: counts since it began, int64[C].
        recent: counts since recovery was last looked for, int64[C].
        evidence: log evidence when it opened, float64[F].
        calm: looks in a row that showed recovery, int64[F].
    """

    rows: NDArray[np.int32]
    weeks: Ints
    hour_ms: int
    hour: Counts
    open: Flags
    since_ms: Ints
    baseline: Counts
    live: Counts
    recent: Counts
    evidence: Floats
    calm: Ints

    @classmethod
    def fresh(cls, cells: int = 0, features: int = 0) -> WeekState:
        """Nothing learned."""
        none = np.zeros(cells, np.int64)
        nowhere = np.zeros(features, np.int64)
        return cls(
            np.zeros((0, cells), np.int32), np.zeros(HOURS, np.int64), 0, none,
            np.zeros(features, np.bool_), nowhere, none, none, none, np.zeros(features), nowhere,
        )  # fmt: skip

    @property
    def place(self) -> int:
        """Hour of the week that runs, from Thursday midnight, as the epoch does."""
        return self.hour_ms // HOUR_MS % HOURS


def align(state: WeekState, cells: Cells) -> WeekState:
    """A state that fits the cells: the same, or a fresh one where they are others."""
    fits = state.hour.size == cells.reference.size and state.open.size == len(cells.blocks)
    return state if fits else WeekState.fresh(cells.reference.size, len(cells.blocks))


def step(config: WeekDrift, state: WeekState, cells: Cells, counts: Counts, start_ms: int) -> WeekState:
    """Take one closed bucket, int64[C], that lies within an hour; beyond `CELLS_MAX` nothing is learned."""
    if counts.size > CELLS_MAX:
        return state
    standing = np.repeat(state.open, cells.sizes)
    hour_ms = start_ms - start_ms % HOUR_MS
    if hour_ms != state.hour_ms:
        state = replace(_learned(config, state, standing), hour_ms=hour_ms, recent=np.zeros_like(counts))
        usual = _usual(config, state)
        if usual is not None:
            state = replace(state, baseline=state.baseline + np.where(standing, usual, 0))
    return replace(
        state,
        hour=state.hour + counts,
        live=np.where(standing, state.live + counts, 0),
        recent=np.where(standing, state.recent + counts, 0),
    )


def judge(
    config: WeekDrift,
    state: WeekState,
    cells: Cells,
    log_threshold: Floats,
    design_effect: Floats,
    at_ms: int,
) -> tuple[WeekState, list[Drifted]]:
    """What holds after the last bucket taken.

    Args:
        config: of the detector.
        state: after that bucket.
        cells: as the state was aligned to.
        log_threshold: float64[F], per hour and feature.
        design_effect: of the rows, float64[F], at least 1.
        at_ms: end of that bucket.
    """
    usual = _usual(config, state)
    if usual is not None:
        state = _looked(config, state, cells, usual, design_effect)
        state = _opened(config, state, cells, usual, log_threshold, design_effect)
    adopted = state.open & (at_ms - state.since_ms >= config.adopt_s * 1000)
    recovered = adopted | (state.open & (state.calm >= config.calm_looks))
    found = []
    for place in np.flatnonzero(state.open).tolist():
        block = cells.blocks[place]
        part = slice(block.start, block.start + block.size)
        found.append(
            Drifted(
                place, not recovered[place], int(state.since_ms[place]), WEEK, state.baseline[part],
                state.live[part], float(state.evidence[place]),
            )
        )  # fmt: skip
    gone = np.repeat(recovered, cells.sizes)
    unlearned = np.repeat(adopted, cells.sizes)
    if unlearned.any():
        state = replace(state, rows=np.where(unlearned, np.int32(0), state.rows))
    return (
        replace(state, hour=np.where(gone, 0, state.hour), open=state.open & ~recovered),
        found,
    )


def _learned(config: WeekDrift, state: WeekState, standing: Flags) -> WeekState:
    """Take in the hour that is over, where nothing stands."""
    if not state.hour.any():
        return state
    rows = state.rows.copy() if state.rows.size else np.zeros((HOURS, standing.size), np.int32)
    weeks = state.weeks.copy()
    if weeks[state.place] >= config.weeks_max:
        rows[state.place] //= 2
        weeks[state.place] //= 2
    rows[state.place] += np.where(standing, 0, state.hour).astype(np.int32)
    weeks[state.place] += 1
    return replace(state, rows=rows, weeks=weeks, hour=np.zeros_like(state.hour))


def _usual(config: WeekDrift, state: WeekState) -> Counts | None:
    """Counts of the running hour in earlier weeks, int64[C]; None while they are too few."""
    if not state.rows.size or state.weeks[state.place] < config.weeks_min:
        return None
    usual: Counts = state.rows[state.place].astype(np.int64)
    return usual


def _opened(
    config: WeekDrift, state: WeekState, cells: Cells, usual: Counts, log_threshold: Floats, phi: Floats
) -> WeekState:
    starts = cells.starts
    wide = np.repeat(phi, cells.sizes)
    evidence = two_sample.averaged(usual / wide, state.hour / wide, starts, *cells.merged())
    new = ~state.open & (evidence >= log_threshold)
    new &= np.add.reduceat(state.hour, starts) / phi >= config.rows_min
    if not new.any():
        return state
    effect, grown = _effect(cells, usual, state.hour, phi)
    new &= (effect >= config.effect_min) | (grown >= config.cell_min)
    fresh = np.repeat(new, cells.sizes)
    return replace(
        state,
        open=state.open | new,
        since_ms=np.where(new, state.hour_ms, state.since_ms),
        baseline=np.where(fresh, usual, state.baseline),
        live=np.where(fresh, state.hour, state.live),
        recent=np.where(fresh, 0, state.recent),
        evidence=np.where(new, evidence, state.evidence),
        calm=np.where(new, 0, state.calm),
    )


def _looked(config: WeekDrift, state: WeekState, cells: Cells, usual: Counts, phi: Floats) -> WeekState:
    """Look for recovery where enough rows have come since the last look."""
    due = state.open & (np.add.reduceat(state.recent, cells.starts) / phi >= config.calm_rows)
    if not due.any():
        return state
    effect, grown = _effect(cells, usual, state.recent, phi)
    calm = (effect < config.effect_min / 2) & (grown < config.cell_min / 2)
    return replace(
        state,
        calm=np.where(due, np.where(calm, state.calm + 1, 0), state.calm),
        recent=np.where(np.repeat(due, cells.sizes), 0, state.recent),
    )


def _effect(cells: Cells, usual: Counts, live: Counts, phi: Floats) -> tuple[Floats, Floats]:
    """PSI less noise, 0 where it cannot be told, and growth of strange cells, float64[F] each."""
    effect, _ = psi.debiased(usual, live, cells.starts, phi)
    return np.nan_to_num(effect), growth(usual[None], live[None], cells.starts, cells.strange())[0]
