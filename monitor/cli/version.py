"""`monitor version`."""

from __future__ import annotations

import platform

from monitor.cli.common import AsJson, print_json


def version(as_json: AsJson = False) -> None:
    """Print the version.

    Example: `monitor version --json`
    """
    from importlib.metadata import version as installed

    from monitor.core.counters import LAYOUT_VERSION

    number = installed("inference-monitor")
    if as_json:
        print_json({"version": number, "layout": LAYOUT_VERSION, "python": platform.python_version()})
    else:
        print(f"monitor {number} (store layout {LAYOUT_VERSION}, Python {platform.python_version()})")
