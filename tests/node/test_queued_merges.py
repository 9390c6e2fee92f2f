"""Combinations, ablations and moved wins that wait: with code anybody runs them, without only who can."""

import asyncio
import os
import random
import sys

import pytest
from autoresearch.model import (
    ClaimId,
    ExperimentId,
    ExperimentState,
    Hypothesis,
    HypothesisId,
    IdeaKind,
    MechanismChange,
    MechanismOp,
    NodeId,
    OwnerId,
    QueuedTask,
    utc_now,
)
from fake_swarm import FakeLeases, FakeSwarm, make_lease
from node_builders import BASELINE, make_challenge, make_hardware, make_summary

from node.agent.base import NoAgent
from node.agent.command import AgentCommand, CommandAgent
from node.agent.search import SearchAgent
from node.assignment import NodeFacts
from node.library import source_hash
from node.prepare import HAND_BACKS_LIMIT, Preparer
from node.program import ProgramInForce, program_of_challenge

OLD = BASELINE.replace("MATRIX_LR = 0.04 ", "MATRIX_LR = 0.06 ")
MERGING_AGENT = """
import shutil, sys
from pathlib import Path
shutil.copy("prompt.md", sys.argv[2])
train = Path("train.py")
train.write_text(train.read_text().replace("MATRIX_LR = 0.04 ", "MATRIX_LR = 0.05 "))
"""


class Rig:
    """A preparer on a fake swarm that holds one experiment to be merged, and its parent."""

    def __init__(self, agent):
        self.swarm = FakeSwarm()
        self.swarm.sources["win"] = OLD.encode()
        self.swarm.history.append(
            make_summary(
                experiment_id="win",
                changes={"MATRIX_LR": ("0.04", "0.06")},
                delta=-0.03,
                state=ExperimentState.SUPERSEDED,
            )
        )
        self.leases, self.sleeps = FakeLeases(), []
        facts = NodeFacts(
            node_id=NodeId("n"),
            owner_id=OwnerId("o"),
            hardware=make_hardware(),
            challenge=make_challenge(),
        )
        self.preparer = Preparer(
            swarm=self.swarm,
            agent=agent,
            leases=self.leases,
            facts=facts,
            program=ProgramInForce(
                self.swarm.program, program_of_challenge(facts.challenge.program_md), own=None
            ),
            now=utc_now,
            sleep=self._sleep,
            jitter=random.Random(1),
        )

    def queue(self, kind, *, code=None, name="q", material="win"):
        if code is not None:
            self.swarm.sources[f"code of {name}"] = code
        self.swarm.tasks.append(
            QueuedTask(
                lease=make_lease(ClaimId(name)),
                hypothesis_id=HypothesisId(f"h-{name}"),
                hypothesis=Hypothesis(
                    title="combine: MATRIX_LR 0.04 -> 0.06",
                    changes=(MechanismChange(op=MechanismOp.ADD, what="MATRIX_LR 0.04 -> 0.06"),),
                ),
                parent=self.swarm._best(),
                source_hash=source_hash(code) if code is not None else None,
                kind=kind,
                material_ids=(ExperimentId(material),),
            )
        )

    async def next(self):
        return await asyncio.wait_for(self.preparer.next_assignment(), 60)

    async def _sleep(self, pause_s):
        self.sleeps.append(pause_s)
        await asyncio.sleep(0)


async def test_a_command_agent_is_shown_the_edits_it_is_to_put_together(tmp_path):
    script, copy = tmp_path / "agent.py", tmp_path / "prompt.md"
    script.write_text(MERGING_AGENT)
    template = (sys.executable, "-S", str(script), "{workdir}", str(copy))
    command = AgentCommand(template=template, time_limit_s=60.0)
    rig = Rig(CommandAgent(command=command, environ=dict(os.environ)))
    rig.queue(IdeaKind.COMBINE)

    assignment = await rig.next()

    prompt = copy.read_text()
    assert assignment.runs[0].source.decode() == BASELINE.replace("0.04 ", "0.05 ")
    assert rig.swarm.queued_claims == ["q"]
    assert "Merge edits into `train.py`" in prompt
    assert "> +MATRIX_LR = 0.06     # for matrices" in prompt
    assert "(superseded, -0.03000 against its parent)" in prompt
    assert assignment.context.kind is IdeaKind.COMBINE


@pytest.mark.parametrize("kind", [IdeaKind.COMBINE, IdeaKind.ABLATE, IdeaKind.REBASE])
async def test_a_node_without_an_agent_runs_what_brings_its_code(kind):
    rig = Rig(NoAgent())
    rig.queue(kind, code=OLD.encode(), material="nobody knows")

    assignment = await rig.next()

    assert assignment.runs[0].source == OLD.encode()
    assert rig.swarm.released == []


async def test_what_an_agent_cannot_do_is_handed_back_and_the_next_task_asked_for_at_once():
    rig = Rig(SearchAgent(node_id="n"))
    for number in range(3):
        rig.queue(IdeaKind.COMBINE, name=f"q{number}")

    assignment = await rig.next()

    assert [claim_id for claim_id, _ in rig.swarm.released] == ["q0", "q1", "q2"]
    assert {reason for _, reason in rig.swarm.released} == {"the agent could not do it"}
    assert rig.sleeps == [0.0, 0.0, 0.0]
    assert rig.swarm.queued_claims == [None]
    assert assignment.title != "combine: MATRIX_LR 0.04 -> 0.06"


async def test_a_swarm_that_hands_out_nothing_else_is_not_asked_without_end():
    rig = Rig(SearchAgent(node_id="n"))
    for number in range(HAND_BACKS_LIMIT + 2):
        rig.queue(IdeaKind.ABLATE, name=f"q{number}")

    await rig.next()

    assert rig.sleeps[:HAND_BACKS_LIMIT] == [0.0] * HAND_BACKS_LIMIT
    assert all(pause_s > 0 for pause_s in rig.sleeps[HAND_BACKS_LIMIT:])


async def test_an_idea_about_an_experiment_that_is_gone_is_given_back():
    rig = Rig(SearchAgent(node_id="n"))
    rig.queue(IdeaKind.REBASE, material="gone")

    await rig.next()

    assert [claim_id for claim_id, _ in rig.swarm.released] == ["q"]
    assert rig.leases.held != set()
