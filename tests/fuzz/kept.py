"""Inputs that broke something: a file each, under a name that says what broke and where."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

ROOT = Path(__file__).parent
CORPUS = ROOT / "corpus"
FINDINGS = ROOT / "findings"
WORDS = ROOT / "words"
"""What each target's language is made of, in the form of the fuzzer's dictionaries."""


def signature(error: BaseException) -> str:
    """What broke, by the kind of error and the innermost places of ours: one name for one fault.

    >>> try:
    ...     raise ValueError("whatever it says")
    ... except ValueError as error:
    ...     signature(error)
    'ValueError'
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/monitor/" in frame.filename or "/tests/" in frame.filename]
    places = [
        f"{Path(frame.filename).stem}-{frame.name.strip('<>')}"
        for frame in ours
        if "engine" not in frame.filename
    ]
    last = "-".join(dict.fromkeys(places[-2:]))
    if isinstance(error, AssertionError) and ours:
        last = f"{places[-1] if places else ''}-{_words(str(error)) or _words(ours[-1].line or '')}"
    return _words(f"{type(error).__name__}-{last}")[:100].strip("-")


def keep(folder: Path, name: str, data: bytes) -> bool:
    """Write an input unless one of the name is there; whether it was written."""
    path = folder / name
    if path.exists():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return True


def inputs(target: str) -> list[Path]:
    """Every input kept of a target: its corpus, then what it found."""
    folders = (CORPUS / target, FINDINGS / target)
    return [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]


def _words(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", text)[:60].strip("-")
