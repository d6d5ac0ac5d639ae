"""What is said of a distribution that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from monitor.core.counters import Counts
from monitor.core.detectors.drift import PAST, REFERENCE, Drifted
from monitor.core.detectors.drift_week import WEEK
from monitor.core.detectors.finding import Finding, clock, percent
from monitor.core.drift import jensen_shannon, kolmogorov_smirnov, psi, wasserstein
from monitor.core.drift.layout import FIRST, INVALID, MISSING, SCORE, SCORE_CELLS, Block, BlockKind
from monitor.core.drift.reading import Insufficient, Reading
from monitor.core.drift.scale import ScaleShift
from monitor.core.masking import OPEN, Masking
from monitor.core.records import AlertKind, Severity

OUTPUTS: Final = {SCORE: "score", "@decision": "decision", "@label": "label"}
"""Blocks that are no features."""

_AGAINST: Final = {
    REFERENCE: ("reference", "the reference"),
    PAST: ("past", "what came before"),
    WEEK: ("week", "the same hour of earlier weeks"),
}

_ADVICE: Final = {
    "score": "Look for an input that changed; if there is none, for another model behind the name.",
    "decision": "Look at the score: if it did not move, the threshold or a rule behind it did.",
    "label": "The world may have changed, or the way labels are made: estimates without labels miss it.",
}


def drift_finding(
    block: Block, drifted: Drifted, log_threshold: float, at_ms: int, source: str = "",
    masking: Masking = OPEN,
) -> Finding:  # fmt: skip
    """A drift as an alert tells it.

    Args:
        block: the feature's cells.
        drifted: as it stands.
        log_threshold: what its evidence had to reach.
        at_ms: event time of the last bucket taken.
        source: the slice it comes from, in words, or "".
        masking: of sensitive features.
    """
    readings = readings_of(block, drifted.baseline, drifted.live)
    stability = readings["psi"]
    effect = stability.effect if isinstance(stability, Reading) else 0.0
    name = OUTPUTS.get(block.name, block.name)
    rows = int(drifted.live.sum())
    key, against = _AGAINST[drifted.against]
    change = change_in_words(block, drifted.baseline, drifted.live, masking)
    noise = f" (noise would give {stability.threshold:.2g})" if isinstance(stability, Reading) else ""
    return Finding(
        kind=AlertKind.DRIFT,
        subject=subject_of(block),
        holds=drifted.holds,
        severity=Severity.PAGE,
        log_evidence=drifted.log_evidence,
        log_threshold=log_threshold,
        effect=effect,
        effect_unit="psi",
        rows=rows,
        excess=None,
        began_ms=drifted.since_ms,
        at_ms=at_ms,
        summary=f"{name} differs from {against}: {change}; "
        f"PSI {effect:.2g}{noise} over {rows} requests since {clock(drifted.since_ms)}"
        + (f", from {source}" if source else ""),
        advice=_ADVICE.get(
            name, "Ask upstream what changed in how this is computed; compare with the model."
        ),
        values={"against": key}
        | {key: _figures(reading) for key, reading in readings.items()}
        | ({"source": source} if source else {}),
        features=frozenset() if block.name in OUTPUTS else frozenset({block.name}),
    )


def scale_finding(
    block: Block, drifted: Drifted, shift: ScaleShift, log_threshold: float, at_ms: int, source: str = ""
) -> Finding:
    """A drift that a change of unit explains."""
    best, total = shift.changes[0], int(drifted.live.sum())
    rows = max(total - shift.rows_before, min(total, shift.rows))
    began_ms = max(drifted.since_ms, shift.since_ms)
    others = " or ".join(change.words for change in shift.changes)
    share = "all" if shift.whole else percent(shift.share)
    what = f"{best.slope:g} times what they were" if best.is_factor else "another unit of what they were"
    return Finding(
        kind=AlertKind.SCALE_SHIFT,
        subject={"feature": block.name},
        holds=drifted.holds,
        severity=Severity.PAGE,
        log_evidence=drifted.log_evidence,
        log_threshold=log_threshold,
        effect=best.slope,
        effect_unit="factor",
        rows=rows,
        excess=shift.share * rows,
        began_ms=began_ms,
        at_ms=at_ms,
        summary=f"{share} of the values of {block.name} are {what}: {others}, since {clock(began_ms)}"
        + (f", from {source}" if source else ""),
        advice="Find the client or pipeline that changed its unit, and convert there.",
        values={
            "factor": best.slope,
            "intercept": best.intercept,
            "units": [change.words for change in shift.changes],
            "factors": [change.slope for change in shift.changes],
            "share": shift.share,
            "ks_before": shift.ks_before,
            "ks_after": shift.ks_after,
        }
        | ({"source": source} if source else {}),
        features=frozenset({block.name}),
    )


def subject_of(block: Block) -> Mapping[str, str]:
    """Subject of an alert about a block."""
    return {"output": OUTPUTS[block.name]} if block.name in OUTPUTS else {"feature": block.name}


def readings_of(block: Block, baseline: Counts, live: Counts) -> dict[str, Reading | Insufficient]:
    """Distances of two histograms; those of ordered values only where there is an order."""
    found = {"psi": psi.reading(baseline, live), "jensen_shannon": jensen_shannon.reading(baseline, live)}
    if block.kind in (BlockKind.NUMBER, BlockKind.SCORE):
        found["kolmogorov_smirnov"] = kolmogorov_smirnov.reading(baseline[FIRST:], live[FIRST:])
        if block.edges is not None and len(block.edges) > 1:
            found["wasserstein"] = wasserstein.reading(baseline[FIRST:], live[FIRST:], block.edges)
    return found


def change_in_words(block: Block, baseline: Counts, live: Counts, masking: Masking = OPEN) -> str:
    """The largest change: of what is missing or strange, of a category, or of the median."""
    hidden = block.name in masking.features
    p, q = baseline / max(baseline.sum(), 1), live / max(live.sum(), 1)
    for cell, what in ((MISSING, "missing"), (INVALID, "not readable")):
        if q[cell] - p[cell] >= 0.5 * np.abs(q - p).max() > 0:
            return f"{what} {percent(float(p[cell]))} → {percent(float(q[cell]))}"
    if block.kind in (BlockKind.NUMBER, BlockKind.SCORE):
        if hidden:
            rose = np.sign(_median_cell(live) - _median_cell(baseline))
            return f"the median {('fell', 'stayed', 'rose')[int(rose) + 1]}"
        before, after = (_median(block, counts) for counts in (baseline, live))
        return f"median {before} → {after}"
    told = [masking.value(block.name, value) for value in block.values or ()] if hidden else None
    names = ["missing", "not readable", *_names(block, told)]
    most = int(np.abs(q - p).argmax())
    return f"{names[most]} {percent(float(p[most]))} → {percent(float(q[most]))}"


def _names(block: Block, masked: Sequence[str] | None = None) -> list[str]:
    if block.kind is BlockKind.CATEGORY:
        return [*(masked or (f'"{value}"' for value in block.values or ())), "values not listed"]
    if block.kind is BlockKind.BOOLEAN:
        return ["no", "yes"]
    return ["present"]


def _median(block: Block, counts: Counts) -> str:
    """Bounds of the cell that holds the median."""
    values = counts[FIRST:]
    if not values.sum():
        return "none"
    place = _median_cell(counts)
    if block.kind is BlockKind.SCORE:
        logit = (place + 0.5) * 32 / SCORE_CELLS - 16
        return f"{1 / (1 + np.exp(-logit)):.2g}"
    edges = block.edges if block.edges is not None else np.zeros(0)
    if place == 0:
        return f"below {edges[0]:g}"
    return f"{edges[min(place, len(edges)) - 1]:g}"


def _median_cell(counts: Counts) -> int:
    """Place of the value cell that holds the median."""
    values = counts[FIRST:]
    return int(np.searchsorted(np.cumsum(values), values.sum() / 2))


def _figures(reading: Reading | Insufficient) -> dict[str, Any]:
    if isinstance(reading, Insufficient):
        return {"value": None, "reason": reading.reason}
    return {"value": reading.value, "threshold": reading.threshold, "effect": reading.effect}
