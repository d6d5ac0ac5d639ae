"""Changes of unit: found, named, told from ordinary drift, and never seen where there is none."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
from scipy import stats

from monitor.core.counters import Counts
from monitor.core.drift import scale
from monitor.core.drift.layout import MAGNITUDES, SCALE_CELLS
from monitor.core.drift.scale import Distribution, explain
from monitor.core.drift.units import CHANGES
from monitor.core.schema.feature import QUANTILE_LEVELS

Draw = Callable[[np.random.Generator, int], np.ndarray]

FEATURES: dict[str, Draw] = {
    "lognormal": lambda rng, n: rng.lognormal(5.0, 0.5, n),
    "wide lognormal": lambda rng, n: rng.lognormal(3.0, 1.0, n),
    "gamma": lambda rng, n: rng.gamma(2.0, 30.0, n),
    "normal": lambda rng, n: np.maximum(rng.normal(50.0, 10.0, n), 0.1),
    "uniform": lambda rng, n: rng.uniform(0.0, 1.0, n),
}
NAMED = sorted(
    {change.slope: change for change in CHANGES if change.is_factor}.values(), key=lambda c: c.slope
)
FACTORS = [c.slope for c in NAMED if c is next(o for o in CHANGES if o.words == c.words)]


def cells(values: np.ndarray) -> Counts:
    """Count values by magnitude, one by one."""
    counts = np.zeros(SCALE_CELLS, np.int64)
    for value in values.tolist():
        if value == 0:
            counts[0] += 1
            continue
        place = min(max(int(np.floor((np.log10(abs(value)) + 12) * 24)), 0), MAGNITUDES - 1)
        counts[1 + place + (MAGNITUDES if value < 0 else 0)] += 1
    return counts


def normal(mean: float, rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(mean, 4.0, n)


def reference(draw: Draw, rng: np.random.Generator, rows: int = 10_000) -> Distribution:
    return Distribution(tuple(np.quantile(draw(rng, rows), QUANTILE_LEVELS).tolist()), QUANTILE_LEVELS, rows)


def trials(rows: int, share: float, repeats: int) -> Iterator[tuple[float, scale.ScaleShift | None]]:
    rng = np.random.default_rng(rows + round(100 * share))
    for draw in FEATURES.values():
        before = reference(draw, rng)
        for factor, _ in itertools.product(FACTORS, range(repeats)):
            values = draw(rng, rows)
            yield factor, explain(before, cells(np.where(rng.random(rows) < share, factor * values, values)))


def names(found: scale.ScaleShift, factor: float) -> bool:
    return any(change.is_factor and change.slope == pytest.approx(factor) for change in found.changes)


def test_whole_shifts_are_found_in_200_rows() -> None:
    found = [shift is not None for _, shift in trials(200, 1.0, 2)]
    assert np.mean(found) >= 0.99


def test_their_factor_is_named_in_1000_rows() -> None:
    told = [(shift is not None and names(shift, factor), shift) for factor, shift in trials(1_000, 1.0, 1)]
    assert np.mean([named for named, _ in told]) >= 0.95
    assert np.mean([len(shift.changes) for _, shift in told if shift is not None]) < 1.5


def test_a_third_of_the_rows_is_found_in_1000() -> None:
    """Factors below 3 are left out: a third of such rows cannot be told from a change of shape."""
    wide = [(f, s) for f, s in trials(1_000, 0.3, 1) if not 1 / 3 < f < 3]
    assert np.mean([shift is not None for _, shift in wide]) >= 0.95
    shares = [shift.share for f, shift in wide if shift is not None and names(shift, f)]
    assert np.median(shares) == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("rows", [50, 200, 1_000])
def test_clean_windows_have_none(rows: int) -> None:
    rng = np.random.default_rng(rows)
    for draw in FEATURES.values():
        before = reference(draw, rng)
        assert all(explain(before, cells(draw(rng, rows))) is None for _ in range(30))


def test_ordinary_drift_is_not_named() -> None:
    rng = np.random.default_rng(4)
    named = 0
    tried = 0
    for draw in FEATURES.values():
        before = reference(draw, rng)
        sample = draw(rng, 5_000)
        sd, quartiles = sample.std(), np.quantile(sample, [0.25, 0.5, 0.75])
        for _ in range(6):
            values = draw(rng, 1_000)
            few = rng.random(1_000) < 0.3
            for drifted in (
                values + 0.5 * sd,
                values + sd,
                1.3 * values,
                np.where(few, quartiles[2], values),
                np.where(few, 0.0, values),
                rng.choice(sample[sample > quartiles[1]], 1_000),
                rng.choice(sample[sample < quartiles[1]], 1_000),
            ):
                tried += 1
                named += explain(before, cells(drifted)) is not None
    assert named <= 0.03 * tried


@pytest.mark.parametrize(
    ("words", "convert"),
    [
        ("Fahrenheit instead of Celsius", lambda x: 1.8 * x + 32),
        ("kelvin instead of Celsius", lambda x: x + 273.15),
        ("the opposite sign", lambda x: -x),
    ],
)
def test_affine_changes_of_temperature(words: str, convert: Callable[[np.ndarray], np.ndarray]) -> None:
    rng = np.random.default_rng(5)
    for mean in (15.0, 21.0, 37.0):
        before = reference(partial(normal, mean), rng)
        found = explain(before, cells(convert(rng.normal(mean, 4.0, 1_000))))
        assert found is not None
        assert found.changes[0].words == words
        assert found.share == 1.0


def test_yen_at_another_rate_are_yen() -> None:
    rng = np.random.default_rng(6)
    before = reference(FEATURES["lognormal"], rng)
    for rate in (139.0, 150.0, 161.0):
        found = explain(before, cells(rate * FEATURES["lognormal"](rng, 1_000)))
        assert found is not None
        assert found.changes[0].words == "yen instead of dollars or euros"


def test_few_rows_name_nothing() -> None:
    rng = np.random.default_rng(7)
    before = reference(FEATURES["lognormal"], rng)
    assert explain(before, cells(100 * FEATURES["lognormal"](rng, 49))) is None


def test_a_reference_can_be_counted() -> None:
    """From cells as from quantiles: the distribution function of the values they came from."""
    rng = np.random.default_rng(8)
    values = rng.lognormal(2.0, 0.7, 20_000)
    at = np.array([0.5, 3.0, 7.4, 20.0, 60.0])
    expected = stats.lognorm(0.7, scale=np.exp(2.0)).cdf(at)
    counted = Distribution.of_cells(cells(values))
    assert counted is not None
    assert counted.below(at) == pytest.approx(expected, abs=0.01)
    told = Distribution(tuple(np.quantile(values, QUANTILE_LEVELS).tolist()), QUANTILE_LEVELS, 20_000)
    assert told.below(at) == pytest.approx(expected, abs=0.01)
    assert Distribution.of_cells(cells(values[:49])) is None


def test_heaps_and_signs() -> None:
    """Half of the values are one number: no tail is made up beyond it, and no sign changes."""
    heap = Distribution((0.0, 0.0, 0.0, 5.0, 9.0), (0.1, 0.3, 0.6, 0.8, 0.9), 1_000)
    assert heap.below(np.array([-1.0, 0.1])).tolist() == [0.0, pytest.approx(0.6, abs=0.02)]
    losses = Distribution((-90.0, -40.0, -5.0), (0.1, 0.5, 0.9), 1_000)
    assert losses.below(np.array([0.0, 10.0])).tolist() == [1.0, 1.0]
