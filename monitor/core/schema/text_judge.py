"""Doubts about a text: gibberish, or a near miss of a known value. Soft: a record in doubt stays valid.

The checks, in order: a value known from the schema is right; broken characters are gibberish; a form the
sample is full of ("9999-99-99") is right; a slip away from a frequent value is a near miss; text less likely
than the floor under the bigrams of the sample is gibberish; the rest is unseen, which is no fault.

One text proves nothing: about one clean unseen text in a hundred is flagged by construction. Detectors test
the rate of flags against `boundaries`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final

from monitor.core.schema.bigrams import LENGTH_MAX, Bigrams, folded
from monitor.core.schema.feature import TEXTUAL, Feature, Reference, TextReference
from monitor.core.schema.near_miss import VOCABULARY_MAX, NearMisses
from monitor.core.schema.violations import Code, clipped, quoted

OK: Final = -1
"""No doubt."""

LETTERS_MIN: Final = 3
"""A text of fewer letters is too short to be read: "N/A", "42", "-"."""

FREQUENT_SHARE: Final = 0.002
"""Share of rows that a value of an open category has if what is near to it is taken for a slip."""

FREQUENT_ROWS_MIN: Final = 5

BOUNDARY_MIN: Final = 0.02
"""Rate of flags that is never reported. One clean unseen text in 100 is flagged by construction, and what is
unseen need not resemble the sample in everything: twice that."""

CACHED_MAX: Final = 20_000
"""Values of a feature whose judgement is remembered; some 2 MB. When full it starts anew."""

EXAMINED_CHUNK_MAX: Final = 10_000
"""Known values that the new texts of a chunk are held against, a feature: texts after them are not looked for
near misses until they come in another chunk. Only known values that begin alike ever make so many."""

_BROKEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ud800-\udfff]"  # control, replacement, half characters
    "|[\u00c2\u00c3][\u00a0-\u00bf]"  # UTF-8 read as Latin-1
    "|\u00c3[\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]"  # cp1252
    "|\u00e2\u20ac"
)
_CAPITALS: Final = re.compile("[A-Z]")
_SMALL: Final = re.compile("[^\\W\\d_A-Z]")
_DIGITS: Final = re.compile("\\d+")


def is_broken(text: str) -> bool:
    r"""Whether text has control characters, U+FFFD, half characters, or UTF-8 that was read as Latin-1.

    Tabs and line ends are no such characters.

    >>> [is_broken(text) for text in ("Zürich", "Z\ufffdrich", "ZÃ¼rich", "a\x00b", "two\nlines")]
    [False, True, True, True, False]
    """
    # Printable ASCII, nearly all text there is, is told without the search.
    return not (text.isascii() and text.isprintable()) and _BROKEN.search(text) is not None


def form_of(text: str) -> str:
    """The form of a text: capitals A, other letters a, runs of digits 9.

    >>> form_of("Flat 12"), form_of("2024-01-31")
    ('Aaaa 9', '9-9-9')
    """
    return _DIGITS.sub("9", _SMALL.sub("a", _CAPITALS.sub("A", text[:LENGTH_MAX])))


def is_readable(text: str) -> bool:
    """Whether a folded text has letters enough to be judged by its likelihood."""
    return sum(map(str.isalpha, text)) >= LETTERS_MIN


class TextJudge:
    """The judge of one text feature.

    Args:
        feature: of a textual type.
        text: stands in for the feature's own `reference.text`, while that is being inferred.
    """

    def __init__(self, feature: Feature, text: TextReference | None = None) -> None:
        reference = feature.reference or Reference(rows=0)
        text = text or reference.text or TextReference()
        counted = reference.values or {}
        listed = feature.categories or ()
        self._known = frozenset(listed).union(counted, text.accepted or ())
        self._patterns = frozenset(text.patterns or ())
        self._sensitive = feature.sensitive
        self._floor = text.floor
        self._bigrams = None if text.bigrams is None else Bigrams(text.bigrams)
        self._words = frequent(counted, reference.rows, listed) if text.typos else ()
        self._right: set[object] = {None, *self._known}
        self._doubtful: dict[object, int] = {}

    @cached_property
    def _near(self) -> NearMisses:
        # Made when the first unknown value comes: a schema that is only written needs none.
        return NearMisses(self._words)

    def code(self, value: str, near: bool = True) -> int:
        """Judge one text: `Code.GIBBERISH`, `Code.NEAR_MISS` or `OK`.

        Args:
            value: the text.
            near: whether there is time to look for what it may be a near miss of; without, it is right unless
                it is broken.
        """
        if value in self._known:
            return OK
        if is_broken(value):
            return Code.GIBBERISH
        if self._patterns and form_of(value) in self._patterns:
            return OK
        if self._words:
            if not near:
                return OK  # a slip reads like gibberish, and nobody has looked whether it is one
            if self._near.nearest(value) is not None:
                return Code.NEAR_MISS
        if self._bigrams is not None and self._floor is not None:
            text = folded(value)
            if is_readable(text) and self._bigrams.mean_log_likelihood(text) < self._floor:
                return Code.GIBBERISH
        return OK

    def doubtful(self, values: Sequence[object]) -> Mapping[object, int]:
        """The values in doubt among those of a chunk, with their codes.

        Near misses are looked for until the texts were held against `EXAMINED_CHUNK_MAX` known values.

        Args:
            values: hashable; what is not text is never in doubt.
        """
        found: dict[object, int] = {}
        new = set(values) - self._right
        if not new:
            return found
        examined_max = self._near.examined + EXAMINED_CHUNK_MAX
        for value in dict.fromkeys(values):  # in their order, so that the first ones are looked at
            if value not in new:
                continue
            code = self._doubtful.get(value)
            if code is None:
                near = self._near.examined < examined_max
                code = self.code(value, near) if isinstance(value, str) else OK
                if near:
                    self._remember(value, code)
            if code != OK:
                found[value] = code
        return found

    def _remember(self, value: object, code: int) -> None:
        if isinstance(value, str) and len(value) > LENGTH_MAX:
            return
        if code != OK:
            if len(self._doubtful) >= CACHED_MAX:
                self._doubtful.clear()
            self._doubtful[value] = code
        else:
            if len(self._right) >= CACHED_MAX + len(self._known):
                self._right = {None, *self._known}
            self._right.add(value)

    def received(self, value: str) -> str:
        """A doubtful value as evidence shows it, with what it seems to be a slip of."""
        if self._sensitive:
            return f"a string of {len(value)} characters"
        near = None if is_broken(value) or not self._words else self._near.nearest(value)
        if near is None:
            return quoted(value)
        return clipped(f"{quoted(value, 45)}, a typo of {quoted(near, 40)}")


def frequent(counted: Mapping[str, int], rows: int, listed: Iterable[str] = ()) -> tuple[str, ...]:
    """Values that others may be near misses of, the most frequent first, at most `VOCABULARY_MAX`.

    Args:
        counted: value → rows of the sample.
        rows: of the sample.
        listed: values that a person or the sample vouched for, however rare.
    """
    least = max(FREQUENT_ROWS_MIN, FREQUENT_SHARE * rows)
    words = {value: counted.get(value, 0) for value in listed}
    words |= {value: count for value, count in counted.items() if count >= least}
    return tuple(sorted(words, key=lambda value: (-words[value], value)))[:VOCABULARY_MAX]


def judges_of(features: Mapping[str, Feature]) -> tuple[tuple[int, str, TextJudge], ...]:
    """(index, name, judge) of every text feature, in the schema's order."""
    return tuple(
        (index, name, TextJudge(feature))
        for index, (name, feature) in enumerate(features.items())
        if feature.type in TEXTUAL
    )


def boundaries(features: Mapping[str, Feature]) -> dict[str, dict[Code, float]]:
    """Rates of soft codes that are tolerated, per text feature.

        max(0.02, 2 × rate in the sample, limit of the floor)

    Twice the rate because live text is never quite the sample; the limit because a floor that was set on few
    texts may by bad luck lie too high.
    """
    found: dict[str, dict[Code, float]] = {}
    for name, feature in features.items():
        if feature.type in TEXTUAL:
            text = (feature.reference and feature.reference.text) or TextReference()
            found[name] = {
                Code.GIBBERISH: min(1.0, max(BOUNDARY_MIN, 2 * text.gibberish, text.limit)),
                Code.NEAR_MISS: min(1.0, max(BOUNDARY_MIN, 2 * text.near_miss)),
            }
    return found
