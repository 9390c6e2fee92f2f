"""Runs a command in a session of its own and ends what it started: for trainers and for agents."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from node.training.relatives import Relative, descendants, kill_adopted, kill_relatives, own_leader

OUTPUT_LIMIT_BYTES = 64 * 1024
POLITE_S = 5.0
KILLED_S = 5.0
LAST_OUTPUT_S = 1.0
ADOPTED_ROUNDS_LIMIT = 50
ADOPTED_ROUND_S = 0.02

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process group ended: exit code, whether it was cut off, the end of what it said.

    ``answer`` is the beginning of stdout where the caller asked for it apart from the rest.
    """

    returncode: int
    is_timeout: bool
    output: str
    answer: bytes = b""


async def run_group(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    polite: signal.Signals = signal.SIGTERM,
    shows_stderr: bool = False,
    told: bytes | None = None,
    answer_limit_bytes: int | None = None,
    hear: Callable[[bytes], None] | None = None,
    enough: asyncio.Event | None = None,
) -> Ended:
    """Runs ``argv`` to its end, its time-out, or the caller's cancellation.

    The command has ended when its leader has: a child that still holds the output delays nobody. Output is
    read as it comes and only its end is kept, so a flood of it costs no memory and blocks nobody;
    ``shows_stderr`` leaves stderr on the terminal, for progress bars. ``told`` is written to its stdin. With
    ``answer_limit_bytes``, stdout is the answer, kept from its beginning, and stderr alone is the output;
    with ``hear``, stdout goes there as it comes, and is not kept. Once ``enough`` is set it is ended.

    Afterwards the group is gone: first the ``polite`` signal goes to it, then SIGKILL to it and, where
    ``/proc`` tells who they are, to descendants that had left it. Those whose parents had died before are
    found too, once the node adopts orphans (``relatives.adopt_orphans``).
    """
    loop = asyncio.get_running_loop()
    is_apart = answer_limit_bytes is not None or hear is not None
    over = enough or asyncio.Event()
    try:
        transport, said = await loop.subprocess_exec(
            lambda: _Said(answer_limit_bytes, hear, over, is_apart=is_apart),
            *argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL if told is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if shows_stderr else subprocess.PIPE if is_apart else subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return Ended(returncode=127, is_timeout=False, output=f"cannot run {argv[0]}: {error}")
    is_timeout = False
    with own_leader(transport.get_pid()):
        try:
            _tell(transport, told)
            await asyncio.wait_for(over.wait(), timeout_s)
        except TimeoutError:
            is_timeout = True
        finally:
            await asyncio.shield(_end(transport, said, polite))
    returncode = transport.get_returncode()
    return Ended(
        returncode=returncode if returncode is not None else -signal.SIGKILL,
        is_timeout=is_timeout,
        output=bytes(said.tail).decode("utf-8", errors="replace"),
        answer=bytes(said.answer),
    )


class _Said(asyncio.SubprocessProtocol):
    """Keeps what a command says, within limits, and notes its end as soon as its leader exits."""

    def __init__(
        self,
        answer_limit_bytes: int | None,
        hear: Callable[[bytes], None] | None,
        over: asyncio.Event,
        *,
        is_apart: bool,
    ) -> None:
        self.tail = bytearray()
        self.answer = bytearray()
        self.has_ended = asyncio.Event()
        self.is_silent = asyncio.Event()
        self._answer_limit = answer_limit_bytes
        self._hear = hear
        self._over = over
        self._open = {1, 2} if is_apart else {1}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1 and self._hear is not None:
            self._hear(data)
            return
        if fd == 1 and self._answer_limit is not None:
            self.answer += data[: max(0, self._answer_limit - len(self.answer))]
            return
        self.tail += data
        del self.tail[:-OUTPUT_LIMIT_BYTES]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        del exc
        self._open.discard(fd)
        if not self._open:
            self.is_silent.set()

    def process_exited(self) -> None:
        self.has_ended.set()
        self._over.set()


def _tell(transport: asyncio.SubprocessTransport, told: bytes | None) -> None:
    stdin = transport.get_pipe_transport(0)
    if told is not None and isinstance(stdin, asyncio.WriteTransport):
        stdin.write(told)
        stdin.close()


async def _end(transport: asyncio.SubprocessTransport, said: _Said, polite: signal.Signals) -> None:
    """Asks the leader's group to end, then makes sure of everybody; never waits without a limit."""
    pid = transport.get_pid()
    relatives: set[Relative] = set()
    if not said.has_ended.is_set():
        relatives = await asyncio.to_thread(descendants, pid)
        _signal_group(pid, polite)
        await _wait_for(said.has_ended, POLITE_S)
    if not said.has_ended.is_set():
        relatives |= await asyncio.to_thread(descendants, pid)
    _signal_group(pid, signal.SIGKILL)
    kill_relatives(relatives)
    if not await _wait_for(said.has_ended, KILLED_S):
        _log.error("a process does not end", pid=pid)
    for _ in range(ADOPTED_ROUNDS_LIMIT):
        if not kill_adopted(pid):
            break
        await asyncio.sleep(ADOPTED_ROUND_S)
    # A descendant that escaped all the same may hold the pipe open: what was read by now is enough.
    await _wait_for(said.is_silent, LAST_OUTPUT_S)
    transport.close()


async def _wait_for(event: asyncio.Event, limit_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), limit_s)
    return event.is_set()


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
