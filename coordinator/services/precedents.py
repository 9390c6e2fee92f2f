"""Finds out what the judge must know of experiments that are over: how they ended, and whom to believe."""

from __future__ import annotations

import math

from autoresearch.model import ExperimentId, ExperimentState, HardwareClass, Node, OwnerId

from coordinator.dedup.judge import Level, Question, Ruling, Verdict
from coordinator.dedup.precedents import DONE, Belief, Precedent
from coordinator.domain.baseline import is_baseline_of
from coordinator.domain.trust import is_trusted
from coordinator.services.context import ChallengeContext
from coordinator.storage.base import KeyTried

NOBODY = OwnerId("")
"""An asker with no experiments of its own."""


class Precedents:
    """Answers from this process's indexes; what is not known there is looked up once."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context

    async def belief(self, caller: Node) -> Belief:
        """Whose word counts for the caller in its class, now."""
        memory_mb = self._c.sessions.memory_mb(caller.node_id)
        return await self._belief(caller.hardware_class, caller.owner_id, memory_mb)

    async def is_settled(self, hardware_class: HardwareClass, file_signature: str) -> bool:
        """True if a file was tried and its outcome binds everybody, whatever machine they have."""
        belief = await self._belief(hardware_class, NOBODY, math.inf)
        same = self._c.index.same_file(hardware_class, file_signature)
        found = [one for one in (belief.find(edit.experiment_id) for edit in same) if one is not None]
        return belief.settling(found) is not None

    async def _belief(self, hardware_class: HardwareClass, owner_id: OwnerId, memory_mb: float) -> Belief:
        state = (await self._c.classes.get(hardware_class)).state
        voters = await self._c.activity.voters(hardware_class)
        voting = await self._c.activity.voting()

        def trusts(one: OwnerId) -> bool:
            return one in voting and is_trusted(state, one, voters)

        return Belief(
            owner_id=owner_id,
            find=lambda experiment_id: self._find(experiment_id, memory_mb),
            is_running=lambda one: self._c.catalog.state_of(one) is ExperimentState.RUNNING,
            is_trusted=trusts,
            voting=voting,
        )

    async def verdict_on(self, tried: KeyTried, question: Question, belief: Belief) -> Verdict:
        """What follows from what the store says was tried, which may know more than this process."""
        settling = await self._settling(tried.experiment_id, belief)
        named = settling or tried.experiment_id
        known = self._c.catalog.entry(named)
        return Verdict(
            ruling=Ruling.ASK if settling is None else Ruling.DUPLICATE,
            level=Level(tried.key.kind),
            match=named,
            same_parent=known is not None and known.experiment.parent == question.parent_id,
            is_unsettled=settling is None,
        )

    async def _settling(self, tried_id: ExperimentId, belief: Belief) -> ExperimentId | None:
        """What settles the edit of an experiment that the store says was tried; None if it only warns."""
        if self._c.catalog.entry(tried_id) is None:
            await self._c.find_record(tried_id)
        if belief.find(tried_id) is None:
            return tried_id  # known to the store alone, which has the last word
        edit = self._c.index.get(tried_id)
        same = self._c.index.same_file(edit.hardware_class, edit.file_signature) if edit else ()
        # Code that has not been read yet is like no other.
        ids = {tried_id, *(one.experiment_id for one in same)}
        found = [one for one in map(belief.find, ids) if one is not None]
        settling = belief.settling(found)
        return settling.experiment_id if settling else None

    def _find(self, experiment_id: ExperimentId, memory_mb: float) -> Precedent | None:
        entry = self._c.catalog.entry(experiment_id)
        if entry is None:
            return None
        experiment = entry.experiment
        blocks = entry.blocks_mb is not None and memory_mb <= entry.blocks_mb
        if entry.state not in DONE and not blocks:
            return None
        return Precedent(
            experiment_id=experiment_id,
            owner_id=experiment.owner_id,
            state=entry.state,
            is_baseline=is_baseline_of(experiment.challenge_id, experiment.hardware_class, experiment_id),
        )
