"""Every benchmark, one after the other, with a summary: `make bench`.

python -m benchmarks.run [NAME …]
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

NAMES = ("ingest", "alert_latency", "silence")
REPORTS = Path(__file__).parent / "reports"


def flat(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """Leaves of a report with their paths."""
    if isinstance(value, dict):
        return [leaf for key, below in value.items() for leaf in flat(below, f"{prefix}{key} · ")]
    return [(prefix.removesuffix(" · "), json.dumps(value))]


def run(name: str) -> int:
    """Exit code of one benchmark."""
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode


def main() -> int:
    chosen = sys.argv[1:] or list(NAMES)
    unknown = sorted(set(chosen) - set(NAMES))
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    failed = [name for name in chosen if run(name)]
    table = Table("benchmark", "figure", "value")
    for name in chosen:
        if name not in failed:
            for place, text in flat(json.loads((REPORTS / f"{name}.json").read_text())):
                table.add_row(name, place, text)
    Console().print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
