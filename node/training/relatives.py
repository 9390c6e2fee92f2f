"""Finds and ends the descendants of a command, those included whose parents are dead."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

DESCENDANTS_LIMIT = 4096
PR_SET_CHILD_SUBREAPER = 36
STAT_SESSION, STAT_STARTED = 3, 19
"""Places in proc(5) stat, counted from the state that follows the name."""

_log = structlog.get_logger(__name__)
_adopts = False
_leaders: set[int] = set()


@dataclass(frozen=True, slots=True)
class Relative:
    """A descendant; with its start time, so that a recycled pid is never taken for it."""

    pid: int
    started: str


def adopt_orphans() -> None:
    """From now on, orphans below this process become its children, and ``kill_adopted`` finds them.

    Linux alone can do it; elsewhere a process that leaves its group and outlives its parent escapes.
    """
    global _adopts  # noqa: PLW0603 - a property of the process, like the call that it remembers
    if sys.platform != "linux" or _adopts:
        return
    try:
        _adopts = ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    except (OSError, AttributeError):
        _adopts = False
    if not _adopts:
        _log.debug("orphans are not adopted", errno=ctypes.get_errno())


@contextmanager
def own_leader(pid: int) -> Iterator[None]:
    """While this lasts, ``pid`` and its session are a command that runs, not something left over."""
    _leaders.add(pid)
    try:
        yield
    finally:
        _leaders.discard(pid)


def kill_adopted(ended: int) -> bool:
    """Kills and reaps adopted orphans that belong to no running command's session; True if it found any.

    This process's own children share its session; whatever a command started is in another. ``ended`` is the
    leader whose command is over. Orphans of an orphan are found by the next call.
    """
    if not _adopts:
        return False
    strays = [pid for pid in children(os.getpid()) if _is_stray(pid, ended)]
    for pid in strays:
        kill_relatives(descendants(pid))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return bool(strays)


def kill_relatives(relatives: Iterable[Relative]) -> None:
    """SIGKILL to each that is still the one that was seen."""
    for relative in relatives:
        if _field(relative.pid, STAT_STARTED) == relative.started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(relative.pid, signal.SIGKILL)


def descendants(pid: int) -> set[Relative]:
    """Everybody below ``pid`` now; empty where there is no ``/proc``."""
    found: set[Relative] = set()
    waiting = [pid]
    while waiting and len(found) < DESCENDANTS_LIMIT:
        for child in children(waiting.pop()):
            started = _field(child, STAT_STARTED)
            if started is not None:
                found.add(Relative(child, started))
                waiting.append(child)
    return found


def children(pid: int) -> list[int]:
    """The children of a process; none where there is no ``/proc``."""
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError, ValueError):
            found += [int(word) for word in listing.read_text().split()]
    return found


def _is_stray(pid: int, ended: int) -> bool:
    session = _field(pid, STAT_SESSION)
    if session is None or pid in _leaders:
        return False
    return int(session) != os.getsid(0) and int(session) not in _leaders - {ended}


def _field(pid: int, place: int) -> str | None:
    """A field of a process's stat, or None if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[place]
    except (OSError, IndexError):
        return None
