"""Bytes of a fuzzer as values: each byte that is read decides something."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

NUMBERS: tuple[int | float, ...] = (
    0, 1, -1, 2, 0.5, -0.0, 1e-320, 1e15, 1e16, 1e308, -1e308, 2**31, 2**32, 2**53, 2**53 + 1, 2**63, 2**64,
    -(2**63), 10**18, 10**30, 10**400, 0.1, 1_700_000_000, 1_700_000_000_123, 253_402_300_800, float("nan"),
    float("inf"), float("-inf"), 255, 65_535, 1e11, 86_400,
)  # fmt: skip

TEXTS = (
    "", "a", "Female", "nan", "{}", ":", "|", "mon:{0}:fence", "{m}:|", "a:b|c{d}", "*", "\x1b[2J\x1b[1;1H",
    "\x1b]0;title\x07", "\x9b2J", "\u202egnp", "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "\ud800", "\udfff\ud800", "\x00", "\n", "\r\n", "\u2028", "[red]", "[/]", "[link=http://x]", "\\",
    "\\u0000", "%s%n", "../../etc/passwd", "=1+1", "http://evil.test/", "(other)", "(missing)", "x" * 300,
    "\xe9" * 200, "\U0001f3f3\ufe0f\u200d\U0001f308",
    "{{7*7}}", "${x}", "monitor-probe-1", "features", "__proto__", "1e999", "0x10", " ", "\uffff",
    "\ufb00", "\u0130",
)  # fmt: skip


class Feed:
    """Reads a fuzzer's bytes from the front; when they are used up every answer is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not read."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """At most so many bytes."""
        found = self._data[self._at : self._at + count]
        self._at += len(found)
        return found

    def below(self, limit: int) -> int:
        """A number in [0, limit), of one byte."""
        found = self.take(1)
        return found[0] % limit if found else 0

    def pick(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[self.below(len(choices))]

    def flag(self) -> bool:
        """True or false."""
        return bool(self.below(2))

    def number(self) -> int | float:
        """A number that hurts, or any."""
        match self.below(4):
            case 0:
                return self.pick(NUMBERS)
            case 1:
                return int.from_bytes(self.take(self.below(10)), "little", signed=True)
            case 2:
                return float(struct.unpack("<d", self.take(8).ljust(8, b"\0"))[0])
            case _:
                return self.below(256) / 100

    def text(self, longest: int = 24) -> str:
        """A text that hurts, or any; bytes that are no UTF-8 become lone surrogates."""
        if self.flag():
            return self.pick(TEXTS)
        return self.take(self.below(longest + 1)).decode("utf-8", "surrogateescape")

    def value(self, depth: int = 3) -> Any:
        """What JSON can hold, and Python's NaN and infinities."""
        kind = self.below(8 if depth else 6)
        match kind:
            case 0:
                return None
            case 1:
                return self.flag()
            case 2 | 3:
                return self.number()
            case 4 | 5:
                return self.text()
            case 6:
                return [self.value(depth - 1) for _ in range(self.below(4))]
            case _:
                return {self.text(): self.value(depth - 1) for _ in range(self.below(4))}
