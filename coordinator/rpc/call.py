"""One call in progress: its id, its time, and how it is answered, refused or given up."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NoReturn

import grpc
import grpc.aio
import structlog
from autoresearch import errors
from autoresearch.model import Node
from autoresearch.status import (
    ERROR_CODE_KEY,
    REQUEST_ID_KEY,
    RETRY_AFTER_KEY,
    SERVER_TIME_KEY,
    status_of,
)

from coordinator.auth.authenticator import ANYBODY, Caller

DETAILS_LIMIT_CHARS = 1_000
"""Statuses travel in headers, which have to stay under 8 KiB with everything else."""

_log = structlog.get_logger("coordinator.rpc")
_caller: ContextVar[Caller] = ContextVar("caller", default=ANYBODY)


def current_caller() -> Caller:
    """Who makes the call that this task answers."""
    return _caller.get()


def calling_node() -> Node:
    """The node that makes the call. Raises PermissionDenied for any other caller."""
    node = current_caller().node
    if node is None:
        raise errors.PermissionDenied("this is for nodes; enrol a node's key and call with it")
    return node


class Call:
    """What the interceptor knows of one call."""

    __slots__ = ("_context", "_method", "_now_ms", "_started", "caller", "request_id")

    def __init__(
        self, method: str, context: grpc.aio.ServicerContext[Any, Any], now_ms: Callable[[], int]
    ) -> None:
        self._method = method
        self._context = context
        self._now_ms = now_ms
        self._started = time.perf_counter()
        self.request_id = uuid.uuid4().hex[:16]
        self.caller = ANYBODY

    @property
    def metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """What the caller sent beside the message."""
        return tuple(self._context.invocation_metadata() or ())

    def admit(self, caller: Caller) -> None:
        """The caller is known from here on, here and in ``current_caller``."""
        self.caller = caller
        _caller.set(caller)

    def succeed(self) -> None:
        """The call is answered; the reply brings the server's time."""
        self._context.set_trailing_metadata(self._trailer())
        _log.debug("answered", **self._facts())

    async def refuse(self, error: errors.SwarmError) -> NoReturn:
        """Ends the call with the status of a domain error."""
        _log.info("refused", code=error.code, why=error.message, **self._facts())
        trailer = [*self._trailer(), (ERROR_CODE_KEY, error.code)]
        if error.retry_after_s is not None:
            trailer.append((RETRY_AFTER_KEY, f"{error.retry_after_s:.3f}"))
        await self._context.abort(status_of(error), _printable(error.message), tuple(trailer))
        raise AssertionError("abort returned")

    async def fail(self, error: Exception) -> NoReturn:
        """Ends the call as our bug: the caller gets the request id, the log gets the rest."""
        _log.error("failed", exc_info=error, **self._facts())
        trailer = (*self._trailer(), (ERROR_CODE_KEY, errors.Internal.code))
        await self._context.abort(
            grpc.StatusCode.INTERNAL,
            f"the coordinator failed; its log has the cause under request id {self.request_id}",
            trailer,
        )
        raise AssertionError("abort returned")

    def _trailer(self) -> tuple[tuple[str, str], ...]:
        return ((SERVER_TIME_KEY, str(self._now_ms())), (REQUEST_ID_KEY, self.request_id))

    def _facts(self) -> dict[str, str | float]:
        return {
            "method": self._method,
            "request_id": self.request_id,
            "caller": self.caller.key_id or self.caller.role.value,
            "peer": self._context.peer(),
            "ms": round((time.perf_counter() - self._started) * 1000, 2),
        }


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text[:DETAILS_LIMIT_CHARS])
