"""A new model version flips at smaller changes than the last one did.

Versions follow each other, so a bucket rarely holds both, and buckets that share one reference do not
multiply to an e-process. Hence the conditional e-value of the whole table, new version against last, is read
each time the new version's trials have doubled, the k-th look at the share 6 / (π² k²) of the level: a union
bound, valid however the looks depend on each other. The last version's counts are taken as they stood when
the new one came. A version that comes back, and stays, is the new one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from monitor.core.detectors.finding import Finding, clock, percent
from monitor.core.detectors.probe_slice import odds_ratio
from monitor.core.evidence import conditional
from monitor.core.records import AlertKind, Severity

FIRST_LOOK: Final = 25
"""Trials of the new version at its first look; looks are at 25, 50, 100, …"""


@dataclass(frozen=True)
class ProbeVersion:
    """Configuration of the detector.

    Attributes:
        tolerated: odds ratio that is no failure, at least 1.
        hits_min: near flips of the new version before anything is said.
    """

    tolerated: float = 1.25
    hits_min: int = 10

    name = AlertKind.ROBUSTNESS_CHANGE


@dataclass(frozen=True)
class VersionState:
    """Two versions and what was tried on them.

    Attributes:
        version: the present one; "" before any.
        previous: the one before; "" where there was none.
        trials, hits: of the present one.
        before: trials and near flips of the previous one.
        looks: at the present one.
        began_ms: start of the present one's first bucket.
        log_evidence: of the last look, its share of the level already taken off.
        open: whether an alert stands.
        returned: trials and near flips of the previous one since the present one was last seen.
        ended: a version that was replaced while its alert stood, until `judge` has said so.
    """

    version: str = ""
    previous: str = ""
    trials: int = 0
    hits: int = 0
    before: tuple[int, int] = (0, 0)
    looks: int = 0
    began_ms: int = 0
    log_evidence: float = -math.inf
    open: bool = False
    returned: tuple[int, int] = (0, 0)
    ended: VersionState | None = None


def step(
    config: ProbeVersion, state: VersionState, version: str, trials: int, hits: int, start_ms: int
) -> VersionState:
    """Take one version's counts of one closed bucket; versions in the order in which they came.

    Args:
        config: of the detector.
        state: before the bucket.
        version: of the model. Trials of the previous one are left out while the present one is seen.
        trials: of the probe `single_feature`, requests as a whole.
        hits: flips within a quarter of an interquartile range.
        start_ms: start of the bucket, epoch ms.
    """
    if not trials:
        return state
    if version == state.previous and state.version:
        trials, hits = trials + state.returned[0], hits + state.returned[1]
        if trials < FIRST_LOOK:
            return replace(state, returned=(trials, hits))
    if version != state.version:
        ended = replace(state, ended=None) if state.open else state.ended
        old = (state.trials, state.hits)
        state = VersionState(version, state.version, before=old, began_ms=start_ms, ended=ended)
    state = replace(state, trials=state.trials + trials, hits=state.hits + hits, returned=(0, 0))
    if not state.before[0] or state.trials < FIRST_LOOK * 2**state.looks:
        return state
    looks = state.looks
    while state.trials >= FIRST_LOOK * 2**looks:
        looks += 1
    psi0 = np.array([config.tolerated])
    log_e = conditional.log_e_values(
        [state.trials], [state.hits], [state.before[0]], [state.before[1]], psi0,
        conditional.odds_ratios_above(psi0),
    )[0]  # fmt: skip
    mixed = float(np.logaddexp.reduce(log_e)) - math.log(log_e.size)
    return replace(state, looks=looks, log_evidence=mixed + math.log(6 / (math.pi * looks) ** 2))


def judge(
    config: ProbeVersion, state: VersionState, log_threshold: float, at_ms: int
) -> tuple[VersionState, list[Finding]]:
    """What holds after the last bucket taken; a version stays as fragile as found until it is replaced.

    Args:
        config: of the detector.
        state: after that bucket.
        log_threshold: of the stream.
        at_ms: end of the bucket, epoch ms.
    """
    alarmed = state.log_evidence >= log_threshold and state.hits >= config.hits_min
    gone, state = state.ended, replace(state, open=state.open or alarmed, ended=None)
    findings = [] if gone is None else [_finding(config, gone, log_threshold, at_ms, holds=False)]
    if state.open:
        findings.append(_finding(config, state, log_threshold, at_ms, holds=True))
    return state, findings


def _finding(
    config: ProbeVersion, state: VersionState, threshold: float, at_ms: int, *, holds: bool
) -> Finding:
    n2, s2 = state.before
    effect = float(odds_ratio(np.array([[state.trials, state.hits, n2, s2]], np.float64))[0])
    rate, before = state.hits / state.trials, s2 / max(n2, 1)
    return Finding(
        kind=AlertKind.ROBUSTNESS_CHANGE,
        subject={"model_version": state.version, "previous": state.previous},
        holds=holds,
        severity=Severity.NOTICE,
        log_evidence=state.log_evidence,
        log_threshold=threshold,
        effect=effect,
        effect_unit="odds_ratio",
        rows=state.trials,
        excess=max(0.0, state.hits - state.trials * before),
        began_ms=state.began_ms,
        at_ms=at_ms,
        summary=f"a small change of one feature flips {percent(rate)} of decisions of version "
        f"{state.version} against {percent(before)} of version {state.previous}: {state.hits} of "
        f"{state.trials} probed requests since {clock(state.began_ms)}",
        advice="Compare the cases with the previous version; hold the release if they matter.",
        values={
            "rate": rate, "previous_rate": before, "trials": state.trials, "previous_trials": n2,
            "odds_ratio": effect, "tolerated_odds_ratio": config.tolerated,
        },
        samples="probes/single_feature",
    )  # fmt: skip
