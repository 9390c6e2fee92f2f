"""Two coordinators over one store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from autoresearch.errors import LimitExceeded
from autoresearch.model import Granted, Hypothesis, NeedsDistinction, Position
from swarm_builders import BASELINE, Rig, change, edited, make_rig

from coordinator.dedup.code import CodeReader
from coordinator.services.sources import hash_of


async def test_an_earlier_event_of_another_replica_is_not_taken_for_ones_own(
    rig: Rig, reader: CodeReader
) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    await rig.open_class(node)
    source = edited(LR="0.05")
    started, experiment_id = await rig.begin(node, change("LR", "0.05"), source)
    second = make_rig(reader, server=rig.server, clock=rig.clock)
    await second.services.start()
    own = rig.result(experiment_id, hash_of(source), score=1.2, seed=started.seed)
    theirs = rig.result(experiment_id, hash_of(source), score=1.3)

    await rig.publish(node, own, lease=started.lease)
    await second.publish(other, theirs)
    await rig.one.follower.catch_up()
    await second.one.follower.catch_up()

    entries = [one.one.context.catalog.entry(experiment_id) for one in (rig, second)]
    await second.services.close()
    assert entries[0] is not None
    assert entries[1] is not None
    assert entries[0].result_ids == entries[1].result_ids == {own.result_id, theirs.result_id}
    assert entries[0].runs == entries[1].runs
    assert entries[0].state is entries[1].state


@asynccontextmanager
async def replica_of(rig: Rig, reader: CodeReader) -> AsyncIterator[Rig]:
    second = make_rig(reader, server=rig.server, clock=rig.clock)
    await second.services.start()
    yield second
    await second.services.close()


async def test_replica_asks_about_what_began_at_another_a_moment_before(rig: Rig, reader: CodeReader) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    async with replica_of(rig, reader) as second:
        await second.connect("bob", bob.node_id)
        begun = []
        for number, term in enumerate(("a z-loss", "SwiGLU in the MLP", "QK norm", "label smoothing")):
            source = (BASELINE + f"\n\ndef f{number}(x):\n    return x\n").encode()
            _, experiment_id = await rig.begin(ada, Hypothesis(title=f"add {term}"), source)

            # No look at the stream in between: the claim itself waits for it.
            asked = await second.claim(bob, Hypothesis(title=f"we could try {term} here"))

            assert isinstance(asked, NeedsDistinction)
            begun.append((asked.match.experiment_id, experiment_id))

    assert all(named == started for named, started in begun)


async def test_replica_that_cannot_follow_the_stream_grants_no_free_words(
    rig: Rig, reader: CodeReader
) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    second = make_rig(reader, server=rig.server, clock=rig.clock, index_wait_s=0.05)
    await second.one.follower.rebuild()  # and no task follows the stream
    await second.connect("bob", bob.node_id)
    await rig.begin(ada, Hypothesis(title="add a z-loss"), (BASELINE + "\n\nx = 1\n").encode())

    with pytest.raises(LimitExceeded, match="not heard yet"):
        await second.claim(bob, Hypothesis(title="a bigger thing altogether"))
    exact = await second.claim(bob, change("LR", "0.06"))
    await second.one.follower.catch_up()
    later = await second.claim(bob, Hypothesis(title="a bigger thing altogether"))

    assert isinstance(exact, Granted)
    assert isinstance(later, Granted)


async def test_waiting_for_the_indexes_ends_as_they_move(rig: Rig) -> None:
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)
    progress, before = rig.one.context.progress, rig.one.context.progress.position

    _, published = await rig.explore(ada, 1.1, LR="0.05")
    has_reached = await progress.reach(published.position, limit_s=10.0)

    assert has_reached
    assert progress.position != before
    assert await asyncio.wait_for(progress.reach(before, limit_s=0.0), 1.0)


async def test_indexes_at_a_place_that_the_store_has_lost_have_reached_nothing(rig: Rig) -> None:
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)
    await rig.one.follower.catch_up()
    progress, lost = rig.one.context.progress, rig.one.context.progress.position
    earlier = replace(lost, stream_id="1-0")

    waiting = asyncio.create_task(progress.reach(earlier, limit_s=10.0, beyond=lost))
    await asyncio.sleep(0)
    is_waiting = not waiting.done()
    progress.move(earlier)

    assert is_waiting
    assert await waiting


async def test_indexes_of_another_epoch_have_reached_nothing(rig: Rig) -> None:
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)
    await rig.one.follower.catch_up()
    progress, here = rig.one.context.progress, rig.one.context.progress.position

    assert await progress.reach(here, limit_s=0.0)
    assert not await progress.reach(Position(epoch=here.epoch + 1, stream_id="0-0"), limit_s=0.0)
    assert not await progress.reach(replace(here, epoch=here.epoch + 1), limit_s=0.0)


async def test_free_words_judged_in_another_epoch_are_judged_anew(rig: Rig, reader: CodeReader) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    second = make_rig(reader, server=rig.server, clock=rig.clock, index_wait_s=0.05)
    await second.one.follower.rebuild()  # and no task follows the stream
    await second.connect("bob", bob.node_id)
    rig.one.store._t.epoch += 1

    with pytest.raises(LimitExceeded, match="not heard yet"):
        await second.claim(bob, Hypothesis(title="a bigger thing altogether"))
    exact = await second.claim(bob, change("LR", "0.06"))
    for _ in range(2):  # the first look finds the gap
        await second.one.follower.catch_up()
    later = await second.claim(bob, Hypothesis(title="a bigger thing altogether"))

    assert isinstance(exact, Granted)
    assert isinstance(later, Granted)


async def test_replica_asks_about_what_it_first_heard_of_from_a_reader(rig: Rig, reader: CodeReader) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    second = make_rig(reader, server=rig.server, clock=rig.clock)
    await second.one.follower.rebuild()
    await second.connect("bob", bob.node_id)
    _, begun = await rig.begin(ada, Hypothesis(title="add a z-loss"), (BASELINE + "\n\nx = 1\n").encode())

    await second.one.context.find_record(begun)
    await second.one.follower.catch_up()
    asked = await second.claim(bob, Hypothesis(title="we could try a z-loss here"))

    assert isinstance(asked, NeedsDistinction)
    assert asked.match.experiment_id == begun
