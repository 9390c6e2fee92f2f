"""Nodes, owners and tokens on Redis, under a hash tag of their own."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from autoresearch.errors import Conflict
from autoresearch.model import HardwareClass, Node, NodeId, OwnerId, Token

from coordinator.storage.redis.link import ScriptRunner
from coordinator.storage.redis.overview import as_table
from coordinator.storage.redis.records import from_millis, micros
from coordinator.storage.tokens import Refusal, refused

NO_CLASS = "-"
"""Tells the script to forget a class; no class is called so."""


class RedisIdentity:
    """The identity store of a server."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    async def put_token(self, token: Token, token_hash: str) -> None:
        uses = "" if token.uses_left is None else str(token.uses_left)
        text = json.dumps(
            {
                "token_id": token.token_id,
                "owner_id": token.owner_id,
                "created_at": token.created_at.isoformat(),
                "expires_at": token.expires_at.isoformat() if token.expires_at else "",
                "expires_ms": str(micros(token.expires_at) // 1000) if token.expires_at else "",
            }
        )
        await self._runner.run("put_token", [token_hash, token.token_id, text, uses])
        if token.is_revoked:
            await self.revoke_token(token.token_id)

    async def list_tokens(self) -> tuple[Token, ...]:
        named = self._runner.keys.named
        texts, uses, revoked = await self._runner.link.read_together(
            ["HGETALL", named("tokens")], ["HGETALL", named("uses")], ["SMEMBERS", named("revoked")]
        )
        uses_left = as_table(uses)
        tokens = [
            _read_token(json.loads(text), uses_left.get(token_hash, b""), token_hash in revoked)
            for token_hash, text in as_table(texts).items()
        ]
        return tuple(sorted(tokens, key=lambda token: (token.created_at, token.token_id)))

    async def revoke_token(self, token_id: str) -> bool:
        return bool(await self._runner.run("revoke_token", [token_id]))

    async def enrol(self, node: Node, token_hash: str | None) -> Node:
        text = json.dumps(_node_parts(node))
        reply = await self._runner.run("enrol", [node.node_id, text, token_hash or ""])
        match reply[0]:
            case b"conflict":
                raise Conflict(f"node {node.node_id} is enrolled with another key")
            case b"refused":
                token_id = json.loads(reply[2])["token_id"] if reply[2] else ""
                raise refused(Refusal(reply[1].decode()), token_id)
        return _read_node(reply[1], reply[2])

    async def get_node(self, node_id: NodeId) -> Node | None:
        named = self._runner.keys.named
        text, seen = await self._runner.link.read_together(
            ["HGET", named("nodes"), node_id], ["HGET", named("seen"), node_id]
        )
        return _read_node(text, seen) if text is not None else None

    async def touch_node(
        self, node_id: NodeId, hardware_class: HardwareClass | None = None, *, activity: str = ""
    ) -> None:
        told = "" if hardware_class is None else hardware_class or NO_CLASS
        await self._runner.run("touch_node", [node_id, told, activity])

    async def list_nodes(self) -> tuple[Node, ...]:
        named = self._runner.keys.named
        texts, seen = await self._runner.link.read_together(
            ["HGETALL", named("nodes")], ["HGETALL", named("seen")]
        )
        last_seen = as_table(seen)
        nodes = (_read_node(text, last_seen.get(node_id)) for node_id, text in as_table(texts).items())
        return tuple(sorted(nodes, key=lambda node: (node.enrolled_at, node.node_id)))


def _node_parts(node: Node) -> dict[str, Any]:
    return {
        "node_id": node.node_id,
        "owner_id": node.owner_id,
        "name": node.name,
        "public_key": node.public_key.hex(),
        "hardware_class": node.hardware_class,
        "enrolled_at": node.enrolled_at.isoformat(),
        "last_seen_at": node.last_seen_at.isoformat(),
        "has_vote": node.has_vote,
        "is_banned": node.is_banned,
    }


def _read_node(text: bytes, seen: bytes | None) -> Node:
    value = json.loads(text)
    seen_ms, _, rest = (seen or b"").decode().partition(" ")
    hardware_class, _, activity = rest.partition(" ")
    last_seen_at = from_millis(int(seen_ms)) if seen_ms else datetime.fromisoformat(value["last_seen_at"])
    return Node(
        node_id=NodeId(value["node_id"]),
        owner_id=OwnerId(value["owner_id"]),
        name=value["name"],
        public_key=bytes.fromhex(value["public_key"]),
        hardware_class=HardwareClass(hardware_class or value["hardware_class"]),
        enrolled_at=datetime.fromisoformat(value["enrolled_at"]),
        last_seen_at=last_seen_at,
        has_vote=value["has_vote"],
        is_banned=value["is_banned"],
        activity=activity,
    )


def _read_token(value: dict[str, Any], uses: bytes, is_revoked: bool) -> Token:  # noqa: FBT001
    return Token(
        token_id=value["token_id"],
        owner_id=OwnerId(value["owner_id"]),
        uses_left=int(uses) if uses else None,
        created_at=datetime.fromisoformat(value["created_at"]),
        expires_at=datetime.fromisoformat(value["expires_at"]) if value["expires_at"] else None,
        is_revoked=is_revoked,
    )
