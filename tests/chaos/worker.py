"""`monitor` in a forked process, or with a clock that is off: `… worker SECONDS run --config FILE`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

_true_time, _true_time_ns = time.time, time.time_ns


def output_to(log: str) -> None:
    """Add what this process says to a file."""
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)


def serve(arguments: Sequence[str], clock_s: int, log: str) -> None:
    """Be `monitor` in a process that was forked for it.

    Args:
        arguments: of the command line.
        clock_s: how far the clock is off; a process whose clock is off begins anew, its imports see it too.
        log: file that output is added to.
    """
    output_to(log)
    if clock_s:
        os.execv(sys.executable, [sys.executable, "-m", "tests.chaos.worker", str(clock_s), *arguments])
    sys.argv = ["monitor", *arguments]
    _monitor()


def main() -> None:
    """Set the clock off, and be `monitor`."""
    offset_s = int(sys.argv.pop(1))
    time.time = lambda: _true_time() + offset_s
    time.time_ns = lambda: _true_time_ns() + offset_s * 1_000_000_000
    _monitor()


def _monitor() -> None:
    from monitor.cli.main import app

    app()


if __name__ == "__main__":
    main()
