"""Why a node takes no new work for a while, and since when its owner wants it so.

A pause has one or more causes, each with its reason in words, and lasts until the last of them is gone. The
run in hand is finished first, unless the owner wants the machine at once. An owner's pause is also a file, so
that a restart, such as a reboot with a service, does not take back what a person said; the other causes are
found out anew.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import structlog

from node.stopping import race

NOTE_NAME = "paused.json"

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Cause(StrEnum):
    """What may pause a node."""

    OWNER = "owner"
    QUIET_HOURS = "quiet hours"
    GPU_HOURS = "gpu hours"
    HEAT = "heat"
    OTHERS = "others"
    BATTERY = "battery"


class Paused(Exception):
    """A pause began before the work was done; whoever holds work gives it back."""


class Pauses:
    """The causes that hold now; for one event loop."""

    def __init__(self, *, on_change: Callable[[tuple[str, ...]], None] = lambda _: None) -> None:
        """``on_change`` is told the reasons each time that they are others."""
        self._reasons: dict[Cause, str] = {}
        self._on_change = on_change
        self._holds = asyncio.Event()
        self._is_over = asyncio.Event()
        self._is_over.set()
        self._wants_now = asyncio.Event()

    @property
    def reasons(self) -> tuple[str, ...]:
        """In words, one for each cause; empty where the node is not paused."""
        return tuple(self._reasons.values())

    @property
    def is_paused(self) -> bool:
        """True while there is a cause."""
        return bool(self._reasons)

    def hold(self, cause: Cause, reason: str, *, now: bool = False) -> None:
        """Pause for this; ``now`` gives back the work in hand too. Harmless if repeated."""
        known = self._reasons.get(cause)
        self._reasons[cause] = reason
        self._holds.set()
        self._is_over.clear()
        if now:
            self._wants_now.set()
        if known is None:
            _log.info("pausing", cause=cause.value, reason=reason, at_once=now or None)
        if known != reason:
            self._on_change(self.reasons)

    def lift(self, cause: Cause) -> None:
        """This is no reason any more; work goes on with the last of them."""
        if self._reasons.pop(cause, None) is None:
            return
        _log.info("no reason to pause any more", cause=cause.value, others=list(self.reasons) or None)
        if not self._reasons:
            self._holds.clear()
            self._wants_now.clear()
            self._is_over.set()
        self._on_change(self.reasons)

    async def or_paused(self, work: Awaitable[T]) -> T:
        """The result of ``work``, which is cancelled when a pause begins. Raises Paused."""
        return await race(work, self._holds, Paused("the node is paused"))

    async def or_wanted(self, work: Awaitable[T]) -> T:
        """The result of ``work``, cancelled only when the machine is wanted at once. Raises Paused."""
        return await race(work, self._wants_now, Paused("the machine is wanted at once"))

    def before_more_work(self) -> None:
        """Raises Paused where the machine is wanted at once."""
        if self._wants_now.is_set():
            raise Paused("the machine is wanted at once")

    async def wait_begun(self) -> None:
        """Returns once a pause holds."""
        await self._holds.wait()

    async def wait_over(self) -> None:
        """Returns once none does."""
        await self._is_over.wait()


def is_noted(node_dir: Path) -> bool:
    """True if the owner has paused the node of this state dir, whether it runs or not."""
    return (node_dir / NOTE_NAME).exists()


def note_pause(node_dir: Path, at: datetime) -> None:
    """Keeps the owner's wish over restarts."""
    (node_dir / NOTE_NAME).write_text(json.dumps({"since": at.isoformat()}), encoding="utf-8")


def forget_pause(node_dir: Path) -> bool:
    """The owner wishes so no longer; False if there was no such wish."""
    try:
        (node_dir / NOTE_NAME).unlink()
    except FileNotFoundError:
        return False
    return True
