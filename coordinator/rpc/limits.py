"""How much one caller may ask for: token buckets by key, and calls in flight."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from autoresearch.errors import LimitExceeded

BURST_FACTOR = 4.0
"""A bucket holds this many seconds' worth of calls: a node that comes back has a backlog."""
KEYS_MAX = 20_000
"""Buckets that are kept; the one unused for longest is forgotten first, which forgives its owner."""
IN_FLIGHT_PER_NODE = 64
"""Calls of one node that may run at once: its workers, its heartbeat and its outbox, with room."""
STREAMS_PER_CALLER = 32
"""Open watch streams of one key, or of one address that shows none."""
DEADLINE_S = 30.0
"""The longest that a unary call may run, whatever its caller allows."""


class RateLimit:
    """Token buckets by key; not thread-safe (one event loop)."""

    def __init__(
        self,
        what: str,
        *,
        per_s: float,
        keys_max: int = KEYS_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._per_s = per_s
        self._burst = max(1.0, per_s * BURST_FACTOR)
        self._keys_max = keys_max
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> None:
        """Counts one call of ``key``.

        Raises:
            LimitExceeded: the bucket is empty; the error says when a call is free again.
        """
        now = self._monotonic()
        level, seen = self._buckets.pop(key, (self._burst, now))
        level = min(self._burst, level + (now - seen) * self._per_s)
        if level < 1.0:
            self._buckets[key] = (level, now)
            wait_s = (1.0 - level) / self._per_s
            raise LimitExceeded(
                f"more than {self._per_s:g} calls per second of one {self._what}; "
                f"come back in {wait_s:.2f} s",
                retry_after_s=wait_s,
            )
        self._buckets[key] = (level - 1.0, now)
        if len(self._buckets) > self._keys_max:
            self._buckets.popitem(last=False)


class InFlight:
    """Counts what runs at once, in all and by key."""

    def __init__(self, what: str, *, total_max: int, per_key_max: int) -> None:
        self._what = what
        self._total_max = total_max
        self._per_key_max = per_key_max
        self._by_key: Counter[str] = Counter()
        self._total = 0

    @property
    def total(self) -> int:
        """How many run now."""
        return self._total

    @contextmanager
    def slot(self, key: str) -> Iterator[None]:
        """Holds one slot of ``key`` for the length of the block.

        Raises:
            LimitExceeded: none is free.
        """
        if self._total >= self._total_max or self._by_key[key] >= self._per_key_max:
            raise LimitExceeded(
                f"too many {self._what} at once ({self._by_key[key]} of yours, {self._total} in all); "
                "come back in a second",
                retry_after_s=1.0,
            )
        self._total += 1
        self._by_key[key] += 1
        try:
            yield
        finally:
            self._total -= 1
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]


def address_of(peer: str) -> str:
    """The network address of gRPC's ``peer()`` text, without its port: ``ipv4:10.0.0.7:4711``."""
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer
