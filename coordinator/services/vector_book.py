"""The vectors of one challenge by one model: read from the store, completed, and kept for the others.

Imported only where there is a model, because it needs numpy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import structlog
from autoresearch.errors import NotFound
from autoresearch.model import ExperimentId, HardwareClass
from numpy.typing import NDArray

from coordinator.dedup.embedder import EmbeddingModel, Near
from coordinator.dedup.embedding_queue import BACKGROUND_BATCH_TEXTS, EmbeddingQueue, Lane
from coordinator.dedup.index import EditIndex, TriedEdit
from coordinator.dedup.vectors import VectorIndex, pack_vector, unpack_vectors
from coordinator.storage.base import ReadStore

READ_AT_ONCE = 500
"""Stored vectors that are read between two looks at the other tasks."""

_log = structlog.get_logger("coordinator.embedding")


class VectorBook:
    """Follows the index of edits and the store's vectors; ``search`` may be called from any thread."""

    def __init__(
        self, model: EmbeddingModel, queue: EmbeddingQueue, index: EditIndex, store: ReadStore
    ) -> None:
        self.model = model
        self._queue = queue
        self._index = index
        self._store = store
        self._vectors = VectorIndex[ExperimentId](model.dimension)
        self._stored_seen = 0
        self._edits_seen = 0
        self._missing: list[TriedEdit] = []
        self._is_alone = False
        self._is_over = False

    def __len__(self) -> int:
        return len(self._vectors)

    def search(
        self,
        vector: NDArray[np.float32],
        *,
        limit: int,
        hardware_class: HardwareClass | None = None,
        accepts: Callable[[ExperimentId], bool] | None = None,
    ) -> tuple[Near, ...]:
        """See ``VectorIndex.search``."""
        ranked = self._vectors.search(vector, limit=limit, hardware_class=hardware_class, accepts=accepts)
        return tuple(Near(one.key, one.similarity) for one in ranked)

    async def read_stored(self) -> None:
        """Takes over what has been stored since the last time."""
        page: list[tuple[ExperimentId, bytes]] = []
        async for entry in self._store.get_vectors(self.model.model_id, after=self._stored_seen):
            page.append(entry)
            if len(page) == READ_AT_ONCE:
                self._take_over(page)
                page = []
                await asyncio.sleep(0)
        self._take_over(page)

    async def embed_missing(self) -> None:
        """Embeds every title without a vector, the latest first; then lets go of other models' vectors."""
        self._see_new()
        while self._missing and not self._is_over:
            batch = self._missing[-BACKGROUND_BATCH_TEXTS:]
            await self._embed(batch)
            del self._missing[-len(batch) :]
            self._see_new()
        if not self._is_alone and not self._is_over:
            await self._drop_others()
            self._is_alone = True

    def give_up(self) -> None:
        """Ends ``embed_missing`` after its present batch: another book takes the place of this one."""
        self._is_over = True

    def _take_over(self, page: Sequence[tuple[ExperimentId, bytes]]) -> None:
        self._stored_seen += len(page)
        vectors = unpack_vectors([packed for _, packed in page], self.model.dimension)
        is_vector: list[bool] = np.any(vectors, axis=1).tolist()
        new: dict[ExperimentId, tuple[int, HardwareClass]] = {}
        for row, (experiment_id, _) in enumerate(page):
            edit = self._index.get(experiment_id)
            # One of an experiment that the index does not know yet is made again when it does.
            if edit is not None and experiment_id not in self._vectors and is_vector[row]:
                new.setdefault(experiment_id, (row, edit.hardware_class))
        rows, classes = [row for row, _ in new.values()], [one for _, one in new.values()]
        self._vectors.put_new(list(new), classes, vectors[rows])

    def _see_new(self) -> None:
        added = self._index.added_after(self._edits_seen)
        self._edits_seen += len(added)
        self._missing.extend(edit for edit in added if edit.experiment_id not in self._vectors)

    async def _embed(self, edits: Sequence[TriedEdit]) -> None:
        vectors = await asyncio.gather(*(self._queue.embed(edit.title, Lane.BACKGROUND) for edit in edits))
        for edit, vector in zip(edits, vectors, strict=True):
            self._vectors.put(edit.experiment_id, edit.hardware_class, vector)
            try:
                await self._store.put_vector(edit.experiment_id, self.model.model_id, pack_vector(vector))
            except NotFound:
                # A baseline before its first run, or a result on its way in: made again at the next start.
                continue

    async def _drop_others(self) -> None:
        for model_id in await self._store.get_vector_models():
            if model_id != self.model.model_id:
                await self._store.drop_vectors(model_id)
                _log.info("vectors of another model are dropped", model=model_id, now=self.model.model_id)
