"""One call over HTTP, with a limit on everything.

Only the endpoint's own address is called: no redirect is followed, no proxy, cookie or credential of the
environment is used, and values of rows reach the body and nothing else. A connection that was refused is
tried once more, for not a byte was sent; nothing else is.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import aiohttp

from monitor.core.errors import MonitorError, SettingsError
from monitor.core.probes.answers import Answer
from monitor.core.probes.endpoint import Endpoint, Failure
from monitor.edges.model.breaker import Breaker
from monitor.edges.model.careful import Careful, Row, Spend
from monitor.edges.model.shapes import shape_of

PROBE_HEADER: Final = "X-Monitor-Probe"
"""Marks what the monitor asks, so that the model's owner can tell it from traffic."""

_RETRY_WAIT_S: Final = 0.1
_KEEPALIVE_S: Final = 4.0  # servers often close after 5: the client goes first, so that no request is lost
_DRAINED_BYTES_MAX: Final = 65_536
_CONNECTIONS_MAX: Final = 4


def open_client(
    endpoint: Endpoint, spend: Spend | None = None, now_s: Callable[[], float] = time.monotonic
) -> Careful:
    """A `monitor.ports.ModelClient` of an endpoint; nothing is connected until it is asked.

    Args:
        endpoint: the only address it calls.
        spend: awaited with a number of rows before they are sent, also when they are sent again.
        now_s: the breaker's clock.

    Raises:
        SettingsError: a template, path or file of certificates that cannot be used.
    """
    breaker = Breaker(endpoint.failures_max, endpoint.wait_s, endpoint.wait_max_s)
    return Careful(HttpExchange(endpoint), endpoint.rows_max, breaker, spend, now_s)


class HttpExchange:
    """See `monitor.edges.model.careful.Exchange`.

    Raises:
        SettingsError: as `open_client`.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        try:
            self._shape = shape_of(endpoint)
            self._tls = ssl.create_default_context(cafile=endpoint.ca_file)
        except (ValueError, MonitorError, OSError) as error:
            raise SettingsError([str(error)], endpoint.url) from error
        self._session: aiohttp.ClientSession | None = None
        self.groups = self._shape.groups

    async def call(self, rows: Sequence[Row]) -> list[Answer] | str:
        """POST the rows."""
        body = self._shape.body(rows)
        try:
            content = await self._post(body)
        except TimeoutError:
            return Failure.TIMEOUT
        except (aiohttp.ClientSSLError, ssl.SSLError):
            return Failure.TLS
        except aiohttp.ClientConnectorError:
            return Failure.UNREACHABLE
        except (aiohttp.ClientError, OSError):
            return Failure.DISCONNECTED
        if isinstance(content, str):
            return content
        document = document_in(content)
        return document if isinstance(document, Failure) else self._shape.answers(document, len(rows))

    async def close(self) -> None:
        """Release connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, body: bytes) -> bytes | str:
        """What came back, or a class of error."""
        try:
            return await self._post_once(body)
        except (aiohttp.ClientSSLError, TimeoutError):
            raise
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(_RETRY_WAIT_S)
            return await self._post_once(body)

    async def _post_once(self, body: bytes) -> bytes | str:
        if self._session is None:
            self._session = self._open()
        async with self._session.post(self._endpoint.url, data=body, allow_redirects=False) as response:
            if 300 <= response.status < 400:
                response.close()
                return Failure.REDIRECT
            if not 200 <= response.status < 300:
                await _read(response, _DRAINED_BYTES_MAX)
                return f"http {response.status}"
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                response.close()  # small when packed, large when not
                return Failure.ENCODED
            content = await _read(response, self._endpoint.response_bytes_max)
            return Failure.TOO_LARGE if content is None else content

    def _open(self) -> aiohttp.ClientSession:
        headers = {
            PROBE_HEADER: "1",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": f"inference-monitor/{_version()}",
        }
        if self._endpoint.token is not None:
            headers["Authorization"] = f"Bearer {self._endpoint.token}"
        return aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(
                ssl=self._tls, limit=_CONNECTIONS_MAX, keepalive_timeout=_KEEPALIVE_S
            ),
            timeout=aiohttp.ClientTimeout(total=self._endpoint.timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )


def document_in(content: bytes) -> Any:
    """The JSON of a response, or `Failure.NOT_JSON`."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return Failure.NOT_JSON


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes | None:
    """The body; None, and the connection closed, where it is larger than that."""
    parts, size = [], response.content_length or 0
    if size <= bytes_max:
        size = 0
        async for part in response.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > bytes_max:
                break
    if size > bytes_max:
        response.close()
        return None
    return b"".join(parts)


def _version() -> str:
    try:
        return version("inference-monitor")
    except PackageNotFoundError:  # a tree that is not installed
        return "dev"
