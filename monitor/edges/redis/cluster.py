"""A Redis Cluster: which node serves a slot, and where to go when it no longer does.

redis-py's own cluster clients lose their footing just when it matters. While a slot migrates they send ASKING
over one connection of a pool and the command over another, and fail on a node that has no slot yet; the
asynchronous one breaks connections under calls that are on their way when the layout changes. Here a call
follows the redirections of the cluster; whatever else goes wrong is raised, and has the layout read anew
before the next call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from redis import ConnectionPool, Redis, exceptions
from redis.asyncio import ConnectionPool as AsyncConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.crc import key_slot

Address = tuple[str, int]

_REDIRECTIONS_MAX: Final = 5
_UNNAMED: Final = ("", "?")
_DOUBTS: Final = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ClusterError, OSError)
"""After these the layout may be another."""


def slot_of(command: Sequence[Any]) -> int:
    """Slot of a command by its first key: the first argument, or what follows a script and its count of keys.

    A command without one (TIME, PING) has the first slot.
    """
    if len(command) == 1:
        return 0
    key = command[3] if command[0] in {"EVAL", "EVALSHA"} else command[1]
    return int(key_slot(key.encode() if isinstance(key, str) else key))


class Layout:
    """Who serves which slot, as far as is known.

    Args:
        seed: the node that was named.

    Attributes:
        known: False until it was read, and again once something went wrong.
    """

    def __init__(self, seed: Address) -> None:
        self.known = False
        self._seed = seed
        self._addresses: list[Address] = []
        self._ranges: list[tuple[int, int, Address]] = []
        self._moved: dict[int, Address] = {}

    @property
    def addresses(self) -> list[Address]:
        """Whom to ask for the layout, in this order."""
        return [*self._addresses, *(() if self._seed in self._addresses else (self._seed,))]

    @property
    def primaries(self) -> list[Address]:
        """Every node that serves slots."""
        return list(dict.fromkeys(address for _, _, address in self._ranges))

    def put_off(self, address: Address) -> None:
        """Ask this node last: it did not answer, or others have not been asked for long."""
        self._addresses = [*(a for a in self._addresses if a != address), address]

    def read(self, asked: Address, slots: Iterable[Sequence[Any]]) -> None:
        """Take over what `CLUSTER SLOTS` answered at a node."""
        self._ranges, self._moved = [], {}
        found: dict[Address, None] = {}
        for first, last, *nodes in slots:
            served = [_address(node, asked) for node in nodes]
            found |= dict.fromkeys(served)
            self._ranges.append((first, last, served[0]))
        self._addresses = list(found)
        self.known = True

    def move(self, slot: int, address: Address) -> None:
        """A slot is served elsewhere now."""
        self._moved[slot] = address

    @contextmanager
    def doubted(self) -> Iterator[None]:
        """Have it read anew after a call that failed."""
        try:
            yield
        except _DOUBTS:
            self.known = False
            raise

    def owner(self, slot: int) -> Address:
        """Who serves a slot.

        Raises:
            redis.exceptions.ClusterDownError: nobody.
        """
        if slot in self._moved:
            return self._moved[slot]
        for first, last, address in self._ranges:
            if first <= slot <= last:
                return address
        raise exceptions.ClusterDownError(f"no node serves slot {slot}")


def _address(node: Sequence[Any], asked: Address) -> Address:
    host = node[0].decode() if isinstance(node[0], bytes) else node[0]
    return (asked[0] if host is None or host in _UNNAMED else host, int(node[1]))


def _redirection(error: exceptions.AskError, asked: Address) -> Address:
    """Where an error sends us; an empty host is the node's own."""
    return (error.host or asked[0], error.port)


def _at(pool: Any, address: Address) -> dict[str, Any]:
    """Options of a connection to another node than the pool's."""
    return {**pool.connection_kwargs, "host": address[0], "port": address[1]}


def address_of(client: Any) -> Address:
    """Where a client connects to."""
    options: Mapping[str, Any] = client.connection_pool.connection_kwargs
    return options.get("host", "localhost"), options.get("port", 6379)


class AsyncCluster:
    """Runs commands where their first key is served.

    Args:
        seed: a client of one node; closed with this one.
    """

    def __init__(self, seed: Any) -> None:  # redis-py's clients are typed in part only
        self._seed = seed
        self._clients: dict[Address, Any] = {address_of(seed): seed}
        self._layout = Layout(address_of(seed))

    async def aclose(self) -> None:
        """Release the connections."""
        for client in self._clients.values():
            await client.aclose()

    async def execute_command(self, *command: Any) -> Any:
        """Run a command at the node that serves its first key."""
        await self._know()
        slot = slot_of(command)
        with self._layout.doubted():
            address, asking = self._layout.owner(slot), False
            for _ in range(_REDIRECTIONS_MAX):
                try:
                    return await self._run(address, command, asking=asking)
                except exceptions.MovedError as error:
                    address, asking = _redirection(error, address), False
                    self._layout.move(slot, address)
                except exceptions.AskError as error:
                    address, asking = _redirection(error, address), True
            raise exceptions.ClusterError(f"sent on {_REDIRECTIONS_MAX} times for slot {slot}")

    async def of_primaries(self, *command: Any) -> list[Any]:
        """The answer of every node that serves slots."""
        await self._know()
        with self._layout.doubted():
            return [await self._run(address, command, asking=False) for address in self._layout.primaries]

    async def _know(self) -> None:
        if self._layout.known:
            return
        failure: Exception | None = None
        for address in self._layout.addresses:
            try:
                self._layout.read(address, await self._client(address).execute_command("CLUSTER", "SLOTS"))
            except _DOUBTS as error:
                failure = error
            else:
                self._layout.put_off(address)
                return
            self._layout.put_off(address)
        assert failure is not None
        raise failure

    async def _run(self, address: Address, command: Sequence[Any], *, asking: bool) -> Any:
        client = self._client(address)
        if not asking:
            return await client.execute_command(*command)
        # ASKING holds for the next command of its connection.
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.execute_command("ASKING")
            pipeline.execute_command(*command)
            _, answer = await pipeline.execute(raise_on_error=False)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _client(self, address: Address) -> Any:
        if address not in self._clients:
            pool = self._seed.connection_pool
            made = AsyncConnectionPool(connection_class=pool.connection_class, **_at(pool, address))
            self._clients[address] = AsyncRedis.from_pool(made)
        return self._clients[address]


class Cluster:
    """The same, synchronous.

    Args:
        seed: a client of one node; closed with this one.
    """

    def __init__(self, seed: Any) -> None:
        self._seed = seed
        self._clients: dict[Address, Any] = {address_of(seed): seed}
        self._layout = Layout(address_of(seed))

    def close(self) -> None:
        """Release the connections."""
        for client in self._clients.values():
            client.close()

    def execute_command(self, *command: Any) -> Any:
        """Run a command at the node that serves its first key."""
        (answer,) = self.many([command])
        return answer

    def many(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Run commands with one round trip to each node; those sent on have one of their own."""
        self._know()
        answers: list[Any] = [None] * len(commands)
        with self._layout.doubted():
            by_owner: dict[Address, list[int]] = {}
            for row, command in enumerate(commands):
                by_owner.setdefault(self._layout.owner(slot_of(command)), []).append(row)
            for address, rows in by_owner.items():
                found = self._run(address, [commands[row] for row in rows])
                for row, answer in zip(rows, found, strict=True):
                    answers[row] = self._follow(address, commands[row], answer)
        return answers

    def _follow(self, address: Address, command: Sequence[Any], answer: Any) -> Any:
        """What a command comes to in the end."""
        for _ in range(_REDIRECTIONS_MAX):
            if isinstance(answer, exceptions.MovedError):
                address = _redirection(answer, address)
                self._layout.move(answer.slot_id, address)
                (answer,) = self._run(address, [command])
            elif isinstance(answer, exceptions.AskError):
                address = _redirection(answer, address)
                _, answer = self._run(address, [("ASKING",), command])
            elif isinstance(answer, Exception):
                raise answer
            else:
                return answer
        raise exceptions.ClusterError(f"sent on {_REDIRECTIONS_MAX} times for slot {slot_of(command)}")

    def _run(self, address: Address, commands: Sequence[Sequence[Any]]) -> list[Any]:
        with self._client(address).pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return list(pipeline.execute(raise_on_error=False))

    def _know(self) -> None:
        if self._layout.known:
            return
        failure: Exception | None = None
        for address in self._layout.addresses:
            try:
                self._layout.read(address, self._client(address).execute_command("CLUSTER", "SLOTS"))
            except _DOUBTS as error:
                failure = error
            else:
                self._layout.put_off(address)
                return
            self._layout.put_off(address)
        assert failure is not None
        raise failure

    def _client(self, address: Address) -> Any:
        if address not in self._clients:
            pool = self._seed.connection_pool
            made = ConnectionPool(connection_class=pool.connection_class, **_at(pool, address))
            self._clients[address] = Redis.from_pool(made)
        return self._clients[address]
