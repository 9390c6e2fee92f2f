"""One call over the wire: sign, send, learn the server's time, repeat what may be repeated, name errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import grpc.aio
import stamina
from autoresearch.calls import IDEA_SERVICE, LEADERBOARD_SERVICE, SWARM_SERVICE
from autoresearch.errors import ClockSkew, Internal, InvalidArgument, SwarmError, Unavailable
from autoresearch.signing import Metadata, SigningKey, new_nonce, sign_call
from autoresearch.status import SERVER_TIME_KEY, error_of
from google.protobuf.message import DecodeError, Message

ATTEMPTS = 3
"""Calls made for one answer, where repeating is harmless; after that the node goes on alone."""
RETRY_FIRST_S = 0.2
RETRY_MAX_S = 2.0
RETRY_JITTER_S = 0.3
RETRY_TOTAL_S = 45.0

R = TypeVar("R", bound=Message)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """How one method is called."""

    deadline_s: float
    is_repeatable: bool = True
    is_signed: bool = True


RPCS: Mapping[str, Rpc] = {
    SWARM_SERVICE + "GetServerInfo": Rpc(deadline_s=5, is_signed=False),
    SWARM_SERVICE + "Enrol": Rpc(deadline_s=10),
    SWARM_SERVICE + "Connect": Rpc(deadline_s=10),
    SWARM_SERVICE + "Heartbeat": Rpc(deadline_s=5),
    # A repeat would lease another slot; the loop asks again by itself.
    SWARM_SERVICE + "NextTask": Rpc(deadline_s=10, is_repeatable=False),
    SWARM_SERVICE + "Claim": Rpc(deadline_s=15),
    SWARM_SERVICE + "Start": Rpc(deadline_s=20),
    SWARM_SERVICE + "Release": Rpc(deadline_s=5),
    SWARM_SERVICE + "Publish": Rpc(deadline_s=20),
    SWARM_SERVICE + "GetBest": Rpc(deadline_s=10),
    IDEA_SERVICE + "Propose": Rpc(deadline_s=10),
    IDEA_SERVICE + "ListIdeas": Rpc(deadline_s=10, is_signed=False),
    IDEA_SERVICE + "Withdraw": Rpc(deadline_s=10),
    IDEA_SERVICE + "ShareInsight": Rpc(deadline_s=10),
    IDEA_SERVICE + "ListInsights": Rpc(deadline_s=10, is_signed=False),
    **{
        LEADERBOARD_SERVICE + name: Rpc(deadline_s=10, is_signed=False)
        for name in (
            "GetStatus",
            "ListExperiments",
            "GetExperiment",
            "GetSource",
            "ListNodes",
            "GetProgress",
            "Compare",
            "Search",
            "ListPrograms",
        )
    },
}
"""Deadlines are shorter than the coordinator's own limit, so that a silent one is noticed here first."""


class Caller:
    """Calls methods of one coordinator; safe for many tasks of one event loop."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        target: str,
        key: SigningKey | None = None,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._channel = channel
        self._target = target
        self._key = key
        self._now_ms = now_ms
        self._offset_ms = 0  # how far the server's clock is ahead of this machine's, as last learned
        self._retrying = stamina.AsyncRetryingCaller(
            attempts=ATTEMPTS,
            timeout=RETRY_TOTAL_S,
            wait_initial=RETRY_FIRST_S,
            wait_max=RETRY_MAX_S,
            wait_jitter=RETRY_JITTER_S,
        )

    async def call(self, method: str, request: Message, reply: type[R], read: Callable[[R], T]) -> T:
        """What ``read`` makes of the reply to one request.

        Raises:
            SwarmError: What the coordinator refused with, Unavailable where none answered in time, Internal
                where the answer breaks the contract.
        """
        if RPCS[method].is_repeatable:
            message = await self._retrying(_is_unavailable, self._call_in_time, method, request, reply)
        else:
            message = await self._call_in_time(method, request, reply)
        try:
            return read(message)
        except InvalidArgument as error:
            raise Internal(f"{self._target} broke the contract in answer to {method}: {error}") from error

    async def close(self) -> None:
        """Ends the channel; calls under way end as Unavailable."""
        await self._channel.close()

    async def _call_in_time(self, method: str, request: Message, reply: type[R]) -> R:
        try:
            return await self._call_once(method, request, reply)
        except ClockSkew:
            # The refusal brought the server's time; if that does not help, it is not about the clock.
            return await self._call_once(method, request, reply)

    async def _call_once(self, method: str, request: Message, reply: type[R]) -> R:
        body = request.SerializeToString()
        # No serialisers: exactly the signed bytes are sent, and the reply is parsed in one place.
        stub: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(method)
        asked_ms = self._now_ms()
        call = stub(body, timeout=RPCS[method].deadline_s, metadata=self._sign(method, body))
        try:
            raw = await call
            trailer = _texts(await call.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            trailer = _texts(error.trailing_metadata())
            self._learn_time(trailer, asked_ms)
            raise self._named(error, trailer) from error
        self._learn_time(trailer, asked_ms)
        try:
            return reply.FromString(raw)
        except DecodeError as error:
            raise Unavailable(
                f"{self._target} answers {method} with something else; is it a coordinator?"
            ) from (error)

    def _sign(self, method: str, body: bytes) -> Metadata:
        if not RPCS[method].is_signed:
            return ()
        if self._key is None:
            raise AssertionError(f"{method} needs a key")
        time_ms = self._now_ms() + self._offset_ms
        return sign_call(self._key, method, body, time_ms=time_ms, nonce=new_nonce())

    def _learn_time(self, trailer: Mapping[str, str], asked_ms: int) -> None:
        text = trailer.get(SERVER_TIME_KEY, "")
        if text.isascii() and text.isdigit():
            # The server looked at its clock somewhere between question and answer.
            self._offset_ms = int(text) - (asked_ms + self._now_ms()) // 2

    def _named(self, error: grpc.aio.AioRpcError, trailer: Mapping[str, str]) -> SwarmError:
        details = error.details() or error.code().name
        named = error_of(error.code(), details, trailer)
        if isinstance(named, Unavailable) and not trailer:
            return Unavailable(f"the coordinator at {self._target} does not answer: {details}")
        return named


def _is_unavailable(error: Exception) -> bool:
    return isinstance(error, Unavailable)


def _texts(metadata: Sequence[tuple[str, Any]] | Any) -> dict[str, str]:
    return {key: value for key, value in metadata or () if isinstance(value, str)}
