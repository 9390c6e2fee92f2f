"""Hypotheses that wait for a node."""

from __future__ import annotations

from autoresearch.errors import InvalidArgument, LimitExceeded, NotFound, PermissionDenied
from autoresearch.limits import (
    IDEAS_LISTED_LIMIT,
    check_hypothesis,
    check_number,
    check_source,
    check_usage,
    check_uuid,
)
from autoresearch.model import (
    PRIORITY_MAX,
    Experiment,
    ExperimentId,
    Hypothesis,
    HypothesisId,
    Idea,
    IdeaKind,
    Intent,
    Node,
    Usage,
)

from coordinator.dedup.code import SourceText
from coordinator.services.context import ChallengeContext
from coordinator.services.sources import hash_of
from coordinator.storage.base import NewSource

SHARE_RETRY_S = 60.0
OPEN_PRIORITY_MAX = 4
"""Above it are owners with a vote: whoever enrols openly may do so any number of times."""


class Ideas:
    """The queue of one challenge."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context

    async def propose(
        self,
        caller: Node,
        *,
        hypothesis_id: HypothesisId,
        hypothesis: Hypothesis,
        source: bytes | None = None,
        origin_experiment_id: ExperimentId | None = None,
        priority: int = 0,
        parent_id: ExperimentId | None = None,
        usage: Usage | None = None,
    ) -> bool:
        """Queues an idea; True if this is a repeat. ``parent_id`` is what its code is an edit of.

        Raises:
            InvalidArgument: a limit is broken, the source is not Python, or a parent is named without code.
            NotFound: the parent is unknown, or has no score: nobody would be given the idea.
            PermissionDenied: a priority that only owners with a vote may give.
            Conflict: the id was used for another idea.
            LimitExceeded: the caller's share of the queue is full.
        """
        check_uuid(hypothesis_id, "hypothesis_id")
        check_hypothesis(hypothesis)
        if origin_experiment_id is not None:
            check_uuid(origin_experiment_id, "origin_experiment_id")
        check_number(priority, "priority", low=0, high=PRIORITY_MAX)
        if priority > OPEN_PRIORITY_MAX and not caller.has_vote:
            raise PermissionDenied(
                f"priority {priority} is for owners with a token; give at most {OPEN_PRIORITY_MAX}"
            )
        if usage is not None:
            check_usage(usage)
        parent = self._parent(parent_id, source) if parent_id is not None else None
        code = await self._code(source, parent) if source is not None else None
        # Only of what is known here can the edit be shown to whoever moves it.
        is_moved = (
            code is None
            and hypothesis.intent is Intent.REBASE
            and origin_experiment_id is not None
            and self._c.catalog.entry(origin_experiment_id) is not None
        )
        idea = Idea(
            hypothesis_id=hypothesis_id,
            hypothesis=hypothesis,
            node_id=caller.node_id,
            proposed_at=self._c.clock(),
            origin_experiment_id=origin_experiment_id,
            source_hash=code.source_hash if code else None,
            parents=(parent.experiment_id,) if parent else (),
            kind=IdeaKind.REBASE if is_moved else IdeaKind.FREE,
            material_ids=(origin_experiment_id,) if is_moved and origin_experiment_id else (),
            priority=priority,
            owner_id=caller.owner_id,
            usage=usage,
        )
        share = self._c.settings.ideas_per_node
        is_new = await self._c.store.enqueue(idea, code, max_per_node=share)
        if is_new is None:
            raise LimitExceeded(
                f"{share} ideas of this node wait already; propose again when some were tried",
                retry_after_s=SHARE_RETRY_S,
            )
        return not is_new

    async def list_ideas(self) -> tuple[Idea, ...]:
        """Waiting ideas, next first."""
        return await self._c.store.list_ideas(limit=IDEAS_LISTED_LIMIT)

    async def withdraw(self, caller: Node, hypothesis_id: HypothesisId) -> bool:
        """Takes back an idea of the caller's owner; False if it does not wait any more.

        Raises:
            PermissionDenied: it is another owner's.
        """
        check_uuid(hypothesis_id, "hypothesis_id")
        return await self._c.store.withdraw_idea(
            hypothesis_id, node_id=caller.node_id, owner_id=caller.owner_id
        )

    def _parent(self, parent_id: ExperimentId, source: bytes | None) -> Experiment:
        """The experiment, whose class the idea is for. Words alone are tried on what nodes build on."""
        check_uuid(parent_id, "parent_id")
        if source is None:
            raise InvalidArgument("an idea without code has no parent of its own; leave out parent_id")
        entry = self._c.catalog.entry(parent_id)
        if entry is None or self._c.catalog.score_of(parent_id) is None:
            raise NotFound(f"there is no experiment {parent_id} with a score to build on")
        return entry.experiment

    async def _code(self, source: bytes, parent: Experiment | None) -> NewSource:
        """The code, which must be readable: nobody should lease what cannot be judged."""
        check_source(source)
        source_hash = hash_of(source)
        await self._c.reader.read(SourceText(source_hash=source_hash, text=source.decode()))
        parent_hash = parent.source_hash if parent else self._c.baseline.source_hash
        return NewSource(source_hash=source_hash, text=source, parent_hash=parent_hash)
