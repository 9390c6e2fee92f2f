"""Leases and what they hold, on Redis."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from autoresearch.errors import Internal
from autoresearch.model import (
    ClaimId,
    Experiment,
    ExperimentId,
    HardwareClass,
    Lease,
    NodeId,
    OwnerId,
    Position,
)

from coordinator.storage.base import (
    SUBJECTS_HELD_LIMIT,
    ClaimGone,
    ClaimIdTaken,
    ClaimKind,
    ClaimOutcome,
    ClaimRecord,
    ClaimRequest,
    EditKey,
    ExperimentIdTaken,
    IndexBehind,
    KeyHeld,
    KeyKind,
    KeyTried,
    NewSource,
    Renewal,
    StartOutcome,
    StoredReading,
    SubjectsHeld,
    TooManyClaims,
)
from coordinator.storage.redis.keys import edit_key_id, pack_id, unpack_id
from coordinator.storage.redis.link import Reply, ScriptRunner
from coordinator.storage.redis.records import (
    RecordCodec,
    from_millis,
    hypothesis_parts,
    pack_experiment,
    program_text,
    read_hypothesis,
    with_program,
)
from coordinator.storage.redis.sources import WRITE_ATTEMPTS, SourceShelf


class RedisClaims:
    """The claims of one challenge."""

    _runner: ScriptRunner
    _shelf: SourceShelf
    _codec: RecordCodec

    async def claim(
        self,
        request: ClaimRequest,
        *,
        ttl_s: float,
        max_live: int,
        memory_mb: float = 0.0,
        waived: Collection[ExperimentId] = (),
        seen: Position | None = None,
        compared: Collection[ClaimId] | None = (),
    ) -> ClaimOutcome:
        key_ids = [edit_key_id(request.hardware_class, key) for key in request.keys]
        subjects = [edit_key_id(request.hardware_class, subject) for subject in request.subjects]
        ask = {
            "id": request.claim_id,
            "f": request.fingerprint,
            "n": request.node_id,
            "c": request.hardware_class,
            "k": request.kind,
            "T": request.hypothesis.title if request.hypothesis else "",
            "keys": [key_id.hex() for key_id in key_ids],
            "subjects": [key_id.hex() for key_id in subjects],
            "compared": list(compared) if compared is not None else False,
            "shown": SUBJECTS_HELD_LIMIT,
            "ttl_s": ttl_s,
            "max_live": max_live,
            "memory_mb": memory_mb,
            "takes_over": request.takes_over or "",
            "waived": [pack_id(experiment_id).hex() for experiment_id in waived],
            "seen": seen.stream_id if seen else "",
            "epoch": seen.epoch if seen else 0,
        }
        buckets = [self._runner.keys.tried(key_id) for key_id in key_ids]
        args = [_json(ask), _request_text(request), *key_ids]
        reply = await self._runner.run("claim", args, buckets)
        match reply[0]:
            case b"taken":
                return ClaimIdTaken()
            case b"many":
                return TooManyClaims(live=reply[1])
            case b"behind":
                return IndexBehind(position=Position(epoch=reply[1], stream_id=reply[2].decode()))
            case b"held" | b"tried":
                return _read_block(reply, request.keys)
            case b"shared":
                return SubjectsHeld(holders=tuple(_read_record(*holder) for holder in reply[1:]))
        return _read_lease(request.claim_id, reply)

    async def start(
        self,
        claim_id: ClaimId,
        fencing_token: int,
        *,
        keys: Sequence[EditKey],
        experiment: Experiment,
        source: NewSource,
        ttl_s: float,
        memory_mb: float = 0.0,
        waived: Collection[ExperimentId] = (),
        reading: StoredReading | None = None,
    ) -> StartOutcome:
        key_ids = [edit_key_id(experiment.hardware_class, key) for key in keys]
        ask = {
            "id": claim_id,
            "token": str(fencing_token),
            "keys": [key_id.hex() for key_id in key_ids],
            "ttl_s": ttl_s,
            "memory_mb": memory_mb,
            "waived": [pack_id(experiment_id).hex() for experiment_id in waived],
            "x": experiment.experiment_id,
            "source": experiment.source_hash,
        }
        buckets = [self._runner.keys.tried(key_id) for key_id in key_ids]
        packed = pack_experiment(self._codec, experiment, reading)
        for attempt in range(WRITE_ATTEMPTS):
            encoded = await self._shelf.encode(source, alone=attempt > 0)
            args = [_json(ask), pack_id(experiment.experiment_id), packed]
            args += [encoded.packed_hash, encoded.blob, encoded.parent, *key_ids]
            reply = await self._runner.run("start", args, buckets)
            match reply[0]:
                case b"gone":
                    return ClaimGone()
                case b"taken":
                    return ExperimentIdTaken()
                case b"held" | b"tried":
                    return _read_block(reply, keys)
                case b"lease":
                    self._shelf.remember(encoded)
                    return _read_lease(claim_id, reply)
            self._shelf.forget()
        raise Internal(f"source {source.source_hash} could not be stored on its own")

    async def get_claim(self, claim_id: ClaimId) -> ClaimRecord | None:
        claims, expiry = self._runner.keys.named("claims"), self._runner.keys.named("expiry")
        text, expires_ms = await self._runner.link.read_together(
            ["HGET", claims, claim_id], ["ZSCORE", expiry, claim_id]
        )
        # Ended between the two reads: gone.
        return _read_record(text, expires_ms) if text is not None and expires_ms is not None else None

    async def release(self, claim_id: ClaimId, node_id: NodeId, fencing_token: int) -> bool:
        return bool(await self._runner.run("release", [claim_id, node_id, str(fencing_token)]))

    async def renew(self, node_id: NodeId, claim_ids: Sequence[ClaimId], *, ttl_s: float) -> Renewal:
        if not claim_ids:
            return Renewal(renewed=(), lost=())
        replies = await self._runner.run("renew", [node_id, repr(float(ttl_s)), *claim_ids])
        answered = list(zip(claim_ids, replies, strict=True))
        return Renewal(
            renewed=tuple(
                _lease(claim_id, token=reply[0], expires_ms=reply[1], ttl_s=ttl_s)
                for claim_id, reply in answered
                if reply
            ),
            lost=tuple(claim_id for claim_id, reply in answered if not reply),
        )

    async def reap(self, *, limit: int) -> tuple[ClaimRecord, ...]:
        replies = await self._runner.run("reap", [limit])
        return tuple(_read_record(text, expires_ms) for text, expires_ms in replies)

    async def get_live_claims(self) -> tuple[ClaimRecord, ...]:
        replies = await self._runner.run("live_claims", [])
        return tuple(_read_record(text, expires_ms) for text, expires_ms in replies)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _request_text(request: ClaimRequest) -> bytes:
    hypothesis = request.hypothesis
    return _json(
        {
            "id": request.claim_id,
            "node": request.node_id,
            "owner": request.owner_id,
            "class": request.hardware_class,
            "kind": request.kind,
            "keys": [[key.kind, key.digest] for key in request.keys],
            "subjects": [[key.kind, key.digest] for key in request.subjects],
            "fingerprint": request.fingerprint,
            "hypothesis": hypothesis_parts(hypothesis) if hypothesis else None,
            "program": program_text(hypothesis) if hypothesis else "",
            "parent": request.parent_id,
            "takes_over": request.takes_over,
            "note": request.note,
        }
    )


def _read_request(text: str) -> ClaimRequest:
    value = json.loads(text)
    hypothesis = read_hypothesis(value["hypothesis"]) if value["hypothesis"] else None
    return ClaimRequest(
        claim_id=ClaimId(value["id"]),
        node_id=NodeId(value["node"]),
        owner_id=OwnerId(value["owner"]),
        hardware_class=HardwareClass(value["class"]),
        kind=ClaimKind(value["kind"]),
        keys=_read_keys(value["keys"]),
        subjects=_read_keys(value.get("subjects", ())),
        fingerprint=value["fingerprint"],
        hypothesis=with_program(hypothesis, value.get("program", "")) if hypothesis else None,
        parent_id=ExperimentId(value["parent"]) if value["parent"] else None,
        takes_over=ClaimId(value["takes_over"]) if value["takes_over"] else None,
        note=value["note"],
    )


def _read_keys(pairs: Sequence[tuple[str, str]]) -> tuple[EditKey, ...]:
    return tuple(EditKey(kind=KeyKind(kind), digest=digest) for kind, digest in pairs)


def _read_record(text: bytes, expires_ms: bytes) -> ClaimRecord:
    value = json.loads(text)
    request = _read_request(value["r"])
    return ClaimRecord(
        request=request,
        lease=_lease(request.claim_id, token=value["t"], expires_ms=expires_ms, ttl_s=float(value["l"])),
        experiment_id=ExperimentId(value["x"]) if value["x"] else None,
    )


def _lease(claim_id: ClaimId, *, token: bytes | str, expires_ms: bytes, ttl_s: float) -> Lease:
    expires_at: datetime = from_millis(float(expires_ms))
    return Lease(claim_id=claim_id, fencing_token=int(token), expires_at=expires_at, ttl_s=ttl_s)


def _read_lease(claim_id: ClaimId, reply: Reply) -> Lease:
    _, token, expires_ms, ttl_s = reply
    return _lease(claim_id, token=token, expires_ms=expires_ms, ttl_s=float(ttl_s))


def _read_block(reply: Reply, keys: Sequence[EditKey]) -> KeyHeld | KeyTried:
    key = keys[reply[1] - 1]
    if reply[0] == b"tried":
        return KeyTried(key=key, experiment_id=ExperimentId(unpack_id(reply[2])))
    claim_id, node_id, title, experiment_id = (part.decode() for part in reply[2:])
    return KeyHeld(
        key=key,
        claim_id=ClaimId(claim_id),
        node_id=NodeId(node_id),
        title=title,
        experiment_id=ExperimentId(experiment_id) if experiment_id else None,
    )
