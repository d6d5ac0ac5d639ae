"""Gibberish and near misses: what is learnt from a sample, and what is then doubted."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.detection.gibberish import NAMES, NOISES, TRAINED, separation
from monitor.core.schema import Feature, FeatureSchema, text_judge
from monitor.core.schema.bigrams import LENGTH_MAX, PAIRS_MAX, Bigrams, folded
from monitor.core.schema.feature import TextReference
from monitor.core.schema.inference import infer
from monitor.core.schema.near_miss import EXAMINED_MAX
from monitor.core.schema.text_judge import (
    BOUNDARY_MIN,
    CACHED_MAX,
    EXAMINED_CHUNK_MAX,
    OK,
    TextJudge,
    boundaries,
    is_broken,
)
from monitor.core.schema.violations import Code
from monitor.demo.population import EMPLOYERS, draw

ORDER = np.random.default_rng(11).permutation(len(NAMES))
KNOWN = [NAMES[i] for i in ORDER[:TRAINED]]
UNSEEN = [NAMES[i] for i in ORDER[TRAINED:]]


def learnt(values: Sequence[Any]) -> TextReference | None:
    reference = infer({"f": list(values)}).features["f"].reference
    assert reference is not None
    return reference.text


def doubts(schema: FeatureSchema, *records: Any) -> list[tuple[int, int, int]]:
    found = schema.compiled.soft_chunk(list(records))
    return list(zip(found.row.tolist(), found.feature.tolist(), found.code.tolist(), strict=True))


@given(st.lists(st.text("abc é7", max_size=8), min_size=1, max_size=12))
def test_what_may_follow_a_symbol_adds_up_to_one(texts: list[str]) -> None:
    model = Bigrams.of(map(folded, texts))
    seconds = {pair[1] for pair in model.pairs}
    for first in {pair[0] for pair in model.pairs}:
        # "ж" stands for all that was never seen
        total = sum(math.exp(model._log_likelihood(first, second)) for second in [*seconds, "ж"])
        assert total == pytest.approx(1.0)


def test_the_likelihood_of_a_text_is_what_the_formula_says() -> None:
    model = Bigrams({"^a": 2, "ab": 2, "b$": 2, "a$": 1})
    # t'(a) = 1, t'(b) = 1, t'($) = 2 of T = 4 pairs, V = 4 symbols; c(a) = 3, t(a) = 2
    alone = {"a": 1.3 / 5.2, "b": 1.3 / 5.2, "$": 2.3 / 5.2}
    start = (1.5 + 0.5 * 1 * alone["a"]) / 2
    end = (0.5 + 0.5 * 2 * alone["$"]) / 3
    assert model.mean_log_likelihood("a") == pytest.approx((math.log(start) + math.log(end)) / 2)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Zürich", "zurich"),
        ("STRASSE 12", "strasse 00"),
        ("a\u00a0b\tc", "a b c"),
        ("x^y$", "x¤y¤"),
        ("Ёлка", "елка"),
        ("5 ½", "0 0¤0"),
        ("𝒜😀", "a¤"),
    ],
)
def test_text_is_folded(text: str, plain: str) -> None:
    assert folded(text) == plain


@given(st.text(max_size=3 * LENGTH_MAX))
def test_any_text_can_be_judged(text: str) -> None:
    assert len(folded(text)) <= LENGTH_MAX
    assert Bigrams.of(KNOWN[:5]).mean_log_likelihood(folded(text)) <= 0


def test_noise_is_told_from_names_never_seen() -> None:
    """351 names learnt, 352 others to be told from noise of their lengths."""
    assert (len(KNOWN), len(UNSEEN)) == (351, 352)
    for name, found in separation(splits=6, noisy=400).items():
        assert found["auc"] >= 0.98, name
        assert found["found_at_1_percent_false"] >= 0.75, name
        assert found["flagged_clean"] <= 0.015, name
        assert found["flagged"] >= 0.6, name


def test_another_alphabet_is_learnt_like_latin() -> None:
    towns = str.maketrans(string.ascii_lowercase, "абвгдежзийклмнопрстуфхцчшщ")
    schema = infer({"f": [name.lower().translate(towns) for name in KNOWN]})
    rng = np.random.default_rng(1)
    noise = [NOISES["random letters"](rng, 12).translate(towns) for _ in range(200)]
    clean = [name.lower().translate(towns) for name in UNSEEN]
    assert len(doubts(schema, *({"f": value} for value in noise))) > 150
    assert len(doubts(schema, *({"f": value} for value in clean))) < 10


def random_texts(alphabet: str, length: int, count: int) -> list[str]:
    rng = np.random.default_rng(count)
    return ["".join(rng.choice(list(alphabet), length)) for _ in range(count)]


@pytest.mark.parametrize(
    "values",
    [
        random_texts("0123456789abcdef", 32, 500),
        random_texts(string.ascii_letters + string.digits, 20, 3_000),
        random_texts(string.ascii_lowercase, 8, 3_000),
        random_texts("abcdef", 10, 300),
        [f"ORD-{i:06}" for i in range(1_000)],
        [f"{'ABCDEFGH'[i % 8]}{'KLMNO'[i % 5]}-{i}" for i in range(1_000)],
        [f"2024-{i % 12:02}-{i % 28:02} {i}" for i in range(1_000)],
        [f"Client {chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{chr(97 + i // 676)}x" for i in range(1_000)],
        KNOWN[:99] * 40,
        ["one and the same"] * 3_000,
    ],
    ids=["hash", "token", "letters", "six letters", "order", "code", "date", "one form", "few", "constant"],
)
def test_a_field_with_nothing_to_read_is_left_alone(values: list[str]) -> None:
    text = learnt(values)
    assert text is None or text.bigrams is None
    schema = infer({"f": values})
    assert not doubts(schema, {"f": "kfjwhq zxv"}, {"f": "a8f3c0"})


def test_a_hundred_names_are_enough() -> None:
    distinct = {folded(name): name for name in KNOWN}
    text = learnt(list(distinct.values())[:100] * 10)
    assert text is not None
    assert text.limit == pytest.approx(1 - 0.01 ** (1 / 100), abs=1e-4)  # Beta(1, 100)


def test_the_floor_lets_one_clean_text_in_a_hundred_below_it() -> None:
    """Over many samples, as the conformal bound says: at most 1 % of unseen texts."""
    rng = np.random.default_rng(8)
    below = []
    for _ in range(12):
        order = rng.permutation(len(NAMES))
        schema = infer({"f": [NAMES[i] for i in order[:TRAINED]]})
        below.append(len(doubts(schema, *({"f": NAMES[i]} for i in order[TRAINED:]))) / 352)
    assert np.mean(below) <= 0.0125  # 12 samples: two standard errors above
    limit = schema.features["f"].reference.text.limit  # type: ignore[union-attr]
    assert max(below) <= limit


def test_a_schema_with_a_model_is_read_back_to_the_same_judgement() -> None:
    schema = infer({"f": [*(f"{name} Ltd" for name in KNOWN), *NAMES[:300]] * 2})
    again = FeatureSchema.parse(schema.text())
    assert again == schema
    text = learnt([*KNOWN, *NAMES])
    assert text is not None
    assert text.bigrams is not None
    assert len(text.bigrams) <= PAIRS_MAX
    values = [*UNSEEN, "sdkfjh", "on", "no", "^$", "N/A"]
    records = [{"f": value} for value in values]
    assert doubts(again, *records) == doubts(schema, *records)
    assert len(schema.text()) < 20_000


def test_the_demo_learns_how_employers_read() -> None:
    schema = infer(draw(np.random.default_rng(3), 20_000).rows)
    reference = schema.features["employer"].reference
    assert reference is not None
    assert reference.text is not None
    assert reference.text.bigrams is not None
    assert not doubts(schema, *draw(np.random.default_rng(4), 5_000).rows)
    rng = np.random.default_rng(5)
    noise = [NOISES["random letters"](rng, len(EMPLOYERS[i])) for i in range(300)]
    rows = [row | {"employer": value} for row, value in zip(draw(rng, 300).rows, noise, strict=True)]
    found = schema.compiled.soft_chunk(rows)
    assert len(found) > 290
    assert set(found.code.tolist()) == {Code.GIBBERISH}
    violation = found.explain(rows, 0)
    assert violation.message == (
        f'employer: expected text that reads like the sample\'s, received "{noise[int(found.row[0])]}"'
    )
    assert not len(schema.compiled.check_chunk(rows))


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("Zürich, São Paulo, ŒUVRE, naïve", False),
        ("two\nlines\tand a tab", False),
        ("🙂 字 жж", False),
        ("Z\ufffdrich", True),
        ("ZÃ¼rich", True),
        ("itâ€™s", True),
        ("a\x00b", True),
        ("\x1b[31m", True),
        ("half \ud83d", True),
    ],
)
def test_broken_characters(text: str, broken: bool) -> None:
    assert is_broken(text) is broken
    assert (TextJudge(Feature.model_validate({"type": "string"})).code(text) == Code.GIBBERISH) is broken


OCCUPATIONS = FeatureSchema.parse("""
features:
  job: {type: category, categories: [Sales, Retail, Construction]}
  age: {type: integer}
  secret: {type: category, categories: [Harmless, Dangerous], closed: false, sensitive: true}
""")


def test_a_slip_in_a_closed_category_is_a_violation_and_a_near_miss() -> None:
    records: list[Any] = [
        {"job": "Slaes", "age": 1, "secret": "Harmles"},
        {"job": "Sales", "age": 2, "secret": "x"},
    ]
    hard = OCCUPATIONS.compiled.check_chunk(records)
    assert (hard.row.tolist(), hard.feature.tolist(), hard.code.tolist()) == (
        [0],
        [0],
        [Code.UNKNOWN_CATEGORY],
    )
    soft = OCCUPATIONS.compiled.soft_chunk(records)
    assert doubts(OCCUPATIONS, *records) == [(0, 0, Code.NEAR_MISS), (0, 2, Code.NEAR_MISS)]
    assert soft.explain(records, 0).received == '"Slaes", a typo of "Sales"'
    assert soft.explain(records, 1).received == "a string of 7 characters"


def test_what_is_no_text_is_in_no_doubt() -> None:
    odd: list[Any] = [
        None,
        7,
        [],
        {},
        {"job": None},
        {"job": ["Slaes"]},
        {"job": {"Slaes": 1}},
        {"job": 1.0},
        {"job": math.nan},
        {"job": True},
        {"job": "Slaes"},
    ]
    assert doubts(OCCUPATIONS, *odd) == [(10, 0, Code.NEAR_MISS)]
    assert doubts(OCCUPATIONS) == []


def test_judging_twice_and_judging_very_many_gives_the_same() -> None:
    judge = TextJudge(OCCUPATIONS.features["job"])
    once = judge.doubtful(["Slaes", "Sales", None])
    assert once == judge.doubtful(["Slaes", "Sales", None]) == {"Slaes": Code.NEAR_MISS}
    assert not judge.doubtful([f"{i} unknown" for i in range(CACHED_MAX + 10)])
    assert len(judge.doubtful(["\x00" + str(i) for i in range(CACHED_MAX + 10)])) == CACHED_MAX + 10
    assert len(judge._right) <= CACHED_MAX + 4
    assert len(judge._doubtful) <= CACHED_MAX
    assert judge.doubtful(["Slaes"]) == once


def test_a_chunk_of_texts_like_all_that_is_known_is_looked_at_in_part_and_none_is_forgotten() -> None:
    letters = [chr(0x4E00 + i) for i in range(40)]
    known = tuple(f"aaaaa{a}{b}tailing" for a in letters for b in letters)
    judge = TextJudge(Feature(type="category", categories=known))
    unlike = [f"aaaaabctailing {a}{b}" for a in letters for b in letters]
    slips = [word.replace("tailing", "tialing") for word in known[:5]]
    assert judge.doubtful([*unlike, *slips]) == {}
    assert EXAMINED_CHUNK_MAX <= judge._near.examined <= EXAMINED_CHUNK_MAX + EXAMINED_MAX
    assert judge.doubtful([*slips, *unlike]) == dict.fromkeys(slips, Code.NEAR_MISS)
    assert judge.code(slips[0], near=False) == OK


def test_slips_that_nobody_had_time_to_look_at_are_no_gibberish(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    grades = ("senior", "junior", "lead", "chief", "assistant", "deputy", "principal")
    fields = ("software", "data", "sales", "marketing", "finance", "product")
    roles = ("engineer", "manager", "analyst", "director", "consultant", "specialist", "coordinator")
    titles = [f"{a} {b} {c}" for a in grades for b in fields for c in roles]
    schema = infer([{"title": titles[i]} for i in rng.integers(0, len(titles), 20_000).tolist()])
    judge = TextJudge(schema.features["title"])
    slips = [title[:5] + "qz" + title[6:] for title in titles]
    assert Code.NEAR_MISS in {judge.code(slip) for slip in slips}
    monkeypatch.setattr(text_judge, "EXAMINED_CHUNK_MAX", 0)
    assert judge.doubtful([*slips, "\x00 broken"]) == {"\x00 broken": Code.GIBBERISH}


def test_values_that_lie_close_together_are_not_near_misses_of_each_other() -> None:
    """Each of 400 names is a letter away from others: one that is new is no slip."""
    rng = np.random.default_rng(2)
    names = [a + b + "stone" for a in string.ascii_lowercase[:20] for b in string.ascii_lowercase[:20]]
    rows = [names[i] for i in np.minimum(rng.geometric(0.02, 2_000), 399).tolist()]
    text = learnt(rows)
    assert text is not None
    assert not text.typos
    assert (0, 0, Code.NEAR_MISS) not in doubts(infer({"f": rows}), {"f": "zzstone"})


def test_a_rare_value_of_the_sample_that_is_near_a_frequent_one_is_accepted() -> None:
    rows = ["Elm Bikes"] * 900 + ["Elm Bakes"] * 2 + [name for name in NAMES[:200] for _ in range(3)]
    reference = infer({"f": rows}).features["f"].reference
    assert reference is not None
    assert reference.values is not None
    assert reference.text is not None
    assert "Elm Bakes" not in reference.values  # only the most frequent are counted by name
    assert reference.text.accepted is not None
    assert "Elm Bakes" in reference.text.accepted
    found = doubts(infer({"f": rows}), {"f": "Elm Bakes"}, {"f": "Elm Bkies"})
    assert found == [(1, 0, Code.NEAR_MISS)]


def test_forms_the_sample_is_full_of_are_right() -> None:
    rows = [*KNOWN, *(f"QX-{i:05}" for i in range(300))]
    text = learnt(rows)
    assert text is not None
    assert text.patterns == ("AA-9",)
    assert text.bigrams is not None
    schema = infer({"f": rows})
    assert not doubts(schema, {"f": "ZK-12345"}, {"f": "12"}, {"f": "N/A"}, {"f": ""})


def test_the_rates_of_the_sample_are_kept_and_bound_what_is_tolerated() -> None:
    clean = [*KNOWN, *UNSEEN]
    dirty = [*clean, *(f"\ufffd{name}" for name in clean[:100])]
    text = learnt(dirty)
    assert text is not None
    assert 100 / 803 <= text.gibberish <= 100 / 803 + 0.012
    schema = infer({"f": dirty, "closed": ["a", "b"] * 401 + ["a"]})
    limits = boundaries(schema.features)
    assert limits["f"][Code.GIBBERISH] == pytest.approx(2 * text.gibberish)
    assert limits["closed"] == {Code.GIBBERISH: BOUNDARY_MIN, Code.NEAR_MISS: BOUNDARY_MIN}
    assert boundaries(OCCUPATIONS.features).keys() == {"job", "secret"}


def test_free_text_leaves_no_value_of_its_own_in_the_file() -> None:
    rng = np.random.default_rng(6)
    rows = [f"{KNOWN[i]} {KNOWN[j]} {KNOWN[k]}" for i, j, k in rng.integers(0, 351, (400, 3)).tolist()]
    schema = infer({"f": rows})
    assert schema.features["f"].type == "string"
    written = schema.text()
    assert "bigrams" in written
    assert not any(value in written for value in [*rows, *KNOWN])


def test_a_text_of_any_length_is_judged_within_bounds() -> None:
    schema = infer({"f": KNOWN})
    judge = TextJudge(schema.features["f"])
    assert judge.code("qx" * 500_000) == Code.GIBBERISH
    assert judge.code(" ".join(UNSEEN) * 100) == OK
    judge.doubtful(["qx" * 500_000])
    assert not judge._doubtful
