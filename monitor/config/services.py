"""Settings of the services the monitor attaches to: Kafka and Redis.

Asking for TLS in an option while the protocol or the address is plaintext is refused, never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from monitor.config.problems import Problem, Problems, Section
from monitor.config.values import ExistingFile
from monitor.core.errors import MappingError
from monitor.core.mapping import Mapping as FieldMapping
from monitor.core.shown import is_secret, shown

EMBEDDED: Final = "embedded"
"""In place of an address: use the bundled broker or store."""

_URL_STARTS: Final = ("redis://", "rediss://", "unix://")
_URL_OPTIONS: Final = (
    "client_name", "db", "health_check_interval", "socket_connect_timeout", "socket_keepalive",
    "socket_timeout",
)  # fmt: skip
_ENCODE: Final = (
    "percent-encode what is special in a password (%2F is /, %23 is #, %3F is ?, %40 is @), "
    "or give it as redis.password or MONITOR__REDIS__PASSWORD"
)

_SERVER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})")
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


def _servers(value: Any) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not items:
        raise ValueError(f"expected host:port, a list of them, or embedded, got {shown(value)}")
    servers = tuple(str(item).strip() for item in items)
    if servers == (EMBEDDED,):
        return servers
    if any("@" in server for server in servers):
        raise ValueError(
            "expected host:port without a user or password; those are kafka.sasl_username and "
            "kafka.sasl_password (MONITOR__KAFKA__SASL_PASSWORD)"
        )
    for server in servers:
        match = _SERVER.fullmatch(server)
        if match is None or not 1 <= int(match[2]) <= 65_535:
            raise ValueError(f"expected host:port, a list of them, or embedded, got {shown(server)}")
    return servers


def _topic(value: Any) -> str:
    if not isinstance(value, str) or not _TOPIC.fullmatch(value) or value in {".", ".."}:
        raise ValueError(f"expected the name of a topic (letters, digits, . _ -), got {shown(value)}")
    return value


def _topics(value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not items:
        raise ValueError(f"expected a list of topics, e.g. [predictions], got {shown(value)}")
    return tuple(_topic(item) for item in items)


def _mapping(value: Any) -> FieldMapping:
    if isinstance(value, FieldMapping):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"expected fields and their paths, e.g. {{request_id: $.id}}, got {shown(value)}")
    problems = []
    for field, path in value.items():
        try:
            if not isinstance(path, str):
                raise MappingError(f"expected a path ($.payload.id) or a constant (=income), got {path!r}")
            FieldMapping.parse({str(field): path})
        except MappingError as error:
            problems.append(Problem((str(field),), str(error).removeprefix(f"{field}: ")))
    if problems:
        raise Problems(problems)
    return FieldMapping.parse(value)


def _sources(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _some_sources(value: Any) -> Any:
    if value in (None, [], {}):
        raise ValueError("expected {topics: [...]}, or a list of such sources")
    return _sources(value)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


Topic = Annotated[str, BeforeValidator(_topic)]


class Source(Section):
    """Topics that share one shape of record."""

    topics: Annotated[tuple[str, ...], BeforeValidator(_topics)] = Field(
        description="Topics to read, e.g. [predictions]."
    )
    mapping: Annotated[FieldMapping, BeforeValidator(_mapping)] = Field(
        default_factory=FieldMapping.parse,
        repr=False,
        description="Where each of our fields is in the record; empty reads the plain form.",
    )
    start: Literal["earliest", "latest"] = Field(
        "earliest", description="Where a partition that was never read before begins."
    )


class AlertsTopic(Section):
    """Where alerts are published."""

    topic: Topic = Field("model-alerts", description="Topic of alert transitions, best compacted.")


class DeadLettersTopic(Section):
    """Where records that cannot be read go."""

    topic: Topic = Field("monitor-dead-letters", description="Topic of unreadable records and their reasons.")


class KafkaSettings(Section):
    """The brokers, how to talk to them, and which topics are what.

    `predictions` and `labels` are tuples of `Source`, also where a single one is written.
    """

    bootstrap_servers: Annotated[tuple[str, ...], BeforeValidator(_servers)] = Field(
        description="Brokers as host:port, or embedded."
    )
    group_id: str = Field(
        "inference-monitor", min_length=1, max_length=255, description="Consumer group of the workers."
    )
    isolation_level: Literal["read_committed", "read_uncommitted"] = Field(
        "read_committed", description="Whether records of open or aborted transactions are skipped."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to the brokers."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="How to log in, with a SASL protocol."
    )
    sasl_username: str | None = Field(None, description="User name, with a SASL protocol.")
    sasl_password: SecretStr | None = Field(
        None, description="Password, with a SASL protocol; best given in the environment."
    )
    ssl_cafile: ExistingFile | None = Field(
        None, description="CA certificates (PEM); the system's where left out."
    )
    ssl_certfile: ExistingFile | None = Field(None, description="Client certificate (PEM).")
    ssl_keyfile: ExistingFile | None = Field(None, description="Private key of the client certificate (PEM).")
    ssl_check_hostname: bool = Field(True, description="Whether the certificate must name the broker.")
    predictions: Annotated[tuple[Source, ...], BeforeValidator(_some_sources)] = Field(
        description="The source, or list of sources, of predictions."
    )
    labels: Annotated[tuple[Source, ...], BeforeValidator(_sources)] = Field(
        (), description="The source, or list of sources, of labels."
    )
    alerts: AlertsTopic = Field(default_factory=AlertsTopic, description="Where alerts are published.")
    dead_letters: DeadLettersTopic = Field(
        default_factory=DeadLettersTopic, description="Where unreadable records go."
    )

    @property
    def embedded(self) -> bool:
        """Whether the bundled broker is asked for."""
        return self.bootstrap_servers == (EMBEDDED,)

    @property
    def input_topics(self) -> tuple[str, ...]:
        """Every topic that is read, predictions first."""
        return tuple(topic for source in (*self.predictions, *self.labels) for topic in source.topics)

    def connection(self) -> dict[str, Any]:
        """Keyword arguments of `monitor.edges.kafka.connection.KafkaConnection`."""
        return {
            "bootstrap_servers": ",".join(self.bootstrap_servers),
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_username": self.sasl_username,
            "sasl_password": self.sasl_password.get_secret_value() if self.sasl_password else None,
            "ssl_cafile": _text(self.ssl_cafile),
            "ssl_certfile": _text(self.ssl_certfile),
            "ssl_keyfile": _text(self.ssl_keyfile),
            "ssl_check_hostname": self.ssl_check_hostname,
        }

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        """Security options that the protocol would ignore, and topics with two meanings."""
        protocol = raw.get("security_protocol", "PLAINTEXT")
        # Tuples, not sets: what a person wrote may be unhashable.
        plain, anonymous = ("PLAINTEXT", "SASL_PLAINTEXT"), ("PLAINTEXT", "SSL")
        for key in raw:
            if str(key).startswith("ssl_") and protocol in plain:
                secure = "SASL_SSL" if protocol == "SASL_PLAINTEXT" else "SSL"
                text = f"asks for TLS, but security_protocol is {protocol}; set it to {secure}"
                yield Problem((str(key),), text)
            if str(key).startswith("sasl_") and protocol in anonymous:
                login = "SASL_SSL" if protocol == "SSL" else "SASL_SSL or SASL_PLAINTEXT"
                text = f"asks to log in, but security_protocol is {protocol}; set it to {login}"
                yield Problem((str(key),), text)
        if protocol in ("SASL_PLAINTEXT", "SASL_SSL"):
            for key in ("sasl_username", "sasl_password"):
                if key not in raw:
                    yield Problem((key,), f"missing; security_protocol {protocol} logs in")
        yield from _half_a_certificate(raw)
        if raw.get("bootstrap_servers") in (EMBEDDED, [EMBEDDED]) and protocol != "PLAINTEXT":
            yield Problem(("security_protocol",), "the embedded broker speaks PLAINTEXT only; leave it out")
        yield from _topic_clashes(raw)


def _half_a_certificate(raw: Mapping[str, Any]) -> Iterator[Problem]:
    for key, other in (("ssl_certfile", "ssl_keyfile"), ("ssl_keyfile", "ssl_certfile")):
        if key in raw and other not in raw:
            yield Problem((key,), f"comes together with {other}")


def _topic_clashes(raw: Mapping[str, Any]) -> Iterator[Problem]:
    meaning: dict[str, str] = {}
    for key, default in (("alerts", "model-alerts"), ("dead_letters", "monitor-dead-letters")):
        section = raw.get(key)
        topic = section.get("topic", default) if isinstance(section, dict) else default
        if isinstance(topic, str):
            if topic in meaning:
                yield Problem((key, "topic"), f"topic {topic} is {meaning[topic]} already")
            meaning[topic] = f"kafka.{key}"
    for key in ("predictions", "labels"):
        for source in _sources(raw.get(key) or []):
            topics = source.get("topics") if isinstance(source, dict) else None
            for topic in [topics] if isinstance(topics, str) else topics or []:
                if str(topic) in meaning:
                    yield Problem((key,), f"topic {topic} is {meaning[str(topic)]} already; it is read once")
                meaning[str(topic)] = f"kafka.{key}"


class RedisSettings(Section):
    """The store. A user and a password written in the URL are moved out of it, so no copy of it leaks."""

    url: str = Field(
        "redis://localhost:6379/0",
        description="Address: redis://, rediss:// (TLS), unix://, or embedded.",
    )
    username: str | None = Field(None, description="ACL user.")
    password: SecretStr | None = Field(None, description="Password; best given in the environment.")
    ssl_ca_certs: ExistingFile | None = Field(None, description="CA certificates (PEM) for rediss://.")
    ssl_certfile: ExistingFile | None = Field(None, description="Client certificate (PEM) for rediss://.")
    ssl_keyfile: ExistingFile | None = Field(None, description="Private key of the client certificate (PEM).")
    shards: int = Field(
        1, ge=1, le=256, description="Parts the store is cut into: 1, or near the number of primaries."
    )
    stub_parts: int = Field(
        256, ge=1, le=65_536, description="Hashes that half a label wait of pending predictions is split in."
    )

    @property
    def embedded(self) -> bool:
        """Whether the bundled store is asked for."""
        return self.url == EMBEDDED

    def access(self) -> dict[str, str | None]:
        """Keyword arguments of `monitor.edges.redis.link.RedisAccess`."""
        return {
            "username": self.username,
            "password": self.password.get_secret_value() if self.password else None,
            "ssl_ca_certs": _text(self.ssl_ca_certs),
            "ssl_certfile": _text(self.ssl_certfile),
            "ssl_keyfile": _text(self.ssl_keyfile),
        }

    @model_validator(mode="before")
    @classmethod
    def _split_url(cls, raw: Any) -> Any:
        """Runs before `rules`, which see credentials in the URL only where they are given twice."""
        if not isinstance(raw, dict) or not isinstance(raw.get("url"), str) or _url_problem(raw["url"]):
            return raw
        parts = urlsplit(raw["url"])
        login, at, host = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        inside = {"username": unquote(user), "password": unquote(password)}
        inside = {key: value for key, value in inside.items() if value}
        if not at or any(raw.get(key) is not None for key in inside):
            return raw
        url = urlunsplit(parts._replace(netloc=host))
        if parts.scheme == "unix" and not host:  # of which the library drops the empty host
            url = url.replace("unix:/", "unix:///", 1)
        return raw | inside | {"url": url}

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        """TLS options with a plaintext address; half a certificate; credentials given twice."""
        yield from _half_a_certificate(raw)
        url = raw.get("url", "redis://localhost:6379/0")
        if not isinstance(url, str) or _url_problem(url):
            return  # the field says it
        parts = urlsplit(url)
        if parts.scheme != "rediss":
            for key in (key for key in raw if str(key).startswith("ssl_")):
                yield Problem((str(key),), "asks for TLS, but the address is plaintext; write rediss://")
        if "@" in parts.netloc:
            user, _, password = parts.netloc.rpartition("@")[0].partition(":")
            for key, inside in (("username", user), ("password", password)):
                if inside and raw.get(key) is not None:
                    yield Problem((key,), "is in the url as well; keep one of them")

    @field_validator("url")
    @classmethod
    def _readable(cls, url: str) -> str:
        problem = _url_problem(url)
        if problem is not None:
            raise ValueError(problem)
        return url


def _url_problem(url: str) -> str | None:
    """Why an address of the store is none; of what could be a password nothing is told."""
    if url == EMBEDDED:
        return None
    if not url.startswith(_URL_STARTS):
        return f"expected redis://, rediss://, unix:// or embedded, got {shown(url)}"
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is none
    except ValueError:
        return f"expected redis://HOST:PORT/0, but host or port cannot be read; {_ENCODE}"
    if any("@" in part for part in (parts.path, parts.query, parts.fragment)):
        return f"expected nothing but a user and a password before the @; {_ENCODE}"
    if parts.fragment:
        return f"expected redis://HOST:PORT/0, but a # ends the address; {_ENCODE}"
    for key, _ in parse_qsl(parts.query, keep_blank_values=True):
        if is_secret(key) or key == "username":
            return "carries a user or a password behind the ?; give redis.username and redis.password instead"
        if key.startswith("ssl"):
            return (
                f"asks for {key} behind the ?, which could end the check of certificates unseen; expected "
                "rediss:// with redis.ssl_ca_certs, redis.ssl_certfile and redis.ssl_keyfile"
            )
        if key not in _URL_OPTIONS:
            return f"an option behind the ? is not known; known here: {', '.join(_URL_OPTIONS)}"
    return None
