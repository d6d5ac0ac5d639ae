"""Text that came from elsewhere, made safe to look at."""

from __future__ import annotations

import json
from typing import Any


def printable(text: str) -> str:
    r"""Text with what a terminal would obey, or no encoding has a form for, written out.

    >>> printable("r-1\x1b[2J"), printable("Zürich"), printable("\ud800")
    ('r-1\\x1b[2J', 'Zürich', '\\ud800')
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    r"""`printable` of each line.

    >>> printable_lines("a\nb\r")
    'a\nb\\r'
    """
    return "\n".join(map(printable, text.split("\n")))


def json_text(value: Any, indent: int | None = None, **options: Any) -> str:
    r"""JSON that a terminal may show: other scripts stay readable, what it would obey is escaped.

    Args:
        value: what JSON can hold.
        indent: as for `json.dumps`,
        **options: and its others.

    >>> json_text("Zürich"), json_text("\x9b2J")
    ('"Zürich"', '"\\u009b2J"')
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, **options)
    if all(map(str.isprintable, text.split("\n"))):
        return text
    return json.dumps(value, indent=indent, ensure_ascii=True, **options)
