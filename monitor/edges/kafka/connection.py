"""How to reach the brokers: one value, and the one place that makes client options from it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

import faust
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from monitor.core.errors import KafkaError
from monitor.edges.kafka import unpacking

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]

unpacking.install()  # every client, of either library, is made by way of this module

SASL_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True)
class KafkaConnection:
    """Brokers, encryption and credentials, for every client this program opens.

    Attributes:
        bootstrap_servers: `host:port`, comma-separated.
        security_protocol: what the connection must be; anything less is refused.
        sasl_mechanism: one of `SASL_MECHANISMS`, for the SASL protocols.
        sasl_username: for the SASL protocols.
        sasl_password: for the SASL protocols; never shown.
        ssl_cafile: PEM of the authorities to trust; the system's when absent.
        ssl_certfile: PEM of the client's certificate.
        ssl_keyfile: PEM of the client's key.
        ssl_check_hostname: compare the broker's certificate with its host name.
    """

    bootstrap_servers: str
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_check_hostname: bool = True

    def __post_init__(self) -> None:
        if not self.servers:
            raise KafkaError("no Kafka bootstrap servers given")
        if not self.encrypted and (self.ssl_cafile or self.ssl_certfile or self.ssl_keyfile):
            raise KafkaError(
                f"TLS files are given but security_protocol is {self.security_protocol}: "
                "set it to SSL or SASL_SSL, or remove the files"
            )
        if self.authenticated:
            if self.sasl_mechanism not in SASL_MECHANISMS:
                raise KafkaError(
                    f"SASL mechanism {self.sasl_mechanism!r} is not one of {', '.join(SASL_MECHANISMS)}"
                )
            if self.sasl_username is None or self.sasl_password is None:
                raise KafkaError(f"{self.security_protocol} needs sasl_username and sasl_password")
        elif self.sasl_username is not None or self.sasl_password is not None:
            raise KafkaError(
                f"SASL credentials are given but security_protocol is {self.security_protocol}: "
                "set it to SASL_SSL, or remove them"
            )

    @property
    def servers(self) -> list[str]:
        """Each `host:port`."""
        return [server.strip() for server in self.bootstrap_servers.split(",") if server.strip()]

    @property
    def encrypted(self) -> bool:
        """True when the protocol is TLS."""
        return self.security_protocol in {"SSL", "SASL_SSL"}

    @property
    def authenticated(self) -> bool:
        """True when the protocol is SASL."""
        return self.security_protocol.startswith("SASL_")

    @cached_property
    def ssl_context(self) -> ssl.SSLContext | None:
        """Verifying TLS context, None for plain protocols.

        Raises:
            KafkaError: a file cannot be read.
        """
        if not self.encrypted:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ssl_cafile)
            context.check_hostname = self.ssl_check_hostname
            if self.ssl_certfile is not None:
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile)
        except (OSError, ssl.SSLError) as error:
            raise KafkaError(f"the TLS files for Kafka cannot be used: {error}") from error
        return context

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments that aiokafka's and kafka-python's clients share."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.servers,
            "security_protocol": self.security_protocol,
        }
        if self.encrypted:
            options["ssl_context"] = self.ssl_context
        if self.authenticated:
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password
        return options

    def faust_credentials(self) -> Any:  # Faust's classes carry no types
        """Credentials for Faust's own clients, None for PLAINTEXT.

        Raises:
            KafkaError: Faust would use another protocol than asked for. It falls back to plain text
                without a word, so this is checked and not trusted.
        """
        credentials: Any = None
        if self.authenticated:
            credentials = faust.SASLCredentials(
                username=self.sasl_username,
                password=self.sasl_password,
                mechanism=self.sasl_mechanism,
                ssl_context=self.ssl_context,
            )
        elif self.encrypted:
            credentials = faust.SSLCredentials(self.ssl_context)
        protocol = credentials_to_aiokafka_auth(credentials)["security_protocol"]
        if protocol != self.security_protocol:
            raise KafkaError(
                f"Kafka was to be reached by {self.security_protocol}, but it would be {protocol}"
            )
        return credentials
