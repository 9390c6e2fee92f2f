"""What becomes of calls that are cancelled, that fail, or that are too many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import pytest
from autoresearch.calls import SWARM_SERVICE
from autoresearch.errors import Conflict
from autoresearch.status import ERROR_CODE_KEY
from autoresearch.v1 import swarm_pb2 as pb
from autoresearch.v1 import swarm_pb2_grpc

from coordinator.auth.authenticator import ANYBODY, Caller, SignedCall
from coordinator.auth.policy import Requirement
from coordinator.rpc.interceptor import CallInterceptor, CallLimits
from coordinator.rpc.limits import InFlight, RateLimit

INFO = SWARM_SERVICE + "GetServerInfo"
BEST = SWARM_SERVICE + "GetBest"
WATCH = SWARM_SERVICE + "WatchEvents"
TASK = SWARM_SERVICE + "NextTask"
LIMIT_S = 10.0


class Anybody:
    """An authenticator that lets everybody in, but has a bug about one method."""

    def requirement_of(self, method: str) -> Requirement:
        if method == TASK:
            raise RuntimeError("the secret cause")
        return Requirement.PUBLIC

    async def authenticate(self, call: SignedCall, requirement: Requirement) -> Caller:
        del call, requirement
        return ANYBODY


@dataclass(slots=True)
class Slow(swarm_pb2_grpc.SwarmServiceServicer):
    """Answers nothing until it is let go, and counts who waits."""

    begun: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    ended: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def _hang(self) -> None:
        self.begun.release()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.release()

    async def GetServerInfo(self, request: Any, context: Any) -> pb.GetServerInfoReply:  # noqa: N802
        await self._hang()
        return pb.GetServerInfoReply()

    async def GetBest(self, request: Any, context: Any) -> pb.GetBestReply:  # noqa: N802
        raise Conflict("line one\nline two é", retry_after_s=1.5)

    async def WatchEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        await self._hang()
        yield None


@dataclass(frozen=True, slots=True)
class Served:
    channel: grpc.aio.Channel
    servicer: Slow
    calls: InFlight
    streams: InFlight


@asynccontextmanager
async def served(*, calls_max: int = 9) -> AsyncIterator[Served]:
    rates = RateLimit("caller", per_s=100.0)
    calls = InFlight("calls", total_max=calls_max, per_key_max=calls_max)
    streams = InFlight("streams", total_max=9, per_key_max=9)
    limits = CallLimits(
        per_peer=rates, per_node=rates, in_flight=calls, in_flight_per_node=calls, streams=streams
    )
    server = grpc.aio.server(interceptors=(CallInterceptor(Anybody(), limits),))
    servicer = Slow()
    swarm_pb2_grpc.add_SwarmServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Served(channel, servicer, calls, streams)
    await server.stop(None)


async def test_a_cancelled_call_leaves_no_trace() -> None:
    async with served() as server, asyncio.timeout(LIMIT_S):
        call = server.channel.unary_unary(INFO)(b"")
        stream = server.channel.unary_stream(WATCH)(b"")
        reading = asyncio.ensure_future(stream.read())
        for _ in range(2):
            await server.servicer.begun.acquire()
        running = (server.calls.total, server.streams.total)

        call.cancel()
        stream.cancel()
        for _ in range(2):
            await server.servicer.ended.acquire()
        await asyncio.gather(reading, return_exceptions=True)
        after = (server.calls.total, server.streams.total)

    assert running == (2, 1)
    assert after == (0, 0)


async def test_a_call_too_many_is_sent_away() -> None:
    async with served(calls_max=2) as server, asyncio.timeout(LIMIT_S):
        running = server.channel.unary_unary(INFO)(b"")
        await server.servicer.begun.acquire()

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.channel.unary_unary(BEST)(b"")
        running.cancel()

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_domain_error_travels_with_its_code_in_one_line() -> None:
    async with served() as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.channel.unary_unary(BEST)(b"")

    trailer = dict(refused.value.trailing_metadata() or ())
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert refused.value.details() == "line one line two é"
    assert trailer[ERROR_CODE_KEY] == "conflict"
    assert trailer["x-swarm-retry-after-s"] == "1.500"


async def test_a_bug_is_told_by_its_request_id_alone() -> None:
    async with served() as server:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await server.channel.unary_unary(TASK)(b"")
        after = server.calls.total

    details = failed.value.details() or ""
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert "request id" in details
    assert "secret" not in details
    assert after == 0
