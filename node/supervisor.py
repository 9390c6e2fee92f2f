"""Keeps one worker process on each seat of a node: starts, restarts, stops them, and never dies of one.

Workers are told to stop through their stdin, a pipe that also ends with the supervisor: whatever kills it,
no worker stays behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from node.exit_codes import ExitCode
from node.restarts import Again, after, worst
from node.seats import Seat
from node.stopping import Aborted, Stop

DRAIN_WORD = b"drain\n"
ABORT_WORD = b"abort\n"
LEAVE_LIMIT_S = 60.0
"""After an abort a worker kills its training and gives its claims back; one that takes longer is killed."""

_log = structlog.get_logger(__name__)


class Process(Protocol):
    """A worker that runs, as ``asyncio.subprocess.Process`` is one."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def stdin(self) -> asyncio.StreamWriter | None:
        """Where it is told to stop."""

    async def wait(self) -> int:
        """Its exit code once it is over."""

    def kill(self) -> None:
        """Ends it at once."""


@dataclass(slots=True, kw_only=True)
class Place:
    """What is known of one seat; ``pid`` None while nobody sits on it."""

    seat: Seat
    pid: int | None = None
    restarts: int = 0
    code: ExitCode | None = None
    process: Process | None = field(default=None, repr=False)


class Supervisor:
    """Runs until every worker is over; for one event loop."""

    def __init__(
        self,
        *,
        seats: Sequence[Seat],
        launch: Callable[[Seat], Awaitable[Process]],
        stop: Stop,
        on_change: Callable[[Sequence[Place]], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        leave_limit_s: float = LEAVE_LIMIT_S,
    ) -> None:
        self._places = [Place(seat=seat) for seat in seats]
        self._launch = launch
        self._stop = stop
        self._on_change = on_change
        self._sleep = sleep
        self._monotonic = monotonic
        self._leave_limit_s = leave_limit_s

    async def run(self) -> ExitCode:
        """The worst that a worker ended with."""
        telling = asyncio.create_task(self._tell_stop())
        try:
            codes = await asyncio.gather(*(self._keep(place) for place in self._places))
        finally:
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling
        return worst(codes)

    async def _keep(self, place: Place) -> ExitCode:
        failures = 0
        while True:
            began_at = self._monotonic()
            returncode = await self._sit(place)
            verdict = after(
                returncode,
                lived_s=self._monotonic() - began_at,
                failures=failures,
                is_stopping=self._stop.is_draining,
            )
            name = place.seat.name
            if isinstance(verdict, Again):
                failures = verdict.failures
                place.restarts += 1
                _log.warning(
                    "a worker died; starting it again",
                    worker=name,
                    returncode=returncode,
                    after_s=verdict.pause_s,
                    failures=failures,
                )
                self._on_change(self._places)
                try:
                    await self._stop.or_stopped(self._sleep(verdict.pause_s))
                except Aborted:
                    return self._leave(place, ExitCode.OK)
                continue
            if verdict.is_given_up:
                _log.error("a worker is given up; the others go on", worker=name, returncode=returncode)
            else:
                _log.info("a worker is over", worker=name, exit_code=int(verdict.code))
            return self._leave(place, verdict.code)

    async def _sit(self, place: Place) -> int:
        """One life of the worker of a seat."""
        try:
            process = await self._launch(place.seat)
        except OSError as error:
            _log.error("a worker cannot be started", worker=place.seat.name, reason=str(error))
            return ExitCode.FAILURE
        place.process, place.pid = process, process.pid
        self._on_change(self._places)
        _log.info("a worker began", worker=place.seat.name, pid=process.pid)
        if self._stop.is_draining:  # it was asked while the worker was launched
            await _say(process, ABORT_WORD if self._stop.is_aborted else DRAIN_WORD)
        try:
            return await process.wait()
        finally:
            place.process, place.pid = None, None

    def _leave(self, place: Place, code: ExitCode) -> ExitCode:
        place.code = code
        self._on_change(self._places)
        return code

    async def _tell_stop(self) -> None:
        await self._stop.wait_draining()
        if not self._stop.is_aborted:
            await self._say_all(DRAIN_WORD)
            await self._stop.wait_aborted()
        await self._say_all(ABORT_WORD)
        await self._sleep(self._leave_limit_s)
        for place in self._places:
            if place.process is not None:
                _log.error("a worker does not leave; killing it", worker=place.seat.name)
                with contextlib.suppress(ProcessLookupError):
                    place.process.kill()

    async def _say_all(self, word: bytes) -> None:
        for place in self._places:
            if place.process is not None:
                await _say(place.process, word)


async def _say(process: Process, word: bytes) -> None:
    if process.stdin is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(word)
        await process.stdin.drain()
