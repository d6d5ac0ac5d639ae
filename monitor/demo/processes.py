"""Child processes of the demo: this package's modules, started and ended in order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO, Final

_STOP_TIMEOUT_S: Final = 8.0
_TAIL_CHARACTERS: Final = 2_000


def start_module(module: str, arguments: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `python -m module arguments`, both its outputs going to a file."""
    return subprocess.Popen(  # noqa: S603 - this very package
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C in a terminal reaches us, and we end it in order
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process: politely, then for good."""
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(path: Path) -> str:
    """The end of a file of output, for an error message."""
    return path.read_text(errors="replace")[-_TAIL_CHARACTERS:].strip()
