"""The evaluator on models of numbers and of several classes, from counters to the alerts it queues."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from monitor.core.contributions import Wide
from monitor.core.counters import CLASSES, DEMO_TIERS, Counts, SliceCounts
from monitor.core.detectors import degradation
from monitor.core.detectors.degradation import Degradation, DegradationState
from monitor.core.detectors.degradation_measures import OF_CLASSES, DegradationStream, Watched, measured
from monitor.core.detectors.finding import SliceName
from monitor.core.evaluation import ModelEvaluation, ReferenceCounts, Watchlist, decode, learning, streams_of
from monitor.core.evidence.levels import SHARES
from monitor.core.slices.spec import slice_key
from monitor.core.tasks import Binary, Multiclass, Regression
from monitor.core.tasks.answers import Answers
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
    """A credit limit for 200 people a second, three groups of them, labelled at once.

    `bands`: groups are counted crossed with two bands of income, which justify a difference.
    """

    levels: Levels = even
    seed: int = 0
    reference_rows: int = 20_000
    bands: tuple[str, ...] = ()
    store: CounterStore = field(default_factory=CounterStore)
    second: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.store.names["slices"] = {slice_key({"sex": name}): i for i, name in enumerate(GROUPS, 1)}
        crossed = [{"sex": name, "band": band} for band in self.bands for name in GROUPS]
        self.store.names["slices"] |= {slice_key(parts): i for i, parts in enumerate(crossed, 4)}
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
            legitimate=("band",),
        )
        self.evaluator = Evaluator(self.store, [self.config], "worker-1")

    def _draw(self, rows: int, levels: dict[str, tuple[float, float]]) -> dict[int, SliceCounts]:
        group = self.rng.choice(3, rows, p=[0.3, 0.5, 0.2])
        mean, noise = (np.array([levels[name][part] for name in GROUPS])[group] for part in (0, 1))
        labels: Floats = mean * self.rng.lognormal(-0.5, 1.0, rows)
        values: Floats = labels * (1 + noise * self.rng.standard_t(5, rows))
        parts = [np.ones(rows, np.bool_), *(group == i for i in range(3))]
        band = self.rng.integers(0, 2, rows)
        parts += [(group == i) & (band == place) for place in range(len(self.bands)) for i in range(3)]
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

    world = Values(levels, seed=1, bands=("low", "high"))
    world.run(40)
    assert not world.pages
    world.run(30)
    assert world.pages == [("gap_change", "Female", "mean_value")]
    (alert,) = [a for a in world.store.outbox if a.severity == "page" and a.state == "open"]
    assert 40 < alert.opened_at.timestamp() - START_S <= 56
    assert alert.effect_unit == "ratio"
    assert alert.effect < 0.1
    assert "times that of the rest: " in alert.summary
    (note,) = [note for note in alert.notes if note.startswith("at the same band it is 0.0")]
    assert note.endswith(" rows of the slice")


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


ANIMALS = ("cat", "dog", "eel")


@dataclass
class Classes:
    """Animals of which 100 a second are told apart, one in ten wrongly, in two groups."""

    wrong: Callable[[int], dict[str, float]]
    seed: int = 0
    store: CounterStore = field(default_factory=CounterStore)
    second: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.task = Multiclass(ANIMALS, (0, 1, 2))
        self.store.names["slices"] = {slice_key({"sex": name}): i for i, name in enumerate(GROUPS[:2], 1)}
        self.store.names["classes"] = {name: i for i, name in enumerate(ANIMALS, 1)}
        known = self._draw(20_000, {})
        self.config = ModelEvaluation(
            MODEL,
            frozenset({"predictions"}),
            frozenset({"labels"}),
            tiers=DEMO_TIERS,
            protected=frozenset({"sex"}),
            reference=ReferenceCounts(
                {i: scalars for i, (scalars, _) in known.items()},
                classes={i: classes for i, (_, classes) in known.items()},
            ),
            false_alarms_per_s=MONTHLY,
            label_wait_s=5.0,
            task=self.task,
        )
        self.evaluator = Evaluator(self.store, [self.config], "worker-1")

    def _draw(self, rows: int, wrong: dict[str, float]) -> dict[int, tuple[Counts, Counts]]:
        """Slice → scalars and classes; `wrong` is how often the dogs of a group are taken for eels."""
        group = self.rng.random(rows) < 0.5
        truth = self.rng.choice(3, rows, p=[0.5, 0.3, 0.2])
        said = np.where(self.rng.random(rows) < 0.1, (truth + 1) % 3, truth)
        for name, place in zip(GROUPS, (group, ~group), strict=False):
            said[place & (truth == 1) & (self.rng.random(rows) < wrong.get(name, 0.0))] = 2
        chances = np.full((rows, 3), 0.1, np.float32)
        chances[np.arange(rows), said] = 0.8
        answers = Answers(
            chances.max(axis=1).astype(np.float64), said.astype(np.int8), [p.tobytes() for p in chances]
        )
        everyone = np.ones(rows, np.bool_)
        labels = truth.astype(np.float64)
        scalars = self.task.predicted(answers, ~everyone, everyone) + self.task.labelled(answers, labels)
        found = {}
        for slice_id, part in enumerate((everyone, group, ~group)):
            at = np.flatnonzero(part)
            some = answers.take(at)
            wide = Wide(at, at, np.zeros((len(at), 1), np.int64), scalars[at])
            classes = np.zeros(12, np.int64)
            cells = self.task.predicted_cells(wide, some) + self.task.labelled_cells(wide, some, labels[at])
            for kind, counted_in in cells:
                if kind is CLASSES:
                    np.add.at(classes, counted_in.cells, counted_in.amounts)
            found[slice_id] = scalars[at].sum(axis=0), classes
        return found

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            at_s = START_S + self.second
            for slice_id, (scalars, classes) in self._draw(100, self.wrong(self.second)).items():
                for tier in self.config.tiers[:2]:
                    self.store.add("scalars", tier, at_s, slice_id, scalars)
                    self.store.add("classes", tier, at_s, slice_id, classes)
            self.second += 1
            self.store.clock_ms = now_ms = (START_S + self.second) * 1000
            for partition in (PREDICTIONS, LABELS):
                offset = self.store.marks[partition].offset + 100
                self.store.marks[partition] = PartitionState(offset, now_ms - 1, True, 0.0)
            self.evaluator.tick()


def test_a_class_that_is_missed_in_one_group_is_told_by_its_name() -> None:
    world = Classes(lambda second: {"Female": 0.6} if second >= 40 else {}, seed=6)
    world.run(40)
    assert not [a for a in world.store.outbox if a.severity == "page"]
    world.run(50)
    gaps = [a for a in world.store.outbox if a.kind == "gap_change" and a.subject.get("class")]
    told = {(a.subject["slice"]["sex"], a.subject["metric"], a.subject["class"]) for a in gaps}
    assert ("Female", "class_recall", "dog") in told
    assert ("Female", "class_rate", "dog") in told
    recall = next(a for a in gaps if a.subject["metric"] == "class_recall")
    assert recall.summary.startswith("share of dog that was taken for something else of sex = Female is ")
    roots = [a for a in world.store.outbox if a.severity == "page" and a.state == "open"]
    assert len(roots) == 1
    assert roots[0].subject["slice"] == {"sex": "Female"}


def test_classes_that_are_missed_everywhere_are_a_decline_of_macro_metrics() -> None:
    state, streams = DegradationState.fresh(), [DegradationStream(0, m, 1.0, 3) for m in OF_CLASSES]
    world, config = Classes(lambda _: {}, seed=7), Degradation()

    def counts(rows: int, wrong: float) -> SliceCounts:
        scalars, classes = world._draw(rows, dict.fromkeys(GROUPS, wrong))[0]
        return SliceCounts(scalars, classes=classes)

    state = degradation.align(config, state, streams, {0: counts(20_000, 0.0)})
    assert state.ready.all()
    opened: dict[str, int] = {}
    everyone, bar = np.ones(len(streams), np.bool_), np.full(len(streams), 15.0)
    for place in range(50):
        found = {0: counts(500, 0.0 if place < 20 else 0.5)}
        state = degradation.step(config, state, found, place * 60_000, everyone)
        names = {0: SliceName(0, "{}")}
        state, findings = degradation.judge(config, state, names, bar, (place + 1) * 60_000)
        for finding in findings:
            opened.setdefault(finding.subject["metric"], place)
    assert set(opened) == {"accuracy", "macro_f1", "macro_precision", "macro_recall", "log_loss"}
    assert min(opened.values()) >= 20


def test_macro_metrics_are_not_read_of_a_bucket_that_lacks_a_class() -> None:
    scalars, classes = Classes(lambda _: {}, seed=8)._draw(300, {})[0]
    stream = DegradationStream(0, Watched.MACRO_F1, 1.0, 3)
    assert measured([stream], {0: SliceCounts(scalars, classes=classes)}, 10).any()
    classes[8:] = 0
    assert not measured([stream], {0: SliceCounts(scalars, classes=classes)}, 10).any()


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
    assert _allowance(Watchlist.of(task, {"cat": 0, "dog": 1, "eel": 2})) == pytest.approx(parts)
