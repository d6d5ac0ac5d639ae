"""Relations between features that every plausible row keeps: `open_loans <= loans`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
}
_FORM: Final = re.compile(r"\s*(?P<left>[^<>=]+?)\s*(?P<sign><=|>=|==|<|>)\s*(?P<right>[^<>=]+?)\s*")


@dataclass(frozen=True)
class Relation:
    """`left sign right`, both names of features.

    >>> Relation.parse("open_loans <= loans").holds({"open_loans": 3, "loans": 2})
    False
    """

    left: str
    sign: str
    right: str

    @classmethod
    def parse(cls, text: str) -> Relation:
        """Read `a <= b`; signs are <=, <, >=, > and ==.

        Raises:
            ValueError: it does not read so.
        """
        form = _FORM.fullmatch(text)
        if form is None:
            raise ValueError(f"{text!r} is no relation: write two features with <=, <, >=, > or == between")
        return cls(form["left"], form["sign"], form["right"])

    @cached_property
    def names(self) -> frozenset[str]:
        """Both features."""
        return frozenset({self.left, self.right})

    def holds(self, features: Mapping[str, Any]) -> bool:
        """Whether a row keeps it; a row that lacks one of them, or whose types do not compare, does."""
        one, other = features.get(self.left), features.get(self.right)
        if one is None or other is None:
            return True
        try:
            return bool(_OPERATORS[self.sign](one, other))
        except TypeError:
            return True
