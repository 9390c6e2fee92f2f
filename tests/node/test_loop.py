import asyncio
import errno
import itertools
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from autoresearch.challenge import write_challenge
from autoresearch.errors import LeaseLost, LimitExceeded, NodeBanned, Unavailable
from autoresearch.model import (
    INSIGHT_LIMIT_CHARS,
    BaselineTask,
    ClaimId,
    ConstantChange,
    ExperimentId,
    Hypothesis,
    HypothesisId,
    IdleTask,
    NeedsDistinction,
    NodeId,
    Outcome,
    OwnerId,
    Program,
    Purpose,
    QueuedTask,
    ReplicateTask,
    StartRefused,
    utc_now,
)
from autoresearch.program import program_hash
from fake_swarm import FakeLeases, FakeNotebook, FakeSwarm, duplicate, make_lease, near_match
from node_builders import BASELINE, MANIFEST, is_alive, make_best, make_challenge, make_hardware, make_summary
from structlog.testing import capture_logs

from node.agent.base import AgentError, NoAgent, Proposal
from node.agent.search import SearchAgent
from node.assignment import NodeFacts
from node.board import Board, read_status
from node.library import source_hash
from node.loop import Ending, Limits, NodeLoop
from node.pausing import Cause, Pauses
from node.pieces import CountedPieces
from node.prepare import Preparer
from node.program import ProgramInForce, program_of_challenge
from node.record import NotebookError, Recorder
from node.state import Work, WorkEvent
from node.stopping import Stop
from node.swarm.database import StateFileDamaged, StateFileError
from node.training.runner import SubprocessTrainer, TrainerCommand

TRAINER = Path(__file__).with_name("fake_trainer.py")


class ScriptedAgent:
    """Proposes the given sources one after the other; repeats the last."""

    name = "scripted"
    can_propose = True
    thinks_for_free = False
    reads_program = True

    def __init__(self, *sources, repairs=()):
        self.sources = list(sources)
        self.repairs = list(repairs)
        self.contexts = []
        self.reflected = []
        self.lesson = "a lesson"
        self.failures = []

    async def propose(self, context):
        self.contexts.append(context)
        source = self.sources.pop(0) if len(self.sources) > 1 else self.sources[0]
        if isinstance(source, Exception):
            raise source
        if callable(source):
            source = await source()
        return Proposal(hypothesis=Hypothesis(title=f"idea {len(self.contexts)}"), draft=source)

    async def edit(self, context, hypothesis):
        return f"# {hypothesis.title}\n{context.parent_source}"

    async def repair(self, context, source, failure):
        self.failures.append(failure)
        return self.repairs.pop(0) if self.repairs else None

    async def reflect(self, context, hypothesis, result):
        self.reflected.append(result)
        return self.lesson


class Node:
    """A whole node but for the network: real loop, real subprocess trainer, fake swarm."""

    def __init__(
        self,
        tmp_path,
        swarm,
        agent,
        *,
        max_experiments=None,
        free=lambda: 1 << 40,
        challenge=None,
        history_limit=None,
        own_program=None,
        prepared_kept_s=60.0,
    ):
        self.swarm, self.agent = swarm, agent
        self.stop, self.leases, self.notebook = Stop(), FakeLeases(), FakeNotebook()
        self.pauses = Pauses()
        challenge = challenge or make_challenge()
        facts = NodeFacts(
            node_id=NodeId("n"), owner_id=OwnerId("o"), hardware=make_hardware(), challenge=challenge
        )
        self.state_dir = tmp_path
        write_challenge(challenge, tmp_path)
        (tmp_path / "tmp").mkdir()
        self.board = Board(path=tmp_path / "status.json", now=utc_now, facts={"name": "toy"})
        self.board.step(WorkEvent.SESSION_OPENED)
        self.sleeps = []
        first = program_of_challenge(challenge.program_md)
        self.program = ProgramInForce(swarm.program, first, own=own_program)
        self.preparer = Preparer(
            swarm=swarm,
            agent=agent,
            leases=self.leases,
            facts=facts,
            program=self.program,
            now=utc_now,
            sleep=self._sleep,
            jitter=random.Random(1),
            on_note=lambda note: self.board.learn(note=note),
            history_limit=history_limit,
        )
        self.loop = NodeLoop(
            preparer=self.preparer,
            trainer=SubprocessTrainer(
                command=TrainerCommand(
                    argv=(sys.executable, "-S", "-E", str(TRAINER)),
                    challenge_dir=tmp_path,
                    runs_dir=tmp_path / "runs",
                ),
                challenge=challenge,
                scrub=lambda text: text.replace(str(tmp_path), "~"),
                environ={"HOME": str(tmp_path)},
            ),
            recorder=Recorder(
                swarm=swarm,
                notebook=self.notebook,
                board=self.board,
                facts=facts,
                stop=self.stop,
                scrub=lambda text: text.replace(str(tmp_path), "~"),
                retry_s=0.01,
            ),
            agent=agent,
            leases=self.leases,
            board=self.board,
            stop=self.stop,
            pauses=self.pauses,
            limits=Limits(pieces=CountedPieces(max_experiments)),
            baseline=challenge.baseline_source.encode(),
            free_bytes=free,
            disk_retry_s=0.01,
            prepared_kept_s=prepared_kept_s,
        )

    async def _sleep(self, pause_s):
        self.sleeps.append(pause_s)
        await asyncio.sleep(0)

    async def run(self):
        return await self.loop.run()

    @property
    def outcomes(self):
        return [publication.result.outcome for publication in self.swarm.published]

    @property
    def scores(self):
        return [publication.result.metrics.get("val_bpb") for publication in self.swarm.published]


def scored(score, text=""):
    return f"# fake: score {score}\n# {text}\n"


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.01)


async def test_the_search_agent_explores_and_builds_on_its_own_best(tmp_path):
    node = Node(tmp_path, FakeSwarm(), SearchAgent(node_id="n"), max_experiments=6)

    ending = await node.run()

    assert ending is Ending.DONE
    assert node.outcomes == [Outcome.COMPLETED] * 6
    assert len({hypothesis.title for hypothesis, _ in node.swarm.claims}) == len(node.swarm.claims)
    assert node.swarm.released == []
    assert node.leases.held == set()
    assert node.board.state.work is Work.STOPPED


async def test_a_result_carries_what_the_coordinator_needs(tmp_path):
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(scored(1.5)), max_experiments=1)

    await node.run()

    (publication,) = node.swarm.published
    result = publication.result
    assert (result.seed, result.purpose, result.metrics["val_bpb"]) == (1, Purpose.EXPLORE, 1.5)
    assert result.metrics["peak_memory_mb"] == 12.5
    assert (result.attestation.seed, result.attestation.sandbox) == (1, ("own-session",))
    assert result.attestation.code_hash == result.code_hash
    assert "holdout_bpb" not in result.metrics
    assert publication.experiment.parents == ("parent",)
    assert publication.experiment.source_hash == result.code_hash
    assert str(tmp_path) not in result.log_tail
    assert publication.lease is not None


async def test_the_next_experiment_is_started_while_the_current_one_trains(tmp_path):
    gate = tmp_path / "gate"
    node = Node(
        tmp_path, FakeSwarm(), ScriptedAgent(f"# fake: wait {gate}\n", scored(1.5)), max_experiments=2
    )
    running = asyncio.create_task(node.run())

    await until(lambda: len(node.swarm.started) == 2)
    trained_meanwhile = len(node.swarm.published)
    held = len(node.leases.held)
    gate.touch()
    await running

    assert trained_meanwhile == 0
    assert held == 2
    assert len(node.swarm.published) == 2


async def test_a_prepared_experiment_is_kept_when_the_best_changes(tmp_path):
    gate = tmp_path / "gate"
    sources = (f"# fake: wait {gate}\n# fake\n", scored(1.9, "second"), scored(1.8, "third"))
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(*sources), max_experiments=3)
    running = asyncio.create_task(node.run())
    await until(lambda: len(node.swarm.started) == 2)

    better = ExperimentId("better")
    node.swarm.sources[better] = b"BETTER = 1\n"
    node.swarm.working_best = replace(node.swarm.working_best, experiment_id=better, mean=1.95)
    gate.touch()
    await running

    assert [p.experiment.parent for p in node.swarm.published] == ["parent", "parent", "better"]
    assert node.agent.contexts[2].parent_source == "BETTER = 1\n"


async def test_nothing_is_prepared_beyond_the_last_experiment(tmp_path):
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(scored(1.5)), max_experiments=1)

    await node.run()

    assert len(node.swarm.claims) == 1


async def test_refused_proposals_lead_to_others_that_know_of_them(tmp_path):
    question = NeedsDistinction(match=near_match("near"), question="How does it differ?")
    swarm = FakeSwarm(
        verdicts=[duplicate("old news"), question],
        start_verdicts=[
            StartRefused(match=near_match("same code"), level="file"),
            StartRefused(match=near_match("doubtful code"), level="file", question="Why again?"),
        ],
    )
    node = Node(tmp_path, swarm, ScriptedAgent(scored(1.5)), max_experiments=1)

    await node.run()

    refusals = node.agent.contexts[-1].refusals
    assert [refusal.question for refusal in refusals] == ["", "How does it differ?", "", "Why again?"]
    assert "old news" in refusals[0].answer
    assert "same code" in refusals[2].answer
    assert len(swarm.published) == 1


async def test_endless_refusals_are_bounded_and_the_task_is_asked_anew(tmp_path):
    swarm = FakeSwarm(verdicts=[duplicate()] * 9)
    node = Node(tmp_path, swarm, ScriptedAgent(scored(1.5)), max_experiments=1)

    await node.run()

    assert len(node.sleeps) == 1
    assert len(swarm.claims) == 10


@pytest.mark.parametrize(
    ("source", "outcome", "reason"),
    [
        ("# fake: crash\n", Outcome.CRASHED, "boom"),
        ("# fake: garbage\n", Outcome.CRASHED, "not JSON"),
        ("# fake: nothing\n", Outcome.CRASHED, "no report"),
        ("# fake: flood\n", Outcome.CRASHED, "no report"),
        ("# fake: other-seed\n", Outcome.CRASHED, "seed"),
        ("# fake: nan\n", Outcome.CRASHED, "NaN"),
        ("# fake: huge\n", Outcome.CRASHED, "over 1,048,576 bytes"),
        ("def train(:\n", Outcome.COMPLETED, ""),
    ],
)
async def test_a_broken_train_py_is_recorded_and_the_loop_goes_on(tmp_path, source, outcome, reason):
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(source, scored(1.5)), max_experiments=2)

    ending = await node.run()

    assert ending is Ending.DONE
    assert node.outcomes == [outcome, Outcome.COMPLETED]
    assert reason in node.swarm.published[0].result.reason
    log_tail = node.swarm.published[0].result.log_tail
    assert len(log_tail.encode()) <= 8192
    assert not {"\x1b", "\x00", "\u202e"} & set(log_tail)


async def test_a_hanging_trainer_is_ended_with_all_that_it_started(tmp_path):
    pids = tmp_path / "pids"
    challenge = make_challenge()
    limits = replace(challenge.limits, launch_s=0, setup_s=0, train_wall_s=1, eval_s=0)
    challenge = replace(challenge, limits=limits)
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(f"# fake: hang {pids}\n"), challenge=challenge)
    running = asyncio.create_task(node.run())
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)

    node.stop.abort("test")
    ending = await running

    assert ending is Ending.ABORTED
    assert not any(is_alive(pid) for pid in pids.read_text().split())


async def test_a_trainer_that_never_works_stops_the_node(tmp_path):
    challenge = make_challenge(f"# fake: nothing\n{BASELINE}")
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent("# fake: nothing\n"), challenge=challenge)

    with capture_logs() as logs:
        ending = await node.run()

    assert ending is Ending.TRAINER_BROKEN
    assert len(node.swarm.published) == 3
    assert states(logs)[-1] == ("stopped", "failed")


async def test_code_that_kills_its_trainer_again_and_again_does_not_end_the_node(tmp_path):
    hostile = ["# fake: forge\n"] * 3
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(*hostile, scored(1.5)), max_experiments=4)

    assert await node.run() is Ending.DONE
    assert node.outcomes == [*[Outcome.CRASHED] * 3, Outcome.COMPLETED]


async def test_a_good_report_of_a_trainer_that_was_killed_is_no_score(tmp_path):
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent("# fake: forge\n", scored(1.5)), max_experiments=2)

    await node.run()

    assert node.outcomes == [Outcome.CRASHED, Outcome.COMPLETED]
    assert node.swarm.published[0].result.crash_kind == "trainer_killed"
    assert node.scores[0] is None


async def test_a_crash_is_offered_to_the_agent_for_repair(tmp_path):
    agent = ScriptedAgent("# fake: crash\n", scored(1.6), repairs=[scored(1.4, "repaired")])
    node = Node(tmp_path, FakeSwarm(), agent, max_experiments=3)

    await node.run()

    titles = [publication.experiment.hypothesis.title for publication in node.swarm.published]
    assert titles == ["idea 1", "idea 2", "repair: idea 1"]
    assert agent.failures[0].reason == "boom"


async def test_code_that_is_no_python_goes_back_to_the_agent_before_it_costs_a_run(tmp_path):
    agent = ScriptedAgent("def train(:\n", repairs=[scored(1.4)])
    node = Node(tmp_path, FakeSwarm(), agent, max_experiments=1)

    await node.run()

    assert node.scores == [1.4]
    assert agent.failures[0].kind == "syntax"


async def test_an_agent_that_fails_or_has_a_bug_is_asked_again(tmp_path):
    agent = ScriptedAgent(AgentError("no idea"), RuntimeError("bug"), scored(1.5))
    node = Node(tmp_path, FakeSwarm(), agent, max_experiments=1)

    assert await node.run() is Ending.DONE
    assert len(node.sleeps) == 2


async def test_the_agent_reflects_on_its_own_runs(tmp_path):
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(scored(1.5)), max_experiments=2)

    await node.run()

    assert [result.outcome for result in node.agent.reflected][:1] == [Outcome.COMPLETED]


async def test_a_baseline_is_measured_as_told(tmp_path):
    task = BaselineTask(
        lease=make_lease(ClaimId("c")), experiment_id=ExperimentId("base"), seed=7, val_seed=8
    )
    node = Node(tmp_path, FakeSwarm(tasks=[task]), ScriptedAgent(scored(1.5)), max_experiments=1)

    await node.run()

    (publication,) = node.swarm.published
    assert publication.experiment.experiment_id == "base"
    assert publication.experiment.parents == ()
    assert publication.source == BASELINE.encode()
    assert (publication.result.purpose, publication.result.seed) == (Purpose.BASELINE, 7)
    assert publication.lease.claim_id == "c"


async def test_a_replication_runs_both_sides_with_the_same_seeds_under_one_lease(tmp_path):
    task = ReplicateTask(
        lease=make_lease(ClaimId("c")),
        verification_id="v",
        candidate_id=ExperimentId("cand"),
        control_id=ExperimentId("parent"),
        seed=7,
        val_seed=8,
    )
    swarm = FakeSwarm(tasks=[task])
    swarm.sources["cand"] = scored(1.9).encode()
    node = Node(tmp_path, swarm, ScriptedAgent(scored(1.5)), max_experiments=1)

    await node.run()

    assert [
        (p.result.experiment_id, p.result.purpose, p.result.seed, p.result.verification_id, p.lease.claim_id)
        for p in swarm.published
    ] == [
        ("cand", Purpose.VERIFY_CANDIDATE, 7, "v", "c"),
        ("parent", Purpose.VERIFY_CONTROL, 7, "v", "c"),
    ]
    assert not any("holdout_bpb" in p.result.metrics for p in swarm.published)


HOLDOUT = """
[identity.holdout]
kind = "toy"
metric = "holdout_bpb"
"""


async def test_the_held_back_text_is_scored_in_both_runs_of_a_verification_and_in_no_other(tmp_path):
    task = ReplicateTask(
        lease=make_lease(ClaimId("c")),
        verification_id="v",
        candidate_id=ExperimentId("cand"),
        control_id=ExperimentId("parent"),
        seed=7,
        val_seed=8,
    )
    swarm = FakeSwarm(tasks=[task])
    swarm.sources["cand"] = scored(1.9).encode()
    challenge = make_challenge(manifest=MANIFEST.replace("[policy]", HOLDOUT + "[policy]"))
    node = Node(tmp_path, swarm, ScriptedAgent(scored(1.5)), max_experiments=2, challenge=challenge)

    await node.run()

    candidate, control, explored = (p.result.metrics for p in swarm.published)
    assert candidate["holdout_bpb"] == pytest.approx(candidate["val_bpb"] + 0.01)
    assert control["holdout_bpb"] == pytest.approx(control["val_bpb"] + 0.01)
    assert "holdout_bpb" not in explored


async def test_a_replication_without_its_code_is_given_back(tmp_path):
    task = ReplicateTask(
        lease=make_lease(ClaimId("c")),
        verification_id="v",
        candidate_id=ExperimentId("gone"),
        control_id=ExperimentId("parent"),
        seed=7,
        val_seed=8,
    )
    node = Node(tmp_path, FakeSwarm(tasks=[task]), ScriptedAgent(scored(1.5)), max_experiments=1)

    await node.run()

    assert [claim_id for claim_id, _ in node.swarm.released] == ["c"]
    assert "c" not in node.leases.held


async def test_a_queued_idea_is_coded_claimed_and_run(tmp_path):
    swarm = FakeSwarm()
    task = QueuedTask(
        lease=make_lease(ClaimId("q")),
        hypothesis_id=HypothesisId("h"),
        hypothesis=Hypothesis(title="theirs", changes=(ConstantChange(name="MATRIX_LR", new="0.08"),)),
        parent=swarm._best(),
        source_hash=None,
    )
    swarm.tasks.append(task)
    node = Node(tmp_path, swarm, SearchAgent(node_id="n"), max_experiments=1)

    await node.run()

    assert swarm.queued_claims == ["q"]
    assert node.scores == [2.0]
    assert swarm.published[0].experiment.hypothesis.title == "theirs"
    assert node.leases.held == set()


async def test_a_queued_idea_with_code_is_run_as_it_came_and_needs_no_agent(tmp_path):
    swarm = FakeSwarm()
    code = scored(1.7, "theirs").encode()
    swarm.sources["waiting"] = code
    task = QueuedTask(
        lease=make_lease(ClaimId("q")),
        hypothesis_id=HypothesisId("h"),
        hypothesis=Hypothesis(title="theirs"),
        parent=swarm._best(),
        source_hash=source_hash(code),
    )
    swarm.tasks.append(task)
    node = Node(tmp_path, swarm, NoAgent(), max_experiments=1)

    await node.run()

    (publication,) = swarm.published
    assert swarm.queued_claims == ["q"]
    assert publication.source == code
    assert node.scores == [1.7]
    assert publication.experiment.parents == ("parent",)


async def test_a_node_without_an_agent_waits_for_work_of_others(tmp_path):
    node = Node(tmp_path, FakeSwarm(), NoAgent())
    running = asyncio.create_task(node.run())
    await until(lambda: node.sleeps)

    node.stop.drain("test")

    assert await running is Ending.DRAINED
    assert node.swarm.claims == []


@pytest.mark.parametrize(("limit", "told"), [(None, 130), (110, 110), (2, 2), (0, 0)])
async def test_an_agent_is_told_of_no_more_experiments_than_its_owner_wants(tmp_path, limit, told):
    swarm, agent = FakeSwarm(), ScriptedAgent(scored(1.5))
    swarm.history += [make_summary(experiment_id=f"e{number:03}", score=2.1) for number in range(130)]
    node = Node(tmp_path, swarm, agent, max_experiments=1, history_limit=limit)

    await node.run()

    shown = [summary.experiment.experiment_id for summary in agent.contexts[0].history]
    assert shown == [f"e{number:03}" for number in range(130 - told, 130)]


async def test_each_claim_and_start_is_logged_with_its_answer(tmp_path):
    swarm = FakeSwarm(verdicts=[duplicate(), None])
    node = Node(tmp_path, swarm, SearchAgent(node_id="n"), max_experiments=1)

    with capture_logs() as lines:
        await node.run()

    claims = [line for line in lines if line["event"] == "claim answered"]
    starts = [line for line in lines if line["event"] == "start answered"]
    assert [line["answer"] for line in claims[:2]] == ["Duplicate", "Granted"]
    assert [set(line["constants"]) for line in claims] == [
        {change.name for change in hypothesis.changes} for hypothesis, _ in swarm.claims
    ]
    assert (starts[0]["claim_id"], starts[0]["answer"]) == (claims[1]["claim_id"], "Started")


@pytest.mark.parametrize("limit", [None, 0])
async def test_a_best_without_constants_is_left_for_what_it_came_from(tmp_path, limit):
    swarm = FakeSwarm(source="def train(ctx):\n    return None\n")
    swarm.sources["base"] = BASELINE.encode()
    swarm.history += [
        make_summary(experiment_id="base", parent=None, score=2.1),
        make_summary(experiment_id="parent", parent="base", score=2.0),
    ]
    node = Node(tmp_path, swarm, SearchAgent(node_id="n"), max_experiments=1, history_limit=limit)

    ending = await node.run()

    assert ending is Ending.DONE
    assert [p.experiment.parent for p in swarm.published] == ["base"]
    assert "no numeric UPPERCASE constant" in read_status(tmp_path)["note"]


async def test_a_swarm_without_any_constant_is_served_with_queued_work_only(tmp_path):
    swarm = FakeSwarm(source="def train(ctx):\n    return None\n")
    node = Node(tmp_path, swarm, SearchAgent(node_id="n"))
    running = asyncio.create_task(node.run())
    await until(lambda: 30.0 in node.sleeps)

    node.stop.drain("test")

    assert await running is Ending.DRAINED
    assert swarm.claims == []
    assert "only queued work" in read_status(tmp_path)["note"]


async def test_an_idle_wait_ends_when_a_result_is_out(tmp_path):
    swarm = FakeSwarm(tasks=[IdleTask(retry_after_s=1e9, reason="wait for the baseline")])
    node = Node(tmp_path, swarm, ScriptedAgent(scored(1.5)), max_experiments=1)
    forever = asyncio.Event()
    node.preparer._sleep = lambda pause_s: forever.wait()
    running = asyncio.create_task(node.run())
    await until(lambda: not swarm.tasks)
    await asyncio.sleep(0)

    node.preparer.tell_news()

    assert await running is Ending.DONE


@pytest.mark.parametrize("is_free", [True, False])
async def test_a_free_idea_that_waits_gives_way_to_one_on_a_new_best(tmp_path, is_free):
    gate = tmp_path / "gate"
    swarm = FakeSwarm()
    swarm.sources[ExperimentId("new")] = BASELINE.encode()
    agent = ScriptedAgent(f"# fake: wait {gate}\n", scored(1.9, "old"), scored(1.8, "new"))
    agent.thinks_for_free = is_free
    node = Node(tmp_path, swarm, agent, max_experiments=2)
    running = asyncio.create_task(node.run())
    await until(lambda: "idea 2" in str(read_status(tmp_path)))
    swarm.working_best = make_best("new")

    node.loop.hear_of_best(ExperimentId("new"))
    node.loop.hear_of_best(ExperimentId("new"))

    if is_free:
        await until(lambda: len(swarm.started) == 3)
    gate.touch()
    assert await running is Ending.DONE
    assert [parent for _, parent in swarm.claims] == ["parent", "parent", "new"][: 2 + is_free]
    assert [reason for _, reason in swarm.released] == ["there is a new best"][: int(is_free)]
    assert node.scores[-1] == (1.8 if is_free else 1.9)
    assert node.leases.held == set()


@pytest.mark.parametrize("hears", ["before the stop", "after the stop"])
async def test_an_outdated_idea_is_given_back_once_whenever_the_stop_comes(tmp_path, hears):
    gate = tmp_path / "gate"
    agent = ScriptedAgent(f"# fake: wait {gate}\n", scored(1.9))
    agent.thinks_for_free = True
    node = Node(tmp_path, FakeSwarm(), agent)
    running = asyncio.create_task(node.run())
    await until(lambda: "idea 2" in str(read_status(tmp_path)))

    if hears == "before the stop":
        node.loop.hear_of_best(ExperimentId("new"))
        node.loop._ahead.cancel()  # as the stop does, before the task's first step
    node.stop.drain("test")
    if hears == "after the stop":
        node.loop.hear_of_best(ExperimentId("new"))
    gate.touch()

    assert await running is Ending.DRAINED
    reason = "there is a new best" if hears == "before the stop" else "the node leaves"
    assert node.swarm.released == [(node.swarm.started[1][0].claim_id, reason)]
    assert node.leases.held == set()


async def test_an_unreachable_swarm_is_asked_again_and_a_ban_is_final(tmp_path):
    swarm = FakeSwarm(tasks=[Unavailable("gone"), Unavailable("gone"), NodeBanned("out")])
    node = Node(tmp_path, swarm, ScriptedAgent(scored(1.5)))

    with pytest.raises(NodeBanned):
        await node.run()

    assert len(node.sleeps) == 2
    assert node.board.state.work is Work.STOPPED


async def test_a_full_disk_is_waited_out_and_told_once(tmp_path):
    full = StateFileError("solo.sqlite cannot be used", "make room")
    node = Node(tmp_path, FakeSwarm(tasks=[full] * 3), ScriptedAgent(scored(1.5)), max_experiments=1)

    with capture_logs() as logs:
        ending = await node.run()

    assert ending is Ending.DONE
    assert len(node.sleeps) == 3
    assert [line["reason"] for line in logs if line["log_level"] == "warning"] == [full.message]


async def test_a_damaged_file_ends_the_node_with_its_message(tmp_path):
    damaged = StateFileDamaged("solo.sqlite is damaged", "move it aside")
    node = Node(tmp_path, FakeSwarm(tasks=[damaged]), ScriptedAgent(scored(1.5)))

    with pytest.raises(StateFileDamaged, match="move it aside"):
        await node.run()

    assert node.sleeps == []


def states(logs):
    return [(line["now"], line["on"]) for line in logs if line["event"] == "state"]


async def test_a_node_that_fails_says_so_and_not_that_it_was_asked_to_stop(tmp_path):
    node = Node(tmp_path, FakeSwarm(tasks=[NodeBanned("out")]), ScriptedAgent(scored(1.5)))

    with capture_logs() as logs, pytest.raises(NodeBanned):
        await node.run()

    assert states(logs) == [("stopped", "failed")]
    assert read_status(tmp_path)["state"] == "stopped"


async def test_a_node_that_has_done_enough_says_what_ends_it(tmp_path):
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(scored(1.5)), max_experiments=1)

    with capture_logs() as logs:
        await node.run()

    assert states(logs)[-2:] == [("draining", "stop asked"), ("stopped", "work given back")]
    (leaving,) = (line for line in logs if line["event"] == "leaving after the run in hand")
    assert leaving["reason"] == "the number of experiments is reached"


async def test_a_lease_lost_at_start_costs_only_that_idea(tmp_path):
    node = Node(
        tmp_path, FakeSwarm(start_verdicts=[LeaseLost("gone")]), ScriptedAgent(scored(1.5)), max_experiments=1
    )

    assert await node.run() is Ending.DONE
    assert node.leases.held == set()


async def test_a_prepared_claim_that_ran_out_is_not_trained(tmp_path):
    gate = tmp_path / "gate"
    node = Node(
        tmp_path,
        FakeSwarm(),
        ScriptedAgent(f"# fake: wait {gate}\n", scored(1.7), scored(1.6)),
        max_experiments=2,
    )
    running = asyncio.create_task(node.run())
    await until(lambda: len(node.swarm.started) == 2)

    node.leases.lost.add(node.swarm.started[1][0].claim_id)
    gate.touch()
    await running

    assert node.scores == [2.0, 1.6]


async def test_a_result_whose_lease_was_lost_in_training_is_published_all_the_same(tmp_path):
    gate = tmp_path / "gate"
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(f"# fake: wait {gate}\n"), max_experiments=1)
    running = asyncio.create_task(node.run())
    await until(lambda: node.board.state.work is Work.TRAINING)

    node.leases.lost.add(node.swarm.started[0][0].claim_id)
    gate.touch()
    await running

    assert node.outcomes == [Outcome.COMPLETED]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        StateFileError("outbox.sqlite cannot be used", "make room"),
        Unavailable("gone"),
    ],
)
async def test_what_cannot_be_published_now_is_published_later(tmp_path, error):
    swarm = FakeSwarm(publish_errors=[error, error])
    node = Node(tmp_path, swarm, ScriptedAgent(scored(1.5)), max_experiments=1)

    await node.run()

    assert node.scores == [1.5]


async def test_a_full_disk_before_training_waits_for_room(tmp_path):
    room = itertools.chain([0] * 6, itertools.repeat(1 << 40))
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(scored(1.5)), max_experiments=1, free=lambda: next(room))

    assert await node.run() is Ending.DONE
    assert node.scores == [1.5]


async def test_a_disk_that_stays_full_can_be_left_by_a_drain(tmp_path):
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(scored(1.5)), free=lambda: 0)
    running = asyncio.create_task(node.run())
    await until(lambda: node.swarm.started)

    node.stop.drain("test")

    assert await running is Ending.DRAINED
    assert node.swarm.published == []
    assert len(node.swarm.released) == len(node.swarm.started)


async def test_a_disk_that_fills_up_in_a_training_costs_that_training_only(tmp_path):
    mark = tmp_path / "mark"
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(f"# fake: full {mark}\n"), max_experiments=1)

    assert await node.run() is Ending.DONE
    assert node.outcomes == [Outcome.COMPLETED]


async def test_a_broken_notebook_does_not_cost_the_result(tmp_path):
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(scored(1.5)), max_experiments=2)
    node.notebook.record = lambda page: (_ for _ in ()).throw(NotebookError("locked"))

    assert await node.run() is Ending.DONE
    assert len(node.swarm.published) == 2


async def test_draining_finishes_the_run_and_gives_back_what_was_prepared(tmp_path):
    gate = tmp_path / "gate"
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(f"# fake: wait {gate}\n", scored(1.5)))
    running = asyncio.create_task(node.run())
    await until(lambda: len(node.swarm.started) == 2)

    node.stop.interrupt()
    await until(lambda: node.board.state.work is Work.DRAINING)
    gate.touch()
    ending = await running

    assert ending is Ending.DRAINED
    assert node.scores == [2.0]
    assert [claim_id for claim_id, _ in node.swarm.released] == [node.swarm.started[1][0].claim_id]
    assert node.leases.held == set()


async def test_draining_in_the_first_run_of_a_pair_publishes_it_and_gives_the_pair_back(tmp_path):
    gate = tmp_path / "gate"
    task = ReplicateTask(
        lease=make_lease(ClaimId("c")),
        verification_id="v",
        candidate_id=ExperimentId("cand"),
        control_id=ExperimentId("parent"),
        seed=7,
        val_seed=8,
    )
    swarm = FakeSwarm(tasks=[task])
    swarm.sources["cand"] = f"# fake: wait {gate}\n".encode()
    node = Node(tmp_path, swarm, NoAgent())
    running = asyncio.create_task(node.run())
    await until(lambda: node.board.state.work is Work.TRAINING)

    node.stop.interrupt()
    gate.touch()
    ending = await running

    assert ending is Ending.DRAINED
    assert [p.result.purpose for p in swarm.published] == [Purpose.VERIFY_CANDIDATE]
    assert [claim_id for claim_id, _ in swarm.released] == ["c"]
    assert node.leases.held == set()
    assert node.board.state.work is Work.STOPPED


async def test_aborting_drops_the_run_and_gives_both_claims_back(tmp_path):
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent("# fake: wait /nowhere/at/all\n", scored(1.5)))
    running = asyncio.create_task(node.run())
    await until(lambda: len(node.swarm.started) == 2)

    node.stop.interrupt()
    node.stop.interrupt()
    ending = await running

    assert ending is Ending.ABORTED
    assert node.swarm.published == []
    assert {c for c, _ in node.swarm.released} == {lease.claim_id for lease, _, _ in node.swarm.started}


async def test_draining_while_the_agent_thinks_leaves_at_once(tmp_path):
    thinking = asyncio.Event()

    async def think():
        thinking.set()
        await asyncio.Event().wait()

    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(think))
    running = asyncio.create_task(node.run())
    await thinking.wait()

    node.stop.drain("test")

    assert await running is Ending.DRAINED


async def test_the_status_file_tells_what_goes_on(tmp_path):
    gate = tmp_path / "gate"
    node = Node(
        tmp_path, FakeSwarm(), ScriptedAgent(f"# fake: wait {gate}\n", scored(1.5)), max_experiments=2
    )
    running = asyncio.create_task(node.run())
    await until(lambda: read_status(tmp_path)["prepared"])

    status = read_status(tmp_path)
    gate.touch()
    await running

    assert (status["state"], status["current"]["title"], status["prepared"]) == (
        "training",
        "idea 1",
        "idea 2",
    )
    after = read_status(tmp_path)
    assert (after["state"], after["current"], after["runs_done"]) == ("stopped", None, 2)
    assert [line["score"] for line in after["results"]] == [2.0, 1.5]


async def test_no_run_folder_is_left_behind(tmp_path):
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(scored(1.5)), max_experiments=2)

    await node.run()

    assert list((tmp_path / "runs").iterdir()) == []


async def test_what_the_agent_learned_is_shared_with_the_experiment_as_evidence(tmp_path):
    swarm = FakeSwarm()
    agent = ScriptedAgent(scored(1.5), scored(1.4))
    agent.lesson = f"deeper is slower\x1b[2J, see {tmp_path}/notes" + " very" * 400
    node = Node(tmp_path, swarm, agent, max_experiments=2)

    await node.run()

    assert swarm.shared
    shared = swarm.shared[0]
    assert shared.experiment_ids == (swarm.published[0].experiment.experiment_id,)
    assert shared.text.startswith("deeper is slower, see ~/notes")
    assert INSIGHT_LIMIT_CHARS - 5 < len(shared.text) <= INSIGHT_LIMIT_CHARS
    assert (shared.agent, shared.node_id) == (agent.name, "n")
    assert swarm.insight_queries[0].hardware_class == make_hardware().hardware_class
    assert agent.contexts[-1].insights in ((), (shared,))


async def test_lesson_that_cannot_be_shared_costs_nothing_else(tmp_path):
    swarm = FakeSwarm()
    swarm.share_errors.append(LimitExceeded("enough for today"))
    node = Node(tmp_path, swarm, ScriptedAgent(scored(1.5), scored(1.4)), max_experiments=2)

    ending = await node.run()

    assert ending is Ending.DONE
    assert len(swarm.published) == 2


async def test_proposals_say_which_program_they_went_by(tmp_path):
    swarm = FakeSwarm()
    swarm.swarm_program = Program(program_hash=program_hash("Be bold."), text="Be bold.", version=1)
    node = Node(tmp_path, swarm, ScriptedAgent(scored(1.5), scored(1.4)), max_experiments=2)
    node.program.hear(swarm.swarm_program.program_hash)

    await node.run()

    assert [one.experiment.hypothesis.program_hash for one in swarm.published] == 2 * [
        program_hash("Be bold.")
    ]
    assert [context.program for context in node.agent.contexts] == 2 * ["Be bold."]
    assert swarm.programs_fetched == 1


async def test_own_program_of_a_volunteer_is_told_and_named_instead(tmp_path):
    swarm = FakeSwarm()
    agent = ScriptedAgent(scored(1.5))
    node = Node(tmp_path, swarm, agent, max_experiments=1, own_program="My own way.")

    await node.run()

    assert agent.contexts[0].program == "My own way."
    assert swarm.published[0].experiment.hypothesis.program_hash == program_hash("My own way.")


async def test_agent_that_reads_no_program_names_none(tmp_path):
    swarm = FakeSwarm()
    agent = ScriptedAgent(scored(1.5))
    agent.reads_program = False
    node = Node(tmp_path, swarm, agent, max_experiments=1)

    await node.run()

    assert swarm.published[0].experiment.hypothesis.program_hash is None


async def paused(node):
    await until(lambda: node.board.state.work is Work.PAUSED)


async def test_a_pause_finishes_the_run_in_hand_and_then_takes_no_work_until_it_is_over(tmp_path):
    gate = tmp_path / "gate"
    node = Node(
        tmp_path, FakeSwarm(), ScriptedAgent(f"# fake: wait {gate}\n", scored(1.5)), max_experiments=2
    )
    running = asyncio.create_task(node.run())
    await until(lambda: len(node.swarm.started) == 2)

    node.pauses.hold(Cause.OWNER, "paused by its owner")
    gate.touch()
    await paused(node)
    published, held = len(node.swarm.published), len(node.leases.held)
    node.pauses.lift(Cause.OWNER)
    ending = await running

    assert (published, held) == (1, 1)
    assert ending is Ending.DONE
    assert len(node.swarm.published) == 2
    assert node.swarm.released == []


async def test_a_long_pause_gives_back_what_was_prepared(tmp_path):
    gate = tmp_path / "gate"
    agent = ScriptedAgent(f"# fake: wait {gate}\n", scored(1.5), scored(1.4))
    node = Node(tmp_path, FakeSwarm(), agent, max_experiments=2, prepared_kept_s=0.01)
    running = asyncio.create_task(node.run())
    await until(lambda: len(node.swarm.started) == 2)

    node.pauses.hold(Cause.QUIET_HOURS, "quiet hours until 07:00")
    gate.touch()
    await until(lambda: len(node.swarm.released) == 1)
    prepared_claim = node.swarm.started[1][0].claim_id
    node.pauses.lift(Cause.QUIET_HOURS)
    await running

    assert node.swarm.released == [(prepared_claim, "the node is paused")]
    assert node.scores == [2.0, 1.4]
    assert node.leases.held == set()


async def test_a_pause_at_once_ends_the_training_and_gives_its_claim_back(tmp_path):
    agent = ScriptedAgent(f"# fake: hang {tmp_path / 'pids'}\n", scored(1.5), scored(1.4))
    node = Node(tmp_path, FakeSwarm(), agent, max_experiments=1)
    running = asyncio.create_task(node.run())
    await until((tmp_path / "pids").exists)
    await until((tmp_path / "pids").read_text)

    node.pauses.hold(Cause.OWNER, "paused by its owner", now=True)
    await paused(node)
    released, pids = list(node.swarm.released), (tmp_path / "pids").read_text().split()
    alive = [pid for pid in pids if is_alive(pid)]
    node.pauses.lift(Cause.OWNER)
    await running

    assert [reason for _, reason in released] == ["not finished"]
    assert alive == []
    assert node.scores == [1.5]
    assert node.board.state.work is Work.STOPPED


async def test_a_pause_ends_the_search_for_work_and_begins_it_anew_while_the_same_run_trains(tmp_path):
    gate, thoughts = tmp_path / "gate", []

    async def think():
        thoughts.append("begun")
        if len(thoughts) == 1:
            await asyncio.Event().wait()
        return scored(1.5)

    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(f"# fake: wait {gate}\n", think), max_experiments=2)
    running = asyncio.create_task(node.run())
    await until(lambda: thoughts == ["begun"])

    node.pauses.hold(Cause.HEAT, "hot")
    node.pauses.lift(Cause.HEAT)
    await until(lambda: len(node.swarm.started) == 2)
    gate.touch()
    await running

    assert node.scores == [2.0, 1.5]
    assert node.swarm.released == []


async def test_a_paused_node_leaves_when_it_is_told_to(tmp_path):
    node = Node(tmp_path, FakeSwarm(), ScriptedAgent(scored(1.5)))
    node.pauses.hold(Cause.OWNER, "paused by its owner")
    running = asyncio.create_task(node.run())
    await paused(node)

    node.stop.drain("asked")

    assert await running is Ending.DRAINED
    assert node.swarm.claims == []
    assert node.board.state.work is Work.STOPPED
