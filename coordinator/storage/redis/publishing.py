"""Results and what they decide, on Redis."""

from __future__ import annotations

import json
from typing import Any

from autoresearch.errors import Internal
from autoresearch.model import HardwareClass, Level, Position

from coordinator.storage.base import (
    Accepted,
    ClassUpdate,
    Direction,
    IndexBehind,
    Publication,
    PublishOutcome,
    ResultIdTaken,
    StaleClass,
    StoredClass,
    UnknownExperiment,
)
from coordinator.storage.fingerprints import result_fingerprint
from coordinator.storage.redis.evidence import pack_evidence
from coordinator.storage.redis.keys import edit_key_id, pack_id
from coordinator.storage.redis.link import Arg, Reply, ScriptRunner
from coordinator.storage.redis.records import (
    STATE_CODES,
    RecordCodec,
    best_text,
    change_text,
    memory_text,
    pack_experiment,
    result_parts,
)
from coordinator.storage.redis.sources import WRITE_ATTEMPTS, EncodedSource, SourceShelf


class RedisPublishing:
    """The results and classes of one challenge."""

    _runner: ScriptRunner
    _shelf: SourceShelf
    _codec: RecordCodec
    _direction: Direction

    async def publish(self, publication: Publication) -> PublishOutcome:
        result = publication.result
        blocks = publication.blocks
        hardware_class = result.hardware.hardware_class
        block_ids = [edit_key_id(hardware_class, key) for key in blocks.keys] if blocks else []
        buckets = [self._runner.keys.tried(key_id) for key_id in block_ids]
        ask = _json(self._publication_parts(publication))
        evidence = pack_evidence(result)
        packed = self._codec.pack(result_parts(result))
        experiment = publication.experiment
        packed_experiment = (
            pack_experiment(self._codec, experiment, publication.reading) if experiment else b""
        )
        tail = [*block_ids, *(_update_args(publication.update) if publication.update else [])]
        for attempt in range(WRITE_ATTEMPTS):
            encoded = await self._encode(publication, alone=attempt > 0)
            args: list[Arg] = [ask, pack_id(result.result_id), result_fingerprint(result), packed]
            args += [evidence, pack_id(result.experiment_id), packed_experiment]
            args += [encoded.packed_hash, encoded.blob, encoded.parent] if encoded else ["", "", ""]
            reply = await self._runner.run("publish", [*args, *tail], buckets)
            if reply[0] != b"orphan":
                if encoded is not None and reply[0] == b"accepted":
                    self._shelf.remember(encoded)
                return _read_outcome(reply, hardware_class)
            self._shelf.forget()
        raise Internal(f"the source of experiment {result.experiment_id} could not be stored on its own")

    async def _encode(self, publication: Publication, *, alone: bool) -> EncodedSource | None:
        source = publication.source
        return await self._shelf.encode(source, alone=alone) if source else None

    def _publication_parts(self, publication: Publication) -> dict[str, Any]:
        result, blocks = publication.result, publication.blocks
        settles = publication.settles
        return {
            "class": result.hardware.hardware_class,
            "seen": publication.seen_version,
            "claim": publication.claim_id or "",
            "token": str(publication.fencing_token),
            "ends": publication.ends_claim,
            "needs_claim": publication.needs_claim,
            "scored": publication.is_scored,
            "code": STATE_CODES[publication.state] if publication.state else "",
            "reason": publication.reason,
            "outcome": result.outcome,
            "node": result.node_id,
            "x": result.experiment_id,
            "train_s": repr(float(publication.train_s)),
            "settles": pack_id(settles).hex() if settles else "",
            "proposer": publication.proposer or "",
            "has_source": publication.source is not None,
            "has_experiment": publication.experiment is not None,
            "blocks": len(blocks.keys) if blocks else 0,
            "memory_mb": memory_text(blocks),
            "update": self._update_parts(publication.update) if publication.update else False,
            "known_to": publication.seen.stream_id if publication.seen else "",
            "epoch": publication.seen.epoch if publication.seen else 0,
        }

    def _update_parts(self, update: ClassUpdate) -> dict[str, Any]:
        return {
            "lower": self._direction == "lower",
            "confirmed": best_text(update.confirmed) if update.confirmed else "",
            "marks": [[STATE_CODES[state], reason] for state, reason in update.marks.values()],
            "changes": [
                {
                    "class": change.best.hardware_class,
                    "node": change.best.node_id,
                    "experiment": change.best.experiment_id,
                    "is_new": change.best.level is not Level.BASELINE,
                    "reason": change.reason,
                }
                for change in update.changes
            ],
        }

    async def get_class(self, hardware_class: HardwareClass) -> StoredClass:
        fields = [f"v{hardware_class}", f"s{hardware_class}"]
        classes = self._runner.keys.named("classes")
        version, state = await self._runner.link.command("HMGET", classes, *fields)
        return _stored(hardware_class, version or 0, state or b"")

    async def list_classes(self) -> tuple[StoredClass, ...]:
        classes = self._runner.keys.named("classes")
        flat = await self._runner.link.command("HGETALL", classes)
        table = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
        names = sorted(field[1:].decode() for field in table if field.startswith(b"v"))
        return tuple(
            _stored(HardwareClass(name), table[f"v{name}".encode()], table[f"s{name}".encode()])
            for name in names
        )

    async def update_class(
        self, hardware_class: HardwareClass, seen_version: int, update: ClassUpdate
    ) -> StoredClass | None:
        ask = {"class": hardware_class, "seen": seen_version, "update": self._update_parts(update)}
        reply = await self._runner.run("update_class", [_json(ask), *_update_args(update)])
        return None if reply[0] == b"done" else _stored(hardware_class, reply[1], reply[2])


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _update_args(update: ClassUpdate) -> list[Arg]:
    args: list[Arg] = [update.state, *(pack_id(marked) for marked in update.marks)]
    for change in update.changes:
        args += [pack_id(change.best.experiment_id), change_text(change), best_text(change.best)]
    return args


def _stored(hardware_class: HardwareClass, version: bytes | int, state: bytes) -> StoredClass:
    return StoredClass(hardware_class=hardware_class, version=int(version), state=state.decode())


def _read_outcome(reply: Reply, hardware_class: HardwareClass) -> PublishOutcome:
    match reply[0]:
        case b"taken":
            return ResultIdTaken()
        case b"unknown":
            return UnknownExperiment()
        case b"stale":
            return StaleClass(current=_stored(hardware_class, reply[1], reply[2]))
        case b"behind":
            return IndexBehind(position=Position(epoch=reply[1], stream_id=reply[2].decode()))
    _, epoch, stream_id, is_repeat, is_late = reply
    return Accepted(
        position=Position(epoch=epoch, stream_id=stream_id.decode()),
        is_repeat=bool(is_repeat),
        is_late=bool(is_late),
    )
