"""One run of the nemesis, on the bundled broker: what `make chaos` does at length works and finds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.nemesis import is_clean, run
from tests.chaos.world import Broker


@pytest.mark.timeout(900)
def test_a_worker_killed_inside_its_flush_counts_once(
    kafka: str, kafka_is_apache: bool, tmp_path: Path
) -> None:
    if kafka_is_apache:
        pytest.skip("the nemesis starts an Apache broker of its own: make chaos")
    (inside,) = (fault for fault in FAULTS if fault.name == "kill_inside_flush")
    entry = run(Broker(kafka), seed=3, requests=500, directory=tmp_path, only=inside)
    assert is_clean(entry), entry
    assert entry["faults"][0]["struck"], entry
    assert entry["cells"] > 1_000
