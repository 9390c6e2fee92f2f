"""One table: domain error <-> gRPC status. The coordinator's interceptor and the node's client read it."""

from __future__ import annotations

from collections.abc import Mapping

import grpc

from autoresearch import errors

ERROR_CODE_KEY = "x-swarm-error"
RETRY_AFTER_KEY = "x-swarm-retry-after-s"
SERVER_TIME_KEY = "x-swarm-time-ms"
REQUEST_ID_KEY = "x-swarm-request-id"

STATUS_OF: Mapping[type[errors.SwarmError], grpc.StatusCode] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnknownChallenge: grpc.StatusCode.NOT_FOUND,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.ClockSkew: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.NodeBanned: grpc.StatusCode.PERMISSION_DENIED,
    errors.TokenRefused: grpc.StatusCode.PERMISSION_DENIED,
    errors.ConsentMissing: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ProtocolMismatch: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ChallengeUnfrozen: grpc.StatusCode.FAILED_PRECONDITION,
    errors.LeaseLost: grpc.StatusCode.ABORTED,
    errors.Conflict: grpc.StatusCode.ALREADY_EXISTS,
    errors.LimitExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ReadOnly: grpc.StatusCode.UNAVAILABLE,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Internal: grpc.StatusCode.INTERNAL,
}

_FALLBACK: Mapping[grpc.StatusCode, type[errors.SwarmError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidArgument,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    grpc.StatusCode.UNIMPLEMENTED: errors.ProtocolMismatch,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.LimitExceeded,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.Unavailable,
    grpc.StatusCode.CANCELLED: errors.Unavailable,
}


def status_of(error: errors.SwarmError) -> grpc.StatusCode:
    """The gRPC status that carries ``error``."""
    return STATUS_OF.get(type(error), grpc.StatusCode.INTERNAL)


def error_of(
    status: grpc.StatusCode, message: str, metadata: Mapping[str, str] | None = None
) -> errors.SwarmError:
    """The domain error behind a failed call: by the code in its metadata, else by its status.

    A status that no table names is ``Internal``: it is never read as success.
    """
    metadata = metadata or {}
    by_code = errors.ERRORS_BY_CODE.get(metadata.get(ERROR_CODE_KEY, ""))
    error_class = by_code or _FALLBACK.get(status, errors.Internal)
    retry_after = metadata.get(RETRY_AFTER_KEY)
    try:
        retry_after_s = float(retry_after) if retry_after is not None else None
    except ValueError:
        retry_after_s = None
    return error_class(message, retry_after_s=retry_after_s)
