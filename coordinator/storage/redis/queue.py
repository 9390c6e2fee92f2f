"""Ideas that wait, on Redis."""

from __future__ import annotations

import json
from typing import Any

from autoresearch.errors import Conflict, Internal, PermissionDenied
from autoresearch.model import HypothesisId, Idea, NodeId, OwnerId

from coordinator.storage.base import IDEAS_PER_TURN, NewSource
from coordinator.storage.fingerprints import idea_fingerprint
from coordinator.storage.redis.keys import pack_id, unpack_id
from coordinator.storage.redis.link import Arg, ScriptRunner
from coordinator.storage.redis.records import RecordCodec, idea_parts, read_idea
from coordinator.storage.redis.sources import WRITE_ATTEMPTS, SourceShelf


class RedisQueue:
    """Ideas that wait."""

    _runner: ScriptRunner
    _shelf: SourceShelf
    _codec: RecordCodec

    async def enqueue(self, idea: Idea, source: NewSource | None, *, max_per_node: int) -> bool | None:
        ask: dict[str, Any] = {
            "node": idea.node_id,
            "owner": idea.owner_id or idea.node_id,
            "priority": idea.priority,
            "per_turn": IDEAS_PER_TURN,
            "x": idea.origin_experiment_id or "",
            "title": idea.hypothesis.title,
            "max_per_node": max_per_node,
            "has_source": source is not None,
        }
        node = idea.node_id.encode()
        blob = bytes([len(node)]) + node + self._codec.pack(idea_parts(idea))
        text = json.dumps(ask, separators=(",", ":"), ensure_ascii=False).encode()
        for attempt in range(WRITE_ATTEMPTS):
            encoded = await self._shelf.encode(source, alone=attempt > 0) if source else None
            args: list[Arg] = [text, pack_id(idea.hypothesis_id), idea_fingerprint(idea), blob]
            args += [encoded.packed_hash, encoded.blob, encoded.parent] if encoded else ["", "", ""]
            match await self._runner.run("enqueue", args):
                case b"queued":
                    if encoded is not None:
                        self._shelf.remember(encoded)
                    return True
                case b"repeat":
                    return False
                case b"full":
                    return None
                case b"taken":
                    raise Conflict(f"hypothesis id {idea.hypothesis_id} was used for another idea")
            self._shelf.forget()
        raise Internal(f"the source of idea {idea.hypothesis_id} could not be stored on its own")

    async def list_ideas(self, *, start: int = 0, limit: int = 100) -> tuple[Idea, ...]:
        named = self._runner.keys.named
        packed = await self._runner.link.command("ZRANGE", named("queue"), start, start + limit - 1)
        if not packed:
            return ()
        blobs = await self._runner.link.command("HMGET", named("ideas"), *packed)
        return tuple(
            read_idea(unpack_id(key), self._codec.unpack(blob[1 + blob[0] :]))
            for key, blob in zip(packed, blobs, strict=True)
            if blob is not None
        )

    async def remove_idea(self, hypothesis_id: HypothesisId) -> bool:
        return bool(await self._runner.run("remove_idea", [pack_id(hypothesis_id)]))

    async def withdraw_idea(self, hypothesis_id: HypothesisId, *, node_id: NodeId, owner_id: OwnerId) -> bool:
        done = await self._runner.run("withdraw_idea", [pack_id(hypothesis_id), node_id, owner_id])
        if done < 0:
            raise PermissionDenied(f"idea {hypothesis_id} is another owner's")
        return bool(done)
