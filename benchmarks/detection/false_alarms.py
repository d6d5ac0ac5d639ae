"""What is said while nothing is wrong: ten kinds of streams in five stationary worlds, a month each.

Every stream has the threshold of one false alarm in 30 days of its own. An alarm is a detector's alert that
opens; one that ends and opens again is counted again, which the lifecycle of alerts would not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from scipy import stats

from benchmarks.detection import other_monitors, worlds
from benchmarks.detection.configuration import DAILY, GAP, HOURLY, MONTH_S, PRODUCT
from benchmarks.detection.delay import learned
from benchmarks.detection.parallel import in_parallel
from benchmarks.detection.worlds import (
    DAY_S,
    HOUR_S,
    WORLDS,
    Floats,
    World,
    draw,
    labelled,
    values,
)
from monitor.core.counters import ALL_SLICE, CODES, Scalar
from monitor.core.detectors import (
    calibration,
    degradation,
    ignored_slice,
    missing_traffic,
    slice_gap,
    violation_rate,
)
from monitor.core.detectors.calibration import CalibrationState
from monitor.core.detectors.degradation import DegradationState
from monitor.core.detectors.degradation_measures import DegradationStream, Watched
from monitor.core.detectors.drift import DriftState
from monitor.core.detectors.finding import Finding, SliceName
from monitor.core.detectors.gap_tables import Tables
from monitor.core.detectors.gibberish import Gibberish
from monitor.core.detectors.ignored_slice import ShareState
from monitor.core.detectors.missing_traffic import MissingTraffic, TrafficState
from monitor.core.detectors.violation_rate import ViolationRate, ViolationState, Watch
from monitor.core.drift.layout import FIRST, FeatureLayout
from monitor.core.evaluation import distributions
from monitor.core.evaluation.distributions import Distributions, DistributionsState, LabelDrift, Seen
from monitor.core.evidence.levels import SHARES
from monitor.core.schema.inference import infer
from monitor.core.schema.violations import Code

MINUTE_S: Final = 60
ROWS: Final = 1_000
"""Requests a bucket: of traffic in a minute, of labels in an hour."""

SHARE: Final = 0.05
REFERENCE_ROWS: Final = 20_000
VALUES: Final = 50
"""Values of a feature a minute: 2,160,000 a month."""

SIMULATED: Final = {
    "gap of labels": "error rate 0.10 of a slice of 5 % and of the rest; 1,000 labels an hour, by the hour",
    "gap of decisions": "positive rate 0.30 of a slice of 5 % and of the rest; 1,000 a minute, by the minute",
    "decline": "accuracy, F1, ROC AUC and log loss; 1,000 labels an hour, by the hour and by the day",
    "calibration": "meaning of scores; 1,000 labels an hour, by the hour",
    "label drift": "share of positive labels, 0.30; 1,000 labels an hour, by the hour",
    "drift": "a numeric feature; 50 values a minute, by the minute, the day and the hour of the week",
    "violations": "rate 0.0005 where 0.001 is tolerated; 1,000 requests a minute, by the minute",
    "gibberish": "rate 0.01 where 0.02 is tolerated; 1,000 requests a minute, by the minute",
    "missing traffic": "30, 100, 1,000 and 5,000 requests a minute, by the minute",
    "ignored slice": "a slice of 5 % of 1,000 requests a minute, by the minute",
}

Identity = tuple[str, str]


@dataclass
class Told:
    """What a family said in one world: alarms, and what other monitors said of the same streams."""

    alarms: int = 0
    others: dict[str, float] = field(default_factory=dict)
    standing: set[Identity] = field(default_factory=set)

    def take(self, findings: Iterable[Finding]) -> None:
        """Count the findings that were not there a bucket ago."""
        held = {(f.kind.value, repr(sorted(f.subject.items(), key=str))) for f in findings if f.holds}
        self.alarms += len(held - self.standing)
        self.standing = held


@dataclass(frozen=True)
class Task:
    """Streams of one family in one world."""

    world: World
    streams: int
    days: float
    seed: tuple[int, int]
    rows_slow: int

    @property
    def rng(self) -> np.random.Generator:
        """Its own."""
        return np.random.default_rng(self.seed)

    @property
    def names(self) -> dict[int, SliceName]:
        """Slices 1 to S."""
        return {i: SliceName(i, f'{{"s":"{i}"}}') for i in range(1, self.streams + 1)}

    def starts(self, bucket_s: int) -> range:
        """Of all buckets, seconds."""
        return range(0, round(self.days * DAY_S), bucket_s)

    def bar(self, bucket_s: int, trackers: int = 1) -> Floats:
        """One false alarm a month for each stream, shared by the trackers that watch it."""
        return np.full(self.streams, math.log(trackers * MONTH_S / bucket_s))


def label_gaps(task: Task) -> Told:
    """Error rate of a slice against the rest, and a z-test of each hour on the same counts."""
    return _gaps(task, 0.10, HOUR_S)


def decision_gaps(task: Task) -> Told:
    """Positive rate of a slice against the rest."""
    return Told(_gaps(task, 0.30, MINUTE_S).alarms)


def _gaps(task: Task, rate: float, bucket_s: int) -> Told:
    rng, told, z_tests = task.rng, Told(), 0
    state = learned(rng, task.streams, rate)
    every = np.ones(task.streams, np.bool_)
    for start_s in task.starts(bucket_s):
        t = draw(task.world, rng, task.streams, ROWS, SHARE, rate, start_s, bucket_s)
        table = Tables(t.n1, t.s1, t.n2, t.s2, np.zeros(task.streams, np.int64))
        state = slice_gap.step(GAP, state, table, start_s * 1000, every)
        ends_ms = np.full(task.streams, 1000.0 * (start_s + bucket_s))
        state, findings = slice_gap.judge(GAP, state, task.names, task.bar(bucket_s), ends_ms)
        told.take(findings)
        z_tests += other_monitors.z_tests(t)
    told.others["z-test p<0.05, hourly"] = z_tests / task.streams
    return told


def declines(task: Task) -> Told:
    """Four metrics, one a stream, against a reference of 20,000 rows: within days and from day to day."""
    rng, told = task.rng, Told()
    metrics = (Watched.ACCURACY, Watched.F1, Watched.ROC_AUC, Watched.LOG_LOSS)
    streams = [DegradationStream(i, metrics[i % 4], 1.0) for i in task.names]
    known = {i: _reference(task.world, rng) for i in task.names}
    every = np.ones(task.streams, np.bool_)
    hourly = degradation.align(HOURLY, DegradationState.fresh(), streams, known)
    daily = degradation.align(DAILY, DegradationState.fresh(), streams, known)
    day: dict[int, Any] = {}
    found_daily: list[Finding] = []
    for start_s in task.starts(HOUR_S):
        hour = {i: labelled(task.world, rng, ROWS, start_s, HOUR_S) for i in task.names}
        day = {i: day[i] + hour[i] for i in hour} if day else hour
        hourly = degradation.step(HOURLY, hourly, hour, start_s * 1000, every)
        at_ms = (start_s + HOUR_S) * 1000
        hourly, found = degradation.judge(HOURLY, hourly, task.names, task.bar(HOUR_S, 2), at_ms)
        if (start_s + HOUR_S) % DAY_S == 0:
            daily = degradation.step(DAILY, daily, day, start_s * 1000, every)
            daily, found_daily = degradation.judge(DAILY, daily, task.names, task.bar(DAY_S, 2), at_ms)
            day = {}
        told.take([*found, *found_daily])
    return told


def calibrations(task: Task) -> Told:
    """Whether scores still mean what they meant in a reference of 20,000 rows."""
    rng, told, config = task.rng, Told(), PRODUCT.calibration
    known = {i: _reference(task.world, rng).scores for i in task.names}
    ids = np.array(list(task.names), np.int64)
    state = calibration.align(config, CalibrationState.fresh(), ids, known)
    every = np.ones(task.streams, np.bool_)
    for start_s in task.starts(HOUR_S):
        hour = [labelled(task.world, rng, ROWS, start_s, HOUR_S).scores for _ in ids]
        scores = np.array(hour, np.int64)
        state = calibration.step(config, state, scores, start_s * 1000, every)
        ends_ms = np.full(task.streams, 1000.0 * (start_s + HOUR_S))
        state, findings = calibration.judge(config, state, task.names, task.bar(HOUR_S), ends_ms)
        told.take(findings)
    return told


def _reference(world: World, rng: np.random.Generator) -> Any:
    """20,000 labelled rows of a whole day: no bursts, no clusters beyond those of the world."""
    quiet = World(world.traffic_swing, world.rate_swing, world.share_swing, world.users)
    hours = [labelled(quiet, rng, REFERENCE_ROWS // 24, hour * HOUR_S, HOUR_S) for hour in range(24)]
    whole = hours[0]
    for hour in hours[1:]:
        whole += hour
    return whole


def label_drifts(task: Task) -> Told:
    """The share of positive labels against a reference of 20,000 rows."""
    rng, rate, alarms = task.rng, 0.30, 0
    bar = float(task.bar(HOUR_S)[0])
    for _ in range(task.streams):
        told = Told()
        config = LabelDrift((REFERENCE_ROWS, int(rng.binomial(REFERENCE_ROWS, rate))), HOUR_S, bar)
        state = DriftState.fresh()
        for start_s in task.starts(HOUR_S):
            t = draw(task.world, rng, 1, ROWS, SHARE, rate, start_s, HOUR_S)
            whole = np.zeros(len(Scalar), np.int64)
            whole[Scalar.LABELLED] = int(t.n1[0] + t.n2[0])
            whole[Scalar.LABEL_POSITIVE] = int(t.s1[0] + t.s2[0])
            state, findings = config.step(state, whole, start_s)
            told.take(findings)
        alarms += told.alarms
    return Told(alarms)


def drifts(task: Task) -> Told:
    """A feature against its reference and its past; other monitors on the same values."""
    rng, told = task.rng, Told()
    sample = _day_of_values(task, rng)
    schema = infer({f"f{i}": sample[i].tolist() for i in range(task.streams)})
    layout = FeatureLayout.of(schema)
    config = _distributions(schema, layout)
    state = distributions.align(config, DistributionsState())
    windows = other_monitors.Windows(sample)
    stream: list[Floats] = []
    for start_s in task.starts(MINUTE_S):
        drawn = values(task.world, rng, task.streams, VALUES, start_s, MINUTE_S)
        stream.append(drawn[0])
        windows.take(drawn)
        if (start_s + MINUTE_S) % HOUR_S == 0:
            windows.close()
        whole = np.zeros(len(Scalar), np.int64)
        whole[Scalar.REQUESTS] = VALUES
        seen = Seen(start_s, _cells(layout, drawn), np.zeros(0, np.int64), whole)
        state, findings = distributions.step(config, state, seen, (ALL_SLICE,), {})
        told.take(findings)
    others = windows.alarms | other_monitors.river_alarms(np.concatenate(stream), task.rows_slow)
    told.others = {
        name: value / (task.streams if name in windows.alarms else 1) for name, value in others.items()
    }
    return told


def _day_of_values(task: Task, rng: np.random.Generator) -> Floats:
    """The reference: 20,000 values from all hours of a day, float64[S, 20,000]."""
    quiet = World(task.world.traffic_swing, task.world.rate_swing, task.world.share_swing, task.world.users)
    each = REFERENCE_ROWS // 100
    parts = [values(quiet, rng, task.streams, each, place * DAY_S / 100, MINUTE_S) for place in range(100)]
    return np.concatenate(parts, axis=1)


def _distributions(schema: Any, layout: FeatureLayout) -> Distributions:
    """The product's, at one false alarm a month for each feature, which its trackers share."""
    probe = Distributions(schema, layout, None, None, (0, 0, 0), MINUTE_S, 1.0)
    a_second = math.exp(-probe.thresholds[0]) / MINUTE_S * len(probe.thresholds)
    return Distributions(schema, layout, None, None, (0, 0, 0), MINUTE_S, 1 / (a_second * MONTH_S))


def _cells(layout: FeatureLayout, drawn: Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
    counts = np.zeros(layout.size, np.int64)
    for block, row in zip(layout.blocks, drawn, strict=False):  # the score comes last and has no values here
        assert block.edges is not None
        place = block.start + FIRST + np.searchsorted(block.edges, row, side="right")
        counts += np.bincount(place, minlength=layout.size)
    return counts


def violations(task: Task) -> Told:
    """Violations of as many features of one model, half as frequent as is tolerated."""
    weight = SHARES["violations"] / ((task.streams + 1) * len(Code))
    config = ViolationRate({}, task.streams, 1 / (weight * MONTH_S), MINUTE_S)
    return _rates(task, config, Code.OUT_OF_RANGE, 0.0005)


def gibberish(task: Task) -> Told:
    """Doubtful texts of as many features of one model, half as frequent as is tolerated."""
    weight = SHARES["violations"] / ((task.streams + 1) * len(Code))
    config = Gibberish({}, task.streams, 1 / (weight * MONTH_S), MINUTE_S)
    return _rates(task, config, Code.GIBBERISH, 0.01)


def _rates(task: Task, config: Watch, code: Code, rate: float) -> Told:
    rng, told, state = task.rng, Told(), ViolationState.fresh()
    features = {i: f"f{i}" for i in range(task.streams)}
    for start_s in task.starts(MINUTE_S):
        t = draw(task.world, rng, task.streams, ROWS, SHARE, rate, start_s, MINUTE_S, together=True)
        cells = np.zeros(task.streams * CODES, np.int64)
        cells[code::CODES] = t.s1 + t.s2
        requests = int(t.n1[0] + t.n2[0])
        state = violation_rate.step(config, state, features, requests, cells, start_s * 1000)
        at_ms = (start_s + MINUTE_S) * 1000
        state, findings = violation_rate.judge(config, state, features, at_ms)
        told.take(findings)
    return told


def missing(task: Task) -> Told:
    """All traffic, at several rates."""
    rng, alarms = task.rng, 0
    config = MissingTraffic(1 / (SHARES["missing_traffic"] * MONTH_S), MINUTE_S)
    for place in range(task.streams):
        told, state = Told(), TrafficState()
        rows = (30, 100, 1_000, 5_000)[place % 4]
        for start_s in task.starts(MINUTE_S):
            t = draw(task.world, rng, 1, rows, SHARE, 0.10, start_s, MINUTE_S)
            state = missing_traffic.step(config, state, int(t.n1[0] + t.n2[0]), start_s * 1000)
            state, findings = missing_traffic.judge(config, state, (start_s + MINUTE_S) * 1000)
            told.take(findings)
        alarms += told.alarms
    return Told(alarms)


def ignored(task: Task) -> Told:
    """The share of as many slices of one model's traffic; learned from its first rows."""
    rng, told, config = task.rng, Told(), replace(PRODUCT.ignored_slice, bucket_s=MINUTE_S)
    ids = np.array(list(task.names), np.int64)
    state = ignored_slice.align(config, ShareState.fresh(), ids, {}, 0)
    for start_s in task.starts(MINUTE_S):
        t = draw(task.world, rng, task.streams, ROWS, SHARE, 0.10, start_s, MINUTE_S, together=True)
        requests = int(t.n1[0] + t.n2[0])
        state = ignored_slice.step(config, state, requests, t.n1, start_s * 1000)
        at_ms = (start_s + MINUTE_S) * 1000
        state, findings = ignored_slice.judge(config, state, task.names, task.bar(MINUTE_S), at_ms)
        told.take(findings)
    return told


FAMILIES: Final[Mapping[str, Callable[[Task], Told]]] = {
    "drift": drifts,  # the longest first
    "gap of decisions": decision_gaps,
    "violations": violations,
    "gibberish": gibberish,
    "missing traffic": missing,
    "ignored slice": ignored,
    "gap of labels": label_gaps,
    "decline": declines,
    "calibration": calibrations,
    "label drift": label_drifts,
}


def measure(part: tuple[str, Task]) -> Told:
    """One family in one world."""
    family, task = part
    return FAMILIES[family](task)


def run(quick: bool) -> dict[str, Any]:
    """The section of the report."""
    streams, days, rows_slow = (1, 2, 2_000) if quick else (4, 30, 72_000)
    parts = {
        (family, name): (family, Task(world, streams, days, (at, place), rows_slow))
        for at, family in enumerate(FAMILIES)
        for place, (name, world) in enumerate(WORLDS.items())
    }
    return summary(in_parallel("stationary streams", measure, parts), streams, days, rows_slow)


def summary(told: Mapping[tuple[str, str], Told], streams: int, days: int, rows_slow: int) -> dict[str, Any]:
    """Figures of all families and worlds."""
    observed = sum(one.alarms for one in told.values())
    others: Counter[str] = Counter()
    for one in told.values():
        others.update(one.others)
    months = days / 30 * len(WORLDS)
    low = stats.chi2.ppf(0.025, 2 * observed) / 2 if observed else 0.0
    high = stats.chi2.ppf(0.975, 2 * observed + 2) / 2
    return {
        "promised": len(told) * streams * days / 30,
        "observed": observed,
        "interval": [round(float(low), 2), round(float(high), 2)],
        "streams": len(told) * streams,
        "days": days,
        "by_world": {world: {family: told[family, world].alarms for family in SIMULATED} for world in WORLDS},
        "simulated": SIMULATED,
        "worlds": " ".join((worlds.__doc__ or "").split("\n\n", 1)[1].split()),
        "rows_slow": rows_slow,
        "peers_a_stream_and_month": {
            name: round(alarms / months, 1) for name, alarms in sorted(others.items())
        },
    }
