"""Connections to Redis, one asynchronous and one not, with their errors in the project's own words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final

from redis import Redis, exceptions
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from monitor.core.errors import StoreRefused, StoreUnavailable
from monitor.edges.redis.cluster import AsyncCluster, Cluster

_OUTAGES: Final = (
    exceptions.ConnectionError,  # loading, too
    exceptions.TimeoutError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.ClusterError,  # down, moving, trying again
    exceptions.MasterDownError,
    exceptions.MovedError,
    exceptions.AskError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
    exceptions.RedisClusterException,
    OSError,
)
"""A Redis that cannot serve now; everything else is a mistake, and raises."""

_OUTAGE_CODES: Final = ("MISCONF", "NOREPLICAS", "BUSY", "UNBLOCKED")
"""Outages for which redis-py has no class of its own."""

_OF_A_PIPELINE: Final = " of pipeline caused error: "

_NO_DATABASE: Final = ("DB index is out of range", "SELECT is not allowed in cluster mode")

_DENIALS: Final = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.NoPermissionError,
)


@cache
def source(script: str) -> str:
    """Text of a Lua script of this package."""
    return resources.files(__package__).joinpath(f"{script}.lua").read_text()


@cache
def digest(script: str) -> str:
    """SHA-1 by which Redis knows a script."""
    return hashlib.sha1(source(script).encode(), usedforsecurity=False).hexdigest()


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn errors of redis-py into `StoreUnavailable` (waited out) or `StoreRefused`; the rest passes."""
    try:
        yield
    except _DENIALS as error:
        raise StoreRefused(f"Redis refused this user ({error}); docs/redis.md lists what it needs") from error
    except _OUTAGES as error:
        raise StoreUnavailable(f"Redis cannot serve now: {str(error) or type(error).__name__}") from error
    except exceptions.ResponseError as error:
        # A pipeline puts the number and the words of the command before what the server said.
        said = str(error).rpartition(_OF_A_PIPELINE)[2]
        if said.startswith(_OUTAGE_CODES):
            raise StoreUnavailable(f"Redis cannot serve now: {error}") from error
        if said.startswith(_NO_DATABASE):
            raise StoreRefused(f"Redis has no such database ({error}): mend the end of redis.url") from error
        raise


@dataclass(frozen=True)
class RedisAccess:
    """Who we are to Redis, and whom we trust; what the URL says is not overridden by None.

    Attributes:
        username: ACL user.
        password: of the user.
        ssl_ca_certs: file of certificate authorities for `rediss://`; the system's where it is None.
        ssl_certfile: our own certificate, PEM, for a Redis that asks for one;
        ssl_keyfile: and its private key.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ssl_ca_certs: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None

    def options(self, timeout_s: float) -> dict[str, Any]:
        """Keyword arguments of a redis-py client."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, **given}


def _is_cluster(client: Any, server: dict[str, Any]) -> bool:
    """Whether a node is one of a cluster, by its INFO.

    Raises:
        StoreRefused: it is, and its other nodes cannot be reached that way.
    """
    if server.get("redis_mode", server.get("server_mode")) != "cluster":
        return False
    if "path" in client.connection_pool.connection_kwargs:
        raise StoreRefused("a Redis Cluster is not reached by unix://: write redis://HOST:PORT/0")
    return True


class AsyncLink:
    """An asynchronous client of a single Redis or, when the server says so, of a Redis Cluster."""

    def __init__(self, url: str, client_options: dict[str, Any]) -> None:
        self._url = url
        self._options = client_options
        self._client: Any = None
        self.cluster = False

    async def open(self) -> None:
        """Connect; a second call starts afresh.

        Raises:
            StoreUnavailable: no answer.
            StoreRefused: credentials.
        """
        await self.close()
        with plain_errors():
            # Nothing is repeated behind our back: the caller waits out an outage and repeats what it wants.
            retry = AsyncRetry(NoBackoff(), 0)
            single = AsyncRedis.from_url(self._url, retry=retry, **self._options)
            try:
                self.cluster = _is_cluster(single, await single.info("server"))
            except BaseException:
                await single.aclose()
                raise
            self._client = AsyncCluster(single) if self.cluster else single

    async def close(self) -> None:
        """Release the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def call(self, *command: Any) -> Any:
        """Run one command."""
        if self._client is None:
            raise StoreUnavailable("the store is not open")
        with plain_errors():
            return await self._client.execute_command(*command)

    async def script(self, name: str, keys: Iterable[str], *arguments: Any) -> Any:
        """Run a Lua script of this package, loading it where the server does not know it."""
        names = list(keys)
        try:
            return await self.call("EVALSHA", digest(name), len(names), *names, *arguments)
        except exceptions.NoScriptError:
            return await self.call("EVAL", source(name), len(names), *names, *arguments)

    async def memory(self) -> list[dict[str, Any]]:
        """The `memory` section of INFO of every primary."""
        if not self.cluster:
            return [await self.call("INFO", "memory")]
        with plain_errors():
            return list(await self._client.of_primaries("INFO", "memory"))


class Link:
    """A synchronous client of a single Redis or of a Redis Cluster; connects at the first call."""

    def __init__(self, url: str, client_options: dict[str, Any]) -> None:
        self._url = url
        self._options = client_options
        self._client: Any = None

    def _open(self) -> Any:
        if self._client is None:
            # Reads are safe to repeat, and `commit` knows a repeat of itself: one retry heals a connection
            # that went stale between two looks.
            retry = Retry(NoBackoff(), 1)
            single: Any = Redis.from_url(self._url, retry=retry, **self._options)
            self._client = Cluster(single) if _is_cluster(single, single.info("server")) else single
        return self._client

    def close(self) -> None:
        """Release the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def call(self, *command: Any) -> Any:
        """Run one command."""
        with plain_errors():
            return self._open().execute_command(*command)

    def many(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Run commands in one round trip; not a transaction."""
        with plain_errors():
            client = self._open()
            if isinstance(client, Cluster):
                return client.many(list(commands))
            with client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                return list(pipeline.execute())

    def script(self, name: str, keys: Iterable[str], *arguments: Any) -> Any:
        """Run a Lua script of this package, loading it where the server does not know it."""
        names = list(keys)
        try:
            return self.call("EVALSHA", digest(name), len(names), *names, *arguments)
        except exceptions.NoScriptError:
            return self.call("EVAL", source(name), len(names), *names, *arguments)
