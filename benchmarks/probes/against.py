"""The search for single features and sets, held against exhaustive search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.probes import exhaustive
from benchmarks.probes.worlds import Predict, World, asker, subject_of
from monitor.core.probes.dialogue import drive
from monitor.core.probes.feature_set import FeatureSet
from monitor.core.probes.single_feature import SingleFeature


def measure(world: World, predict: Predict, rows: int, pairs: int) -> dict[str, Any]:
    """One model on one data set.

    Args:
        world: the data.
        predict: the model.
        rows: requests.
        pairs: of those without a single-feature flip, how many are searched for pairs.
    """
    ask = asker(world, predict)
    possible = found = pairs_possible = pairs_found = 0
    queries, set_queries, calls, ratios = [], [], [], []
    for at in range(rows):
        subject = subject_of(world, predict, at)
        there = exhaustive.single(world, predict, subject)
        result = drive(SingleFeature(), subject, ask)
        queries.append(result.queries)
        calls.append(result.calls)
        whole = result.trials[0]
        possible += there.possible or whole.flipped
        found += whole.flipped
        if whole.flipped and whole.distance_iqr is not None and there.possible:
            ratios.append(whole.distance_iqr / there.distance)
        if not there.possible and not whole.flipped and pairs > 0:
            pairs -= 1
            if exhaustive.pair(world, predict, subject):
                sets = drive(FeatureSet(), subject, ask)
                set_queries.append(sets.queries)
                pairs_possible += 1
                pairs_found += sets.flips > 0
    return {
        "requests": rows,
        "possible": possible,
        "found": found,
        "queries_max": max([*queries, *set_queries]),
        "queries_mean": round(float(np.mean(queries)), 1),
        "calls_max": max(calls),
        "ratios": ratios,
        "pairs_possible": pairs_possible,
        "pairs_found": pairs_found,
    }


def together(parts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """One model over several data sets: counts add up, ratios are pooled."""
    ratios = [ratio for part in parts.values() for ratio in part["ratios"]]
    sums = ("requests", "possible", "found", "pairs_possible", "pairs_found")
    return {
        **{name: sum(part[name] for part in parts.values()) for name in sums},
        "queries_max": max(part["queries_max"] for part in parts.values()),
        **_ratios(ratios),
        "data": {
            name: {**{k: v for k, v in part.items() if k != "ratios"}, **_ratios(part["ratios"])}
            for name, part in parts.items()
        },
    }


def _ratios(ratios: list[float]) -> dict[str, float | None]:
    if not ratios:
        return {"distance_ratio_p50": None, "distance_ratio_p90": None}
    p50, p90 = np.quantile(ratios, (0.5, 0.9))
    return {"distance_ratio_p50": round(float(p50), 4), "distance_ratio_p90": round(float(p90), 4)}
