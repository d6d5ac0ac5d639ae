"""HTTP servers that answer as they should, and in every way they should not."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Asked:
    """What a server has been sent."""

    port: int = 0
    lines: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def documents(self) -> list[Any]:
        return [json.loads(body) for body in self.bodies]


Reply = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def says(body: bytes, status: str = "200 OK", *headers: str) -> Reply:
    """The same answer to everything."""

    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(response(body, status, *headers))

    return reply


def by(answer: Callable[[Any], tuple[int, Any]]) -> Reply:
    """Status and document by the document that was sent."""

    async def reply(body: bytes, writer: asyncio.StreamWriter) -> None:
        status, document = answer(json.loads(body))
        writer.write(response(json.dumps(document).encode(), f"{status} Word"))

    return reply


@asynccontextmanager
async def serving(reply: Reply, tls: ssl.SSLContext | None = None) -> AsyncIterator[Asked]:
    """A server on a free port of the loopback interface."""
    asked = Asked()
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                line, *lines = head.strip().split("\r\n")
                headers = {k.lower(): v for k, v in (item.split(": ", 1) for item in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                asked.lines.append(line)
                asked.headers.append(headers)
                asked.bodies.append(body)
                asked.came.set()
                await reply(body, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    asked.port = server.sockets[0].getsockname()[1]
    try:
        yield asked
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
