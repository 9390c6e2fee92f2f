"""Takes ideas off the queue that a verdict has settled."""

from __future__ import annotations

import math

from autoresearch.model import ClaimId, NodeId

from coordinator.dedup.code import SourceText
from coordinator.dedup.judge import Verdict
from coordinator.services.context import ChallengeContext
from coordinator.services.leases import Held


class Settling:
    """What has been tried is not handed out again; what only a small machine could not run is."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context

    async def by_words(self, node_id: NodeId, queued_claim_id: ClaimId | None, verdict: Verdict) -> None:
        """An idea that turns out to be tried already leaves the queue, and one with a question that nobody
        is there to answer: whoever took it up next would be asked the same.
        """
        if queued_claim_id is None or self._is_for_larger(verdict):
            return
        queued = await self._c.leases.find(queued_claim_id)
        if queued is None or queued.request.node_id != node_id:
            return
        if queued.note.idea is not None:
            await self._c.store.remove_idea(queued.note.idea)

    async def by_code(self, held: Held, code: SourceText, verdict: Verdict) -> None:
        """An idea whose own code was tried already leaves the queue; words may be coded another way."""
        is_own_code = held.note.code_hash == code.source_hash
        if held.note.idea is not None and is_own_code and not self._is_for_larger(verdict):
            await self._c.store.remove_idea(held.note.idea)

    def _is_for_larger(self, verdict: Verdict) -> bool:
        """True where the machine was too small: one with more memory may still run it."""
        entry = self._c.catalog.entry(verdict.match) if verdict.match else None
        return entry is not None and entry.blocks_mb is not None and math.isfinite(entry.blocks_mb)
