"""What went wrong with a call, and whether calling again may help."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from node.agent.base import AgentError

REASON_LIMIT_CHARS = 10_000
"""Whoever shows a reason takes the key out of it first, and cuts it then: half a key is found by nobody."""
TOO_LONG_MARKS = ("prompt is too long", "context window", "context length", "maximum context")
"""The protocol has no code for it: servers say it in such words, with status 400."""

PASSING_TYPES = frozenset({"overloaded_error", "rate_limit_error", "api_error", "timeout_error"})
PASSING_STATUSES = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
UNUSABLE_STATUSES = frozenset({401, 402, 403, 404})
UNUSABLE_TYPES = frozenset({"authentication_error", "billing_error", "permission_error", "not_found_error"})
TOO_LONG_STATUSES = frozenset({400, 413})


class ContextTooLong(AgentError):
    """The model cannot read as much as it was given."""


class FaultKind(Enum):
    """What there is to do about it."""

    PASSING = "call again"
    TOO_LONG = "say less"
    UNUSABLE = "mend the setup"
    REFUSED = "give up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A failed call. ``was_heard``: the server may have begun to work on it, and charge for it."""

    kind: FaultKind
    reason: str
    was_heard: bool = False
    retry_after_s: float | None = None


def fault_of(error: Exception) -> Fault | None:
    """What an exception of the client or of its transport means; None for one that is our own bug."""
    import anthropic  # noqa: PLC0415 - takes seconds to import
    import httpx2  # noqa: PLC0415

    match error:
        case anthropic.APIStatusError():
            return _status_fault(error)
        case anthropic.APITimeoutError() | httpx2.TimeoutException():
            return Fault(kind=FaultKind.PASSING, reason="no answer in time", was_heard=_may_be_heard(error))
        case anthropic.APIConnectionError() | httpx2.TransportError():
            cause = error.__cause__ or error
            reason = f"the connection failed ({_clean(str(cause) or type(cause).__name__)})"
            return Fault(kind=FaultKind.PASSING, reason=reason, was_heard=_may_be_heard(error))
        case anthropic.APIError() | ValueError():
            # Half a message, or one that is no JSON: the client says so in either way.
            reason = f"the answer cannot be read ({_clean(str(error))})"
            return Fault(kind=FaultKind.PASSING, reason=reason, was_heard=True)
        case _:
            return None


def _status_fault(error: Any) -> Fault:
    """An error of the server's own; the status of one amid a stream is that of its good beginning."""
    status, kind = error.status_code, error.type or ""
    said = _clean(error.api_message or str(error))
    reason = f"{kind or f'status {status}'}: {said}"
    retry_after_s = _retry_after_s(error.response.headers)
    should_retry = error.response.headers.get("x-should-retry")
    if status in TOO_LONG_STATUSES and any(mark in said.lower() for mark in TOO_LONG_MARKS):
        return Fault(kind=FaultKind.TOO_LONG, reason=reason)
    if kind in UNUSABLE_TYPES or (not kind and status in UNUSABLE_STATUSES):
        return Fault(kind=FaultKind.UNUSABLE, reason=reason)
    is_passing = kind in PASSING_TYPES or status in PASSING_STATUSES
    if should_retry in ("true", "false"):
        is_passing = should_retry == "true"
    return Fault(
        kind=FaultKind.PASSING if is_passing else FaultKind.REFUSED,
        reason=reason,
        was_heard=status < 400,  # noqa: PLR2004 - amid a stream
        retry_after_s=retry_after_s,
    )


def _may_be_heard(error: Exception) -> bool:
    """False only where no connection was made."""
    import httpx2  # noqa: PLC0415

    causes = (error, error.__cause__)
    unheard = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
    return not any(isinstance(cause, unheard) for cause in causes)


def _retry_after_s(headers: Any) -> float | None:
    """Seconds, as the servers of this protocol send them; a date is for caches and ignored."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0.0 <= seconds < float("inf") else None


def _clean(text: str) -> str:
    clean = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return clean[:REASON_LIMIT_CHARS]
