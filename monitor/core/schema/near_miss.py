"""Near misses: a text that is one or two slips of the keyboard away from a known value.

Candidates come from an index of deletions (SymSpell, Garbe 2012): two words within d edits share a text
that both become by deleting at most d characters of their first seven. Distance is the restricted
Damerau-Levenshtein one: inserted, deleted, replaced, or two neighbours swapped.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Final

VOCABULARY_MAX: Final = 5_000
"""Known values of which near misses are looked for; the index takes some 3 KB for each."""

WORD_MAX: Final = 100
"""Characters: a longer text is a sentence, not a word with a slip."""

_PREFIX: Final = 7
_EDITS_MAX: Final = 2


def normalised(text: str) -> str:
    """Case and spaces aside.

    >>> normalised("  Real   ESTATE ")
    'real estate'
    """
    return " ".join(text.casefold().split())


def edits_allowed(length: int) -> int:
    """Slips that a word of so many characters may have: none below 4, one below 8, else two.

    Two edits turn most short words into others: "Male" is no typo of "Female".
    """
    return 0 if length < 4 else 1 if length < 8 else _EDITS_MAX


def edit_distance(a: str, b: str) -> int:
    """Restricted Damerau-Levenshtein distance.

    >>> edit_distance("sales", "slaes"), edit_distance("kitten", "sitting")
    (1, 3)
    """
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        row = [i]
        for j, right in enumerate(b, 1):
            best = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before, last = last, row
    return last[-1]


class NearMisses:
    """Known values, ready to be compared with.

    Args:
        words: the more frequent first; at most `VOCABULARY_MAX` are taken.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words: dict[str, str] = {}
        for word in words:
            key = normalised(word)
            if len(self._words) < VOCABULARY_MAX and 0 < len(key) <= WORD_MAX:
                self._words.setdefault(key, word)
        self._index: dict[str, list[str]] = {}
        for key in self._words:
            for rest in _deletions(key, edits_allowed(len(key))):
                self._index.setdefault(rest, []).append(key)

    def __len__(self) -> int:
        return len(self._words)

    def nearest(self, text: str) -> str | None:
        """The known value that a text, itself unknown, is a near miss of; None where there is none.

        Where digits differ it is another item, not a slip ("m17" and "m18").

        >>> NearMisses(["Sales", "Retail"]).nearest("Slaes")
        'Sales'
        """
        key = normalised(text) if len(text) <= 2 * WORD_MAX else ""
        if not 0 < len(key) <= WORD_MAX:
            return None
        if key in self._words:
            return self._words[key]
        allowed = edits_allowed(len(key))
        found = {word: None for rest in _deletions(key, allowed) for word in self._index.get(rest, ())}
        digits = _digits(key)
        best, best_distance = None, _EDITS_MAX + 1
        for word in found:
            at_most = min(allowed, edits_allowed(len(word)), best_distance - 1)
            if abs(len(word) - len(key)) <= at_most and _digits(word) == digits:
                distance = edit_distance(word, key)
                if distance <= at_most:
                    best, best_distance = self._words[word], distance
        return best


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _deletions(word: str, edits: int) -> set[str]:
    head = word[:_PREFIX]
    return {
        "".join(kept)
        for fewer in range(min(edits, len(head)) + 1)
        for kept in combinations(head, len(head) - fewer)
    }
