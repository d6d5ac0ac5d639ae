"""Views for people: made anew as their windows age."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from monitor.core.errors import QueryError
from monitor.edges.memory import ManualClock
from monitor.edges.views import WINDOWS, ViewWriter


class Reader:
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def slices(self, model: str, since: str, estimates: bool) -> list[Any]:
        assert (model, estimates) == ("m", False)
        self.asked.append(since)
        if since == "24h":
            raise QueryError("no traffic")
        return [SimpleNamespace(slice={"sex": "Female"}, requests=len(self.asked), labelled=0, metrics={})]

    def join(self, model: str, since: str) -> Any:
        assert (model, since) == ("m", "1h")
        return SimpleNamespace(counts={"orphan_labels": 2})


def test_each_window_is_made_again_at_its_own_pace() -> None:
    reader, clock = Reader(), ManualClock()
    writer = ViewWriter(reader, clock)  # type: ignore[arg-type]
    first = writer("m")
    assert first["5m/sex=Female"] == {"requests": "1", "labelled": "0"}
    assert first["join/1h"] == {"orphan_labels": "2"}
    assert not any(name.startswith("24h") for name in first)
    reader.asked.clear()
    clock.advance(5.0)
    again = writer("m")
    assert reader.asked == ["5m", "24h"]  # a window without traffic is looked at each time
    assert again["1h/sex=Female"] == first["1h/sex=Female"]
    clock.advance(WINDOWS["1h"])
    writer("m")
    assert reader.asked[2:] == ["5m", "1h", "24h"]
