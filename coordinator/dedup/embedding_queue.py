"""Texts that wait for the embedding model: taken in batches, the most urgent first, never on the event loop.

The model is loaded in the background. Until then, and while it cannot be had, every caller is told at once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

import structlog
from autoresearch.errors import LimitExceeded, Unavailable

from coordinator.dedup.embedder import Embedder, EmbedderUnavailable, EmbeddingModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH_TEXTS = 32
BACKGROUND_BATCH_TEXTS = 8
"""So few in a batch of nothing but background work, that a claim does not wait long behind it."""
WAITING_TEXTS_LIMIT = 256
"""Per lane; past that, callers come back later."""
VECTORS_CACHED = 4_096
RETRY_FIRST_S = 60.0
RETRY_MAX_S = 3_600.0
RETRY_AFTER_S = 2.0

_log = structlog.get_logger("coordinator.embedding")


class Lane(IntEnum):
    """Who waits, the most urgent first."""

    CLAIM = 0
    READER = 1
    BACKGROUND = 2


class EmbeddingQueue:
    """One model for all challenges; ``run`` is its only worker."""

    def __init__(self, embedder: Embedder, *, retry_first_s: float = RETRY_FIRST_S) -> None:
        self._embedder = embedder
        self._retry_first_s = retry_first_s
        self._model: EmbeddingModel | None = None
        self._is_loaded = asyncio.Event()
        self._is_wanted = asyncio.Event()
        self._lanes: dict[Lane, deque[str]] = {lane: deque() for lane in Lane}
        self._waiting: dict[str, asyncio.Future[NDArray[np.float32]]] = {}
        self._vectors: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    @property
    def model(self) -> EmbeddingModel | None:
        """The model, once it is loaded."""
        return self._model

    async def loaded(self) -> EmbeddingModel:
        """The model, as soon as it is loaded."""
        while self._model is None:
            await self._is_loaded.wait()
        return self._model

    async def embed(self, text: str, lane: Lane) -> NDArray[np.float32]:
        """The text's vector. What is asked for twice at once is embedded once.

        Raises:
            Unavailable: there is no model at present.
            LimitExceeded: too many texts wait.
        """
        known = self._vectors.get(text)
        if known is not None:
            self._vectors.move_to_end(text)
            return known
        if self._model is None:
            raise Unavailable("the embedding model is not loaded")
        if len(self._lanes[lane]) >= WAITING_TEXTS_LIMIT:
            raise LimitExceeded(
                f"{len(self._lanes[lane])} texts wait to be embedded; try again later",
                retry_after_s=RETRY_AFTER_S,
            )
        waiting = self._waiting.get(text)
        if waiting is None:
            waiting = self._waiting[text] = asyncio.get_running_loop().create_future()
        # Also where it waits in another lane, which may be slower.
        self._lanes[lane].append(text)
        self._is_wanted.set()
        return await asyncio.shield(waiting)

    async def run(self) -> None:
        """Loads the model, then embeds until cancelled; loads it again, later and later, where that fails."""
        wait_s = self._retry_first_s
        is_told = False
        while True:
            try:
                self._model = await self._embedder.load()
                _log.info("embedding model is loaded", model=self._model.model_id)
                self._is_loaded.set()
                wait_s, is_told = self._retry_first_s, False
                await self._embed_batches()
            except EmbedderUnavailable as error:
                self._drop(str(error))
                if error.is_final:
                    _log.info("no embedding model: words in common stand in for it", why=str(error))
                    return
                if not is_told:
                    _log.warning("no embedding model at present: words in common stand in", why=str(error))
                    is_told = True
            except Exception as error:  # noqa: BLE001  (one fault must not end meaning for good)
                self._drop(f"{type(error).__name__}: {error}")
                _log.exception("the embedding model failed; it is loaded again later")
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)

    async def close(self) -> None:
        """Ends the model and those who wait for it; ``run`` is over."""
        self._drop("the coordinator stops")
        await self._embedder.close()

    async def _embed_batches(self) -> None:
        while True:
            await self._is_wanted.wait()
            batch = self._next_batch()
            if not batch:
                self._is_wanted.clear()
                continue
            vectors = await self._embedder.embed(batch)
            for text, vector in zip(batch, vectors, strict=True):
                vector = vector.copy()  # noqa: PLW2901  (a row would keep its whole batch)
                self._vectors[text] = vector
                waiting = self._waiting.pop(text)
                if not waiting.done():
                    waiting.set_result(vector)
            while len(self._vectors) > VECTORS_CACHED:
                self._vectors.popitem(last=False)

    def _next_batch(self) -> Sequence[str]:
        batch: dict[str, None] = {}
        for lane, texts in self._lanes.items():
            limit = BATCH_TEXTS
            if lane is Lane.BACKGROUND:
                limit = BACKGROUND_BATCH_TEXTS if not batch else len(batch)
            while texts and len(batch) < limit:
                text = texts.popleft()
                if text in self._waiting:
                    batch[text] = None
        return tuple(batch)

    def _drop(self, reason: str) -> None:
        self._model = None
        self._is_loaded.clear()
        for texts in self._lanes.values():
            texts.clear()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(Unavailable(f"no embedding model: {reason}"))
                future.exception()  # seen, although perhaps nobody waits any more
