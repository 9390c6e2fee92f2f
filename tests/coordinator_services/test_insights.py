from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from autoresearch.errors import Conflict, InvalidArgument, LimitExceeded, NotFound
from autoresearch.model import ExperimentId, Insight, InsightId, InsightQuery, Node, NodeId, OwnerId, new_id
from hashing_embedder import HashingEmbedder
from swarm_builders import CLASS, FakeClock, Rig, make_rig

from coordinator.dedup.insights import InsightIndex
from coordinator.storage.base import NumberedInsight
from coordinator.storage.memory.server import MemoryStoreServer

OTHER_CLASS = "cpu-other/torch-2.13"


def lesson(rig: Rig, *evidence: ExperimentId, text: str = "a wider model needs a lower LR") -> Insight:
    """As a node sends it: with claims about itself that nobody believes."""
    return Insight(
        insight_id=InsightId(new_id()),
        challenge_id=rig.challenge.challenge_id,
        text=text,
        experiment_ids=evidence,
        node_id=NodeId("somebody"),
        owner_id=OwnerId("somebody"),
        hardware_class=CLASS,
        agent="command",
        created_at=rig.clock() - timedelta(days=400),
    )


async def tried(rig: Rig, name: str = "ada", **more) -> tuple[Node, ExperimentId]:
    node = await rig.join(name, owner=name, **more)
    if not more:
        await rig.open_class(node)
    experiment_id, _ = await rig.explore(node, 0.9, DEPTH="6") if not more else (rig.baseline_id, None)
    return node, experiment_id


@pytest.fixture(params=["meaning", "words"])
async def either(request, reader) -> AsyncIterator[Rig]:
    rig = make_rig(reader, embedder=HashingEmbedder() if request.param == "meaning" else None)
    await rig.services.start()
    if rig.services._queue is not None:
        await rig.services._queue.loaded()
    yield rig
    await rig.services.close()


async def embedded(rig: Rig) -> None:
    await rig.one.insights.catch_up()
    await rig.one.context.insight_embeddings.catch_up()


async def texts(rig: Rig, text: str = "", **filters) -> list[str]:
    found = await rig.one.insights.list_insights(InsightQuery(text=text, **filters))
    return [insight.text for insight in found]


async def test_shared_insight_says_who_really_shared_it_and_when(rig: Rig) -> None:
    ada, experiment_id = await tried(rig)
    sent = lesson(rig, experiment_id)

    is_repeat = await rig.one.insights.share(ada, sent)

    (kept,) = await rig.one.insights.list_insights(InsightQuery())
    assert not is_repeat
    assert kept == replace(
        sent,
        node_id=ada.node_id,
        owner_id=OwnerId("ada"),
        hardware_class=ada.hardware_class,
        created_at=rig.clock(),
    )


async def test_repeated_share_is_told_and_another_content_refused(rig: Rig) -> None:
    ada, experiment_id = await tried(rig)
    sent = lesson(rig, experiment_id)
    await rig.one.insights.share(ada, sent)
    rig.clock.advance(hours=1)

    again = await rig.one.insights.share(ada, sent)

    assert again
    with pytest.raises(Conflict):
        await rig.one.insights.share(ada, replace(sent, text="the opposite"))
    assert await texts(rig) == [sent.text]


async def test_evidence_must_exist(rig: Rig) -> None:
    ada, _ = await tried(rig)

    with pytest.raises(NotFound):
        await rig.one.insights.share(ada, lesson(rig, ExperimentId(new_id())))
    with pytest.raises(InvalidArgument, match="experiment_ids"):
        await rig.one.insights.share(ada, lesson(rig))


async def test_insight_of_another_challenge_is_refused(rig: Rig) -> None:
    ada, experiment_id = await tried(rig)

    with pytest.raises(InvalidArgument, match="of challenge"):
        await rig.one.insights.share(ada, replace(lesson(rig, experiment_id), challenge_id="ch_other"))


async def test_node_is_told_when_it_may_share_again(reader) -> None:
    rig = make_rig(reader, insights_per_node=2)
    await rig.services.start()
    ada, experiment_id = await tried(rig)
    for _ in range(2):
        await rig.one.insights.share(ada, lesson(rig, experiment_id))

    with pytest.raises(LimitExceeded) as refused:
        await rig.one.insights.share(ada, lesson(rig, experiment_id))

    assert refused.value.retry_after_s is not None
    rig.clock.advance(seconds=refused.value.retry_after_s)
    assert await rig.one.insights.share(ada, lesson(rig, experiment_id)) is False
    await rig.services.close()


async def test_newest_come_first_and_filters_hold(rig: Rig) -> None:
    ada, first = await tried(rig)
    second, _ = await rig.explore(ada, 0.95, DEPTH="8")
    bob = await rig.join("bob", owner="bob", hardware_class=OTHER_CLASS)
    await rig.one.insights.share(ada, lesson(rig, first, text="one"))
    await rig.one.insights.share(ada, lesson(rig, first, second, text="two"))
    await rig.one.insights.share(bob, lesson(rig, second, text="three"))

    assert await texts(rig) == ["three", "two", "one"]
    assert await texts(rig, limit=1) == ["three"]
    assert await texts(rig, experiment_id=first) == ["two", "one"]
    assert await texts(rig, hardware_class=bob.hardware_class) == ["three"]
    assert await texts(rig, hardware_class=ada.hardware_class, experiment_id=second) == ["two"]
    with pytest.raises(InvalidArgument, match="limit"):
        await texts(rig, limit=101)


async def test_nearest_to_a_text_come_first(either: Rig) -> None:
    ada, experiment_id = await tried(either)
    for text in ("rotary embeddings want a larger base", "deeper models crash", "a larger batch is slower"):
        await either.one.insights.share(ada, lesson(either, experiment_id, text=text))
    await embedded(either)

    found = await texts(either, "rotary base")

    assert found[0] == "rotary embeddings want a larger base"
    assert await texts(either, "rotary base", hardware_class=OTHER_CLASS) == []


async def test_experiments_are_not_found_among_insights_nor_the_other_way_round(reader) -> None:
    rig = make_rig(reader, embedder=HashingEmbedder())
    await rig.services.start()
    await rig.services._queue.loaded()
    ada, experiment_id = await tried(rig)
    await rig.one.insights.share(ada, lesson(rig, experiment_id, text="DEPTH = 6 is deep enough"))
    await rig.one.context.embeddings.catch_up()
    await embedded(rig)

    assert await texts(rig, "DEPTH = 6", limit=100) == ["DEPTH = 6 is deep enough"]
    assert len(rig.one.context.insight_embeddings) == 1
    assert len(rig.one.context.embeddings) == 2
    await rig.services.close()


async def test_replica_finds_what_another_took_in_and_embeds_nothing_twice(reader) -> None:
    clock = FakeClock()
    server = MemoryStoreServer(clock=clock)
    rig = make_rig(reader, server=server, clock=clock, embedder=HashingEmbedder())
    embedder = HashingEmbedder()
    other = make_rig(reader, server=server, clock=clock, embedder=embedder)
    for one in (rig, other):
        await one.services.start()
        await one.services._queue.loaded()
    ada, experiment_id = await tried(rig)
    await rig.one.insights.share(ada, lesson(rig, experiment_id, text="lower is better"))
    await embedded(rig)

    await embedded(other)
    found = await texts(other, "lower")

    assert found == ["lower is better"]
    assert "lower is better" not in [text for batch in embedder.batches for text in batch]
    for one in (rig, other):
        await one.services.close()


async def test_new_epoch_reads_every_insight_again(rig: Rig) -> None:
    ada, experiment_id = await tried(rig)
    await rig.one.insights.share(ada, lesson(rig, experiment_id, text="kept"))
    await rig.one.insights.catch_up()

    rig.one.context.insights.clear()

    assert await texts(rig) == ["kept"]


def test_index_keeps_the_newest_and_forgets_the_words_of_the_others(three_insights) -> None:
    index = InsightIndex()
    for numbered in three_insights:
        index.put(numbered, kept=2)

    assert len(index) == 2
    assert [one.text for one in index.newest(InsightQuery())] == ["word 3", "word 2"]
    assert index.sharing_words(InsightQuery(text="1")) == ()
    assert [one.text for one in index.sharing_words(InsightQuery(text="word 2"))] == ["word 2", "word 3"]
    assert [one.number for one in index.after(2)] == [3]


@pytest.fixture
def three_insights() -> list[NumberedInsight]:
    clock = FakeClock()
    return [
        NumberedInsight(
            number=number,
            insight=Insight(
                insight_id=InsightId(new_id()),
                challenge_id="ch_1",
                text=f"word {number}",
                experiment_ids=(ExperimentId(new_id()),),
                node_id=NodeId("n_1"),
                owner_id=OwnerId("o_1"),
                hardware_class=CLASS,
                agent="",
                created_at=clock(),
            ),
        )
        for number in (1, 2, 3)
    ]
