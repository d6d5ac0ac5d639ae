"""The evaluator on models that answer with a number, from counters to the alerts it queues."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from monitor.core.counters import DEMO_TIERS, SliceCounts
from monitor.core.detectors.finding import SliceName
from monitor.core.evaluation import ModelEvaluation, ReferenceCounts, Watchlist, decode, learning, streams_of
from monitor.core.evidence.levels import SHARES
from monitor.core.slices.spec import slice_key
from monitor.core.tasks import Binary, Multiclass, Regression
from monitor.edges.evaluator import Evaluator
from monitor.ports import PartitionState
from tests.support.evaluator_world import LABELS, MODEL, MONTHLY, PREDICTIONS, START_S, CounterStore, Floats
from tests.support.values import counted

TASK = Regression.in_units_of(1_000.0)
GROUPS = ("Female", "Male", "Other")
Levels = Callable[[int], dict[str, tuple[float, float]]]
"""Second → group → mean value, and how far labels are from values, as a factor."""


def even(second: int) -> dict[str, tuple[float, float]]:
    del second
    return dict.fromkeys(GROUPS, (20_000.0, 0.1))


@dataclass
class Values:
    """A credit limit for 200 people a second, three groups of them, labelled at once."""

    levels: Levels = even
    seed: int = 0
    reference_rows: int = 20_000
    store: CounterStore = field(default_factory=CounterStore)
    second: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.store.names["slices"] = {slice_key({"sex": name}): i for i, name in enumerate(GROUPS, 1)}
        known = self._draw(self.reference_rows, even(0)) if self.reference_rows else {}
        self.config = ModelEvaluation(
            MODEL,
            frozenset({"predictions"}),
            frozenset({"labels"}),
            tiers=DEMO_TIERS,
            protected=frozenset({"sex"}),
            reference=ReferenceCounts(
                {i: counts.scalars for i, counts in known.items()},
                values={i: counts.values for i, counts in known.items() if counts.values is not None},
                unit=TASK.unit,
            ),
            false_alarms_per_s=MONTHLY,
            label_wait_s=5.0,
            task=TASK,
        )
        self.evaluator = Evaluator(self.store, [self.config], "worker-1")

    def _draw(self, rows: int, levels: dict[str, tuple[float, float]]) -> dict[int, SliceCounts]:
        group = self.rng.choice(3, rows, p=[0.3, 0.5, 0.2])
        mean, noise = (np.array([levels[name][part] for name in GROUPS])[group] for part in (0, 1))
        labels: Floats = mean * self.rng.lognormal(-0.5, 1.0, rows)
        values: Floats = labels * (1 + noise * self.rng.standard_t(5, rows))
        parts = [np.ones(rows, np.bool_), *(group == i for i in range(3))]
        return {i: counted(values[part], labels[part], TASK) for i, part in enumerate(parts)}

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            at_s = START_S + self.second
            for slice_id, counts in self._draw(200, self.levels(self.second)).items():
                assert counts.values is not None
                for tier in self.config.tiers[:2]:
                    self.store.add("scalars", tier, at_s, slice_id, counts.scalars)
                    self.store.add("values", tier, at_s, slice_id, counts.values)
            self.second += 1
            self.store.clock_ms = now_ms = (START_S + self.second) * 1000
            for partition in (PREDICTIONS, LABELS):
                offset = self.store.marks[partition].offset + 200
                self.store.marks[partition] = PartitionState(offset, now_ms - 1, True, 0.0)
            self.evaluator.tick()

    @property
    def pages(self) -> list[tuple[str, str, str]]:
        """Kind, slice and metric of what woke somebody, in order."""
        return [
            (alert.kind, alert.subject["slice"].get("sex", ""), alert.subject["metric"])
            for alert in self.store.outbox
            if alert.severity == "page" and alert.state == "open"
        ]


def test_a_credit_limit_that_falls_for_one_group_is_one_page_with_its_ratio() -> None:
    def levels(second: int) -> dict[str, tuple[float, float]]:
        return {**even(0), "Female": (1_000.0 if second >= 40 else 20_000.0, 0.1)}

    world = Values(levels, seed=1)
    world.run(40)
    assert not world.pages
    world.run(30)
    assert world.pages == [("gap_change", "Female", "mean_value")]
    (alert,) = [a for a in world.store.outbox if a.severity == "page" and a.state == "open"]
    assert 40 < alert.opened_at.timestamp() - START_S <= 56
    assert alert.effect_unit == "ratio"
    assert alert.effect < 0.1
    assert "times that of the rest: " in alert.summary


def test_errors_that_grow_for_one_group_page_as_its_gap_and_for_all_as_a_decline() -> None:
    def levels(second: int) -> dict[str, tuple[float, float]]:
        noise = 0.4 if second >= 30 else 0.1
        return {**even(0), "Male": (20_000.0, noise)}

    world = Values(levels, seed=2)
    world.run(90)
    assert world.pages == [("gap_change", "Male", "mae")]

    world = Values(lambda second: dict.fromkeys(GROUPS, (20_000.0, 0.4 if second >= 30 else 0.1)), seed=3)
    world.run(90)
    assert world.pages
    assert {(kind, group) for kind, group, _ in world.pages} == {("degradation", "")}
    declined = {a.subject["metric"] for a in world.store.outbox if a.kind == "degradation"}
    assert declined >= {"mae", "rmse"}


@pytest.mark.parametrize("reference_rows", [20_000, 0])
def test_nothing_pages_while_values_move_for_everybody(reference_rows: int) -> None:
    def levels(second: int) -> dict[str, tuple[float, float]]:
        return dict.fromkeys(GROUPS, (20_000.0 * (1 + 0.3 * np.sin(second / 20)), 0.1))

    world = Values(levels, seed=4, reference_rows=reference_rows)
    world.run(120)
    assert not world.pages
    assert learning(world.config, decode(world.store.held[0])) is None


def test_without_a_reference_it_says_how_far_it_has_learned() -> None:
    world = Values(seed=5, reference_rows=0)
    world.run(12)
    progress = learning(world.config, decode(world.store.held[0]))
    assert progress is not None
    assert 1_000 < progress[0] < progress[1] == 5_000


def _allowance(watchlist: Watchlist) -> float:
    """Weights of all streams of gaps and declines, from their thresholds."""
    names = [SliceName(i, slice_key({"sex": name})) for i, name in enumerate(GROUPS, 1)]
    streams = streams_of(names, frozenset({"sex"}), MONTHLY, 1.0, 1.0, watchlist=watchlist)
    bars = [
        streams.labels_threshold, streams.errors_threshold, streams.decisions_threshold,
        streams.values_threshold, streams.degradation_threshold,
    ]  # fmt: skip
    return float(np.exp(-np.concatenate(bars)).sum() / MONTHLY)


@pytest.mark.parametrize(
    "task", [Binary(), Binary(None), Regression()], ids=["binary", "no threshold", "value"]
)
def test_every_task_shares_out_the_same_parts_and_none_twice(
    task: Binary | Multiclass | Regression,
) -> None:
    parts = SHARES["gaps_of_labels"] + SHARES["gaps_of_decisions"] + SHARES["degradation"]
    assert _allowance(Watchlist.of(task)) == pytest.approx(parts)
