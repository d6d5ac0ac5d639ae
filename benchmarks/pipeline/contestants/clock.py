"""From the first record to the last: the CPU of the process, all its threads."""

from __future__ import annotations

import json
import os
import sys
import time


class Clock:
    """Counts records; prints and ends the process at the last one."""

    def __init__(self, records: int) -> None:
        self.left = records
        self.counted = 0
        self.cpu_s = self.wall_s = 0.0

    def see(self, records: int) -> None:
        """Take `records` as handled; the first ones start the clock and are not counted."""
        self.left -= records
        if not self.cpu_s:
            self.cpu_s, self.wall_s = time.process_time(), time.perf_counter()
            return
        self.counted += records
        if self.left <= 0:
            self.stop()

    def stop(self) -> None:
        """Print and end."""
        cpu_s, wall_s = time.process_time() - self.cpu_s, time.perf_counter() - self.wall_s
        print(json.dumps({"records": self.counted, "cpu_s": cpu_s, "wall_s": wall_s}), flush=True)
        sys.stdout.flush()
        os._exit(0)


def arguments() -> tuple[str, list[str], int, str]:
    """(bootstrap servers, topics, records, Redis URL)."""
    bootstrap, topics, records, redis_url = sys.argv[1:5]
    return bootstrap, topics.split(","), int(records), redis_url
