"""What becomes of a worker that ended, and what that means for its node: decisions without any I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from node.exit_codes import ExitCode

RESTARTS_LIMIT = 5
"""Ends one after the other, each too soon after its start, after which a worker is given up."""

STEADY_S = 600.0
"""A worker that lived this long has shown that it can work: its earlier ends are forgotten."""

PAUSE_FIRST_S = 2.0
PAUSE_MAX_S = 60.0

SEVERITY = (
    ExitCode.OK,
    ExitCode.BUDGET_SPENT,
    ExitCode.INTERRUPTED,
    ExitCode.UNREACHABLE,
    ExitCode.FAILURE,
    ExitCode.DOCTOR,
    ExitCode.USAGE,
    ExitCode.CONTRACT_MISMATCH,
    ExitCode.AUTH,
)
"""From what is as it should be to what only a person can mend."""

_PASSING = (ExitCode.FAILURE, ExitCode.UNREACHABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """The worker is not started again."""

    code: ExitCode
    is_given_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """The worker is started again after a pause; ``failures`` counts its ends in a row."""

    pause_s: float
    failures: int


def after(returncode: int, *, lived_s: float, failures: int, is_stopping: bool) -> Over | Again:
    """What follows on a worker's end.

    What says of itself that it is over stays over: done, drained, out of budget, banned, wrongly set. A
    failure or a sudden death is tried again, unless the node is leaving anyway.

    Args:
        returncode: Its exit code, negative for the signal that killed it.
        lived_s: How long it ran.
        failures: Its ends in a row before this one.
        is_stopping: The node is about to leave.
    """
    code = exit_code(returncode)
    if is_stopping or code not in _PASSING:
        return Over(code=code)
    counted = 1 if lived_s >= STEADY_S else failures + 1
    if counted > RESTARTS_LIMIT:
        return Over(code=code, is_given_up=True)
    return Again(pause_s=min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** (counted - 1)), failures=counted)


def exit_code(returncode: int) -> ExitCode:
    """A worker's end in the command's terms; a killed one, or one that says what we never say, has failed."""
    try:
        return ExitCode(returncode)
    except ValueError:
        return ExitCode.FAILURE


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """What the node says of all its workers."""
    return max(codes, key=SEVERITY.index, default=ExitCode.OK)
