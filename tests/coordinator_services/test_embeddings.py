from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from autoresearch.model import ExperimentId, Granted, Hypothesis, Intent, NeedsDistinction
from hashing_embedder import HashingEmbedder
from swarm_builders import FakeClock, Rig, edited, make_rig

from coordinator.dedup.embedding_queue import Lane
from coordinator.dedup.judge import says_otherwise
from coordinator.storage.memory.server import MemoryStoreServer

OTHER_CLASS = "cpu-other/torch-2.13"
# Words that say nothing of what an edit does to those who read edits.
UNREAD = "make the frobnicator of the gadget quux"
NEARLY = "make a frobnicator of the gadget quux"
FAR = "wibble every blorp by night"


@pytest.fixture
async def embedder() -> HashingEmbedder:
    return HashingEmbedder()


@pytest.fixture
async def rig(reader, embedder) -> AsyncIterator[Rig]:
    rig = make_rig(reader, embedder=embedder)
    await rig.services.start()
    await settled(rig)
    yield rig
    await rig.services.close()


async def settled(rig: Rig) -> None:
    """The model is loaded and every vector is made."""
    queue = rig.services._queue
    assert queue is not None
    await queue.loaded()
    await rig.one.context.embeddings.catch_up()


async def tried(rig: Rig, node, title: str, depth: int, score: float | None = 1.0) -> ExperimentId:
    source = edited(DEPTH=str(depth))
    started, experiment_id = await rig.begin(node, Hypothesis(title=title), source)
    entry = rig.one.context.catalog.entry(experiment_id)
    assert entry is not None
    result = rig.result(experiment_id, entry.experiment.source_hash, score=score, seed=started.seed)
    await rig.publish(node, result, lease=started.lease)
    await rig.one.context.embeddings.catch_up()
    return experiment_id


async def test_free_idea_that_sounds_like_a_tried_one_is_asked_about(rig: Rig) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    first = await tried(rig, ada, UNREAD, 5)

    asked = await rig.claim(bob, Hypothesis(title=NEARLY))
    answered = await rig.claim(bob, Hypothesis(title=NEARLY, distinction="it has another gadget"))

    assert isinstance(asked, NeedsDistinction)
    assert asked.match.experiment_id == first
    assert "sounds much like" in asked.question
    assert isinstance(answered, Granted)


@pytest.mark.parametrize(
    "hypothesis",
    [
        Hypothesis(title=FAR),
        Hypothesis(title=UNREAD + " without the gadget"),
        Hypothesis(title=NEARLY, intent=Intent.RETEST),
    ],
)
async def test_idea_that_is_another_or_meant_is_granted(rig: Rig, hypothesis: Hypothesis) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    await tried(rig, ada, UNREAD, 5)

    verdict = await rig.claim(bob, hypothesis)

    assert isinstance(verdict, Granted)


async def test_words_that_can_be_read_are_not_asked_about_for_their_sound(rig: Rig) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    await tried(rig, ada, "use the squared relu in the whole mlp of each block now", 5)

    verdict = await rig.claim(bob, Hypothesis(title="use the leaky relu in the whole mlp of each block now"))

    assert isinstance(verdict, Granted)
    assert len(verdict.advice.nearest) > 0


async def test_crashed_idea_and_one_of_another_class_ask_nothing(rig: Rig) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    carl = await rig.join("carl", owner="carl", hardware_class=OTHER_CLASS)
    await rig.open_class(ada)
    crashed = await tried(rig, ada, UNREAD, 5, score=None)

    verdict = await rig.claim(bob, Hypothesis(title=NEARLY))

    assert isinstance(verdict, Granted)
    near = await rig.one.context.embeddings.nearest(
        NEARLY, Lane.CLAIM, limit=3, wait_s=5, hardware_class=carl.hardware_class
    )
    assert near is not None
    assert crashed not in [one.experiment_id for one in near]


async def test_advice_ranks_free_ideas_by_meaning(rig: Rig) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    near = await tried(rig, ada, UNREAD, 5)
    await tried(rig, ada, FAR, 6)

    verdict = await rig.claim(bob, Hypothesis(title="oil a gadget in the dark"))

    assert isinstance(verdict, Granted)
    assert [match.experiment_id for match in verdict.advice.nearest][:1] == [near]


async def test_claim_of_constants_waits_for_no_model(rig: Rig, embedder: HashingEmbedder) -> None:
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)
    before = len(embedder.batches)

    verdict = await rig.claim(ada, Hypothesis(title="LR 0.04 -> 0.05"))

    assert isinstance(verdict, Granted)
    assert len(embedder.batches) == before


async def test_vectors_outlive_the_coordinator(rig: Rig, reader) -> None:
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)
    await tried(rig, ada, UNREAD, 5)

    embedder = HashingEmbedder()
    later = make_rig(reader, server=rig.server, clock=rig.clock, embedder=embedder)
    await later.services.start()
    await settled(later)
    near = await later.one.context.embeddings.nearest(UNREAD, Lane.READER, limit=1, wait_s=5)
    await later.services.close()

    assert near is not None
    assert near[0].similarity == pytest.approx(1.0, abs=1e-3)
    # All but what nobody asked before: the text that was looked for.
    assert [text for batch in embedder.batches for text in batch].count(UNREAD) <= 1
    assert not any(FAR in batch for batch in embedder.batches)


async def test_another_model_embeds_everything_anew_and_the_old_vectors_go(rig: Rig, reader) -> None:
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)
    experiment_id = await tried(rig, ada, UNREAD, 5)

    later = make_rig(reader, server=rig.server, clock=rig.clock, embedder=HashingEmbedder("newer"))
    await later.services.start()
    await settled(later)
    await later.services.close()

    store = rig.one.store
    assert await store.get_vector_models() == ("newer@1",)
    assert experiment_id in [found async for found, _ in store.get_vectors("newer@1")]


async def test_replica_takes_over_what_the_other_has_embedded(rig: Rig, reader) -> None:
    embedder = HashingEmbedder()
    other = make_rig(reader, server=rig.server, clock=rig.clock, embedder=embedder)
    await other.services.start()
    await settled(other)
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)
    experiment_id = await tried(rig, ada, UNREAD, 5)
    await other.one.follower.catch_up()

    await other.one.context.embeddings.catch_up()
    near = await other.one.context.embeddings.nearest(FAR, Lane.READER, limit=50, wait_s=5)
    await other.services.close()

    assert near is not None
    assert experiment_id in [one.experiment_id for one in near]
    assert UNREAD not in [text for batch in embedder.batches for text in batch]


async def test_new_epoch_reads_everything_again(rig: Rig) -> None:
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)
    await tried(rig, ada, UNREAD, 5)
    known = len(rig.one.context.embeddings)

    rig.one.context.embeddings.forget()

    assert await rig.one.context.embeddings.nearest(UNREAD, Lane.READER, limit=1, wait_s=5) is None
    await rig.one.context.embeddings.catch_up()
    assert len(rig.one.context.embeddings) == known


async def test_without_a_model_claims_go_on_by_their_words(reader) -> None:
    rig = make_rig(reader, server=MemoryStoreServer(clock=FakeClock()))
    await rig.services.start()
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)

    verdict = await rig.claim(ada, Hypothesis(title=UNREAD))
    near = await rig.one.context.embeddings.nearest(UNREAD, Lane.READER, limit=1, wait_s=5)
    await rig.services.close()

    assert isinstance(verdict, Granted)
    assert near is None


@pytest.mark.parametrize(
    ("one", "other", "otherwise"),
    [
        ("frob 3 gadgets", "frob 4 gadgets", True),
        ("frob 3 gadgets", "frob the 3 gadgets", False),
        ("frob the gadgets", "frob 3 gadgets", False),
        ("make the frob longer", "make the frob shorter", True),
        ("make the frob longer", "make the frob larger", False),
        ("with frobs", "without frobs", True),
    ],
)
def test_other_values_and_other_ways_are_told_apart(one: str, other: str, *, otherwise: bool) -> None:
    assert says_otherwise(one, other) is otherwise
    assert says_otherwise(other, one) is otherwise
