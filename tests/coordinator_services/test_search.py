from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from autoresearch.model import ExperimentId, ExperimentState, Hypothesis, SearchBasis, SearchQuery
from hashing_embedder import HashingEmbedder
from swarm_builders import Rig, edited, make_rig

OTHER_CLASS = "cpu-other/torch-2.13"
TITLES = {
    "MATRIX_LR 0.04 to 0.05": 1.0,
    "rotary embedding base to 10000": 0.9,
    "rotary embedding in half of the heads": None,
    "squared relu": 1.1,
}


@pytest.fixture(params=["meaning", "words"])
async def rig(request, reader) -> AsyncIterator[Rig]:
    embedder = HashingEmbedder() if request.param == "meaning" else None
    rig = make_rig(reader, embedder=embedder)
    await rig.services.start()
    if rig.services._queue is not None:
        await rig.services._queue.loaded()
    yield rig
    await rig.services.close()


async def filled(rig: Rig, *, hardware_class: str | None = None) -> dict[str, ExperimentId]:
    more = {"hardware_class": hardware_class} if hardware_class else {}
    ada = await rig.join(f"ada {hardware_class}", owner="ada", **more)
    found = {}
    for depth, (title, score) in enumerate(TITLES.items(), start=5):
        source = edited(DEPTH=str(depth))
        made, result = rig.solo(source, score or 1.0, title=title)
        if score is None:
            result = rig.result(made.experiment_id, made.source_hash, score=None, crash_kind="exception")
        await rig.publish(ada, result, experiment=made, source=source)
        found[title] = made.experiment_id
    await rig.one.context.embeddings.catch_up()
    return found


async def titles_of(rig: Rig, text: str, **filters) -> list[str]:
    found = await rig.one.search.search(SearchQuery(text=text, **filters))
    return [match.summary.experiment.hypothesis.title for match in found.matches]


async def test_nearest_title_comes_first_and_the_basis_is_told(rig: Rig) -> None:
    await filled(rig)

    found = await rig.one.search.search(SearchQuery(text="matrix LR"))

    assert found.matches[0].summary.experiment.hypothesis.title == "MATRIX_LR 0.04 to 0.05"
    assert found.basis is (SearchBasis.MEANING if rig.services._queue else SearchBasis.WORDS)
    similarities = [match.similarity for match in found.matches]
    assert similarities == sorted(similarities, reverse=True)
    assert similarities[0] <= 1.001


async def test_filters_and_limit_hold(rig: Rig) -> None:
    await filled(rig)

    crashed = await titles_of(rig, "rotary embedding", state=ExperimentState.CRASHED)
    one = await titles_of(rig, "rotary embedding base", limit=1)
    elsewhere = await titles_of(rig, "rotary embedding", hardware_class=OTHER_CLASS)

    assert crashed == ["rotary embedding in half of the heads"]
    assert one == ["rotary embedding base to 10000"]
    assert elsewhere == []


async def test_search_before_anything_was_tried_is_empty(rig: Rig) -> None:
    assert await titles_of(rig, "anything") == []


async def test_words_count_the_more_the_rarer_they_are(reader) -> None:
    rig = make_rig(reader)
    await rig.services.start()
    await filled(rig)

    found = await rig.one.search.search(SearchQuery(text="to squared"))
    await rig.services.close()

    assert found.matches[0].summary.experiment.hypothesis == Hypothesis(title="squared relu")
