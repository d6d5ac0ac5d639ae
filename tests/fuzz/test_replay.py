"""Every input that is kept of a fuzzing campaign, and every seed: its target's properties hold.

What once broke something lies in `findings/TARGET` under the name of what broke. `make fuzz` looks for more.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.kept import CORPUS, FINDINGS, inputs
from tests.fuzz.targets import NAMES, target_named

CASES = [(name, path) for name in NAMES for path in inputs(name)]
CORPUS_BYTES_MAX = 200_000


@pytest.mark.parametrize("name", NAMES)
def test_seeds(name: str) -> None:
    target = target_named(name)
    assert target.seeds
    for seed in target.seeds:
        target.run(seed)


@pytest.mark.parametrize(("name", "path"), CASES, ids=[f"{name}-{path.name}" for name, path in CASES])
def test_kept_inputs(name: str, path: Path) -> None:
    target_named(name).run(path.read_bytes())


def test_the_corpus_stays_small_and_has_no_strangers() -> None:
    kept = [path for folder in (CORPUS, FINDINGS) if folder.is_dir() for path in folder.rglob("*")]
    assert (
        sum(path.stat().st_size for path in kept if path.is_file() and CORPUS in path.parents)
        <= CORPUS_BYTES_MAX
    )
    assert {path.name for path in kept if path.is_dir()} <= set(NAMES)
