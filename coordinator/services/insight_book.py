"""The vectors of one challenge's insights by one model: read, completed, and kept for the others.

Imported only where there is a model, because it needs numpy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
from autoresearch.model import HardwareClass, InsightId
from numpy.typing import NDArray

from coordinator.dedup.embedder import EmbeddingModel
from coordinator.dedup.embedding_queue import BACKGROUND_BATCH_TEXTS, EmbeddingQueue, Lane
from coordinator.dedup.insights import InsightIndex
from coordinator.dedup.vectors import VectorIndex, pack_vector, unpack_vectors
from coordinator.storage.base import InsightStore, NumberedInsight

READ_AT_ONCE = 500
"""Stored vectors that are read in one round trip."""

STALE_FACTOR = 2
"""Once this many times more vectors are known than insights, those of dropped insights are let go of."""


class InsightBook:
    """Follows the index of insights and the store's vectors; ``search`` may be called from any thread."""

    def __init__(
        self, model: EmbeddingModel, queue: EmbeddingQueue, index: InsightIndex, store: InsightStore
    ) -> None:
        self.model = model
        self._queue = queue
        self._index = index
        self._store = store
        self._vectors = VectorIndex[InsightId](model.dimension)
        self._seen = 0
        self._missing: list[NumberedInsight] = []
        self._is_over = False

    def __len__(self) -> int:
        return len(self._vectors)

    def search(
        self,
        vector: NDArray[np.float32],
        *,
        limit: int,
        hardware_class: HardwareClass | None = None,
        accepts: Callable[[InsightId], bool] | None = None,
    ) -> tuple[InsightId, ...]:
        """See ``VectorIndex.search``."""
        ranked = self._vectors.search(vector, limit=limit, hardware_class=hardware_class, accepts=accepts)
        return tuple(one.key for one in ranked)

    async def read_stored(self) -> None:
        """Takes over the vectors of what is new in the index."""
        self._let_go_of_dropped()
        news = self._index.after(self._seen)
        for start in range(0, len(news), READ_AT_ONCE):
            page = news[start : start + READ_AT_ONCE]
            ids = [one.insight.insight_id for one in page]
            stored = await self._store.get_insight_vectors(ids, self.model.model_id)
            self._take_over(page, [stored.get(insight_id, b"") for insight_id in ids])
            self._seen = page[-1].number

    async def embed_missing(self) -> None:
        """Embeds every insight without a vector, the latest first."""
        while self._missing and not self._is_over:
            batch = self._missing[-BACKGROUND_BATCH_TEXTS:]
            await self._embed(batch)
            del self._missing[-len(batch) :]

    def give_up(self) -> None:
        """Ends ``embed_missing`` after its present batch: another book takes the place of this one."""
        self._is_over = True

    def _take_over(self, page: Sequence[NumberedInsight], packed: Sequence[bytes]) -> None:
        vectors = unpack_vectors(packed, self.model.dimension)
        for one, vector in zip(page, vectors, strict=True):
            if vector.any():
                self._vectors.put(one.insight.insight_id, one.insight.hardware_class, vector)
            else:
                self._missing.append(one)

    async def _embed(self, batch: Sequence[NumberedInsight]) -> None:
        insights = [one.insight for one in batch]
        vectors = await asyncio.gather(*(self._queue.embed(one.text, Lane.BACKGROUND) for one in insights))
        for insight, vector in zip(insights, vectors, strict=True):
            self._vectors.put(insight.insight_id, insight.hardware_class, vector)
            await self._store.put_insight_vector(insight.insight_id, self.model.model_id, pack_vector(vector))

    def _let_go_of_dropped(self) -> None:
        if len(self._vectors) > STALE_FACTOR * max(len(self._index), READ_AT_ONCE):
            self._vectors = VectorIndex[InsightId](self.model.dimension)
            self._missing.clear()
            self._seen = 0
