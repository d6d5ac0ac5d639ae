"""Processes under control: a Redis that forgets, brokers that stand still, workers that are killed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import redis
import yaml

from monitor.edges.redis.link import digest
from tests.chaos import worker
from tests.chaos.proxy import Moment, Proxy, Trap
from tests.support.ports import quiet_port
from tests.support.redis_servers import free_port, redis_binary, valkey_binary

_START_S = 120.0
_POLL_S = 0.2

_FORKING = threading.Lock()
"""One at a time asks after processes: `multiprocessing` takes an exit code from whoever asks first."""


def fork(target: Callable[..., None], *args: object) -> ForkServerProcess:
    """A process of its own that has the product imported already: most of a worker's start is imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.chaos.warm"])
    with _FORKING:
        process = context.Process(target=target, args=args)
        process.start()
    return process


class RedisProcess:
    """A Redis (or the bundled Valkey) with an append-only file written out every second.

    Attributes:
        hurt: held by the fault that hurts it: one at a time.
    """

    def __init__(self, directory: Path) -> None:
        self.hurt = threading.Lock()
        self.port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> Any:
        return redis.Redis(port=self.port, socket_timeout=60)

    def start(self) -> None:
        """Start on the same data and port; returns when it serves: all it has written is read by then."""
        command = [
            redis_binary() or valkey_binary(), "--port", str(self.port), "--bind", "127.0.0.1",
            "--dir", str(self._directory), "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
            "--maxmemory-policy", "noeviction",
        ]  # fmt: skip
        with (self._directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            try:
                with self.client() as client:
                    client.ping()
                return
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                time.sleep(0.05)
        raise RuntimeError("Redis did not start")

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def lose_a_second(self) -> None:
        """Kill it, and start it on what the append-only file held a second before."""
        files = (self._directory / "appendonlydir").glob("*.incr.aof")
        current = max(files, key=lambda path: path.stat().st_mtime)
        size = current.stat().st_size
        time.sleep(1.0)
        self.kill()
        os.truncate(current, size)
        self.start()


class WorkerProcess:
    """`monitor run` behind a proxy of its own, started again whenever it ends: a supervisor's part.

    Attributes:
        proxy: between the worker and Redis.
        clock_s: how far the worker's clock is off, from its next start on.
        wanted: False keeps it down.
    """

    flush = digest("flush").encode()
    """Bytes that only a request that counts has."""

    def __init__(self, settings: dict[str, Any], redis_port: int, directory: Path, name: str) -> None:
        self.proxy = Proxy(redis_port)
        self.clock_s = 0
        self.wanted = True
        self._settings = settings
        self._config = directory / f"{name}.yaml"
        self._log = directory / f"{name}.log"
        self._lock = threading.Lock()
        self._process: ForkServerProcess | None = None

    def start(self) -> None:
        self.proxy.__enter__()
        url = f"redis://127.0.0.1:{self.proxy.port}/0"
        settings = self._settings | {"redis": self._settings["redis"] | {"url": url}}
        self._config.write_text(yaml.safe_dump(settings))
        self.revive()

    def revive(self) -> None:
        """Start it again if it has ended and should run."""
        with self._lock:
            if self.wanted and not self._runs():
                self._process = self._fork()

    def _fork(self) -> ForkServerProcess:
        return fork(worker.serve, ["run", "--config", str(self._config)], self.clock_s, str(self._log))

    def signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self._process is not None and self._process.pid is not None and self._runs():
                os.kill(self._process.pid, number)

    def _runs(self) -> bool:
        with _FORKING:
            return self._process is not None and self._process.is_alive()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def at_flush(self, moment: Moment, *, kill: bool) -> Trap:
        """Strike at the worker's next flush: cut its connection, or kill it too."""
        trap = Trap(self.flush, moment, self.kill if kill else lambda: None)
        self.proxy.set(trap)
        return trap

    def end(self, grace_s: float = 20.0) -> None:
        """SIGTERM, then SIGKILL; the proxy goes with it."""
        self.wanted = False
        self.proxy.delay_s = 0.0
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and self._runs():
            time.sleep(_POLL_S)
        self.kill()
        self.proxy.__exit__(None, None, None)


class Supervisor:
    """Revives workers until told to stop."""

    def __init__(self, workers: list[WorkerProcess]) -> None:
        self._workers = workers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(_POLL_S):
            for process in list(self._workers):
                process.revive()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


class ApacheBroker:
    """Apache Kafka by `.ci/kafka/start.sh`; stands still, and restarts on the same data.

    Attributes:
        hurt: held by the fault that hurts it: one at a time.
    """

    def __init__(self, directory: Path) -> None:
        self.hurt = threading.Lock()
        self.port = quiet_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._directory = directory

    def start(self) -> None:
        script = Path(__file__).parents[2] / ".ci/kafka/start.sh"
        subprocess.run([str(script), str(self.port), str(self._directory)], check=True, capture_output=True)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._pid(), number)

    def restart(self) -> None:
        self.end()
        self.start()

    def end(self) -> None:
        pid = self._pid()
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and Path(f"/proc/{pid}").exists():
            time.sleep(0.1)

    def _pid(self) -> int:
        return int((self._directory / "kafka.pid").read_text())


def apache_is_at_hand() -> bool:
    """Whether this machine can start Apache Kafka."""
    return all(map(shutil.which, ("java", "mvn")))


def closing(stack: ExitStack, process: WorkerProcess) -> WorkerProcess:
    """Start a worker that ends with the stack."""
    process.start()
    stack.callback(process.end)
    return process
