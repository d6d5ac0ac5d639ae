"""The YAML of a schema file: read strictly, written for a person to edit."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, NamedTuple

import yaml

from monitor.core.schema.feature import number_text

try:  # libyaml is ten times faster; the wheels carry it, some builds do not
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # pragma: no cover
    from yaml import SafeLoader  # type: ignore[assignment]

DEPTH_MAX: Final = 100
"""Nested mappings and lists a file may have."""

_TOO_DEEP: Final = f"nested deeper than {DEPTH_MAX} levels"

REPEATED_MAX: Final = 1_000_000
"""Characters that all aliases (`*NAME`) of a file together may stand for."""

LEGEND: Final = """\
# A feature schema: what every record must look like. Edit freely; `monitor check` tells what would violate.
# Left out, a feature is required, not nullable, and 0.1 % of violations (tolerated: 0.001) page nobody.
# minimum, maximum, unit: numbers.  categories, closed (a value not listed violates): categories.
# pattern, max_length: text.  sensitive: never shown.  immutable: a person cannot change it.
"""


# A value that does not go with its explicit tag (`!!timestamp x`, `!!bool x`, `!!int ''`) breaks the parser.
_NOT_YAML: Final = (
    yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError, TypeError, OverflowError,
)  # fmt: skip


class _Loader(SafeLoader):
    """A safe loader that reports keys given twice, where YAML would keep the last in silence."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.problems: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping, noting repeated keys."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    self.problems.append(f"line {key.start_mark.line + 1}: {key.value} is given twice")
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _base_10(loader: _Loader, node: yaml.ScalarNode) -> Any:
    """A number; YAML 1.1 reads `12:30` as 750, in base 60 and in time squared: to a person it is a text."""
    if ":" in node.value:
        return loader.construct_scalar(node)
    return SafeLoader.yaml_constructors[node.tag](loader, node)


_Loader.add_constructor("tag:yaml.org,2002:int", _base_10)
_Loader.add_constructor("tag:yaml.org,2002:float", _base_10)


class _Dumper(yaml.SafeDumper):
    """Lists and counts without a line for each, whole numbers without a fraction."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - a person should not meet &id001
        """Write repeated values out."""
        return True


def _write_list(dumper: _Dumper, data: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


def _write_mapping(dumper: _Dumper, data: dict[str, Any]) -> yaml.Node:
    # Counts per value would fill the page, one a line.
    is_counts = bool(data) and all(type(value) is int for value in data.values())
    return dumper.represent_mapping("tag:yaml.org,2002:map", data.items(), flow_style=is_counts)


def _write_float(dumper: _Dumper, data: float) -> yaml.Node:
    text = number_text(data)
    if "e" in text and "." not in text:  # 1e-07 is text to YAML 1.1
        text = text.replace("e", ".0e")
    kind = "float" if "." in text else "int"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{kind}", text)


def _write_text(dumper: _Dumper, data: str) -> yaml.Node:
    # Some line separators would be folded away in any style but this one, which escapes them.
    style = None if data.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _write_text)
_Dumper.add_representer(dict, _write_mapping)
_Dumper.add_representer(list, _write_list)
_Dumper.add_representer(float, _write_float)


def read_yaml(text: str) -> tuple[Any, list[str]]:
    r"""The document of a YAML text, and what is wrong with the text itself.

    >>> read_yaml("a: 1\na: 2")
    ({'a': 2}, ['line 2: a is given twice'])
    """
    try:
        problem = _boundless(text)
        if problem is not None:
            return None, [problem]
        loader = _Loader(text)
        document = loader.get_single_data()
    except _NOT_YAML as error:
        if "nesting depth" in str(error):  # newer parsers have a limit of their own
            return None, [_TOO_DEEP]
        return None, [_in_one_line(error)]
    return document, loader.problems


def _boundless(text: str) -> str | None:
    """What would make a document of a few lines too large for this process, before it is built.

    Libyaml builds documents by recursion in C: nesting without end would end the process. Aliases of aliases
    say more than memory holds in half a kilobyte, and one of itself has no end.
    """
    anchors: dict[str, _Extent] = {}
    open_: list[tuple[str | None, _Extent]] = [(None, _Extent())]
    repeated = 0
    for event in yaml.parse(text, Loader=SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, _Extent()))
            if len(open_) - 1 > DEPTH_MAX:
                return _TOO_DEEP
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, extent = open_.pop()
            extent = _Extent(extent.size + 1, extent.height + 1)
        elif isinstance(event, yaml.ScalarEvent):
            anchor, extent = event.anchor, _Extent(len(event.value) + 1)
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_):
                return f"{_place(event.start_mark)}*{event.anchor} is part of what it repeats"
            anchor, extent = None, anchors.get(event.anchor or "", _Extent())
            repeated += extent.size
            if repeated > REPEATED_MAX:
                return f"{_place(event.start_mark)}aliases repeat more than {REPEATED_MAX:,} characters"
        else:
            continue
        if anchor is not None:
            anchors[anchor] = extent
        open_[-1] = (open_[-1][0], open_[-1][1].with_(extent))
        if len(open_) - 1 + extent.height > DEPTH_MAX:
            return _TOO_DEEP
    return None


class _Extent(NamedTuple):
    """Of a part of a document, aliases spelt out: characters, and how deeply it is nested."""

    size: int = 0
    height: int = 0

    def with_(self, part: _Extent) -> _Extent:
        return _Extent(self.size + part.size, max(self.height, part.height))


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}: " if mark is not None else ""


def _in_one_line(error: Exception) -> str:
    place = _place(getattr(error, "problem_mark", None))
    return f"{place}not YAML: {getattr(error, 'problem', None) or ' '.join(str(error).split())}"


def write_yaml(document: dict[str, Any]) -> str:
    """YAML in the document's own order, under a legend."""
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return f"{LEGEND}{body}"
