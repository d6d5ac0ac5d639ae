"""Simulated traffic of one model, counted into an evaluator's store second by second.

Rows are drawn one by one (device, gender, race, account age), answered with a given error rate, labelled
after an exponential delay; what the evaluator sees is counters only, through the same port as in production.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.counters import CODES, DEMO_TIERS, SCALARS, CellKey, Counts, Scalar, Tier
from monitor.core.evaluation import ModelEvaluation, ReferenceCounts
from monitor.core.records import Alert
from monitor.core.slices.spec import slice_key
from monitor.edges.evaluator import Evaluator
from monitor.ports import Partition, PartitionState

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = Mapping[str, NDArray[np.str_]]

START_S: Final = 1_700_000_000
MODEL: Final = "credit"
MONTHLY: Final = 1 / (30 * 86_400)
PREDICTIONS = Partition("predictions", 0)
LABELS = Partition("labels", 0)

SHARES: Final = {
    "device": {"Android": 0.45, "iPhone": 0.40, "Desktop": 0.15},
    "gender": {"Female": 0.45, "Male": 0.55},
    "race": {"White": 0.7, "Black": 0.15, "Asian": 0.1, "Other": 0.05},
    "account": {"new": 0.08, "old": 0.92},
    "merchant": {f"m{i}": w for i, w in enumerate(np.round(0.3 * 0.72 ** np.arange(12), 3))} | {"rest": 0.0},
}


class CounterStore:
    """`monitor.ports.EvaluatorStore` over plain dictionaries, with a clock of its own."""

    def __init__(self) -> None:
        self.clock_ms = START_S * 1000
        self.arrays: dict[tuple[str, str, int, int], Counts] = {}
        self.names: dict[str, dict[str, int]] = {"slices": {}, "features": {}}
        self.marks = {PREDICTIONS: PartitionState(0, 0, True, 0.0), LABELS: PartitionState(0, 0, True, 0.0)}
        self.samples: dict[str, list[bytes]] = {}
        self.outbox: list[Alert] = []
        self.held: tuple[bytes, int] = (b"", 0)
        self.epoch = 1
        self.owner = ""
        self.present: dict[str, bytes] = {}
        self.views: dict[str, Mapping[str, str]] = {}
        self.reads = 0

    def read(self, keys: Sequence[CellKey]) -> list[Counts | None]:
        self.reads += len(keys)
        return [self.arrays.get((k.kind.name, k.tier.name, k.bucket_s, k.slice_id)) for k in keys]

    def read_rows(self, keys: Sequence[CellKey]) -> list[bytes | None]:
        return [b"" for _ in keys]

    def registry(self, model: str, family: str) -> dict[str, int]:
        return dict(self.names.get(family, {}))

    def worst_cases(self, model: str) -> list[bytes]:
        return []

    def buckets(self, model: str, tier: str) -> tuple[int, int] | None:
        found = [key[2] for key in self.arrays if key[:2] == ("scalars", tier)]
        return (min(found), max(found)) if found else None

    def now_ms(self) -> int:
        return self.clock_ms

    def lease(self, model: str, owner: str, ttl_ms: int) -> int:
        if owner != self.owner:
            self.owner, self.epoch = owner, self.epoch + 1
        return self.epoch

    def state(self, model: str) -> tuple[bytes, int]:
        return self.held

    def commit(
        self,
        model: str,
        lease_epoch: int,
        expected_sequence: int,
        state: bytes,
        outbox: Sequence[tuple[bytes, bytes]],
        alerts: Mapping[str, bytes],
    ) -> bool:
        if (lease_epoch, expected_sequence) != (self.epoch, self.held[1]):
            return False
        self.held = (state, expected_sequence + 1)
        self.outbox += [Alert.model_validate_json(value) for _, value in outbox]
        self.present |= dict(alerts)
        return True

    def alerts(self, model: str) -> dict[str, bytes]:
        return dict(self.present)

    def partitions(self) -> dict[Partition, PartitionState]:
        return dict(self.marks)

    def evidence(self, model: str, name: str) -> list[bytes]:
        return self.samples.get(name, [])

    def write_views(self, model: str, views: Mapping[str, Mapping[str, str]], ttl_s: int) -> None:
        self.views |= dict(views)

    def add(self, kind: str, tier: Tier, at_s: int, slice_id: int, amounts: Counts) -> None:
        key = (kind, tier.name, at_s - at_s % tier.bucket_s, slice_id)
        held = self.arrays.get(key)
        if held is None:
            self.arrays[key] = amounts.copy()
        else:
            held += amounts


@dataclass
class World:
    """Traffic and its evaluator.

    Attributes:
        rows_per_s: requests a second.
        seed: of everything random.
        errors: (rows, second) → probability of a wrong answer, float64[n].
        shares: (second) → feature → category → share.
        base: probability of a positive label.
        tracked: (rows, second) → label comes at all, bool[n].
        reference_rows: rows of the reference; 0 for none.
        protected: features.
        tiers: kept.
    """

    rows_per_s: int = 1000
    seed: int = 0
    errors: Callable[[Rows, int, Flags], Floats] = lambda rows, _, __: np.full(len(rows["device"]), 0.10)
    shares: Callable[[int], Mapping[str, Mapping[str, float]]] = lambda _: SHARES
    base: Callable[[int], float] = lambda _: 0.5
    comes: Callable[[Rows, int], Floats] = lambda rows, _: np.ones(len(rows["device"]))
    violations: Callable[[int], Mapping[tuple[str, int], float]] = lambda _: {}
    reference_rows: int = 20_000
    crossings: tuple[tuple[str, ...], ...] = (("gender", "race"),)
    protected: frozenset[str] = frozenset({"gender", "race"})
    tiers: tuple[Tier, ...] = DEMO_TIERS
    options: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.store = CounterStore()
        self.store.names["features"] = {name: i + 1 for i, name in enumerate(SHARES)}
        self.second = 0
        self._due: defaultdict[int, list[tuple[int, Flags, Counts]]] = defaultdict(list)
        for feature, shares in SHARES.items():
            for value in shares:
                self._id(self._slice({feature: value}))
        for crossing in self.crossings:
            for a in SHARES[crossing[0]]:
                for b in SHARES[crossing[1]]:
                    self._id(slice_key({crossing[0]: a, crossing[1]: b}))
        reference = self._reference() if self.reference_rows else {}
        self.config = ModelEvaluation(
            MODEL,
            frozenset({"predictions"}),
            frozenset({"labels"}),
            tiers=self.tiers,
            features=len(SHARES),
            named_slices={"new users": ("account_age_days",)},
            protected=self.protected,
            reference=ReferenceCounts(reference),
            **{"false_alarms_per_s": MONTHLY, "label_wait_s": 5.0, "ready_at": 0.99, **self.options},  # type: ignore[arg-type]
        )
        self.evaluator = Evaluator(
            self.store, [self.config], "worker-1", monotonic_s=lambda: float(self.second)
        )

    @property
    def alerts(self) -> list[Alert]:
        """Every transition so far."""
        return self.store.outbox

    def opened(self, *kinds: str) -> list[Alert]:
        """First transitions of alerts, of some kinds if named."""
        seen: set[str] = set()
        found = []
        for alert in self.alerts:
            if alert.alert_id not in seen and (not kinds or alert.kind in kinds):
                found.append(alert)
            seen.add(alert.alert_id)
        return found

    def pages(self) -> list[Alert]:
        """Transitions that would wake somebody."""
        return [a for a in self.alerts if a.severity == "page" and a.state == "open"]

    def seconds(self, alert: Alert) -> float:
        """Event time of its opening, seconds since the start."""
        return alert.opened_at.timestamp() - START_S

    def run(self, seconds: int, every: int = 1) -> None:
        """Let time pass, one tick every so many seconds."""
        for _ in range(seconds):
            self.step()
            if self.second % every == 0:
                self.evaluator.tick()

    def step(self, rows: int | None = None) -> None:
        """One second of traffic, without a tick."""
        at_s = START_S + self.second
        n = self.rng.poisson(self.rows_per_s) if rows is None else rows
        drawn, members = self._draw(n, self.second)
        predicted, labelled = self._answers(drawn, self.second)
        violated = self.violations(self.second)
        cells = np.zeros((len(self.store.names["features"]) + 1) * CODES, np.int64)
        for (feature, code), rate in violated.items():
            hit = self.rng.random(n) < rate
            predicted[hit, Scalar.INVALID] = 1
            cells[self.store.names["features"].get(feature, 0) * CODES + code] += hit.sum()
        self._count(at_s, members, predicted)
        if n and cells.any():
            for tier in self.tiers[:2]:
                self.store.add("violations", tier, at_s, 0, cells)
        comes = self.rng.random(n) < self.comes(drawn, self.second)
        delay_s = np.minimum(self.rng.exponential(1.5, n), 4.0)
        for after in range(6):
            now = comes & (np.floor(delay_s) == after)
            self._due[self.second + after].append((at_s, members[now], labelled[now]))
        for bucket_s, whose, parts in self._due.pop(self.second):
            self._count(bucket_s, whose, parts)
        self.second += 1
        now_ms = (START_S + self.second) * 1000
        self.store.clock_ms = now_ms
        for partition in (PREDICTIONS, LABELS):
            offset = self.store.marks[partition].offset + n
            mark = now_ms - 1 if n else self.store.marks[partition].watermark_ms
            self.store.marks[partition] = PartitionState(offset, mark, True, 0.0)

    def _slice(self, parts: Mapping[str, str]) -> str:
        if parts == {"account": "new"}:
            return slice_key({"slice": "new users"})
        return slice_key(parts) if "account" not in parts else ""

    def _id(self, key: str) -> int:
        names = self.store.names["slices"]
        return names.setdefault(key, len(names) + 1) if key else 0

    def _draw(self, n: int, second: int) -> tuple[Rows, Flags]:
        drawn = {}
        for feature, shares in self.shares(second).items():
            p = np.array(list(shares.values()))
            p = p / p.sum()
            drawn[feature] = np.array(list(shares))[self.rng.choice(len(p), n, p=p)]
        members = np.zeros((n, len(self.store.names["slices"]) + 1), np.bool_)
        members[:, 0] = True
        for feature, shares in SHARES.items():
            for value in shares:
                if key := self._slice({feature: value}):
                    members[:, self._id(key)] = drawn[feature] == value
        for one, two in self.crossings:
            for a in SHARES[one]:
                for b in SHARES[two]:
                    members[:, self._id(slice_key({one: a, two: b}))] = (drawn[one] == a) & (drawn[two] == b)
        return drawn, members

    def _answers(self, drawn: Rows, second: int) -> tuple[Counts, Counts]:
        n = len(drawn["device"])
        label = self.rng.random(n) < self.base(second)
        wrong = self.rng.random(n) < self.errors(drawn, second, label)
        decision = label ^ wrong
        predicted = np.zeros((n, SCALARS.size), np.int64)
        for cell in (Scalar.REQUESTS, Scalar.TRACKED, Scalar.SCORED, Scalar.DECIDED):
            predicted[:, cell] = 1
        predicted[:, Scalar.POSITIVE] = decision
        labelled = np.zeros((n, SCALARS.size), np.int64)
        labelled[:, Scalar.LABELLED] = 1
        labelled[:, Scalar.LABEL_POSITIVE] = label
        labelled[:, Scalar.TP] = decision & label
        labelled[:, Scalar.FP] = decision & ~label
        labelled[:, Scalar.TN] = ~decision & ~label
        labelled[:, Scalar.FN] = ~decision & label
        return predicted, labelled

    def _count(self, at_s: int, members: Flags, rows: Counts) -> None:
        sums = members.T.astype(np.int64) @ rows
        for slice_id in np.flatnonzero(members.any(axis=0)).tolist():
            for tier in self.tiers[:2]:
                self.store.add("scalars", tier, at_s, slice_id, sums[slice_id])

    def _reference(self) -> dict[int, Counts]:
        drawn, members = self._draw(self.reference_rows, 0)
        predicted, labelled = self._answers(drawn, 0)
        sums = members.T.astype(np.int64) @ (predicted + labelled)
        return {i: sums[i] for i in range(sums.shape[0])}
