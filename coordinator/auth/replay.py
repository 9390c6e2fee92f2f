"""A signed call counts once per coordinator process: nonces are kept for as long as their call could pass."""

from __future__ import annotations

from collections import deque

from autoresearch.errors import ClockSkew, LimitExceeded, Unauthenticated
from autoresearch.signing import WINDOW_S

SLICES = 8
"""Nonces are forgotten by slices of time; a look-up asks each."""
NONCES_MAX = 1_000_000
"""About 100 MB: what 8,000 calls per second leave behind."""
FULL_RETRY_S = 5.0


class ReplayGuard:
    """Remembers nonces in this process alone; not thread-safe (one event loop).

    Another process on the same store does not know them, so an overheard call could pass once at each
    (docs/adr/0007-nonces-per-process.md).

    A call is accepted from ``WINDOW_S`` before to ``WINDOW_S`` after its time, so its nonce has to be
    kept for twice that. What was signed before this guard began is refused, because an earlier process
    may have answered it already: the caller corrects its clock by the reply and signs anew.
    """

    def __init__(self, *, started_ms: int, nonces_max: int = NONCES_MAX) -> None:
        self._started_ms = started_ms
        self._nonces_max = nonces_max
        self._slice_ms = int(2 * WINDOW_S * 1000 / SLICES)
        self._slices: deque[tuple[int, set[bytes]]] = deque()
        self._count = 0

    def check(self, nonce: str, *, time_ms: int, now_ms: int) -> None:
        """Remembers the nonce of a verified call.

        Raises:
            Unauthenticated: it was used before.
            ClockSkew: the call was signed before this process could remember.
            LimitExceeded: there is no room to remember it, so the call cannot be accepted.
        """
        if time_ms < self._started_ms:
            raise ClockSkew("the call was signed before the coordinator started; sign it anew")
        self._forget(now_ms)
        key = bytes.fromhex(nonce)
        if any(key in seen for _, seen in self._slices):
            raise Unauthenticated("this very call was made before; sign each call with a new nonce")
        if self._count >= self._nonces_max:
            raise LimitExceeded("too many calls to remember; come back soon", retry_after_s=FULL_RETRY_S)
        if not self._slices or now_ms >= self._slices[-1][0] + self._slice_ms:
            self._slices.append((now_ms, set()))
        self._slices[-1][1].add(key)
        self._count += 1

    def _forget(self, now_ms: int) -> None:
        oldest_ms = now_ms - int(2 * WINDOW_S * 1000) - self._slice_ms
        while self._slices and self._slices[0][0] < oldest_ms:
            self._count -= len(self._slices.popleft()[1])
