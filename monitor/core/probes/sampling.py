"""Which requests are probed: by hash of their id, and such that no group is left out.

Taken evenly, a sample of a hundred requests holds none of a slice that is 1 % of the traffic, and few near
the threshold. So every slice, the region near the threshold and the long tail take turns, each giving its
request of the lowest hash. Any worker, and any replay, chooses the same of the same requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.probes.space import FeatureSpace

_SALT: Final = b"probes"
"""The label sample hashes the same ids: without salt both would hold the same requests."""

_SPAN: Final = float(1 << 64)

NEAR_MARGIN: Final = 0.05
"""Scores so close to the threshold are the region near it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A request that may be probed.

    Attributes:
        request_id: hashed.
        slices: it belongs to, all traffic among them.
        margin: |score - threshold|; None where there is no threshold.
        tail: some feature lies beyond the plausible ends, or its category is rare.
    """

    request_id: str
    slices: tuple[int, ...]
    margin: float | None = None
    tail: bool = False


def place(request_id: str) -> float:
    """Hash of a request id, in [0, 1): a request is in a sample of rate r when it is below r.

    >>> place("r-1") == place("r-1"), 0 <= place("r-2") < 1
    (True, True)
    """
    digest = blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=8, key=_SALT).digest()
    return min(int.from_bytes(digest, "big") / _SPAN, 1 - 2**-53)


def sampled(keys: Sequence[bytes], share: float) -> NDArray[np.int64]:
    """Rows of a batch that are in the sample, int64[k].

    Args:
        keys: digests of request ids, 12 bytes each (`monitor.core.stubs.stub_key`).
        share: of requests, in (0, 1].

    The digests decide the label sample too, so they are mixed once more (Steele, Lea and Flood 2014,
    doi:10.1145/2660193.2660195); all in one pass over the batch, for every record pays for it.
    """
    if not keys:
        return np.zeros(0, np.int64)
    words = np.frombuffer(b"".join(keys), np.dtype("<u8,<u4"))["f0"].copy()
    words ^= words >> np.uint64(30)
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return np.flatnonzero(words >> np.uint64(11) < round(share * 2**53))


def pick(candidates: Sequence[Candidate], count: int) -> list[int]:
    """Places of the requests to probe, in the order of their turn.

    Args:
        candidates: of one stretch of traffic.
        count: requests at most.

    Strata take turns: all traffic, each slice from the rarest on, near the threshold, tail. A request counts
    for every stratum it is in: one that has had its request through another one's turn waits longer.
    """
    order = sorted(range(len(candidates)), key=lambda i: (place(candidates[i].request_id), i))
    strata: dict[str | int, list[int]] = {}
    for i in order:
        for name in _strata(candidates[i]):
            strata.setdefault(name, []).append(i)
    names = sorted(strata, key=lambda name: (len(strata[name]), str(name)))
    had = dict.fromkeys(names, 0)
    taken: list[int] = []
    chosen: set[int] = set()
    while len(taken) < min(count, len(candidates)):
        # The stratum with the fewest so far; of those, the rarest.
        open_names = [n for n in names if any(i not in chosen for i in strata[n])]
        name = min(open_names, key=lambda n: had[n])
        at = next(i for i in strata[name] if i not in chosen)
        chosen.add(at)
        taken.append(at)
        for other in _strata(candidates[at]):
            had[other] += 1
    return taken


def is_tail(space: FeatureSpace, features: Mapping[str, Any]) -> bool:
    """Whether a number lies beyond its plausible ends, or a category is none of the frequent ones."""
    for name, axis in space.axes.items():
        value = features.get(name)
        if axis.numeric:
            beyond = isinstance(value, int | float) and (value < axis.low or value > axis.high)
            if beyond and not isinstance(value, bool):
                return True
        elif axis.values and isinstance(value, str) and value not in axis.values:
            return True
    return False


def _strata(candidate: Candidate) -> list[str | int]:
    near = candidate.margin is not None and candidate.margin <= NEAR_MARGIN
    return [*candidate.slices, *(["near"] if near else []), *(["tail"] if candidate.tail else [])]
