"""Flip rate against budget: this search, random search, and HopSkipJump, same rows, same bounds.

Every row a method asks is recorded, so what it has found after any number of rows is read from one run.
HopSkipJump (Chen, Jordan and Wainwright 2020) is that of the Adversarial Robustness Toolbox. It moves all
features at once and minimises an L2 norm, here over features in interquartile ranges; it knows nothing of
single features. So beside "any flip" two stricter questions are put to all: a flip of at most `NEAR`
interquartile ranges in sum, and a flip by one feature.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from benchmarks.probes.worlds import Floats, Predict, World, asker, subject_of
from monitor.core.probes.answers import Answer, Features, Subject
from monitor.core.probes.dialogue import drive, rng_of
from monitor.core.probes.scan import fits
from monitor.core.probes.single_feature import SingleFeature
from monitor.core.probes.variants import put, travel

BUDGETS: Final = (10, 20, 40, 60, 80, 100, 120, 140)
NEAR: Final = 1.0
"""Interquartile ranges, summed over features."""

Row = tuple[bool, float, int]  # flips, distance, features changed
Search = Callable[[World, Subject, Callable[[Sequence[Features]], list[Answer]]], None]


class Spent(Exception):
    """The budget is used up."""


def measure(world: World, predict: Predict, rows: int) -> dict[str, Any]:
    """All methods on one model."""
    methods: dict[str, Search] = {"ours": _ours, "random_single": _random_single, "random_all": _random_all}
    versions = {}
    try:
        versions["adversarial-robustness-toolbox"] = importlib.metadata.version(
            "adversarial-robustness-toolbox"
        )
        methods["hop_skip_jump"] = _hop_skip_jump
    except importlib.metadata.PackageNotFoundError:
        versions["hop_skip_jump"] = "not measured: adversarial-robustness-toolbox is not installed"
    curves = {}
    for name, search in methods.items():
        logs = [_logged(world, predict, search, at) for at in range(rows)]
        curves[name] = {
            "any": _curve(logs, lambda row: row[0]),
            f"within_{NEAR}_iqr": _curve(logs, lambda row: row[0] and row[1] <= NEAR),
            "one_feature": _curve(logs, lambda row: row[0] and row[2] == 1),
            "features_changed_median": _nearest(logs, 2),
            "distance_iqr_median": _nearest(logs, 1),
        }
    return {"requests": rows, "budgets": list(BUDGETS), "methods": curves, "versions": versions}


def _logged(world: World, predict: Predict, search: Search, at: int) -> list[Row]:
    subject = subject_of(world, predict, at)
    model, log = asker(world, predict), list[Row]()

    def ask(rows: Sequence[Features]) -> list[Answer]:
        answers = model(rows)
        for row, answer in zip(rows, answers, strict=True):
            names = [name for name in world.columns if row[name] != subject.features[name]]
            log.append((subject.flips(answer), travel(subject, row, names)[0], len(names)))
        if len(log) >= BUDGETS[-1]:
            raise Spent
        return answers

    with contextlib.suppress(Spent):
        search(world, subject, ask)
    return log[: BUDGETS[-1]]


def _curve(logs: Sequence[Sequence[Row]], holds: Callable[[Row], bool]) -> list[float]:
    return [round(float(np.mean([any(map(holds, log[:b])) for log in logs])), 4) for b in BUDGETS]


def _nearest(logs: Sequence[Sequence[Row]], column: int) -> float | None:
    """Of the nearest flip each request has, over requests with one."""
    best = [min((row for row in log if row[0]), key=lambda row: row[1], default=None) for log in logs]
    found = [row[column] for row in best if row is not None]
    return round(float(np.median(found)), 3) if found else None


def _ours(_: World, subject: Subject, ask: Any) -> None:
    drive(SingleFeature(), subject, ask)


def _draw(subject: Subject, name: str, rng: np.random.Generator) -> Any:
    axis = subject.space.axes[name]
    if not axis.numeric:
        return axis.values[int(rng.integers(len(axis.values)))]
    return axis.number(float(rng.uniform(axis.low, axis.high)), axis.places(subject.features[name]))


def _random_single(_: World, subject: Subject, ask: Any) -> None:
    """One feature drawn, one value of its plausible range."""
    rng, names = rng_of(subject, "random_single"), subject.searchable()
    while True:
        name = names[int(rng.integers(len(names)))]
        value = _draw(subject, name, rng)
        if fits(subject, name, value):
            ask([put(subject.features, {name: value})])


def _random_all(_: World, subject: Subject, ask: Any) -> None:
    """All features drawn: the start of HopSkipJump and nothing after it."""
    rng, names = rng_of(subject, "random_all"), subject.searchable()
    while True:
        ask([put(subject.features, {name: _draw(subject, name, rng) for name in names})])


def _hop_skip_jump(world: World, subject: Subject, ask: Any) -> None:
    from art.attacks.evasion import HopSkipJump  # noqa: PLC0415 - an extra of the benchmark
    from art.estimators.classification import BlackBoxClassifier  # noqa: PLC0415

    axes = [subject.space.axes[name] for name in world.columns]
    units = np.array([axis.unit for axis in axes])
    low = np.array([axis.low for axis in axes]) / units
    high = np.array([axis.high for axis in axes]) / units
    base = np.clip(world.encode([subject.features])[0] / units, low, high)

    def predict(scaled: Floats) -> Floats:
        answers = ask([_row(world, subject, row) for row in np.clip(scaled, low, high) * units])
        decided = [subject.decision(answer) for answer in answers]
        return np.eye(2, dtype=np.float32)[decided]

    # The toolbox asks for the request's own class too; rows are counted all the same.
    classifier = BlackBoxClassifier(
        predict, (len(axes),), 2, clip_values=(low.astype(np.float32), high.astype(np.float32))
    )
    np.random.seed(int.from_bytes(subject.request_id.encode()[-4:], "big"))  # noqa: NPY002 - its own source
    attack = HopSkipJump(
        classifier,
        norm=2,
        max_iter=50,
        max_eval=1_000,
        init_eval=10,
        init_size=100,
        verbose=False,
        batch_size=64,
    )
    attack.generate(x=base[None].astype(np.float32))


def _row(world: World, subject: Subject, values: Floats) -> dict[str, Any]:
    row = {}
    for name, value in zip(world.columns, values, strict=True):
        axis, here = subject.space.axes[name], subject.features[name]
        # Back from single precision, what did not move is the request's own value.
        same = abs(value - here) <= 1e-5 * axis.unit
        row[name] = here if same else axis.number(float(value), axis.places(here))
    return row
