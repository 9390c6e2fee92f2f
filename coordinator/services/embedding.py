"""Finds the tried experiments and the insights that are near a text in meaning, where there is a model.

What has no vector yet is embedded in the background, and its vector goes to the store with the id of the
model, for other replicas and for the next start. Of experiments the title is embedded alone:
rationales are not compared, and a text of their length costs the model many times what a title does.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import structlog
from autoresearch.errors import LimitExceeded, SwarmError, Unavailable
from autoresearch.model import ExperimentId, HardwareClass, InsightId

from coordinator.dedup.embedder import EmbeddingModel, Near
from coordinator.dedup.embedding_queue import EmbeddingQueue, Lane
from coordinator.dedup.index import EditIndex
from coordinator.dedup.insights import InsightIndex
from coordinator.storage.base import InsightStore, ReadStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUND_S = 1.0
RETRY_S = 5.0

_log = structlog.get_logger("coordinator.embedding")

Id = TypeVar("Id", bound=str)
IdT_co = TypeVar("IdT_co", bound=str, covariant=True)
Found = TypeVar("Found")
FoundT_co = TypeVar("FoundT_co", covariant=True)


class Book(Protocol[IdT_co, FoundT_co]):
    """The vectors of one model; ``search`` may be called from any thread."""

    model: EmbeddingModel

    def __len__(self) -> int:
        """How many vectors are known."""

    def search(
        self,
        vector: NDArray[np.float32],
        *,
        limit: int,
        hardware_class: HardwareClass | None = None,
        accepts: Callable[[IdT_co], bool] | None = None,
    ) -> tuple[FoundT_co, ...]:
        """The nearest first."""

    async def read_stored(self) -> None:
        """Takes over what has been stored since the last time."""

    async def embed_missing(self) -> None:
        """Embeds what has no vector."""

    def give_up(self) -> None:
        """Ends ``embed_missing`` after its present batch: another book takes the place of this one."""


OpenBook = Callable[[EmbeddingModel, EmbeddingQueue], Book[Id, Found]]


class Embeddings(Generic[Id, Found]):
    """One challenge's, of one kind of text. Without a model it knows nothing, and says so at once."""

    def __init__(self, queue: EmbeddingQueue | None, open_book: OpenBook[Id, Found]) -> None:
        """``open_book`` is called in another thread: it may import what takes a while."""
        self._queue = queue
        self._open_book = open_book
        self._book: Book[Id, Found] | None = None
        self._times_forgotten = 0
        self._catching_up = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._book) if self._book is not None else 0

    async def nearest(
        self,
        text: str,
        lane: Lane,
        *,
        limit: int,
        wait_s: float,
        hardware_class: HardwareClass | None = None,
        accepts: Callable[[Id], bool] | None = None,
    ) -> tuple[Found, ...] | None:
        """The nearest first; None where there is no model, or no vector of the text within ``wait_s``.

        ``accepts`` is called from another thread.
        """
        book = self._book
        if self._queue is None or book is None or self._queue.model != book.model:
            return None
        try:
            vector = await asyncio.wait_for(self._queue.embed(text, lane), wait_s)
        except (TimeoutError, Unavailable, LimitExceeded):
            return None
        return await asyncio.to_thread(
            book.search, vector, limit=limit, hardware_class=hardware_class, accepts=accepts
        )

    async def run(self) -> None:
        """Follows what is tried until cancelled; an unreachable store is asked again."""
        if self._queue is None:
            return
        while True:
            wait_s = RETRY_S
            try:
                await self._queue.loaded()
                await self.catch_up()
                wait_s = ROUND_S
            except SwarmError as error:
                _log.warning("vectors not kept", why=error.message, again_in_s=wait_s)
            except Exception:  # noqa: BLE001  (the edge of a task: one bad round must not end the others)
                _log.exception("vectors not kept, they are read anew")
                self.forget()
            await asyncio.sleep(wait_s)

    async def catch_up(self) -> None:
        """Reads what others have embedded, then embeds what nobody has. Nothing without a model."""
        async with self._catching_up:
            if self._queue is None or self._queue.model is None:
                return
            while (book := self._book) is None or book.model != self._queue.model:
                times_forgotten = self._times_forgotten
                opened = await self._open(self._queue, self._queue.model)
                if times_forgotten == self._times_forgotten:
                    self._book = opened
            await book.read_stored()
            await book.embed_missing()

    async def _open(self, queue: EmbeddingQueue, model: EmbeddingModel) -> Book[Id, Found]:
        book = await asyncio.to_thread(self._open_book, model, queue)
        await book.read_stored()
        _log.info("vectors are read", known=len(book))
        return book

    def forget(self) -> None:
        """Opens another book, which reads all vectors again: the store may have lost some."""
        if self._book is not None:
            self._book.give_up()
        self._book = None
        self._times_forgotten += 1


def experiment_embeddings(
    queue: EmbeddingQueue | None, index: Callable[[], EditIndex], store: ReadStore
) -> Embeddings[ExperimentId, Near]:
    """Those of the titles of experiments; each book goes by the index that there is as it is opened."""

    def open_book(model: EmbeddingModel, queue: EmbeddingQueue) -> Book[ExperimentId, Near]:
        module = importlib.import_module("coordinator.services.vector_book")  # imports numpy
        book: Book[ExperimentId, Near] = module.VectorBook(model, queue, index(), store)
        return book

    return Embeddings(queue, open_book)


def insight_embeddings(
    queue: EmbeddingQueue | None, index: InsightIndex, store: InsightStore
) -> Embeddings[InsightId, InsightId]:
    """Those of insights, which experiments are never compared with."""

    def open_book(model: EmbeddingModel, queue: EmbeddingQueue) -> Book[InsightId, InsightId]:
        module = importlib.import_module("coordinator.services.insight_book")  # imports numpy
        book: Book[InsightId, InsightId] = module.InsightBook(model, queue, index, store)
        return book

    return Embeddings(queue, open_book)
