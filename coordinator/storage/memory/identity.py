"""Nodes, owners and tokens in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from autoresearch.errors import Conflict
from autoresearch.model import HardwareClass, Node, NodeId, Token

from coordinator.storage.tokens import check_owner, check_token


class MemoryIdentity:
    """The identity store of a process."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._tokens: dict[str, Token] = {}
        self._nodes: dict[NodeId, Node] = {}

    async def put_token(self, token: Token, token_hash: str) -> None:
        self._tokens[token_hash] = token

    async def list_tokens(self) -> tuple[Token, ...]:
        return tuple(sorted(self._tokens.values(), key=lambda token: (token.created_at, token.token_id)))

    async def revoke_token(self, token_id: str) -> bool:
        for token_hash, token in self._tokens.items():
            if token.token_id == token_id:
                self._tokens[token_hash] = replace(token, is_revoked=True)
                return True
        return False

    async def enrol(self, node: Node, token_hash: str | None) -> Node:
        known = self._nodes.get(node.node_id)
        if known is not None and known.public_key != node.public_key:
            raise Conflict(f"node {node.node_id} is enrolled with another key")
        if known is not None and token_hash is None:
            return known
        if known is not None and known.has_vote:
            check_owner(self._tokens.get(token_hash or ""), known)
            return known
        enrolled = known or node
        if token_hash is not None:
            token = self._spend(token_hash)
            enrolled = replace(enrolled, owner_id=token.owner_id, has_vote=True)
        self._nodes[node.node_id] = enrolled
        return enrolled

    def _spend(self, token_hash: str) -> Token:
        token = check_token(self._tokens.get(token_hash), self._clock())
        if token.uses_left is not None:
            self._tokens[token_hash] = replace(token, uses_left=token.uses_left - 1)
        return token

    async def get_node(self, node_id: NodeId) -> Node | None:
        return self._nodes.get(node_id)

    async def touch_node(
        self, node_id: NodeId, hardware_class: HardwareClass | None = None, *, activity: str = ""
    ) -> None:
        if (node := self._nodes.get(node_id)) is not None:
            self._nodes[node_id] = replace(
                node,
                last_seen_at=self._clock(),
                hardware_class=node.hardware_class if hardware_class is None else hardware_class,
                activity=activity,
            )

    async def list_nodes(self) -> tuple[Node, ...]:
        return tuple(self._nodes.values())
