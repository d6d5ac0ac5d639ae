"""Every figure of bench.json, one part after the other: `make bench`, `python -m benchmarks.run [PART …]`."""

from __future__ import annotations

import argparse
import subprocess
import sys

from rich.console import Console
from rich.progress import Progress

from benchmarks.pipeline.report import REPORT, page

PARTS = {
    "pipeline": ("benchmarks.pipeline", "ours, the limits and, given --peers, the peers"),
    "stages": ("benchmarks.pipeline.stages", "each stage alone"),
    "grid": (
        "benchmarks.pipeline.grid",
        "features, slices, violations, models, labels, shards; bytes in the store",
    ),
    "processes": ("benchmarks.pipeline.processes", "1, 2, 4 processes and 1, 4, 16 shards"),
    "latency": ("benchmarks.pipeline.latency", "record to counter, failure to alert"),
    "reading": ("benchmarks.reading", "a reader's wait"),
    "soak": ("benchmarks.pipeline.soak", "half an hour at full speed"),
}


def main() -> int:
    """Run the parts; 1 when one failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:10} {what}" for name, (_, what) in PARTS.items()),
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="all of them, if none is named")
    parser.add_argument("--peers", default=None, help="Python of an environment with Faust, Quix and Bytewax")
    options = parser.parse_args()
    if unknown := sorted(set(options.parts) - set(PARTS)):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    failed = []
    console = Console(stderr=True)
    with Progress(console=console) as bar:
        for name in bar.track(options.parts or list(PARTS), description="bench"):
            console.print(f"{name}: {PARTS[name][1]}")
            more = ["--peers", options.peers] if name == "pipeline" and options.peers else []
            if subprocess.run([sys.executable, "-m", PARTS[name][0], *more], check=False).returncode:
                failed.append(name)
    page()
    console.print(f"wrote {REPORT}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
