"""Near misses: the index finds exactly what comparing with every word would find."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.schema.near_miss import (
    EXAMINED_MAX,
    VOCABULARY_MAX,
    WORD_MAX,
    NearMisses,
    edit_distance,
    edits_allowed,
    normalised,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ("Sales", "Retail", "Construction", "Engineering", "Male", "Female", "F", "m17", "Cedar Bikes")


def plain_distance(a: str, b: str) -> int:
    """The definition, written down as it stands in the books."""

    @cache
    def upto(i: int, j: int) -> int:
        if min(i, j) == 0:
            return max(i, j)
        ways = [upto(i - 1, j) + 1, upto(i, j - 1) + 1, upto(i - 1, j - 1) + (a[i - 1] != b[j - 1])]
        if i > 1 and j > 1 and (a[i - 1], a[i - 2]) == (b[j - 2], b[j - 1]):
            ways.append(upto(i - 2, j - 2) + 1)
        return min(ways)

    return upto(len(a), len(b))


@given(st.text("abc1", max_size=12), st.text("abc1", max_size=12), st.integers(0, 4))
def test_the_distance_is_the_restricted_damerau_levenshtein_one(a: str, b: str, most: int) -> None:
    assert edit_distance(a, b, most) == min(plain_distance(a, b), most + 1) == edit_distance(b, a, most)


STARTS = ("", "abc", "https://cabcab/", "https://cabcab/abc")
URLS = ["https://cabcab/" + "".join(rest) + "/c" for rest in product("abc", repeat=5)]
"""So many that begin alike have an index of their own."""


def slipped(text: str, edits: Sequence[tuple[int, int, str]]) -> str:
    """A text after some slips, each of a kind, at a place, with a letter."""
    for kind, at, letter in edits:
        i = at % (len(text) + 1)
        deleted, swapped = text[:i] + text[i + 1 :], text[:i] + text[i : i + 2][::-1] + text[i + 2 :]
        text = (deleted, text[:i] + letter + text[i:], text[:i] + letter + text[i + 1 :], swapped)[kind]
    return text


EDITS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.sampled_from("abc/")), max_size=3)


def same_as_comparing_with_all(words: Sequence[str], text: str) -> None:
    near = {
        word: distance
        for word in words
        for most in (min(edits_allowed(len(word)), edits_allowed(len(text))),)
        if (distance := matrix_distance(word, text)) <= most
    }
    found = NearMisses(words).nearest(text)
    if not text:
        assert found is None
    elif text in words:
        assert found == text
    else:
        # Of the nearest, the first.
        assert found == min(near, key=near.__getitem__, default=None)


def matrix_distance(a: str, b: str) -> int:
    """`plain_distance`, row by row: for long texts."""
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


@given(
    st.lists(
        st.builds(str.__add__, st.sampled_from(STARTS), st.text("abc", min_size=1, max_size=12)),
        min_size=1,
        max_size=8,
        unique=True,
    ),
    st.builds(str.__add__, st.sampled_from(STARTS), st.text("abc", max_size=13)),
    EDITS,
)
def test_the_index_finds_the_nearest_word_if_there_is_one(
    words: list[str], text: str, edits: list[tuple[int, int, str]]
) -> None:
    same_as_comparing_with_all(words, text)
    same_as_comparing_with_all(words, slipped(words[-1], edits))


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["none", "https://", "https://cabca", *STARTS[1:]]), unique=True), st.data())
def test_so_does_it_among_many_that_begin_alike(others: list[str], data: st.DataObject) -> None:
    words = [*others, *URLS]
    same_as_comparing_with_all(words, slipped(data.draw(st.sampled_from(words)), data.draw(EDITS)))


def test_words_that_begin_alike_are_told_apart_by_the_rest() -> None:
    near = NearMisses(
        [*(f"https://shop.example/{a}{b}{a}{b}{b}{a}" for a, b in product(LETTERS, repeat=2)), "-"]
    )
    assert near.nearest("https://shop.example/zqzqqz") is not None
    assert near.nearest("https://shop.example/zqjkjkjk") is None
    assert near.nearest("https://shop.exampl/zqzqqzz") is not None
    assert near.nearest("another thing altogether") is None
    assert near.examined < 200


def test_a_text_is_held_against_so_many_at_most() -> None:
    """Words of one beginning that differ in two characters of seven: every one is a candidate."""
    words = ["aaaaa" + a + b + "tailing" for a, b in product(map(chr, range(0x4E00, 0x4E00 + 70)), repeat=2)]
    near = NearMisses(words)
    assert near.nearest("aaaaabctailing") == words[0]
    assert near.examined == EXAMINED_MAX
    assert near.nearest("aaaaabctailing off") is None
    assert near.examined == 2 * EXAMINED_MAX


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Slaes", "Sales"),
        ("sales", "Sales"),
        (" SALES  ", "Sales"),
        ("Retial", "Retail"),
        ("Constrction", "Construction"),
        ("Enginering", "Engineering"),
        ("Enginneerng", "Engineering"),
        ("cedar  bikes", "Cedar Bikes"),
        ("Slase", None),  # two slips in five letters
        ("Mle", None),  # three letters turn into anything
        ("m18", None),
        ("Sales2", None),  # another digit, another item
        ("Hospitality", None),
        ("", None),
        (" ", None),
        ("x" * 100_000, None),
    ],
)
def test_what_is_a_near_miss_of_what(text: str, word: str | None) -> None:
    assert NearMisses(WORDS).nearest(text) == word


def test_the_more_frequent_of_two_spellings_is_named() -> None:
    assert NearMisses(["Real Estate", "real estate"]).nearest("Real  Estate") == "Real Estate"
    assert normalised("Straße ") == "strasse"


def test_the_vocabulary_is_bounded() -> None:
    assert len(NearMisses(["y" * (WORD_MAX + 1), *(f"word {i}" for i in range(6_000))])) == VOCABULARY_MAX
