"""One target under Atheris for some seconds: `python -m tests.fuzz.engine --target decoder --seconds 60 …`.

A broken property does not end the process: the input is kept under a name made of what broke and where, once,
and fuzzing goes on. What takes too long or too much memory is kept the same way; what hangs or grows without
end is stopped by the fuzzer itself, and the campaign keeps its input.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any
from zlib import crc32

from tests.fuzz.kept import WORDS, keep, signature

CPU_S_MAX = 5.0
"""Of one input, instrumented and on a busy machine: some hundred times what a usual one takes."""

GROWTH_KB_MAX = 300_000
"""By how much one input may raise the peak of memory."""

_HANG_S = 300
"""Of the clock, which says little of one input on a busy machine: what is slow is told by its CPU."""

_RSS_MB_MAX = 2_500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of this target's growing corpus")
    parser.add_argument("--findings", type=Path, required=True, help="folder of inputs that broke something")
    parser.add_argument("--said", type=Path, required=True, help="where to write how it went, as JSON")
    parser.add_argument("corpus", nargs="*", help="more folders to begin with")
    args = parser.parse_args()

    import atheris  # an extra of its own: replaying does without

    with atheris.instrument_imports(include=["monitor"]):
        from tests.fuzz.targets import target_named

        target = target_named(args.target)

    args.work.mkdir(parents=True, exist_ok=True)
    said: dict[str, Any] = {"runs": 0, "found": []}

    def tell() -> None:
        # Of CPU: what a busy machine keeps a process waiting for is no fuzzing.
        said["seconds"] = round(time.process_time(), 1)
        args.said.write_text(json.dumps(said))

    seen: set[str] = set()

    def found(name: str, data: bytes) -> None:
        if name in seen:
            return
        seen.add(name)
        # What is kept was fixed: if something breaks in the same place again, it is something else.
        kept = name if not (args.findings / name).exists() else f"{name}-{crc32(data):08x}"
        if keep(args.findings, kept, data):
            said["found"].append(kept)
            tell()

    def one(data: bytes) -> None:
        said["runs"] += 1
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cpu_s = time.process_time()
        try:
            target.run(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            found(signature(error), data)
        if time.process_time() - cpu_s > CPU_S_MAX:
            found("slow", data)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kb > GROWTH_KB_MAX:
            found("memory", data)
        if said["runs"] % 256 == 0 or time.process_time() > said["seconds"] + 5:
            tell()

    arguments = [
        "fuzz", str(args.work), *args.corpus, f"-max_total_time={args.seconds}",
        f"-dict={WORDS / args.target}.dict",
        f"-timeout={_HANG_S}", f"-report_slow_units={_HANG_S}", f"-rss_limit_mb={_RSS_MB_MAX}",
        f"-max_len={target.bytes_max}",
        f"-artifact_prefix={args.work.parent}/{args.target}-",
        "-reload=0", "-verbosity=0", "-print_final_stats=0",
    ]  # fmt: skip
    tell()
    atheris.Setup(arguments, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
