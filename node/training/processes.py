"""Runs a command in a session of its own and leaves nothing of it behind: for trainers and for agents."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

OUTPUT_LIMIT_BYTES = 64 * 1024
READ_BYTES = 16 * 1024
POLITE_S = 5.0
LAST_OUTPUT_S = 1.0
DESCENDANTS_LIMIT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process group ended: exit code, whether it was cut off, the end of what it said."""

    returncode: int
    is_timeout: bool
    output: str


@dataclass(frozen=True, slots=True)
class _Relative:
    """A descendant; with its start time, so that a recycled pid is never taken for it."""

    pid: int
    started: str


async def run_group(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    polite: signal.Signals = signal.SIGTERM,
    shows_stderr: bool = False,
) -> Ended:
    """Runs ``argv`` to its end, its time-out, or the caller's cancellation.

    Output is read as it comes and only its end is kept, so a flood of it costs no memory and blocks nobody;
    ``shows_stderr`` leaves stderr on the terminal, for progress bars. Afterwards nothing is left: first the
    ``polite`` signal goes to the group, then SIGKILL to the group and, where ``/proc`` tells who they are, to
    descendants that had left it.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=dict(env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if shows_stderr else asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return Ended(returncode=127, is_timeout=False, output=f"cannot run {argv[0]}: {error}")
    tail = bytearray()
    reading = asyncio.create_task(_read_tail(process.stdout, tail))
    is_timeout = False
    try:
        await asyncio.wait_for(process.wait(), timeout_s)
    except TimeoutError:
        is_timeout = True
    finally:
        await asyncio.shield(_end(process, polite))
        # A descendant that escaped may hold the pipe open: what was read by now is enough.
        done, _ = await asyncio.wait({reading}, timeout=LAST_OUTPUT_S)
        if not done:
            reading.cancel()
    return Ended(
        returncode=process.returncode if process.returncode is not None else -signal.SIGKILL,
        is_timeout=is_timeout,
        output=bytes(tail).decode("utf-8", errors="replace"),
    )


async def _read_tail(stream: asyncio.StreamReader | None, tail: bytearray) -> None:
    while stream is not None and (chunk := await stream.read(READ_BYTES)):
        tail += chunk
        del tail[:-OUTPUT_LIMIT_BYTES]


async def _end(process: asyncio.subprocess.Process, polite: signal.Signals) -> None:
    """Asks the leader's group to end, then makes sure of everybody."""
    relatives: set[_Relative] = set()
    if process.returncode is None:
        relatives = await asyncio.to_thread(_descendants, process.pid)
        _signal_group(process.pid, polite)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), POLITE_S)
    if process.returncode is None:
        relatives |= await asyncio.to_thread(_descendants, process.pid)
    _signal_group(process.pid, signal.SIGKILL)
    for relative in relatives:
        if _started(relative.pid) == relative.started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(relative.pid, signal.SIGKILL)
    await process.wait()


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _descendants(pid: int) -> set[_Relative]:
    """Everybody below ``pid`` now; empty where there is no ``/proc``."""
    found: set[_Relative] = set()
    waiting = [pid]
    while waiting and len(found) < DESCENDANTS_LIMIT:
        for child in _children(waiting.pop()):
            started = _started(child)
            if started is not None:
                found.add(_Relative(child, started))
                waiting.append(child)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError, ValueError):
            found += [int(word) for word in listing.read_text().split()]
    return found


def _started(pid: int) -> str | None:
    """The process's start time in ticks since boot, or None if it is gone (field 22 of proc(5) stat)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
