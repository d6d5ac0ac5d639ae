"""Mistakes in settings, as data: a place, and a sentence that says what to write instead."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator

from monitor.core.shown import is_secret, shown, without_login

Place = tuple[str | int, ...]
"""Keys and list positions from the top of the file."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake."""

    place: Place
    text: str

    def under(self, place: Place) -> Problem:
        """The same mistake, seen from further up."""
        return replace(self, place=place + self.place)

    def __str__(self) -> str:
        """Of a value that stands under the name of a secret, wherever that is, nothing is told."""
        key = next((step for step in reversed(self.place) if isinstance(step, str)), "")
        text = self.text.partition(", got ")[0] if is_secret(key) else self.text
        return f"{path_text(self.place)}: {text}" if self.place else text


class Problems(ValueError):
    """Several mistakes at once; pydantic carries it from a section to the one above."""

    def __init__(self, problems: Collection[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, problems)))


def path_text(place: Place) -> str:
    """A place as a person writes it.

    >>> path_text(("models", "income", "slices", 2))
    'models.income.slices[2]'
    """
    parts = [f"[{step}]" if isinstance(step, int) else f".{without_login(step)}" for step in place]
    return "".join(parts).removeprefix(".")


def nearest(word: str, words: Collection[str]) -> str:
    """A hint towards what was meant, to be put behind a complaint.

    >>> nearest("bootstrap_server", ["bootstrap_servers", "topics"])
    '; did you mean bootstrap_servers?'
    >>> nearest("zzz", ["url", "shards"])
    '; known here: shards, url'
    """
    near = get_close_matches(word.lower(), words, 1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known here: {', '.join(sorted(words))}" if words else ""


class Section(BaseModel):
    """A frozen part of the settings that reports all its mistakes, not only the first.

    Subclasses may add `rules`: checks between keys, run on the section as written, so that they speak
    even when a single key is wrong too.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        """Mistakes between keys of the section as written; values may be of any type."""
        del raw
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _all_mistakes(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        problems = list(cls.rules(raw)) if isinstance(raw, dict) else []
        try:
            section = handler(raw)
        except ValidationError as error:
            raise Problems([*_describe(error, cls), *problems]) from None
        if problems:
            raise Problems(problems)
        return section


def problems_of(error: ValidationError) -> list[Problem]:
    """Every mistake behind a failed validation of a `Section`."""
    return _describe(error, Section)


def keys_of(section: type[BaseModel]) -> list[str]:
    """The keys a section knows, as written in YAML."""
    return [field.alias or name for name, field in section.model_fields.items()]


def _describe(error: ValidationError, section: type[BaseModel]) -> list[Problem]:
    found: list[Problem] = []
    for item in error.errors(include_url=False):
        cause = item.get("ctx", {}).get("error")
        kind, value, message = item["type"], item.get("input"), item["msg"]
        # Pydantic ends the place of a bad dictionary key with this word; a person may have written it too.
        bad_key = item["loc"][-1:] == ("[key]",) and kind != "extra_forbidden"
        place: Place = item["loc"][:-1] if bad_key else item["loc"]
        if isinstance(cause, Problems):
            found += [problem.under(place) for problem in cause.problems]
        elif kind == "extra_forbidden":
            found.append(Problem(place, "unknown key" + nearest(str(place[-1]), keys_of(section))))
        elif kind == "missing":
            found.append(Problem(place, "missing" + _meaning(section, place)))
        elif kind in {"model_type", "model_attributes_type", "dict_type"}:
            keys = keys_of(section)
            example = f" with keys such as {', '.join(keys[:3])}" if not place and keys else ""
            found.append(Problem(place, f"expected a section{example}, got {shown(value)}"))
        elif cause is not None:
            found.append(Problem(place, str(cause)))
        elif kind == "string_pattern_mismatch" and bad_key:
            found.append(Problem(place, "expected a name of 1 to 64 letters, digits and . _ -"))
        elif kind == "literal_error":
            expected = item.get("ctx", {}).get("expected", "")
            found.append(Problem(place, f"expected {expected}, got {shown(value)}"))
        else:
            text = message.removeprefix("Input should be ").removeprefix("a valid ")
            text = f"expected {text}" if message.startswith("Input should be") else message
            found.append(Problem(place, text if is_secret(place[-1:]) else f"{text}, got {shown(value)}"))
    return found


def _meaning(section: type[BaseModel], place: Place) -> str:
    for name, field in section.model_fields.items():
        if place == ((field.alias or name),) and field.description:
            return f"; {field.description[0].lower()}{field.description[1:].rstrip('.')}"
    return ""
