"""Finds tried experiments by what their titles mean, or by words in common where no model is at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autoresearch.model import ExperimentId, SearchBasis, SearchFindings, SearchMatch, SearchQuery

from coordinator.dedup.embedder import Near
from coordinator.dedup.embedding_queue import Lane
from coordinator.services.context import ChallengeContext

MEANING_WAIT_S = 2.0
"""A reader waits longer than a claim does."""


class Search:
    """Read only, and answered from memory."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context

    async def search(self, query: SearchQuery) -> SearchFindings:
        """What is nearest to a text, nearest first. The text and the limit are within the contract."""
        accepts = self._filter(query)
        near = await self._c.embeddings.nearest(
            query.text,
            Lane.READER,
            limit=query.limit,
            wait_s=MEANING_WAIT_S,
            hardware_class=query.hardware_class,
            accepts=accepts,
        )
        if near is not None:
            return self._findings(near, SearchBasis.MEANING)
        shared = self._c.index.sharing_words(
            query.text, limit=query.limit, hardware_class=query.hardware_class, accepts=accepts
        )
        return self._findings(shared, SearchBasis.WORDS)

    def _filter(self, query: SearchQuery) -> Callable[[ExperimentId], bool]:
        """Of experiments that have begun: a baseline is known to the index before its first run."""
        state_of = self._c.catalog.state_of

        def accepts(experiment_id: ExperimentId) -> bool:
            state = state_of(experiment_id)
            return state is not None and query.state in (None, state)

        return accepts

    def _findings(self, near: Sequence[Near], basis: SearchBasis) -> SearchFindings:
        matches = (
            SearchMatch(summary=self._c.catalog.summary(one.experiment_id), similarity=one.similarity)
            for one in near
            if self._c.catalog.state_of(one.experiment_id) is not None
        )
        return SearchFindings(matches=tuple(matches), basis=basis)
