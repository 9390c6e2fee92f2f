"""A store that is restored from an older copy, or fails over, under a coordinator that goes on running."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from autoresearch.errors import LeaseLost, LimitExceeded, NotFound, Unavailable
from autoresearch.model import (
    ExperimentId,
    ExperimentQuery,
    Granted,
    Hypothesis,
    Node,
    SearchQuery,
    Started,
    StartRefused,
    utc_now,
)
from hashing_embedder import HashingEmbedder
from swarm_builders import BASELINE, Rig, change, edited, make_rig

from coordinator.dedup.code import CodeReader
from coordinator.services.sources import hash_of
from coordinator.storage.binaries import packaged_server_program
from coordinator.storage.open import EmbeddedStoreServer, open_store_server

LIMIT_S = 60.0
SWIGLU = "use SwiGLU in the MLP"


class Restorable:
    """An embedded server whose files can be put back."""

    def __init__(self, folder: Path, server: EmbeddedStoreServer) -> None:
        self._data, self._copy = folder / "data", folder / "copy"
        self.server = server

    def copy(self) -> None:
        """As a backup does, while nobody writes."""
        shutil.copytree(self._data / "appendonlydir", self._copy)

    async def restart(self) -> None:
        await self._end()
        await self.server.ensure_running()

    async def restore(self) -> None:
        await self._end()
        shutil.rmtree(self._data / "appendonlydir")
        shutil.copytree(self._copy, self._data / "appendonlydir")
        await self.server.ensure_running()

    async def _end(self) -> None:
        pid = self.server.process.pid
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(LIMIT_S):
            while not _is_over(pid):  # noqa: ASYNC110 - another process cannot set our event
                await asyncio.sleep(0.01)


def _is_over(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


@pytest.fixture
async def store() -> AsyncIterator[Restorable]:
    with tempfile.TemporaryDirectory(prefix="ar-") as name:
        folder = Path(name)
        server = await open_store_server(None, folder / "data", program=packaged_server_program())
        assert isinstance(server, EmbeddedStoreServer)
        yield Restorable(folder, server)
        await server.close()


@pytest.fixture
async def still(reader: CodeReader, store: Restorable) -> AsyncIterator[Rig]:
    """A coordinator whose indexes move only when the test says so."""
    rig = make_rig(reader, server=store.server, clock=utc_now, index_wait_s=0.05)
    await rig.one.store.put_source(rig.one.context.baseline_source())
    await rig.one.store.reap(limit=1)  # a store that was never written to reckons its epoch by its clock
    await rig.one.follower.rebuild()
    yield rig
    await rig.services.close()


@pytest.fixture
async def running(reader: CodeReader, store: Restorable) -> AsyncIterator[Rig]:
    """A coordinator as it serves, with a model."""
    rig = make_rig(reader, server=store.server, clock=utc_now, embedder=HashingEmbedder(), index_wait_s=10.0)
    await rig.services.start()
    yield rig
    await rig.services.close()


def built(marker: str) -> bytes:
    return BASELINE.encode() + f"\n\ndef {marker}(x):\n    return x\n".encode()


async def two_nodes(rig: Rig) -> tuple[Node, Node]:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    return ada, bob


async def tried(rig: Rig, node: Node, title: str, source: bytes) -> ExperimentId:
    started, experiment_id = await rig.begin(node, Hypothesis(title=title), source)
    result = rig.result(experiment_id, hash_of(source), score=1.2, seed=started.seed)
    await rig.publish(node, result, lease=started.lease)
    return experiment_id


async def two_seen_nodes(still: Rig) -> tuple[Node, Node]:
    nodes = await two_nodes(still)
    await caught_up(still)
    return nodes


async def caught_up(rig: Rig) -> None:
    for _ in range(2):  # the first look finds the gap
        await rig.one.follower.catch_up()


async def in_time(ask):
    """What is answered in the end; until then the caller is told to come back."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                return await ask()
            except (LimitExceeded, Unavailable):
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("restarts", [0, 1])
async def test_edits_of_lost_experiments_are_granted_and_all_that_is_left_is_known(
    running: Rig, store: Restorable, restarts: int
) -> None:
    ada, bob = await two_nodes(running)
    kept = await tried(running, ada, "LR 0.04 -> 0.05", edited(LR="0.05"))
    store.copy()
    for _ in range(restarts):  # which may give the restored server the epoch that the lost one had
        await store.restart()
    lost = [
        await in_time(lambda: tried(running, ada, "LR 0.04 -> 0.06", edited(LR="0.06"))),
        await in_time(lambda: tried(running, ada, SWIGLU, built("swiglu"))),
    ]
    await running.one.context.embeddings.catch_up()

    await store.restore()
    stated = await in_time(lambda: running.claim(bob, change("LR", "0.06")))
    words = await in_time(lambda: running.claim(bob, Hypothesis(title="SwiGLU MLP")))
    await in_time(running.one.context.embeddings.catch_up)
    again = await in_time(lambda: running.claim(bob, change("LR", "0.05")))

    assert isinstance(stated, Granted)
    assert isinstance(words, Granted)
    assert again.match.experiment_id == kept
    catalog, index = running.one.context.catalog, running.one.context.index
    assert [catalog.entry(one) for one in lost] == [None, None]
    assert [index.get(one) for one in lost] == [None, None]
    listed = await running.one.leaderboard.list_experiments(ExperimentQuery(limit=10))
    assert {one.experiment.experiment_id for one in listed.experiments} == {kept, running.baseline_id}
    found = await running.one.search.search(SearchQuery(text=SWIGLU, limit=10))
    assert not {one.summary.experiment.experiment_id for one in found.matches} & set(lost)


async def test_store_that_was_started_again_and_lost_nothing_is_known_as_before(
    running: Rig, store: Restorable
) -> None:
    ada, bob = await two_nodes(running)
    known = await tried(running, ada, "LR 0.04 -> 0.05", edited(LR="0.05"))
    edit, entry = running.one.context.index.get(known), running.one.context.catalog.entry(known)
    generation = running.one.context.generation

    await store.restart()
    again = await in_time(lambda: running.claim(bob, change("LR", "0.05")))

    assert again.match.experiment_id == known
    assert running.one.context.generation > generation
    assert running.one.context.index.get(known) == edit
    assert running.one.context.catalog.entry(known) == entry


async def test_until_the_indexes_are_rebuilt_what_rests_on_them_is_turned_back_and_the_rest_goes_on(
    still: Rig, store: Restorable
) -> None:
    ada, bob = await two_seen_nodes(still)
    store.copy()
    for title, source in (("LR 0.04 -> 0.06", edited(LR="0.06")), (SWIGLU, built("swiglu"))):
        await tried(still, ada, title, source)
        await caught_up(still)

    await store.restore()
    for hypothesis in (
        change("LR", "0.06"),
        Hypothesis(title="SwiGLU MLP"),
        Hypothesis(title="something else"),
    ):
        with pytest.raises(LimitExceeded, match="not heard yet"):
            await still.claim(bob, hypothesis)
    exact = await still.claim(bob, change("LR", "0.07"))
    started = await still.start(bob, exact.lease, edited(LR="0.07"))
    task = await still.next(bob)
    await caught_up(still)
    later = [
        await still.claim(bob, hypothesis)
        for hypothesis in (change("LR", "0.06"), Hypothesis(title="SwiGLU MLP"), change("LR", "0.07"))
    ]

    assert isinstance(exact, Granted)
    assert isinstance(started, Started)
    assert task is not None
    assert [isinstance(verdict, Granted) for verdict in later] == [True, True, False]


async def test_code_is_not_refused_for_what_was_lost_and_keeps_its_claim(
    still: Rig, store: Restorable
) -> None:
    ada, bob = await two_seen_nodes(still)
    granted = await still.claim(bob, Hypothesis(title="make the gadget quux"))
    store.copy()
    await tried(still, ada, "LR 0.04 -> 0.06", edited(LR="0.06"))
    await caught_up(still)

    await store.restore()
    with pytest.raises(LimitExceeded, match="not heard yet"):
        await still.start(bob, granted.lease, edited(LR="0.06"))
    await caught_up(still)
    started = await still.start(bob, granted.lease, edited(LR="0.06"))

    assert isinstance(started, Started)
    assert started.flags == ()


async def test_code_that_was_tried_is_refused_as_before(still: Rig, store: Restorable) -> None:
    ada, bob = await two_seen_nodes(still)
    granted = await still.claim(bob, Hypothesis(title="make the gadget quux"))
    known = await tried(still, ada, "LR 0.04 -> 0.06", edited(LR="0.06"))

    await store.restart()
    await caught_up(still)
    refused = await still.start(bob, granted.lease, edited(LR="0.06"))

    assert isinstance(refused, StartRefused)
    assert refused.match.experiment_id == known


async def test_lost_claim_is_nobodys_and_its_idea_is_free(still: Rig, store: Restorable) -> None:
    ada, bob = await two_seen_nodes(still)
    store.copy()
    granted = await still.claim(ada, Hypothesis(title=SWIGLU))

    await store.restore()
    await caught_up(still)
    theirs = await still.claim(bob, Hypothesis(title=SWIGLU))

    assert isinstance(theirs, Granted)
    with pytest.raises(LeaseLost):
        await still.start(ada, granted.lease, built("swiglu"))


async def test_lost_result_that_is_offered_again_counts_as_if_it_came_first(
    still: Rig, store: Restorable
) -> None:
    ada, _ = await two_seen_nodes(still)
    store.copy()
    source = edited(LR="0.06")
    started, experiment_id = await still.begin(ada, change("LR", "0.06"), source)
    experiment = still.one.context.catalog.entry(experiment_id).experiment
    result = still.result(experiment_id, hash_of(source), score=0.9, seed=started.seed)
    offer = {"lease": started.lease, "experiment": experiment, "source": source}
    await still.publish(ada, result, **offer)
    await caught_up(still)
    before = still.one.context.catalog.entry(experiment_id)

    await store.restore()
    with pytest.raises(LimitExceeded, match="not heard yet"):
        await still.publish(ada, result, **offer)
    await caught_up(still)
    published = await still.publish(ada, result, **offer)

    record = await still.one.store.get_experiment(experiment_id)
    assert (published.is_repeat, published.is_late) == (False, True)
    assert record is not None
    assert record.unscored == frozenset()
    assert await still.one.store.get_source(hash_of(source)) == source
    after = still.one.context.catalog.entry(experiment_id)
    assert (after.runs, after.result_ids) == (before.runs, before.result_ids)


async def test_result_that_was_made_alone_replicates_nothing_that_was_lost(
    still: Rig, store: Restorable
) -> None:
    ada, bob = await two_seen_nodes(still)
    store.copy()
    source = edited(LR="0.06")
    await tried(still, ada, "LR 0.04 -> 0.06", source)
    await caught_up(still)
    experiment, result = still.solo(source, 0.9)

    await store.restore()
    with pytest.raises(LimitExceeded, match="not heard yet"):
        await still.publish(bob, result, experiment=experiment, source=source)
    await caught_up(still)
    await still.publish(bob, result, experiment=experiment, source=source)

    record = await still.one.store.get_experiment(experiment.experiment_id)
    assert record is not None
    assert record.experiment.flags == ()


async def test_best_that_was_lost_is_not_built_on(still: Rig, store: Restorable) -> None:
    ada, bob = await two_seen_nodes(still)
    store.copy()
    source = edited(LR="0.06")
    started, lost = await still.begin(ada, change("LR", "0.06"), source)
    await still.publish(
        ada, still.result(lost, hash_of(source), score=0.5, seed=started.seed), lease=started.lease
    )
    hardware_class = bob.hardware_class
    before = await still.one.leaderboard.get_best(hardware_class)

    await store.restore()
    await caught_up(still)
    after = await still.one.leaderboard.get_best(hardware_class)

    assert (before.experiment_id, after.experiment_id) == (lost, still.baseline_id)
    with pytest.raises(NotFound):
        await still.claim(bob, change("DEPTH", "5"), lost)
    with pytest.raises(NotFound):
        await still.one.leaderboard.get_experiment(lost)
