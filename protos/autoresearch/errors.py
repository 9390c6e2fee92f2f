"""What can go wrong between a node and its swarm, as one tree.

    SwarmError
    ├── InvalidArgument        the request breaks a rule of the contract; mend it, do not repeat it
    │   └── UnknownChallenge   nobody here hosts that challenge
    ├── NotFound               no such experiment, node, source or token
    ├── Unauthenticated        no key, a wrong signature, or a clock that is off
    │   └── ClockSkew          the call's time is outside the window; carries the server's time
    ├── PermissionDenied       the key is known and may not do this
    │   ├── NodeBanned         an operator has shut this node out
    │   └── TokenRefused       the enrolment token is wrong, spent, expired or revoked
    ├── ConsentMissing         nobody has agreed to the terms for this node yet
    ├── ProtocolMismatch       the two sides share no protocol version
    ├── ChallengeUnfrozen      the manifest has no hashes yet, so nothing can be compared
    ├── LeaseLost              the claim expired or belongs to another; its result is still welcome
    ├── Conflict               the id was used for something else
    ├── LimitExceeded          too many, too large or too fast; says when to come back
    ├── ReadOnly               the coordinator protects its disk and takes no writes
    ├── Unavailable            the coordinator or its store cannot be reached; nothing was decided
    └── Internal               our bug; the coordinator's log has it under the request id

Every class has a stable ``code`` that travels over the wire; ``status`` maps it to a gRPC status.
"""

from __future__ import annotations

from typing import ClassVar


class SwarmError(Exception):
    """Base of all; the message says what happened, to what, and what to do next."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class InvalidArgument(SwarmError):
    """The request breaks a rule of the contract."""

    code = "invalid_argument"


class UnknownChallenge(InvalidArgument):
    """Nobody here hosts that challenge."""

    code = "unknown_challenge"


class NotFound(SwarmError):
    """There is no such thing."""

    code = "not_found"


class Unauthenticated(SwarmError):
    """Who calls could not be established."""

    code = "unauthenticated"


class ClockSkew(Unauthenticated):
    """The signed time is outside the window; the reply's metadata has the server's."""

    code = "clock_skew"


class PermissionDenied(SwarmError):
    """The caller is known and may not do this."""

    code = "permission_denied"


class NodeBanned(PermissionDenied):
    """An operator has shut this node out."""

    code = "node_banned"


class TokenRefused(PermissionDenied):
    """The enrolment token is wrong, spent, expired or revoked."""

    code = "token_refused"


class ConsentMissing(SwarmError):
    """Nobody has agreed to the terms for this node yet."""

    code = "consent_missing"


class ProtocolMismatch(SwarmError):
    """The two sides share no protocol version."""

    code = "protocol_mismatch"


class ChallengeUnfrozen(SwarmError):
    """The manifest has no hashes yet."""

    code = "challenge_unfrozen"


class LeaseLost(SwarmError):
    """The claim expired or belongs to another."""

    code = "lease_lost"


class Conflict(SwarmError):
    """The id was used for something else."""

    code = "conflict"


class LimitExceeded(SwarmError):
    """Too many, too large or too fast."""

    code = "limit_exceeded"


class ReadOnly(SwarmError):
    """The coordinator protects its disk and takes no writes."""

    code = "read_only"


class Unavailable(SwarmError):
    """The coordinator or its store cannot be reached; nothing was decided."""

    code = "unavailable"


class Internal(SwarmError):
    """A bug of ours; the coordinator's log has it under the request id."""

    code = "internal"


ERRORS_BY_CODE: dict[str, type[SwarmError]] = {
    cls.code: cls
    for cls in (
        InvalidArgument,
        UnknownChallenge,
        NotFound,
        Unauthenticated,
        ClockSkew,
        PermissionDenied,
        NodeBanned,
        TokenRefused,
        ConsentMissing,
        ProtocolMismatch,
        ChallengeUnfrozen,
        LeaseLost,
        Conflict,
        LimitExceeded,
        ReadOnly,
        Unavailable,
        Internal,
    )
}
