"""What agents that obey found of a volunteer's places and names, one small test for each."""

from __future__ import annotations

import random

import pytest
from autoresearch.model import Hypothesis, MechanismChange, MechanismOp, NodeId, OwnerId, utc_now
from fake_swarm import FakeLeases, FakeSwarm
from node_builders import BASELINE, make_challenge, make_hardware

from node.agent.base import Proposal
from node.assignment import NodeFacts
from node.prepare import Preparer
from node.program import ProgramInForce, program_of_challenge
from node.training.scrub import Identity, scrubber


class Talkative:
    """An agent that says where it runs."""

    name = "command"
    can_propose = reads_program = True
    thinks_for_free = False

    def __init__(self, failure=None):
        self.failure = failure

    async def propose(self, context):
        where = "see /home/ada/notes, grace@example.org"
        changes = (MechanismChange(op=MechanismOp.ADD, what=f"{where} what", where=f"{where} where"),)
        words = {"title": f"{where} title", "rationale": where, "distinction": where}
        return Proposal(
            hypothesis=Hypothesis(**words, changes=changes),
            draft=None if self.failure else BASELINE.replace("WIDTH = 64", "WIDTH = 65"),
        )

    async def edit(self, context, hypothesis):
        raise self.failure


def preparer_of(swarm, agent):
    challenge = make_challenge()
    facts = NodeFacts(
        node_id=NodeId("n"), owner_id=OwnerId("o"), hardware=make_hardware(), challenge=challenge
    )
    first = program_of_challenge(challenge.program_md)
    return Preparer(
        swarm=swarm,
        agent=agent,
        leases=FakeLeases(),
        facts=facts,
        program=ProgramInForce(swarm.program, first, own=None),
        now=utc_now,
        jitter=random.Random(1),
        scrub=scrubber(Identity(homes=("/home/ada",), users=("ada",), hosts=())),
    )


async def test_an_agents_words_leave_without_the_names_and_places_of_the_volunteer():
    swarm = FakeSwarm()

    assignment = await preparer_of(swarm, Talkative()).next_assignment()

    ((hypothesis, _parent),) = swarm.claims
    assert hypothesis.title == "see ~/notes, <email> title"
    assert "ada" not in repr(hypothesis)
    assert assignment.runs[0].experiment.hypothesis == hypothesis


async def test_why_a_claim_is_given_back_names_no_file_of_this_machine():
    swarm = FakeSwarm()
    agent = Talkative(PermissionError(13, "Permission denied", "/home/ada/.config/key"))
    preparer = preparer_of(swarm, agent)

    preparer._claimer._drafter.ask = lambda answer, account: answer  # an agent's own errors are named for it
    with pytest.raises(PermissionError):
        await preparer.next_assignment()

    assert [reason for _, reason in swarm.released] == ["Permission denied"]
