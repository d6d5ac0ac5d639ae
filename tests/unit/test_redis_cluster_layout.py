"""Who serves a slot of a Redis Cluster, as far as is known."""

from __future__ import annotations

import pytest
from redis.exceptions import ClusterDownError

from monitor.edges.redis.cluster import Layout, slot_of

SEED = ("seed", 7000)
SLOTS = [
    [0, 8_000, [b"", 7001, b"id-1"], [b"replica", 7003, b"id-3"]],
    [8_001, 16_000, ["10.0.0.2", 7002, "id-2"]],
]


def test_a_slot_is_that_of_the_first_key_and_its_tag() -> None:
    assert slot_of(("HGET", "{mon:3}:fence", "p")) == slot_of(("EVALSHA", "sha", 1, b"{mon:3}:other"))
    assert slot_of(("HGET", "{mon:3}:fence")) != slot_of(("HGET", "{mon:4}:fence"))
    assert slot_of(("TIME",)) == 0


def test_a_node_without_a_name_is_the_one_that_was_asked() -> None:
    layout = Layout(SEED)
    assert layout.addresses == [SEED]
    layout.read(SEED, SLOTS)
    assert layout.known
    assert layout.owner(8_000) == ("seed", 7001)
    assert layout.owner(8_001) == ("10.0.0.2", 7002)
    assert layout.primaries == [("seed", 7001), ("10.0.0.2", 7002)]
    with pytest.raises(ClusterDownError):
        layout.owner(16_383)


def test_a_slot_that_moved_is_known_until_the_layout_is_read_anew() -> None:
    layout = Layout(SEED)
    layout.read(SEED, SLOTS)
    layout.move(5, ("new", 7009))
    assert (layout.owner(5), layout.owner(6)) == (("new", 7009), ("seed", 7001))
    layout.read(SEED, SLOTS)
    assert layout.owner(5) == ("seed", 7001)


def test_after_an_outage_the_layout_is_asked_of_another_node_first() -> None:
    layout = Layout(SEED)
    layout.read(SEED, SLOTS)
    with pytest.raises(ConnectionRefusedError), layout.doubted():
        raise ConnectionRefusedError
    assert not layout.known
    layout.put_off(("seed", 7001))
    assert layout.addresses == [("replica", 7003), ("10.0.0.2", 7002), ("seed", 7001), SEED]
