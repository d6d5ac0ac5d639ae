"""How a text feature reads, learnt from a sample.

The floor of likelihood is set on texts that the model scoring them has not seen (five folds of the distinct
values): with the j-th smallest of n scores as floor, a new text of the same kind lies below it with
probability j/(n + 1) at most (conformal prediction: Vovk, Gammerman and Shafer 2005, 10.1007/b106715), and
the share that does has the law Beta(j, n + 1 - j).

A field is left without a model where there is nothing to read: too few values or letters, letters that
do not depend on the letter before them (hashes, tokens), or nearly all values different and of one form.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from scipy.stats import beta

from monitor.core.schema.bigrams import Bigrams, folded
from monitor.core.schema.feature import (
    CATEGORY_LENGTH_MAX,
    TEXTUAL,
    Feature,
    FeatureType,
    Reference,
    TextReference,
)
from monitor.core.schema.text_judge import (
    OK,
    TextJudge,
    form_of,
    is_broken,
    is_readable,
)
from monitor.core.schema.violations import SOFT, Code

DISTINCT_MIN: Final = 100
"""Fewer values cannot vouch for a floor that one clean text in a hundred is below."""

TEXTS_MAX: Final = 20_000
"""Distinct values that a model learns from: more would change it by less than its smoothing."""

FLAGGED_SHARE: Final = 0.01
"""Clean unseen texts below the floor."""

_FOLDS: Final = 5
_GAIN_MIN: Final = 0.05
"""Nats a letter must be worth to the next: 100 names have 0.1, more names 0.3, random letters none."""

_LETTERS_SHARE_MIN: Final = 0.5
_PATTERN_SHARE_MIN: Final = 0.01
_PATTERNS_MAX: Final = 20
_ONE_FORM_SHARE: Final = 0.5
_UNIQUE_SHARE: Final = 0.9
_ACCEPTED_MAX: Final = 200
_NEAR_MISS_MAX: Final = 0.01
"""Above this rate in the sample near misses are not told: the true values lie that close together."""


def text_reference(feature: Feature, values: Sequence[str], reference: Reference) -> TextReference | None:
    """How a feature reads.

    Args:
        feature: as declared, without its reference.
        values: texts of the sample that do not violate it.
        reference: what else is known of the sample.

    Returns:
        None for features that are closed or not text, and where nothing was learnt that is worth a line.
    """
    if feature.type not in TEXTUAL or (feature.type is FeatureType.CATEGORY and feature.closed):
        return None
    counts = Counter(values)
    texts = _sampled(counts)
    model, scores = _model(texts, counts.total())
    learnt = TextReference.model_validate(model | {"patterns": _patterns(texts) or None})
    bare = feature.model_copy(update={"reference": reference})
    text = _rated(bare, learnt, counts, texts, scores)
    if text.near_miss > _NEAR_MISS_MAX:
        text = _rated(bare, learnt.model_copy(update={"typos": False}), counts, texts, scores)
    return None if text == TextReference() else text


def _rated(
    feature: Feature,
    learnt: TextReference,
    counts: Mapping[str, int],
    texts: Sequence[str],
    scores: Mapping[str, float],
) -> TextReference:
    """With the values that are accepted although they would be flagged, and the rates of flags."""
    judge = TextJudge(feature, learnt)
    repeated = {value: judge.code(value) for value in texts if counts[value] > 1}
    # Free text names people and things: a file that is passed around should not.
    if feature.type is FeatureType.CATEGORY and not feature.sensitive:
        flagged = [v for v, code in repeated.items() if code != OK and len(v) <= CATEGORY_LENGTH_MAX]
        accepted = sorted(flagged, key=lambda value: (-counts[value], value))[:_ACCEPTED_MAX]
        learnt = learnt.model_copy(update={"accepted": tuple(sorted(accepted)) or None})
        repeated |= dict.fromkeys(accepted, OK)
    flags = Counter[int]()
    for value, code in repeated.items():
        flags[code] += counts[value]
    for value in texts:
        if counts[value] == 1:  # new without its row: what happens to it will happen to values yet unseen
            code = judge.code(value)
            unlike = scores.get(folded(value), 0.0) < (-math.inf if learnt.floor is None else learnt.floor)
            unlike &= code == OK and form_of(value) not in (learnt.patterns or ())
            flags[Code.GIBBERISH if unlike else code] += 1
    rates = {code: _up(flags[code] / max(flags.total(), 1)) for code in SOFT}
    return learnt.model_copy(update={"gibberish": rates[Code.GIBBERISH], "near_miss": rates[Code.NEAR_MISS]})


def _sampled(counts: Mapping[str, int]) -> list[str]:
    """Distinct values in an order that has nothing to do with what they say, at most `TEXTS_MAX`."""
    return sorted(counts, key=_rank)[:TEXTS_MAX]


def _rank(value: str) -> bytes:
    return blake2b(value.encode(errors="surrogatepass"), digest_size=8).digest()


def _model(texts: Sequence[str], rows: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Floor, limit and bigrams; and how each folded text scores under a model that has not seen it."""
    # Spellings of one text count once, or a model would be asked for what it has learnt by heart.
    plain = list(dict.fromkeys(folded(value) for value in texts if not is_broken(value)))
    readable = [text for text in plain if is_readable(text)]
    if len(plain) < DISTINCT_MIN or not _is_language(plain) or _is_one_form(texts, rows):
        return {}, {}
    scores = dict.fromkeys(plain, 0.0)  # what cannot be read is never below a floor
    gain = 0.0
    for fold in range(_FOLDS):
        held = readable[fold::_FOLDS]
        model = Bigrams.of(text for i, text in enumerate(readable) if i % _FOLDS != fold)
        gain += len(held) * model.letter_gain(held)
        scores |= {text: model.mean_log_likelihood(text) for text in held}
    if gain < _GAIN_MIN * len(readable):
        return {}, {}
    below = math.floor(FLAGGED_SHARE * (len(scores) + 1))
    floor = sorted(scores.values())[below - 1]
    return {
        "floor": math.floor(floor * 1e4) / 1e4,
        "limit": _up(float(beta.ppf(0.99, below, len(scores) + 1 - below))),
        "bigrams": Bigrams.of(readable).pairs,
    }, scores


def _is_language(texts: Sequence[str]) -> bool:
    letters = sum(sum(map(str.isalpha, text)) for text in texts)
    solid = sum(len(text) - text.count(" ") for text in texts)
    return letters >= _LETTERS_SHARE_MIN * solid > 0


def _is_one_form(texts: Sequence[str], rows: int) -> bool:
    """Whether nearly all values differ and at least half of them have one form."""
    if len(texts) < _UNIQUE_SHARE * min(rows, TEXTS_MAX):
        return False
    forms = Counter(map(form_of, texts))
    return forms.most_common(1)[0][1] >= _ONE_FORM_SHARE * len(texts)


def _patterns(texts: Sequence[str]) -> tuple[str, ...]:
    forms = Counter(form for form in map(form_of, texts) if "9" in form)
    least = max(2.0, _PATTERN_SHARE_MIN * len(texts))
    return tuple(sorted(form for form, n in forms.most_common(_PATTERNS_MAX) if n >= least))


def _up(rate: float) -> float:
    """Rounded up to four decimals."""
    return math.ceil(rate * 1e4) / 1e4
