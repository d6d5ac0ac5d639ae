"""Streams of river that drift: rows until the change of a model's error is told, and changes missed.

Synthetic: a naive Bayes of river learns 2,000 rows of a concept and is then left as it is; the concept
changes after 4,000 more, at once or (gradual) within 1,000 rows. Real: the classification sets that river
brings along, rows in another order each run, a Hoeffding tree that learnt two fifths of them; after three
tenths more each feature brings the value of the next. (Elec2 and Insects need a download.)

Every detector reads the same errors. Ours, the detector of declines, reads them in buckets of 50 rows against
the first of them, at one false alarm in a month of minutes; an odds ratio of 1.25 is tolerated, so a change
that is smaller than that is meant to be missed. River's read row by row at their defaults. Alarms before the
change are counted from where ours begins.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from river import datasets, naive_bayes, tree
from river.datasets import synth
from river.drift import ADWIN, KSWIN, PageHinkley
from river.drift.binary import DDM, HDDMA

from benchmarks.detection.parallel import in_parallel
from monitor.core.counters import Scalar, SliceCounts
from monitor.core.detectors import degradation
from monitor.core.detectors.degradation import Degradation, DegradationState
from monitor.core.detectors.degradation_measures import DegradationStream, Watched
from monitor.core.detectors.finding import SliceName

LEARN, QUIET, AFTER, BUCKET, KNOWN_MAX = 2_000, 4_000, 4_000, 50, 1_000
WIDTH: Final = 1_000
LOG_THRESHOLD: Final = math.log(43_200.0)

Concepts = Callable[[int], tuple[Any, Any]]


def _functions(kind: Any, before: int, after: int, **options: Any) -> Concepts:
    """Two classification functions of a generator."""
    return lambda seed: (
        kind(classification_function=before, seed=seed, **options),
        kind(classification_function=after, seed=seed + 1, **options),
    )


def _variants(before: int, after: int, noise: float = 0.0) -> Concepts:
    return lambda seed: (
        synth.SEA(variant=before, noise=noise, seed=seed),
        synth.SEA(variant=after, noise=noise, seed=seed + 1),
    )


CONCEPTS: Final[dict[str, Concepts]] = {
    "SEA": _variants(0, 3),
    "SEA, noisy": _variants(0, 2, noise=0.1),
    "SEA, gradual": _variants(0, 3),
    "STAGGER": _functions(synth.STAGGER, 0, 2),
    "Sine": _functions(synth.Sine, 0, 1),
    "Mixed": _functions(synth.Mixed, 0, 1),
    "Agrawal": _functions(synth.Agrawal, 0, 1),
}
REAL: Final[dict[str, Callable[[], Any]]] = {
    "Bananas": datasets.Bananas, "Phishing": datasets.Phishing, "ImageSegments": datasets.ImageSegments
}  # fmt: skip
PEERS: Final[dict[str, Callable[[], Any]]] = {
    "ADWIN": ADWIN, "KSWIN": lambda: KSWIN(seed=1), "PageHinkley": PageHinkley, "DDM": DDM, "HDDM-A": HDDMA
}  # fmt: skip


def synthetic_errors(name: str, seed: int) -> tuple[list[bool], int]:
    """Errors of a model that learnt the first concept, and the row of the change."""
    before, after = CONCEPTS[name](seed)
    model = naive_bayes.GaussianNB()
    known = iter(before.take(LEARN))
    for x, y in known:
        model.learn_one(x, y)
    if name.endswith("gradual"):
        later: Iterator[Any] = synth.ConceptDriftStream(
            before, after, seed=seed, position=QUIET + WIDTH // 2, width=WIDTH
        ).take(QUIET + AFTER)
        return [model.predict_one(x) != y for x, y in later], QUIET
    wrong = [model.predict_one(x) != y for x, y in before.take(QUIET)]
    return wrong + [model.predict_one(x) != y for x, y in after.take(AFTER)], QUIET


def real_errors(name: str, seed: int) -> tuple[list[bool], int]:
    """Errors of a model that learnt two fifths of a set, and the row at which its features change places."""
    rows = list(REAL[name]())
    random.Random(seed).shuffle(rows)
    learnt, change = len(rows) * 2 // 5, len(rows) * 7 // 10
    model = tree.HoeffdingTreeClassifier(grace_period=50)
    for x, y in rows[:learnt]:
        model.learn_one(x, y)
    names = list(rows[0][0])
    moved = dict(zip(names, names[1:] + names[:1], strict=True))
    wrong = [model.predict_one(x) != y for x, y in rows[learnt:change]]
    wrong += [model.predict_one({f: x[moved[f]] for f in names}) != y for x, y in rows[change:]]
    return wrong, change - learnt


def ours(wrong: list[bool], known: int) -> list[int]:
    """Rows read when the detector of declines opens an alert; the first `known` are its reference."""
    config = Degradation(learn_rows=known)
    streams = [DegradationStream(0, Watched.ACCURACY, 1.0)]
    state = degradation.align(config, DegradationState.fresh(), streams, {0: _answered(wrong[:known])})
    alarms = []
    standing = False
    for at in range(known, len(wrong) - BUCKET + 1, BUCKET):
        bucket = {0: _answered(wrong[at : at + BUCKET])}
        state = degradation.step(config, state, bucket, at, np.ones(1, np.bool_))
        state, _ = degradation.judge(config, state, {0: SliceName(0, "{}")}, np.array([LOG_THRESHOLD]), at)
        if state.tracker.open[0] and not standing:
            alarms.append(at + BUCKET)
        standing = bool(state.tracker.open[0])
    return alarms


def theirs(make: Callable[[], Any], values: list[int]) -> list[int]:
    """Rows read when a river detector signals."""
    detector, alarms = make(), []
    for at, value in enumerate(values, start=1):
        detector.update(value)
        if detector.drift_detected:
            alarms.append(at)
    return alarms


def measure(part: tuple[str, int]) -> dict[str, Any]:
    """One run of one stream: error before and after, alarms of each detector, the row of the change."""
    name, seed = part
    wrong, change = (real_errors if name in REAL else synthetic_errors)(name, seed)
    known = min(KNOWN_MAX, change // 2 // BUCKET * BUCKET)
    told = {"ours": ours(wrong, known)}
    told |= {peer: theirs(make, [int(value) for value in wrong]) for peer, make in PEERS.items()}
    return {
        "before": float(np.mean(wrong[:change])),
        "after": float(np.mean(wrong[change:])),
        "told": {
            peer: (
                next((at - change for at in alarms if at > change), math.inf),
                sum(known < at <= change for at in alarms),
            )
            for peer, alarms in told.items()
        },
    }


def published() -> dict[str, int | None]:
    """First alarms on 1,000 integers of {0, 1} and then 1,000 of {4, …, 7}, as river documents them.

    ADWIN at row 1,023, Page-Hinkley at 1,006, KSWIN (α = 0.0001) at 1,016, counted from 0.
    """
    rng = random.Random(12345)
    stream = rng.choices([0, 1], k=1_000) + rng.choices(range(4, 8), k=1_000)
    makers = {"ADWIN": ADWIN, "PageHinkley": PageHinkley, "KSWIN": lambda: KSWIN(alpha=0.0001, seed=42)}
    return {name: next((at - 1 for at in theirs(make, stream)), None) for name, make in makers.items()}


def run(quick: bool) -> dict[str, Any]:
    """The section of the report: per stream and detector, median delay, missed, alarms before the change."""
    seeds = 2 if quick else 10
    names = [*CONCEPTS, *REAL]
    parts = {(name, seed): (name, seed) for seed in range(seeds) for name in names}
    found = in_parallel("drifting streams", measure, parts)
    report: dict[str, Any] = {}
    for name in names:
        runs = [found[name, seed] for seed in range(seeds)]
        report[name] = {
            "error_before": round(float(np.mean([one["before"] for one in runs])), 3),
            "error_after": round(float(np.mean([one["after"] for one in runs])), 3),
            "runs": seeds,
            "detectors": {peer: _told([one["told"][peer] for one in runs]) for peer in ("ours", *PEERS)},
        }
    return {
        "synthetic": {name: report[name] for name in CONCEPTS},
        "real": {name: report[name] for name in REAL},
        "published_check": published(),
    }


def _told(runs: list[tuple[float, int]]) -> dict[str, Any]:
    middle = float(np.median([delay for delay, _ in runs]))
    return {
        "delay_median": middle if math.isfinite(middle) else None,
        "missed": sum(math.isinf(delay) for delay, _ in runs),
        "early": sum(early for _, early in runs),
    }


def _answered(wrong: list[bool]) -> SliceCounts:
    counts = SliceCounts.zero()
    failures = sum(wrong)
    counts.scalars[[Scalar.LABELLED, Scalar.FP, Scalar.TN]] = len(wrong), failures, len(wrong) - failures
    return counts
