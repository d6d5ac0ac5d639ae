"""What the evaluator does with counts of probes: buckets of the store's clock, each taken once, in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np

from monitor.core.counters import PROBE_TRIALS, Counts, Tier
from monitor.core.detectors import probe_rate, probe_slice, probe_type_conversion, probe_version
from monitor.core.detectors.finding import Finding, SliceName
from monitor.core.detectors.probe_counterfactual import ProbeCounterfactual
from monitor.core.detectors.probe_interaction import ProbeInteraction
from monitor.core.detectors.probe_rate import RateState, RateStream, Watch
from monitor.core.detectors.probe_sharp_edge import ProbeSharpEdge
from monitor.core.detectors.probe_slice import ProbeSlice, ProbeSliceState
from monitor.core.detectors.probe_type_conversion import ProbeTypeConversion
from monitor.core.detectors.probe_version import ProbeVersion, VersionState
from monitor.core.evaluation.streams import VERSION
from monitor.core.evidence.levels import log_threshold, share_out
from monitor.core.probes import PROBES
from monitor.core.probes.results import SETS_MAX, Part, TypePart, trials_of, types_of
from monitor.core.probes.type_conversion import VARIANTS

CLOSE_MS: Final = 1_000
"""A bucket is read this long after its end: nodes of a cluster have clocks of their own."""

BUCKETS_MAX: Final = 64
"""Buckets taken in one step."""

_PLACE: Final = {probe.name: place for place, probe in enumerate(PROBES)}


Rates = Mapping[RateStream, tuple[int, int]]
"""Stream → trials and hits."""

Told = Callable[[Sequence[Finding]], list[Finding]]
"""How the findings of streams are told."""


@dataclass(frozen=True)
class ProbesState:
    """What is remembered of probes.

    Attributes:
        next_s: start of the next bucket, epoch seconds; None before the first.
        swaps, types, edges, sets: of detectors of rates.
        slices: near flips in slices.
        version: near flips of versions.
    """

    next_s: int | None = None
    swaps: RateState = field(default_factory=RateState.fresh)
    types: RateState = field(default_factory=RateState.fresh)
    edges: RateState = field(default_factory=RateState.fresh)
    sets: RateState = field(default_factory=RateState.fresh)
    slices: ProbeSliceState = field(default_factory=ProbeSliceState.fresh)
    version: VersionState = field(default_factory=VersionState)


@dataclass(frozen=True)
class ProbeBucket:
    """Counts of probes in one bucket.

    Attributes:
        start_s: epoch seconds.
        trials: slice id → `probe_trials`; all traffic under 0.
        types: `probe_types`.
        sets: `probe_sets`.
    """

    start_s: int
    trials: Mapping[int, Counts]
    types: Counts
    sets: Counts


@dataclass(frozen=True)
class ProbeEvaluation:
    """Configuration.

    Attributes:
        tolerated: share of decisions that may change when only a protected feature does.
        protected: protected features.
        features: features of the schema.
        tier: whose buckets are taken.
        false_alarms_per_s: of the model, all streams together.
    """

    tolerated: float
    protected: frozenset[str]
    features: int
    tier: Tier
    false_alarms_per_s: float

    @cached_property
    def swaps(self) -> ProbeCounterfactual:
        """Detector."""
        return ProbeCounterfactual(self.tolerated)

    def threshold(self, family: str, streams: int) -> float:
        """Log threshold of each of so many streams that share a family's part."""
        weights = share_out(family, [1.0] * max(streams, 1))[:1]
        return float(log_threshold(self.false_alarms_per_s, self.tier.bucket_s, weights)[0])

    def closed(self, state: ProbesState, now_ms: int) -> tuple[int, ...]:
        """Starts of the buckets to take now, those that have not expired."""
        tier = self.tier
        end_s = (now_ms - CLOSE_MS) // 1_000
        oldest_s = end_s - PROBE_TRIALS.kept_s(tier) + tier.bucket_s
        oldest_s += -oldest_s % tier.bucket_s
        first_s = oldest_s if state.next_s is None else max(state.next_s, oldest_s)
        return tuple(range(first_s, end_s - tier.bucket_s + 1, tier.bucket_s)[:BUCKETS_MAX])


@dataclass(frozen=True)
class Names:
    """What numbers stand for.

    Attributes:
        features: feature id → name.
        sets: set id → name.
        slices: slice id → name, model versions among them; all traffic is not.
    """

    features: Mapping[int, str]
    sets: Mapping[int, str]
    slices: Mapping[int, SliceName]


def step(
    config: ProbeEvaluation, state: ProbesState, bucket: ProbeBucket, names: Names
) -> tuple[ProbesState, list[Finding]]:
    """Take one closed bucket; one without trials says nothing, neither of failure nor of recovery."""
    tier = config.tier
    start_ms, at_ms = bucket.start_s * 1_000, (bucket.start_s + tier.bucket_s) * 1_000
    state = replace(state, next_s=bucket.start_s + tier.bucket_s)
    whole = bucket.trials.get(0, np.zeros(0, np.int64))
    if not whole.size:
        return state, []
    findings: list[Finding] = []

    def rate(
        watch: Watch, held: RateState, counted: Rates, bar: float, told: Told = list[Finding]
    ) -> RateState:
        held, found = probe_rate.judge(watch, probe_rate.step(watch, held, counted, start_ms), bar, at_ms)
        findings.extend(told(found))
        return held

    trials = trials_of(whole)
    swapped = _by_feature(trials, "counterfactual", Part.FLIPS, names.features)
    swaps = rate(
        config.swaps,
        state.swaps,
        {stream: counts for stream, counts in swapped.items() if stream.feature in config.protected},
        config.threshold("probes_swaps", len(config.protected)),
    )
    types = rate(
        ProbeTypeConversion(),
        state.types,
        _by_variant(bucket.types, names.features),
        config.threshold("probes_types", config.features * len(VARIANTS)),
        probe_type_conversion.together,
    )
    edges = rate(
        ProbeSharpEdge(),
        state.edges,
        _by_feature(trials, "sharp_boundary", Part.DIFFERENT, names.features),
        config.threshold("probes_edges", config.features),
    )
    searched = int(trials[0, _PLACE["interaction"], Part.TRIALS])

    def together(number: int) -> int:
        return min(int(bucket.sets[number]), searched) if number < bucket.sets.size else 0

    sets = rate(
        ProbeInteraction(),
        state.sets,
        {RateStream(name): (searched, together(number)) for number, name in names.sets.items()},
        config.threshold("probes_sets", min(SETS_MAX, math.comb(config.features, 2))),
    )
    slices, found = _slices(config, state.slices, bucket, names, start_ms, at_ms)
    findings += found
    version, found = _versions(config, state.version, bucket, names, start_ms, at_ms)
    findings += found
    state = replace(state, swaps=swaps, types=types, edges=edges, sets=sets, slices=slices, version=version)
    return state, findings


def _by_feature(trials: Counts, probe: str, hits: Part, features: Mapping[int, str]) -> Rates:
    part = trials[:, _PLACE[probe]]
    return {
        RateStream(features[number]): (int(part[number, Part.TRIALS]), int(part[number, hits]))
        for number in np.flatnonzero(part[:, Part.TRIALS]).tolist()
        if number in features
    }


def _by_variant(cells: Counts, features: Mapping[int, str]) -> Rates:
    types = types_of(cells)
    return {
        RateStream(features[number], VARIANTS[variant]): (
            int(types[number, variant, TypePart.TRIALS]),
            int(types[number, variant, TypePart.DIFFERENT]),
        )
        for number, variant in np.argwhere(types[:, : len(VARIANTS), TypePart.TRIALS]).tolist()
        if number in features
    }


def _slices(
    config: ProbeEvaluation,
    state: ProbeSliceState,
    bucket: ProbeBucket,
    names: Names,
    start_ms: int,
    at_ms: int,
) -> tuple[ProbeSliceState, list[Finding]]:
    """Near flips of a slice against the rest; versions follow each other and are compared apart."""
    told = {number: name for number, name in names.slices.items() if VERSION not in name.parts}
    state = probe_slice.align(state, sorted(told))
    counted = {number: near for number in told if (near := _near(bucket, number)) is not None}
    watch = ProbeSlice()
    state = probe_slice.step(watch, state, counted, _near(bucket, 0) or (0, 0), start_ms)
    bars = np.full(len(state.slice_ids), config.threshold("probes_slices", len(told)))
    return probe_slice.judge(watch, state, told, bars, at_ms)


def _versions(
    config: ProbeEvaluation, state: VersionState, bucket: ProbeBucket, names: Names, start_ms: int, at_ms: int
) -> tuple[VersionState, list[Finding]]:
    watch = ProbeVersion()
    for number, name in sorted(names.slices.items()):  # ids rise in the order in which versions came
        near = _near(bucket, number) if name.parts.keys() == {VERSION} else None
        if near is not None:
            state = probe_version.step(watch, state, name.parts[VERSION], *near, start_ms)
    return probe_version.judge(watch, state, config.threshold("probes_version", 1), at_ms)


def _near(bucket: ProbeBucket, slice_id: int) -> tuple[int, int] | None:
    """Searches of single features in a slice, and near flips."""
    cells = bucket.trials.get(slice_id)
    if cells is None or not cells.size:
        return None
    part = trials_of(cells)[0, _PLACE["single_feature"]]
    return int(part[Part.TRIALS]), int(part[Part.NEAR])


def slices_to_read(names: Sequence[int], whole: Counts | None) -> Sequence[int]:
    """Slices whose counts matter in a bucket: none where no search of single features was counted."""
    if whole is None or not trials_of(whole)[0, _PLACE["single_feature"], Part.TRIALS]:
        return ()
    return names
