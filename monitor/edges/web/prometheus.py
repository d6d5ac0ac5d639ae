"""The text format that Prometheus scrapes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Family:
    """One metric with all its samples.

    Attributes:
        name: of the metric.
        kind: what Prometheus may do with it.
        help: one sentence.
        samples: (labels, value).
    """

    name: str
    kind: Literal["counter", "gauge", "summary"]
    help: str
    samples: Iterable[tuple[Mapping[str, str], float]]


def render(families: Iterable[Family]) -> str:
    r"""Lines of every family that has samples.

    >>> print(render([Family("up", "gauge", "Whether.", [({"who": 'a"b'}, 1.0)])]), end="")
    # HELP up Whether.
    # TYPE up gauge
    up{who="a\"b"} 1
    """
    lines: list[str] = []
    for family in families:
        samples = [f"{family.name}{_labels(labels)} {_number(value)}" for labels, value in family.samples]
        if samples:
            lines += [
                f"# HELP {family.name} {family.help}",
                f"# TYPE {family.name} {family.kind}",
                *samples,
            ]
    return "\n".join(lines) + "\n" if lines else ""


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    # A lone surrogate, which JSON can carry, has no UTF-8 form.
    plain = text.encode("utf-8", "backslashreplace").decode()
    return plain.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
