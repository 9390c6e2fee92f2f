"""One reader of a challenge's event stream and any number of watchers, however slow.

The reader keeps the latest events in a ring; a watcher is no more than a position. One that is older than
the ring goes on from the store, and one that is older than the store's stream gets a snapshot, so nobody's
slowness costs memory here.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog
from autoresearch.errors import InvalidArgument, SwarmError, Unavailable
from autoresearch.model import Event, EventKind, HardwareClass, Position, WorkingBest, utc_now

from coordinator.storage.base import EventStore

RING_EVENTS = 2_048
PAGE_EVENTS = 500
BLOCK_S = 5.0
RETRY_S = 1.0
WATCHERS_PER_JITTER_S = 5_000.0
"""A new best reaches this many nodes per second, so that they do not all ask for it at once."""
JITTER_MAX_S = 3.0

Watch = AsyncGenerator[Event, None]
_STREAM_ID = re.compile(r"(\d{1,20})-(\d{1,20})")
_log = structlog.get_logger("coordinator.watching")


class EventHub:
    """Follows one challenge's stream while ``run`` runs."""

    def __init__(
        self,
        store: EventStore,
        position: Callable[[], Awaitable[Position]],
        bests: Callable[[], Awaitable[Sequence[WorkingBest]]],
        *,
        jitter: Callable[[], float] = random.random,
        ring_events: int = RING_EVENTS,
        page_events: int = PAGE_EVENTS,
    ) -> None:
        """Takes the stream's end from ``position`` and the classes' working bests from ``bests``.

        ``jitter`` is uniform from 0 to 1.
        """
        self._store = store
        self._position = position
        self._bests = bests
        self._jitter = jitter
        self._ring_events = ring_events
        self._page_events = page_events
        self._ring: deque[Event] = deque()
        self._floor: Position | None = None
        self._here: Position | None = None
        self._changed = asyncio.Event()
        self._watchers = 0
        self._wanted = asyncio.Event()
        self._is_closed = False

    async def run(self) -> None:
        """Reads until cancelled, while anybody watches; an unreachable store is asked again."""
        while True:
            if not self._watchers:
                # Nobody's news cost nothing: the next watcher starts from where the stream is then.
                self._here = None
                self._wanted.clear()
                await self._wanted.wait()
            try:
                if self._here is None:
                    self._restart(await self._position())
                page = await self._store.read_events(self._here, limit=self._page_events, block_s=BLOCK_S)
                if page.is_gap:
                    self._restart(await self._position())
                    continue
            except SwarmError as error:
                _log.warning("stream not read", why=error.message, again_in_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
                continue
            if page.events:
                self._append(page.events)

    async def watch_best(self, hardware_class: HardwareClass, after: Position | None) -> Watch:
        """New working bests of one class; what comes while the watcher is busy comes as the last one.

        Whoever names a position gets the present best first if anything has happened since.
        """
        with self._watched():
            last = await self._now()
            if after is not None:
                _order(after)
                page = await self._store.read_events(after, limit=1, block_s=0.0)
                if page.is_gap or page.events:
                    kind = EventKind.SNAPSHOT if page.is_gap else EventKind.BEST_CHANGED
                    for event in await self._present(last, kind, hardware_class):
                        yield event
            while True:
                await self._wait(last)
                await asyncio.sleep(self._spread_s())
                missed, last = self._since(last), await self._now()
                if missed is None:
                    news = await self._present(last, EventKind.SNAPSHOT, hardware_class)
                else:
                    news = [event for event in missed if _is_best_of(event, hardware_class)][-1:]
                for event in news:
                    yield event

    async def feed(self, after: Position | None) -> Watch:
        """Every event after a position, or from now on: each once, in order."""
        with self._watched():
            last = after or await self._now()
            while True:
                _order(last)
                events = self._since(last)
                if events is None:
                    page = await self._store.read_events(last, limit=self._page_events, block_s=0.0)
                    if page.is_gap:
                        last = await self._position()
                        for event in await self._present(last, EventKind.SNAPSHOT, None):
                            yield event
                        continue
                    events = page.events
                for event in events:
                    yield event
                    last = event.position
                if not events:
                    await self._wait(last)

    def close(self) -> None:
        """Ends every watch as unavailable, so that watchers look for the coordinator again."""
        self._is_closed = True
        self._announce()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        self._watchers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._watchers -= 1

    async def _now(self) -> Position:
        while self._here is None:
            await self._next_change()
        return self._here

    async def _wait(self, last: Position) -> None:
        """Returns once the hub is past ``last``, or in another epoch."""
        while self._here is None or (self._here.epoch == last.epoch and _order(self._here) <= _order(last)):
            await self._next_change()

    async def _next_change(self) -> None:
        if not self._is_closed:
            await self._changed.wait()
        if self._is_closed:
            raise Unavailable("the coordinator is stopping; watch again when it is back")

    def _since(self, last: Position) -> Sequence[Event] | None:
        """What the ring has after ``last``; None where only the store can tell."""
        floor, here = self._floor, self._here
        if floor is None or here is None or floor.epoch != last.epoch:
            return None
        if not _order(floor) <= _order(last) <= _order(here):
            return None
        found = []
        for event in reversed(self._ring):
            if _order(event.position) <= _order(last):
                break
            found.append(event)
        return found[::-1]

    async def _present(
        self, position: Position, kind: EventKind, hardware_class: HardwareClass | None
    ) -> list[Event]:
        """The working bests as events: of one class, or of all; a snapshot without any is one event."""
        bests = [best for best in await self._bests() if hardware_class in (None, best.hardware_class)]
        now = utc_now()
        if not bests and kind is EventKind.SNAPSHOT:
            return [Event(position=position, kind=kind, at=now)]
        return [
            Event(
                position=position,
                kind=kind,
                at=now,
                hardware_class=best.hardware_class,
                experiment_id=best.experiment_id,
                best=best,
            )
            for best in bests
        ]

    def _append(self, events: Sequence[Event]) -> None:
        self._ring.extend(events)
        while len(self._ring) > self._ring_events:
            self._floor = self._ring.popleft().position
        self._here = events[-1].position
        self._announce()

    def _restart(self, position: Position) -> None:
        self._ring.clear()
        self._floor = self._here = position
        self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _spread_s(self) -> float:
        return self._jitter() * min(JITTER_MAX_S, self._watchers / WATCHERS_PER_JITTER_S)


def _is_best_of(event: Event, hardware_class: HardwareClass) -> bool:
    return event.kind is EventKind.BEST_CHANGED and event.hardware_class == hardware_class


def _order(position: Position) -> tuple[int, int]:
    """Stream ids are ``milliseconds-counter``; ids of one epoch are ordered by both numbers."""
    match = _STREAM_ID.fullmatch(position.stream_id)
    if match is None:
        raise InvalidArgument(f"{position.stream_id[:60]!r} is no position; send one you were given")
    return int(match[1]), int(match[2])
