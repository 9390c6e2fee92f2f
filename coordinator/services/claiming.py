"""May this be tried? Tasks, claims and starts: judged before anybody spends tokens or a GPU."""

from __future__ import annotations

from autoresearch.model import (
    ClaimId,
    ClaimVerdict,
    ExperimentId,
    Hypothesis,
    Node,
    StartVerdict,
    Task,
)


class Claiming:
    """Hands out tasks and leases. An error is never a grant."""

    async def next_task(self, caller: Node, *, can_propose: bool, can_train: bool) -> Task:
        """What the caller does next; exclusive tasks come with a lease."""

    async def claim(
        self,
        caller: Node,
        *,
        claim_id: ClaimId,
        hypothesis: Hypothesis,
        parent_id: ExperimentId,
        queued_claim_id: ClaimId | None = None,
    ) -> ClaimVerdict:
        """Judges words and structured changes; idempotent by claim id.

        Raises:
            InvalidArgument: a limit is broken, or a change cannot be read.
            NotFound: the parent is unknown.
            Conflict: the claim id was used for something else.
            LimitExceeded: the caller holds too many live claims.
        """

    async def start(
        self,
        caller: Node,
        *,
        claim_id: ClaimId,
        fencing_token: int,
        experiment_id: ExperimentId,
        source: bytes,
    ) -> StartVerdict:
        """Judges the code, stores it and draws the seeds; idempotent by claim and experiment id.

        Raises:
            InvalidArgument: the source is too large, not UTF-8 or not Python; the claim is kept.
            LeaseLost: the claim expired, was released or belongs to another.
            Conflict: the experiment id was used for something else.
        """

    async def release(
        self, caller: Node, *, claim_id: ClaimId, fencing_token: int, reason: str
    ) -> bool:
        """Gives a claim back; False if it was not held."""
