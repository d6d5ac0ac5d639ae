"""Secrets in settings: masked where they belong, and not told where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.config import Settings
from monitor.core.errors import SettingsError
from monitor.core.shown import shown
from tests.support.settings import kafka, mistakes, raw


def test_secrets_are_masked() -> None:
    keys = {"security_protocol": "SASL_SSL", "sasl_username": "u", "sasl_password": "hush-kafka"}
    redis = {"url": "rediss://bob:hush%40redis@host:6380/1"}
    settings = Settings.parse(kafka(**keys) | {"redis": redis})
    assert settings.redis.url == "rediss://host:6380/1"
    assert settings.redis.username == "bob"
    assert settings.redis.password is not None
    assert settings.redis.password.get_secret_value() == "hush@redis"
    assert "hush" not in repr(settings) + str(settings) + str(settings.model_dump())


def test_mistakes_do_not_show_secrets() -> None:
    env = {"MONITOR__KAFKA__SASL_PASSWORD__X": "hush"}
    redis = {"url": "http://bob:hush@host", "password": ["hush"]}
    assert "hush" not in "".join(mistakes(kafka(sasl_password={"a": "hush"}) | {"redis": redis}, env))


def test_the_key_of_sensitive_values_is_given_once_and_never_shown(tmp_path: Path) -> None:
    secret = "a key that nobody may see"
    (tmp_path / "key").write_text(f"{secret}\n")
    given = Settings.parse(raw(), env={"MONITOR__SENSITIVE_KEY": secret})
    from_file = Settings.parse(raw(sensitive_key_file="key"), tmp_path)
    assert given.masking_key == from_file.masking_key
    assert given.masking_key is not None
    assert len(given.masking_key) == 32
    assert Settings.parse(raw()).masking_key is None
    for settings in (given, from_file):
        assert secret not in f"{settings!r} {settings} {settings.model_dump()}"
    both = raw(sensitive_key_file="key", sensitive_key=secret)
    with pytest.raises(SettingsError, match="keep one of them") as twice:
        Settings.parse(both, tmp_path)
    (tmp_path / "key").write_text("hunter2")
    for shorter in (raw(sensitive_key="hunter2"), raw(sensitive_key_file="key")):
        with pytest.raises(SettingsError, match="at least 16") as short:
            Settings.parse(shorter, tmp_path)
        assert "hunter2" not in str(short.value)
    assert secret not in str(twice.value)


@pytest.mark.parametrize(
    "sections",
    [
        {"tiers": {"url": "redis://r", "password": "hunter2"}},
        {"worker": [{"sasl_password": "hunter2"}]},
        {"models": {"m": {"slices": {"token": "hunter2"}}}},
        {"models": {"m": {"slices": [{"where": [], "token": "hunter2"}], "threshold": "redis://:hunter2@r"}}},
        {"redis": {"redis://u:hunter2@h": None}},
    ],
)
def test_a_secret_in_the_wrong_place_is_not_told(tmp_path: Path, sections: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.parse(raw(**sections), tmp_path)
    assert "hunter2" not in str(error.value)
    assert "*****" in str(error.value)


@pytest.mark.parametrize(
    "sections",
    [
        {"models": {"m": {}, "sasl_password": "hunter2"}},
        {"worker": {"sasl_password": 1, "token": "hunter2"}},
        {"sensitive_key_file": "hunter2" * 3},
    ],
)
def test_the_value_of_a_secret_in_the_wrong_place_is_left_out(
    tmp_path: Path, sections: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.parse(raw(**sections), tmp_path)
    assert "hunter2" not in str(error.value)


def test_a_login_is_taken_out_of_the_address_of_a_socket() -> None:
    redis = Settings.parse(raw(redis={"url": "unix://u:hunter2@/tmp/r.sock?db=1"})).redis
    assert redis.password is not None
    assert (redis.url, redis.password.get_secret_value()) == ("unix:///tmp/r.sock?db=1", "hunter2")


@pytest.mark.parametrize(
    ("variables", "sections"),
    [
        ({"MONITOR__REDIS__PASSWORD": "hunter2", "MONITOR__REDIS__PASSWORD__FILE": "/run/secrets/p"}, {}),
        ({"MONITOR__REDIS__URL__DB": "1"}, {"redis": {"url": "redis://u:hunter2@h"}}),
        ({"MONITOR__REDIS__PASSWORD__A__B": "1"}, {"redis": {"password": {"a": "hunter2"}}}),
        ({"MONITOR__REDIS__PASSWORD__0__B": "1"}, {"redis": {"password": ["hunter2"]}}),
        ({"MONITOR__SENSITIVE_KEY__FILE": "f"}, {"sensitive_key": "hunter2" * 3}),
        ({"MONITOR__WEB__TOKEN__FILE": "f"}, {"web": {"token": "hunter2" * 3}}),
    ],
)
def test_a_variable_below_a_secret_does_not_tell_it(
    variables: dict[str, str], sections: dict[str, Any]
) -> None:
    told = "".join(mistakes(raw(**sections), variables))
    assert "above it, not a section" in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:hun/ter2@h:6379/0",
        "redis://u:hun#ter2@h:6379/0",
        "redis://u:hun?ter2@h:6379/0",
        "redis://u:hun[ter2@h:6379/0",
        "redis://u:a@hun/ter2@h:6379/0",
        "redis://u:hun/ter2",
        "redis://:hunter2",
        "redis://h:6379/0?password=hunter2",
        "redis://h:6379/0?username=hunter2",
        "redis://h:6379/0?auth=hunter2",
        "redis://h:6379/0#hunter2",
        "redis:u:hunter2@h:6379/0",
        "http://u:hun/ter2@h",
    ],
)
def test_a_password_that_the_url_cannot_carry_is_refused_and_not_told(url: str) -> None:
    for section in ({"url": url}, url):
        told = "".join(mistakes(raw(redis=section)))
        assert told.startswith("redis")
        if isinstance(section, dict):
            assert not any(part in told for part in ("hunter2", "ter2", "u:hun"))
    (said,) = mistakes(raw(redis={"url": "redis://u:hun/ter2@h"}))
    assert "percent-encode" in said
    assert "MONITOR__REDIS__PASSWORD" in said


def test_a_percent_encoded_password_is_taken() -> None:
    redis = Settings.parse(raw(redis={"url": "redis://u:hun%2Fter2@h:6379/0?db=1"})).redis
    assert redis.password is not None
    assert (redis.url, redis.password.get_secret_value()) == ("redis://h:6379/0?db=1", "hun/ter2")


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_check_hostname=False", "ssl_ca_certs=ca.pem"])
def test_no_option_behind_the_url_ends_the_check_of_certificates(option: str) -> None:
    (told,) = mistakes(raw(redis={"url": f"rediss://h:6379/0?{option}"}))
    assert "redis.ssl_ca_certs" in told


@pytest.mark.parametrize("servers", ["u:hunter2@k:9092", "k:9092,u:hun,ter2@k:9092", ["u:hunter2@k:9092"]])
def test_brokers_carry_no_password(servers: Any) -> None:
    (told,) = mistakes(kafka(bootstrap_servers=servers))
    assert "kafka.sasl_password" in told
    assert "hun" not in told


def test_an_endpoint_carries_no_password() -> None:
    for url in ("http://u:hunter2@h/x", "http://u:hun/ter2@h/x", "ftp://u:hun/ter2@h/x"):
        models = {"income": {"schema": None, "probes": {"endpoint": url}}}
        assert "ter2" not in "".join(mistakes(raw(models=models)))


@pytest.mark.parametrize(
    "value",
    [
        "redis://u:hun/ter2@h",
        "redis://u:hun ter2@h",
        "u:hunter2@k:9092",
        {"redis://u:hunter2@h": 1},
        "redis://h?password=hunter2&db=0",
        "password: hunter2",
        [("x", {"token": "hunter2"})],
    ],
)
def test_what_is_shown_holds_no_login(value: Any) -> None:
    assert "ter2" not in shown(value)
    assert "*****" in shown(value)


def test_what_is_no_login_is_shown() -> None:
    for text in ("a@b", "10:30", "$.payload.id", "http://h:80/x", "tokens"):
        assert shown(text) == repr(text)
    assert shown(10**5_000) == "a number too long to write"
