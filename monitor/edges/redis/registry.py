"""Append-only registries of names (slices, features, versions) that survive a rollback of any one node.

Shard 0 assigns ids; every other shard holds a copy. A counter array is addressed by id alone, so an id that
a failover forgot and that was then given to another name would silently mix two slices. Two rules prevent it:
names are copied to all shards before their ids are used, and every flush is checked, in its own shard and
in the same script, against the greatest id this process was given (its value holds a digest of all before).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgpack

from monitor.edges.redis import keys
from monitor.edges.redis.link import AsyncLink

OTHER = 0
"""Id of every name past the limit."""


def id_of(value: bytes) -> int:
    """Id in a registry value `ID:CHAIN`; 0 for the empty value of a name past the limit."""
    return int(value.partition(b":")[0] or OTHER)


def names_of(answer: Mapping[bytes, bytes]) -> dict[str, int]:
    """A registry hash as name → id."""
    return {name.decode(): id_of(value) for name, value in answer.items() if name}


class Registry:
    """The names of one store, with what this process was told of them."""

    def __init__(self, link: AsyncLink, shards: int) -> None:
        self._link = link
        self._shards = shards
        self._greatest: dict[tuple[str, str], tuple[str, bytes]] = {}

    async def ids(self, model: str, family: str, names: Sequence[str], limit: int) -> list[int]:
        """See `monitor.ports.Store.ids`."""
        if not names:
            return []
        main = keys.ids(0, model, family)
        known: list[Any] = []
        if self._shards > 1 and None in await self._link.call("HMGET", main, *names):
            known = await self._copies(model, family)
        request = msgpack.packb([list(names), known], use_bin_type=False)
        values: list[bytes] = await self._link.script("ids", [main], limit, request)
        await self._told(model, family, dict(zip(names, values, strict=True)))
        return [id_of(value) for value in values]

    async def all(self, model: str, family: str) -> dict[str, int]:
        """See `monitor.ports.Store.registry`."""
        answer: dict[bytes, bytes] = await self._link.call("HGETALL", keys.ids(0, model, family))
        await self._told(model, family, {name.decode(): value for name, value in answer.items() if name})
        return names_of(answer)

    def checks(self, shard: int, models: Iterable[str]) -> list[tuple[str, str, bytes]]:
        """What must hold in a shard for ids of these models to mean what this process believes."""
        wanted = set(models)
        return [
            (keys.ids(shard, model, family), name, value)
            for (model, family), (name, value) in self._greatest.items()
            if model in wanted
        ]

    def forget(self) -> None:
        """Drop what was told before a rewind; ids asked for afterwards are checked afresh."""
        self._greatest.clear()

    async def _told(self, model: str, family: str, values: Mapping[str, bytes]) -> None:
        given = {name: value for name, value in values.items() if value}
        if not given:
            return
        for shard in range(1, self._shards):
            flat = [item for pair in given.items() for item in pair]
            await self._link.script("record", [keys.ids(shard, model, family)], *flat)
        name = max(given, key=lambda each: id_of(given[each]))
        greatest = self._greatest.get((model, family))
        if greatest is None or id_of(given[name]) >= id_of(greatest[1]):
            self._greatest[model, family] = (name, given[name])

    async def _copies(self, model: str, family: str) -> list[Any]:
        union: dict[bytes, bytes] = {}
        for shard in range(1, self._shards):
            union |= await self._link.call("HGETALL", keys.ids(shard, model, family))
        return [item for pair in union.items() for item in pair]
