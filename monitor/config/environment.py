"""Overrides from the environment: `MONITOR__KAFKA__BOOTSTRAP_SERVERS=kafka:9092`.

Two underscores part the keys. Case does not matter where a key exists in the file already, and is
lower otherwise. Values are read as YAML (`0.5`, `true`, `[a, b]`), user names and passwords as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from monitor.config.problems import Place, Problem
from monitor.core.schema.text import read_yaml
from monitor.core.shown import is_secret, shown

PREFIX: Final = "MONITOR__"
_TEXT_KEYS: Final = {"username", "password", "sasl_username", "sasl_password", "sensitive_key", "token"}


def override(
    raw: dict[str, Any], env: Mapping[str, str]
) -> tuple[dict[str, Any], dict[Place, str], list[Problem]]:
    """Settings with the environment's values in place; `raw` is left as it was.

    Returns:
        The new settings, the variable behind each place that was set, and the mistakes.
    """
    origins: dict[Place, str] = {}
    problems: list[Problem] = []
    for variable in sorted(name for name in env if name.startswith(PREFIX)):
        steps = variable.removeprefix(PREFIX).split("__")
        if not all(steps):
            problems.append(Problem((variable,), "a key is missing between two underscores and the next"))
            continue
        try:
            raw, place = _set(raw, steps, env[variable])
        except ValueError as error:
            problems.append(Problem((variable,), str(error)))
            continue
        origins[place] = variable
    return raw, origins, problems


def _set(node: Any, steps: list[str], text: str, secret: bool = False) -> tuple[Any, Place]:
    if isinstance(node, list):
        if not steps[0].isdecimal() or int(steps[0]) >= len(node):
            raise ValueError(f"{steps[0]}: expected a position below {len(node)}")
        position = int(steps[0])
        value, place = _below(node[position], position, steps, text, secret)
        return [*node[:position], value, *node[position + 1 :]], place
    if node is None or isinstance(node, dict):
        node = node or {}
        same = [name for name in node if str(name).lower() == steps[0].lower()]
        key = same[0] if same else steps[0].lower()
        value, place = _below(node.get(key), key, steps, text, secret)
        return node | {key: value}, place
    held = "a secret" if secret else shown(node)
    raise ValueError(f"{steps[0]}: the settings hold {held} above it, not a section")


def _below(inner: Any, key: str | int, steps: list[str], text: str, secret: bool) -> tuple[Any, Place]:
    if len(steps) > 1:
        value, place = _set(inner, steps[1:], text, secret or is_secret(key))
        return value, (key, *place)
    return (text if key in _TEXT_KEYS else _value(text)), (key,)


def _value(text: str) -> Any:
    value, problems = read_yaml(text)
    if problems:
        raise ValueError("the value is not YAML; put it in quotes inside the quotes")
    return value
