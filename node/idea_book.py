"""Which ideas of a proposer wait, and what each was made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from autoresearch.limits import IDEAS_LISTED_LIMIT
from autoresearch.model import Hypothesis, HypothesisId, Idea, NodeId, SourceHash

from node.agent.base import AgentContext, Refusal
from node.library import source_hash

REFUSALS_SHOWN = 32
"""Waiting ideas that an agent is told of, so that it does not have them too: the next ones first."""

WAITS = "waits in the queue already"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewIdea:
    """An idea with code. ``context`` is what the agent knew when it had it."""

    hypothesis_id: HypothesisId
    hypothesis: Hypothesis
    source: bytes
    context: AgentContext

    @property
    def source_hash(self) -> SourceHash:
        """The identity of its code."""
        return source_hash(self.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An idea that this process has handed in. ``looks`` are those in which no experiment was found of it."""

    idea: NewIdea
    looks: int = 0


class IdeaBook:
    """The queue as it was last seen, and what this process has put there. Ideas of an earlier life of the
    node count as waiting; what becomes of them is nobody's lesson.
    """

    def __init__(self, node_id: NodeId) -> None:
        self._node_id = node_id
        self._kept: dict[HypothesisId, Kept] = {}
        self._queue: tuple[Idea, ...] = ()

    def keep(self, idea: NewIdea) -> None:
        """It is in the queue now."""
        self._kept[idea.hypothesis_id] = Kept(idea=idea)

    def drop(self, hypothesis_id: HypothesisId) -> None:
        """Nothing more is expected of it."""
        self._kept.pop(hypothesis_id, None)
        self._queue = tuple(one for one in self._queue if one.hypothesis_id != hypothesis_id)

    def see(self, queue: Sequence[Idea]) -> None:
        """The queue as it is now, or its beginning."""
        self._queue = tuple(queue)

    def left(self) -> tuple[Kept, ...]:
        """Ideas that wait no more. Of a long queue only the beginning is seen: then all may still wait."""
        if len(self._queue) >= IDEAS_LISTED_LIMIT:
            return ()
        waiting = {one.hypothesis_id for one in self._queue}
        return tuple(kept for key, kept in self._kept.items() if key not in waiting)

    def miss(self, kept: Kept) -> int:
        """Counts a look in which no experiment was found of an idea that has left; the looks so far."""
        looks = kept.looks + 1
        self._kept[kept.idea.hypothesis_id] = replace(kept, looks=looks)
        return looks

    @property
    def waiting(self) -> tuple[str, ...]:
        """Titles of this node's ideas of which nothing has come yet."""
        own = [one for one in self._queue if one.node_id == self._node_id]
        seen = {one.hypothesis_id: one.hypothesis.title for one in own}
        kept = {key: one.idea.hypothesis.title for key, one in self._kept.items()}
        return tuple({**seen, **kept}.values())

    def kept(self) -> tuple[NewIdea, ...]:
        """What this process has handed in and has not heard of."""
        return tuple(one.idea for one in self._kept.values())

    def codes(self) -> Iterator[tuple[SourceHash, str]]:
        """Code that waits, with what to say of it."""
        for idea in self._queue:
            if idea.source_hash is not None:
                yield idea.source_hash, WAITS

    def refusals(self) -> tuple[Refusal, ...]:
        """What an agent is told of the queue."""
        return tuple(Refusal(hypothesis=one.hypothesis, answer=WAITS) for one in self._queue[:REFUSALS_SHOWN])
