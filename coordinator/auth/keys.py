"""The authenticator that serves: Ed25519 signatures, enrolled nodes, operators' keys."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from autoresearch.codec import enrol_call_from_message
from autoresearch.errors import InvalidArgument, NodeBanned, PermissionDenied, Unauthenticated
from autoresearch.model import Node, NodeId
from autoresearch.signing import (
    CallSignature,
    SigningKey,
    load_or_create_key,
    read_signature,
    verify_call,
)
from autoresearch.v1 import swarm_pb2
from google.protobuf.message import DecodeError

from coordinator.auth.authenticator import ANYBODY, Caller, Role, SignedCall
from coordinator.auth.policy import Requirement, requirement_of
from coordinator.auth.replay import ReplayGuard

OPERATOR_KEY_FILE = "operator.key"
NODES_CACHED = 20_000
NODE_CACHED_S = 5.0
"""How long another replica's change of a node (a ban, its hardware) may stay unseen here."""


class NodeDirectory(Protocol):
    """Where nodes are looked up."""

    async def get_node(self, node_id: NodeId) -> Node | None:
        """The node's record."""


def load_operator_key(data_dir: Path) -> SigningKey:
    """The operator's key in the data folder, made at the first start with mode 0600.

    Raises:
        KeyFileError: it is there and cannot be trusted.
        InvalidArgument: the folder cannot be made or read.
    """
    try:
        return load_or_create_key(data_dir / OPERATOR_KEY_FILE)
    except OSError as error:
        raise InvalidArgument(
            f"cannot keep anything in {data_dir} ({error.strerror}); give another folder with --data-dir"
        ) from error


class KeyAuthenticator:
    """Checks signatures, and looks nodes up through a small cache; not thread-safe (one event loop).

    Which calls were made before is known to this process alone.
    """

    def __init__(
        self,
        nodes: NodeDirectory,
        operators: Mapping[NodeId, bytes],
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Trusts the public keys of ``operators``, by the id that follows from each."""
        self._nodes = nodes
        self._operators = dict(operators)
        self._now_ms = now_ms
        self._replays = ReplayGuard(started_ms=now_ms())
        self._cache: OrderedDict[NodeId, tuple[int, Node]] = OrderedDict()

    def requirement_of(self, method: str) -> Requirement:
        """What the method needs."""
        requirement = requirement_of(method)
        if requirement is None:
            raise PermissionDenied(f"{method} is not in the policy, so nobody may call it")
        return requirement

    async def authenticate(self, call: SignedCall, requirement: Requirement) -> Caller:
        """The caller, who meets ``requirement``; this process accepts an overheard call once."""
        if requirement is Requirement.PUBLIC:
            return ANYBODY
        signature = read_signature(call.metadata)
        caller, public_key = await self._find(signature, call, requirement)
        now_ms = self._now_ms()
        verify_call(signature, public_key=public_key, method=call.method, body=call.body, now_ms=now_ms)
        self._replays.check(signature.nonce, time_ms=signature.time_ms, now_ms=now_ms)
        if caller.node is not None and caller.node.is_banned:
            raise NodeBanned(f"node {signature.node_id} was shut out by the operator; ask them why")
        _check_role(caller, call.method, requirement)
        return caller

    def forget(self, node_id: NodeId) -> None:
        """Looks the node up anew at its next call: its record has changed."""
        self._cache.pop(node_id, None)

    async def _find(
        self, signature: CallSignature, call: SignedCall, requirement: Requirement
    ) -> tuple[Caller, bytes]:
        node_id = signature.node_id
        if requirement is Requirement.ENROLMENT_KEY:
            return Caller(role=Role.KEY_HOLDER, key_id=node_id), _enrolled_key(call.body)
        operator = self._operators.get(node_id)
        if operator is not None:
            return Caller(role=Role.OPERATOR, key_id=node_id), operator
        node = await self._get_node(node_id)
        return Caller(role=Role.NODE, key_id=node_id, node=node), node.public_key

    async def _get_node(self, node_id: NodeId) -> Node:
        now_ms = self._now_ms()
        cached = self._cache.get(node_id)
        if cached is not None and now_ms < cached[0]:
            return cached[1]
        node = await self._nodes.get_node(node_id)
        if node is None:
            self._cache.pop(node_id, None)
            raise Unauthenticated(f"node {node_id} is not enrolled here; enrol its key first")
        self._cache[node_id] = (now_ms + int(NODE_CACHED_S * 1000), node)
        self._cache.move_to_end(node_id)
        if len(self._cache) > NODES_CACHED:
            self._cache.popitem(last=False)
        return node


def _enrolled_key(body: bytes) -> bytes:
    try:
        return enrol_call_from_message(swarm_pb2.EnrolRequest.FromString(body)).public_key
    except DecodeError as error:
        raise Unauthenticated("the request is not an EnrolRequest, so its key cannot be read") from error


def _check_role(caller: Caller, method: str, requirement: Requirement) -> None:
    allowed = {
        Requirement.ENROLMENT_KEY: (Role.KEY_HOLDER,),
        Requirement.NODE: (Role.NODE,),
        Requirement.NODE_OR_OPERATOR: (Role.NODE, Role.OPERATOR),
        Requirement.OPERATOR: (Role.OPERATOR,),
    }[requirement]
    if caller.role not in allowed:
        raise PermissionDenied(
            f"{method} is for {' or '.join(allowed)} keys, and {caller.key_id} is the key of a {caller.role}"
        )
