"""What every call passes through: limits, proof of who calls, deadline, errors to statuses, one log line.

Handlers get raw request bytes from gRPC, so that a signature is checked before a parser sees anything;
the message is decoded afterwards. Servicers behind this raise domain errors and know no status.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from autoresearch import errors
from google.protobuf.message import DecodeError

from coordinator.auth.authenticator import Authenticator, SignedCall
from coordinator.auth.policy import Requirement
from coordinator.rpc.call import Call
from coordinator.rpc.limits import DEADLINE_S, InFlight, RateLimit, address_of

Handler = Any
"""grpc.RpcMethodHandler, whose four behaviours are typed as optional and synchronous."""
Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """The limits that all calls share."""

    per_peer: RateLimit
    per_node: RateLimit
    in_flight: InFlight
    in_flight_per_node: InFlight
    streams: InFlight


class CallInterceptor(grpc.aio.ServerInterceptor):
    """The one interceptor of the coordinator."""

    def __init__(
        self,
        authenticator: Authenticator,
        limits: CallLimits,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._authenticator = authenticator
        self._limits = limits
        self._now_ms = now_ms
        self._guarded: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The guarded handler of the method; None (unimplemented) where there is none."""
        method = handler_call_details.method
        guarded = self._guarded.get(method)
        if guarded is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            guarded = self._guarded[method] = self._guard(method, handler)
        return guarded

    def _guard(self, method: str, handler: Handler) -> Handler:
        serializer = handler.response_serializer
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(method, handler), response_serializer=serializer
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler), response_serializer=serializer
            )
        return grpc.stream_stream_rpc_method_handler(
            self._dialogue(method, handler),
            request_deserializer=handler.request_deserializer,
            response_serializer=serializer,
        )

    def _unary(self, method: str, handler: Handler) -> Callable[..., Awaitable[Any]]:
        async def answer(body: bytes, context: Context) -> Any:
            call = Call(method, context, self._now_ms)
            try:
                async with asyncio.timeout(DEADLINE_S):
                    with self._limits.in_flight.slot(address_of(context.peer())):
                        await self._admit(method, body, call, context)
                        with self._limits.in_flight_per_node.slot(call.caller.key_id or context.peer()):
                            reply = await handler.unary_unary(_decode(handler, body), context)
            except TimeoutError:
                await call.refuse(errors.Unavailable(f"no answer within {DEADLINE_S:g} s; repeat the call"))
            except errors.SwarmError as error:
                await call.refuse(error)
            except grpc.aio.AbortError:
                raise  # the health service sets its own status
            except Exception as error:  # noqa: BLE001  (the RPC boundary; logged, and told as Internal)
                await call.fail(error)
            call.succeed()
            return reply

        return answer

    def _stream(self, method: str, handler: Handler) -> Callable[..., AsyncIterator[Any]]:
        async def answer(body: bytes, context: Context) -> AsyncIterator[Any]:
            call = Call(method, context, self._now_ms)
            try:
                await self._admit(method, body, call, context)
                # Without it a watcher would learn with the first event, hours later, that it was let in.
                await context.send_initial_metadata(())
                with self._limits.streams.slot(call.caller.key_id or address_of(context.peer())):
                    async with aclosing(handler.unary_stream(_decode(handler, body), context)) as replies:
                        async for reply in replies:
                            yield reply
            except errors.SwarmError as error:
                await call.refuse(error)
            except grpc.aio.AbortError:
                raise  # the health service sets its own status
            except Exception as error:  # noqa: BLE001  (the RPC boundary; logged, and told as Internal)
                await call.fail(error)
            call.succeed()

        return answer

    def _dialogue(self, method: str, handler: Handler) -> Callable[..., AsyncIterator[Any]]:
        """Streams both ways: reflection alone, which has no one body that could be signed."""

        async def answer(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            call = Call(method, context, self._now_ms)
            try:
                await self._admit(method, b"", call, context)
            except errors.SwarmError as error:
                await call.refuse(error)
            async for reply in handler.stream_stream(requests, context):
                yield reply

        return answer

    async def _admit(self, method: str, body: bytes, call: Call, context: Context) -> None:
        self._limits.per_peer.take(address_of(context.peer()))
        requirement = self._authenticator.requirement_of(method)
        signed = SignedCall(method=method, metadata=call.metadata, body=body)
        call.admit(await self._authenticator.authenticate(signed, requirement))
        if requirement is not Requirement.PUBLIC:
            self._limits.per_node.take(call.caller.key_id)


def _decode(handler: Handler, body: bytes) -> Any:
    try:
        return handler.request_deserializer(body)
    except DecodeError as error:
        raise errors.InvalidArgument(
            "the request's bytes are not the message of this method; they are cut short or of another version"
        ) from error
