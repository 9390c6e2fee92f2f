"""Hypotheses that wait for a node."""

from __future__ import annotations

from autoresearch.model import ExperimentId, Hypothesis, HypothesisId, Idea, Node


class Ideas:
    """The queue of one challenge."""

    async def propose(
        self,
        caller: Node,
        *,
        hypothesis_id: HypothesisId,
        hypothesis: Hypothesis,
        source: bytes | None = None,
        origin_experiment_id: ExperimentId | None = None,
    ) -> bool:
        """Queues an idea; True if this is a repeat.

        Raises:
            InvalidArgument: a limit is broken.
            Conflict: the id was used for another idea.
            LimitExceeded: the caller's share of the queue is full.
        """

    async def list_ideas(self) -> tuple[Idea, ...]:
        """Waiting ideas, next first."""
