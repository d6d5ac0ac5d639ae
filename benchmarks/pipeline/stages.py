"""Rows a second of each stage alone, into bench.json: `python -m benchmarks.pipeline.stages`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks.pipeline.report import merge

TESTS = Path(__file__).parent / "test_stages.py"


def main() -> int:
    """Measure and merge."""
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "stages.json"
        options = ["-q", "-p", "no:randomly", "--benchmark-only", f"--benchmark-json={figures}"]
        code = pytest.main([str(TESTS), *options, "--benchmark-timer=time.process_time"])
        if code:
            return int(code)
        found = json.loads(figures.read_text())["benchmarks"]
    rows = {bench["name"].removeprefix("test_"): round(5_000 / bench["stats"]["median"]) for bench in found}
    merge("stages", rows)
    print(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
