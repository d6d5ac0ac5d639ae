"""The rows a failure takes to be seen, foretold and measured."""

import math

import numpy as np
import pytest

from monitor.core.evidence import conditional
from monitor.core.evidence.edetector import Tracker, advance
from monitor.core.evidence.power import rows_needed


@pytest.mark.parametrize(
    ("failing", "share", "tolerated"), [(0.2, 0.05, 1.25), (0.3, 0.3, 1.25), (0.2, 0.05, 1.0)]
)
def test_what_is_foretold_is_what_it_takes(failing: float, share: float, tolerated: float) -> None:
    streams, rows, bar = 60, 50, 15.0
    rng = np.random.default_rng(2)
    n1, n2 = np.full(streams, rows), np.full(streams, round(rows * (1 - share) / share))
    tracker = Tracker.fresh(streams, len(conditional.ODDS_FACTORS), 1)
    psi0 = np.full(streams, tolerated)
    taken = np.full(streams, np.inf)
    for bucket in range(1, 120):
        s1, s2 = rng.binomial(n1, failing), rng.binomial(n2, 0.1)
        log_e = conditional.log_e_values(n1, s1, n2, s2, psi0, conditional.odds_ratios_above(psi0))
        tracker = advance(tracker, log_e, np.zeros((streams, 1)), bucket, np.ones(streams, np.bool_))
        done = (tracker.log_evidence >= bar) & np.isinf(taken)
        taken[done] = bucket * rows
    (foretold,) = rows_needed([0.1], [failing], [tolerated], [share], [bar])
    assert np.median(taken) == pytest.approx(foretold, rel=0.35)


def test_what_is_tolerated_is_never_seen() -> None:
    assert rows_needed([0.1], [0.115], [1.25], [0.05], [15.0]).tolist() == [math.inf]
