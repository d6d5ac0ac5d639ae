"""`monitor` with a clock that is off: `python -m tests.chaos.worker SECONDS run --config FILE`."""

from __future__ import annotations

import sys
import time

_true_time, _true_time_ns = time.time, time.time_ns


def main() -> None:
    offset_s = int(sys.argv.pop(1))
    if offset_s:
        time.time = lambda: _true_time() + offset_s
        time.time_ns = lambda: _true_time_ns() + offset_s * 1_000_000_000
    from monitor.cli.main import app

    app()


if __name__ == "__main__":
    main()
