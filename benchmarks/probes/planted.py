"""Planted effects are found, and models that cannot see sex are silent: gender swap on UCI Adult."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from benchmarks.probes.worlds import Floats, Predict, World, asker, fit, subject_of
from monitor.core.detectors import probe_rate
from monitor.core.detectors.probe_counterfactual import ProbeCounterfactual
from monitor.core.detectors.probe_rate import RateState, RateStream
from monitor.core.probes.counterfactual import Counterfactual
from monitor.core.probes.dialogue import drive_all
from monitor.core.probes.space import Constraints, FeatureSpace

SHIFT: Final = 0.8
"""Log odds that the planted model adds for men."""

BUCKET: Final = 10
"""Probed requests of a bucket of the detector."""

LOG_THRESHOLD: Final = math.log(1e5)
"""One false alarm in 100,000 buckets."""


def measure(world: World, rows: int) -> dict[str, Any]:
    """Each model blind to sex, and the same with a direct effect; Adult only."""
    space = space_of(world)
    found: dict[str, Any] = {"shift_log_odds": SHIFT, "bucket": BUCKET, "log_threshold": LOG_THRESHOLD}
    for name in ("lightgbm", "logistic_regression"):
        blind = _blind(name, world)
        for case, predict in (("blind", blind), ("direct", _direct(blind, world))):
            found[f"{name}_{case}"] = _swap(world, space, predict, rows)
    return found


def space_of(world: World) -> FeatureSpace:
    """The world's space with sex protected."""
    return FeatureSpace.of(world.schema, Constraints(protected=("sex",), ends=world.space.constraints.ends))


def _blind(name: str, world: World) -> Predict:
    """Trained and asked with sex held at one value: relationship and the rest stay as they are."""
    at = world.columns.index("sex")

    def without(rows: Floats) -> Floats:
        rows = rows.copy()
        rows[:, at] = 0.0
        return rows

    hidden = World(**{**vars(world), "train": without(world.train)})
    predict = fit(name, hidden)
    return lambda rows: predict(without(rows))


def _direct(predict: Predict, world: World) -> Predict:
    at, male = world.columns.index("sex"), world.codes["sex"]["Male"]

    def shifted(rows: Floats) -> Floats:
        score = np.clip(predict(rows), 1e-9, 1 - 1e-9)
        odds = score / (1 - score) * np.where(rows[:, at] == male, np.exp(SHIFT), 1.0)
        return odds / (1 + odds)

    return shifted


def _swap(world: World, space: FeatureSpace, predict: Predict, rows: int) -> dict[str, Any]:
    subjects = [
        type(s)(s.request_id, s.model, s.version, s.features, s.base, s.threshold, s.slices, space=space)
        for s in (subject_of(world, predict, at) for at in range(rows))
    ]
    results = drive_all([(Counterfactual(), subject) for subject in subjects], asker(world, predict), 1_000)
    flips = [any(trial.flipped for trial in result.trials) for result in results]
    changes = [trial.score_change or 0.0 for result in results for trial in result.trials]
    config, state, alarm = ProbeCounterfactual(), RateState.fresh(), None
    for at in range(0, rows, BUCKET):
        part = flips[at : at + BUCKET]
        state = probe_rate.step(config, state, {RateStream("sex"): (len(part), sum(part))}, at)
        state, findings = probe_rate.judge(config, state, LOG_THRESHOLD, at + 1)
        if findings and alarm is None:
            alarm = at + len(part)
    return {
        "trials": rows,
        "flips": sum(flips),
        "score_change_mean": round(float(np.mean(changes)), 6),
        "score_change_max": round(max(changes), 6),
        "alarm_after_trials": alarm,
        "queries": sum(result.queries for result in results),
    }
