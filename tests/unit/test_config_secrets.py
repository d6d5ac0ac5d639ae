"""Secrets in settings: masked where they belong, and not told where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.config import Settings
from monitor.core.errors import SettingsError
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
    ],
)
def test_a_secret_in_the_wrong_place_is_not_told(tmp_path: Path, sections: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.parse(raw(**sections), tmp_path)
    assert "hunter2" not in str(error.value)
    assert "*****" in str(error.value)
