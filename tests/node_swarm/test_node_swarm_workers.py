"""Workers of one node share its identity, its outbox and what it knows for going on alone."""

import asyncio
import multiprocessing

import stamina
from autoresearch import model
from autoresearch.model import new_id, utc_now
from autoresearch.signing import SigningKey
from swarm_samples import experiment, hardware, hypothesis, lease, result

from coordinator.config import Config
from coordinator.server import running_coordinator
from coordinator.storage.memory.server import MemoryStoreServer
from node.swarm.address import open_channel, parse_address
from node.swarm.grpc_client import GrpcReader, GrpcSwarm, JoinTerms
from node.swarm.link import LinkedSwarm
from node.swarm.outbox import Outbox
from node.swarm.protocol import Publication
from node.swarm.solo import SoloSwarm

WORKERS, EACH = 4, 15


def worker(tmp_path, challenge, key, address):
    """One of several, as its process composes it."""
    online = GrpcSwarm(
        open_channel(parse_address(address)), address, key, JoinTerms(name="bee", has_consented=True)
    )
    solo = SoloSwarm(tmp_path / "solo.sqlite", challenge, key.node_id, now=utc_now)
    return LinkedSwarm(online, solo, Outbox(tmp_path / "outbox.sqlite", now=utc_now))


async def baseline_run(swarm, challenge, task, score):
    source = challenge.baseline_source.encode()
    made = experiment(
        source,
        challenge_id=challenge.challenge_id,
        experiment_id=task.experiment_id,
        parents=(),
        hypothesis=hypothesis("baseline"),
    )
    run = result(
        made,
        score=score,
        seed=task.seed,
        purpose=model.Purpose.BASELINE,
        started_at=utc_now(),
        finished_at=utc_now(),
    )
    return await swarm.publish(Publication(result=run, experiment=made, source=source, lease=task.lease))


async def test_each_worker_renews_its_own_leases_and_leaves_those_of_the_others(tmp_path, challenge):
    key = SigningKey.generate()
    config = Config(listen="127.0.0.1:0", data_dir=tmp_path, grace_s=0.1)
    with stamina.set_testing(True, attempts=2):
        async with running_coordinator(config, store=MemoryStoreServer(), challenges=[challenge]) as server:
            one, two = (worker(tmp_path, challenge, key, server.address) for _ in range(2))
            await one.connect(hardware())
            await two.connect(hardware())
            mine = await one.next_task(can_propose=True, can_train=True)
            theirs = await two.next_task(can_propose=True, can_train=True)

            beats = [
                await one.heartbeat([mine.lease.claim_id], "training on gpu-0"),
                await two.heartbeat([theirs.lease.claim_id], "training on gpu-1"),
            ]
            published = [
                await baseline_run(one, challenge, mine, 1.5),
                await baseline_run(two, challenge, theirs, 1.51),
            ]
            reader = GrpcReader(open_channel(parse_address(server.address)), server.address)
            (node,) = await reader.nodes()
            await reader.close()
            await one.close()
            await two.close()

    assert mine.lease.claim_id != theirs.lease.claim_id
    assert [[lease.claim_id for lease in beat.renewed] for beat in beats] == [
        [mine.lease.claim_id],
        [theirs.lease.claim_id],
    ]
    assert [beat.lost for beat in beats] == [(), ()]
    assert [one.is_late for one in published] == [False, False]
    assert node.node_id == key.node_id


def put_and_replay(path, log, number):
    """One process: puts its results, then hands over whatever waits, as its heartbeats would."""
    asyncio.run(_put_and_replay(path, log, number))


async def _put_and_replay(path, log, number):
    outbox = Outbox(path, now=utc_now)

    async def publish(publication):
        with log.open("a") as file:  # one short line: appended whole
            file.write(f"{publication.result.result_id}\n")
        return model.Published(
            result_id=publication.result.result_id,
            position=model.Position(epoch=1, stream_id="1-0"),
            is_repeat=False,
            is_late=False,
            state=model.ExperimentState.COMPLETED,
            best=None,
        )

    for _ in range(EACH):
        made = experiment(f"# worker {number}\n".encode(), experiment_id=new_id())
        run = result(made, result_id=new_id())
        outbox.put(Publication(result=run, experiment=made, source=b"# code\n", lease=lease()))
        await outbox.replay(publish)
    while outbox.waiting_count():
        await outbox.replay(publish)
    outbox.close()


def test_processes_that_share_an_outbox_hand_each_result_over_once(tmp_path):
    path, log = tmp_path / "outbox.sqlite", tmp_path / "published"
    Outbox(path, now=utc_now).close()
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=put_and_replay, args=(path, log, number)) for number in range(WORKERS)]

    for process in workers:
        process.start()
    for process in workers:
        process.join(150)

    outbox = Outbox(path, now=utc_now)
    published = log.read_text().splitlines()
    assert [process.exitcode for process in workers] == [0] * WORKERS
    assert len(published) == len(set(published)) == WORKERS * EACH
    assert (outbox.status().waiting, outbox.status().acknowledged) == (0, WORKERS * EACH)
    outbox.close()
