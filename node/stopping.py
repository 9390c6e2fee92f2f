"""How a node is asked to stop: once to finish what it does, twice to drop it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Aborted(Exception):
    """The node was told to stop at once; whoever holds work gives it back."""


class Stop:
    """Two events in one: ``drain`` finishes the run in hand, ``abort`` ends it."""

    def __init__(self) -> None:
        self._drain = asyncio.Event()
        self._abort = asyncio.Event()
        self.reason = ""

    @property
    def is_draining(self) -> bool:
        """True once a stop was asked, in either way."""
        return self._drain.is_set()

    @property
    def is_aborted(self) -> bool:
        """True once the run in hand is to be dropped."""
        return self._abort.is_set()

    def drain(self, reason: str) -> None:
        """Finish the run in hand, publish it, leave."""
        self.reason = self.reason or reason
        self._drain.set()

    def abort(self, reason: str) -> None:
        """End the run in hand, give claims back, leave."""
        self.reason = reason
        self._drain.set()
        self._abort.set()

    def interrupt(self) -> None:
        """What Ctrl-C does: the first time ``drain``, the second time ``abort``."""
        if self.is_draining:
            self.abort("interrupted twice")
        else:
            self.drain("interrupted")

    async def or_aborted(self, work: Awaitable[T]) -> T:
        """The result of ``work``, which is cancelled when the node aborts. Raises Aborted."""
        return await race(work, self._abort, Aborted("the node was told to stop"))

    async def or_stopped(self, work: Awaitable[T]) -> T:
        """Like ``or_aborted``, for work that draining drops too. Raises Aborted."""
        return await race(work, self._drain, Aborted("the node was told to stop"))

    def before_more_work(self) -> None:
        """Raises Aborted once a stop was asked: what has not begun is given back."""
        if self.is_draining:
            raise Aborted("the node was told to stop")

    async def wait_draining(self) -> None:
        """Returns once a stop was asked."""
        await self._drain.wait()

    async def wait_aborted(self) -> None:
        """Returns once the run in hand is to be dropped."""
        await self._abort.wait()


async def race(work: Awaitable[T], event: asyncio.Event, error: Exception) -> T:
    """The result of ``work`` unless ``event`` comes first: then it is cancelled and ``error`` raised."""
    task = asyncio.ensure_future(work)
    alarm = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if task.done() and not (event.is_set() and task.cancelled()):
            return task.result()
        raise error
    finally:
        alarm.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
