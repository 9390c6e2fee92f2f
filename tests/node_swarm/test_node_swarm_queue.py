"""A waiting idea that brings its code, from one node over a real coordinator to another that has no agent."""

import contextlib

import pytest
from autoresearch import model
from autoresearch.model import new_id, utc_now
from autoresearch.signing import SigningKey
from swarm_samples import experiment, hardware, hash_of, hypothesis, result

from coordinator.config import Config
from coordinator.server import running_coordinator
from coordinator.storage.memory.server import MemoryStoreServer
from node.agent.base import NoAgent
from node.assignment import NodeFacts
from node.prepare import Preparer
from node.program import ProgramInForce
from node.swarm.address import open_channel, parse_address
from node.swarm.grpc_client import GrpcSwarm, JoinTerms
from node.swarm.heartbeat import Heartbeat
from node.swarm.protocol import Publication


@pytest.fixture
async def address(tmp_path, challenge):
    config = Config(listen="127.0.0.1:0", data_dir=tmp_path)
    async with running_coordinator(config, store=MemoryStoreServer(), challenges=[challenge]) as coordinator:
        yield coordinator.address


@contextlib.asynccontextmanager
async def node_at(address, key, name):
    terms = JoinTerms(name=name, has_consented=True)
    swarm = GrpcSwarm(open_channel(parse_address(address)), address, key, terms)
    try:
        yield swarm
    finally:
        await swarm.close()


async def measure_baseline(swarm, challenge):
    source = challenge.baseline_source.encode()
    for score in (1.50, 1.51, 1.49):
        task = await swarm.next_task(can_propose=False, can_train=True)
        made = experiment(source, challenge_id=challenge.challenge_id, experiment_id=task.experiment_id)
        run = result(made, score=score, seed=task.seed, purpose=model.Purpose.BASELINE)
        await swarm.publish(Publication(result=run, experiment=made, source=source, lease=task.lease))


def agentless(swarm, key, session, challenge):
    facts = NodeFacts(
        node_id=key.node_id, owner_id=session.owner_id, hardware=hardware(), challenge=challenge
    )
    leases = Heartbeat(swarm.heartbeat, interval_s=session.heartbeat_interval_s)
    program = ProgramInForce(swarm.program, session.program, own=None)
    return Preparer(swarm=swarm, agent=NoAgent(), leases=leases, facts=facts, program=program, now=utc_now)


async def test_idea_with_code_is_run_by_a_node_that_has_no_agent(address, challenge):
    key = SigningKey.generate()
    code = challenge.baseline_source.replace("DEPTH = 2", "DEPTH = 3").encode()
    async with (
        node_at(address, SigningKey.generate(), "thinker") as thinker,
        node_at(address, key, "lender") as lender,
    ):
        await thinker.connect(hardware())
        session = await lender.connect(hardware())
        await measure_baseline(thinker, challenge)
        await thinker.propose(new_id(), hypothesis("a third layer"), code, None)

        assignment = await agentless(lender, key, session, challenge).next_assignment()
        (run,) = assignment.runs
        published = await lender.publish(
            Publication(
                result=result(run.experiment, score=1.6, seed=run.seed),
                experiment=run.experiment,
                source=run.source,
                lease=assignment.lease,
            )
        )
        waiting = await thinker.ideas()
        task = await lender.next_task(can_propose=False, can_train=True)

    assert run.source == code
    assert run.experiment.source_hash == hash_of(code)
    assert published.state is model.ExperimentState.COMPLETED
    assert waiting == ()
    assert isinstance(task, model.IdleTask)
