"""Near misses: the index finds exactly what comparing with every word would find."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.schema.near_miss import (
    VOCABULARY_MAX,
    WORD_MAX,
    NearMisses,
    edit_distance,
    edits_allowed,
    normalised,
)

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


@given(st.text("abc1", max_size=12), st.text("abc1", max_size=12))
def test_the_distance_is_the_restricted_damerau_levenshtein_one(a: str, b: str) -> None:
    assert edit_distance(a, b) == plain_distance(a, b) == edit_distance(b, a)


@given(
    st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=8, unique=True),
    st.text("abc", max_size=13),
)
def test_the_index_finds_the_nearest_word_if_there_is_one(words: list[str], text: str) -> None:
    near = {
        word: plain_distance(word, text)
        for word in words
        if plain_distance(word, text) <= min(edits_allowed(len(word)), edits_allowed(len(text)))
    }
    found = NearMisses(words).nearest(text)
    if not text:
        assert found is None
    elif text in words:
        assert found == text
    elif near:
        assert found is not None
        assert near[found] == min(near.values())
    else:
        assert found is None


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
