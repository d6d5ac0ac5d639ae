"""The stores the laws are tried on, each with the means to go wrong: roll back, be wiped, let time pass."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import pytest
import redis

from monitor.edges.memory import ManualClock, MemoryStore
from monitor.edges.redis import RedisReader, RedisStore
from monitor.edges.redis.payload import Limits
from monitor.ports import EvaluatorStore, Store
from tests.support.redis_servers import redis_binary, running, valkey_binary

WAITS_S: Mapping[str, int] = {"m": 3_600, "other": 3_600, "brief": 1}
"""Label waits: of `brief`, a generation of stubs is half a second."""

BACKENDS = ("memory", "valkey", "redis")


class Backend(Protocol):
    """One empty store that workers share."""

    def fresh(self, shards: int) -> None:
        """Forget everything; the stores made from now on have so many shards."""
        ...

    async def store(self) -> Store:
        """The store as a new worker sees it."""
        ...

    def reader(self) -> EvaluatorStore: ...

    def snapshot(self, shard: int) -> Any:
        """All that is in a shard."""
        ...

    def roll_back(self, shard: int, snapshot: Any) -> None: ...

    def lose_shard(self, shard: int) -> None: ...

    def pass_ms(self, wait_ms: int) -> None:
        """Return when the store's own clock has moved on by so much."""
        ...

    def close(self) -> None: ...


class MemoryBackend:
    """Workers share one `MemoryStore`."""

    def __init__(self) -> None:
        self.fresh(1)

    def fresh(self, shards: int) -> None:
        self.clock = ManualClock(1_700_000_000_000)
        self._store = MemoryStore(shards, WAITS_S, self.clock, outbox_max=100)

    async def store(self) -> Store:
        return self._store

    def reader(self) -> EvaluatorStore:
        return self._store.reader()

    def snapshot(self, shard: int) -> Any:
        return copy.deepcopy(self._store.contents.shards[shard])

    def roll_back(self, shard: int, snapshot: Any) -> None:
        self._store.contents.shards[shard] = copy.deepcopy(snapshot)

    def lose_shard(self, shard: int) -> None:
        self._store.contents.shards[shard] = type(self._store.contents.shards[shard])()

    def pass_ms(self, wait_ms: int) -> None:
        self.clock.advance(wait_ms / 1_000)

    def close(self) -> None:
        pass


class RedisBackend:
    """Each worker has connections of its own to one server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.raw = redis.Redis.from_url(url)
        self._readers: list[RedisReader] = []
        self.fresh(1)

    def fresh(self, shards: int) -> None:
        self.raw.flushall()
        self._shards = shards

    async def store(self) -> Store:
        store = RedisStore(self.url, self._shards, WAITS_S, stub_parts=4, limits=Limits(outbox_max=100))
        await store.open()
        return store

    def reader(self) -> EvaluatorStore:
        reader = RedisReader(self.url, self._shards)
        self._readers.append(reader)
        return reader

    def snapshot(self, shard: int) -> Any:
        kept: dict[bytes, tuple[bytes, int]] = {}
        for key in self.raw.scan_iter(match=f"{{mon:{shard}}}:*", count=1_000):
            kept[key] = (self.raw.dump(key) or b"", max(self.raw.pttl(key), 0))
        return kept

    def roll_back(self, shard: int, snapshot: Any) -> None:
        self.lose_shard(shard)
        for key, (value, ttl_ms) in snapshot.items():
            self.raw.restore(key, ttl_ms, value)

    def lose_shard(self, shard: int) -> None:
        for key in list(self.raw.scan_iter(match=f"{{mon:{shard}}}:*", count=1_000)):
            self.raw.delete(key)

    def pass_ms(self, wait_ms: int) -> None:
        end_ms = self._now_ms() + wait_ms
        while (left_ms := end_ms - self._now_ms()) > 0:
            time.sleep(left_ms / 1_000)

    def close(self) -> None:
        for reader in self._readers:
            reader.close()
        self.raw.close()

    def _now_ms(self) -> int:
        seconds, microseconds = self.raw.time()
        return int(seconds) * 1_000 + int(microseconds) // 1_000


@contextmanager
def backend(name: str) -> Iterator[Backend]:
    """A backend by name; skips where the machine has no such server."""
    if name == "memory":
        yield MemoryBackend()
        return
    binary = valkey_binary() if name == "valkey" else redis_binary()
    if binary is None:
        pytest.skip("no redis-server on this machine: the store laws ran on memory and Valkey only")
    with running(name, binary) as server:
        made = RedisBackend(server.url)
        try:
            yield made
        finally:
            made.close()
