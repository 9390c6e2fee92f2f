"""Keeps this process's indexes like the store: rebuilt at the start, then by the events of everybody.

    position p is read -> classes and experiments are scanned -> events after p are applied

Whatever changes during the scan is applied again by its event, which is harmless; so nothing is missed
without anything being locked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from autoresearch.errors import InvalidArgument, NotFound, SwarmError
from autoresearch.model import (
    Event,
    EventKind,
    Experiment,
    ExperimentId,
    ExperimentState,
    HardwareClass,
)

from coordinator.dedup.code import SourceText
from coordinator.domain.promotion import review
from coordinator.services.context import ChallengeContext
from coordinator.services.progress import NOTHING
from coordinator.services.reading import WordReader, tried_edit, words_alone
from coordinator.services.rebasing import queue_candidates
from coordinator.storage.base import ClassUpdate, StoredClass

PAGE_EVENTS = 500
BLOCK_S = 5.0
RETRY_S = 1.0
REAP_LIMIT = 200
UNREAD_LIMIT = 200
"""Experiments whose code is read for the index per round of the caretaker."""

_STANDING = frozenset({ExperimentState.CANDIDATE, ExperimentState.BEST})
_log = structlog.get_logger("coordinator.following")


class Follower:
    """Rebuilds and follows one challenge."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context
        self._words = WordReader()
        self._is_built = False
        self._is_stopped = False

    def stop(self) -> None:
        """Lets ``follow`` end even where a cancellation meets an event and is lost (Python 3.11)."""
        self._is_stopped = True

    async def rebuild(self) -> None:
        """Reads everything that the indexes need, but for the code, which ``read_code`` follows up."""
        position = await self._c.store.position()
        for stored in await self._c.store.list_classes():
            self._c.classes.put(stored)
            await self._c.see_class(stored.hardware_class)
        async for record in self._c.store.scan_experiments():
            self._c.catalog.put_record(record)
            self._index_words(record.experiment)
        self._is_built = True
        self._c.progress.move(position)

    async def follow(self) -> None:
        """Applies events until stopped; an unreachable store is asked again."""
        while not self._is_stopped:
            try:
                await self.catch_up(block_s=BLOCK_S)
            except SwarmError as error:
                _log.warning("stream not read", why=error.message, again_in_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
            except Exception:  # noqa: BLE001  (the edge of a task: indexes must not fall behind for good)
                _log.exception("events not applied, indexes are rebuilt")
                self._start_again()
                await asyncio.sleep(RETRY_S)

    async def catch_up(self, *, block_s: float = 0.0) -> None:
        """Applies the next page of events, waiting up to ``block_s`` for one; rebuilds after a gap."""
        if not self._is_built:
            self._c.classes.forget()
            self._c.embeddings.forget()
            await self.rebuild()
        here = self._c.progress.position
        page = await self._c.store.read_events(here, limit=PAGE_EVENTS, block_s=block_s)
        if page.is_gap:
            _log.warning("stream has a gap, indexes are rebuilt")
            self._start_again()
        else:
            await self._apply(page.events)

    async def read_code(self) -> None:
        """Reads the code of some experiments that the index knows by their words alone."""
        for experiment_id in self._c.index.unread()[:UNREAD_LIMIT]:
            entry = self._c.catalog.entry(experiment_id)
            if entry is not None:
                await self._index_code(entry.experiment)

    async def _apply(self, events: tuple[Event, ...]) -> None:
        changed: dict[ExperimentId, None] = {}
        classes: dict[HardwareClass, None] = {}
        for event in events:
            if event.experiment_id is not None and not self._is_known(event):
                changed[event.experiment_id] = None
            if event.kind is EventKind.BEST_CHANGED:
                classes[event.hardware_class] = None
        for hardware_class in classes:
            await self._refresh_class(hardware_class, changed)
        for experiment_id in changed:
            record = await self._c.find_record(experiment_id)
            if record is not None and self._c.index.get(experiment_id) is None:
                await self._index_title(record.experiment)
        if events:
            self._c.progress.move(events[-1].position)

    def _start_again(self) -> None:
        self._is_built = False
        self._c.progress.move(NOTHING)

    async def _refresh_class(self, hardware_class: HardwareClass, changed: dict[ExperimentId, None]) -> None:
        """A class update may have marked any experiment that had a role in it."""
        await self._c.classes.refresh(hardware_class)
        changed.update(dict.fromkeys(self._c.catalog.in_states(hardware_class, _STANDING)))

    def _is_known(self, event: Event) -> bool:
        """True for what this process wrote itself and has counted already."""
        if event.experiment_id is None:
            return True
        entry = self._c.catalog.entry(event.experiment_id)
        if entry is None:
            return False
        if event.kind is EventKind.STARTED:
            return True
        return event.kind is EventKind.PUBLISHED and self._c.catalog.is_own_write(event.position)

    def _index_words(self, experiment: Experiment) -> None:
        if self._c.index.get(experiment.experiment_id) is None:
            stated = words_alone(experiment.hypothesis)
            self._c.index.put(tried_edit(experiment, stated, None))

    async def _index_title(self, experiment: Experiment) -> None:
        """What it says, read against its parent: a claim in other words may come before its code is read."""
        stated = words_alone(experiment.hypothesis)
        if experiment.parent is not None:
            try:
                parent = await self._c.source_of(experiment.parent, experiment.hardware_class)
                stated = await self._words.read(experiment.hypothesis, parent)
            except (NotFound, InvalidArgument) as error:
                _log.info("title not read", experiment=experiment.experiment_id, why=error.message)
        if self._c.index.get(experiment.experiment_id) is None:
            self._c.index.put(tried_edit(experiment, stated, None))

    async def _index_code(self, experiment: Experiment) -> None:
        stated = words_alone(experiment.hypothesis)
        try:
            code = await self._c.sources.get(experiment.source_hash)
            parent: SourceText | None = None
            if experiment.parent is not None:
                parent = await self._c.source_of(experiment.parent, experiment.hardware_class)
                stated = await self._words.read(experiment.hypothesis, parent)
            reading = await self._c.reader.read(code, parent)
        except (NotFound, InvalidArgument) as error:
            _log.info("code not indexed", experiment=experiment.experiment_id, why=error.message)
            self._c.index.skip(experiment.experiment_id)
            return
        self._c.index.put(tried_edit(experiment, stated, reading))


class Caretaker:
    """What has to happen although nobody calls: expired claims end, classes move on."""

    def __init__(self, context: ChallengeContext, follower: Follower) -> None:
        self._c = context
        self._follower = follower

    async def run(self) -> None:
        """One round per interval until cancelled; an unreachable store is asked again."""
        while True:
            await asyncio.sleep(self._c.settings.reap_interval_s)
            for work in (self.reap, self.review_classes, self._follower.read_code):
                await self._try(work)

    async def reap(self) -> None:
        """Ends expired claims; a started experiment without a result becomes LOST."""
        for record in await self._c.store.reap(limit=REAP_LIMIT):
            self._c.leases.end(record.request.claim_id)
            if record.experiment_id is not None:
                await self._c.find_record(record.experiment_id)

    async def review_classes(self) -> None:
        """Lets the next candidate in where time alone has settled the present one."""
        for view in self._c.classes.known():
            hardware_class = view.state.hardware_class
            context = await self._c.promotion_context(hardware_class)
            async with self._c.classes.lock(hardware_class):
                view = await self._c.classes.get(hardware_class)  # noqa: PLW2901  (as it is now)
                decision = review(view.state, context)
                if decision.state is view.state and not decision.marks:
                    continue
                update = self._c.class_update(decision)
                current = await self._c.store.update_class(hardware_class, view.version, update)
                if current is None:
                    current = StoredClass(
                        hardware_class=hardware_class, version=view.version + 1, state=update.state
                    )
                    self._mark(update)
                    await queue_candidates(self._c, decision.requeued)
                self._c.classes.put(current)

    def _mark(self, update: ClassUpdate) -> None:
        for experiment_id, (state, reason) in update.marks.items():
            self._c.catalog.mark(experiment_id, state, reason)

    @staticmethod
    async def _try(work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except SwarmError as error:
            _log.warning("round not finished", why=error.message)
        except Exception:  # noqa: BLE001  (the edge of a task: one bad round must not end the others)
            _log.exception("round failed")
