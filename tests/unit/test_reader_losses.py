"""Errors of a regression before its labels, from records through counters to the reading library."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.core.counters import DEFAULT_TIERS, LOSSES, CellKey
from monitor.core.errors import QueryError
from monitor.core.estimation import ESTIMATES_OF
from monitor.core.reports import SliceReport
from monitor.core.slices.spec import slice_key
from monitor.core.tasks import Regression
from monitor.core.tasks.losses import Losses, value_bin, value_sizes
from monitor.edges.memory import MemoryStore
from monitor.edges.reader import MetricsReader
from tests.unit.test_tasks import MODEL, START_S, counted

Floats = NDArray[np.float64]

NAMES: Final = ESTIMATES_OF["regression"]
HOUR: Final = 3_600
LIVE_S: Final = START_S + 8 * HOUR
"""Labels of what was predicted before have come."""


class Prices:
    """Prices of houses off by 10 %, in the south by 20 %; dearer houses from `LIVE_S` on."""

    def __init__(self, past: int, live: int, *, unit: float = 1.0, labelled: float = 1.0) -> None:
        rng = np.random.default_rng(23)
        rows = past + live
        self.south = rng.random(rows) < 0.3
        self.value = rng.lognormal(np.where(np.arange(rows) < past, 12.0, 12.3), 0.5)
        self.error = rng.normal(0, np.where(self.south, 0.2, 0.1)) * self.value
        self.times_s = np.concatenate(
            [np.linspace(START_S, LIVE_S - 60, past), np.linspace(LIVE_S, LIVE_S + HOUR - 60, live)]
        ).astype(int)
        known = (np.arange(rows) < past) & (rng.random(rows) < labelled)
        features = [{"side": "south" if south else "north"} for south in self.south]
        predictions: list[dict[str, Any]] = [
            {"request_id": f"r{i}", "model": MODEL, "timestamp": self.times_s[i].item() * 1000,
             "features": {"sex": features[i]["side"]}, "value": self.value[i].item()}
            for i in range(rows)
        ]  # fmt: skip
        labels = [
            {"request_id": f"r{i}", "model": MODEL, "timestamp": (self.times_s[i].item() + 30) * 1000,
             "label": (self.value - self.error)[i].item()}
            for i in np.flatnonzero(known).tolist()
        ]  # fmt: skip
        self.live = np.arange(rows) >= past
        self.store: MemoryStore = counted(
            Regression.in_units_of(unit), predictions, labels, rows=2_000, until_s=LIVE_S + HOUR
        )
        self.reader = MetricsReader(self.store.reader())

    def realised(self, of: NDArray[np.bool_]) -> tuple[float, float]:
        error = self.error[self.live & of]
        return float(np.abs(error).mean()), float(np.sqrt((error**2).mean()))


def by_side(reports: list[SliceReport]) -> list[SliceReport]:
    """All traffic and the two sides, without what else is declared."""
    return [report for report in reports if report.slice.keys() <= {"sex"}]


@pytest.mark.parametrize("unit", [1.0, 1e5])
def test_errors_are_told_before_their_labels(unit: float) -> None:
    prices = Prices(3_000, 1_000, unit=unit)
    reports = by_side(prices.reader.slices(MODEL, from_=LIVE_S))
    assert [report.labelled for report in reports] == [0, 0, 0]
    for report in reports:
        side = report.slice.get("sex")
        of = np.ones(len(prices.south), np.bool_) if side is None else prices.south == (side == "south")
        for name, truth in zip(NAMES, prices.realised(of), strict=True):
            estimate = report[name]
            assert estimate.low is not None, estimate.reason
            assert estimate.high is not None
            assert estimate.low <= truth <= estimate.high, (side, name)
            assert estimate.high - estimate.low < 0.4 * truth
            assert estimate.estimated
    answer = json.loads(json.dumps(reports[0].to_dict()))
    assert answer["mae"]["value"] is None
    assert answer["estimated_mae"]["estimate"] is True
    one = prices.reader.slices(MODEL, from_=LIVE_S, metrics=["estimated_rmse"])[0]
    assert one.estimates == {"estimated_rmse": reports[0]["estimated_rmse"]}


def test_why_there_is_none_is_told() -> None:
    def reasons(prices: Prices, **options: Any) -> list[str | None]:
        reports = by_side(prices.reader.slices(MODEL, from_=LIVE_S, **options))
        return [report["estimated_mae"].reason for report in reports]

    partly = Prices(2_000, 300, labelled=0.5)
    unripe = "no labelled history: no bucket before the window has 95% of its labels"
    assert reasons(partly) == [unripe] * 3
    assert reasons(partly, ready_at=0.3) == [None] * 3
    assert reasons(Prices(0, 50)) == ["no labelled history: nothing before the window has labels"] * 3
    few = reasons(Prices(90, 50))
    assert few == ["labelled history of 90 rows; 100 are needed"] * 3
    with pytest.raises(QueryError, match="estimated for slices and has no series"):
        partly.reader.series(MODEL, metric="estimated_mae", from_=LIVE_S)


def test_the_cells_are_a_recount() -> None:
    prices = Prices(300, 100, unit=1000.0)
    reader = prices.store.reader()
    named = reader.registry(MODEL, "slices")
    slices: dict[str | None, int] = {None: 0}
    slices |= {side: named[slice_key({"sex": side})] for side in ("south", "north")}
    day = next(tier for tier in DEFAULT_TIERS if tier.name == "1d")
    for side, number in slices.items():
        keys = [CellKey(LOSSES, day, START_S // 86_400 * 86_400 + at, MODEL, number) for at in (0, 86_400)]
        found = [Losses.of(cells) for cells in reader.read(keys)]
        of = np.ones(len(prices.south), np.bool_) if side is None else prices.south == (side == "south")
        value, error = prices.value[of] / 1024, prices.error[of] / 1024
        # The bins in the order of their values: a larger value is never in an earlier one.
        place = np.searchsorted(value_sizes()[len(value_sizes()) // 2 + 1 :] * 2 ** (1 / 8), value)
        bins = place + len(value_sizes()) // 2 + 1
        judged = ~prices.live[of]
        width = len(value_sizes())
        valued = sum(each.valued for each in found)
        assert np.array_equal(valued, np.bincount(bins, minlength=width))
        assert np.array_equal(sum(each.judged for each in found), np.bincount(bins[judged], minlength=width))
        error_1 = np.bincount(bins[judged], np.abs(error[judged]), width)
        error_2 = np.bincount(bins[judged], error[judged] ** 2, width)
        assert sum(each.error for each in found) == pytest.approx(error_1, rel=1e-6)
        assert sum(each.error_2 for each in found) == pytest.approx(error_2, rel=1e-6)


def test_bins_are_in_the_order_of_values() -> None:
    values = np.array([-1e9, -300.0, -0.5, 0.0, 0.5, 300.0, 1e9])
    arrays = np.zeros(len(value_sizes()) * 7, np.int64)
    places = []
    for value in values:
        arrays[:] = 0
        arrays[value_bin(np.array([value])) * 7] = 1
        places.append(int(np.flatnonzero(Losses.of(arrays).valued)[0]))
    assert places == sorted(set(places))
    assert value_sizes()[places[-2]] == pytest.approx(300, rel=0.1)
