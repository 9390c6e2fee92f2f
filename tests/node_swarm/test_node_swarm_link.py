import asyncio
import dataclasses

import pytest
from autoresearch import errors, model
from autoresearch.model import new_id, utc_now
from autoresearch.program import program_hash
from structlog.testing import capture_logs
from swarm_samples import START, constant, experiment, hardware, hash_of, hypothesis, insight, lease, result

from node.swarm.heartbeat import Heartbeat
from node.swarm.link import LinkedSwarm
from node.swarm.outbox import Outbox
from node.swarm.protocol import BestSource, Publication
from node.swarm.solo import SoloSwarm


class Coordinator:
    """A swarm that can be lost; it grants everything and keeps what it is told."""

    def __init__(self, challenge):
        self.challenge = challenge
        self.is_up = True
        self.heartbeat_interval_s = 30.0
        self.epoch = 1
        self.results = {}
        self.shared = {}
        self.program_in_force = None
        self.refuses_insights = None
        self.proposed, self.parents = [], []
        self.asked = []
        self.ideas_waiting = ()
        self.refusal = None
        self.sources = {}
        self.working = self.baseline()

    def baseline(self):
        source = self.challenge.baseline_source.encode()
        made = experiment(source, challenge_id=self.challenge.challenge_id)
        best = model.WorkingBest(
            experiment_id=made.experiment_id, hardware_class=hardware().hardware_class,
            source_hash=made.source_hash, level=model.Level.BASELINE, mean=1.5, runs=3, spread=0.01,
            since=START, title="baseline", node_id="n_other",
        )  # fmt: skip
        return BestSource(best=best, source=source)

    def _answer(self, what):
        self.asked.append(what)
        if not self.is_up:
            raise errors.Unavailable("nobody answers")
        if self.refusal is not None:
            raise self.refusal

    @property
    def position(self):
        return model.Position(epoch=self.epoch, stream_id=f"{len(self.results) + 1}-0")

    async def connect(self, hardware, challenge=""):
        self._answer("connect")
        return model.Session(
            protocol=1,
            challenge=model.ChallengeText(
                challenge_id=self.challenge.challenge_id,
                name=self.challenge.name,
                manifest_toml=self.challenge.manifest_toml,
                baseline_source=self.challenge.baseline_source,
                program_md=self.challenge.program_md,
            ),
            position=self.position,
            lease_ttl_s=120.0,
            heartbeat_interval_s=self.heartbeat_interval_s,
            owner_id="o_1",
            best=self.working.best,
        )

    async def next_task(self, *, can_propose, can_train):
        self._answer("next_task")
        return model.ExploreTask(parent=self.working.best)

    async def claim(self, claim_id, words, parent_id, *, queued_claim_id=None):
        self._answer("claim")
        return model.Granted(lease=lease(claim_id=claim_id))

    async def start(self, held, experiment_id, source):
        self._answer("start")
        return model.Started(lease=held, seed=1, val_seed=2)

    async def release(self, held, reason):
        self._answer("release")

    async def publish(self, publication):
        self._answer("publish")
        is_repeat = publication.result.result_id in self.results
        self.results[publication.result.result_id] = publication
        return model.Published(
            result_id=publication.result.result_id,
            position=self.position,
            is_repeat=is_repeat,
            is_late=False,
            state=model.ExperimentState.COMPLETED,
            best=self.working.best,
        )

    async def heartbeat(self, claim_ids, activity):
        self._answer(("heartbeat", tuple(claim_ids)))
        return model.Beat(
            position=self.position,
            renewed=tuple(lease(claim_id=claim_id) for claim_id in claim_ids),
            lost=(),
            best_experiment_id=self.working.best.experiment_id,
        )

    async def best(self):
        self._answer("best")
        return self.working

    async def source(self, experiment_id):
        self._answer("source")
        raise errors.NotFound("no such experiment")

    async def source_by_hash(self, source_hash):
        self._answer("source_by_hash")
        if source_hash not in self.sources:
            raise errors.NotFound("no such code")
        return self.sources[source_hash]

    async def experiments(self, query):
        self._answer("experiments")
        return model.ExperimentPage(experiments=self.tried, next_cursor="", total=len(self.tried))

    tried = ()

    async def program(self):
        self._answer("program")
        return self.program_in_force

    async def share(self, insight):
        self._answer("share")
        if self.refuses_insights is not None:
            raise self.refuses_insights
        if any(one not in self.known_experiments() for one in insight.experiment_ids):
            raise errors.NotFound("no such experiment")
        self.shared[insight.insight_id] = insight

    async def insights(self, query):
        self._answer("insights")
        return tuple(reversed(self.shared.values()))

    def known_experiments(self):
        return {publication.experiment.experiment_id for publication in self.results.values()}

    async def propose(self, hypothesis_id, words, source, origin, *, priority=0, parent=None):
        self._answer("propose")
        self.parents.append(parent)
        if parent == self.unknown_parent:
            raise errors.NotFound(f"there is no experiment {parent}")
        self.proposed.append((hypothesis_id, words, origin))

    unknown_parent = "unknown"

    async def ideas(self):
        self._answer("ideas")
        return self.ideas_waiting

    async def close(self):
        pass


class Gate:
    """A sleep that passes when the test says so."""

    def __init__(self):
        self.asked = asyncio.Queue()
        self._passes = asyncio.Queue()

    async def __call__(self, wait_s):
        self.asked.put_nowait(wait_s)
        await self._passes.get()

    def let_pass(self):
        self._passes.put_nowait(None)


class Changes(list):
    """The transitions that were told, and a way to await the next return."""

    def __init__(self):
        super().__init__()
        self.intervals = []
        self.back = asyncio.Event()

    def __call__(self, is_online, why):
        self.append(is_online)
        if is_online:
            self.back.set()


@pytest.fixture
def coordinator(challenge):
    return Coordinator(challenge)


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def changes():
    return Changes()


@pytest.fixture
def come_back(gate, changes):
    async def wait():
        gate.let_pass()
        await asyncio.wait_for(changes.back.wait(), 30)

    return wait


@pytest.fixture
async def link(coordinator, challenge, tmp_path, gate, changes):
    linked = LinkedSwarm(
        coordinator,
        SoloSwarm(tmp_path / "solo.sqlite", challenge, "n_1", owner_id="o_1", now=utc_now),
        Outbox(tmp_path / "outbox.sqlite", now=utc_now),
        on_change=changes,
        on_interval=changes.intervals.append,
        sleep=gate,
    )
    yield linked
    await linked.close()


def code(challenge, **values):
    source = challenge.baseline_source
    for name, value in values.items():
        old = next(line for line in source.splitlines() if line.startswith(f"{name} = "))
        source = source.replace(old, f"{name} = {value}")
    return source.encode()


async def explore(link, challenge, *, score, **values):
    """One whole experiment, as the loop makes it."""
    task = await link.next_task(can_propose=True, can_train=True)
    assert isinstance(task, model.ExploreTask), task
    words = hypothesis(
        f"set {values}", changes=tuple(constant(name, str(new)) for name, new in values.items())
    )
    verdict = await link.claim(new_id(), words, task.parent.experiment_id)
    source = code(challenge, **values)
    experiment_id = new_id()
    started = await link.start(verdict.lease, experiment_id, source)
    made = experiment(
        source,
        challenge_id=challenge.challenge_id,
        experiment_id=experiment_id,
        parents=(task.parent.experiment_id,),
        hypothesis=words,
    )
    publication = Publication(
        result=result(made, score=score, seed=started.seed),
        experiment=made,
        source=source,
        lease=started.lease,
    )
    return publication, await link.publish(publication)


async def test_results_reach_the_coordinator_while_it_answers(link, challenge, coordinator):
    await link.connect(hardware())

    publication, published = await explore(link, challenge, score=1.6, DEPTH=3)

    assert published.result_id in coordinator.results
    assert coordinator.results[published.result_id].lease == publication.lease
    assert link._outbox.waiting_count() == 0


async def test_loss_is_one_transition_and_work_goes_on_from_the_known_best(
    link, challenge, coordinator, changes
):
    await link.connect(hardware())
    coordinator.is_up = False

    for depth in (3, 4):
        await explore(link, challenge, score=1.6, DEPTH=depth)
    best = await link.best()

    assert changes == [False]
    assert not link.is_online
    assert best == coordinator.working
    assert link._outbox.waiting_count() == 2


async def test_what_was_done_alone_is_handed_over_in_order_at_the_return(
    link, challenge, coordinator, come_back, changes
):
    await link.connect(hardware())
    coordinator.is_up = False
    done = [(await explore(link, challenge, score=1.6, DEPTH=depth))[0] for depth in (3, 4, 5)]
    coordinator.is_up = True

    await come_back()

    assert list(coordinator.results) == [publication.result.result_id for publication in done]
    assert all(publication.lease is None for publication in coordinator.results.values())
    assert changes == [False, True]
    assert link._outbox.waiting_count() == 0


async def test_attempts_to_return_grow_apart_and_stay_jittered(link, coordinator, gate):
    await link.connect(hardware())
    coordinator.is_up = False
    await link.next_task(can_propose=True, can_train=True)

    waits = []
    for _ in range(12):
        waits.append(await asyncio.wait_for(gate.asked.get(), 30))
        gate.let_pass()

    assert 1 <= waits[0] <= 2
    assert all(60 <= wait_s <= 120 for wait_s in waits[-4:])
    assert not link.is_online


async def test_loss_between_claim_and_start_is_bridged(link, challenge, coordinator):
    await link.connect(hardware())
    task = await link.next_task(can_propose=True, can_train=True)
    words = hypothesis("set DEPTH to 3", changes=(constant("DEPTH", "3"),))
    verdict = await link.claim(new_id(), words, task.parent.experiment_id)
    coordinator.is_up = False

    started = await link.start(verdict.lease, new_id(), code(challenge, DEPTH=3))

    assert isinstance(started, model.Started)
    assert started.lease.claim_id == verdict.lease.claim_id


async def test_edit_that_the_swarm_has_tried_is_not_repeated_alone(link, challenge, coordinator):
    await link.connect(hardware())
    words = hypothesis("set DEPTH to 3", changes=(constant("DEPTH", "3"),))
    parent_id = coordinator.working.best.experiment_id
    coordinator.tried = (
        model.ExperimentSummary(
            experiment=experiment(
                code(challenge, DEPTH=3),
                challenge_id=challenge.challenge_id,
                parents=(parent_id,),
                hypothesis=words,
                node_id="n_other",
            ),
            state=model.ExperimentState.COMPLETED, score=1.7, interval=None, runs=1, delta=0.2, level=None,
        ),
    )  # fmt: skip
    await link.experiments(model.ExperimentQuery())
    coordinator.is_up = False

    verdict = await link.claim(new_id(), words, parent_id)

    assert isinstance(verdict, model.Duplicate)
    assert verdict.match.score == 1.7


async def test_own_code_that_the_swarm_took_is_not_repeated_alone(link, challenge, coordinator):
    await link.connect(hardware())
    await explore(link, challenge, score=1.6, DEPTH=3)
    coordinator.is_up = False

    again = hypothesis("other words", changes=(constant("DEPTH", "6 // 2"),))
    verdict = await link.claim(new_id(), again, coordinator.working.best.experiment_id)

    assert isinstance(verdict, model.Duplicate)


async def test_lease_of_a_coordinator_that_is_away_is_neither_renewed_nor_lost(link, coordinator):
    await link.connect(hardware())
    task = await link.next_task(can_propose=True, can_train=True)
    verdict = await link.claim(new_id(), hypothesis(), task.parent.experiment_id)
    coordinator.is_up = False

    beat = await link.heartbeat([verdict.lease.claim_id], "training")

    assert (beat.renewed, beat.lost) == ((), ())


async def test_leases_are_renewed_by_whoever_granted_them(link, challenge, coordinator, come_back):
    await link.connect(hardware())
    coordinator.is_up = False
    task = await link.next_task(can_propose=True, can_train=True)
    words = hypothesis("set DEPTH to 3", changes=(constant("DEPTH", "3"),))
    own = await link.claim(new_id(), words, task.parent.experiment_id)
    coordinator.is_up = True
    await come_back()
    theirs = await link.claim(new_id(), hypothesis("else"), task.parent.experiment_id)

    beat = await link.heartbeat([own.lease.claim_id, theirs.lease.claim_id], "training")

    assert {renewed.claim_id for renewed in beat.renewed} == {own.lease.claim_id, theirs.lease.claim_id}
    assert coordinator.asked[-1] == ("heartbeat", (theirs.lease.claim_id,))


class Beats:
    """Waits that pass at once, so often; then the heartbeat ends."""

    def __init__(self, count):
        self.left = count

    async def __call__(self, wait_s):
        self.left -= 1
        if self.left < 0:
            raise asyncio.CancelledError
        await asyncio.sleep(0)


async def test_heartbeat_outlives_a_disk_that_takes_nothing_and_tells_it_once(link, coordinator):
    await link.connect(hardware())
    heartbeat = Heartbeat(link.heartbeat, interval_s=30, sleep=Beats(3))
    link._outbox._connection.execute("PRAGMA query_only = ON")

    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await heartbeat.run()

    assert [what[0] for what in coordinator.asked].count("heartbeat") == 3
    assert [(line["event"], line["code"]) for line in logs] == [("heartbeat failed", "state_file")]


async def test_win_found_alone_is_built_on_alone(link, challenge, coordinator):
    await link.connect(hardware())
    coordinator.is_up = False

    publication, published = await explore(link, challenge, score=1.3, DEPTH=3)
    best = await link.best()

    assert published.best.level is model.Level.PROVISIONAL
    assert best.best.experiment_id == publication.experiment.experiment_id
    assert isinstance(await link.next_task(can_propose=True, can_train=True), model.ReplicateTask)


async def test_win_on_an_outdated_parent_is_proposed_on_the_new_best(link, challenge, coordinator, come_back):
    await link.connect(hardware())
    coordinator.is_up = False
    publication, _ = await explore(link, challenge, score=1.3, DEPTH=3)
    newer = code(challenge, HEAD_DIM=64)
    coordinator.working = BestSource(
        best=dataclasses.replace(
            coordinator.working.best,
            experiment_id=new_id(),
            source_hash=experiment(newer).source_hash,
            level=model.Level.CONFIRMED,
            mean=1.2,
        ),
        source=newer,
    )
    coordinator.is_up = True

    await come_back()

    ((_, words, origin),) = coordinator.proposed
    assert words.intent is model.Intent.REBASE
    assert words.changes == publication.experiment.hypothesis.changes
    assert origin == publication.experiment.experiment_id
    assert await link.best() == coordinator.working


async def test_win_on_the_present_best_is_only_published(link, challenge, coordinator, come_back):
    await link.connect(hardware())
    coordinator.is_up = False
    await explore(link, challenge, score=1.3, DEPTH=3)
    coordinator.is_up = True

    await come_back()

    assert coordinator.proposed == []
    assert len(coordinator.results) == 1


async def test_win_that_the_coordinator_queued_itself_is_not_proposed_twice(
    link, challenge, coordinator, come_back
):
    await link.connect(hardware())
    coordinator.is_up = False
    publication, _ = await explore(link, challenge, score=1.3, DEPTH=3)
    newer = code(challenge, HEAD_DIM=64)
    best = dataclasses.replace(
        coordinator.working.best, experiment_id=new_id(), source_hash=experiment(newer).source_hash
    )
    coordinator.working = BestSource(best=best, source=newer)
    coordinator.ideas_waiting = (
        model.Idea(
            hypothesis_id=new_id(),
            hypothesis=hypothesis(),
            node_id="n_1",
            proposed_at=START,
            origin_experiment_id=publication.experiment.experiment_id,
        ),
    )
    coordinator.is_up = True

    await come_back()

    assert coordinator.proposed == []


async def test_idea_proposed_alone_is_handed_over(link, coordinator, come_back):
    await link.connect(hardware())
    coordinator.is_up = False
    hypothesis_id = new_id()
    await link.propose(hypothesis_id, hypothesis("an idea"), None, None)
    coordinator.is_up = True

    await come_back()

    assert [(given, words.title) for given, words, _ in coordinator.proposed] == [(hypothesis_id, "an idea")]


async def test_idea_is_handed_over_with_its_parent_and_without_where_nobody_else_knows_that(
    link, coordinator, come_back
):
    known, coordinator.unknown_parent = new_id(), new_id()
    await link.connect(hardware())
    coordinator.is_up = False
    for parent in (known, coordinator.unknown_parent):
        await link.propose(new_id(), hypothesis("an idea"), b"DEPTH = 9\n", None, parent=parent)
    coordinator.is_up = True

    await come_back()

    assert coordinator.parents == [known, coordinator.unknown_parent, None]
    assert len(coordinator.proposed) == 2


async def test_code_of_an_idea_comes_from_the_coordinator_or_from_this_machine(link, challenge, coordinator):
    await link.connect(hardware())
    theirs, own = code(challenge, DEPTH=3), code(challenge, DEPTH=4)
    coordinator.sources[hash_of(theirs)] = theirs

    asked = await link.source_by_hash(hash_of(theirs))
    coordinator.is_up = False
    await link.propose(new_id(), hypothesis("what if"), own, None)

    assert asked == theirs
    assert await link.source_by_hash(hash_of(own)) == own
    with pytest.raises(errors.NotFound):
        await link.source_by_hash(hash_of(theirs))


async def test_new_epoch_brings_acknowledged_results_again(link, challenge, coordinator):
    await link.connect(hardware())
    _, published = await explore(link, challenge, score=1.6, DEPTH=3)
    await link.heartbeat([], "exploring")
    coordinator.results.clear()
    coordinator.epoch = 2

    await link.heartbeat([], "exploring")

    assert list(coordinator.results) == [published.result_id]


async def test_result_that_the_coordinator_cannot_take_now_is_kept_and_handed_over_later(
    link, challenge, coordinator
):
    await link.connect(hardware())
    task = await link.next_task(can_propose=True, can_train=True)
    source = code(challenge, DEPTH=3)
    made = experiment(source, challenge_id=challenge.challenge_id, parents=(task.parent.experiment_id,))
    publication = Publication(result=result(made, score=1.6), experiment=made, source=source, lease=lease())
    coordinator.refusal = errors.ReadOnly("the disk is full")

    published = await link.publish(publication)
    coordinator.refusal = None
    await link.heartbeat([], "exploring")

    assert link.is_online
    assert published.state is model.ExperimentState.COMPLETED
    assert list(coordinator.results) == [publication.result.result_id]


async def test_result_that_is_refused_for_good_is_set_aside_and_said(link, challenge, coordinator):
    await link.connect(hardware())
    source = code(challenge, DEPTH=3)
    made = experiment(source, challenge_id=challenge.challenge_id)
    coordinator.refusal = errors.InvalidArgument("impossible")

    with pytest.raises(errors.InvalidArgument, match="impossible"):
        await link.publish(Publication(result=result(made), experiment=made, source=source, lease=lease()))
    assert link._outbox.status().set_aside_count == 1


async def test_log_with_escapes_does_not_cost_a_run(link, challenge, coordinator):
    await link.connect(hardware())
    source = code(challenge, DEPTH=3)
    made = experiment(source, challenge_id=challenge.challenge_id)
    run = result(made, log_tail="\x1b[31mstep 1\r\x1b[0mstep 2\0", reason="bad \x1b[1mthing")

    await link.publish(Publication(result=run, experiment=made, source=source, lease=lease()))

    (taken,) = coordinator.results.values()
    assert taken.result.log_tail == "step 1\nstep 2"
    assert taken.result.reason == "bad thing"


async def test_node_starts_alone_where_the_coordinator_is_away(link, coordinator, changes, gate):
    coordinator.is_up = False

    session = await link.connect(hardware())
    task = await link.next_task(can_propose=True, can_train=True)

    assert session.best is None
    assert isinstance(task, model.BaselineTask)
    assert changes == [False]


async def test_interval_is_that_of_whoever_answers(link, coordinator, come_back, changes):
    coordinator.is_up = False
    await link.connect(hardware())
    coordinator.heartbeat_interval_s = 5.0
    coordinator.is_up = True

    await come_back()
    coordinator.is_up = False
    await link.next_task(can_propose=True, can_train=True)

    assert changes.intervals == [30.0, 5.0, 30.0]


async def test_refusal_at_connect_is_not_a_reason_to_go_alone(link, coordinator):
    coordinator.refusal = errors.NodeBanned("shut out")

    with pytest.raises(errors.NodeBanned):
        await link.connect(hardware())


def lesson(challenge, publication, **parts):
    evidence = publication.experiment.experiment_id
    return insight(evidence, challenge_id=challenge.challenge_id, **parts)


async def test_insight_reaches_the_coordinator_while_it_answers(link, challenge, coordinator):
    await link.connect(hardware())
    publication, _ = await explore(link, challenge, score=1.6, DEPTH=3)
    learned = lesson(challenge, publication)

    await link.share(learned)
    await link.share(learned)

    assert coordinator.shared == {learned.insight_id: learned}
    assert await link.insights(model.InsightQuery()) == (learned,)


async def test_insight_from_lonely_times_follows_its_result(link, challenge, coordinator, come_back):
    await link.connect(hardware())
    coordinator.is_up = False
    publication, _ = await explore(link, challenge, score=1.6, DEPTH=3)
    learned = lesson(challenge, publication)
    await link.share(learned)
    alone = await link.insights(model.InsightQuery())

    coordinator.is_up = True
    await come_back()

    assert [one.text for one in alone] == [learned.text]
    assert set(coordinator.shared) == {learned.insight_id}
    assert link.is_online


async def test_insight_waits_as_long_as_its_result_does(link, challenge, coordinator):
    await link.connect(hardware())
    publication, _ = await explore(link, challenge, score=1.6, DEPTH=3)
    coordinator.refusal = errors.ReadOnly("the disk is full")
    later, _ = await explore_known(link, challenge, publication)
    await link.share(lesson(challenge, later))

    waiting = list(coordinator.shared)
    coordinator.refusal = None
    await link.heartbeat((), "")

    assert waiting == []
    assert len(coordinator.shared) == 1


async def test_coordinator_that_takes_no_more_insights_today_is_not_asked_at_every_heartbeat(
    link, challenge, coordinator
):
    await link.connect(hardware())
    publication, _ = await explore(link, challenge, score=1.6, DEPTH=3)
    coordinator.refuses_insights = errors.LimitExceeded("enough for today", retry_after_s=3600.0)
    await link.share(lesson(challenge, publication))

    for _ in range(3):
        await link.heartbeat((), "")

    assert coordinator.asked.count("share") == 1
    assert link.is_online


async def test_new_epoch_is_told_the_insights_again(link, challenge, coordinator):
    await link.connect(hardware())
    publication, _ = await explore(link, challenge, score=1.6, DEPTH=3)
    learned = lesson(challenge, publication)
    await link.share(learned)

    coordinator.epoch, coordinator.shared = 2, {}
    await link.heartbeat((), "")

    assert set(coordinator.shared) == {learned.insight_id}


async def test_insight_that_breaks_a_limit_is_refused_at_once(link, challenge, coordinator):
    await link.connect(hardware())
    publication, _ = await explore(link, challenge, score=1.6, DEPTH=3)

    with pytest.raises(errors.InvalidArgument):
        await link.share(lesson(challenge, publication, text="x" * 1001))

    assert "share" not in coordinator.asked


async def test_insights_of_the_swarm_are_known_in_lonely_times(link, challenge, coordinator):
    await link.connect(hardware())
    publication, _ = await explore(link, challenge, score=1.6, DEPTH=3)
    theirs = lesson(challenge, publication, node_id="n_other", text="heads of 64 are enough")
    coordinator.shared[theirs.insight_id] = theirs
    await link.insights(model.InsightQuery())

    coordinator.is_up = False
    found = await link.insights(model.InsightQuery(text="how many heads"))

    assert found == (theirs,)
    assert not link.is_online


async def explore_known(link, challenge, publication):
    """Another run of what was started before, whose result cannot be delivered now."""
    again = dataclasses.replace(
        publication, result=dataclasses.replace(publication.result, result_id=new_id()), lease=None
    )
    return again, await link.publish(again)


async def test_program_of_the_swarm_is_known_in_lonely_times(link, challenge, coordinator):
    await link.connect(hardware())
    coordinator.program_in_force = model.Program(
        program_hash=program_hash("Be bold."), text="Be bold.", version=3, note="why"
    )
    online = await link.program()

    coordinator.is_up = False
    alone = await link.program()

    assert online == alone == coordinator.program_in_force
    assert not link.is_online
    assert (await link.heartbeat((), "")).program_hash == program_hash("Be bold.")


async def test_without_a_swarm_the_challenges_own_program_is_in_force(link, challenge, coordinator):
    coordinator.is_up = False

    session = await link.connect(hardware())

    assert session.program.text == challenge.program_md
