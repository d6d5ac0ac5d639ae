"""What is fuzzed: one file a target, each with the properties that must hold whatever the bytes."""

from __future__ import annotations

from importlib import import_module

from tests.fuzz.targets.target import Target

NAMES = (
    "decoder",
    "worker",
    "schema",
    "settings",
    "answers",
    "alerts",
    "files",
    "reader",
    "web",
    "rehearsal",
    "stored",
)


def target_named(name: str) -> Target:
    """The target; imported when it is asked for, so that what it fuzzes can be instrumented first."""
    found = import_module(f"tests.fuzz.targets.{name}").TARGET
    assert isinstance(found, Target)
    return found
