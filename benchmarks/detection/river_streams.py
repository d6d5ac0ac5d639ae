"""River's own drifting streams: rows until the change of a model's error is told, and changes missed.

A naive Bayes of river learns on the first 2,000 rows of a concept and is then left as it is; the concept
changes after 4,000 more. Every detector reads the same errors. Ours reads them in buckets of 50 rows against
the first 1,000 errors, by the conditional test, at one false alarm in a month of minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from river import naive_bayes
from river.datasets import Phishing, synth
from river.drift import ADWIN, KSWIN, PageHinkley
from river.drift.binary import DDM, HDDMA

from monitor.core.counters import Scalar, SliceCounts
from monitor.core.detectors import degradation
from monitor.core.detectors.degradation import Degradation, DegradationState
from monitor.core.detectors.degradation_measures import DegradationStream, Watched
from monitor.core.detectors.finding import SliceName

LEARN, QUIET, AFTER, BUCKET, KNOWN = 2_000, 4_000, 4_000, 50, 1_000
LOG_THRESHOLD = math.log(43_200.0)

CONCEPTS: dict[str, Callable[[int], tuple[Any, Any]]] = {
    "SEA": lambda seed: (synth.SEA(variant=0, seed=seed), synth.SEA(variant=3, seed=seed + 1)),
    "SEA, noisy": lambda seed: (
        synth.SEA(variant=0, noise=0.1, seed=seed), synth.SEA(variant=2, noise=0.1, seed=seed + 1)
    ),
    "STAGGER": lambda seed: (
        synth.STAGGER(classification_function=0, seed=seed),
        synth.STAGGER(classification_function=2, seed=seed + 1),
    ),
    "Sine": lambda seed: (
        synth.Sine(classification_function=0, seed=seed), synth.Sine(classification_function=1, seed=seed + 1)
    ),
    "Mixed": lambda seed: (
        synth.Mixed(classification_function=0, seed=seed),
        synth.Mixed(classification_function=1, seed=seed + 1),
    ),
}  # fmt: skip
PEERS: dict[str, Callable[[], Any]] = {
    "ADWIN": ADWIN, "KSWIN": lambda: KSWIN(seed=1), "PageHinkley": PageHinkley, "DDM": DDM, "HDDM-A": HDDMA
}  # fmt: skip


def errors(before: Any, after: Any) -> list[bool]:
    """Errors of a model that learnt `before`, on more of it and then on `after`."""
    model = naive_bayes.GaussianNB()
    stream: Iterator[Any] = iter(before.take(LEARN + QUIET))
    for _ in range(LEARN):
        x, y = next(stream)
        model.learn_one(x, y)
    wrong = [model.predict_one(x) != y for x, y in stream]
    return wrong + [model.predict_one(x) != y for x, y in after.take(AFTER)]


def ours(wrong: list[bool]) -> list[int]:
    """Rows at which the detector of declines opens an alert."""
    config = Degradation()
    known = {0: _answered(wrong[:KNOWN])}
    state = degradation.align(
        Degradation(learn_rows=KNOWN),
        DegradationState.fresh(),
        [DegradationStream(0, Watched.ACCURACY, 1.0)],
        known,
    )
    alarms = []
    standing = False
    for at in range(KNOWN, len(wrong), BUCKET):
        bucket = {0: _answered(wrong[at : at + BUCKET])}
        state = degradation.step(config, state, bucket, at, np.ones(1, np.bool_))
        state, _ = degradation.judge(config, state, {0: SliceName(0, "{}")}, np.array([LOG_THRESHOLD]), at)
        if state.tracker.open[0] and not standing:
            alarms.append(at + BUCKET)
        standing = bool(state.tracker.open[0])
    return alarms


def theirs(make: Callable[[], Any], wrong: list[bool]) -> list[int]:
    """Rows at which a river detector signals."""
    detector, alarms = make(), []
    for at, value in enumerate(wrong):
        detector.update(int(value))
        if detector.drift_detected:
            alarms.append(at)
    return alarms


def phishing() -> dict[str, Any]:
    """River's bundled phishing data: 1,250 rows without a known drift; alarms are all that can be counted."""
    model, wrong = naive_bayes.GaussianNB(), []
    for x, y in Phishing():
        wrong.append(model.predict_one(x) != y)
        model.learn_one(x, y)
    late = wrong[250:]
    return {"rows": len(late)} | {name: len(theirs(make, late)) for name, make in PEERS.items()}


def run(quick: bool) -> dict[str, Any]:
    """The section of the report: per stream and detector, median delay, missed, alarms before the change."""
    seeds = 2 if quick else 10
    report: dict[str, Any] = {}
    for concept, make in CONCEPTS.items():
        rows: dict[str, list[tuple[float, int]]] = {}
        for seed in range(seeds):
            wrong = errors(*make(seed))
            told = {"ours": ours(wrong)} | {name: theirs(detector, wrong) for name, detector in PEERS.items()}
            for name, alarms in told.items():
                first = next((at - QUIET for at in alarms if at >= QUIET), math.inf)
                rows.setdefault(name, []).append((first, sum(at < QUIET for at in alarms)))
        report[concept] = {
            name: {
                "delay_median": None if math.isinf(m := float(np.median([d for d, _ in found]))) else m,
                "missed": sum(math.isinf(delay) for delay, _ in found),
                "early": sum(early for _, early in found),
                "runs": seeds,
            }
            for name, found in rows.items()
        }
    return {"synthetic": report, "phishing_alarms": phishing()}


def _answered(wrong: list[bool]) -> SliceCounts:
    counts = SliceCounts.zero()
    failures = sum(wrong)
    counts.scalars[[Scalar.LABELLED, Scalar.FP, Scalar.TN]] = len(wrong), failures, len(wrong) - failures
    return counts
