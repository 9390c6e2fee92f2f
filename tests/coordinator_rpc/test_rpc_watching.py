"""Watchers: bests of a class for nodes, everything for feeds, snapshots over gaps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime

import pytest
from autoresearch.errors import InvalidArgument, Unavailable
from autoresearch.model import (
    BestChange,
    ClaimId,
    Event,
    EventKind,
    ExperimentId,
    HardwareClass,
    Level,
    NodeId,
    OwnerId,
    Position,
    SourceHash,
    WorkingBest,
    new_id,
)

from coordinator.rpc.watching import EventHub
from coordinator.storage.base import ClaimKind, ClaimRequest, ClassUpdate, EditKey, KeyKind
from coordinator.storage.memory import MemoryStoreServer

CPU = HardwareClass("cpu-a/torch-2.13")
GPU = HardwareClass("gpu-b/torch-2.13")
LIMIT_S = 10.0


class Swarm:
    """A store in memory with a running hub."""

    def __init__(self) -> None:
        self.store = MemoryStoreServer().challenge_store("ch_1")
        self.hub = EventHub(
            self.store,
            self.store.position,
            self.working_bests,
            jitter=lambda: 0.0,
            ring_events=16,
            page_events=7,
        )
        self.bests: dict[HardwareClass, WorkingBest] = {}

    async def working_bests(self) -> tuple[WorkingBest, ...]:
        return tuple(self.bests.values())

    async def claim(self, count: int = 1) -> None:
        for _ in range(count):
            claim_id = new_id()
            key = EditKey(kind=KeyKind.WORDS, digest=claim_id.replace("-", ""))
            request = ClaimRequest(
                claim_id=ClaimId(claim_id),
                node_id=NodeId("n_1"),
                owner_id=OwnerId("ada"),
                hardware_class=CPU,
                kind=ClaimKind.HYPOTHESIS,
                keys=(key,),
                fingerprint=claim_id,
            )
            await self.store.claim(request, ttl_s=60.0, max_live=1_000_000)

    async def promote(self, hardware_class: HardwareClass, mean: float) -> WorkingBest:
        now = datetime.now(UTC)
        best = WorkingBest(
            experiment_id=ExperimentId(new_id()),
            hardware_class=hardware_class,
            source_hash=SourceHash("sha256:" + "0" * 64),
            level=Level.PROVISIONAL,
            mean=mean,
            runs=1,
            spread=0.01,
            since=now,
        )
        change = BestChange(best=best, previous=None, reason="test", at=now)
        seen = await self.store.get_class(hardware_class)
        self.bests[hardware_class] = best
        await self.store.update_class(
            hardware_class, seen.version, ClassUpdate(state="x", changes=(change,), working=best)
        )
        return best


@pytest.fixture
async def swarm() -> AsyncIterator[Swarm]:
    swarm = Swarm()
    task = asyncio.create_task(swarm.hub.run())
    yield swarm
    task.cancel()


async def take(events: AsyncGenerator[Event, None], count: int) -> list[Event]:
    async with asyncio.timeout(LIMIT_S):
        return [await anext(events) for _ in range(count)]


def subscribe(events: AsyncGenerator[Event, None]) -> asyncio.Task[Event]:
    return asyncio.ensure_future(anext(events))


async def settled(task: asyncio.Task[Event]) -> None:
    """Lets a subscriber run until it waits for events."""
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()


async def caught_up(swarm: Swarm) -> None:
    """Lets the hub read until it stands where the store does."""
    async with asyncio.timeout(LIMIT_S):
        while swarm.hub._here != await swarm.store.position():  # noqa: ASYNC110  (the hub tells only watchers)
            await asyncio.sleep(0)


async def test_a_feed_sees_every_event_once_and_in_order(swarm: Swarm) -> None:
    start = await swarm.store.position()
    feed = swarm.hub.feed(start)
    await swarm.claim(3)

    first = await take(feed, 3)
    await swarm.claim(2)
    second = await take(feed, 2)

    ids = [event.position.stream_id for event in first + second]
    assert len(set(ids)) == 5
    assert ids == sorted(ids, key=lambda text: tuple(map(int, text.split("-"))))


async def test_a_feed_older_than_the_ring_goes_on_from_the_store(swarm: Swarm) -> None:
    start = await swarm.store.position()
    live = swarm.hub.feed(None)
    waiting = subscribe(live)
    await settled(waiting)
    await swarm.claim(40)
    await waiting

    found = await take(swarm.hub.feed(start), 40)

    assert len({event.position.stream_id for event in found}) == 40


async def test_a_node_gets_new_bests_of_its_class_alone(swarm: Swarm) -> None:
    watch = swarm.hub.watch_best(CPU, None)
    waiting = subscribe(watch)
    await settled(waiting)

    await swarm.promote(GPU, 0.9)
    await swarm.claim(3)
    best = await swarm.promote(CPU, 1.2)

    event = await asyncio.wait_for(waiting, LIMIT_S)
    assert (event.kind, event.best) == (EventKind.BEST_CHANGED, best)


async def test_what_a_busy_node_missed_comes_as_the_last_best(swarm: Swarm) -> None:
    watch = swarm.hub.watch_best(CPU, None)
    waiting = subscribe(watch)
    await settled(waiting)
    await swarm.promote(CPU, 1.5)
    await asyncio.wait_for(waiting, LIMIT_S)

    for mean in (1.4, 1.3, 1.2):
        last = await swarm.promote(CPU, mean)
    await caught_up(swarm)
    (event,) = await take(watch, 1)

    assert event.best == last


async def test_a_node_that_comes_back_gets_what_it_missed(swarm: Swarm) -> None:
    start = await swarm.store.position()
    best = await swarm.promote(CPU, 1.2)

    (event,) = await take(swarm.hub.watch_best(CPU, start), 1)

    assert (event.kind, event.best) == (EventKind.BEST_CHANGED, best)


@pytest.mark.parametrize(
    "position", [Position(epoch=99, stream_id="1-0"), Position(epoch=1, stream_id="99999999999999-0")]
)
async def test_a_position_of_another_history_is_answered_by_a_snapshot(
    swarm: Swarm, position: Position
) -> None:
    best = await swarm.promote(CPU, 1.2)
    await swarm.promote(GPU, 0.8)

    (for_node,) = await take(swarm.hub.watch_best(CPU, position), 1)
    for_feed = await take(swarm.hub.feed(position), 2)

    assert (for_node.kind, for_node.best) == (EventKind.SNAPSHOT, best)
    assert {(event.kind, event.hardware_class) for event in for_feed} == {
        (EventKind.SNAPSHOT, CPU),
        (EventKind.SNAPSHOT, GPU),
    }


async def test_a_malformed_position_is_refused(swarm: Swarm) -> None:
    position = Position(epoch=1, stream_id="yesterday")

    for events in (swarm.hub.feed(position), swarm.hub.watch_best(CPU, position)):
        with pytest.raises(InvalidArgument):
            await take(events, 1)


async def test_closing_sends_every_watcher_away_as_unavailable(swarm: Swarm) -> None:
    waiting = [subscribe(swarm.hub.feed(None)), subscribe(swarm.hub.watch_best(CPU, None))]
    for task in waiting:
        await settled(task)

    swarm.hub.close()

    for task in waiting:
        with pytest.raises(Unavailable):
            await asyncio.wait_for(task, LIMIT_S)


async def test_a_cancelled_watcher_leaves_no_trace(swarm: Swarm) -> None:
    waiting = subscribe(swarm.hub.watch_best(CPU, None))
    await settled(waiting)

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert swarm.hub._watchers == 0
