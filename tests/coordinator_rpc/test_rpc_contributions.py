"""Ideas, insights and programs over real gRPC, on memory and on the embedded store."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from autoresearch import codec
from autoresearch.calls import (
    ADMIN_SERVICE,
    IDEA_SERVICE,
    LEADERBOARD_SERVICE,
    SWARM_SERVICE,
    ListInsightsCall,
    ProposeCall,
    SetProgramCall,
    ShareInsightCall,
    WithdrawCall,
)
from autoresearch.challenge import Challenge
from autoresearch.errors import Conflict, InvalidArgument, NotFound, PermissionDenied
from autoresearch.model import (
    BaselineTask,
    ExperimentId,
    Hypothesis,
    HypothesisId,
    Insight,
    InsightId,
    InsightQuery,
    NodeId,
    OwnerId,
    Program,
    Purpose,
    new_id,
    utc_now,
)
from autoresearch.program import program_hash
from autoresearch.v1 import admin_pb2, ideas_pb2, leaderboard_pb2, swarm_pb2
from rpc_nodes import CPU, TestNode

from coordinator.server import RunningCoordinator

NewNode = Callable[[RunningCoordinator], TestNode]


async def measured(node: TestNode, challenge: Challenge) -> ExperimentId:
    """An experiment that is there: the baseline after one run."""
    await node.join()
    task = await node.next_task()
    assert isinstance(task, BaselineTask)
    result = node.result(
        task.experiment_id,
        challenge.baseline_source.encode(),
        1.5,
        seed=task.seed,
        purpose=Purpose.BASELINE,
    )
    await node.publish(result, task.lease)
    return task.experiment_id


def lesson(node: TestNode, *evidence: ExperimentId, text: str = "a lesson") -> Insight:
    return Insight(
        insight_id=InsightId(new_id()),
        challenge_id=node.challenge_id,
        text=text,
        experiment_ids=evidence,
        node_id=NodeId("somebody"),
        owner_id=OwnerId("somebody"),
        hardware_class=CPU,
        agent="test",
        created_at=utc_now(),
    )


async def share(node: TestNode, insight: Insight) -> bool:
    call = ShareInsightCall(challenge_id=node.challenge_id, insight=insight)
    message = codec.share_insight_call_to_message(call)
    reply = await node.call(IDEA_SERVICE + "ShareInsight", message, ideas_pb2.ShareInsightReply)
    return reply.is_repeat


async def listed(reader: TestNode, query: InsightQuery) -> tuple[Insight, ...]:
    """As anybody may: unsigned."""
    message = codec.list_insights_call_to_message(ListInsightsCall(challenge="", query=query))
    raw = await reader.send(IDEA_SERVICE + "ListInsights", message.SerializeToString())
    return codec.insights_from_message(ideas_pb2.ListInsightsReply.FromString(raw))


async def propose(node: TestNode, title: str, *, priority: int = 0) -> HypothesisId:
    call = ProposeCall(
        challenge_id=node.challenge_id,
        hypothesis_id=HypothesisId(new_id()),
        hypothesis=Hypothesis(title=title),
        priority=priority,
    )
    await node.call(IDEA_SERVICE + "Propose", codec.propose_call_to_message(call), ideas_pb2.ProposeReply)
    return call.hypothesis_id


async def withdraw(node: TestNode, hypothesis_id: HypothesisId) -> bool:
    call = WithdrawCall(challenge_id=node.challenge_id, hypothesis_id=hypothesis_id)
    message = codec.withdraw_call_to_message(call)
    reply = await node.call(IDEA_SERVICE + "Withdraw", message, ideas_pb2.WithdrawReply)
    return codec.withdraw_reply_from_message(reply)


async def waiting(reader: TestNode) -> list[str]:
    raw = await reader.send(IDEA_SERVICE + "ListIdeas", ideas_pb2.ListIdeasRequest().SerializeToString())
    ideas = codec.ideas_from_message(ideas_pb2.ListIdeasReply.FromString(raw))
    return [idea.hypothesis.title for idea in ideas]


async def set_program(operator: TestNode, text: str, note: str = "") -> tuple[Program, bool]:
    message = codec.set_program_call_to_message(SetProgramCall(challenge="", text=text, note=note))
    reply = await operator.call(ADMIN_SERVICE + "SetProgram", message, admin_pb2.SetProgramReply)
    return codec.set_program_reply_from_message(reply)


async def test_a_lesson_is_shared_once_and_read_by_anybody(
    coordinator: RunningCoordinator, new_node: NewNode, challenge: Challenge
) -> None:
    ada, reader = new_node(coordinator), new_node(coordinator)
    experiment_id = await measured(ada, challenge)
    sent = lesson(ada, experiment_id)

    repeats = [await share(ada, sent) for _ in range(2)]
    found = await listed(reader, InsightQuery(text="lesson", experiment_id=experiment_id))

    assert repeats == [False, True]
    assert [(one.text, one.node_id) for one in found] == [("a lesson", ada.key.node_id)]
    assert found[0].owner_id.startswith("open-")


async def test_a_lesson_is_refused_for_its_evidence_its_id_or_its_length(
    memory_coordinator: RunningCoordinator, new_node: NewNode, challenge: Challenge
) -> None:
    ada, bob = new_node(memory_coordinator), new_node(memory_coordinator)
    experiment_id = await measured(ada, challenge)
    await bob.join()
    sent = lesson(ada, experiment_id)
    await share(ada, sent)

    with pytest.raises(NotFound):
        await share(ada, lesson(ada, ExperimentId(new_id())))
    with pytest.raises(Conflict):
        await share(bob, sent)
    with pytest.raises(InvalidArgument):
        await share(ada, lesson(ada, experiment_id, text="x" * 1001))
    operator = new_node(memory_coordinator)
    operator.key, operator.challenge_id = memory_coordinator.operator_key, ada.challenge_id
    with pytest.raises(PermissionDenied):
        await share(operator, sent)


async def test_an_idea_waits_by_its_priority_until_its_owner_takes_it_back(
    coordinator: RunningCoordinator, new_node: NewNode
) -> None:
    ada, eve = new_node(coordinator), new_node(coordinator)
    await ada.join()
    await eve.join()
    usual = await propose(ada, "usual")
    await propose(ada, "urgent", priority=4)

    order = await waiting(eve)
    with pytest.raises(PermissionDenied):
        await propose(ada, "too urgent", priority=5)
    with pytest.raises(PermissionDenied):
        await withdraw(eve, usual)
    was_waiting = [await withdraw(ada, usual) for _ in range(2)]

    assert order == ["urgent", "usual"]
    assert was_waiting == [True, False]
    assert await waiting(eve) == ["urgent"]


async def test_the_operators_program_reaches_nodes_with_their_next_heartbeat(
    coordinator: RunningCoordinator, new_node: NewNode, operator: TestNode, challenge: Challenge
) -> None:
    ada = new_node(coordinator)
    session = await ada.join()

    made, is_repeat = await set_program(operator, "Be bold.", "for a change")
    again = await set_program(operator, "Be bold.")
    request = swarm_pb2.HeartbeatRequest(challenge_id=ada.challenge_id)
    reply = await ada.call(SWARM_SERVICE + "Heartbeat", request, swarm_pb2.HeartbeatReply)
    raw = await ada.send(
        LEADERBOARD_SERVICE + "ListPrograms", leaderboard_pb2.ListProgramsRequest().SerializeToString()
    )
    rows = codec.program_rows_from_message(leaderboard_pb2.ListProgramsReply.FromString(raw))

    assert session.program is not None
    assert session.program.program_hash == program_hash(challenge.program_md)
    assert (made.version, made.text, is_repeat) == (1, "Be bold.", False)
    assert again == (made, True)
    assert reply.program_hash == made.program_hash
    assert [(row.program.version, row.is_current) for row in rows] == [(1, True), (0, False)]
    assert rows[0].program == made


async def test_nobody_but_an_operator_sets_the_program(
    memory_coordinator: RunningCoordinator, new_node: NewNode
) -> None:
    ada = new_node(memory_coordinator)
    await ada.join()

    with pytest.raises(PermissionDenied):
        await set_program(ada, "Let me win.")
