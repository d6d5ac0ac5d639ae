"""How to reach the brokers before there is a settings file: what the environment says of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from monitor.config.environment import PREFIX, override
from monitor.config.problems import problems_of
from monitor.config.services import KafkaSettings
from monitor.core.errors import SettingsError

_KAFKA: Final = f"{PREFIX}KAFKA__"
_OF_A_LOGIN: Final = ("SECURITY_PROTOCOL", "SASL_", "SSL_")


def login_variables(env: Mapping[str, str]) -> list[str]:
    """The variables that say how to log in to the brokers, and over what.

    >>> login_variables({"MONITOR__KAFKA__SASL_USERNAME": "u", "MONITOR__KAFKA__GROUP_ID": "g"})
    ['MONITOR__KAFKA__SASL_USERNAME']
    """
    return sorted(name for name in env if name.upper().startswith(tuple(_KAFKA + key for key in _OF_A_LOGIN)))


def kafka_before_settings(
    servers: str | None, topic: str, env: Mapping[str, str], base: Path
) -> KafkaSettings:
    """The brokers with the login of the environment.

    Args:
        servers: `host:port`, comma-separated; None takes the environment's, else this machine's.
        topic: of predictions.
        env: `MONITOR__KAFKA__SECURITY_PROTOCOL` and the like; what concerns no connection is not read.
        base: directory at which paths of certificates begin.

    Raises:
        SettingsError: what is wrong, with the variables that say it.
    """
    wanted = login_variables(env)
    where = f"{_KAFKA}BOOTSTRAP_SERVERS"
    if servers is None and where in env:
        wanted.append(where)
    raw = {"bootstrap_servers": servers or "localhost:9092", "predictions": {"topics": [topic]}}
    merged, origins, problems = override({"kafka": raw}, {name: env[name] for name in wanted})
    found = list(problems)
    try:
        settings = KafkaSettings.model_validate(merged["kafka"], context={"base": base})
    except ValidationError as error:
        found += [problem.under(("kafka",)) for problem in problems_of(error)]
    if found:
        texts = [
            f"{problem} (from {origins[problem.place]})" if problem.place in origins else str(problem)
            for problem in found
        ]
        raise SettingsError(texts, "the environment")
    return settings
