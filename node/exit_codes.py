"""What the exit status of ``autoresearch-node`` means to a script that calls it."""

from __future__ import annotations

from enum import IntEnum

from autoresearch import errors


class ExitCode(IntEnum):
    """One meaning per number; the coordinator's command uses the same numbers."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    UNREACHABLE = 3
    AUTH = 4
    CONTRACT_MISMATCH = 5
    DOCTOR = 6
    BUDGET_SPENT = 7
    INTERRUPTED = 130


def exit_code_of(error: errors.SwarmError) -> ExitCode:
    """The exit status for a call that ended with ``error``."""
    match error:
        case errors.Unavailable() | errors.ReadOnly():
            return ExitCode.UNREACHABLE
        case errors.Unauthenticated() | errors.PermissionDenied():
            return ExitCode.AUTH
        case errors.ProtocolMismatch() | errors.ChallengeUnfrozen():
            return ExitCode.CONTRACT_MISMATCH
        case errors.InvalidArgument():
            return ExitCode.USAGE
        case _:
            return ExitCode.FAILURE
