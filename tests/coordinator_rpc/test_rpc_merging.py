"""A win on an older parent, over real gRPC: moved by the coordinator, run by a node without an agent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from autoresearch import codec
from autoresearch.calls import IDEA_SERVICE, LEADERBOARD_SERVICE, SWARM_SERVICE, ClaimCall, PublishCall
from autoresearch.challenge import Challenge
from autoresearch.model import (
    BaselineTask,
    ClaimId,
    Experiment,
    ExperimentId,
    ExploreTask,
    Granted,
    Hypothesis,
    IdeaKind,
    OwnerId,
    Purpose,
    QueuedTask,
    ReplicateTask,
    new_id,
)
from autoresearch.v1 import ideas_pb2, leaderboard_pb2, swarm_pb2
from rpc_nodes import HARDWARE, TestNode

from coordinator.server import RunningCoordinator
from coordinator.services.sources import hash_of

NewNode = Callable[[RunningCoordinator], TestNode]
ASKED_LIMIT = 40


def edit(challenge: Challenge, **constants: str) -> bytes:
    lines = challenge.baseline_source.splitlines(keepends=True)
    for index, line in enumerate(lines):
        name = line.partition(" = ")[0]
        if name in constants:
            lines[index] = f"{name} = {constants[name]}\n"
    return "".join(lines).encode()


async def measure(node: TestNode, challenge: Challenge) -> ExploreTask:
    """The baseline as often as it is asked for."""
    task = await node.next_task()
    while isinstance(task, BaselineTask):
        source = challenge.baseline_source.encode()
        result = node.result(task.experiment_id, source, 1.5, seed=task.seed, purpose=Purpose.BASELINE)
        await node.publish(result, task.lease)
        task = await node.next_task()
    assert isinstance(task, ExploreTask), task
    return task


async def explore(node: TestNode, task: ExploreTask, source: bytes, score: float) -> ExperimentId:
    granted = codec.claim_verdict_from_message(
        await node.claim(node.claim_message("0.016", task.parent.experiment_id))
    )
    assert isinstance(granted, Granted), granted
    experiment_id = ExperimentId(new_id())
    started = await node.start(granted.lease, experiment_id, source)
    result = node.result(experiment_id, source, score, seed=started.started.seed)
    await node.publish(result, granted.lease)
    return experiment_id


async def verify(node: TestNode, challenge: Challenge, candidate: bytes) -> None:
    for _ in range(ASKED_LIMIT):
        task = await node.next_task(can_propose=False)
        if isinstance(task, ReplicateTask):
            break
    assert isinstance(task, ReplicateTask), task
    for experiment_id, purpose, source, score in (
        (task.candidate_id, Purpose.VERIFY_CANDIDATE, candidate, 1.2),
        (task.control_id, Purpose.VERIFY_CONTROL, challenge.baseline_source.encode(), 1.5),
    ):
        result = node.result(experiment_id, source, score, seed=task.seed, purpose=purpose)
        await node.publish(replace(result, verification_id=task.verification_id), task.lease)


async def publish_alone(node: TestNode, parent_id: ExperimentId, source: bytes, score: float) -> ExperimentId:
    experiment = Experiment(
        experiment_id=ExperimentId(new_id()),
        challenge_id=node.challenge_id,
        hypothesis=Hypothesis(title="found alone"),
        source_hash=hash_of(source),
        parents=(parent_id,),
        node_id=node.key.node_id,
        owner_id=OwnerId(""),
        hardware_class=HARDWARE.hardware_class,
        created_at=datetime.now(UTC),
    )
    call = PublishCall(
        challenge_id=node.challenge_id,
        result=node.result(experiment.experiment_id, source, score, seed=1),
        experiment=experiment,
        source=source,
    )
    message = codec.publish_call_to_message(call)
    await node.call(SWARM_SERVICE + "Publish", message, swarm_pb2.PublishReply)
    return experiment.experiment_id


async def test_a_win_on_an_older_parent_comes_back_as_a_task_with_merged_code(
    coordinator: RunningCoordinator, new_node: NewNode, challenge: Challenge
) -> None:
    ada, grace = new_node(coordinator), new_node(coordinator)
    await ada.join()
    await grace.join()
    task = await measure(ada, challenge)
    best_source, win_source = edit(challenge, MATRIX_LR="0.016"), edit(challenge, DEPTH="3")
    best = await explore(ada, task, best_source, 1.2)
    for _ in range(3):
        await verify(grace, challenge, best_source)

    win = await publish_alone(ada, task.parent.experiment_id, win_source, 1.3)
    queued = await grace.next_task(can_propose=False)
    assert isinstance(queued, QueuedTask), queued
    ideas = ideas_pb2.ListIdeasReply.FromString(await ada.send(IDEA_SERVICE + "ListIdeas", b""))
    code = leaderboard_pb2.GetSourceReply.FromString(
        await ada.send(
            LEADERBOARD_SERVICE + "GetSource",
            leaderboard_pb2.GetSourceRequest(source_hash=queued.source_hash).SerializeToString(),
        )
    )
    claim = ClaimCall(
        challenge_id=grace.challenge_id,
        claim_id=ClaimId(new_id()),
        hypothesis=queued.hypothesis,
        parent_id=queued.parent.experiment_id,
        queued_claim_id=queued.lease.claim_id,
    )
    granted = codec.claim_verdict_from_message(await grace.claim(codec.claim_call_to_message(claim)))
    assert isinstance(granted, Granted), granted
    moved = ExperimentId(new_id())
    await grace.start(granted.lease, moved, code.source)
    detail = leaderboard_pb2.GetExperimentReply.FromString(
        await ada.send(
            LEADERBOARD_SERVICE + "GetExperiment",
            leaderboard_pb2.GetExperimentRequest(experiment_id=moved).SerializeToString(),
        )
    )

    assert (queued.kind, queued.material_ids) == (IdeaKind.REBASE, (win,))
    assert list(ideas.ideas[0].parents) == [best, win]
    assert code.source == edit(challenge, MATRIX_LR="0.016", DEPTH="3")
    assert list(detail.summary.experiment.parents) == [best, win]
