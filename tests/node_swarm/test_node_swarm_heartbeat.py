import asyncio
import random

import pytest
from autoresearch import errors, model
from autoresearch.model import new_id
from structlog.testing import capture_logs
from swarm_samples import lease

from node.swarm.heartbeat import Heartbeat


class Coordinator:
    def __init__(self):
        self.asked = []
        self.lost = set()
        self.best = None
        self.program = None
        self.failures = []

    async def __call__(self, claim_ids, activity):
        self.asked.append((tuple(claim_ids), activity))
        if self.failures:
            raise self.failures.pop()
        return model.Beat(
            position=model.Position(epoch=1, stream_id="1-0"),
            renewed=tuple(
                lease(claim_id=claim_id, fencing_token=8)
                for claim_id in claim_ids
                if claim_id not in self.lost
            ),
            lost=tuple(claim_id for claim_id in claim_ids if claim_id in self.lost),
            best_experiment_id=self.best,
            program_hash=self.program,
        )


class Sleeper:
    """Lets a number of beats pass, then stops the loop."""

    def __init__(self, beats):
        self.waits = []
        self._left = beats

    async def __call__(self, wait_s):
        if self._left == 0:
            raise asyncio.CancelledError
        self._left -= 1
        self.waits.append(wait_s)


async def run(heartbeat):
    with pytest.raises(asyncio.CancelledError):
        await heartbeat.run()


async def test_held_leases_are_renewed_and_dropped_ones_are_not():
    coordinator = Coordinator()
    heartbeat = Heartbeat(coordinator, interval_s=30, activity=lambda: "training")
    kept, dropped = lease(), lease()
    heartbeat.hold(kept)
    heartbeat.hold(dropped)
    heartbeat.drop(dropped.claim_id)

    await heartbeat.beat_once()

    assert coordinator.asked == [((kept.claim_id,), "training")]


async def test_lost_lease_is_told_once_and_remembered():
    coordinator, told = Coordinator(), []
    heartbeat = Heartbeat(coordinator, interval_s=30, on_lost=told.append)
    held = lease()
    heartbeat.hold(held)
    coordinator.lost.add(held.claim_id)

    await heartbeat.beat_once()
    await heartbeat.beat_once()

    assert told == [held.claim_id]
    assert heartbeat.is_lost(held.claim_id)
    assert coordinator.asked[-1][0] == ()


async def test_lease_that_was_dropped_during_the_beat_is_not_lost():
    told = []
    held = lease()

    async def slow(claim_ids, activity):
        heartbeat.drop(held.claim_id)
        return model.Beat(
            position=model.Position(epoch=1, stream_id="1-0"),
            renewed=(),
            lost=claim_ids,
            best_experiment_id=None,
        )

    heartbeat = Heartbeat(slow, interval_s=30, on_lost=told.append)
    heartbeat.hold(held)

    await heartbeat.beat_once()

    assert told == []


async def test_new_best_is_told_when_it_changes():
    coordinator, told = Coordinator(), []
    first, second = new_id(), new_id()
    bests = iter([None, first, first, second])

    async def sleep(wait_s):
        coordinator.best = next(bests, "over")
        if coordinator.best == "over":
            raise asyncio.CancelledError

    heartbeat = Heartbeat(coordinator, interval_s=30, sleep=sleep)

    with pytest.raises(asyncio.CancelledError):
        await heartbeat.run(told.append)

    assert told == [first, second]


async def test_new_program_is_told_when_it_changes():
    coordinator, bests, programs = Coordinator(), [], []
    hashes = iter([None, "p_1", "p_1", "p_2"])

    async def sleep(wait_s):
        coordinator.program = next(hashes, "over")
        if coordinator.program == "over":
            raise asyncio.CancelledError

    heartbeat = Heartbeat(coordinator, interval_s=30, sleep=sleep)

    with pytest.raises(asyncio.CancelledError):
        await heartbeat.run(bests.append, programs.append)

    assert (bests, programs) == ([], ["p_1", "p_2"])


async def test_failing_beat_does_not_end_the_heartbeat():
    coordinator, sleeper = Coordinator(), Sleeper(beats=3)
    coordinator.failures = [errors.Unavailable("gone"), errors.Internal("bug")]
    heartbeat = Heartbeat(coordinator, interval_s=30, sleep=sleeper)

    await run(heartbeat)

    assert len(coordinator.asked) == 3


async def test_failure_is_told_once_and_so_is_its_end():
    coordinator = Coordinator()
    coordinator.failures = [errors.Internal("bug")] * 3
    heartbeat = Heartbeat(coordinator, interval_s=30, sleep=Sleeper(beats=5))

    with capture_logs() as logs:
        await run(heartbeat)

    assert [line["event"] for line in logs] == ["heartbeat failed", "heartbeat works again"]


async def test_waits_are_spread_around_the_interval():
    sleeper = Sleeper(beats=50)
    heartbeat = Heartbeat(Coordinator(), interval_s=30, sleep=sleeper, jitter=random.Random(1))

    await run(heartbeat)

    assert all(24 <= wait_s <= 36 for wait_s in sleeper.waits)
    assert max(sleeper.waits) - min(sleeper.waits) > 6


async def test_new_interval_counts_for_the_wait_under_way():
    waits, asleep = [], asyncio.Event()

    async def sleep(wait_s):
        waits.append(wait_s)
        asleep.set()
        if len(waits) > 1:
            raise asyncio.CancelledError
        await asyncio.Event().wait()

    coordinator = Coordinator()
    heartbeat = Heartbeat(coordinator, interval_s=300, sleep=sleep)
    running = asyncio.create_task(heartbeat.run())
    await asleep.wait()

    heartbeat.set_interval(10)

    with pytest.raises(asyncio.CancelledError):
        await running
    assert [round(wait_s / 300) for wait_s in waits[:1]] == [1]
    assert 8 <= waits[1] <= 12
    assert coordinator.asked == []


async def test_more_leases_than_one_call_takes_are_renewed_in_turns():
    coordinator = Coordinator()
    heartbeat = Heartbeat(coordinator, interval_s=30)
    held = [lease() for _ in range(100)]
    for one in held:
        heartbeat.hold(one)

    await heartbeat.beat_once()
    await heartbeat.beat_once()

    assert {claim_id for asked, _ in coordinator.asked for claim_id in asked} == {
        one.claim_id for one in held
    }
