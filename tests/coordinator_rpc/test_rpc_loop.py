"""The whole loop of a node over real gRPC, on memory and on the embedded store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from autoresearch import codec
from autoresearch.calls import ADMIN_SERVICE, IDEA_SERVICE, LEADERBOARD_SERVICE, SWARM_SERVICE
from autoresearch.challenge import Challenge
from autoresearch.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ProtocolMismatch,
    SwarmError,
    TokenRefused,
    UnknownChallenge,
)
from autoresearch.model import (
    BaselineTask,
    EventKind,
    ExperimentId,
    ExploreTask,
    Granted,
    Level,
    Purpose,
    ReplicateTask,
    Started,
    new_id,
)
from autoresearch.v1 import admin_pb2, ideas_pb2, leaderboard_pb2, swarm_pb2, types_pb2
from rpc_nodes import TestNode
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from coordinator.server import RunningCoordinator

NewNode = Callable[[RunningCoordinator], TestNode]
LIMIT_S = 20.0


def edit(challenge: Challenge, value: str) -> bytes:
    lines = challenge.baseline_source.splitlines(keepends=True)
    return "".join(
        f"MATRIX_LR = {value}\n" if line.startswith("MATRIX_LR") else line for line in lines
    ).encode()


async def open_class(node: TestNode, challenge: Challenge, score: float = 1.5) -> ExploreTask:
    """Measures the baseline as often as it is asked for."""
    for _ in range(10):
        task = await node.next_task()
        if isinstance(task, ExploreTask):
            return task
        assert isinstance(task, BaselineTask), task
        source = challenge.baseline_source.encode()
        result = node.result(task.experiment_id, source, score, seed=task.seed, purpose=Purpose.BASELINE)
        await node.publish(result, task.lease)
    raise AssertionError("the class does not open")


def watch(node: TestNode, scope: int, after: types_pb2.Position | None = None) -> Any:
    request = swarm_pb2.WatchEventsRequest(challenge_id=node.challenge_id, scope=scope, after=after)
    body = request.SerializeToString()
    method = SWARM_SERVICE + "WatchEvents"
    stub: Any = node.channel.unary_stream(method, response_deserializer=types_pb2.Event.FromString)
    return stub(body, metadata=node.sign(method, body), timeout=LIMIT_S)


async def test_the_log_tells_what_each_claim_and_start_was_answered(
    coordinator: RunningCoordinator, new_node: NewNode, challenge: Challenge
) -> None:
    ada = new_node(coordinator)
    await ada.join()
    parent_id = (await open_class(ada, challenge)).parent.experiment_id
    first, again = ada.claim_message("0.016", parent_id), ada.claim_message("0.0160", parent_id)

    with capture_logs(processors=[merge_contextvars]) as lines:
        verdict = codec.claim_verdict_from_message(await ada.claim(first))
        assert isinstance(verdict, Granted)
        experiment_id = ExperimentId(new_id())
        await ada.start(verdict.lease, experiment_id, edit(challenge, "0.016"))
        await ada.claim(again)
        await ada.next_task()

    told = [line for line in lines if line["event"] == "answered"]
    granted, started, refused, task = told
    assert (granted["claim"], granted["answer"]) == (first.claim_id, "Granted")
    assert (started["claim"], started["answer"]) == (first.claim_id, "Started")
    assert started["experiment"] == experiment_id
    assert (refused["claim"], refused["answer"]) == (again.claim_id, "Duplicate")
    assert (refused["ground"], refused["state"], refused["match"]) == ("words", "running", experiment_id)
    assert "answer" not in task


async def test_a_node_does_the_whole_loop(
    coordinator: RunningCoordinator, new_node: NewNode, challenge: Challenge
) -> None:
    ada, grace = new_node(coordinator), new_node(coordinator)
    session = await ada.join()
    await grace.join()
    explore = await open_class(ada, challenge)
    events = watch(grace, swarm_pb2.WATCH_SCOPE_NODE)
    await events.wait_for_connection()
    await grace.next_task()

    verdict = codec.claim_verdict_from_message(
        await ada.claim(ada.claim_message("0.016", explore.parent.experiment_id))
    )
    assert isinstance(verdict, Granted)
    source = edit(challenge, "0.016")
    experiment_id = ExperimentId(new_id())
    started = codec.start_verdict_from_message(await ada.start(verdict.lease, experiment_id, source))
    assert isinstance(started, Started)
    beat = await ada.call(
        SWARM_SERVICE + "Heartbeat",
        swarm_pb2.HeartbeatRequest(challenge_id=ada.challenge_id, claim_ids=[verdict.lease.claim_id]),
        swarm_pb2.HeartbeatReply,
    )
    published = await ada.publish(ada.result(experiment_id, source, 1.2, seed=started.seed), started.lease)
    event = codec.event_from_message(await events.read())
    events.cancel()
    best = await grace.call(
        SWARM_SERVICE + "GetBest",
        swarm_pb2.GetBestRequest(challenge_id=grace.challenge_id),
        swarm_pb2.GetBestReply,
    )

    assert session.challenge.challenge_id == challenge.challenge_id
    assert [lease.claim_id for lease in beat.renewed] == [verdict.lease.claim_id]
    assert (published.is_repeat, published.is_late) == (False, False)
    assert (event.kind, event.experiment_id) == (EventKind.BEST_CHANGED, experiment_id)
    assert (best.best.experiment_id, best.source) == (experiment_id, source)
    assert codec.working_best_from_message(best.best).level is Level.PROVISIONAL


async def test_the_same_edit_in_other_words_is_a_duplicate(
    coordinator: RunningCoordinator, new_node: NewNode, challenge: Challenge
) -> None:
    ada, grace = new_node(coordinator), new_node(coordinator)
    await ada.join()
    await grace.join()
    parent_id = (await open_class(ada, challenge)).parent.experiment_id

    first = await ada.claim(ada.claim_message("0.016", parent_id))
    second = await grace.claim(grace.claim_message("16e-3", parent_id))

    assert (first.WhichOneof("verdict"), second.WhichOneof("verdict")) == ("granted", "duplicate")


async def test_repeats_of_claim_and_publish_change_nothing(
    coordinator: RunningCoordinator, new_node: NewNode, challenge: Challenge
) -> None:
    ada = new_node(coordinator)
    await ada.join()
    parent_id = (await open_class(ada, challenge)).parent.experiment_id
    request = ada.claim_message("0.016", parent_id)
    first, again = await ada.claim(request), await ada.claim(request)
    lease = codec.lease_from_message(first.granted.lease)
    source, experiment_id = edit(challenge, "0.016"), ExperimentId(new_id())
    started = await ada.start(lease, experiment_id, source)
    result = ada.result(experiment_id, source, 1.4, seed=started.started.seed)

    published = [await ada.publish(result, lease) for _ in range(2)]

    assert first.granted.lease.fencing_token == again.granted.lease.fencing_token
    assert [reply.is_repeat for reply in published] == [False, True]


async def test_readers_need_no_key_and_see_what_happened(
    coordinator: RunningCoordinator, new_node: NewNode, challenge: Challenge
) -> None:
    ada, reader = new_node(coordinator), new_node(coordinator)
    await ada.join()
    baseline = (await open_class(ada, challenge)).parent

    async def read(name: str, request: Any, reply: Any) -> Any:
        return reply.FromString(await reader.send(LEADERBOARD_SERVICE + name, request.SerializeToString()))

    board = leaderboard_pb2
    status = await read("GetStatus", board.GetStatusRequest(), board.GetStatusReply)
    page = await read("ListExperiments", board.ListExperimentsRequest(), board.ListExperimentsReply)
    detail = await read(
        "GetExperiment",
        board.GetExperimentRequest(experiment_id=baseline.experiment_id[-8:]),
        board.GetExperimentReply,
    )
    source = await read(
        "GetSource", board.GetSourceRequest(source_hash=baseline.source_hash), board.GetSourceReply
    )
    nodes = await read("ListNodes", board.ListNodesRequest(), board.ListNodesReply)
    progress = await read("GetProgress", board.GetProgressRequest(), board.GetProgressReply)
    found = await read("Search", board.SearchRequest(text="baseline"), board.SearchReply)
    ideas = ideas_pb2.ListIdeasReply.FromString(await reader.send(IDEA_SERVICE + "ListIdeas", b""))

    assert found.basis == board.SEARCH_BASIS_WORDS
    assert [match.summary.experiment.experiment_id for match in found.matches] == [baseline.experiment_id]
    assert (status.challenge_name, status.results, status.nodes) == ("pocket", 3, 1)
    assert [one.experiment.experiment_id for one in page.experiments] == [baseline.experiment_id]
    assert len(detail.results) == 3
    assert source.source == challenge.baseline_source.encode()
    assert [node.node_id for node in nodes.nodes] == [ada.key.node_id]
    assert progress.changes[0].best.experiment_id == baseline.experiment_id
    assert not ideas.ideas


async def test_readers_learn_how_many_verifications_are_in_and_no_score_of_them(
    coordinator: RunningCoordinator, operator: TestNode, new_node: NewNode, challenge: Challenge
) -> None:
    ada, grace = new_node(coordinator), new_node(coordinator)
    await ada.join()
    session = await grace.join(await operator.create_token("grace"))
    parent_id = (await open_class(ada, challenge)).parent.experiment_id
    granted = codec.claim_verdict_from_message(await ada.claim(ada.claim_message("0.016", parent_id)))
    assert isinstance(granted, Granted)
    source, experiment_id = edit(challenge, "0.016"), ExperimentId(new_id())
    started = await ada.start(granted.lease, experiment_id, source)
    result = ada.result(experiment_id, source, 1.2, seed=started.started.seed)
    await ada.publish(result, granted.lease)
    task = await grace.next_task(can_propose=False)
    assert isinstance(task, ReplicateTask), task
    half = grace.result(experiment_id, source, 1.3125, seed=task.seed, purpose=Purpose.VERIFY_CANDIDATE)
    await grace.publish(replace(half, verification_id=task.verification_id), task.lease)

    async def read(name: str, request: Any, reply: Any) -> Any:
        return reply.FromString(await ada.send(LEADERBOARD_SERVICE + name, request.SerializeToString()))

    board = leaderboard_pb2
    detail = await read(
        "GetExperiment", board.GetExperimentRequest(experiment_id=experiment_id), board.GetExperimentReply
    )
    page = await read("ListExperiments", board.ListExperimentsRequest(), board.ListExperimentsReply)
    status = await read("GetStatus", board.GetStatusRequest(), board.GetStatusReply)
    operator.challenge_id = grace.challenge_id
    feed = watch(operator, swarm_pb2.WATCH_SCOPE_FEED, codec.position_to_message(session.position))
    events = [await feed.read()]
    while events[-1].kind != types_pb2.EVENT_KIND_PUBLISHED or events[-1].node_id != grace.key.node_id:
        events.append(await feed.read())
    feed.cancel()

    assert (len(detail.results), detail.summary.sealed_runs, detail.summary.score) == (1, 1, 1.2)
    assert "1.3125" not in f"{detail}{page}{status}{events}"


async def test_the_operator_makes_lists_and_revokes_tokens(
    coordinator: RunningCoordinator, operator: TestNode, new_node: NewNode
) -> None:
    token = await operator.create_token("ada")
    enrolled = await new_node(coordinator).enrol(token)
    listed = await operator.call(
        ADMIN_SERVICE + "ListTokens", admin_pb2.ListTokensRequest(), admin_pb2.ListTokensReply
    )
    await operator.call(
        ADMIN_SERVICE + "RevokeToken",
        admin_pb2.RevokeTokenRequest(token_id=listed.tokens[0].token_id),
        admin_pb2.RevokeTokenReply,
    )

    with pytest.raises(TokenRefused):
        await new_node(coordinator).enrol(token)
    assert (enrolled.owner_id, enrolled.has_vote) == ("ada", True)


async def test_the_feed_is_the_operators_and_has_everything(
    coordinator: RunningCoordinator, operator: TestNode, new_node: NewNode, challenge: Challenge
) -> None:
    ada = new_node(coordinator)
    session = await ada.join()
    operator.challenge_id = ada.challenge_id
    after = codec.position_to_message(session.position)

    await open_class(ada, challenge)
    feed = watch(operator, swarm_pb2.WATCH_SCOPE_FEED, after)
    kinds = [codec.event_from_message(await feed.read()).kind for _ in range(4)]
    feed.cancel()
    refused = watch(ada, swarm_pb2.WATCH_SCOPE_FEED)

    assert EventKind.PUBLISHED in kinds
    assert EventKind.BEST_CHANGED in kinds
    assert (await refused.code()).name == "PERMISSION_DENIED"


async def test_a_position_of_another_store_is_answered_by_a_snapshot(
    coordinator: RunningCoordinator, new_node: NewNode, challenge: Challenge
) -> None:
    ada = new_node(coordinator)
    await ada.join()
    parent = (await open_class(ada, challenge)).parent

    events = watch(ada, swarm_pb2.WATCH_SCOPE_NODE, types_pb2.Position(epoch=77, stream_id="1-0"))
    event = codec.event_from_message(await events.read())
    events.cancel()

    assert (event.kind, event.experiment_id) == (EventKind.SNAPSHOT, parent.experiment_id)


@pytest.mark.parametrize(("low", "high"), [(7, 9), (0, 0)])
async def test_another_protocol_is_refused_with_both_ranges(
    memory_coordinator: RunningCoordinator, new_node: NewNode, low: int, high: int
) -> None:
    node = new_node(memory_coordinator)
    await node.enrol()

    with pytest.raises(ProtocolMismatch) as refused:
        await node.connect(low=low, high=high)

    assert str(high) in refused.value.message
    assert "1" in refused.value.message


async def test_an_unknown_challenge_is_named(
    memory_coordinator: RunningCoordinator, new_node: NewNode
) -> None:
    node = new_node(memory_coordinator)
    await node.join()

    with pytest.raises(UnknownChallenge, match="nowhere"):
        await node.connect("nowhere")
    node.challenge_id = "ch_other"
    with pytest.raises(UnknownChallenge, match="ch_other"):
        await node.next_task()


async def test_enrolment_needs_consent(memory_coordinator: RunningCoordinator, new_node: NewNode) -> None:
    with pytest.raises(SwarmError) as refused:
        await new_node(memory_coordinator).enrol(consent=False)

    assert "consent" in refused.value.message


async def test_a_class_without_runs_has_no_best(
    memory_coordinator: RunningCoordinator, new_node: NewNode
) -> None:
    node = new_node(memory_coordinator)
    await node.join()
    request = swarm_pb2.GetBestRequest(challenge_id=node.challenge_id)

    with pytest.raises(NotFound):
        await node.call(SWARM_SERVICE + "GetBest", request, swarm_pb2.GetBestReply)


async def test_a_node_that_never_connected_has_no_class(
    memory_coordinator: RunningCoordinator, new_node: NewNode, challenge: Challenge
) -> None:
    node = new_node(memory_coordinator)
    await node.enrol()
    request = swarm_pb2.GetBestRequest(challenge_id=challenge.challenge_id)

    with pytest.raises((NotFound, InvalidArgument), match="connect first"):
        await node.call(SWARM_SERVICE + "GetBest", request, swarm_pb2.GetBestReply)


async def test_an_operator_is_no_node(
    memory_coordinator: RunningCoordinator, new_node: NewNode, challenge: Challenge
) -> None:
    node = new_node(memory_coordinator)
    node.key = memory_coordinator.operator_key
    node.challenge_id = challenge.challenge_id

    with pytest.raises(PermissionDenied):
        await node.next_task()


async def test_sixteen_claims_of_one_edit_have_one_winner(
    coordinator: RunningCoordinator, new_node: NewNode, challenge: Challenge
) -> None:
    nodes = [new_node(coordinator) for _ in range(16)]
    for node in nodes:
        await node.join()
    parent_id = (await open_class(nodes[0], challenge)).parent.experiment_id
    spellings = ("0.016", "16e-3", "0.0160", "1.6e-2")
    requests = [
        node.claim_message(spellings[number % len(spellings)], parent_id) for number, node in enumerate(nodes)
    ]

    replies = await asyncio.gather(
        *(node.claim(request) for node, request in zip(nodes, requests, strict=True))
    )

    assert sum(reply.WhichOneof("verdict") == "granted" for reply in replies) == 1
