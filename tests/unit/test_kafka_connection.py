"""One value makes every client's options; weaker than asked for is refused."""

from __future__ import annotations

import io
import logging
import socket
import ssl
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaAdminClient
from kafka.errors import KafkaError as ClientError

from monitor.core.errors import KafkaError
from monitor.edges.kafka import connection as module
from monitor.edges.kafka.connection import KafkaConnection, SecurityProtocol
from monitor.edges.kafka.topics import partitions
from monitor.edges.logs import configure_logs


def secure(protocol: SecurityProtocol) -> KafkaConnection:
    sasl = {"sasl_username": "monitor", "sasl_password": "secret"} if "SASL" in protocol else {}
    return KafkaConnection("a:9092, b:9093", protocol, **sasl)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_every_client_gets_the_protocol_asked_for(protocol: SecurityProtocol) -> None:
    connection = secure(protocol)
    options = connection.client_options()
    assert options["bootstrap_servers"] == ["a:9092", "b:9093"]
    assert options["security_protocol"] == protocol
    assert isinstance(options.get("ssl_context"), ssl.SSLContext) == protocol.endswith("SSL")
    assert options.get("sasl_plain_password") == ("secret" if "SASL" in protocol else None)
    credentials = connection.faust_credentials()
    assert (credentials.protocol.value if credentials else "PLAINTEXT") == protocol


def test_certificates_are_verified_unless_said_otherwise() -> None:
    context = secure("SSL").ssl_context
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    relaxed = KafkaConnection("a:9092", "SSL", ssl_check_hostname=False).ssl_context
    assert relaxed is not None
    assert (relaxed.verify_mode, relaxed.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_plain_text_in_place_of_tls_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "credentials_to_aiokafka_auth", lambda _: {"security_protocol": "PLAINTEXT"})
    with pytest.raises(KafkaError, match=r"was to be reached by SSL, but it would be PLAINTEXT"):
        secure("SSL").faust_credentials()


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"bootstrap_servers": " , "}, "no Kafka bootstrap servers"),
        ({"ssl_cafile": "ca.pem"}, "TLS files are given but security_protocol is PLAINTEXT"),
        ({"sasl_username": "u", "sasl_password": "p"}, "credentials are given but"),
        ({"security_protocol": "SASL_SSL"}, "needs sasl_username and sasl_password"),
        (
            {
                "security_protocol": "SASL_SSL",
                "sasl_username": "u",
                "sasl_password": "p",
                "sasl_mechanism": "X",
            },
            "'X' is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512",
        ),
    ],
)
def test_contradictions_are_refused(values: dict[str, str], match: str) -> None:
    with pytest.raises(KafkaError, match=match):
        KafkaConnection(**{"bootstrap_servers": "a:9092", **values})  # type: ignore[arg-type]


def test_a_missing_certificate_file_is_an_error_for_people() -> None:
    with pytest.raises(KafkaError, match="TLS files for Kafka cannot be used"):
        KafkaConnection("a:9092", "SSL", ssl_cafile="/nowhere/ca.pem").client_options()


@given(st.text(min_size=4))
def test_a_password_is_never_shown(password: str) -> None:
    text = "".join(c for c in password if c.isalpha()) + "§§§§"
    connection = KafkaConnection("a:9092", "SASL_SSL", sasl_username="u", sasl_password=text)
    assert text not in repr(connection)


def test_tls_asked_of_a_port_without_it_is_refused_at_once() -> None:
    def answer_in_plain_text(server: socket.socket) -> None:
        with server.accept()[0] as client:
            client.recv(1)
            client.sendall(b"not TLS at all")
            client.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as server:
        broker = threading.Thread(target=answer_in_plain_text, args=(server,))
        broker.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(KafkaError, match=r"no Kafka broker answers at .* is it a port without TLS\?"):
            partitions(KafkaConnection(address, "SSL"), ["t"])
        broker.join()


def test_a_password_is_in_no_log_however_much_is_logged() -> None:
    """The client libraries would spell their configuration at DEBUG."""
    root, stream = logging.getLogger(), io.StringIO()
    before = (root.level, root.handlers[:])
    levels = {
        name: logging.getLogger(name).level for name in ("aiokafka", "asyncio", "faust", "kafka", "mode")
    }
    try:
        configure_logs("DEBUG", stream)
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
            hush = KafkaConnection(address, "SASL_PLAINTEXT", sasl_username="u", sasl_password="hush-hush")
            with pytest.raises(ClientError):
                KafkaAdminClient(**hush.client_options(), bootstrap_timeout_ms=0)
        logging.getLogger("kafka").info("the logs are heard")
    finally:
        root.setLevel(before[0])
        root.handlers[:] = before[1]
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    assert "the logs are heard" in stream.getvalue()
    assert "hush-hush" not in stream.getvalue()
