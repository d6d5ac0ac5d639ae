"""What other monitors would have said: rules with fixed thresholds, river's detectors at their defaults."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from river.drift import ADWIN, KSWIN, PageHinkley
from scipy import stats

from benchmarks.detection.worlds import Floats, Table

PSI_ALARM: Final = 0.2
DECILES: Final = np.arange(1, 10) / 10
RIVER: Final[dict[str, Callable[[], Any]]] = {
    "river ADWIN": ADWIN, "river KSWIN": lambda: KSWIN(seed=1), "river PageHinkley": PageHinkley
}  # fmt: skip


def z_tests(table: Table) -> int:
    """Streams of a bucket in which two proportions differ with p < 0.05, pooled variance."""
    n1, n2 = np.maximum(table.n1, 1), np.maximum(table.n2, 1)
    pooled = (table.s1 + table.s2) / (n1 + n2)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    return int((np.abs(table.s1 / n1 - table.s2 / n2) > stats.norm.ppf(0.975) * error).sum())


class Windows:
    """Hourly windows of S streams against a sample: PSI of deciles over 0.2, KS with p < 0.05.

    Args:
        sample: float64[S, rows].
    """

    def __init__(self, sample: Floats) -> None:
        self._sample = np.sort(sample, axis=1)
        self._edges = np.quantile(sample, DECILES, axis=1).T
        self._held: list[Floats] = []
        self.alarms = {"PSI 0.2, hourly": 0.0, "KS p<0.05, hourly": 0.0}

    def take(self, drawn: Floats) -> None:
        """Values of a bucket, float64[S, n]."""
        self._held.append(drawn)

    def close(self) -> None:
        """Judge the window and begin the next."""
        window = np.concatenate(self._held, axis=1)
        self._held = []
        for live, known, edges in zip(window, self._sample, self._edges, strict=True):
            shares = [self._shares(part, edges) for part in (live, known)]
            self.alarms["PSI 0.2, hourly"] += float(psi(*shares)) > PSI_ALARM
            test = stats.ks_2samp(live, known, method="asymp")
            self.alarms["KS p<0.05, hourly"] += bool(test.pvalue < 0.05)

    @staticmethod
    def _shares(part: Floats, edges: Floats) -> Floats:
        counts = np.bincount(np.searchsorted(edges, part), minlength=edges.size + 1) + 0.5
        shares: Floats = counts / counts.sum()
        return shares


def psi(live: Floats, known: Floats) -> float:
    """Population stability index of two lists of shares."""
    return float(((live - known) * np.log(live / known)).sum())


def river_alarms(stream: Floats, rows_slow: int) -> dict[str, float]:
    """Alarms of river's detectors that read a stream row by row.

    KSWIN takes 0.3 ms a row: it reads the first `rows_slow` only, and its alarms are scaled to all of them.
    """
    found = {}
    for name, make in RIVER.items():
        read = min(rows_slow, stream.size) if "KSWIN" in name else stream.size
        detector, alarms = make(), 0
        for value in stream[:read].tolist():
            detector.update(value)
            alarms += detector.drift_detected
        found[name] = math.floor(alarms * stream.size / read)
    return {name: float(alarms) for name, alarms in found.items()}
