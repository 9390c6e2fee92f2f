from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from autoresearch.errors import LimitExceeded, Unavailable
from hashing_embedder import HashingEmbedder

from coordinator.dedup.embedder import EmbedderUnavailable, SentenceTransformerEmbedder
from coordinator.dedup.embedding_queue import (
    BACKGROUND_BATCH_TEXTS,
    BATCH_TEXTS,
    WAITING_TEXTS_LIMIT,
    EmbeddingQueue,
    Lane,
)


@asynccontextmanager
async def running(embedder: HashingEmbedder):
    queue = EmbeddingQueue(embedder, retry_first_s=0.0)
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.wait([task])
        await queue.close()


async def test_texts_that_come_together_are_embedded_together() -> None:
    embedder = HashingEmbedder()
    async with running(embedder) as queue:
        await queue.loaded()
        texts = [f"idea {number}" for number in range(BATCH_TEXTS + 1)]

        vectors = await asyncio.gather(*(queue.embed(text, Lane.CLAIM) for text in texts))

    assert [len(batch) for batch in embedder.batches] == [BATCH_TEXTS, 1]
    assert all((embedder.vector(text) == vector).all() for text, vector in zip(texts, vectors, strict=True))


async def test_claims_go_before_background_work() -> None:
    embedder = HashingEmbedder()
    async with running(embedder) as queue:
        await queue.loaded()
        background = [f"old {number}" for number in range(3 * BACKGROUND_BATCH_TEXTS)]
        waiting = [asyncio.create_task(queue.embed(text, Lane.BACKGROUND)) for text in background]
        claimed = asyncio.create_task(queue.embed("new", Lane.CLAIM))

        await asyncio.gather(claimed, *waiting)

    assert embedder.batches[0] == ["new"]
    assert [len(batch) for batch in embedder.batches[1:]] == [BACKGROUND_BATCH_TEXTS] * 3


async def test_text_is_embedded_once_whoever_asks() -> None:
    embedder = HashingEmbedder()
    async with running(embedder) as queue:
        await queue.loaded()

        await asyncio.gather(queue.embed("same", Lane.BACKGROUND), queue.embed("same", Lane.CLAIM))
        await queue.embed("same", Lane.READER)

    assert embedder.batches == [["same"]]


async def test_caller_that_gives_up_leaves_the_vector_to_the_next() -> None:
    embedder = HashingEmbedder()
    async with running(embedder) as queue:
        await queue.loaded()

        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(queue.embed("slow", Lane.CLAIM), 0)
        await queue.embed("other", Lane.CLAIM)

        assert (await queue.embed("slow", Lane.CLAIM) == embedder.vector("slow")).all()
    assert len([text for batch in embedder.batches for text in batch if text == "slow"]) <= 1


async def test_nobody_waits_for_a_model_that_is_not_there() -> None:
    queue = EmbeddingQueue(HashingEmbedder())

    with pytest.raises(Unavailable):
        await queue.embed("idea", Lane.CLAIM)


async def test_full_lane_sends_callers_away() -> None:
    async with running(HashingEmbedder()) as queue:
        await queue.loaded()
        texts = [f"idea {number}" for number in range(WAITING_TEXTS_LIMIT)]
        waiting = [asyncio.create_task(queue.embed(text, Lane.READER)) for text in texts]
        one_too_many = asyncio.create_task(queue.embed("one more", Lane.READER))

        with pytest.raises(LimitExceeded):
            await one_too_many
        await asyncio.gather(*waiting)


async def test_model_that_comes_later_is_loaded_later() -> None:
    embedder = HashingEmbedder("late", EmbedderUnavailable("offline"), EmbedderUnavailable("offline"))

    async with running(embedder) as queue:
        model = await queue.loaded()

    assert model.model_id == "late@1"
    assert embedder.loads == 3


async def test_a_fault_that_nobody_thought_of_is_not_the_end() -> None:
    embedder = HashingEmbedder("late", ValueError("a library's own"))

    async with running(embedder) as queue:
        await queue.loaded()

    assert embedder.loads == 2


async def test_missing_package_is_final() -> None:
    embedder = HashingEmbedder("never", EmbedderUnavailable("not installed", is_final=True))
    queue = EmbeddingQueue(embedder, retry_first_s=0.0)

    await queue.run()

    assert embedder.loads == 1


async def test_model_that_breaks_tells_those_who_wait_and_is_loaded_again() -> None:
    embedder = HashingEmbedder()
    async with running(embedder) as queue:
        await queue.loaded()
        embedder.breaks = True

        with pytest.raises(Unavailable):
            await queue.embed("lost", Lane.CLAIM)
        await queue.loaded()

        assert (await queue.embed("lost", Lane.CLAIM) == embedder.vector("lost")).all()
    assert embedder.loads == 2


async def test_model_that_cannot_be_had_is_told_with_a_reason(tmp_path) -> None:
    embedder = SentenceTransformerEmbedder(str(tmp_path), "main")

    with pytest.raises(EmbedderUnavailable, match=r"."):
        await embedder.load()
    with pytest.raises(EmbedderUnavailable, match="not loaded"):
        await embedder.embed(["idea"])
    await embedder.close()
