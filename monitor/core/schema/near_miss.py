"""Near misses: a text that is one or two slips of the keyboard away from a known value.

Candidates come from an index of deletions (SymSpell, Garbe 2012): two words within d edits share a text
that both become by deleting at most d characters of their first seven. What many known values begin with, as
URLs do, is left out of it first. Distance is the restricted Damerau-Levenshtein one: inserted, deleted,
replaced, or two neighbours swapped.

Work is bounded: where more than `EXAMINED_MAX` known values begin like a text, the most frequent of them are
compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Final

VOCABULARY_MAX: Final = 5_000
"""Known values of which near misses are looked for; the index takes 4 to 5 KB for each."""

WORD_MAX: Final = 100
"""Characters: a longer text is a sentence, not a word with a slip."""

EXAMINED_MAX: Final = 1_000
"""Known values that one text is held against; 1 to 130 µs each, the longer the more alike."""

_PREFIX: Final = 7
_ALIKE_MIN: Final = 100  # words that begin alike have an index of their own, which every text is asked of
_SHARED_MIN: Final = 3  # less leaves most of the seven characters to tell words apart
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


def edit_distance(a: str, b: str, most: int) -> int:
    """Restricted Damerau-Levenshtein distance; `most` + 1 where it is greater than `most`.

    What both begin and end with is passed over, and of the rest 2 `most` + 1 cells a row are filled in, as
    long as one of them is within `most`.

    >>> edit_distance("sales", "slaes", 2), edit_distance("kitten", "sitting", 3)
    (1, 3)
    >>> edit_distance("kitten", "sitting", 1)
    2
    """
    far = most + 1
    start, end_a, end_b = 0, len(a), len(b)
    while start < end_a and start < end_b and a[start] == b[start]:
        start += 1
    while end_a > start and end_b > start and a[end_a - 1] == b[end_b - 1]:
        end_a, end_b = end_a - 1, end_b - 1
    if abs(end_a - end_b) > most:
        return far
    row = _to_starts(a[start:end_a], b[start:end_b], most)
    return far if row is None else min(row[-1], far)


def _to_starts(a: str, b: str, most: int) -> list[int] | None:
    """Distance of `a` to each start of `b`, the shortest first; `most` + 1 stands for any that is greater.

    None where all are.
    """
    far = most + 1
    before: list[int] = []
    last = [min(j, far) for j in range(len(b) + 1)]
    for i, left in enumerate(a, 1):
        row = [far] * (len(b) + 1)
        row[0] = nearest = min(i, far)
        for j in range(max(1, i - most), min(len(b), i + most) + 1):
            right = b[j - 1]
            best = last[j - 1]
            if left != right:
                best = 1 + min(best, last[j], row[j - 1])
                if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right and before[j - 2] + 1 < best:
                    best = before[j - 2] + 1
            row[j] = best
            nearest = min(nearest, best)
        if nearest > most:
            return None
        before, last = last, row
    return last


class NearMisses:
    """Known values, ready to be compared with.

    Args:
        words: the more frequent first; at most `VOCABULARY_MAX` are taken.

    Attributes:
        examined: known values that texts were held against, so far.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.examined = 0
        self._words: dict[str, str] = {}
        for word in words:
            key = normalised(word)
            if len(self._words) < VOCABULARY_MAX and 0 < len(key) <= WORD_MAX:
                self._words.setdefault(key, word)
        self._keys = [(key, edits_allowed(len(key)), _digits(key)) for key in self._words]
        self._parts = [
            (shared, self._indexed(places, len(shared)))
            for shared, places in _parted(list(self._words), list(range(len(self._words))))
        ]

    def _indexed(self, places: list[int], start: int) -> dict[str, list[list[int]]]:
        """Deletions of what comes from `start` on; words that begin alike are one entry, however many."""
        groups: dict[tuple[str, int], list[int]] = {}
        for place in places:
            key, allowed, _ = self._keys[place]
            groups.setdefault((_head(key, start), allowed), []).append(place)
        index: dict[str, list[list[int]]] = {}
        for (head, allowed), alike in groups.items():
            for rest in _deletions(head, allowed):
                index.setdefault(rest, []).append(alike)
        return index

    def __len__(self) -> int:
        return len(self._words)

    def nearest(self, text: str) -> str | None:
        """The known value that a text, itself unknown, is a near miss of; None where there is none.

        Of several that are equally near it is the most frequent. Where digits differ it is another item, not
        a slip ("m17" and "m18").

        >>> NearMisses(["Sales", "Retail"]).nearest("Slaes")
        'Sales'
        """
        key = normalised(text) if len(text) <= 2 * WORD_MAX else ""
        if not 0 < len(key) <= WORD_MAX:
            return None
        if key in self._words:
            return self._words[key]
        allowed = edits_allowed(len(key))
        found = self._candidates(key, allowed)
        self.examined += len(found)
        digits = _digits(key)
        best, best_distance = None, _EDITS_MAX + 1
        for place in found:
            word, allowed_word, digits_word = self._keys[place]
            at_most = min(allowed, allowed_word, best_distance - 1)
            if abs(len(word) - len(key)) <= at_most and digits_word == digits:
                distance = edit_distance(word, key, at_most)
                if distance <= at_most:
                    best, best_distance = self._words[word], distance
        return best

    def _candidates(self, key: str, allowed: int) -> list[int]:
        """Places of the known values that begin like a text, the most frequent first."""
        found: list[int] = []
        for shared, index in self._parts:
            cuts = [len(shared)]
            if not key.startswith(shared):
                # The slip may lie in what all of these begin with; then the rest begins earlier or later.
                starts = _to_starts(shared, key[: len(shared) + allowed], allowed) or []
                cuts = [cut for cut, distance in enumerate(starts) if distance <= allowed]
            rests = {rest for cut in cuts for rest in _deletions(_head(key, cut), allowed)}
            groups = {id(alike): alike for rest in rests for alike in index.get(rest, ())}
            for alike in groups.values():
                found += alike
        return sorted(found)[:EXAMINED_MAX]


def _parted(keys: Sequence[str], places: list[int]) -> list[tuple[str, list[int]]]:
    """Words by what they begin with, where many begin alike; the rest together.

    Returns:
        What the words of a part begin with, and their places.
    """
    shared = _shared_start([keys[place] for place in places])
    alike: dict[str, list[int]] = {}
    for place in places:
        alike.setdefault(_head(keys[place], len(shared)), []).append(place)
    parts: list[tuple[str, list[int]]] = []
    rest: list[int] = []
    for few_or_many in alike.values():
        if len(few_or_many) < _ALIKE_MIN:
            rest += few_or_many
        else:
            parts += _parted(keys, few_or_many)
    return [*parts, (shared if len(shared) >= _SHARED_MIN else "", rest)] if rest else parts


def _shared_start(words: Sequence[str]) -> str:
    """What all words begin with: what the first and the last of them do."""
    first, last = min(words, default=""), max(words, default="")
    end = 0
    while end < min(len(first), len(last)) and first[end] == last[end]:
        end += 1
    return first[:end]


def _head(key: str, start: int) -> str:
    return key[start : start + _PREFIX]


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _deletions(head: str, edits: int) -> set[str]:
    return {
        "".join(kept)
        for fewer in range(min(edits, len(head)) + 1)
        for kept in combinations(head, len(head) - fewer)
    }
