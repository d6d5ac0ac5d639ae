"""Certificates for tests, each its own authority."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def certificate(directory: Path, name: str) -> tuple[str, str]:
    """A certificate of 127.0.0.1 and its key; skips where there is no openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    made, key = directory / f"{name}.pem", directory / f"{name}.key"
    subject = "-subj /CN=service.test -addext subjectAltName=IP:127.0.0.1"
    request = f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 1 {subject}"
    subprocess.run(
        [*request.split(), "-keyout", str(key), "-out", str(made)], check=True, capture_output=True
    )
    return str(made), str(key)
