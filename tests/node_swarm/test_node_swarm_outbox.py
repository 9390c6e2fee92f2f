import fcntl
import os
import sqlite3
from datetime import timedelta

import pytest
from autoresearch import errors, model
from structlog.testing import capture_logs
from swarm_samples import START, experiment, insight, lease, result

from node.swarm.insight_outbox import WAITING_LIMIT
from node.swarm.outbox import INTERNAL_ATTEMPTS, Outbox
from node.swarm.protocol import Publication


class Clock:
    def __init__(self):
        self.at = START

    def __call__(self):
        return self.at


class Taker:
    """A coordinator as the outbox sees it: acknowledges at growing positions, or refuses."""

    def __init__(self, *, epoch=1, first=1):
        self.epoch = epoch
        self.last = first
        self.taken = []
        self.refusals = {}

    async def __call__(self, publication):
        refusal = self.refusals.get(publication.result.result_id) or self.refusals.get("all")
        if refusal:
            raise refusal
        self.taken.append(publication)
        self.last += 1
        return model.Published(
            result_id=publication.result.result_id,
            position=model.Position(epoch=self.epoch, stream_id=f"{self.last}-0"),
            is_repeat=False,
            is_late=False,
            state=model.ExperimentState.COMPLETED,
            best=None,
        )

    def ids(self):
        return [publication.result.result_id for publication in self.taken]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def outbox(path, clock):
    box = Outbox(path, now=clock)
    yield box
    box.close()


def publication(**parts):
    made = experiment(b"x = 1\n")
    return Publication(result=result(made, **parts), experiment=made, source=b"x = 1\n", lease=None)


async def test_what_goes_in_comes_out_whole(outbox):
    made = experiment(b"x = 1\n")
    held = Publication(result=result(made), experiment=made, source=b"x = 1\n", lease=lease())
    taker = Taker()
    outbox.put(held)

    replay = await outbox.replay(taker)

    assert taker.taken == [held]
    assert replay.error is None
    assert outbox.waiting_count() == 0


async def test_results_survive_the_death_of_the_process(path, clock):
    first = Outbox(path, now=clock)
    kept = publication()
    first.put(kept)
    first.close()

    second = Outbox(path, now=clock)
    taker = Taker()
    await second.replay(taker)

    assert taker.taken == [kept]
    second.close()


async def test_replay_keeps_the_order_of_putting(outbox):
    entries = [publication() for _ in range(120)]
    for entry in entries:
        outbox.put(entry)
    taker = Taker()

    await outbox.replay(taker)

    assert taker.taken == entries


async def test_unreachable_coordinator_stops_the_replay_and_loses_nothing(outbox):
    entries = [publication() for _ in range(3)]
    for entry in entries:
        outbox.put(entry)
    taker = Taker()
    taker.refusals[entries[1].result.result_id] = errors.Unavailable("gone")

    replay = await outbox.replay(taker)

    assert [published.result_id for published in replay.published] == [entries[0].result.result_id]
    assert isinstance(replay.error, errors.Unavailable)
    assert outbox.waiting_count() == 2


@pytest.mark.parametrize(
    "error",
    [
        errors.ReadOnly("disk"),
        errors.LimitExceeded("fast"),
        errors.Unauthenticated("who"),
        errors.NodeBanned("out"),
    ],
)
async def test_refusal_that_is_not_about_the_result_keeps_it_waiting(outbox, error):
    outbox.put(publication())
    taker = Taker()
    taker.refusals["all"] = error

    replay = await outbox.replay(taker)

    assert replay.error is error
    assert outbox.waiting_count() == 1


async def test_result_of_another_challenge_waits_and_holds_up_nothing(outbox):
    elsewhere, here = publication(), publication()
    outbox.put(elsewhere)
    outbox.put(here)
    taker = Taker()
    taker.refusals[elsewhere.result.result_id] = errors.UnknownChallenge("not here")

    replay = await outbox.replay(taker)

    assert replay.error is None
    assert taker.taken == [here]
    assert outbox.waiting_count() == 1


async def test_waiting_for_a_challenge_is_said_once_until_the_challenge_is_back(outbox):
    first, second = publication(), publication()
    outbox.put(first)
    outbox.put(second)
    taker = Taker()
    taker.refusals["all"] = errors.UnknownChallenge("not here")

    with capture_logs() as away:
        for _ in range(3):
            await outbox.replay(taker)
    taker.refusals.clear()
    await outbox.replay(taker)
    outbox.put(publication())
    taker.refusals["all"] = errors.UnknownChallenge("gone again")
    with capture_logs() as again:
        await outbox.replay(taker)

    assert [(line["event"], line["results"]) for line in away] == [("results wait for their challenge", 2)]
    assert [line["results"] for line in again] == [1]


async def test_result_that_can_never_be_accepted_is_set_aside_and_the_rest_goes_on(outbox):
    poison, fine = publication(), publication()
    outbox.put(poison)
    outbox.put(fine)
    taker = Taker()
    taker.refusals[poison.result.result_id] = errors.InvalidArgument("metrics are impossible")

    await outbox.replay(taker)

    status = outbox.status()
    assert taker.taken == [fine]
    assert (status.waiting, status.acknowledged, status.set_aside_count) == (0, 1, 1)
    assert status.set_aside[0].result_id == poison.result.result_id
    assert "impossible" in status.set_aside[0].reason


async def test_result_that_cannot_even_be_read_is_set_aside(outbox):
    outbox.put(publication(metrics={"val_bpb": float("nan")}))
    taker = Taker()

    await outbox.replay(taker)

    assert taker.taken == []
    assert outbox.status().set_aside_count == 1


async def test_set_aside_result_that_is_put_again_waits_again(outbox):
    poison = publication()
    outbox.put(poison)
    outbox.set_aside(poison.result.result_id, "once")

    outbox.put(poison)

    assert outbox.waiting_count() == 1


async def test_coordinator_that_fails_over_one_result_again_and_again_is_believed(outbox):
    cursed, fine = publication(), publication()
    outbox.put(cursed)
    outbox.put(fine)
    taker = Taker()
    taker.refusals[cursed.result.result_id] = errors.Internal("boom")

    replays = [await outbox.replay(taker) for _ in range(INTERNAL_ATTEMPTS)]

    assert all(replay.error for replay in replays[:-1])
    assert taker.taken == [fine]
    assert outbox.status().set_aside_count == 1


async def test_putting_twice_publishes_once(outbox):
    entry = publication()
    outbox.put(entry)
    outbox.put(entry)
    taker = Taker()
    await outbox.replay(taker)
    outbox.put(entry)

    await outbox.replay(taker)

    assert taker.taken == [entry]


def hear(outbox, position):
    """One worker asks, and hears this."""
    return outbox.notice(position, asked_at=outbox.seen())


async def test_new_epoch_offers_everything_of_the_old_one_again(outbox):
    entries = [publication() for _ in range(3)]
    hear(outbox, model.Position(epoch=1, stream_id="1-0"))
    for entry in entries:
        outbox.put(entry)
    await outbox.replay(Taker(epoch=1))

    again = hear(outbox, model.Position(epoch=2, stream_id="1-0"))
    restored = Taker(epoch=2)
    await outbox.replay(restored)

    assert again == 3
    assert restored.taken == entries
    assert hear(outbox, model.Position(epoch=2, stream_id="9-0")) == 0


async def test_position_that_goes_back_offers_what_came_after_it(outbox):
    entries = [publication() for _ in range(3)]
    hear(outbox, model.Position(epoch=1, stream_id="1-0"))
    for entry in entries:
        outbox.put(entry)
    await outbox.replay(Taker(first=9))  # acknowledged at 10-0, 11-0, 12-0
    hear(outbox, model.Position(epoch=1, stream_id="12-0"))

    again = hear(outbox, model.Position(epoch=1, stream_id="10-5"))

    taker = Taker()
    await outbox.replay(taker)
    assert again == 2
    assert taker.taken == entries[1:]


async def test_lease_of_an_acknowledged_result_is_not_offered_again(outbox):
    made = experiment(b"x = 1\n")
    outbox.put(Publication(result=result(made), experiment=made, source=b"x = 1\n", lease=lease()))
    hear(outbox, model.Position(epoch=1, stream_id="1-0"))
    await outbox.replay(Taker())
    hear(outbox, model.Position(epoch=2, stream_id="1-0"))
    taker = Taker()

    await outbox.replay(taker)

    assert taker.taken[0].lease is None


async def test_position_that_moves_on_offers_nothing(outbox):
    outbox.put(publication())
    hear(outbox, model.Position(epoch=1, stream_id="9-0"))
    await outbox.replay(Taker(first=9))

    assert hear(outbox, model.Position(epoch=1, stream_id="10-0")) == 0
    assert outbox.waiting_count() == 0


async def test_acknowledged_results_are_kept_for_seven_days(outbox, clock):
    outbox.put(publication())
    await outbox.replay(Taker())

    clock.at = START + timedelta(days=7) - timedelta(seconds=1)
    kept = outbox.prune()
    clock.at = START + timedelta(days=7, seconds=1)

    assert kept == 0
    assert outbox.prune() == 1


async def test_waiting_results_are_never_pruned(outbox, clock):
    outbox.put(publication())
    outbox.put(publication())
    outbox.set_aside(publication().result.result_id, "unknown")
    clock.at = START + timedelta(days=400)

    outbox.prune()

    assert outbox.waiting_count() == 2


async def test_two_workers_share_one_outbox_and_one_replays(path, clock):
    first, second = Outbox(path, now=clock), Outbox(path, now=clock)
    first.put(publication())
    second.put(publication())
    inner = []

    async def take(entry):
        inner.append(await second.replay(Taker()))
        return await taker(entry)

    taker = Taker()
    await first.replay(take)

    assert inner == [None, None]
    assert len(taker.taken) == 2
    first.close()
    second.close()


async def test_lock_of_a_dead_worker_does_not_stay(path, outbox):
    descriptor = os.open(path.with_name(path.name + ".replay"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    held = await outbox.replay(Taker())
    os.close(descriptor)

    assert held is None
    assert await outbox.replay(Taker()) is not None


def test_every_commit_waits_for_the_disk(path, outbox):
    assert outbox._connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone()[0] == "wal"


class Sharer:
    def __init__(self):
        self.taken, self.refusal = [], None

    async def __call__(self, insight):
        if self.refusal is not None:
            raise self.refusal
        self.taken.append(insight)


async def test_insights_come_out_whole_in_order_once(outbox):
    sharer = Sharer()
    learned = [insight(experiment(b"x = 1\n").experiment_id, text=str(number)) for number in range(3)]
    for one in (*learned, learned[0]):
        outbox.insights.put(one)

    for _ in range(2):
        assert await outbox.replay_insights(sharer) is None

    assert sharer.taken == learned
    assert outbox.insights.waiting_count() == 0


async def test_insight_is_held_back_while_its_result_waits(outbox):
    sharer, held = Sharer(), publication()
    outbox.put(held)
    outbox.insights.put(insight(held.experiment.experiment_id))
    free = insight(experiment(b"x = 1\n").experiment_id)
    outbox.insights.put(free)

    await outbox.replay_insights(sharer)
    before = list(sharer.taken)
    await outbox.replay(Taker())
    await outbox.replay_insights(sharer)

    assert before == [free]
    assert len(sharer.taken) == 2


async def test_insight_that_will_never_be_taken_holds_up_no_other(outbox):
    sharer = Sharer()
    refused = insight(experiment(b"x = 1\n").experiment_id)
    outbox.insights.put(refused)
    sharer.refusal = errors.NotFound("no such experiment")
    with capture_logs() as logs:
        await outbox.replay_insights(sharer)

    sharer.refusal = None
    outbox.insights.put(insight(experiment(b"x = 1\n").experiment_id))
    await outbox.replay_insights(sharer)

    assert [one["event"] for one in logs] == ["insight set aside"]
    assert refused not in sharer.taken
    assert len(sharer.taken) == 1


async def test_unreachable_coordinator_is_told_and_insights_stay(outbox):
    sharer = Sharer()
    sharer.refusal = errors.Unavailable("nobody answers")
    outbox.insights.put(insight(experiment(b"x = 1\n").experiment_id))

    error = await outbox.replay_insights(sharer)

    assert error is sharer.refusal
    assert outbox.insights.waiting_count() == 1


async def test_insights_that_wait_have_a_limit_and_the_oldest_make_room(outbox):
    evidence = experiment(b"x = 1\n").experiment_id
    for number in range(WAITING_LIMIT + 2):
        outbox.insights.put(insight(evidence, text=str(number)))
    sharer = Sharer()

    await outbox.replay_insights(sharer)

    assert [one.text for one in sharer.taken][:2] == ["2", "3"]
    assert len(sharer.taken) == WAITING_LIMIT


async def test_acknowledged_insights_are_forgotten_after_a_while(outbox, clock, path):
    outbox.insights.put(insight(experiment(b"x = 1\n").experiment_id))
    await outbox.replay_insights(Sharer())

    clock.at += timedelta(days=8)
    outbox.insights.put(insight(experiment(b"x = 1\n").experiment_id))
    await outbox.replay_insights(Sharer())

    rows = sqlite3.connect(path).execute("SELECT count(*) FROM insights").fetchone()
    assert rows == (1,)


async def test_answers_that_overtake_each_other_are_no_forgetting(outbox):
    at = [model.Position(epoch=1, stream_id=f"{number}-0") for number in (7, 8, 9)]
    hear(outbox, at[0])
    asked_by_both = outbox.seen()
    outbox.put(publication())
    await outbox.replay(Taker(first=9))

    second = outbox.notice(at[2], asked_at=asked_by_both)
    first = outbox.notice(at[1], asked_at=asked_by_both)

    assert (second, first) == (0, 0)
    assert outbox.seen() == at[2]
    assert outbox.waiting_count() == 0


async def test_a_late_answer_of_the_epoch_before_takes_nothing_back(outbox):
    old, new = (model.Position(epoch=epoch, stream_id="5-0") for epoch in (1, 2))
    hear(outbox, old)
    asked_before = outbox.seen()
    hear(outbox, new)
    outbox.put(publication())
    await outbox.replay(Taker(epoch=2))

    again = outbox.notice(old, asked_at=asked_before)

    assert again == 0
    assert outbox.seen() == new
