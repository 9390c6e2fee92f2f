"""What an outcome does to later claims of the same edit."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from autoresearch.model import Outcome

DETERMINISTIC_CRASHES: Final = frozenset({"exception", "syntax", "nan", "no_train", "exit", "scratch"})
"""Crashes that the code would repeat on any machine."""

OUT_OF_MEMORY: Final = "oom"


class Blocking(StrEnum):
    """What an outcome does to later claims of the same edit in its class."""

    ALWAYS = "always"
    UP_TO_MEMORY = "up_to_memory"
    NEVER = "never"


def blocking_of(outcome: Outcome, crash_kind: str) -> Blocking:
    """Whether the same edit may be tried again.

    A completed or a rejected run and a crash of the code block. Running out of memory blocks equal or
    smaller memory only. Whatever the machine may be to blame for, and a lost or expired claim, never does.
    """
    if outcome in (Outcome.COMPLETED, Outcome.REJECTED):
        return Blocking.ALWAYS
    if outcome is Outcome.CRASHED and crash_kind == OUT_OF_MEMORY:
        return Blocking.UP_TO_MEMORY
    if outcome is Outcome.CRASHED and crash_kind in DETERMINISTIC_CRASHES:
        return Blocking.ALWAYS
    return Blocking.NEVER


def is_codes_fault(outcome: Outcome, crash_kind: str) -> bool:
    """True for a failure that a rerun on the same kind of machine would repeat."""
    return outcome is not Outcome.COMPLETED and (
        crash_kind == OUT_OF_MEMORY or blocking_of(outcome, crash_kind) is Blocking.ALWAYS
    )
