"""Who may call: signatures over the bytes that are sent, fresh, once, and by the right role."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from autoresearch.calls import ADMIN_SERVICE, LEADERBOARD_SERVICE, SWARM_SERVICE
from autoresearch.challenge import Challenge
from autoresearch.errors import (
    ClockSkew,
    InvalidArgument,
    LimitExceeded,
    PermissionDenied,
    ProtocolMismatch,
    Unauthenticated,
)
from autoresearch.signing import SIGNATURE_KEY, WINDOW_S, SigningKey, new_nonce
from autoresearch.status import REQUEST_ID_KEY, SERVER_TIME_KEY
from autoresearch.v1 import swarm_pb2
from rpc_nodes import TestNode, now_ms

from coordinator.auth.keys import KeyAuthenticator
from coordinator.config import Config
from coordinator.server import RunningCoordinator, running_coordinator
from coordinator.storage.memory import MemoryStoreServer

NewNode = Callable[[RunningCoordinator], TestNode]
NEXT_TASK = SWARM_SERVICE + "NextTask"
HEARTBEAT = SWARM_SERVICE + "Heartbeat"


@pytest.fixture
async def node(memory_coordinator: RunningCoordinator, new_node: NewNode) -> TestNode:
    node = new_node(memory_coordinator)
    await node.join()
    return node


def heartbeat(node: TestNode, activity: str = "exploring") -> bytes:
    request = swarm_pb2.HeartbeatRequest(challenge_id=node.challenge_id, activity=activity)
    return request.SerializeToString()


async def in_turn(calls: list[Coroutine[Any, Any, bytes]]) -> None:
    try:
        for call in calls:
            await call
    finally:
        for call in calls:
            call.close()


async def test_a_call_without_signature_is_refused(node: TestNode) -> None:
    with pytest.raises(Unauthenticated):
        await node.send(HEARTBEAT, heartbeat(node))


async def test_a_signature_covers_every_byte_of_the_body(node: TestNode) -> None:
    signature = node.sign(HEARTBEAT, heartbeat(node, "training"))

    with pytest.raises(Unauthenticated, match="does not match"):
        await node.send(HEARTBEAT, heartbeat(node, "drilling"), signature)


async def test_a_signature_covers_the_method(node: TestNode) -> None:
    body = heartbeat(node)

    with pytest.raises(Unauthenticated):
        await node.send(HEARTBEAT, body, node.sign(NEXT_TASK, body))


async def test_a_call_counts_once(node: TestNode) -> None:
    body = heartbeat(node)
    signature = node.sign(HEARTBEAT, body)
    await node.send(HEARTBEAT, body, signature)

    with pytest.raises(Unauthenticated, match="before"):
        await node.send(HEARTBEAT, body, signature)


async def test_a_refused_call_does_not_use_up_its_nonce(node: TestNode) -> None:
    body, nonce = heartbeat(node), new_nonce()
    wrong = [
        (key, bytes(64) if key == SIGNATURE_KEY else value)
        for key, value in node.sign(HEARTBEAT, body, nonce=nonce)
    ]
    with pytest.raises(Unauthenticated):
        await node.send(HEARTBEAT, body, tuple(wrong))

    await node.send(HEARTBEAT, body, node.sign(HEARTBEAT, body, nonce=nonce))


@pytest.mark.parametrize("off_s", [-2 * WINDOW_S, 2 * WINDOW_S])
async def test_a_clock_that_is_off_is_told_the_servers_time(node: TestNode, off_s: float) -> None:
    body = heartbeat(node)

    with pytest.raises(ClockSkew):
        await node.send(HEARTBEAT, body, node.sign(HEARTBEAT, body, at_ms=now_ms() + int(off_s * 1000)))

    assert abs(int(node.trailer[SERVER_TIME_KEY]) - now_ms()) < WINDOW_S * 1000


async def test_every_reply_brings_the_servers_time_and_a_request_id(node: TestNode) -> None:
    await node.send(SWARM_SERVICE + "GetServerInfo", b"")

    assert node.trailer[SERVER_TIME_KEY].isdigit()
    assert len(node.trailer[REQUEST_ID_KEY]) == 16


async def test_an_unknown_key_has_to_enrol_first(
    memory_coordinator: RunningCoordinator, new_node: NewNode
) -> None:
    with pytest.raises(Unauthenticated, match="enrol"):
        await new_node(memory_coordinator).connect()


async def test_nobody_enrols_the_key_of_another(node: TestNode) -> None:
    other = SigningKey.generate()
    request = swarm_pb2.EnrolRequest(public_key=other.public_key, consent=True)

    with pytest.raises(Unauthenticated):
        await node.call(SWARM_SERVICE + "Enrol", request, swarm_pb2.EnrolReply)


async def test_a_node_is_no_operator(node: TestNode) -> None:
    with pytest.raises(PermissionDenied, match="operator"):
        await node.create_token("ada")


async def test_anybody_is_no_operator(node: TestNode) -> None:
    with pytest.raises(Unauthenticated):
        await node.send(ADMIN_SERVICE + "ListTokens", b"")


def test_a_method_that_is_not_listed_is_denied() -> None:
    authenticator = KeyAuthenticator(MemoryStoreServer().identity_store(), {})

    with pytest.raises(PermissionDenied, match="not in the policy"):
        authenticator.requirement_of(SWARM_SERVICE + "Erase")


async def test_an_unknown_method_says_that_the_versions_differ(node: TestNode) -> None:
    with pytest.raises(ProtocolMismatch):
        await node.send(SWARM_SERVICE + "Teleport", b"")


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"\x0a\x7fshort", bytes(50)])
async def test_bytes_that_are_no_message_are_refused(node: TestNode, body: bytes) -> None:
    with pytest.raises(InvalidArgument):
        await node.send(NEXT_TASK, body, node.sign(NEXT_TASK, body))


async def test_a_message_cut_short_is_refused(node: TestNode) -> None:
    body = heartbeat(node)[:-3]

    with pytest.raises(InvalidArgument):
        await node.send(HEARTBEAT, body, node.sign(HEARTBEAT, body))


async def test_a_message_past_the_limit_is_refused(node: TestNode) -> None:
    body = bytes(2 * 1024 * 1024)

    with pytest.raises(LimitExceeded):
        await node.send(HEARTBEAT, body, node.sign(HEARTBEAT, body))


async def test_metadata_past_the_limit_is_refused(node: TestNode) -> None:
    body = heartbeat(node)

    with pytest.raises(LimitExceeded):
        await node.send(HEARTBEAT, body, (*node.sign(HEARTBEAT, body), ("x-more", "x" * 100_000)))


async def test_a_fast_caller_is_told_when_to_come_back(
    config: Config, challenge: Challenge, new_node: NewNode
) -> None:
    slow = Config(listen=config.listen, data_dir=config.data_dir, calls_per_node_s=1.0)
    async with running_coordinator(slow, store=MemoryStoreServer(), challenges=[challenge]) as running:
        node = new_node(running)
        await node.join()

        calls = [
            node.send(HEARTBEAT, heartbeat(node), node.sign(HEARTBEAT, heartbeat(node))) for _ in range(10)
        ]
        with pytest.raises(LimitExceeded) as refused:
            await in_turn(calls)

    assert 0 < (refused.value.retry_after_s or 0) <= 1.0


async def test_an_address_shares_one_rate(config: Config, challenge: Challenge, new_node: NewNode) -> None:
    slow = Config(listen=config.listen, data_dir=config.data_dir, calls_per_peer_s=1.0)
    async with running_coordinator(slow, store=MemoryStoreServer(), challenges=[challenge]) as running:
        calls = [new_node(running).send(LEADERBOARD_SERVICE + "GetStatus", b"") for _ in range(10)]
        with pytest.raises(LimitExceeded, match="address"):
            await in_turn(calls)
