"""Where a model is asked, in which shape, and the words for what goes wrong there.

An endpoint is configuration and nothing else: no value of a record reaches its address or its headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from monitor.core.schema.feature import FeatureType
from monitor.core.schema.model import FeatureSchema

Format = Literal["json", "kserve", "tensorflow", "mlflow"]

DATATYPES: Final[Mapping[FeatureType, str]] = {
    FeatureType.NUMBER: "FP64",
    FeatureType.INTEGER: "INT64",
    FeatureType.BOOLEAN: "BOOL",
}
"""Type of a feature → datatype of the Open Inference Protocol; everything else is BYTES."""


class Failure(StrEnum):
    """Why there is no answer, where the status of a response does not say it ("http 400")."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"  # no connection: refused, no route, no such name
    TLS = "tls"  # a certificate that is not trusted, or no TLS at all
    DISCONNECTED = "disconnected"  # the connection broke, or what came was not HTTP
    REDIRECT = "redirect"  # never followed
    TOO_LARGE = "too large"
    ENCODED = "encoded"  # compressed although that was not accepted
    NOT_JSON = "not json"
    ROW_COUNT = "row count"  # other than one answer a row
    NO_SCORE = "no score"  # JSON without one where it was looked for
    NOT_A_NUMBER = "not a number"  # NaN, infinite or null
    REFUSED = "refused"  # a callable raised
    OPEN = "circuit open"  # not asked: the last calls failed


_ENDPOINT_STATUS: Final = frozenset({401, 402, 403, 404, 405, 407, 408, 410, 421, 425, 429, 431, 451})
"""Statuses below 500 that are about the endpoint or the caller, not about the rows."""

_OF_ROWS: Final = frozenset(
    {Failure.ROW_COUNT, Failure.NO_SCORE, Failure.NOT_A_NUMBER, Failure.REFUSED}
)  # fmt: skip


def is_refusal(error: str) -> bool:
    """Whether an error is the model's word about a row; else the model was not asked, or is not well.

    500 is a row's: serving code that does not expect a value answers so. 502 to 504 are not.

    >>> [is_refusal(error) for error in ("http 400", "http 500", "not a number", "http 503", "timeout")]
    [True, True, True, False, False]
    """
    status = re.fullmatch(r"http (\d{3})", error)
    if status is None:
        return error in _OF_ROWS
    number = int(status[1])
    return number == 500 or (400 <= number < 500 and number not in _ENDPOINT_STATUS)


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of one model.

    Attributes:
        url: http or https, in full; for TensorFlow Serving `.../v1/models/NAME:predict`, for KServe
            `.../v2/models/NAME/infer`, for MLflow `.../invocations`.
        format: what it speaks; see `docs/probes.md`.
        template: body of the request as JSON, in which `"$rows"` (a list of objects), `"$row"` (one object: a
            call a row), `"$vectors"` (a list of lists), `"$vector"` (one), `"$boxed"` (a list of objects
            whose values are lists of one) and `"$columns"` (the names in vectors) are replaced; None for the
            format's own.
        score: path of scores in the response, `$.predictions[*].score`; None looks where they usually are.
        decision: path of decisions, in the same language.
        positive_class: as the model names it: a label, or a key of its probabilities.
        output: name of the output tensor, for KServe; None for the first that has a value a row.
        tensor: KServe: name of the one input tensor that takes all features; None for a tensor a feature.
        columns: names of the features in the order of vectors; () for the order of the first row.
        datatypes: KServe: feature → datatype; see `for_schema`.
        timeout_s: of one call, from connecting to the last byte.
        rows_max: rows of one call.
        response_bytes_max: larger responses are dropped as they come.
        failures_max: calls that fail one after the other until the circuit opens.
        wait_s: time until an open circuit is tried again; it doubles up to `wait_max_s`.
        wait_max_s: the most of it.
        token: sent as `Authorization: Bearer`.
        ca_file: certificates to trust instead of the system's.

    Raises:
        ValueError: an address that is none, or a limit that is not positive.
    """

    url: str
    format: Format = "json"
    template: Any = None
    score: str | None = None
    decision: str | None = None
    positive_class: bool | int | str = 1
    output: str | None = None
    tensor: str | None = None
    columns: tuple[str, ...] = ()
    datatypes: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 5.0
    rows_max: int = 100
    response_bytes_max: int = 4 * 1024 * 1024
    failures_max: int = 5
    wait_s: float = 5.0
    wait_max_s: float = 300.0
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"\s", self.url):
            raise ValueError(f"expected an address such as http://localhost:8000/predict, got {self.url!r}")
        if parts.username is not None or parts.password is not None:
            raise ValueError("an address carries no password, it would be in logs: use a token")
        if self.token is not None and not re.fullmatch(r"[\x21-\x7e]+", self.token):
            raise ValueError("the token holds characters that no header can carry")
        limits = ("timeout_s", "rows_max", "response_bytes_max", "failures_max", "wait_s", "wait_max_s")
        for name in limits:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive")

    def for_schema(self, schema: FeatureSchema) -> Self:
        """With the columns and datatypes of a schema, where none are given."""
        known = {name: DATATYPES.get(feature.type, "BYTES") for name, feature in schema.features.items()}
        return replace(
            self, columns=self.columns or tuple(schema.features), datatypes={**known, **self.datatypes}
        )
