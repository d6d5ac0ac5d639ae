"""`Settings`: one YAML file and the environment, read once, frozen."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError

from monitor.config.environment import override
from monitor.config.models import ModelSettings
from monitor.config.problems import Place, Problem, Section, problems_of
from monitor.config.services import KafkaSettings, RedisSettings
from monitor.config.values import DurationS, SecretFile
from monitor.config.web import WebSettings
from monitor.core.counters import DEFAULT_TIERS, DEMO_TIERS, Tier
from monitor.core.errors import SettingsError
from monitor.core.masking import key_of
from monitor.core.records import ModelName
from monitor.core.schema import FeatureType
from monitor.core.schema.text import read_yaml
from monitor.core.shown import shown
from monitor.core.slices.spec import CategorySlice, CrossSlice, bins_in, features_of

SECRET_CHARS_MIN: Final = 16
"""Shorter keys could be tried out."""

TIERS: Final = {"default": DEFAULT_TIERS, "demo": DEMO_TIERS}


def _tiers(value: Any) -> Any:
    if isinstance(value, str) and value in TIERS:
        return TIERS[value]
    if isinstance(value, tuple):
        return value
    raise ValueError(f"expected {' or '.join(TIERS)}, got {shown(value)}")


class Limits(Section):
    """The end of everything that could grow."""

    record_bytes_max: int = Field(1_048_576, ge=256, description="Largest record that is read, in bytes.")
    depth_max: int = Field(32, ge=2, le=200, description="Deepest nesting that is read.")
    slices_max: int = Field(
        1_000,
        ge=1,
        le=65_535,
        description="Slices of one model; further ones count in all traffic only.",
    )
    outbox_max: int = Field(
        100_000,
        ge=100,
        description="Dead letters, or alerts, that wait; beyond it new letters and old alerts fall.",
    )


class WorkerSettings(Section):
    """How a worker paces itself."""

    poll_records_max: int = Field(
        5_000,
        ge=1,
        le=100_000,
        description="Most records taken at once, times shards and models (8 times, at most).",
    )
    rebalance_timeout_s: DurationS = Field(
        30,
        alias="rebalance_timeout",
        ge=3,
        le=300,
        description="How long a rebalance waits for a worker; some brokers also make the first join wait.",
    )
    stall_timeout_s: DurationS = Field(
        60, alias="stall_timeout", ge=1, description="Records to read but no progress for this long: exit 1."
    )
    grace_s: DurationS = Field(
        2,
        alias="grace",
        description="Event time a bucket stays open after its end, for records out of order.",
    )


class Settings(Section):
    """Everything a worker, a reader or a command needs to know."""

    kafka: KafkaSettings = Field(description="Brokers and topics.")
    redis: RedisSettings = Field(default_factory=RedisSettings, description="The store.")
    models: dict[ModelName, ModelSettings] = Field(
        min_length=1, description="The models that are watched, by the name their records carry."
    )
    tiers: Annotated[tuple[Tier, ...], BeforeValidator(_tiers)] = Field(
        DEFAULT_TIERS, description="Bucket lengths and retentions: default, or demo with a 1 s tier."
    )
    limits: Limits = Field(default_factory=Limits, description="The end of everything that could grow.")
    worker: WorkerSettings = Field(default_factory=WorkerSettings, description="How a worker paces itself.")
    web: WebSettings = Field(default_factory=WebSettings, description="Health, metrics and the dashboard.")
    sensitive_key: SecretStr | None = Field(
        None,
        min_length=SECRET_CHARS_MIN,
        description="What values of sensitive features are hashed with; best given in the environment.",
    )
    sensitive_key_file: SecretFile | None = Field(
        None, min_length=SECRET_CHARS_MIN, description="The same, from a file."
    )

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        """One key."""
        if raw.get("sensitive_key") is not None and raw.get("sensitive_key_file") is not None:
            yield Problem(("sensitive_key_file",), "comes beside sensitive_key; keep one of them")

    @property
    def masking_key(self) -> bytes | None:
        """What values of sensitive features are hashed with; None where they are not told at all."""
        secret = self.sensitive_key or self.sensitive_key_file
        return None if secret is None else key_of(secret.get_secret_value())

    @classmethod
    def load(cls, path: Path | str, env: Mapping[str, str] | None = None) -> Self:
        """Read a settings file and the environment.

        Args:
            path: the YAML file; paths inside it are relative to its directory.
            env: overrides, `os.environ` unless given.

        Raises:
            SettingsError: anything is wrong; holds every mistake.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            hint = "write one with `monitor init`, or name it with --config"
            raise SettingsError([f"cannot be read ({error.strerror}); {hint}"], str(path)) from None
        except UnicodeDecodeError:
            raise SettingsError(["is not UTF-8 text"], str(path)) from None
        raw, complaints = read_yaml(text)
        if raw is None and complaints:
            raise SettingsError(complaints, str(path))
        problems = [Problem((), complaint) for complaint in complaints]
        return cls._build(raw, path.parent, os.environ if env is None else env, str(path), problems)

    @classmethod
    def parse(
        cls, raw: Mapping[str, Any], base: Path | str = ".", env: Mapping[str, str] | None = None
    ) -> Self:
        """Settings from a dictionary of the same form as the file.

        Args:
            raw: the sections.
            base: directory at which relative paths begin.
            env: overrides; none unless given.

        Raises:
            SettingsError: anything is wrong; holds every mistake.
        """
        return cls._build(raw, Path(base), env or {}, "settings", [])

    @classmethod
    def _build(
        cls, raw: Any, base: Path, env: Mapping[str, str], source: str, problems: list[Problem]
    ) -> Self:
        if not isinstance(raw, dict):
            raise SettingsError(["expected the sections kafka, redis and models"], source)
        merged, origins, mistakes = override(dict(raw), env)
        found = [*problems, *mistakes]
        settings = None
        try:
            settings = cls.model_validate(merged, context={"base": base})
        except ValidationError as error:
            found += problems_of(error)
        if found or settings is None:
            raise SettingsError([f"{problem}{_origin(problem.place, origins)}" for problem in found], source)
        return settings

    def at(
        self,
        *,
        bootstrap_servers: str | None = None,
        redis_url: str | None = None,
        web_port: int | None = None,
    ) -> Self:
        """The same settings with other addresses, such as those of embedded services once they run."""
        changes: dict[str, Any] = {}
        if bootstrap_servers is not None:
            servers = tuple(bootstrap_servers.split(","))
            changes["kafka"] = self.kafka.model_copy(update={"bootstrap_servers": servers})
        if redis_url is not None:
            changes["redis"] = self.redis.model_copy(update={"url": redis_url})
        if web_port is not None:
            changes["web"] = self.web.model_copy(update={"port": web_port})
        return self.model_copy(update=changes)

    def warnings(self) -> list[str]:
        """What is allowed but probably not meant."""
        found = []
        for name, model in self.models.items():
            token = model.probes.token_env if model.probes is not None else None
            if token is not None and not os.environ.get(token):
                found.append(f"models.{name}.probes.token_env: {token} is not set; no token is sent")
            secret = _sensitive(model)
            found += [
                f"models.{name}.slices: {feature} is marked sensitive; a slice for each value names the value"
                for part in model.slice_specs
                if isinstance(part, CategorySlice | CrossSlice)
                for feature in sorted(secret.intersection(features_of(part)))
            ]
            found += [f"models.{name}.{text}" for text in _uncut(model)]
            if model.feature_schema is None:
                found.append(f"models.{name}.schema: none given; requests are counted but not validated")
            if model.reference is None:
                found.append(
                    f"models.{name}.reference: none given; the model is learning and only schema alerts speak"
                )
        return found


def _sensitive(model: ModelSettings) -> set[str]:
    """Features whose values are never shown."""
    schema = model.feature_schema
    return set() if schema is None else {name for name, f in schema.features.items() if f.sensitive}


def _uncut(model: ModelSettings) -> list[str]:
    """Numbers with fractions that are slices as they are: nearly every row would be one of its own."""
    schema = model.feature_schema
    if schema is None:
        return []
    numbers = {name for name, feature in schema.features.items() if feature.type is FeatureType.NUMBER}
    # Bins in a crossing cut what is crossed, not the slice that is made of a protected feature.
    cut = {
        part.feature for spec in model.slices if not isinstance(spec, CrossSlice) for part in bins_in(spec)
    }
    # A crossing has the bins that it names itself, and no others.
    crossed = [
        set(s.features) - {b.feature for b in s.bins} for s in model.slices if isinstance(s, CrossSlice)
    ]
    alone = {spec.feature for spec in model.slices if isinstance(spec, CategorySlice)}
    named = {"slices": alone.union(*crossed), "protected": set(model.protected) - cut - alone}
    return [
        f"{key}: {feature} is a number, and every value of it a slice of its own; "
        f"write {{feature: {feature}, bins: [...]}} under slices"
        for key, features in named.items()
        for feature in sorted(features & numbers)
    ]


def _origin(place: Place, origins: Mapping[Place, str]) -> str:
    for end in range(len(place), 0, -1):
        if place[:end] in origins:
            return f" (from {origins[place[:end]]})"
    return ""


def setting_paths(section: type[Section] = Settings) -> list[str]:
    """Every key of the settings as documentation names it: `kafka.predictions.topics`, `models.NAME.task`."""
    found: list[str] = []
    for name, field in section.model_fields.items():
        key = field.alias or name
        found.append(key)
        inner = _section_in(field.annotation)
        if inner is not None:
            prefix = f"{key}.NAME" if inner is ModelSettings else key
            found += [f"{prefix}.{below}" for below in setting_paths(inner)]
    return found


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(
        (found for inner in getattr(annotation, "__args__", ()) if (found := _section_in(inner))), None
    )
