"""A worker that logs in, one that shows a certificate, with the rights of docs/operations.md and no other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.config import Settings
from monitor.core.errors import KafkaError
from monitor.edges.kafka.connection import KafkaConnection
from monitor.edges.kafka.topics import TopicProducer, partitions, read_last
from monitor.edges.redis.reader import RedisReader
from tests.support.certificates import certificate
from tests.support.live import make_topics, worker
from tests.support.ports import quiet_port
from tests.support.redis_servers import free_port, running, valkey_binary

ROOT = Path(__file__).parents[2]
PASSWORD = "hush-of-the-monitor"
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
ROWS = 200

PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},LOGIN://127.0.0.1:{login},MUTUAL://127.0.0.1:{mutual}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},LOGIN://127.0.0.1:{login},MUTUAL://127.0.0.1:{mutual}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_SSL,MUTUAL:SSL
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_monitor="{password}";
listener.name.login.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.login.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.mutual.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={trusted}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""  # noqa: E501


class Secure:
    """A broker with three doors: for who administers, for who logs in, for who shows a certificate."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plain, self.login, self.mutual = quiet_port(), free_port(), free_port()
        self.server, server_key = certificate(directory, "server")
        self.ours = certificate(directory, "ours")
        self.theirs = certificate(directory, "theirs")
        keystore = directory / "keystore.pem"
        keystore.write_text(Path(server_key).read_text() + Path(self.server).read_text())
        ports = {
            "plain": self.plain,
            "controller": self.plain + 1,
            "login": self.login,
            "mutual": self.mutual,
        }
        values = {**ports, "password": PASSWORD, "keystore": keystore, "trusted": self.ours[0]}
        (directory / "more.properties").write_text(PROPERTIES.format(**values))

    @property
    def admin(self) -> str:
        return f"127.0.0.1:{self.plain}"

    def by_login(self, mechanism: str = "PLAIN") -> dict[str, Any]:
        """Settings of a client that logs in, without the password."""
        return {"bootstrap_servers": f"127.0.0.1:{self.login}", "security_protocol": "SASL_SSL",
                "sasl_mechanism": mechanism, "sasl_username": "monitor",
                "ssl_cafile": self.server}  # fmt: skip

    def by_certificate(self, pair: tuple[str, str]) -> dict[str, Any]:
        """Settings of a client with a certificate."""
        return {"bootstrap_servers": f"127.0.0.1:{self.mutual}", "security_protocol": "SSL",
                "ssl_cafile": self.server, "ssl_certfile": pair[0], "ssl_keyfile": pair[1]}  # fmt: skip


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, kafka_is_apache: bool) -> Iterator[Secure]:
    if not kafka_is_apache or shutil.which("java") is None or shutil.which("mvn") is None:
        pytest.skip("needs Apache Kafka (MONITOR_TEST_KAFKA), Java and Maven")
    made = Secure(tmp_path_factory.mktemp("secure"))
    services = made.directory / "kafka"
    more = str(made.directory / "more.properties")
    command = [str(ROOT / ".ci/kafka/start.sh"), str(made.plain), str(services), more]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    try:
        with closing(KafkaAdminClient(bootstrap_servers=made.admin)) as admin:
            for mechanism in SCRAM:  # one request each: a user is altered once in a request
                user = UserScramCredentialUpsertion("monitor", mechanism, PASSWORD)
                assert admin.alter_user_scram_credentials([user]) == {"monitor": None}
        yield made
    finally:
        subprocess.run(["kill", (services / "kafka.pid").read_text().strip()], check=False)


def documented() -> list[tuple[str, str]]:
    """(resource, operations) of the table of rights in docs/operations.md."""
    text = (ROOT / "docs" / "operations.md").read_text()
    table = text[text.index("### Rights in Kafka") :]
    return re.findall(r"^\| (input topics|output topics|the group) \| ([A-Z, `]+) \|", table, re.MULTILINE)


def grant(broker: Secure, principal: str, settings: dict[str, Any]) -> None:
    kafka = settings["kafka"]
    inputs = [topic for kind in ("predictions", "labels") for topic in kafka[kind]["topics"]]
    named = {
        "input topics": [(ResourceType.TOPIC, name) for name in inputs],
        "output topics": [(ResourceType.TOPIC, kafka[kind]["topic"]) for kind in ("alerts", "dead_letters")],
        "the group": [(ResourceType.GROUP, kafka["group_id"])],
    }
    rights = [
        ACL(principal, "*", ACLOperation[name], ACLPermissionType.ALLOW, ResourcePattern(kind, resource))
        for what, operations in documented()
        for kind, resource in named[what]
        for name in re.findall(r"[A-Z]+", operations)
    ]
    assert len({what for what, _ in documented()}) == 3
    admin = KafkaAdminClient(bootstrap_servers=broker.admin)
    try:
        assert admin.create_acls(rights)["failed"] == []
    finally:
        admin.close()


def settings_of(broker: Secure, kafka: dict[str, Any], url: str) -> dict[str, Any]:
    tag = uuid.uuid4().hex[:8]
    return {
        "kafka": kafka
        | {
            "group_id": f"secure-{tag}",
            "predictions": {"topics": [f"secure-predictions-{tag}"]},
            "labels": {"topics": [f"secure-labels-{tag}"]},
            "alerts": {"topic": f"secure-alerts-{tag}"},
            "dead_letters": {"topic": f"secure-dead-{tag}"},
        },
        "redis": {"url": url},
        "models": {"m": {"task": "binary"}},
    }


def until(holds: Any, directory: Path) -> None:
    deadline_s = time.monotonic() + 90
    while not holds():
        assert time.monotonic() < deadline_s, (directory / "worker.log").read_text()[-4_000:]
        time.sleep(0.5)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("door", ["PLAIN", *SCRAM, "certificate"])
def test_a_worker_with_few_rights_counts_and_is_heard(
    broker: Secure, door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if door != "certificate":
        monkeypatch.setenv("MONITOR__KAFKA__SASL_PASSWORD", PASSWORD)
    client = broker.by_certificate(broker.ours) if door == "certificate" else broker.by_login(door)
    with running("valkey", valkey_binary()) as store:
        settings = settings_of(broker, client, store.url)
        make_topics(broker.admin, settings, 2)
        grant(broker, "User:CN=service.test" if door == "certificate" else "User:monitor", settings)
        with TopicProducer(KafkaConnection(broker.admin)) as producer:
            for at in range(ROWS):
                record = {"request_id": f"r-{at}", "model": "m", "score": 0.5}
                producer.send(settings["kafka"]["predictions"]["topics"][0], json.dumps(record).encode())
            producer.send(settings["kafka"]["labels"]["topics"][0], b"no json")
        with (
            worker(settings, tmp_path, "--log-level", "debug") as config,
            closing(RedisReader(store.url, 1)) as reader,
        ):
            until(lambda: sum(s.offset for s in reader.partitions().values()) == ROWS + 1, tmp_path)
            admin = KafkaConnection(broker.admin)
            outputs = [settings["kafka"][kind]["topic"] for kind in ("alerts", "dead_letters")]
            until(lambda: all(read_last(admin, topic, 9) for topic in outputs), tmp_path)
            lists = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
        log = (tmp_path / "worker.log").read_text()
        assert str(config) in lists
        for said in (lists, log, config.read_text()):
            assert PASSWORD not in said


def test_init_logs_in_as_the_environment_says(
    broker: Secure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = broker.by_login()
    settings = settings_of(broker, client, "redis://127.0.0.1:1/0")
    make_topics(broker.admin, settings, 2)
    grant(broker, "User:monitor", settings)
    (topic,), (labels,) = (settings["kafka"][kind]["topics"] for kind in ("predictions", "labels"))
    with TopicProducer(KafkaConnection(broker.admin)) as producer:
        for at in range(ROWS):
            record = {"request_id": f"r-{at}", "model": "m", "features": {"age": at}, "score": 0.5}
            producer.send(topic, json.dumps(record).encode())
    for key, value in (client | {"sasl_password": PASSWORD}).items():
        monkeypatch.setenv(f"MONITOR__KAFKA__{key.upper()}", value)
    config = tmp_path / "monitor.yaml"
    arguments = ["init", "--topic", topic, "--labels-topic", labels, "-c", str(config)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "MONITOR__KAFKA__SASL_PASSWORD" in done.output
    assert PASSWORD not in done.output + config.read_text()
    assert Settings.load(config).kafka.connection()["sasl_password"] == PASSWORD


def test_strangers_are_left_outside(broker: Secure) -> None:
    wrong = [broker.by_login(mechanism) | {"sasl_password": "another"} for mechanism in ("PLAIN", SCRAM[0])]
    untrusted = broker.by_login() | {"sasl_password": PASSWORD, "ssl_cafile": broker.theirs[0]}
    for client in (*wrong, untrusted, broker.by_certificate(broker.theirs)):
        with pytest.raises(KafkaError) as refused:
            partitions(KafkaConnection(**client), ["t"])
        assert PASSWORD not in str(refused.value)
