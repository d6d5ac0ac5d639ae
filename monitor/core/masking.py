"""How values of sensitive features are told: hashed with a key, or not at all."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

HIDDEN: Final = "(not shown)"
"""Stands for a value where there is no key."""

UNDECLARED: Final = "(undeclared)"
"""Stands in a request for all features that the schema does not name."""

_HASHED: Final = re.compile(r"hashed:[0-9a-f]{16}")
_WHOLE_MAX: Final = 2**53


class Marked(Protocol):
    """What is sensitive or not: a feature of a schema, an axis of a space."""

    @property
    def sensitive(self) -> bool:
        """Its values are not shown."""
        ...


@dataclass(frozen=True)
class Masking:
    """The sensitive features of a model, and the key their values are hashed with.

    The hash is BLAKE2b (RFC 7693) with the key, 64 bits of it, over feature and value. Whoever has no key can
    tell that two values of a feature are equal and learns nothing else; whoever has it can try values out.

    >>> masking = Masking(frozenset({"iban"}), key=b"a key of the operator's own")
    >>> masking.told({"iban": "AB1234", "age": 39})
    {'iban': 'hashed:ea9a6760234b16b4', 'age': 39}
    >>> Masking(frozenset({"iban"})).told({"iban": "AB1234"})
    {'iban': '(not shown)'}

    Attributes:
        features: names of the sensitive ones.
        key: at most 64 bytes; None tells nothing of a value.
        declared: names of all features of the schema; None where they are not known.
    """

    features: frozenset[str] = frozenset()
    key: bytes | None = field(default=None, repr=False)
    declared: frozenset[str] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, marked: Mapping[str, Marked], key: bytes | None = None) -> Masking:
        """The masking of what is marked in a schema or a space."""
        sensitive = frozenset(name for name, one in marked.items() if one.sensitive)
        return cls(sensitive, key, frozenset(marked))

    def value(self, feature: str, value: Any) -> str:
        """What stands for a value of a sensitive feature. Numbers that are equal are told alike."""
        return HIDDEN if self.key is None else hashed(self.key, feature, _plain(value))

    def received(self, feature: str, kind: str, value: Any) -> str:
        """The kind of a value, and its hash where there is a key."""
        return kind if self.key is None or value is None else f"{kind} ({self.value(feature, value)})"

    def told(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """A request with the values of sensitive features replaced.

        Where some feature is sensitive, whatever the schema does not name is left out: under another
        spelling, nested or as a name it may hold the very same value. `UNDECLARED` says that it was there.

        >>> masking = Masking(frozenset({"iban"}), declared=frozenset({"iban", "age"}))
        >>> masking.told({"age": 39, "IBAN": "AB1234"})
        {'age': 39, '(undeclared)': '(not shown)'}
        """
        if not self.features:
            return dict(features)
        known = features.keys() if self.declared is None else features.keys() & self.declared
        told = {n: self.value(n, v) if n in self.features else v for n, v in features.items() if n in known}
        return told if len(told) == len(features) else told | {UNDECLARED: HIDDEN}


OPEN: Final = Masking()
"""Nothing is sensitive."""


def hashed(key: bytes, *parts: Any) -> str:
    """`hashed:` and 16 hex digits of what JSON can spell; bytes are taken as they are."""
    state = hashlib.blake2b(key=key, digest_size=8, person=b"monitor-value")
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True, default=str).encode()
        state.update(len(data).to_bytes(8, "big") + data)
    return f"hashed:{state.hexdigest()}"


def key_of(secret: str) -> bytes:
    """The key that a secret of any length makes, 32 bytes."""
    return hashlib.blake2b(secret.encode("utf-8", "surrogatepass"), digest_size=32).digest()


def is_masked(value: Any) -> bool:
    """Whether something stands in place of a value.

    >>> is_masked("(not shown)"), is_masked("hashed:ea9a6760234b16b4"), is_masked("hashed")
    (True, True, False)
    """
    return isinstance(value, str) and (value == HIDDEN or _HASHED.fullmatch(value) is not None)


def _plain(value: Any) -> Any:
    """1 and 1.0 are one value."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE_MAX
    return int(value) if whole else value
