"""What probes have found, read from a store: buckets of its own clock, since results are counted in those."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from monitor.core.counters import (
    ALL_SLICE,
    PROBE_KINDS,
    PROBE_SETS,
    PROBE_SHAPES,
    PROBE_TRIALS,
    PROBE_TYPES,
    PROBE_WORK,
)
from monitor.core.probes import PROBES
from monitor.core.probes.report import ProbesReport, matrix_of, rows_of, sets_of, work_of
from monitor.core.probes.results import SETS_FAMILY
from monitor.core.understood import understood
from monitor.core.windows import Extent, decompose
from monitor.edges.window_reader import WindowReader
from monitor.ports import CounterReader


def read_probes(
    reader: CounterReader,
    windows: WindowReader,
    model: str,
    since_s: int | None,
    slice_: Mapping[str, str],
    slice_id: int,
) -> ProbesReport:
    """See `monitor.edges.reader.MetricsReader.probes`.

    Args:
        reader: the reading side of a store.
        windows: of the same.
        model: the model's name.
        since_s: length of the window; None for all that is kept.
        slice_: definition of the slice.
        slice_id: its id.
    """
    now_s = reader.now_ms() // 1000 + 1
    kept_s = max(PROBE_TRIALS.kept_s(tier) for tier in windows.tiers)
    from_s = now_s - min(kept_s, since_s or kept_s)
    extent = Extent(begin_s=0, end_s=now_s, now_s=now_s)
    parts = decompose(PROBE_TRIALS, windows.tiers, extent, from_s, now_s).parts
    whole = {kind: windows.sums(kind, model, [ALL_SLICE], parts)[ALL_SLICE] for kind in PROBE_KINDS}
    trials, shapes = whole[PROBE_TRIALS], whole[PROBE_SHAPES]
    if slice_id != ALL_SLICE:
        trials = windows.sums(PROBE_TRIALS, model, [slice_id], parts)[slice_id]
    features = {number: name for name, number in reader.registry(model, "features").items()}
    sets = {number: name for name, number in reader.registry(model, SETS_FAMILY).items()}
    names = [probe.name for probe in PROBES]
    return ProbesReport(
        model=model,
        from_s=min((start_s for _, start_s in parts), default=from_s),
        to_s=now_s,
        slice=slice_,
        work=work_of(whole[PROBE_WORK]),
        rows=rows_of(trials, shapes if slice_id == ALL_SLICE else None, names, features),
        types=matrix_of(whole[PROBE_TYPES], features),
        sets=sets_of(whole[PROBE_SETS], sets),
        cases=_cases(reader.worst_cases(model)),
    )


@understood("a case of a probe")
def _cases(stored: Sequence[bytes]) -> list[dict[str, Any]]:
    found = [json.loads(case) for case in stored]
    if not all(isinstance(case, dict) for case in found):
        raise ValueError("no object")
    return found
