"""From planted effects, through probes and counts, to alerts with all it takes to ask again."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

import pytest

from monitor.core.counters import DEMO_TIERS
from monitor.core.evaluation import ModelEvaluation
from monitor.core.evaluation.probes import ProbeEvaluation, ProbesState
from monitor.core.probes import PROBES
from monitor.core.probes.results import asked_again
from monitor.core.records import Alert, AlertKind
from monitor.edges.evaluator import Evaluator
from monitor.edges.memory import MemoryModelClient
from tests.support.probing import MODEL, World, fair, probed, unfair

DAILY = 1 / 86_400


async def alerts(score: Any, rounds: int, *probes: str, **traffic: Any) -> list[Alert]:
    """What is told of a model while it is probed, a round a second."""
    chosen = tuple(probe for probe in PROBES if probe.name in {"replay", *probes})
    made = World(MemoryModelClient(score), probed(probes=chosen, tiers=DEMO_TIERS))
    config = ModelEvaluation(
        MODEL,
        frozenset({"predictions"}),
        tiers=DEMO_TIERS,
        features=4,
        protected=frozenset({"sex"}),
        false_alarms_per_s=DAILY,
        probes=0.01,
    )
    evaluator = Evaluator(made.store.reader(), [config], "test")
    for _ in range(rounds):
        await made.probe(1, score, **traffic)
        made.clock.advance(1.0)
        evaluator.tick()
    found = made.store.reader().alerts(MODEL).values()
    return [Alert.model_validate_json(value) for value in found]


async def test_a_gender_effect_is_told_with_cases_that_can_be_asked_again() -> None:
    (alert,) = await alerts(unfair, 15, "counterfactual")
    assert alert.kind is AlertKind.COUNTERFACTUAL
    assert alert.subject == {"feature": "sex"}
    assert alert.severity == "page"
    assert 1 <= len(alert.cases) <= 3
    for case in alert.cases:
        assert case["replay"] == f"monitor probes {MODEL} --replay {case['id']}"
        assert unfair(asked_again(case["original"])) == pytest.approx(case["before"]["score"])
        assert unfair(asked_again(case["changed"])) == pytest.approx(case["after"]["score"])
        assert case["request_id"] in alert.request_ids


async def test_a_blind_model_is_silent() -> None:
    assert await alerts(fair, 40, "counterfactual", "sharp_boundary", "interaction") == []


def edged(row: Mapping[str, Any]) -> float:
    """A cliff at a debt of 0.7."""
    return fair(row) * (0.3 if isinstance(debt := row.get("debt"), float) and debt >= 0.7 else 1.0)


async def test_a_sharp_edge_is_told() -> None:
    found = await alerts(edged, 40, "sharp_boundary")
    assert [(alert.kind, alert.subject) for alert in found] == [(AlertKind.SHARP_EDGE, {"feature": "debt"})]
    assert found[0].cases[0]["features"] == ["debt"]


def paired(row: Mapping[str, Any]) -> float:
    """Rich people with little debt are refused, whoever is only one of the two is not."""
    rich = isinstance(income := row.get("income"), int) and income >= 8_000
    return fair(row) * 0.02 if rich and row["debt"] <= 0.1 else 0.9 + 0.01 * fair(row)


async def test_an_interaction_is_told() -> None:
    found = await alerts(paired, 40, "interaction")
    assert [(alert.kind, alert.subject) for alert in found] == [
        (AlertKind.INTERACTION, {"features": ["debt", "income"]})
    ]
    assert set(found[0].cases[0]["features"]) == {"debt", "income"}


async def test_a_fragile_slice_is_told() -> None:
    def fragile(row: Mapping[str, Any]) -> float:
        """In the north the slightest change of debt decides."""
        if row.get("region") != "north" or not isinstance(row.get("debt"), float):
            return 0.9
        return 0.9 if math.floor(row["debt"] * 20) % 2 else 0.1

    found = await alerts(fragile, 60, "single_feature")
    kinds = {(alert.kind, alert.subject["slice"]["region"]) for alert in found}
    assert (AlertKind.ROBUSTNESS_GAP, "north") in kinds


def test_buckets_are_taken_once_and_in_order() -> None:
    config = ProbeEvaluation(0.01, frozenset(), 4, DEMO_TIERS[0], DAILY)
    taken: list[int] = []
    state, now_ms, rng = ProbesState(), 1_000_000, random.Random(1)
    for _ in range(30):
        now_ms += rng.randrange(4_000)
        for start_s in config.closed(state, now_ms):
            assert start_s + 1 <= (now_ms - 1_000) // 1_000
            taken.append(start_s)
            state = ProbesState(next_s=start_s + 1)
    assert taken == list(range(taken[0], taken[-1] + 1))
    late = config.closed(state, now_ms + 3_600_000)
    assert late[0] >= (now_ms + 3_600_000) // 1_000 - 121  # what expired is passed over
