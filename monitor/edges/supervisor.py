"""Several worker processes as one: started together, started again when one fails, stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Final

log = logging.getLogger(__name__)

SUPERVISED: Final = "MONITOR_SUPERVISED"
PAUSE_MIN_S: Final = 1.0
PAUSE_MAX_S: Final = 30.0
SETTLED_S: Final = 60.0
"""A worker that ran this long starts again at once when it fails, as one that never failed."""

EXIT_ERROR: Final = 2
"""A worker that ends so has said what a person must mend; starting it again would say it again."""


class Supervisor:
    """Keeps one process running for each command.

    SIGTERM and SIGINT stop all of them in order, and a second one kills them. A process that fails is started
    again after a pause that doubles from 1 to 30 seconds; one that ends with code 2 (settings that cannot be
    right) stops them all. Standard input of each is a pipe that ends when this process does, however it does
    (`stop_at_end_of_input`).

    Args:
        commands: programs with their arguments.
    """

    def __init__(self, commands: Sequence[Sequence[str]]) -> None:
        self._commands = commands
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._told = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        """Run until told to stop.

        Returns:
            Exit code: 0, or that of a process that could not go on.
        """
        with self._signals():
            await asyncio.gather(*(self._keep(number) for number in range(len(self._commands))))
        return self._code

    async def _keep(self, number: int) -> None:
        pause_s = PAUSE_MIN_S
        loop = asyncio.get_running_loop()
        while not self._told.is_set():
            began_s = loop.time()
            code = await self._once(number)
            if self._told.is_set():
                break
            if code == EXIT_ERROR:
                self._stop(code)
                break
            pause_s = PAUSE_MIN_S if loop.time() - began_s > SETTLED_S else pause_s
            log.error(
                "a worker process ended and is started again",
                extra={"worker": number, "exit_code": code, "pause_s": pause_s},
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _once(self, number: int) -> int:
        process = await asyncio.create_subprocess_exec(
            *self._commands[number],
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, SUPERVISED: "1"},
            start_new_session=True,  # Ctrl-C is for the supervisor, which stops them in order
        )
        self._running[number] = process
        log.info("worker process started", extra={"worker": number, "pid": process.pid})
        if self._told.is_set():  # told between the look and the start
            process.terminate()
        try:
            return await process.wait()
        finally:
            del self._running[number]

    def _stop(self, code: int = 0) -> None:
        again = self._told.is_set()
        self._told.set()
        self._code = self._code or code
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL if again and code == 0 else signal.SIGTERM)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def stop_at_end_of_input() -> None:
    """Stop this process in order when its supervisor is gone; nothing, where it has none."""
    if os.environ.get(SUPERVISED) != "1":
        return

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="supervisor", daemon=True).start()
