import dataclasses
import random

import pytest
from autoresearch import errors, model
from autoresearch.baseline import baseline_id
from autoresearch.model import new_id
from swarm_samples import CLASS, START, constant, experiment, hardware, hash_of, hypothesis, result

from node.swarm.protocol import BestSource, Publication
from node.swarm.solo import SoloSwarm
from node.swarm.solo_leases import LEASE_TTL_S
from node.swarm.solo_tasks import BASELINE_FAILURES_LIMIT


@pytest.fixture
def path(tmp_path):
    return tmp_path / "solo.sqlite"


@pytest.fixture
async def make(path, challenge, clock):
    opened = []

    async def one(**parts):
        swarm = SoloSwarm(path, challenge, "n_1", now=clock, rng=random.Random(len(opened)), **parts)
        opened.append(swarm)
        await swarm.connect(hardware())
        return swarm

    yield one
    for swarm in opened:
        await swarm.close()


@pytest.fixture
async def solo(make):
    return await make()


class Bench:
    def __init__(self, swarm, challenge):
        self.swarm = swarm
        self.challenge = challenge

    def code(self, **values):
        source = self.challenge.baseline_source
        for name, value in values.items():
            old = next(line for line in source.splitlines() if line.startswith(f"{name} = "))
            source = source.replace(old, f"{name} = {value}")
        return source.encode()

    async def publish(self, source, *, lease, score=1.5, experiment_id=None, parents=(), words=None, **parts):
        made = experiment(
            source,
            challenge_id=self.challenge.challenge_id,
            experiment_id=experiment_id,
            parents=parents,
            hypothesis=words or hypothesis("an edit"),
            node_id="n_1",
        )
        run = result(made, score=score, **parts)
        return await self.swarm.publish(Publication(result=run, experiment=made, source=source, lease=lease))

    async def task(self):
        return await self.swarm.next_task(can_propose=True, can_train=True)

    async def baseline(self, score=1.5, **parts):
        task = await self.task()
        return await self.publish(
            self.code(), lease=task.lease, score=score, experiment_id=task.experiment_id,
            purpose=model.Purpose.BASELINE, seed=task.seed, **parts,
        )  # fmt: skip

    async def opened(self):
        for score in (1.50, 1.51, 1.49):
            await self.baseline(score)
        return (await self.swarm.best()).best

    async def claim(self, parent, **values):
        words = hypothesis(
            f"set {values}", changes=tuple(constant(name, str(value)) for name, value in values.items())
        )
        return words, await self.swarm.claim(new_id(), words, parent.experiment_id)

    async def explore(self, parent, *, score, **values):
        words, verdict = await self.claim(parent, **values)
        experiment_id, source = new_id(), self.code(**values)
        started = await self.swarm.start(verdict.lease, experiment_id, source)
        return await self.publish(
            source, lease=started.lease, score=score, experiment_id=experiment_id,
            parents=(parent.experiment_id,), words=words, seed=started.seed,
        )  # fmt: skip

    async def pair(self, candidate, control, *, task=None, outcome=model.Outcome.COMPLETED):
        task = task or await self.task()
        for experiment_id, purpose, score in (
            (task.candidate_id, model.Purpose.VERIFY_CANDIDATE, candidate),
            (task.control_id, model.Purpose.VERIFY_CONTROL, control),
        ):
            crashed = outcome is not model.Outcome.COMPLETED and purpose is model.Purpose.VERIFY_CANDIDATE
            published = await self.publish(
                await self.swarm.source(experiment_id), lease=task.lease, score=score,
                experiment_id=experiment_id, purpose=purpose, seed=task.seed,
                verification_id=task.verification_id,
                **({"outcome": outcome, "metrics": {}, "crash_kind": "exception"} if crashed else {}),
            )  # fmt: skip
        return published


@pytest.fixture
def bench(solo, challenge):
    return Bench(solo, challenge)


async def test_baseline_is_named_as_every_coordinator_names_it(bench, challenge):
    task = await bench.task()

    assert task.experiment_id == baseline_id(challenge.challenge_id, CLASS)


async def test_three_workers_share_the_three_baseline_runs(make, challenge):
    benches = [Bench(await make(), challenge) for _ in range(4)]

    tasks = [await bench.task() for bench in benches]

    assert [type(task) for task in tasks] == [model.BaselineTask] * 3 + [model.IdleTask]
    assert len({task.seed for task in tasks[:3]}) == 3


async def test_baseline_that_always_fails_is_not_run_for_ever(bench):
    for _ in range(BASELINE_FAILURES_LIMIT):
        await bench.baseline(outcome=model.Outcome.CRASHED, metrics={}, crash_kind="exception")

    task = await bench.task()

    assert isinstance(task, model.IdleTask)
    assert "doctor" in task.reason


async def test_spread_is_learned_from_reruns(bench, challenge):
    best = await bench.opened()

    assert best.spread != challenge.prior_sd
    assert 0 < best.spread < 0.05


async def test_everything_survives_a_restart(make, challenge):
    first = Bench(await make(), challenge)
    parent = await first.opened()
    await first.explore(parent, score=1.3, DEPTH=3)

    second = Bench(await make(), challenge)
    best = (await second.swarm.best()).best
    _, verdict = await second.claim(parent, DEPTH=3)

    assert best.level is model.Level.PROVISIONAL
    assert isinstance(verdict, model.Duplicate)


async def test_expired_claim_can_be_claimed_by_another_worker(make, challenge, clock):
    first, second = Bench(await make(), challenge), Bench(await make(), challenge)
    parent = await first.opened()
    _, held = await first.claim(parent, DEPTH=3)
    _, refused = await second.claim(parent, DEPTH=3)

    clock.forward(LEASE_TTL_S + 1)
    _, granted = await second.claim(parent, DEPTH=3)

    assert isinstance(refused, model.Duplicate)
    assert isinstance(granted, model.Granted)
    with pytest.raises(errors.LeaseLost):
        await first.swarm.start(held.lease, new_id(), first.code(DEPTH=3))


async def test_renewed_claim_does_not_expire(bench, clock):
    parent = await bench.opened()
    _, verdict = await bench.claim(parent, DEPTH=3)

    for _ in range(3):
        clock.forward(LEASE_TTL_S - 1)
        beat = await bench.swarm.heartbeat([verdict.lease.claim_id], "training")

    assert beat.lost == ()
    assert isinstance(await bench.swarm.start(verdict.lease, new_id(), bench.code(DEPTH=3)), model.Started)


async def test_experiment_whose_lease_ran_out_is_lost_and_may_be_tried_again(bench, clock):
    parent = await bench.opened()
    _, verdict = await bench.claim(parent, DEPTH=3)
    await bench.swarm.start(verdict.lease, new_id(), bench.code(DEPTH=3))

    clock.forward(LEASE_TTL_S + 1)
    _, again = await bench.claim(parent, DEPTH=3)
    lost = await bench.swarm.experiments(model.ExperimentQuery(state=model.ExperimentState.LOST))

    assert isinstance(again, model.Granted)
    assert lost.total == 1


async def test_result_of_a_lost_lease_is_kept(bench, clock):
    parent = await bench.opened()
    _words, verdict = await bench.claim(parent, DEPTH=3)
    experiment_id, source = new_id(), bench.code(DEPTH=3)
    started = await bench.swarm.start(verdict.lease, experiment_id, source)
    clock.forward(LEASE_TTL_S + 1)
    await bench.task()

    published = await bench.publish(
        source, lease=started.lease, score=1.6, experiment_id=experiment_id, parents=(parent.experiment_id,)
    )

    assert published.state is model.ExperimentState.COMPLETED


async def test_same_edit_on_another_parent_is_granted(bench):
    parent = await bench.opened()
    won = await bench.explore(parent, score=1.3, DEPTH=3)
    for _ in range(3):
        await bench.pair(1.3, 1.5)
    await bench.explore(won.best, score=1.35, DEPTH=3, HEAD_DIM=64)

    _, verdict = await bench.claim(parent, HEAD_DIM=64)

    assert isinstance(verdict, model.Granted)


async def test_killed_run_says_nothing_about_its_code(bench):
    parent = await bench.opened()
    _words, verdict = await bench.claim(parent, DEPTH=3)
    experiment_id, source = new_id(), bench.code(DEPTH=3)
    started = await bench.swarm.start(verdict.lease, experiment_id, source)
    await bench.publish(
        source, lease=started.lease, experiment_id=experiment_id, parents=(parent.experiment_id,),
        outcome=model.Outcome.CRASHED, metrics={}, crash_kind="killed",
    )  # fmt: skip

    assert isinstance((await bench.claim(parent, DEPTH=3))[1], model.Granted)


async def test_code_that_is_no_python_may_start_and_crash(bench):
    parent = await bench.opened()
    _words, verdict = await bench.claim(parent, DEPTH=3)

    assert isinstance(await bench.swarm.start(verdict.lease, new_id(), b"def ("), model.Started)


async def test_words_that_do_not_match_the_code_are_flagged(bench):
    parent = await bench.opened()
    _, verdict = await bench.claim(parent, DEPTH=3)

    started = await bench.swarm.start(verdict.lease, new_id(), bench.code(HEAD_DIM=64))

    assert started.flags


async def test_verification_goes_on_until_the_rule_is_satisfied(bench):
    parent = await bench.opened()
    won = await bench.explore(parent, score=1.40, DEPTH=3)
    step = 1.5 * (won.best.spread * (2 / 5) ** 0.5)

    levels = [(await bench.pair(1.5 - step, 1.5)).best.level for _ in range(5)]
    more = await bench.task()

    assert levels == [model.Level.PROVISIONAL] * 5
    assert isinstance(more, model.ReplicateTask)


async def test_no_more_pairs_are_under_way_than_the_next_look_needs(make, challenge):
    benches = [Bench(await make(), challenge) for _ in range(5)]
    parent = await benches[0].opened()
    await benches[0].explore(parent, score=1.3, DEPTH=3)

    tasks = [await bench.task() for bench in benches]

    assert [type(task) for task in tasks] == [model.ReplicateTask] * 3 + [model.ExploreTask] * 2


async def test_candidate_that_crashes_in_verification_is_dropped(bench):
    parent = await bench.opened()
    await bench.explore(parent, score=1.3, DEPTH=3)

    for _ in range(2):
        published = await bench.pair(1.3, 1.5, outcome=model.Outcome.CRASHED)

    assert published.best.experiment_id == parent.experiment_id


async def test_best_that_returns_is_sharper_by_its_control_runs(bench):
    parent = await bench.opened()
    await bench.explore(parent, score=1.3, DEPTH=3)

    for _ in range(3):
        published = await bench.pair(1.60, 1.56)

    assert published.best.runs == 6
    assert published.best.mean == pytest.approx(1.53)


async def test_candidate_that_waited_is_verified_next(bench):
    parent = await bench.opened()
    first = await bench.explore(parent, score=1.3, DEPTH=3)
    _words, verdict = await bench.claim(parent, HEAD_DIM=64)
    experiment_id, source = new_id(), bench.code(HEAD_DIM=64)
    started = await bench.swarm.start(verdict.lease, experiment_id, source)
    waiting = await bench.publish(
        source, lease=started.lease, score=1.2, experiment_id=experiment_id, parents=(parent.experiment_id,)
    )

    for _ in range(3):
        published = await bench.pair(1.3, 1.5)

    task = await bench.task()
    assert waiting.state is model.ExperimentState.CANDIDATE
    assert published.best.experiment_id == experiment_id
    assert (task.candidate_id, task.control_id) == (experiment_id, first.best.experiment_id)


async def test_best_of_the_swarm_replaces_what_was_decided_alone(bench):
    parent = await bench.opened()
    await bench.explore(parent, score=1.3, DEPTH=3)
    source = bench.code(DEPTH=7)
    theirs = model.WorkingBest(
        experiment_id=new_id(), hardware_class=CLASS, source_hash=hash_of(source),
        level=model.Level.CONFIRMED, mean=1.1, runs=8, spread=0.02, since=START,
        title="theirs", node_id="n_2",
    )  # fmt: skip

    await bench.swarm.adopt_best(BestSource(best=theirs, source=source))

    task = await bench.task()
    _, verdict = await bench.claim(theirs, DEPTH=2)
    assert task == model.ExploreTask(parent=theirs)
    assert isinstance(verdict, model.Granted)
    refused = await bench.swarm.start(verdict.lease, new_id(), bench.code(DEPTH=2))
    assert isinstance(refused, model.StartRefused)


async def test_swarm_whose_best_is_the_baseline_needs_no_more_baseline_runs(bench, challenge):
    source = challenge.baseline_source.encode()
    theirs = model.WorkingBest(
        experiment_id=baseline_id(challenge.challenge_id, CLASS), hardware_class=CLASS,
        source_hash=hash_of(source), level=model.Level.BASELINE, mean=1.5, runs=3, spread=0.02, since=START,
    )  # fmt: skip

    await bench.swarm.adopt_best(BestSource(best=theirs, source=source))

    assert isinstance(await bench.task(), model.ExploreTask)


async def test_node_without_an_agent_is_idle_when_nothing_waits(bench):
    await bench.opened()

    task = await bench.swarm.next_task(can_propose=False, can_train=True)

    assert isinstance(task, model.IdleTask)


async def test_publication_that_contradicts_itself_is_refused(bench, challenge):
    made = experiment(b"x = 1\n", challenge_id=challenge.challenge_id)
    publication = Publication(result=result(made), experiment=made, source=b"y = 2\n", lease=None)

    with pytest.raises(errors.InvalidArgument, match="hash"):
        await bench.swarm.publish(publication)
    other = dataclasses.replace(publication, source=b"x = 1\n", experiment=experiment(b"x = 1\n"))
    with pytest.raises(errors.SwarmError):
        await bench.swarm.publish(other)


async def test_calls_before_connect_say_so(path, challenge):
    swarm = SoloSwarm(path, challenge, "n_1")

    with pytest.raises(errors.InvalidArgument, match="connect first"):
        await swarm.best()
    await swarm.close()
