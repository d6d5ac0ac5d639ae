"""Ports for servers that stop and start again, or that take two."""

from __future__ import annotations

import random
from socket import socket


def quiet_port() -> int:
    """A free port with a free one beside it, from where no outgoing connection takes it during a restart."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000, 2)
        with socket() as one, socket() as two:
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
        return port
