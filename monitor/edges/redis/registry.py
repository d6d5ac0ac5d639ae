"""Append-only registries of names (slices, features, versions) that survive a store that goes back in time.

A counter array is addressed by id alone, so an id that a failover forgot and that was then given to
another name would silently mix two slices. Three rules prevent it:

- shard 0 assigns ids, and the other shards hold copies before an id is used;
- every flush is checked, in its own shard and in the same script, against the greatest id this process was
  told, whose value holds a digest of all before it;
- what was forgotten is restored from copies and from memory if nothing else was given since; where
  something was, this process must start afresh (`StoreRefused`), for its caller remembers ids, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgpack

from monitor.core.errors import StoreRefused
from monitor.core.understood import understood
from monitor.edges.redis import keys
from monitor.edges.redis.link import AsyncLink

OTHER = 0
"""Id of every name past the limit."""


@understood("a name")
def id_of(value: bytes) -> int:
    """Id in a registry value `ID:CHAIN`; 0 for the empty value of a name past the limit."""
    return int(value.partition(b":")[0] or OTHER)


@understood("a name")
def names_of(answer: Mapping[bytes, bytes]) -> dict[str, int]:
    """A registry hash as name → id."""
    return {name.decode(): id_of(value) for name, value in answer.items() if name}


class Registry:
    """The names of one store, with what this process was told of them."""

    def __init__(self, link: AsyncLink, shards: int) -> None:
        self._link = link
        self._shards = shards
        self._told: defaultdict[tuple[str, str], dict[str, bytes]] = defaultdict(dict)
        self._greatest: dict[tuple[str, str], str] = {}

    async def ids(self, model: str, family: str, names: Sequence[str], limit: int) -> list[int]:
        """See `monitor.ports.Store.ids`.

        Raises:
            StoreRefused: an id this process was told has been given to another name.
        """
        if not names:
            return []
        main = keys.ids(0, model, family)
        if self._shards > 1 and None in await self._link.call("HMGET", main, *names):
            known = await self._remembered(model, family)
        else:
            name = self._greatest.get((model, family))
            known = {} if name is None else {name: self._told[model, family][name]}
        values = await self._assign(main, limit, names, known)
        if values is None:
            values = await self._assign(main, limit, names, await self._remembered(model, family))
        if values is None:
            raise _forgotten(model, family)
        await self._tell(model, family, dict(zip(names, values, strict=True)))
        return [id_of(value) for value in values]

    async def all(self, model: str, family: str) -> dict[str, int]:
        """See `monitor.ports.Store.registry`."""
        answer: dict[bytes, bytes] = await self._link.call("HGETALL", keys.ids(0, model, family))
        await self._tell(model, family, {name.decode(): value for name, value in answer.items() if name})
        return names_of(answer)

    def checks(self, shard: int, models: Iterable[str]) -> list[tuple[str, str, bytes]]:
        """What must hold in a shard for the ids of these models to mean what this process was told."""
        wanted = set(models)
        return [
            (keys.ids(shard, *place), name, self._told[place][name])
            for place, name in self._greatest.items()
            if place[0] in wanted
        ]

    async def restore(self, models: Iterable[str]) -> None:
        """Put back what a shard forgot.

        Raises:
            StoreRefused: an id this process was told has been given to another name.
        """
        wanted = set(models)
        for (model, family), told in list(self._told.items()):
            if model not in wanted:
                continue
            known = await self._remembered(model, family)
            if await self._assign(keys.ids(0, model, family), 0, [], known) is None:
                raise _forgotten(model, family)
            await self._copy(model, family, told)

    async def _assign(
        self, main: str, limit: int, names: Sequence[str], known: Mapping[str, bytes]
    ) -> list[bytes] | None:
        in_order = sorted(known.items(), key=lambda entry: id_of(entry[1]))
        request = [list(names), [item for entry in in_order for item in entry]]
        values: list[bytes] | None
        values = await self._link.script("ids", [main], limit, msgpack.packb(request, use_bin_type=False))
        return values

    async def _tell(self, model: str, family: str, values: Mapping[str, bytes]) -> None:
        given = {name: value for name, value in values.items() if value}
        told = self._told[model, family]
        if any(told.get(name, value) != value for name, value in given.items()):
            raise _forgotten(model, family)
        fresh = {name: value for name, value in given.items() if name not in told}
        await self._copy(model, family, fresh)
        if fresh:
            told.update(fresh)
            self._greatest[model, family] = max(told, key=lambda name: id_of(told[name]))

    async def _copy(self, model: str, family: str, values: Mapping[str, bytes]) -> None:
        if not values:
            return
        flat = [item for entry in values.items() for item in entry]
        for shard in range(1, self._shards):
            recorded = await self._link.script("record", [keys.ids(shard, model, family)], *flat)
            if recorded != list(values.values()):
                raise _forgotten(model, family)

    async def _remembered(self, model: str, family: str) -> dict[str, bytes]:
        """What the copies hold and what this process was told."""
        union: dict[bytes, Any] = {}
        for shard in range(1, self._shards):
            union |= await self._link.call("HGETALL", keys.ids(shard, model, family))
        return {name.decode(): value for name, value in union.items()} | self._told[model, family]


def _forgotten(model: str, family: str) -> StoreRefused:
    return StoreRefused(
        f"the store went back in time and has since given ids of {family} of model {model} to other names "
        "than this process was told: start it again, so that it asks anew"
    )
