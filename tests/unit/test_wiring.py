"""What settings come to when a worker is made of them."""

from __future__ import annotations

import pytest

from monitor.config import Settings
from monitor.wiring import worker_config
from tests.support.settings import raw


@pytest.mark.parametrize(("shards", "models", "times"), [(1, 1, 1), (3, 2, 6), (16, 1, 8), (1, 20, 4)])
def test_more_shards_and_models_take_larger_chunks(shards: int, models: int, times: int) -> None:
    one, more = (
        worker_config(
            Settings.model_validate(
                raw(
                    redis={"url": "redis://localhost", "shards": shards},
                    models={f"m{i}": {} for i in range(models)},
                )
            )
        )
        for shards, models in ((1, 1), (shards, models))
    )
    assert more.poll_records_max == times * one.poll_records_max
    assert more.fetch_bytes_max == times * one.fetch_bytes_max
