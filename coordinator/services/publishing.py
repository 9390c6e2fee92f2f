"""Takes results in: each exactly once, decided together with what it does to its class's best."""

from __future__ import annotations

from autoresearch.model import ClaimId, Experiment, Node, Published, Result


class Publishing:
    """The only way into the ledger."""

    async def publish(
        self,
        caller: Node,
        *,
        result: Result,
        experiment: Experiment | None = None,
        source: bytes | None = None,
        claim_id: ClaimId | None = None,
        fencing_token: int = 0,
    ) -> Published:
        """Keeps a result and what follows from it; when this returns, it is on disk.

        Idempotent by result id. ``experiment`` and ``source`` are needed where the coordinator may not
        know the experiment (a solo run); the ids of node and owner are taken from the caller.

        Raises:
            InvalidArgument: a limit is broken, or the result contradicts its task.
            NotFound: the experiment is unknown and was not brought.
            Conflict: the result id was used for something else.
            Unavailable: nothing was decided; repeat the call.
        """
