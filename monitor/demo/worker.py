"""The demo's worker: an ordinary `monitor run` in a process of its own."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from monitor.config import Settings
from monitor.core.errors import ServiceError, StoreUnavailable
from monitor.demo.processes import start_module, stop, tail
from monitor.wiring import open_reader

_READY_TIMEOUT_S: Final = 60.0
_FRESH_S: Final = 3.0


class WorkerProcess:
    """A worker as a child process, ended as a context manager.

    Args:
        settings_path: the settings file.
        directory: where its log goes.
    """

    def __init__(self, settings_path: Path, directory: Path) -> None:
        self._settings_path = settings_path
        self._log = directory / "worker.log"
        with self._log.open("wb") as output:
            self._process: subprocess.Popen[bytes] = start_module(
                "monitor", ["run", "--config", str(settings_path)], output
            )

    def wait_ready(self) -> None:
        """Wait until it reads every input topic.

        Raises:
            ServiceError: it ended, or did not get there; the text holds the end of its log.
        """
        settings = Settings.load(self._settings_path, {})
        wanted = set(settings.kafka.input_topics)
        reader = open_reader(settings)
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        try:
            while time.monotonic() < deadline_s:
                self.check()
                try:
                    places = reader.partitions()
                except StoreUnavailable:
                    places = {}
                fresh = {place.topic for place, state in places.items() if state.silent_s < _FRESH_S}
                if wanted <= fresh:
                    return
                time.sleep(0.1)
        finally:
            reader.close()
        raise ServiceError(
            f"the worker did not start to read within {_READY_TIMEOUT_S:.0f} s:\n{tail(self._log)}"
        )

    def check(self) -> None:
        """Nothing, while it runs.

        Raises:
            ServiceError: it ended; the text holds the end of its log.
        """
        code = self._process.poll()
        if code is not None:
            raise ServiceError(f"the worker ended with code {code}:\n{tail(self._log)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop(self._process)
