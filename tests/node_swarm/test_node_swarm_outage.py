"""A node, a real coordinator, and an outage between them."""

import asyncio
import random

import stamina
from autoresearch import model
from autoresearch.model import new_id, utc_now
from autoresearch.signing import SigningKey
from swarm_samples import constant, experiment, hardware, hypothesis, result

from coordinator.config import Config
from coordinator.server import running_coordinator
from coordinator.storage.memory.server import MemoryStoreServer
from node.swarm.address import open_channel, parse_address
from node.swarm.grpc_client import GrpcReader, GrpcSwarm, JoinTerms
from node.swarm.link import LinkedSwarm
from node.swarm.outbox import Outbox
from node.swarm.protocol import Publication
from node.swarm.solo import SoloSwarm


def edit(challenge, **values):
    source = challenge.baseline_source
    for name, value in values.items():
        old = next(line for line in source.splitlines() if line.startswith(f"{name} = "))
        source = source.replace(old, f"{name} = {value}")
    return source.encode()


async def one_experiment(swarm, challenge, *, score, title, **values):
    task = await swarm.next_task(can_propose=True, can_train=True)
    if isinstance(task, model.BaselineTask):
        source, experiment_id, parents = edit(challenge), task.experiment_id, ()
        words, held, seed, purpose = hypothesis("baseline"), task.lease, task.seed, model.Purpose.BASELINE
    else:
        assert isinstance(task, model.ExploreTask), task
        source, experiment_id, parents = edit(challenge, **values), new_id(), (task.parent.experiment_id,)
        words = hypothesis(title, changes=tuple(constant(name, str(new)) for name, new in values.items()))
        verdict = await swarm.claim(new_id(), words, task.parent.experiment_id)
        started = await swarm.start(verdict.lease, experiment_id, source)
        held, seed, purpose = started.lease, started.seed, model.Purpose.EXPLORE
    made = experiment(
        source,
        challenge_id=challenge.challenge_id,
        experiment_id=experiment_id,
        parents=parents,
        hypothesis=words,
    )
    run = result(
        made,
        score=score,
        seed=seed,
        purpose=purpose,
        started_at=utc_now(),
        finished_at=utc_now(),
    )
    return await swarm.publish(Publication(result=run, experiment=made, source=source, lease=held))


async def test_outage_costs_neither_results_nor_work(tmp_path, challenge):
    store = MemoryStoreServer()
    back, passes = asyncio.Event(), asyncio.Queue()

    async def sleep(_):
        await passes.get()

    def config(listen):
        return Config(listen=listen, data_dir=tmp_path, grace_s=0.1)

    key = SigningKey.generate()
    with stamina.set_testing(True, attempts=2):
        async with running_coordinator(config("127.0.0.1:0"), store=store, challenges=[challenge]) as first:
            address = first.address
            channel = open_channel(parse_address(address))
            online = GrpcSwarm(channel, address, key, JoinTerms(name="bee", has_consented=True))
            link = LinkedSwarm(
                online,
                SoloSwarm(tmp_path / "solo.sqlite", challenge, key.node_id, now=utc_now),
                Outbox(tmp_path / "outbox.sqlite", now=utc_now),
                on_change=lambda is_online, _: back.set() if is_online else back.clear(),
                sleep=sleep,
                jitter=random.Random(1),
            )
            await link.connect(hardware())
            for score in (1.50, 1.51, 1.49):
                await one_experiment(link, challenge, score=score, title="baseline")
            await link.best()
        alone = [
            await one_experiment(
                link, challenge, score=1.6 + depth / 100, title=f"depth {depth}", DEPTH=depth
            )
            for depth in (3, 4, 5)
        ]
        was_alone = not link.is_online

        async with running_coordinator(config(address), store=store, challenges=[challenge]):
            await channel.channel_ready()
            passes.put_nowait(None)
            await asyncio.wait_for(back.wait(), 30)
            reader = GrpcReader(open_channel(parse_address(address)), address)
            page = await reader.experiments(model.ExperimentQuery(text="depth"))
            waiting = link._outbox.waiting_count()
            await reader.close()
            await link.close()

    assert was_alone
    assert all(published.state is model.ExperimentState.COMPLETED for published in alone)
    assert waiting == 0
    assert [summary.experiment.hypothesis.title for summary in page.experiments] == [
        "depth 3",
        "depth 4",
        "depth 5",
    ]
