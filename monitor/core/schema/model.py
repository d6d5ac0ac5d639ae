"""The feature schema as people write it and programs hold it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
from pydantic import Field, ValidationError

from monitor.core.errors import SchemaError
from monitor.core.schema.compiled import CompiledSchema, Unexpected
from monitor.core.schema.feature import FEATURES_MAX, TOLERATED, Feature, FeatureName, Number, Strict
from monitor.core.schema.mistakes import mistakes
from monitor.core.schema.text import read_yaml, write_yaml
from monitor.core.schema.tolerances import Tolerances
from monitor.core.schema.violations import Code, Violation

JUDGES: Final = "feature_schemas"
"""Registry of the schemas that judged a model's requests: fingerprint → id."""

VERSION: Final = 1


class FeatureSchema(Strict):
    """The features of a model: what a record must hold for its prediction to mean anything.

    >>> schema = FeatureSchema.parse('''
    ... version: 1
    ... features:
    ...   age: {type: integer, minimum: 0, maximum: 120, unit: years}
    ...   sex: {type: category, categories: [Female, Male]}
    ... ''')
    >>> [violation.message for violation in schema.check({"age": 100000, "sex": "Female"})]
    ['age: expected an integer between 0 and 120 (years), received 100000']
    """

    version: Literal[1] = Field(VERSION, description="Version of this file format.")
    unexpected: Unexpected = Field(
        "violate", description="What a feature beyond the schema is: violate, or tolerate."
    )
    tolerated: Number = Field(
        TOLERATED,
        gt=0,
        le=1,
        description="Tolerated rate of violations of the record itself: unexpected features, bad "
        "timestamps, scores outside [0, 1].",
    )
    probes: Tolerances = Field(
        default_factory=Tolerances, description="Probe to the share of requests its finding is tolerated in."
    )
    features: dict[FeatureName, Feature] = Field(
        min_length=1, max_length=FEATURES_MAX, description="Name to feature, in the schema's order."
    )

    @classmethod
    def parse(cls, text: str, source: str = "feature schema") -> Self:
        """Read the YAML (or JSON) text of a schema file.

        Args:
            text: the file's content.
            source: its name, for the error.

        Raises:
            SchemaError: with every mistake found, and for a misspelt key the nearest one.
        """
        document, problems = read_yaml(text)
        if problems:
            raise SchemaError(problems, source)
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise SchemaError(mistakes(cls, document, error), source) from None

    def text(self) -> str:
        """The schema as YAML, defaults left out; `parse` reads it back to an equal schema."""
        document = self.model_dump(mode="json", exclude_defaults=True)
        for name, feature in self.features.items():
            if feature.categories is None:
                continue
            # Worth reading even where it is the default, and next to what it closes.
            dumped = document["features"][name] | {"closed": feature.closed}
            document["features"][name] = {key: dumped[key] for key in Feature.model_fields if key in dumped}
        return write_yaml({"version": self.version, **document})

    @property
    def fingerprint(self) -> str:
        """Which schema this is: 16 hexadecimal digits that change with anything it says."""
        document = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        return hashlib.sha256(document.encode()).hexdigest()[:16]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a schema file.

        Raises:
            SchemaError: it cannot be read or is wrong.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SchemaError([f"cannot be read: {error}"], str(path)) from error
        return cls.parse(text, str(path))

    def dump(self, path: str | Path) -> None:
        """Write a schema file, ready to be edited."""
        Path(path).write_text(self.text(), encoding="utf-8")

    @property
    def compiled(self) -> CompiledSchema:
        """The compiled schema, made at first use."""
        # Held beside the fields, where equality, hash and dump do not look. A copy carries it along,
        # so it counts only if it was built from this very schema.
        held: CompiledSchema | None = self.__dict__.get("_compiled")
        if held is None or held.schema is not self:
            held = self.__dict__["_compiled"] = CompiledSchema(self)
        return held

    def check(self, record: Mapping[str, Any]) -> list[Violation]:
        """Judge one record, as a serving process does before it answers.

        Args:
            record: feature name → value as decoded from JSON; numpy scalars are read as numbers.

        Returns:
            Every violation, the record's own first, then by feature; empty when the record is right.
        """
        compiled = self.compiled
        if compiled.accepts(record):
            return []
        plain = record
        if isinstance(record, Mapping):
            plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in record.items()}
        return [compiled.explain(plain, index, Code(code)) for index, code in compiled.check_record(plain)]

    def __getstate__(self) -> dict[Any, Any]:
        # The compiled form is made again where it is needed; its judges cannot be pickled.
        state = super().__getstate__()
        fields = {key: value for key, value in state["__dict__"].items() if key != "_compiled"}
        return {**state, "__dict__": fields}
