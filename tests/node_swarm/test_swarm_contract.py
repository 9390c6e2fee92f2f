"""What every swarm promises to a node, alone or behind a coordinator."""

import dataclasses

import pytest
from autoresearch import errors, model
from autoresearch.model import new_id
from autoresearch.program import program_hash
from autoresearch.signing import SigningKey
from swarm_samples import START, constant, hardware, hash_of, hypothesis, insight, result

from coordinator.config import Config
from coordinator.server import running_coordinator
from coordinator.storage.memory.server import MemoryStoreServer
from node.swarm.address import open_channel, parse_address
from node.swarm.grpc_client import GrpcSwarm, JoinTerms
from node.swarm.protocol import Publication
from node.swarm.solo import SoloSwarm


@pytest.fixture(params=["solo", "grpc"])
async def swarm(request, tmp_path, challenge):
    if request.param == "solo":
        alone = SoloSwarm(tmp_path / "solo.sqlite", challenge, SigningKey.generate().node_id)
        yield alone
        await alone.close()
        return
    config = Config(listen="127.0.0.1:0", data_dir=tmp_path)
    async with running_coordinator(config, store=MemoryStoreServer(), challenges=[challenge]) as coordinator:
        channel = open_channel(parse_address(coordinator.address))
        terms = JoinTerms(name="bee", has_consented=True)
        behind = GrpcSwarm(channel, coordinator.address, SigningKey.generate(), terms, node_version="0")
        yield behind
        await behind.close()


class Worker:
    """Plays a node: measures what it is told to."""

    def __init__(self, swarm, challenge, session):
        self.swarm = swarm
        self.challenge = challenge
        self.owner_id = session.owner_id

    def experiment(self, source, *, experiment_id=None, parents=(), title="baseline", changes=()):
        return model.Experiment(
            experiment_id=experiment_id or new_id(),
            challenge_id=self.challenge.challenge_id,
            hypothesis=hypothesis(title, changes=changes),
            source_hash=hash_of(source),
            parents=parents,
            node_id="n_1",
            owner_id=self.owner_id,
            hardware_class=hardware().hardware_class,
            created_at=START,
        )

    def publication(self, made, source, *, lease, score=1.5, **parts):
        harness = (
            {"harness_version": self.challenge.harness_versions[0]} if self.challenge.harness_versions else {}
        )
        run = result(made, score=score, **harness, **parts)
        return Publication(result=run, experiment=made, source=source, lease=lease)

    def lesson(self, *evidence, **parts):
        return insight(*evidence, challenge_id=self.challenge.challenge_id, **parts)

    async def next_task(self):
        return await self.swarm.next_task(can_propose=True, can_train=True)

    async def measure_baseline(self, task, score=1.5):
        source = self.challenge.baseline_source.encode()
        made = self.experiment(source, experiment_id=task.experiment_id)
        return await self.swarm.publish(
            self.publication(
                made, source, lease=task.lease, score=score, purpose=model.Purpose.BASELINE, seed=task.seed
            )
        )

    async def open_class(self):
        for score in (1.500, 1.502, 1.498):
            await self.measure_baseline(await self.next_task(), score)
        task = await self.next_task()
        assert isinstance(task, model.ExploreTask)
        return task.parent

    def edit(self, **values):
        """The baseline with other constants, and the words for it."""
        lines = self.challenge.baseline_source.splitlines(keepends=True)
        for index, line in enumerate(lines):
            name = line.split(" = ")[0]
            if name in values:
                lines[index] = f"{name} = {values.pop(name)}\n"
        assert not values, "the baseline lacks these constants"
        return "".join(lines).encode()

    async def start(self, parent, *, claim_id=None, **values):
        changes = tuple(constant(name, str(value)) for name, value in values.items())
        title = ", ".join(f"set {name} to {value}" for name, value in values.items())
        words = hypothesis(title, changes=changes)
        verdict = await self.swarm.claim(claim_id or new_id(), words, parent.experiment_id)
        assert isinstance(verdict, model.Granted), verdict
        experiment_id = new_id()
        source = self.edit(**values)
        started = await self.swarm.start(verdict.lease, experiment_id, source)
        made = self.experiment(
            source, experiment_id=experiment_id, parents=(parent.experiment_id,), title=title, changes=changes
        )
        return started, made, source

    async def explore(self, parent, *, score, **values):
        started, made, source = await self.start(parent, **values)
        publication = self.publication(made, source, lease=started.lease, score=score, seed=started.seed)
        return await self.swarm.publish(publication)

    async def next_pair(self):
        """A swarm may let a lone node explore between pairs; it does not let it explore for ever."""
        for _ in range(200):
            task = await self.next_task()
            if isinstance(task, model.ReplicateTask):
                return task
        raise AssertionError("no verification pair was handed out")

    async def replicate(self, task, *, candidate, control=None):
        """Both runs of a pair, or the candidate's alone."""
        sides = [(task.candidate_id, model.Purpose.VERIFY_CANDIDATE, candidate)]
        if control is not None:
            sides.append((task.control_id, model.Purpose.VERIFY_CONTROL, control))
        for experiment_id, purpose, score in sides:
            source = await self.swarm.source(experiment_id)
            made = self.experiment(source, experiment_id=experiment_id, title="replication")
            published = await self.swarm.publish(
                self.publication(
                    made,
                    source,
                    lease=task.lease,
                    score=score,
                    purpose=purpose,
                    seed=task.seed,
                    verification_id=task.verification_id,
                )
            )
        return published


@pytest.fixture
async def worker(swarm, challenge):
    session = await swarm.connect(hardware())
    return Worker(swarm, challenge, session)


async def test_session_names_challenge_and_terms(swarm, challenge):
    session = await swarm.connect(hardware(), challenge.name)

    assert session.challenge.challenge_id == challenge.challenge_id
    assert session.challenge.baseline_source == challenge.baseline_source
    assert session.best is None
    assert 0 < session.heartbeat_interval_s < session.lease_ttl_s


async def test_unknown_challenge_is_refused(swarm):
    with pytest.raises(errors.UnknownChallenge):
        await swarm.connect(hardware(), "chess")


async def test_class_opens_with_three_runs_of_the_baseline(worker, swarm):
    assert await swarm.best() is None

    parent = await worker.open_class()

    best = await swarm.best()
    assert best.best.experiment_id == parent.experiment_id
    assert best.best.level is model.Level.BASELINE
    assert best.best.runs == 3
    assert best.best.mean == pytest.approx(1.5)
    assert best.source == worker.challenge.baseline_source.encode()


async def test_published_result_can_be_published_again(worker):
    task = await worker.next_task()
    source = worker.challenge.baseline_source.encode()
    made = worker.experiment(source, experiment_id=task.experiment_id)
    publication = worker.publication(
        made, source, lease=task.lease, purpose=model.Purpose.BASELINE, seed=task.seed
    )

    first = await worker.swarm.publish(publication)
    second = await worker.swarm.publish(publication)

    assert (first.is_repeat, second.is_repeat) == (False, True)
    assert first.result_id == second.result_id == publication.result.result_id


async def test_result_id_cannot_be_used_for_another_result(worker):
    task = await worker.next_task()
    source = worker.challenge.baseline_source.encode()
    made = worker.experiment(source, experiment_id=task.experiment_id)
    publication = worker.publication(
        made, source, lease=task.lease, purpose=model.Purpose.BASELINE, seed=task.seed
    )
    await worker.swarm.publish(publication)

    other = dataclasses.replace(publication.result, metrics={"val_bpb": 1.1})
    with pytest.raises(errors.Conflict):
        await worker.swarm.publish(dataclasses.replace(publication, result=other))


async def test_claim_is_granted_once_and_repeats_bring_the_same_lease(worker):
    parent = await worker.open_class()
    words = hypothesis("set DEPTH to 3", changes=(constant("DEPTH", "3"),))
    claim_id = new_id()

    first = await worker.swarm.claim(claim_id, words, parent.experiment_id)
    again = await worker.swarm.claim(claim_id, words, parent.experiment_id)

    assert isinstance(first, model.Granted)
    assert isinstance(again, model.Granted)
    assert again.lease.fencing_token == first.lease.fencing_token


async def test_claim_id_cannot_be_used_for_another_idea(worker):
    parent = await worker.open_class()
    claim_id = new_id()
    await worker.swarm.claim(
        claim_id, hypothesis("set DEPTH to 3", changes=(constant("DEPTH", "3"),)), parent.experiment_id
    )

    with pytest.raises(errors.Conflict):
        await worker.swarm.claim(
            claim_id, hypothesis("set DEPTH to 5", changes=(constant("DEPTH", "5"),)), parent.experiment_id
        )


async def test_edit_that_was_tried_is_a_duplicate_with_its_outcome(worker):
    parent = await worker.open_class()
    await worker.explore(parent, score=1.6, DEPTH=3)
    same = hypothesis("a deeper model", changes=(constant("DEPTH", "2 + 1"),))

    verdict = await worker.swarm.claim(new_id(), same, parent.experiment_id)

    assert isinstance(verdict, model.Duplicate)
    assert verdict.match.state is model.ExperimentState.COMPLETED
    assert verdict.match.score == pytest.approx(1.6)
    assert verdict.match.same_parent


async def test_retest_of_an_edit_on_the_same_parent_is_a_duplicate(worker):
    parent = await worker.open_class()
    await worker.explore(parent, score=1.6, DEPTH=3)
    again = hypothesis("once more", changes=(constant("DEPTH", "3"),), intent=model.Intent.RETEST)

    verdict = await worker.swarm.claim(new_id(), again, parent.experiment_id)

    assert isinstance(verdict, model.Duplicate)
    assert verdict.match.same_parent


async def test_retest_of_an_edit_on_another_parent_is_granted_and_starts(worker):
    parent = await worker.open_class()
    await worker.explore(parent, score=1.6, DEPTH=3)
    won = await worker.explore(parent, score=1.40, HEAD_DIM=16)
    again = hypothesis("on the new best", changes=(constant("DEPTH", "3"),), intent=model.Intent.RETEST)

    verdict = await worker.swarm.claim(new_id(), again, won.best.experiment_id)
    started = await worker.swarm.start(verdict.lease, new_id(), worker.edit(DEPTH=3, HEAD_DIM=16))

    assert won.best.experiment_id != parent.experiment_id
    assert isinstance(verdict, model.Granted)
    assert isinstance(started, model.Started)


async def test_other_value_of_the_same_constant_is_granted_with_advice(worker):
    parent = await worker.open_class()
    await worker.explore(parent, score=1.6, DEPTH=3)
    other = hypothesis("set DEPTH to 4", changes=(constant("DEPTH", "4"),))

    verdict = await worker.swarm.claim(new_id(), other, parent.experiment_id)

    assert isinstance(verdict, model.Granted)
    assert any(trial.knob == "DEPTH" and trial.value == "3" for trial in verdict.advice.knobs)


async def test_claim_on_an_unknown_parent_is_not_found(worker):
    await worker.open_class()

    with pytest.raises(errors.NotFound):
        await worker.swarm.claim(new_id(), hypothesis(), new_id())


async def test_code_that_was_tried_under_other_words_is_refused(worker):
    parent = await worker.open_class()
    await worker.explore(parent, score=1.6, DEPTH=3)
    words = hypothesis("something else entirely", changes=(constant("HEAD_DIM", "16"),))
    verdict = await worker.swarm.claim(new_id(), words, parent.experiment_id)

    refused = await worker.swarm.start(verdict.lease, new_id(), worker.edit(DEPTH=3) + b"\n# a comment\n")

    assert isinstance(refused, model.StartRefused)
    assert refused.match.title == "set DEPTH to 3"


async def test_repeated_start_brings_the_same_seeds(worker):
    parent = await worker.open_class()
    words = hypothesis("set DEPTH to 3", changes=(constant("DEPTH", "3"),))
    verdict = await worker.swarm.claim(new_id(), words, parent.experiment_id)
    experiment_id = new_id()

    first = await worker.swarm.start(verdict.lease, experiment_id, worker.edit(DEPTH=3))
    again = await worker.swarm.start(verdict.lease, experiment_id, worker.edit(DEPTH=3))

    assert isinstance(first, model.Started)
    assert (first.seed, first.val_seed) == (again.seed, again.val_seed)


async def test_released_claim_is_free_again_and_cannot_start(worker):
    parent = await worker.open_class()
    words = hypothesis("set DEPTH to 3", changes=(constant("DEPTH", "3"),))
    verdict = await worker.swarm.claim(new_id(), words, parent.experiment_id)

    await worker.swarm.release(verdict.lease, "changed my mind")
    await worker.swarm.release(verdict.lease, "twice is fine")

    with pytest.raises(errors.LeaseLost):
        await worker.swarm.start(verdict.lease, new_id(), worker.edit(DEPTH=3))
    assert isinstance(await worker.swarm.claim(new_id(), words, parent.experiment_id), model.Granted)


async def test_live_claim_holds_its_edit_against_others(worker):
    parent = await worker.open_class()
    await worker.start(parent, DEPTH=3)
    words = hypothesis("also DEPTH 3", changes=(constant("DEPTH", "3"),))

    verdict = await worker.swarm.claim(new_id(), words, parent.experiment_id)

    assert isinstance(verdict, model.Duplicate)
    assert verdict.match.state is model.ExperimentState.RUNNING


async def test_heartbeat_renews_what_is_held_and_names_what_is_lost(worker):
    parent = await worker.open_class()
    words = hypothesis("set DEPTH to 3", changes=(constant("DEPTH", "3"),))
    verdict = await worker.swarm.claim(new_id(), words, parent.experiment_id)
    gone = new_id()

    beat = await worker.swarm.heartbeat([verdict.lease.claim_id, gone], "exploring")

    assert [lease.claim_id for lease in beat.renewed] == [verdict.lease.claim_id]
    assert beat.lost == (gone,)
    assert beat.best_experiment_id == parent.experiment_id


async def test_edit_that_does_not_gain_leaves_the_best(worker):
    parent = await worker.open_class()

    published = await worker.explore(parent, score=1.501, DEPTH=3)

    assert published.state is model.ExperimentState.COMPLETED
    assert published.best.experiment_id == parent.experiment_id


async def test_gain_is_provisional_until_it_is_verified_in_pairs(worker):
    parent = await worker.open_class()
    won = await worker.explore(parent, score=1.40, DEPTH=3)

    levels = [won.best.level]
    for _ in range(3):
        task = await worker.next_pair()
        assert (task.candidate_id, task.control_id) == (won.best.experiment_id, parent.experiment_id)
        levels.append((await worker.replicate(task, candidate=1.40, control=1.50)).best.level)

    best = (await worker.swarm.best()).best
    assert levels[0] is model.Level.PROVISIONAL
    assert best.level is model.Level.SELF_REPLICATED
    assert best.runs == 3
    assert best.mean == pytest.approx(1.40)


async def test_gain_that_reruns_do_not_show_is_refuted_and_the_best_returns(worker):
    parent = await worker.open_class()
    lucky = await worker.explore(parent, score=1.45, DEPTH=3)

    for _ in range(3):
        await worker.replicate(await worker.next_pair(), candidate=1.51, control=1.50)

    best = (await worker.swarm.best()).best
    page = await worker.swarm.experiments(model.ExperimentQuery(state=model.ExperimentState.REFUTED))
    assert lucky.best.level is model.Level.PROVISIONAL
    assert best.experiment_id == parent.experiment_id
    assert [summary.experiment.hypothesis.title for summary in page.experiments] == ["set DEPTH to 3"]
    assert isinstance(await worker.next_task(), model.ExploreTask)


async def test_pair_given_back_after_its_first_run_is_offered_again_and_decided_by_whole_pairs(worker):
    parent = await worker.open_class()
    won = await worker.explore(parent, score=1.40, DEPTH=3)
    half = await worker.next_pair()

    kept = await worker.replicate(half, candidate=1.40)
    await worker.swarm.release(half.lease, "the node leaves")
    levels = []
    for _ in range(3):
        task = await worker.next_pair()
        levels.append((await worker.replicate(task, candidate=1.40, control=1.50)).best.level)

    assert kept.best.level is model.Level.PROVISIONAL
    assert task.candidate_id == won.best.experiment_id
    assert task.verification_id != half.verification_id or task.seed != half.seed
    assert levels[-1] is model.Level.SELF_REPLICATED


async def test_crash_is_kept_and_not_tried_again(worker):
    parent = await worker.open_class()
    started, made, source = await worker.start(parent, DEPTH=3)
    crashed = worker.publication(
        made,
        source,
        lease=started.lease,
        seed=started.seed,
        outcome=model.Outcome.CRASHED,
        metrics={},
        crash_kind="exception",
        reason="shapes do not match",
    )

    published = await worker.swarm.publish(crashed)
    again = hypothesis("once more", changes=(constant("DEPTH", "3"),))

    assert published.state is model.ExperimentState.CRASHED
    assert isinstance(await worker.swarm.claim(new_id(), again, parent.experiment_id), model.Duplicate)


async def test_result_that_cannot_be_true_is_refused(worker):
    parent = await worker.open_class()
    started, made, source = await worker.start(parent, DEPTH=3)

    with pytest.raises(errors.InvalidArgument):
        await worker.swarm.publish(
            worker.publication(made, source, lease=started.lease, score=-1.0, seed=started.seed)
        )


async def test_listing_filters_orders_and_pages(worker):
    parent = await worker.open_class()
    await worker.explore(parent, score=1.60, DEPTH=3)
    await worker.explore(parent, score=1.55, DEPTH=5)
    await worker.explore(parent, score=1.70, DEPTH=6)

    best = await worker.swarm.experiments(model.ExperimentQuery(text="depth"))
    newest = model.ExperimentQuery(text="DEPTH", order=model.ExperimentOrder.NEWEST, limit=2)
    first = await worker.swarm.experiments(newest)
    rest = await worker.swarm.experiments(dataclasses.replace(newest, cursor=first.next_cursor))

    assert [summary.score for summary in best.experiments] == [1.55, 1.60, 1.70]
    assert best.total == 3
    assert [summary.score for summary in (*first.experiments, *rest.experiments)] == [1.70, 1.55, 1.60]
    assert rest.next_cursor == ""
    assert best.experiments[0].delta == pytest.approx(0.05)


async def test_code_is_there_by_its_experiment(worker):
    parent = await worker.open_class()
    _, made, source = await worker.start(parent, DEPTH=3)

    assert await worker.swarm.source(made.experiment_id) == source
    with pytest.raises(errors.NotFound):
        await worker.swarm.source(new_id())


async def test_code_is_there_by_its_hash(worker):
    await worker.open_class()
    source = worker.edit(DEPTH=3)
    await worker.swarm.propose(new_id(), hypothesis("try DEPTH 3"), source, None)

    assert await worker.swarm.source_by_hash(hash_of(source)) == source
    with pytest.raises(errors.NotFound):
        await worker.swarm.source_by_hash(hash_of(b"nobody sent this"))


async def test_only_ideas_with_code_are_for_nodes_that_write_none(worker):
    await worker.open_class()
    source = worker.edit(DEPTH=3)
    await worker.swarm.propose(new_id(), hypothesis("in words"), None, None)
    await worker.swarm.propose(new_id(), hypothesis("in code"), source, None)

    first = await worker.swarm.next_task(can_propose=False, can_train=True)
    second = await worker.swarm.next_task(can_propose=False, can_train=True)

    assert isinstance(first, model.QueuedTask)
    assert (first.hypothesis.title, first.source_hash) == ("in code", hash_of(source))
    assert isinstance(second, model.IdleTask)


async def test_idea_whose_code_was_tried_meanwhile_waits_no_longer(worker):
    parent = await worker.open_class()
    source = worker.edit(DEPTH=3)
    await worker.explore(parent, score=1.6, DEPTH=3)
    await worker.swarm.propose(new_id(), hypothesis("the same file"), source, None)
    task = await worker.swarm.next_task(can_propose=False, can_train=True)
    verdict = await worker.swarm.claim(
        new_id(), task.hypothesis, parent.experiment_id, queued_claim_id=task.lease.claim_id
    )

    refused = await worker.swarm.start(verdict.lease, new_id(), source)

    assert isinstance(refused, model.StartRefused)
    assert isinstance(await worker.swarm.next_task(can_propose=False, can_train=True), model.IdleTask)


async def test_proposed_idea_becomes_a_task_and_is_done_once(worker):
    parent = await worker.open_class()
    hypothesis_id = new_id()
    words = hypothesis("try DEPTH 3", changes=(constant("DEPTH", "3"),))
    await worker.swarm.propose(hypothesis_id, words, None, None)
    await worker.swarm.propose(hypothesis_id, words, None, None)

    task = await worker.next_task()
    verdict = await worker.swarm.claim(
        new_id(), task.hypothesis, parent.experiment_id, queued_claim_id=task.lease.claim_id
    )
    experiment_id = new_id()
    source = worker.edit(DEPTH=3)
    started = await worker.swarm.start(verdict.lease, experiment_id, source)
    made = worker.experiment(source, experiment_id=experiment_id, parents=(parent.experiment_id,))
    await worker.swarm.publish(
        worker.publication(made, source, lease=started.lease, score=1.6, seed=started.seed)
    )

    assert isinstance(task, model.QueuedTask)
    assert (task.hypothesis_id, task.hypothesis.title) == (hypothesis_id, "try DEPTH 3")
    assert isinstance(await worker.next_task(), model.ExploreTask)


async def test_hypothesis_id_cannot_be_used_for_another_idea(worker):
    await worker.open_class()
    hypothesis_id = new_id()
    await worker.swarm.propose(hypothesis_id, hypothesis("one"), None, None)

    with pytest.raises(errors.Conflict):
        await worker.swarm.propose(hypothesis_id, hypothesis("two"), None, None)


async def test_idea_that_was_handed_back_is_not_handed_out_here_again(worker):
    await worker.open_class()
    await worker.swarm.propose(new_id(), hypothesis("beyond this agent"), None, None)
    await worker.swarm.propose(new_id(), hypothesis("within its reach"), None, None)
    first = await worker.next_task()
    assert isinstance(first, model.QueuedTask)

    await worker.swarm.release(first.lease, "cannot do it")
    second, third = await worker.next_task(), await worker.next_task()

    assert isinstance(second, model.QueuedTask)
    assert second.hypothesis_id != first.hypothesis_id
    assert not isinstance(third, model.QueuedTask)


async def test_one_experiment_is_told_by_its_id(worker):
    parent = await worker.open_class()
    await worker.explore(parent, score=1.6, DEPTH=3)
    page = await worker.swarm.experiments(model.ExperimentQuery(order=model.ExperimentOrder.NEWEST))
    newest = page.experiments[0]

    assert await worker.swarm.experiment(newest.experiment.experiment_id) == newest
    with pytest.raises(errors.NotFound):
        await worker.swarm.experiment(new_id())


async def test_shared_insight_is_listed_newest_first_by_class_and_experiment(swarm, challenge):
    worker = Worker(swarm, challenge, await swarm.connect(hardware()))
    parent = await worker.open_class()
    started, made, source = await worker.start(parent, DEPTH=3)
    await swarm.publish(worker.publication(made, source, lease=started.lease, seed=started.seed))
    first = worker.lesson(made.experiment_id, text="deeper is slower")
    second = worker.lesson(made.experiment_id, parent.experiment_id, text="wider heads help")

    for one in (first, second, first):
        await swarm.share(one)

    async def texts(**filters):
        return [found.text for found in await swarm.insights(model.InsightQuery(**filters))]

    assert await texts() == ["wider heads help", "deeper is slower"]
    assert await texts(limit=1) == ["wider heads help"]
    assert await texts(experiment_id=parent.experiment_id) == ["wider heads help"]
    assert await texts(hardware_class="cpu-other/torch-2.13") == []
    assert await texts(text="is it slower?") == ["deeper is slower"]


async def test_insight_without_known_evidence_or_with_a_used_id_is_refused(swarm, challenge):
    worker = Worker(swarm, challenge, await swarm.connect(hardware()))
    parent = await worker.open_class()
    first = worker.lesson(parent.experiment_id)
    await swarm.share(first)

    with pytest.raises(errors.NotFound):
        await swarm.share(worker.lesson(new_id()))
    with pytest.raises(errors.InvalidArgument):
        await swarm.share(worker.lesson())
    with pytest.raises(errors.Conflict):
        await swarm.share(dataclasses.replace(first, text="something else"))


async def test_program_in_force_is_told_in_the_session_by_heartbeat_and_on_asking(swarm, challenge):
    session = await swarm.connect(hardware())

    beat = await swarm.heartbeat((), "")
    program = await swarm.program()

    assert session.program == program
    assert beat.program_hash == program.program_hash == program_hash(challenge.program_md)
    assert (program.text, program.version) == (challenge.program_md, 0)


async def test_idea_with_a_higher_priority_is_handed_out_first(swarm, challenge):
    worker = Worker(swarm, challenge, await swarm.connect(hardware()))
    await worker.open_class()
    usual, urgent = new_id(), new_id()
    await swarm.propose(usual, hypothesis("set DEPTH to 3"), worker.edit(DEPTH=3), None)
    await swarm.propose(urgent, hypothesis("set DEPTH to 4"), worker.edit(DEPTH=4), None, priority=3)

    task = await worker.next_task()

    assert isinstance(task, model.QueuedTask)
    assert task.hypothesis_id == urgent
