"""Keeps this process's indexes like the store: rebuilt at the start, then by the events of everybody.

    position p is read -> classes and experiments are scanned -> events after p are applied

A gap in the stream, which a restart of the store is too, begins that anew: the store may have lost what is in
memory. Meanwhile the former indexes serve readers, but nothing that rests on them is decided: the store turns
back what was decided by another history, and a refusal waits.

Whatever changes during the scan is applied again by its event, which is harmless; so nothing is missed
without anything being locked. What was read of an experiment is kept with it, by whoever started it, so that
neither a start nor a replica parses anything. What is not there, or was made by other rules, is read in the
background and put there.
"""

from __future__ import annotations

import asyncio
import gc
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

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

from coordinator.dedup.code import CodeReading, SourceText
from coordinator.dedup.index import EditIndex
from coordinator.dedup.kept import take_over
from coordinator.domain.promotion import review
from coordinator.services.combining import Combining
from coordinator.services.context import ChallengeContext
from coordinator.services.progress import NOTHING
from coordinator.services.reading import (
    StatedChanges,
    WordReader,
    code_keys,
    kept_reading,
    tried_edit,
    words_alone,
)
from coordinator.services.rebasing import queue_candidates
from coordinator.storage.base import Blocks, ClassUpdate, ExperimentRecord, StoredClass

PAGE_EVENTS = 500
BLOCK_S = 1.0
"""A reader whose store was restarted hears of that after so long: less than claims wait for the indexes."""

RETRY_S = 1.0
REAP_LIMIT = 200
READ_AT_ONCE = 20
"""Experiments whose code is read between two rests, each as long as the reading took: a core is halved with
those who start experiments. An edit of 26 kB takes some 40 ms."""

UNREAD_SHUFFLED = 200
"""Of the latest unread experiments that many are read in any order, so that replicas seldom read the same."""

SCANNED_AT_ONCE = 50
"""Experiments that are indexed between two looks at the other tasks: some 4 ms."""

FROZEN_MIN = 10_000
"""Experiments from which on the indexes are kept from the garbage collector."""

_STANDING = frozenset({ExperimentState.CANDIDATE, ExperimentState.BEST})
_log = structlog.get_logger("coordinator.following")


class Follower:
    """Rebuilds and follows one challenge."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context
        self._words = WordReader()
        self._is_built = False
        self._is_stopped = False
        self._has_replaced = False

    def stop(self) -> None:
        """Lets ``follow`` end even where a cancellation meets an event and is lost (Python 3.11)."""
        self._is_stopped = True

    async def rebuild(self) -> None:
        """Reads everything into new indexes, which take the place of those before once they are whole.

        Code whose reading is not kept is followed up by ``read_code``.
        """
        position = await self._c.store.position()
        self._c.forget_views()
        fresh = self._c.new_indexes()
        for stored in await self._c.store.list_classes():
            self._c.classes.put(stored)
            fresh.edits.put(await self._c.baseline_edit(stored.hardware_class))
        count = 0
        with _collector_at_rest(lambda: count):
            async for record in self._c.store.scan_experiments():
                fresh.catalog.put_record(record)
                self._index(record, fresh.edits)
                count += 1
                if count % SCANNED_AT_ONCE == 0:
                    await asyncio.sleep(0)
        await self._keep_baselines(fresh.edits)
        self._has_replaced = len(self._c.index) > 0
        self._c.adopt(fresh)
        self._is_built = True
        self._c.progress.move(position)
        _log.info("experiments are indexed", known=count, unread=len(self._c.index.unread()))

    async def _keep_baselines(self, edits: EditIndex) -> None:
        """Nodes of classes that the store knows nothing of have connected, and may do so meanwhile."""
        while missing := [
            hardware_class
            for hardware_class in self._c.index.classes()
            if edits.get(self._c.baseline_of(hardware_class).experiment_id) is None
        ]:
            edits.put(await self._c.baseline_edit(missing[0]))

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
            await self.rebuild()
        here = self._c.progress.position
        page = await self._c.store.read_events(here, limit=PAGE_EVENTS, block_s=block_s)
        if page.is_gap:
            _log.warning("stream has a gap, indexes are rebuilt")
            self._start_again()
        else:
            await self._apply(page.events)

    async def read_code(self) -> None:
        """Reads the code of experiments that the index knows by their words alone, the latest first.

        What another replica has read meanwhile is taken over instead.
        """
        while unread := list((edits := self._c.index).unread()[:UNREAD_SHUFFLED]):
            random.shuffle(unread)
            for begin in range(0, len(unread), READ_AT_ONCE):
                begun = time.monotonic()
                for experiment_id in unread[begin : begin + READ_AT_ONCE]:
                    await self._read(experiment_id, edits)
                await asyncio.sleep(time.monotonic() - begun)
            _log.info("code is read for the index", unread=len(self._c.index.unread()))

    def collect_replaced(self) -> None:
        """Collects, once, what is left of indexes that were replaced and were kept from the collector.

        Most of them goes as nobody holds them any more. For what holds itself the collector has to look
        through the new ones too: about a second for 100,000 experiments, with every caller waiting. So
        this is apart from the rebuild, for which many wait.
        """
        if self._has_replaced and gc.get_freeze_count():
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        self._has_replaced = False

    async def read_on(self) -> None:
        """Tidies up and reads what is unread from time to time until cancelled.

        An unreachable store is asked again.
        """
        while not self._is_stopped:
            await asyncio.sleep(self._c.settings.reap_interval_s)
            self.collect_replaced()
            try:
                await self.read_code()
            except SwarmError as error:
                _log.warning("code not read for the index", why=error.message)
            except Exception:  # noqa: BLE001  (the edge of a task: one bad round must not end the others)
                _log.exception("code not read for the index")

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
                await self._index_now(record)
        if events:
            self._c.progress.move(events[-1].position)

    def _start_again(self) -> None:
        """Until the indexes are rebuilt, nothing may rest on them: the store may have lost what they know."""
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
            # The catalog may know of it by a reader's question, which the index of edits never heard.
            return self._c.index.get(event.experiment_id) is not None
        return event.kind is EventKind.PUBLISHED and self._c.catalog.is_own_write(event.position)

    @staticmethod
    def _index(record: ExperimentRecord, edits: EditIndex) -> None:
        """By what was kept of its code, or else by its words alone until its code is read."""
        experiment = record.experiment
        if edits.get(experiment.experiment_id) is None:
            tried = take_over(experiment, record.reading)
            edits.put(tried or tried_edit(experiment, words_alone(experiment.hypothesis), None))

    async def _index_now(self, record: ExperimentRecord) -> None:
        """With what it says, read against its parent: who says the same may ask before its code is read."""
        experiment = record.experiment
        tried = take_over(experiment, record.reading)
        if tried is None:
            tried = tried_edit(experiment, await self._stated(experiment), None)
        if self._c.index.get(experiment.experiment_id) is None:
            self._c.index.put(tried)

    async def _read(self, experiment_id: ExperimentId, edits: EditIndex) -> None:
        record = await self._c.find_record(experiment_id)
        tried = take_over(record.experiment, record.reading) if record is not None else None
        if tried is not None:
            edits.put(tried)
        elif record is not None:
            await self._read_code(record.experiment, edits)
        else:
            edits.skip(experiment_id)  # on its way in, by a caller who has read all that can be read

    async def _stated(self, experiment: Experiment) -> StatedChanges:
        """What it says, against its parent where that can be read."""
        parent = await self._parent(experiment)
        if parent is not None:
            try:
                return await self._words.read(experiment.hypothesis, parent)
            except InvalidArgument as error:
                _log.info("words not read", experiment=experiment.experiment_id, why=error.message)
        return words_alone(experiment.hypothesis)

    async def _read_code(self, experiment: Experiment, edits: EditIndex) -> None:
        try:
            stated = await self._stated(experiment)
            code = await self._c.sources.get(experiment.source_hash)
            parent = await self._parent(experiment)
            reading = await self._c.reader.read(code, parent)
        except (NotFound, InvalidArgument) as error:
            _log.info("code not indexed", experiment=experiment.experiment_id, why=error.message)
            edits.skip(experiment.experiment_id)
            return
        tried = tried_edit(experiment, stated, reading)
        kept, blocks = kept_reading(experiment, tried, reading), self._blocks(experiment, reading)
        if kept is not None or blocks is not None:
            # Before the index knows it: what could not be written is still unread, and is read again.
            await self._c.store.put_reading(experiment.experiment_id, kept, blocks=blocks)
        edits.put(tried)

    def _blocks(self, experiment: Experiment, reading: CodeReading) -> Blocks | None:
        """What its outcome blocks, by the present rules: the keys that came with its result may be of others,
        which match nothing any more. None where it blocks nobody.
        """
        entry = self._c.catalog.entry(experiment.experiment_id)
        if entry is None or entry.blocks_mb is None:
            return None
        limit_mb = entry.blocks_mb if math.isfinite(entry.blocks_mb) else None
        return Blocks(keys=code_keys(reading), memory_mb=limit_mb)

    async def _parent(self, experiment: Experiment) -> SourceText | None:
        """The parent's code; None where the store has none: what was made alone may start from anything."""
        if experiment.parent is None:
            return None
        try:
            return await self._c.source_of(experiment.parent, experiment.hardware_class)
        except NotFound:
            return None


class Caretaker:
    """What has to happen although nobody calls: expired claims end, classes move on, gains are combined."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context
        self.combining = Combining(context)

    async def run(self) -> None:
        """One round per interval until cancelled; an unreachable store is asked again."""
        while True:
            await asyncio.sleep(self._c.settings.reap_interval_s)
            works = (self.reap, self.review_classes, self.combining.look)
            for work in works if self._c.progress.is_known else works[:1]:
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


@contextmanager
def _collector_at_rest(count: Callable[[], int]) -> Iterator[None]:
    """Keeps the garbage collector away from indexes while they grow, and then for good where they are large.

    They hold no garbage, and it would look through all of them again and again, with every caller waiting:
    half a second each time for 100,000 experiments.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        if count() >= FROZEN_MIN:
            gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
