"""A node that only proposes: how much it thinks ahead, what it takes back, and what it learns."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from autoresearch.errors import Conflict, LimitExceeded, NotFound, Unavailable
from autoresearch.model import (
    ExperimentId,
    ExperimentPage,
    ExploreTask,
    Hypothesis,
    Idea,
    IdleTask,
    NodeId,
    Outcome,
    OwnerId,
    Program,
    Purpose,
    Result,
    ResultId,
    Usage,
    new_id,
    utc_now,
)
from autoresearch.program import program_hash
from node_builders import BASELINE, NOW, is_alive, make_best, make_challenge, make_hardware, make_summary

from node.agent.account import Cap
from node.agent.base import Proposal
from node.board import Board
from node.config import Config, ConfigError
from node.following import Whose
from node.library import source_hash
from node.loop import Ending
from node.pausing import Pauses
from node.program import ProgramInForce
from node.proposing import LOOK_EVERY_S, Pace, Proposer
from node.purse import Budget, Purse
from node.state import WorkEvent
from node.stopping import Stop
from node.thinking import Thinker

LIFE = """
import asyncio, sys
from pathlib import Path
from types import SimpleNamespace
from node.pausing import Pauses
from node.propose_only import _live
from node.stopping import Aborted, Stop
from node.training.processes import run_group

folder, script = Path(sys.argv[1]), sys.argv[2]


class Swarm:
    async def connect(self, hardware, challenge_id):
        await run_group(["sh", "-c", script], cwd=folder, env={"PATH": "/usr/bin:/bin"}, timeout_s=60)
        raise Aborted

    async def close(self):
        pass


head = SimpleNamespace(
    config=SimpleNamespace(node_dir=folder),
    challenge=SimpleNamespace(challenge_id="ch"),
    agent=None,
    pauses=Pauses(),
    stop=Stop(),
    board=SimpleNamespace(picture=dict),
    purse=SimpleNamespace(close=lambda: None),
)
asyncio.run(_live(head, Swarm()))
"""

ME = NodeId("n_me")
PARENT = replace(make_best(), source_hash=source_hash(BASELINE.encode()))
OTHER_PARENT = replace(PARENT, experiment_id=ExperimentId("other"))


def run_of(summary):
    """What another node brought."""
    return Result(
        result_id=ResultId(new_id()),
        experiment_id=summary.experiment.experiment_id,
        challenge_id=summary.experiment.challenge_id,
        node_id=NodeId("n_gpu"),
        owner_id=OwnerId("gpu"),
        outcome=Outcome.COMPLETED,
        purpose=Purpose.EXPLORE,
        metrics={"val_bpb": 1.9},
        seed=1,
        hardware=make_hardware(),
        code_hash=summary.experiment.source_hash,
        harness_version="1",
        started_at=NOW,
        finished_at=NOW,
    )


def nothing(desk):
    """All is as it was."""


class Desk:
    """A coordinator's queue. ``fates`` are told one at each look: what has happened to the queue by then."""

    def __init__(self, *fates):
        self.fates = list(fates)
        self.queue = []
        self.proposed = []
        self.withdrawn = []
        self.tried = []
        self.shared = []
        self.tasks = ExploreTask(parent=PARENT)
        self.limit_after = 1000
        self.failures, self.share_failures = [], []

    async def next_task(self, *, can_propose, can_train, hardware_class=None):
        assert (can_propose, can_train) == (True, False)
        if self.fates:
            self.fates.pop(0)(self)
        return self.tasks

    async def propose(self, hypothesis_id, hypothesis, source, origin, *, parent=None, usage=None):
        del origin
        if self.failures:
            raise self.failures.pop(0)
        if len(self.proposed) >= self.limit_after:
            raise LimitExceeded("as many as may wait do")
        self.proposed.append((hypothesis, source, parent, usage))
        self.queue.append(
            Idea(
                hypothesis_id=hypothesis_id,
                hypothesis=hypothesis,
                node_id=ME,
                proposed_at=utc_now(),
                source_hash=source_hash(source),
            )
        )

    async def ideas(self):
        return tuple(self.queue)

    async def withdraw(self, hypothesis_id):
        self.withdrawn.append(hypothesis_id)
        self.queue = [one for one in self.queue if one.hypothesis_id != hypothesis_id]
        return True

    async def experiments(self, query):
        del query
        return ExperimentPage(experiments=tuple(self.tried), next_cursor="", total=len(self.tried))

    async def experiment_with_runs(self, experiment_id):
        (found,) = [one for one in self.tried if one.experiment.experiment_id == experiment_id]
        return found, (run_of(found),)

    async def share(self, insight):
        if self.share_failures:
            raise self.share_failures.pop(0)
        self.shared.append(insight)

    async def source(self, experiment_id):
        assert experiment_id in (PARENT.experiment_id, OTHER_PARENT.experiment_id)
        return BASELINE.encode()

    async def insights(self, query):
        del query
        return ()

    def run_first(self):
        """Another node has run what was next."""
        idea = self.queue.pop(0)
        summary = make_summary()
        experiment = replace(
            summary.experiment, proposer_id=ME, source_hash=idea.source_hash, hypothesis=idea.hypothesis
        )
        self.tried.append(replace(summary, experiment=experiment))


class Head:
    """An agent whose every idea is new, and costs a dollar where it is not free."""

    name = "head"
    can_propose = True
    reads_program = False

    def __init__(self, *, thinks_for_free=True, lesson=None, source=None):
        self.thinks_for_free = thinks_for_free
        self.lesson = lesson
        self.source = source
        self.contexts = []

    async def propose(self, context):
        self.contexts.append(context)
        number = len(self.contexts)
        if not self.thinks_for_free:
            with context.account.call(Usage(cost_usd=1.0)) as bill:
                bill.usage = Usage(model="m", calls=1, cost_usd=1.0)
        source = self.source or f"{context.parent_source}\n# {number}\nX = {number}\n"
        return Proposal(hypothesis=Hypothesis(title=f"idea {number}"), draft=source)

    async def repair(self, context, source, failure):
        del context, source, failure

    async def reflect(self, context, hypothesis, result):
        del result
        if not self.thinks_for_free:
            with context.account.call(Usage(cost_usd=0.5)) as bill:
                bill.usage = Usage(model="m", calls=1, cost_usd=0.5)
        return self.lesson and f"{self.lesson} ({hypothesis.title})"


class Node:
    """A proposer whose time passes at once; ``slept`` is how long it would have rested."""

    def __init__(self, tmp_path, desk, head, *, budget=None, scrub=str, **pace):
        self.stop, self.slept = Stop(), []
        purse = Purse(tmp_path / "purse.sqlite", budget or Budget(), now=utc_now)
        challenge = make_challenge()
        program = Program(program_hash=program_hash("go"), text="go", version=0)
        self.board = Board(path=tmp_path / "status.json", now=utc_now, facts={})
        self.board.step(WorkEvent.SESSION_OPENED)
        self.proposer = Proposer(
            desk=desk,
            thinker=Thinker(
                swarm=desk,
                agent=head,
                challenge=challenge,
                program=ProgramInForce(lambda: None, program, own=None),
                scrub=scrub,
                open_account=purse.open_account,
            ),
            agent=head,
            whose=Whose(node_id=ME, owner_id=OwnerId("me"), metric_name=challenge.metric_name),
            pace=Pace(**{"ideas_ahead": 2, **pace}),
            board=self.board,
            stop=self.stop,
            pauses=Pauses(),
            scrub=scrub,
            sleep=self.sleep,
            jitter=random.Random(0),
        )

    async def sleep(self, seconds):
        self.slept.append(seconds)
        if len(self.slept) > 50:
            self.stop.drain("the test is over")
        await asyncio.sleep(0)

    async def run(self):
        return await self.proposer.run()


async def test_no_more_ideas_wait_than_its_owner_allows(tmp_path):
    desk = Desk()
    node = Node(tmp_path, desk, Head(), ideas_ahead=2)

    ending = await node.run()

    assert ending is Ending.DRAINED
    assert len(desk.proposed) == 2
    assert node.slept[-1] == LOOK_EVERY_S
    assert {parent for _, _, parent, _ in desk.proposed} == {PARENT.experiment_id}


async def test_words_of_its_agent_leave_scrubbed(tmp_path):
    desk = Desk()

    await Node(tmp_path, desk, Head(), scrub=lambda text: text.replace("idea", "<user>"), ideas_ahead=1).run()

    assert [hypothesis.title for hypothesis, _, _, _ in desk.proposed] == ["<user> 1"]


async def test_it_leaves_when_all_that_it_was_to_propose_was_run(tmp_path):
    desk = Desk(nothing, nothing, Desk.run_first, Desk.run_first)
    head = Head(lesson="wider is better")

    ending = await Node(tmp_path, desk, head, max_ideas=2).run()

    assert ending is Ending.DONE
    assert [insight.text for insight in desk.shared] == [
        "wider is better (idea 1)",
        "wider is better (idea 2)",
    ]
    assert desk.shared[0].experiment_ids == (desk.tried[0].experiment.experiment_id,)


async def test_lesson_that_is_refused_is_dropped_and_one_that_nobody_takes_now_waits(tmp_path):
    desk = Desk(nothing, nothing, Desk.run_first, Desk.run_first)
    desk.share_failures = [NotFound("no such experiment"), Unavailable("away")]

    ending = await Node(tmp_path, desk, Head(lesson="so it is"), max_ideas=2).run()

    assert ending is Ending.DONE
    assert [insight.text for insight in desk.shared] == ["so it is (idea 2)"]


async def test_free_ideas_on_an_outdated_parent_are_taken_back_and_paid_ones_stay(tmp_path):
    def new_best(desk):
        desk.tasks = ExploreTask(parent=OTHER_PARENT)

    free, paid = Desk(nothing, new_best), Desk(nothing, new_best)

    await Node(tmp_path, free, Head(), ideas_ahead=1).run()
    (tmp_path / "paid").mkdir()
    await Node(tmp_path / "paid", paid, Head(thinks_for_free=False), ideas_ahead=1).run()

    assert len(free.withdrawn) == 1
    assert [parent for _, _, parent, _ in free.proposed] == [PARENT.experiment_id, OTHER_PARENT.experiment_id]
    assert (paid.withdrawn, len(paid.queue)) == ([], 1)


async def test_spent_budget_ends_it_with_what_was_paid_for_in_the_queue(tmp_path):
    desk = Desk()
    budget = Budget(total=Cap(usd=2.0))

    ending = await Node(tmp_path, desk, Head(thinks_for_free=False), budget=budget, ideas_ahead=8).run()

    assert ending is Ending.BUDGET_SPENT
    assert [usage.cost_usd for *_, usage in desk.proposed] == [1.0, 1.0]


async def test_what_reflections_and_refused_ideas_cost_goes_out_with_the_next_idea(tmp_path):
    desk = Desk(nothing, nothing, Desk.run_first)
    desk.failures = [Conflict("that id is used")]

    await Node(tmp_path, desk, Head(thinks_for_free=False), ideas_ahead=1, max_ideas=2).run()

    assert [usage.cost_usd for *_, usage in desk.proposed] == [2.0, 1.5]


async def test_idea_waits_for_a_coordinator_that_is_away(tmp_path):
    desk = Desk()
    desk.failures = [Unavailable("away"), Unavailable("away")]
    head = Head()

    await Node(tmp_path, desk, head, ideas_ahead=1).run()

    assert len(desk.proposed) == len(head.contexts) == 1


async def test_results_are_heard_while_the_queue_takes_no_more_and_a_drain_waits_for_no_room(tmp_path):
    looks = [nothing, Desk.run_first]
    desk = Desk(*looks, *[nothing] * 3, lambda desk: node.stop.drain("enough"))
    desk.limit_after = 1
    node = Node(tmp_path, desk, Head(lesson="so it is"))

    ending = await node.run()

    assert ending is Ending.DRAINED
    assert [len(desk.proposed), len(desk.shared)] == [1, 1]
    assert len(node.slept) < 10


async def test_code_that_waits_already_is_not_proposed_again(tmp_path):
    desk, head = Desk(), Head(source="X = 1\n")

    await Node(tmp_path, desk, head, ideas_ahead=2).run()

    assert len(desk.proposed) == 1
    assert head.contexts[1].refusals[0].answer == "waits in the queue already"
    assert head.contexts[2].refusals[-1].answer == "the same code waits in the queue already"


async def test_idea_that_was_refused_frees_its_place(tmp_path):
    desk = Desk(nothing, lambda desk: desk.queue.clear())

    await Node(tmp_path, desk, Head(), ideas_ahead=1).run()

    assert len(desk.proposed) == 2


async def test_it_thinks_of_nothing_while_nobody_could_run_it(tmp_path):
    desk, head = Desk(), Head()
    desk.tasks = IdleTask(retry_after_s=10.0, reason="no node has measured the baseline yet")

    node = Node(tmp_path, desk, head)
    await node.run()

    assert head.contexts == []
    assert "no node has measured" in node.board.picture()["note"]


@pytest.mark.parametrize(
    "settings", [{"agent": "none"}, {"workers": 2}, {"gpus": "all"}, {"ideas_ahead": 0}, {"ideas_ahead": 17}]
)
def test_settings_that_make_no_proposer_are_refused(settings):
    with pytest.raises(ConfigError, match=r"propose_only|ideas_ahead"):
        Config(propose_only=True, **settings)


def test_an_agent_that_left_its_group_is_ended_with_its_run_though_the_node_only_proposes(tmp_path):
    path = tmp_path / "escaped"
    leaves = (
        f"(setsid sh -c 'echo $$ > {path}; exec sleep 600' &); while [ ! -s {path} ]; do sleep 0.01; done"
    )

    subprocess.run([sys.executable, "-c", LIFE, str(tmp_path), leaves], check=True, timeout=60)

    pid = int(path.read_text())
    was_alive = is_alive(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    assert not was_alive
