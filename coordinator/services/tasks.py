"""Turns the domain's choice of the next task into a lease."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from autoresearch.errors import LimitExceeded
from autoresearch.model import (
    BaselineTask,
    ClaimId,
    ExperimentId,
    ExploreTask,
    HypothesisId,
    Idea,
    IdeaKind,
    IdleTask,
    Lease,
    Level,
    Node,
    QueuedTask,
    ReplicateTask,
    SourceHash,
    Task,
    WorkingBest,
    new_id,
)

from coordinator.dedup.keys import baseline_key, idea_key, verification_key
from coordinator.domain.baseline import BASELINE_NODE
from coordinator.domain.class_state import ClassState, Slot, Standing, working_best
from coordinator.domain.scheduling import (
    IDLE_RETRY_S,
    Capabilities,
    Choice,
    Explore,
    Idle,
    MeasureBaseline,
    RunQueued,
    Swarm,
    UnderWay,
    Verify,
    choose,
)
from coordinator.domain.verification import Worker
from coordinator.services.context import ChallengeContext
from coordinator.services.credit import Proposer, proposer_of, words_of_idea
from coordinator.services.notes import TaskNote, dump_note, seeds_of
from coordinator.services.waiting import waiting_ideas
from coordinator.storage.base import ClaimKind, ClaimRequest, EditKey, TooManyClaims

CHOICE_ROUNDS_LIMIT = 3
"""Looks at what is under way; more than one only where others take slots at the same moment."""

IDEAS_SEEN_LIMIT = 100


class Tasks:
    """Chooses by the class's state; a slot that somebody else takes first leads to the next choice."""

    def __init__(self, context: ChallengeContext, *, coin: Callable[[], float] = random.random) -> None:
        self._c = context
        self._coin = coin

    async def next_task(self, caller: Node, *, can_propose: bool, can_train: bool) -> Task:
        """What the caller does next."""
        node = Worker(node_id=caller.node_id, owner_id=caller.owner_id, has_vote=caller.has_vote)
        capabilities = Capabilities(can_propose=can_propose, can_train=can_train)
        workers = await self._c.activity.workers(caller.hardware_class, caller)
        ideas = await self._ideas(caller) if can_train else ()
        for attempt in range(CHOICE_ROUNDS_LIMIT):
            view = await self._c.classes.get(caller.hardware_class)
            under_way = (
                await self._c.leases.under_way(caller.hardware_class, refresh=attempt > 0)
                if can_train
                else UnderWay()
            )
            swarm = Swarm(workers=workers, under_way=under_way, ideas=ideas)
            choices = choose(
                view.state,
                self._c.rules,
                node,
                capabilities,
                swarm,
                coin=self._coin(),
                lot=self._coin(),
                spare=self._coin(),
            )
            for choice in choices:
                is_beaten = choice is not choices[0]
                if is_beaten and isinstance(choice, Idle) and attempt + 1 < CHOICE_ROUNDS_LIMIT:
                    break  # others took a slot at the same moment; there may be another one
                task = await self._take(caller, choice, view.state, ideas)
                if task is not None:
                    return task
        return IdleTask(retry_after_s=IDLE_RETRY_S, reason="others took what there was to do; ask again")

    async def _take(
        self, caller: Node, choice: Choice, state: ClassState, ideas: tuple[Idea, ...]
    ) -> Task | None:
        match choice:
            case MeasureBaseline(number=number):
                return await self._baseline(caller, number)
            case Verify(slot=slot):
                return await self._verification(caller, slot, state)
            case RunQueued(hypothesis_id=hypothesis_id):
                return await self._queued(caller, hypothesis_id, state, ideas)
            case Explore():
                working = state.working
                if working is None:
                    return None
                return ExploreTask(parent=working_best(working, state, self._c.rules))
            case Idle(retry_after_s=retry_after_s, reason=reason):
                return IdleTask(retry_after_s=retry_after_s, reason=reason)

    async def _baseline(self, caller: Node, number: int) -> BaselineTask | None:
        baseline = self._c.baseline_of(caller.hardware_class)
        note = TaskNote(baseline=number, code_hash=baseline.source_hash)
        key = baseline_key(baseline.experiment_id, number)
        lease = await self._lease(caller, ClaimKind.BASELINE, key, note)
        if lease is None:
            return None
        seeds = seeds_of(note, baseline.source_hash, baseline.experiment_id)
        return BaselineTask(
            lease=lease,
            experiment_id=baseline.experiment_id,
            seed=seeds.train,
            val_seed=seeds.val,
        )

    async def _verification(self, caller: Node, slot: Slot, state: ClassState) -> ReplicateTask | None:
        code_hash = _code_hash(state, slot)
        note = TaskNote(slot=slot, code_hash=code_hash)
        key = verification_key(slot)
        lease = await self._lease(caller, ClaimKind.VERIFICATION, key, note, experiment_id=slot.candidate_id)
        if lease is None:
            return None
        seeds = seeds_of(note, code_hash, slot.candidate_id)
        return ReplicateTask(
            lease=lease,
            verification_id=lease.claim_id,
            candidate_id=slot.candidate_id,
            control_id=slot.control_id,
            seed=seeds.train,
            val_seed=seeds.val,
        )

    async def _queued(
        self, caller: Node, hypothesis_id: HypothesisId, state: ClassState, ideas: tuple[Idea, ...]
    ) -> QueuedTask | None:
        idea = next((one for one in ideas if one.hypothesis_id == hypothesis_id), None)
        if idea is None or state.working is None:
            return None
        parent = self._parent(idea, state.working, state)
        if parent is None:
            return None
        proposer = self._proposer(idea, caller)
        note = TaskNote(
            idea=hypothesis_id,
            proposer_id=proposer.node_id if proposer else None,
            proposer_owner_id=proposer.owner_id if proposer else None,
            idea_usage=idea.usage,
            words=words_of_idea(idea.hypothesis),
            code_hash=idea.source_hash,
            parents=idea.parents or _parents(idea, parent),
            kind=idea.kind,
            material_ids=idea.material_ids,
        )
        lease = await self._lease(caller, ClaimKind.QUEUED, idea_key(hypothesis_id), note)
        if lease is None:
            return None
        return QueuedTask(
            lease=lease,
            hypothesis_id=hypothesis_id,
            hypothesis=idea.hypothesis,
            parent=parent,
            source_hash=idea.source_hash,
            kind=idea.kind,
            material_ids=idea.material_ids,
        )

    def _proposer(self, idea: Idea, caller: Node) -> Proposer | None:
        """Who gets the credit for an idea that the caller runs; None for its own and for the coordinator's.

        What is moved onto another parent is the idea of whoever had it first. Code that came with its idea is
        its proposer's, whatever it says that it comes from: its own owner is not to vouch for it.
        """
        proposer = Proposer(node_id=idea.node_id, owner_id=idea.owner_id)
        origin = idea.origin_experiment_id
        entry = self._c.catalog.entry(origin) if origin else None
        if entry is not None and idea.kind is IdeaKind.REBASE:
            proposer = proposer_of(entry.experiment)
        return None if proposer.node_id in (caller.node_id, BASELINE_NODE) else proposer

    async def _ideas(self, caller: Node) -> tuple[Idea, ...]:
        """What waits for the caller: nothing about another class, and nothing that it gave back just now."""
        return await waiting_ideas(
            self._c.store,
            lambda idea: (
                self._c.catalog.is_idea_of(idea, caller.hardware_class)
                and not self._c.handed_back.has(caller.node_id, idea.hypothesis_id)
            ),
            limit=IDEAS_SEEN_LIMIT,
        )

    def _parent(self, idea: Idea, working: Standing, state: ClassState) -> WorkingBest | None:
        """What an idea is tried on: the working best or, if it was merged, the base that it was merged onto.

        None if nothing is known of that base here.
        """
        best = working_best(working, state, self._c.rules)
        if not idea.parents or idea.parents[0] == best.experiment_id:
            return best
        standing = state.standings.get(idea.parents[0])
        if standing is not None:
            return working_best(standing, state, self._c.rules)
        entry = self._c.catalog.entry(idea.parents[0])
        score = self._c.catalog.score_of(idea.parents[0])
        if entry is None or score is None or entry.experiment.hardware_class != state.hardware_class:
            return None
        return replace(
            best,
            experiment_id=entry.experiment.experiment_id,
            source_hash=entry.experiment.source_hash,
            level=Level.PROVISIONAL,
            mean=score.mean,
            runs=score.runs,
            confirmed_by=(),
            title=entry.experiment.hypothesis.title,
            node_id=entry.experiment.node_id,
        )

    async def _lease(
        self,
        caller: Node,
        kind: ClaimKind,
        key: EditKey,
        note: TaskNote,
        *,
        experiment_id: ExperimentId | None = None,
    ) -> Lease | None:
        """The slot's lease, or None if somebody else holds it."""
        request = ClaimRequest(
            claim_id=ClaimId(new_id()),
            node_id=caller.node_id,
            owner_id=caller.owner_id,
            hardware_class=caller.hardware_class,
            kind=kind,
            keys=(key,),
            fingerprint=note.nonce,
            parent_id=experiment_id,
            note=dump_note(note),
        )
        outcome = await self._c.store.claim(
            request,
            ttl_s=self._c.settings.lease_ttl_s,
            max_live=self._c.settings.claims_per_node,
            memory_mb=self._c.sessions.memory_mb(caller.node_id),
        )
        if isinstance(outcome, TooManyClaims):
            raise LimitExceeded(
                f"this node holds {outcome.live} claims; finish or release one first",
                retry_after_s=IDLE_RETRY_S,
            )
        if not isinstance(outcome, Lease):
            return None
        self._c.leases.add(request, note, outcome)
        return outcome


def _parents(idea: Idea, parent: WorkingBest) -> tuple[ExperimentId, ...]:
    """What becomes of an idea without a base of its own comes from: where edits are moved, from these too."""
    if idea.kind in (IdeaKind.REBASE, IdeaKind.COMBINE):
        return (parent.experiment_id, *idea.material_ids)
    return ()


def _code_hash(state: ClassState, slot: Slot) -> SourceHash:
    """The candidate's code, by which the seeds are drawn."""
    if slot.is_audit:
        return next(one.source_hash for one in state.decided if one.candidate_id == slot.candidate_id)
    return state.standings[slot.candidate_id].candidate.source_hash
