"""What redis-py raises, as what it means to us."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from monitor.core.errors import StoreRefused, StoreUnavailable
from monitor.edges.redis.link import plain_errors

PIPELINED = "Command # 1 (HGETALL mon:partitions) of pipeline caused error: "


@pytest.mark.parametrize("before", ["", PIPELINED])
@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("BUSY Redis is busy running a script.", StoreUnavailable),
        ("MISCONF Errors writing to the AOF file", StoreUnavailable),
        ("DB index is out of range", StoreRefused),
        ("WRONGTYPE Operation against a key", ResponseError),
    ],
)
def test_an_answer_means_the_same_alone_and_in_a_pipeline(
    before: str, said: str, means: type[Exception]
) -> None:
    with pytest.raises(means), plain_errors():
        raise ResponseError(before + said)
