"""Settings of the questions asked of a model itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from monitor.config.problems import Problem, Problems, Section, nearest
from monitor.config.values import DurationS, ExistingFile, Share
from monitor.core.probes import PROBES
from monitor.core.probes.relations import Relation
from monitor.core.probes.spending import LATE_S, held_rows

PROBE_NAMES: Final = tuple(probe.name for probe in PROBES)


class ProbeSettings(Section):
    """Questions asked of the model that is serving, about requests it has served."""

    endpoint: str = Field(pattern=r"^https?://\S+$", description="Address of the model's endpoint.")
    format: Literal["json", "kserve", "tensorflow", "mlflow"] = Field(
        "json", description="What the endpoint speaks."
    )
    template: dict[str, Any] | list[Any] | None = Field(
        None, description='Body of a request, with "$rows" where the rows go; left out: the format\'s own.'
    )
    score: str | None = Field(None, description="Path of scores in the response: $.predictions[*].score.")
    decision: str | None = Field(None, description="Path of decisions, where the response has them.")
    output: str | None = Field(None, description="KServe: name of the output tensor.")
    tensor: str | None = Field(None, description="KServe: the one input tensor that takes all features.")
    timeout_s: DurationS = Field(5, alias="timeout", ge=1, le=300, description="Longest wait for an answer.")
    token_env: str | None = Field(
        None, description="Environment variable that holds a token, sent as Authorization: Bearer."
    )
    ca_file: ExistingFile | None = Field(None, description="CA certificates (PEM) to trust instead.")
    sample: Share = Field(0.01, description="Share of requests that are probed.")
    budget_rows_per_s: float = Field(
        50.0,
        gt=0,
        le=100_000,
        description="Most rows a second sent to the endpoint, by all workers together.",
    )
    burst: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Rows beyond the budget in one second, at most; left out: half of it, 10 at least.",
    )
    tolerated: Share = Field(
        0.01, description="Share of decisions that may change when only a protected feature does."
    )
    proxies: dict[str, dict[str, dict[str, str]]] = Field(
        default_factory=dict,
        description="Protected feature to proxy to value to counterpart, swapped together.",
    )
    relations: tuple[str, ...] = Field(
        (), description="What every plausible request keeps, e.g. open_loans <= loans."
    )
    probes: tuple[str, ...] = Field(
        PROBE_NAMES, min_length=1, description="Which probes; replay goes before each."
    )

    @property
    def burst_rows(self) -> float:
        """Rows beyond the budget in one second."""
        return float(self.burst) if self.burst is not None else max(10.0, self.budget_rows_per_s / 2)

    @property
    def parsed_relations(self) -> tuple[Relation, ...]:
        """Relations between features."""
        return tuple(Relation.parse(text) for text in self.relations)

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        """A burst that holds no batch."""
        rate, burst = raw.get("budget_rows_per_s", 50.0), raw.get("burst")
        if not isinstance(rate, int | float) or not isinstance(burst, int | float):
            return
        if held_rows(rate, burst) < 1:
            yield Problem(
                ("burst",), f"must be {LATE_S * rate + 1:.0f} rows at least: a fifth of the budget and one"
            )

    @field_validator("endpoint")
    @classmethod
    def _no_password(cls, endpoint: str) -> str:
        try:
            parts = urlsplit(endpoint)
            _ = parts.port  # raises where it is none, such as the begin of a password with a slash
        except ValueError:
            raise ValueError("expected http://HOST:PORT/PATH, but host or port cannot be read") from None
        if parts.username is not None:
            raise ValueError("an address carries no password, it would be in logs: use token_env")
        return endpoint

    @field_validator("probes")
    @classmethod
    def _known_probes(cls, probes: tuple[str, ...]) -> tuple[str, ...]:
        problems = [
            Problem((position,), f"no probe {name!r}{nearest(name, PROBE_NAMES)}")
            for position, name in enumerate(probes)
            if name not in PROBE_NAMES
        ]
        if problems:
            raise Problems(problems)
        return probes

    @field_validator("relations")
    @classmethod
    def _readable(cls, relations: tuple[str, ...]) -> tuple[str, ...]:
        problems = []
        for position, text in enumerate(relations):
            try:
                Relation.parse(text)
            except ValueError as error:
                problems.append(Problem((position,), str(error)))
        if problems:
            raise Problems(problems)
        return relations

    def unknown(self, features: Mapping[str, Any], protected: tuple[str, ...]) -> Iterator[Problem]:
        """Features it names that the model does not have."""
        for name, proxies in self.proxies.items():
            if name not in protected:
                yield Problem(("proxies", name), f"{name} is not protected; write it there too")
            for proxy in proxies:
                if proxy not in features:
                    yield Problem(("proxies", name, proxy), f"no feature {proxy!r} in the schema")
        for position, relation in enumerate(self.parsed_relations):
            for feature in sorted(relation.names - features.keys()):
                yield Problem(("relations", position), f"no feature {feature!r} in the schema")
