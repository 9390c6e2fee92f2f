"""Rates, calls in flight and replayed nonces."""

from __future__ import annotations

import pytest
from autoresearch.errors import ClockSkew, LimitExceeded, Unauthenticated
from autoresearch.signing import WINDOW_S, new_nonce

from coordinator.auth.replay import ReplayGuard
from coordinator.rpc.limits import BURST_FACTOR, InFlight, RateLimit, address_of

WINDOW_MS = int(WINDOW_S * 1000)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_free_and_the_next_call_says_when_to_come_back() -> None:
    clock = Clock()
    rate = RateLimit("node", per_s=2.0, monotonic=clock)
    for _ in range(int(2 * BURST_FACTOR)):
        rate.take("a")

    with pytest.raises(LimitExceeded) as refused:
        rate.take("a")

    assert refused.value.retry_after_s == pytest.approx(0.5)
    rate.take("b")
    clock.now = 0.5
    rate.take("a")


def test_forgetting_buckets_keeps_memory_bounded() -> None:
    rate = RateLimit("node", per_s=1.0, keys_max=10, monotonic=Clock())

    for number in range(1_000):
        rate.take(str(number))

    assert len(rate._buckets) == 10


def test_slots_are_given_back_whatever_happens() -> None:
    calls = InFlight("calls", total_max=2, per_key_max=1)

    with pytest.raises(ValueError, match="broken"), calls.slot("a"):
        raise ValueError("broken")
    with calls.slot("a"), calls.slot("b"), pytest.raises(LimitExceeded), calls.slot("c"):
        pass
    with calls.slot("a"), pytest.raises(LimitExceeded, match="1 of yours"), calls.slot("a"):
        pass

    assert calls.total == 0


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:4711", "ipv4:10.0.0.7"),
        ("ipv6:[::1]:4711", "ipv6:[::1]"),
        ("ipv6:%5B::1%5D:4711", "ipv6:%5B::1%5D"),
        ("unix:/run/x:1", "unix:/run/x:1"),
    ],
)
def test_a_peer_is_known_by_its_address(peer: str, address: str) -> None:
    assert address_of(peer) == address


def test_a_nonce_counts_once_for_as_long_as_its_call_could_be_accepted() -> None:
    guard = ReplayGuard(started_ms=0)
    signed_ms = 2 * WINDOW_MS
    nonce = new_nonce()
    guard.check(nonce, time_ms=signed_ms, now_ms=signed_ms - WINDOW_MS)
    for later_ms in range(0, 2 * WINDOW_MS, WINDOW_MS // 7):
        guard.check(new_nonce(), time_ms=signed_ms, now_ms=signed_ms - WINDOW_MS + later_ms)

    for now_ms in (signed_ms - WINDOW_MS, signed_ms, signed_ms + WINDOW_MS):
        with pytest.raises(Unauthenticated):
            guard.check(nonce, time_ms=signed_ms, now_ms=now_ms)


def test_nonces_are_forgotten_once_their_calls_are_too_old() -> None:
    guard = ReplayGuard(started_ms=0, nonces_max=10)

    for minute in range(1_000):
        now_ms = minute * WINDOW_MS
        guard.check(new_nonce(), time_ms=now_ms, now_ms=now_ms)

    assert guard._count <= 5


def test_what_cannot_be_remembered_is_not_accepted() -> None:
    guard = ReplayGuard(started_ms=0, nonces_max=3)
    for _ in range(3):
        guard.check(new_nonce(), time_ms=1, now_ms=1)

    with pytest.raises(LimitExceeded):
        guard.check(new_nonce(), time_ms=1, now_ms=1)


def test_a_call_signed_before_the_start_has_to_be_signed_anew() -> None:
    guard = ReplayGuard(started_ms=1_000)

    with pytest.raises(ClockSkew):
        guard.check(new_nonce(), time_ms=999, now_ms=1_001)
