"""What a target is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """Something that reads hostile bytes.

    Attributes:
        run: feeds it one input; raises where a property does not hold.
        seeds: inputs to begin with.
        bytes_max: of one input.
    """

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    bytes_max: int = 4_096
