"""Where the monitor's own web pages listen, and who may read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from pydantic import Field, SecretStr

from monitor.config.problems import Problem, Section

TOKEN_CHARS_MIN = 16


class WebSettings(Section):
    """Health, metrics and the dashboard."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen at: loopback unless told.")
    port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Port of a worker's health and metrics; none where left out, 0 any.",
    )
    token: SecretStr | None = Field(
        None,
        min_length=TOKEN_CHARS_MIN,
        description="What readers have to show; best given in the environment.",
    )
    behind_proxy: bool = Field(
        False, description="A proxy in front knows who may read: no token is asked for beyond loopback."
    )

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        """Beyond loopback, nobody reads without a token unless a proxy asks for one."""
        host = raw.get("host", "127.0.0.1")
        if not isinstance(host, str) or is_loopback(host):
            return
        if raw.get("token") is None and raw.get("behind_proxy") is not True:
            yield Problem(
                ("token",), f"missing: {host} can be reached from elsewhere. Set one, or behind_proxy: true"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("monitor.local")
    (True, True, False, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
