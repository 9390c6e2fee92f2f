"""Puts gains that were too small alone into one candidate, which waits in the queue like any idea."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from autoresearch.errors import SwarmError
from autoresearch.model import ExperimentId, HardwareClass, Hypothesis, Idea, IdeaKind

from coordinator.domain.bundles import bundle_parts, forget_parts, is_enough
from coordinator.domain.class_state import ClassState, SmallGain
from coordinator.domain.combining import combination
from coordinator.domain.draft import Decision, proven_best
from coordinator.services.context import ChallengeContext
from coordinator.services.own_ideas import OWN_NODE, OwnIdeas, own_hypothesis
from coordinator.services.sources import hash_of
from coordinator.storage.base import NewSource, StoredClass

FORGET_ROUNDS_LIMIT = 16
_log = structlog.get_logger("coordinator.bundling")


class Bundling:
    """Makes bundles of one challenge.

    Queueing the bundle and forgetting its parts are two transitions. Between them nothing is lost: the id of
    a bundle follows from its base and parts, so that making it again is a repeat.
    """

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context
        self._own = OwnIdeas(context)
        self._looked_at: dict[HardwareClass, tuple[ExperimentId, ...]] = {}

    async def bundle(self, hardware_class: HardwareClass) -> None:
        """Queues a bundle if small gains that do not touch add up to enough; a failure is only logged."""
        try:
            await self._bundle(hardware_class)
        except SwarmError as error:
            _log.warning("bundle not made", hardware_class=hardware_class, why=error.message)

    async def _bundle(self, hardware_class: HardwareClass) -> None:
        state = (await self._c.classes.get(hardware_class)).state
        parts = bundle_parts(state, self._c.rules)
        base = proven_best(state, await self._c.promotion_context(hardware_class))
        if not parts or base is None:
            return
        looked_at = (base.experiment_id, *(part.experiment_id for part in parts))
        if self._looked_at.get(hardware_class) == looked_at:
            return
        self._looked_at[hardware_class] = looked_at
        merged, taken = await self._merge(base.experiment_id, parts, hardware_class)
        if not is_enough(taken, state, self._c.rules):
            return
        source = merged.encode()
        part_ids = tuple(part.experiment_id for part in taken)
        made = combination(base.experiment_id, part_ids, self._c.catalog.step)
        idea = Idea(
            hypothesis_id=made.hypothesis_id,
            hypothesis=_words(taken, self._c.challenge.metric.unit),
            node_id=OWN_NODE,
            proposed_at=self._c.clock(),
            source_hash=hash_of(source),
            parents=made.parents,
            kind=IdeaKind.COMBINE,
            material_ids=part_ids,
        )
        code = NewSource(source_hash=hash_of(source), text=source, parent_hash=base.candidate.source_hash)
        if not await self._own.enqueue(idea, code):
            self._looked_at.pop(hardware_class)
            return
        await self._forget(hardware_class, part_ids)

    async def _merge(
        self, base_id: ExperimentId, parts: Sequence[SmallGain], hardware_class: HardwareClass
    ) -> tuple[str, tuple[SmallGain, ...]]:
        into = await self._c.source_of(base_id, hardware_class)
        texts = []
        for part in parts:
            before = await self._c.source_of(part.parent_id, hardware_class)
            after = await self._c.source_of(part.experiment_id, hardware_class)
            texts.append((before.text, after.text))
        merged, places = await self._c.reader.merge(tuple(texts), into.text)
        return merged, tuple(parts[place] for place in places)

    async def _forget(self, hardware_class: HardwareClass, parts: Sequence[ExperimentId]) -> None:
        """The parts are in a bundle now: the class remembers them no longer."""
        for _ in range(FORGET_ROUNDS_LIMIT):
            async with self._c.classes.lock(hardware_class):
                view = await self._c.classes.get(hardware_class)
                state = forget_parts(view.state, parts)
                if state is view.state:
                    return
                update = self._c.class_update(_unmarked(state))
                current = await self._c.store.update_class(hardware_class, view.version, update)
                if current is None:
                    version = view.version + 1
                    self._c.classes.put(
                        StoredClass(hardware_class=hardware_class, version=version, state=update.state)
                    )
                    return
                self._c.classes.put(current)


def _unmarked(state: ClassState) -> Decision:
    return Decision(state=state, marks={}, changes=(), requeued=())


def _words(parts: Sequence[SmallGain], unit: str) -> Hypothesis:
    title = "bundle: " + " + ".join(part.title for part in parts)
    lines = (f"- {part.title}: {part.mean_gain:.6g} {unit} over {part.pairs} pairs" for part in parts)
    return own_hypothesis(title, "Gains too small to confirm alone, together:\n" + "\n".join(lines), ())
