"""Windows of time cut into the buckets that answer them.

A window is answered from whole buckets: coarse ones where they fit, finer ones at the edges. A bucket that
has left its tier's retention is not read there; where no tier is fine enough for an edge, the edge moves
outwards, and the window says so.

An edge beyond all traffic costs nothing: where nothing was counted before the window begins (or after it
ends), a bucket may reach over that edge. So the open hour serves a window that ends now, and never one that
begins within it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from monitor.core.counters import Kind, Tier
from monitor.core.errors import QueryError
from monitor.core.times import format_instant

_AHEAD_S: Final = 60
"""The newest bucket is open, and producers' clocks differ: traffic may end this far after the clock."""


@dataclass(frozen=True)
class Extent:
    """What the store holds of one model, in epoch seconds of event time.

    Attributes:
        begin_s: nothing was counted before.
        end_s: nothing was counted from here on.
        now_s: the store's clock.
        lost: tier name → its buckets that begin earlier are not whole.
    """

    begin_s: int
    end_s: int
    now_s: int
    lost: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, spans: Mapping[Tier, tuple[int, int] | None], now_s: int) -> Extent | None:
        """From each tier's first and last bucket with traffic; None where there is none at all.

        >>> minute, hour = Tier("1m", 60, 86_400), Tier("1h", 3600, 2_592_000)
        >>> Extent.of({minute: (3660, 7320), hour: (3600, 7200)}, now_s=7385)
        Extent(begin_s=3600, end_s=7380, now_s=7385, lost={})
        """
        found = {tier: span for tier, span in spans.items() if span is not None}
        if not found:
            return None
        newest_s = max(last_s for _, last_s in found.values())
        ends_s = [last_s + tier.bucket_s for tier, (_, last_s) in found.items()]
        # A fine tier that expired ends too early: its end lies before the newest bucket begins.
        begin_s = min(first_s for first_s, _ in found.values())
        return cls(begin_s, min(end_s for end_s in ends_s if end_s > newest_s), now_s)

    def losing(self, lost: Mapping[str, int]) -> Extent:
        """The same, with what else was found not to be whole."""
        names = {*self.lost, *lost}
        return replace(self, lost={name: max(self.lost.get(name, 0), lost.get(name, 0)) for name in names})

    def fresh(self, keep_s: int) -> bool:
        """Whether the newest traffic may have been counted live: its retention of `keep_s` is not over."""
        return -_AHEAD_S < self.now_s - self.end_s < keep_s

    def kept_from_s(self, kind: Kind, tier: Tier) -> int:
        """First second from which buckets of `kind` are whole in `tier`, at most `end_s`.

        Retention is counted back from the newest traffic, so that replayed history is read like the present;
        or from the clock, where traffic may have stopped a while ago and keys have expired since. The bucket
        in which that moment lies is still whole: keys outlive their retention by more than a bucket's length.
        """
        keep_s = kind.kept_s(tier)
        horizon_s = self.now_s if self.fresh(keep_s) else self.end_s
        kept_s = (horizon_s - keep_s) // tier.bucket_s * tier.bucket_s
        return min(max(kept_s, self.lost.get(tier.name, 0)), self.end_s)


PARTS_MAX: Final = 10_000
"""Buckets of one window: 27 years of days."""

Part = tuple[Tier, int]
"""A tier and the start of one of its buckets, epoch seconds."""


@dataclass(frozen=True)
class Window:
    """A window and the buckets that answer it.

    Attributes:
        asked_from_s, asked_to_s: the window asked for, [from, to), epoch seconds.
        from_s, to_s: the window answered: the same, or wider where the edges are finer than what is kept.
        parts: disjoint buckets in order of time; they hold all traffic of [from_s, to_s) and no other.
    """

    asked_from_s: int
    asked_to_s: int
    from_s: int
    to_s: int
    parts: tuple[Part, ...]

    @property
    def exact(self) -> bool:
        """Whether the window answered is the one asked for."""
        return self.from_s == self.asked_from_s and self.to_s == self.asked_to_s

    @property
    def widened_s(self) -> int:
        """Seconds answered beyond those asked for."""
        return (self.to_s - self.from_s) - (self.asked_to_s - self.asked_from_s)

    def to_dict(self) -> dict[str, str]:
        """The window answered, and the one asked for where it differs.

        >>> Window(0, 60, 0, 60, ()).to_dict()
        {'from': '1970-01-01T00:00:00Z', 'to': '1970-01-01T00:01:00Z'}
        """
        answer = {"from": format_instant(self.from_s), "to": format_instant(self.to_s)}
        if not self.exact:
            answer["asked_from"] = format_instant(self.asked_from_s)
            answer["asked_to"] = format_instant(self.asked_to_s)
        return answer


def decompose(kind: Kind, tiers: Sequence[Tier], extent: Extent, from_s: int, to_s: int) -> Window:
    """Cut [from_s, to_s) into buckets of `kind`, as few and as coarse as fit.

    Args:
        kind: what is to be read.
        tiers: all tiers; the bucket lengths divide one another.
        extent: what the store holds.
        from_s: begin, epoch seconds.
        to_s: end, epoch seconds, greater than `from_s`.

    Raises:
        ValueError: the window is empty, or `kind` is in no tier.
        QueryError: more than `PARTS_MAX` buckets: of a store in which records lie that bear the year 9999.
    """
    if to_s <= from_s:
        raise ValueError(f"an empty window: {format_instant(from_s)} to {format_instant(to_s)}")
    kept_from_s = {
        tier: extent.kept_from_s(kind, tier)
        for tier in sorted(tiers, key=lambda tier: tier.bucket_s)
        if kind.kept_s(tier)
    }
    if not kept_from_s:
        raise ValueError(f"{kind.name} are kept in none of the tiers")
    # Where nothing is kept any more, the coarsest tier is what is read: it answers with what is left.
    kept_from_s[max(kept_from_s, key=lambda tier: tier.bucket_s)] = 0
    begin_s, end_s = max(from_s, extent.begin_s), min(to_s, extent.end_s)
    if begin_s >= end_s:
        return Window(from_s, to_s, from_s, to_s, ())
    free_left, free_right = from_s <= extent.begin_s, to_s >= extent.end_s
    limit_s = None if free_right else end_s
    position_s = _start(kept_from_s, begin_s, limit_s, free_left)
    answered_from_s = from_s if free_left else position_s
    parts: list[Part] = []
    while position_s < end_s:
        tier = _next(kept_from_s, position_s, limit_s)
        parts.append((tier, position_s))
        position_s += tier.bucket_s
        if len(parts) > PARTS_MAX:
            raise QueryError(
                f"{format_instant(begin_s)} to {format_instant(end_s)} is more than {PARTS_MAX:,} buckets; "
                "ask for a shorter window"
            )
    return Window(from_s, to_s, answered_from_s, to_s if free_right else position_s, tuple(parts))


def step_of(kind: Kind, tiers: Sequence[Tier], extent: Extent, at_s: int) -> Tier:
    """The finest tier that still holds `kind` at `at_s`."""
    ordered = sorted((tier for tier in tiers if kind.kept_s(tier)), key=lambda tier: tier.bucket_s)
    for tier in ordered:
        if at_s // tier.bucket_s * tier.bucket_s >= extent.kept_from_s(kind, tier):
            return tier
    return ordered[-1]


def _start(kept_from_s: Mapping[Tier, int], begin_s: int, limit_s: int | None, free: bool) -> int:
    """Begin of the first bucket: the latest boundary, or the earliest where reaching back is free."""
    starts = {
        tier: begin_s // tier.bucket_s * tier.bucket_s
        for tier, kept_s in kept_from_s.items()
        if begin_s // tier.bucket_s * tier.bucket_s >= kept_s
    }
    fitting = [
        start_s for tier, start_s in starts.items() if limit_s is None or start_s + tier.bucket_s <= limit_s
    ]
    return min(fitting) if free and fitting else max(starts.values())


def _next(kept_from_s: Mapping[Tier, int], position_s: int, limit_s: int | None) -> Tier:
    """The coarsest bucket that begins here and fits, or the finest that begins here."""
    aligned = [
        tier
        for tier, kept_s in kept_from_s.items()
        if position_s % tier.bucket_s == 0 and position_s >= kept_s
    ]
    fitting = [tier for tier in aligned if limit_s is None or position_s + tier.bucket_s <= limit_s]
    return fitting[-1] if fitting else aligned[0]
