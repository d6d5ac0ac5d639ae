"""Every mistake of a schema file in words, each with its place and, for a misspelt key, the nearest one."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from monitor.core.schema.feature import Feature, Reference
from monitor.core.schema.tolerances import Tolerances
from monitor.core.schema.violations import clipped, quoted


def mistakes(model: type[BaseModel], document: Any, error: ValidationError) -> list[str]:
    """All that is wrong with a document.

    Pydantic looks for contradictions between the fields of a feature only once each field is right by
    itself; here the wrong fields are set aside and the rest is looked at too, so that a person corrects
    a file in one pass.

    Args:
        model: the schema's model.
        document: what was read.
        error: why it did not validate.
    """
    details = error.errors(include_url=False)
    lines = [line for detail in details for line in _lines(model, detail)]
    features = document.get("features") if isinstance(document, dict) else None
    if isinstance(features, dict):
        for name, declared in features.items():
            wrong = {d["loc"][2] for d in details if d["loc"][:2] == ("features", name) and len(d["loc"]) > 2}
            if wrong and isinstance(declared, dict):
                lines += [f"features.{_plain(name)}: {line}" for line in _contradictions(declared, wrong)]
    return lines


def _contradictions(declared: dict[str, Any], wrong: set[Any]) -> list[str]:
    rest = {key: value for key, value in declared.items() if key not in wrong}
    try:
        Feature.model_validate(rest)
    except ValidationError as error:
        found = [p for detail in error.errors() for p in detail.get("ctx", {}).get("problems", ())]
        return [message for keys, message in found if not wrong.intersection(keys)]
    return []


def _lines(model: type[BaseModel], detail: ErrorDetails) -> list[str]:
    loc = detail["loc"]
    named = bool(loc) and loc[-1] == "[key]"  # a mapping's key is wrong, not its value
    place = ".".join(_plain(part) for part in (loc[:-1] if named else loc)) or "the file"
    if detail["type"] == "inconsistent":
        return [f"{place}: {message}" for _, message in detail["ctx"]["problems"]]
    if detail["type"] == "extra_forbidden":
        return [f"{place}: unknown key{_nearest(str(loc[-1]), _owner(model, loc))}"]
    if detail["type"] == "missing":
        return [f"{place}: is missing"]
    if named:
        return [f"{place}: the name is no string of 1 to 200 characters; write it in quotes"]
    if detail["type"] in {"model_type", "dict_type"}:
        return [f"{place}: must be a mapping of keys to values"]
    message = detail["msg"].removeprefix("Input ")
    received = detail["input"]
    if detail["type"] in {"number", "category"} or isinstance(received, dict | list):  # says it already
        return [f"{place}: {message}"]
    hint = _nearest(str(received), _choices(detail)) if detail["type"] in {"enum", "literal_error"} else ""
    return [f"{place}: {message}, not {clipped(repr(received), 60)}{hint}"]


def _plain(part: object) -> str:
    """A name as it stands in the file, in quotes where it would not print."""
    text = str(part)
    return clipped(text if text.isprintable() and text else quoted(text), 60)


def _owner(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Keys that are known at the place of an unknown one."""
    if len(loc) == 1:
        return list(model.model_fields)
    if loc[0] == "probes":
        return list(Tolerances.model_fields)
    return list((Feature if len(loc) == 3 else Reference).model_fields)


def _choices(detail: ErrorDetails) -> list[str]:
    return [part for part in str(detail.get("ctx", {}).get("expected", "")).split("'") if part.isalpha()]


def _nearest(word: str, known: list[str]) -> str:
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    if found:
        return f"; did you mean {found[0]}?"
    return f"; known: {', '.join(known)}" if known else ""
