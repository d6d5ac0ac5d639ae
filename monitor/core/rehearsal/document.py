"""What was found as one JSON document; the page is drawn from it alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from monitor.core.masking import Masking
from monitor.core.probes.answers import ProbeResult
from monitor.core.probes.endpoint import is_refusal
from monitor.core.probes.results import worst_of
from monitor.core.probes.type_conversion import VARIANTS
from monitor.core.rehearsal.tolerances import FINDINGS, Key, Tally, Verdict

CASES_MAX: Final = 40
"""Cases in a document: the worst."""


@dataclass(frozen=True)
class About:
    """What was asked.

    Attributes:
        model: its name.
        endpoint: its address.
        sample: name of the file of requests.
        at: when, as text.
        threshold: of the decision.
        requests: that were probed.
        refused: requests of the sample that the model did not answer.
        unsteady: requests it answered otherwise when asked again; nothing else was asked of them.
        rows: that were sent.
        errors: class of error → rows.
    """

    model: str
    endpoint: str
    sample: str
    at: str
    threshold: float | None
    requests: int
    refused: int
    unsteady: int
    rows: int
    errors: Mapping[str, int] = field(default_factory=dict)


def document(
    about: About,
    results: Sequence[ProbeResult],
    counted: Mapping[Key, Tally],
    verdicts: Sequence[Verdict],
    drawn: Mapping[str, Any],
    masking: Masking,
) -> dict[str, Any]:
    """Everything a page shows and a program may want.

    Args:
        about: what was asked.
        results: of the probes.
        counted: their trials.
        verdicts: on stated tolerances.
        drawn: curves and surfaces, with their scores.
        masking: of sensitive features.
    """
    return {
        "about": asdict(about),
        "passed": not any(verdict.broken for verdict in verdicts),
        "tolerances": [
            {**asdict(verdict), "measured": round(verdict.measured, 6), "broken": verdict.broken}
            for verdict in verdicts
        ],
        "probes": _probes(results, counted),
        "types": _types(counted),
        "distances": _distances(results),
        "pairs": _pairs(results),
        **drawn,
        "cases": [case.record(masking) for case in worst_of(results)[:CASES_MAX]],
    }


def _probes(results: Iterable[ProbeResult], counted: Mapping[Key, Tally]) -> list[dict[str, Any]]:
    queries: Counter[str] = Counter()
    for result in results:
        queries[result.probe] += result.queries
    found = []
    for probe, (part, whole, words) in FINDINGS.items():
        features: dict[str, Tally] = {}
        for (name, feature, _), tally in counted.items():
            if name == probe:
                features[feature] = features.get(feature, Tally()) + tally
        if not features:
            continue
        told = [{"feature": name, **asdict(tally)} for name, tally in features.items()]
        told.sort(key=lambda one: (one["feature"] != "", -one[part] / one["trials"], one["feature"]))
        found.append(
            {
                "probe": probe, "finding": words, "part": part, "whole": whole, "rows": queries[probe],
                "features": told,
            }
        )  # fmt: skip
    return found


def _types(counted: Mapping[Key, Tally]) -> dict[str, dict[str, dict[str, int]]]:
    """Feature → type → how often same, refused, different."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for variant in VARIANTS:
        for (probe, feature, name), tally in counted.items():
            if probe == "type_conversion" and name == variant:
                same = tally.trials - tally.errors - tally.different
                found.setdefault(feature, {})[variant] = {
                    "same": same, "refused": tally.errors, "different": tally.different, "flips": tally.flips,
                }  # fmt: skip
    return found


def _distances(results: Iterable[ProbeResult]) -> dict[str, dict[str, Any]]:
    """Feature → requests asked, and how near each flip is, in interquartile ranges, ascending."""
    found: dict[str, dict[str, Any]] = {}
    for result in results:
        if result.probe != "single_feature":
            continue
        for trial in result.trials:
            if trial.feature and (trial.error is None or is_refusal(trial.error)):
                one = found.setdefault(trial.feature, {"trials": 0, "iqr": []})
                one["trials"] += 1
                if trial.distance_iqr is not None:
                    one["iqr"].append(round(trial.distance_iqr, 6))
    for one in found.values():
        one["iqr"].sort()
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]["iqr"]), item[0])))


def _pairs(results: Iterable[ProbeResult]) -> list[dict[str, Any]]:
    """Two features that flip, or act, only together: in how many requests."""
    often: Counter[tuple[str, str]] = Counter()
    for result in results:
        sets = set(result.together)
        if result.probe == "feature_set":
            sets |= {case.features for case in result.cases if case.flipped}
        for names in sets:
            if len(names) == 2:
                one, other = sorted(names)
                often[one, other] += 1
    return [{"features": pair, "requests": count} for pair, count in often.most_common()]
