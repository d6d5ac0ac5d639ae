"""A distribution differs from the reference's, or from what it was until lately.

Every feature, the score, the decision and the label are blocks of cells, with cells of their own for what is
missing, what cannot be counted and what was never seen before. Evidence is the two-sample e-value on all
counts since a start, the greatest over starts: a start is tested at the level of one bucket, so the chance of
a false alarm in T buckets is at most T α, and each start's evidence may be looked at for ever.

Evidence finds any difference sooner or later, so an alert needs an effect too: PSI less what noise gives, or
a cell of missing, uncountable or unseen values that grew by five points. The hour of the day moves every
distribution; a shift to and fro by a fifth of a standard deviation is a PSI of 0.04. Windows within a day
therefore need 0.2, which no ordinary day reaches, and whole days 0.05.

Two comparisons share a feature's level: with the reference, and with all that came before the start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.special import expit

from monitor.core.counters import SCORE_LOGIT_MAX, Counts
from monitor.core.drift import psi, two_sample
from monitor.core.drift.layout import FIRST, INVALID, MISSING, SCORE_CELLS, Block, BlockKind
from monitor.core.drift.scatter import PAIRS_MIN, Scatter
from monitor.core.drift.windows import Windows
from monitor.core.evidence.edetector import Flags, Floats, Ints
from monitor.core.records import AlertKind

DAY_S: Final = 86_400
HALF: Final = float(np.log(2.0))
"""Two comparisons: each has half of the level."""

REFERENCE: Final = 0
PAST: Final = 1
_MERGED_CELLS: Final = 5
_ROUNDING: Final = 1e-9
_UNIFORM_SCORE: Final = np.diff(expit(SCORE_LOGIT_MAX * (2 * np.arange(SCORE_CELLS + 1) / SCORE_CELLS - 1)))


@dataclass(frozen=True)
class Drift:
    """Configuration of the detector.

    Attributes:
        bucket_s: length of a bucket; with a whole day, the smaller effect is enough.
        effect_min: least PSI, less noise, of windows shorter than a day.
        effect_min_days: the same of whole days.
        cell_min: growth of the share of missing, uncountable or unseen values that is an effect as well.
        rows_min: live rows, divided by their design effect, before anything is said.
        past_rows: rows before a start, and as many buckets as `past_buckets`, to compare with the past.
        calm_rows: rows of the present that recovery is read from.
        calm_buckets: buckets in a row that must look recovered.
        warm_pairs: pairs of buckets to learn from how rows scatter before anything is said.
        age_max: buckets after which a start is given up.
        adopt_s: a difference from the past that stands for so long is the past of what follows.
    """

    bucket_s: int
    effect_min: float = 0.2
    effect_min_days: float = 0.05
    cell_min: float = 0.05
    rows_min: int = 200
    past_rows: int = 2_000
    past_buckets: int = 10
    calm_rows: int = 300
    calm_buckets: int = 3
    warm_pairs: int = PAIRS_MIN
    age_max: int = 100_000
    adopt_s: int = 7 * DAY_S

    name = AlertKind.DRIFT

    @property
    def floor(self) -> float:
        """Least effect."""
        return self.effect_min if self.bucket_s < DAY_S else self.effect_min_days

    @property
    def starts_max(self) -> int:
        """Age of the oldest start, buckets: within a day, a day."""
        return DAY_S // self.bucket_s if self.bucket_s < DAY_S else self.age_max


@dataclass(frozen=True)
class DriftState:
    """State of F features with C cells in all.

    Attributes:
        windows: counts since many starts.
        scatter: of the counts between buckets.
        open: an alert stands, bool[F].
        since_ms: where its evidence begins, int64[F].
        against: `REFERENCE` or `PAST`, int64[F].
        baseline: what it was held against, int64[C].
        before: the total at its beginning, int64[C].
        evidence: log evidence when it opened, or the greatest now, float64[F].
        calm: buckets in a row that look recovered, int64[F].
    """

    windows: Windows
    scatter: Scatter
    open: Flags
    since_ms: Ints
    against: Ints
    baseline: Counts
    before: Counts
    evidence: Floats
    calm: Ints

    @classmethod
    def fresh(cls, cells: int = 0, features: int = 0) -> DriftState:
        """Nothing seen."""
        return cls(
            Windows.fresh(cells),
            Scatter.fresh(cells, features),
            np.zeros(features, np.bool_),
            np.zeros(features, np.int64),
            np.zeros(features, np.int64),
            np.zeros(cells, np.int64),
            np.zeros(cells, np.int64),
            np.zeros(features),
            np.zeros(features, np.int64),
        )

    @property
    def since(self) -> Counts:
        """What came since each standing alert began, int64[C]."""
        return self.windows.total - self.before


@dataclass(frozen=True)
class Cells:
    """The cells of F features.

    Attributes:
        blocks: one a feature, one after the other.
        reference: counts of the reference, int64[C]; zeros where it has none.
    """

    blocks: tuple[Block, ...]
    reference: Counts

    @property
    def starts(self) -> Counts:
        """First cell of each block, int64[F]."""
        return np.array([block.start for block in self.blocks], np.int64)

    @property
    def sizes(self) -> Counts:
        """Cells of each block, int64[F]."""
        return np.array([block.size for block in self.blocks], np.int64)

    def merged(self) -> tuple[Counts, Counts]:
        """First cells of merged ones, int64[M], and the first merged one of each block, int64[F].

        Neighbouring cells are put together until they hold about a fifth of the reference; a score without
        one is taken to be uniform.
        """
        firsts: list[int] = []
        blocks: list[int] = []
        for block in self.blocks:
            blocks.append(len(firsts))
            first, end = block.start + FIRST, block.start + block.size
            mass = self.reference[first:end].astype(np.float64)
            if not mass.any():
                mass = _UNIFORM_SCORE if block.kind is BlockKind.SCORE else np.ones(mass.size)
            group = np.floor(_MERGED_CELLS * (np.cumsum(mass) - mass) / mass.sum() + _ROUNDING)
            alone = block.kind is BlockKind.CATEGORY
            group[group.size - 1 :] += _MERGED_CELLS * alone  # what is not listed is a matter of its own
            firsts += [block.start + MISSING, block.start + INVALID]
            firsts += (first + np.flatnonzero(np.diff(group, prepend=-1.0))).tolist()
        return np.array(firsts, np.int64), np.array(blocks, np.int64)

    def strange(self) -> Flags:
        """Cells of missing and uncountable values, and of unlisted ones where all were listed, bool[C].

        Where the reference lists the most frequent values only, live traffic has more of the others than the
        sample that the list was made from, and means nothing by it.
        """
        flags = np.zeros(self.reference.size, np.bool_)
        for block in self.blocks:
            flags[[block.start + MISSING, block.start + INVALID]] = True
            last = block.start + block.size - 1
            if block.kind is BlockKind.CATEGORY and not self.reference[last]:
                flags[last] = True
        return flags


@dataclass(frozen=True)
class Drifted:
    """One feature as it stands.

    Attributes:
        place: number of its block.
        holds: False once it has recovered.
        since_ms: where the evidence begins.
        against: `REFERENCE` or `PAST`.
        baseline: counts it is held against, int64[cells of the block].
        live: counts since then.
        log_evidence: natural log.
    """

    place: int
    holds: bool
    since_ms: int
    against: int
    baseline: Counts
    live: Counts
    log_evidence: float


def align(state: DriftState, cells: Cells) -> DriftState:
    """A state that fits the cells: the same, or a fresh one where they are others."""
    fits = state.baseline.size == cells.reference.size and state.open.size == len(cells.blocks)
    return state if fits else DriftState.fresh(cells.reference.size, len(cells.blocks))


def step(config: Drift, state: DriftState, cells: Cells, counts: Counts, start_ms: int) -> DriftState:
    """Take one closed bucket, int64[C]; an empty one changes nothing."""
    if not counts.any():
        return state
    return replace(
        state,
        windows=state.windows.take(counts, start_ms, config.starts_max),
        scatter=state.scatter.take(counts, cells.starts),
    )


def judge(
    config: Drift,
    state: DriftState,
    cells: Cells,
    log_threshold: Floats,
    design_effect: Floats | None = None,
) -> tuple[DriftState, list[Drifted]]:
    """What holds after the last bucket taken.

    Args:
        config: of the detector.
        state: after that bucket.
        cells: as the state was aligned to.
        log_threshold: float64[F], per bucket and feature.
        design_effect: of the rows, float64[F], where it is known from shorter buckets.
    """
    if not state.windows.numbers.size:
        return state, []
    phi = state.scatter.design_effect if design_effect is None else design_effect
    if state.scatter.pairs >= config.warm_pairs:
        state = _open(config, state, cells, log_threshold, phi)
    calm = np.where(state.open & _recovering(config, state, cells, phi), state.calm + 1, 0)
    stood_ms = state.windows.starts_ms[-1] - state.since_ms
    adopted = state.open & (state.against == PAST) & (stood_ms >= config.adopt_s * 1000)
    recovered = adopted | (state.open & (calm >= config.calm_buckets))
    since = state.since
    found = []
    for place in np.flatnonzero(state.open).tolist():
        block = cells.blocks[place]
        part = slice(block.start, block.start + block.size)
        found.append(
            Drifted(
                place, not recovered[place], int(state.since_ms[place]), int(state.against[place]),
                state.baseline[part], since[part], float(state.evidence[place]),
            )
        )  # fmt: skip
    gone = np.repeat(recovered, cells.sizes)
    return (
        replace(
            state,
            windows=state.windows.forget(gone),
            open=state.open & ~recovered,
            calm=calm,
            before=np.where(gone, 0, state.before),
        ),
        found,
    )


def _open(config: Drift, state: DriftState, cells: Cells, log_threshold: Floats, phi: Floats) -> DriftState:
    windows, starts = state.windows, cells.starts
    live = windows.since
    live_rows = np.add.reduceat(live, starts, axis=1)
    wide = np.repeat(phi, cells.sizes)
    merged, merged_starts = cells.merged()
    strange = cells.strange()
    best = np.full(len(cells.blocks), -np.inf)
    place = np.zeros(len(cells.blocks), np.int64)
    against = np.zeros(len(cells.blocks), np.int64)
    past_old = (windows.numbers >= config.past_buckets)[:, None]
    for which, base in ((REFERENCE, cells.reference[None, :]), (PAST, windows.snapshots)):
        # Counts are divided, not their evidence: it is an average over alternatives, and a root of an
        # average is no e-value.
        evidence = two_sample.averaged(base / wide, live / wide, starts, merged, merged_starts) - HALF
        effect, _ = psi.debiased(base, live, starts, phi)
        grown = growth(base, live, starts, strange)
        worth = (np.nan_to_num(effect) >= config.floor) | (grown >= config.cell_min)
        enough = live_rows / phi >= config.rows_min
        if which == PAST:
            enough &= past_old & (np.add.reduceat(base, starts, axis=1) >= config.past_rows)
        seen = np.where(worth & enough, evidence, -np.inf)
        top = seen.argmax(axis=0)
        value = seen[top, np.arange(top.size)]
        better = value > best
        best, place = np.where(better, value, best), np.where(better, top, place)
        against = np.where(better, which, against)
    new = ~state.open & (best >= log_threshold)
    fresh = np.repeat(new, cells.sizes)
    at = np.repeat(place, cells.sizes)
    snapshot = windows.snapshots[at, np.arange(at.size)]
    of_past = np.repeat(against == PAST, cells.sizes)
    return replace(
        state,
        open=state.open | new,
        since_ms=np.where(new, windows.starts_ms[place], state.since_ms),
        against=np.where(new, against, state.against),
        baseline=np.where(fresh, np.where(of_past, snapshot, cells.reference), state.baseline),
        before=np.where(fresh, snapshot, state.before),
        evidence=np.where(new, best, state.evidence),
        calm=np.where(new, 0, state.calm),
    )


def _recovering(config: Drift, state: DriftState, cells: Cells, phi: Floats) -> Flags:
    """Features whose last rows look like the baseline again: less than half of what an alert needs."""
    starts = cells.starts
    since = state.windows.since
    ages = state.windows.taken - state.windows.numbers
    rows_since = np.add.reduceat(since, starts, axis=1).max(axis=1)
    old = np.flatnonzero((ages >= config.calm_buckets) & (rows_since >= config.calm_rows))
    if not old.size:
        return np.zeros(starts.size, np.bool_)
    recent = since[old[-1]]
    rows = np.add.reduceat(recent, starts)
    effect, _ = psi.debiased(state.baseline, recent, starts, phi)
    grown = growth(state.baseline[None, :], recent[None, :], starts, cells.strange())[0]
    calm: Flags = (
        (rows >= config.calm_rows)
        & (state.windows.starts_ms[old[-1]] >= state.since_ms)  # rows from before it prove nothing
        & (np.nan_to_num(effect, nan=np.inf) < config.floor / 2)
        & (grown < config.cell_min / 2)
    )
    return calm


def growth(base: Counts, live: Counts, starts: Counts, strange: Flags) -> Floats:
    """Greatest growth of the share of a strange cell, float64[K, F].

    Args:
        base: int64[K or 1, C].
        live: int64[K, C].
        starts: first cell of each block, int64[F].
        strange: cells that are bad in themselves, bool[C].
    """
    block = np.repeat(np.arange(starts.size), np.diff(np.append(starts, strange.size)))
    m, n = (np.maximum(np.add.reduceat(x, starts, axis=-1), 1)[..., block] for x in (base, live))
    growth = np.where(strange, live / n - base / m, -1.0)
    known = np.add.reduceat(base, starts, axis=-1) > 0
    value: Floats = np.where(known, np.maximum.reduceat(growth, starts, axis=-1), 0.0)
    return value
