"""Immutable records as short compressed bytes, and back.

A packed record is one byte of version and a zstd frame (no magic, no checksum) of a JSON array, made with
a static dictionary. One with digests has a dictionary of its own, and has them between the two, after a byte
of their length: they do not compress. ``VERSION`` grows with any change of a layout or of the dictionary;
readers keep the layouts that came before.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import zstandard
from autoresearch.attestation import Attestation
from autoresearch.model import (
    BestChange,
    ChallengeId,
    Change,
    ConstantChange,
    Experiment,
    ExperimentId,
    ExperimentState,
    Hardware,
    HardwareClass,
    Hypothesis,
    HypothesisId,
    Idea,
    IdeaKind,
    Insight,
    InsightId,
    Intent,
    Level,
    MechanismChange,
    MechanismOp,
    NodeId,
    Outcome,
    OwnerId,
    ProgramHash,
    Purpose,
    Result,
    ResultId,
    SourceHash,
    Usage,
    WorkingBest,
)
from pydantic_core import from_json

from coordinator.storage.base import Blocks, StoredReading
from coordinator.storage.redis.dictionary import RECORD_DICTIONARY_V1, RECORD_DICTIONARY_V2
from coordinator.storage.redis.keys import unpack_id

VERSION = 2
"""Of records with digests. Those without are written as 1, which is all that there was before."""

_PLAIN = 1
RECORD_LEVEL = 12
RECORD_LIMIT_BYTES = 1 << 20
"""No record that the contract's caps allow comes near this."""

RESULT_HEADER_BYTES = 17
"""Before a stored result: fingerprint (8), flags (1), time of publication in ms as a double (8)."""

FLAGS_AT = 8
LATE_FLAG = 1
UNSCORED_FLAG = 2

STATE_CODES: dict[ExperimentState, str] = {
    ExperimentState.RUNNING: "r",
    ExperimentState.COMPLETED: "c",
    ExperimentState.CRASHED: "x",
    ExperimentState.TIMED_OUT: "t",
    ExperimentState.REJECTED: "j",
    ExperimentState.LOST: "l",
    ExperimentState.CANDIDATE: "n",
    ExperimentState.REFUTED: "f",
    ExperimentState.BEST: "b",
    ExperimentState.SUPERSEDED: "s",
}
"""The scripts know RUNNING and LOST by these letters."""

_HARDWARE_CACHED = 1_024
_STATES = {code: state for state, code in STATE_CODES.items()}
_INTENTS: dict[str, Intent] = {intent.value: intent for intent in Intent}
_OUTCOMES: dict[str, Outcome] = {outcome.value: outcome for outcome in Outcome}
_PURPOSES: dict[str, Purpose] = {purpose.value: purpose for purpose in Purpose}
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class RecordCodec:
    """Packs and unpacks; one per thread, as zstd contexts are."""

    def __init__(self) -> None:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            RECORD_LEVEL, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_checksum=0, write_dict_id=0
        )
        texts = {_PLAIN: RECORD_DICTIONARY_V1, VERSION: RECORD_DICTIONARY_V2}
        dictionaries = {
            version: zstandard.ZstdCompressionDict(text, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            for version, text in texts.items()
        }
        self._compressors = {
            version: zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters)
            for version, dictionary in dictionaries.items()
        }
        self._decompressors = {
            version: zstandard.ZstdDecompressor(dict_data=one, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
            for version, one in dictionaries.items()
        }

    def pack(self, parts: list[Any], digests: bytes | None = None) -> bytes:
        """A record's parts, and digests of at most 255 bytes, as bytes."""
        text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode()
        if digests is None:
            return bytes([_PLAIN]) + self._compressors[_PLAIN].compress(text)
        return bytes([VERSION, len(digests)]) + digests + self._compressors[VERSION].compress(text)

    def unpack(self, packed: bytes) -> list[Any]:
        """The parts of a record."""
        version = packed[0]
        decompressor = self._decompressors.get(version)
        if decompressor is None:
            raise ValueError(
                f"a record of version {version} was written by a newer coordinator: this one reads up to "
                f"{VERSION}; upgrade it"
            )
        begin = 1 if version == _PLAIN else 2 + packed[1]
        text = decompressor.decompress(packed[begin:], max_output_size=RECORD_LIMIT_BYTES)
        # Twice as fast as the standard library's, and texts that many records have are made once.
        parts: list[Any] = from_json(text, cache_strings="all")
        return parts


def digests_of(packed: bytes) -> bytes | None:
    """The digests of a packed record; None for one that has no place for any."""
    return packed[2 : 2 + packed[1]] if packed[0] == VERSION else None


def micros(at: datetime) -> int:
    """A time as whole microseconds since 1970."""
    return (at - _UNIX) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """The time of ``micros``."""
    return _UNIX + timedelta(microseconds=value)


def from_millis(value: float) -> datetime:
    """A server's time in whole milliseconds."""
    return _UNIX + timedelta(milliseconds=int(value))


def hypothesis_parts(hypothesis: Hypothesis) -> list[Any]:
    """A hypothesis as JSON."""
    return [
        hypothesis.title,
        hypothesis.rationale,
        [_change_parts(change) for change in hypothesis.changes],
        hypothesis.intent,
        hypothesis.distinction,
        hypothesis.agent,
    ]


def read_hypothesis(parts: list[Any]) -> Hypothesis:
    """The hypothesis of ``hypothesis_parts``."""
    title, rationale, changes, intent, distinction, agent = parts
    return Hypothesis(
        title=title,
        rationale=rationale,
        changes=tuple(_read_change(change) for change in changes),
        intent=_INTENTS[intent],
        distinction=distinction,
        agent=agent,
    )


def _change_parts(change: Change) -> list[str]:
    if isinstance(change, ConstantChange):
        return ["c", change.name, change.old, change.new]
    return ["m", change.op, change.what, change.where]


def _read_change(parts: list[str]) -> Change:
    kind, first, second, third = parts
    if kind == "c":
        return ConstantChange(name=first, old=second, new=third)
    return MechanismChange(op=MechanismOp(first), what=second, where=third)


def experiment_parts(experiment: Experiment) -> list[Any]:
    """An experiment as JSON, without its id."""
    return [
        *hypothesis_parts(experiment.hypothesis),
        experiment.challenge_id,
        experiment.source_hash,
        list(experiment.parents),
        experiment.node_id,
        experiment.owner_id,
        experiment.hardware_class,
        micros(experiment.created_at),
        list(experiment.flags),
        *_later(
            program_text(experiment.hypothesis),
            experiment.proposer_id or "",
            experiment.proposer_owner_id or "",
            usage_parts(experiment.idea_usage) if experiment.idea_usage else [],
        ),
    ]


def pack_experiment(codec: RecordCodec, experiment: Experiment, reading: StoredReading | None) -> bytes:
    """An experiment and what was read of it, as they are stored: the reading is the last of the parts."""
    parts = experiment_parts(experiment)
    if reading is None:
        return codec.pack(parts)
    return codec.pack([*parts, [reading.rules, reading.texts]], reading.digests)


def unpack_experiment(
    codec: RecordCodec, experiment_id: str, packed: bytes
) -> tuple[Experiment, StoredReading | None]:
    """What ``pack_experiment`` was given."""
    parts, digests = codec.unpack(packed), digests_of(packed)
    if digests is None:
        return read_experiment(experiment_id, parts), None
    rules, texts = parts.pop()
    reading = StoredReading(rules=rules, digests=digests, texts=tuple(texts))
    return read_experiment(experiment_id, parts), reading


def memory_text(blocks: Blocks | None) -> str:
    """The memory up to which an outcome blocks, as scripts take it: empty where it blocks every machine."""
    return "" if blocks is None or blocks.memory_mb is None else repr(float(blocks.memory_mb))


def read_experiment(experiment_id: str, parts: list[Any]) -> Experiment:
    """The experiment of ``experiment_parts``."""
    challenge, source, parents, node, owner, hardware_class, created, flags, *later = parts[6:]
    program, proposer, proposer_owner, usage = _padded(later, ("", "", "", []))
    return Experiment(
        experiment_id=ExperimentId(experiment_id),
        challenge_id=ChallengeId(challenge),
        hypothesis=with_program(read_hypothesis(parts[:6]), program),
        source_hash=SourceHash(source),
        parents=tuple(ExperimentId(parent) for parent in parents),
        node_id=NodeId(node),
        owner_id=OwnerId(owner),
        hardware_class=HardwareClass(hardware_class),
        created_at=from_micros(created),
        flags=tuple(flags),
        proposer_id=NodeId(proposer) if proposer else None,
        proposer_owner_id=OwnerId(proposer_owner) if proposer_owner else None,
        idea_usage=read_usage(usage) if usage else None,
    )


def result_parts(result: Result) -> list[Any]:
    """A result as JSON, without its id, its log and its curve."""
    hardware = result.hardware
    return [
        result.experiment_id,
        result.challenge_id,
        result.node_id,
        result.owner_id,
        result.outcome,
        result.purpose,
        dict(result.metrics),
        result.seed,
        [
            hardware.hardware_class,
            hardware.device_kind,
            hardware.device_name,
            hardware.memory_mb,
            hardware.torch_version,
            hardware.device_count,
        ],
        result.code_hash,
        result.harness_version,
        micros(result.started_at),
        micros(result.finished_at),
        result.reason,
        result.crash_kind,
        attestation_parts(result.attestation) if result.attestation else None,
        result.verification_id,
        *_later(usage_parts(result.usage) if result.usage else []),
    ]


def usage_parts(usage: Usage) -> list[Any]:
    """What an agent spent, as JSON."""
    return [
        usage.model,
        usage.calls,
        usage.input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.cost_usd,
        int(usage.is_estimate),
        usage.seconds,
    ]


def read_usage(parts: list[Any]) -> Usage:
    """The usage of ``usage_parts``."""
    model, calls, fresh, cache_read, cache_write, output, cost_usd, is_estimate, seconds = parts
    return Usage(
        model=model,
        calls=calls,
        input_tokens=fresh,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        output_tokens=output,
        cost_usd=cost_usd,
        is_estimate=bool(is_estimate),
        seconds=seconds,
    )


def attestation_parts(attestation: Attestation) -> list[Any]:
    """An attestation as JSON, without what its result says too."""
    return [
        attestation.manifest_hash,
        attestation.val_seed,
        attestation.rows_digest,
        attestation.losses_digest,
        attestation.holdout_rows_digest,
        attestation.holdout_losses_digest,
        attestation.device_kind,
        attestation.device_name,
        attestation.memory_mb,
        attestation.torch_version,
        list(attestation.sandbox),
        dict(attestation.timings_s),
    ]


def read_attestation(result: list[Any]) -> Attestation | None:
    """The attestation in the parts of a result; an older layout has a table of texts there, or nothing."""
    parts = result[15]
    if not isinstance(parts, list):
        return None
    manifest, val_seed, rows, losses, held_rows, held_losses, kind, device, memory_mb, torch, *rest = parts
    sandbox, timings_s = rest
    return Attestation(
        manifest_hash=manifest,
        code_hash=result[9],
        seed=result[7],
        val_seed=val_seed,
        harness_version=result[10],
        rows_digest=rows,
        losses_digest=losses,
        holdout_rows_digest=held_rows,
        holdout_losses_digest=held_losses,
        device_kind=kind,
        device_name=device,
        memory_mb=memory_mb,
        torch_version=torch,
        sandbox=tuple(sandbox),
        timings_s=timings_s,
    )


def read_result(result_id: str, parts: list[Any], *, is_late: bool, published_ms: float) -> Result:
    """The result of ``result_parts``, with what the store added."""
    (usage,) = _padded(parts[17:], ([],))
    return Result(
        result_id=ResultId(result_id),
        experiment_id=ExperimentId(parts[0]),
        challenge_id=ChallengeId(parts[1]),
        node_id=NodeId(parts[2]),
        owner_id=OwnerId(parts[3]),
        outcome=_OUTCOMES[parts[4]],
        purpose=_PURPOSES[parts[5]],
        metrics=parts[6],
        seed=parts[7],
        hardware=_hardware(tuple(parts[8])),
        code_hash=SourceHash(parts[9]),
        harness_version=parts[10],
        started_at=from_micros(parts[11]),
        finished_at=from_micros(parts[12]),
        reason=parts[13],
        crash_kind=parts[14],
        attestation=read_attestation(parts),
        verification_id=parts[16],
        is_late=is_late,
        published_at=from_millis(published_ms),
        usage=read_usage(usage) if usage else None,
    )


@lru_cache(maxsize=_HARDWARE_CACHED)
def _hardware(parts: tuple[Any, ...]) -> Hardware:
    """Hardware that many results share."""
    hardware_class, kind, device, memory_mb, torch_version, count = parts
    return Hardware(
        hardware_class=HardwareClass(hardware_class),
        device_kind=kind,
        device_name=device,
        memory_mb=memory_mb,
        torch_version=torch_version,
        device_count=count,
    )


def idea_parts(idea: Idea) -> list[Any]:
    """An idea as JSON, without its id."""
    return [
        *hypothesis_parts(idea.hypothesis),
        idea.node_id,
        micros(idea.proposed_at),
        idea.origin_experiment_id or "",
        idea.source_hash or "",
        list(idea.parents),
        *_later(
            program_text(idea.hypothesis),
            "" if idea.kind is IdeaKind.FREE else idea.kind,
            idea.priority,
            list(idea.material_ids),
            idea.owner_id or "",
            usage_parts(idea.usage) if idea.usage else [],
        ),
    ]


def read_idea(hypothesis_id: str, parts: list[Any]) -> Idea:
    """The idea of ``idea_parts``."""
    node, proposed, origin, source, *later = parts[6:]
    parents, program, kind, priority, materials, owner, usage = _padded(later, ([], "", "", 0, [], "", []))
    return Idea(
        hypothesis_id=HypothesisId(hypothesis_id),
        hypothesis=with_program(read_hypothesis(parts[:6]), program),
        node_id=NodeId(node),
        proposed_at=from_micros(proposed),
        origin_experiment_id=ExperimentId(origin) if origin else None,
        source_hash=SourceHash(source) if source else None,
        parents=tuple(ExperimentId(one) for one in parents),
        kind=IdeaKind(kind) if kind else IdeaKind.FREE,
        priority=priority,
        material_ids=tuple(ExperimentId(one) for one in materials),
        owner_id=OwnerId(owner) if owner else None,
        usage=read_usage(usage) if usage else None,
    )


def insight_parts(insight: Insight) -> list[Any]:
    """An insight as JSON, without its id."""
    return [
        insight.challenge_id,
        insight.text,
        list(insight.experiment_ids),
        insight.node_id,
        insight.owner_id,
        insight.hardware_class,
        insight.agent,
        micros(insight.created_at),
    ]


def read_insight(insight_id: str, parts: list[Any]) -> Insight:
    """The insight of ``insight_parts``."""
    challenge, text, experiments, node, owner, hardware_class, agent, created = parts
    return Insight(
        insight_id=InsightId(insight_id),
        challenge_id=ChallengeId(challenge),
        text=text,
        experiment_ids=tuple(ExperimentId(one) for one in experiments),
        node_id=NodeId(node),
        owner_id=OwnerId(owner),
        hardware_class=HardwareClass(hardware_class),
        agent=agent,
        created_at=from_micros(created),
    )


def _later(*parts: Any) -> tuple[Any, ...]:
    """Parts that came to a layout after its first: left out from the last that says something on."""
    kept = len(parts)
    while kept and not parts[kept - 1]:
        kept -= 1
    return parts[:kept]


def _padded(parts: Sequence[Any], blank: tuple[Any, ...]) -> tuple[Any, ...]:
    """Such parts as they were before ``_later``; older records have none of them."""
    return (*parts, *blank[len(parts) :])


def program_text(hypothesis: Hypothesis) -> str:
    """A program's hash in its shortest form."""
    digits = (hypothesis.program_hash or "").removeprefix("p_")
    return base64.b64encode(bytes.fromhex(digits)).decode().rstrip("=")


def with_program(hypothesis: Hypothesis, program: str) -> Hypothesis:
    """The hypothesis with what ``program_text`` gave."""
    if not program:
        return hypothesis
    digits = base64.b64decode(program + "=" * (-len(program) % 4)).hex()
    return replace(hypothesis, program_hash=ProgramHash(f"p_{digits}"))


def best_text(best: WorkingBest) -> str:
    """A working best as a JSON object; the scripts read ``experiment_id`` and ``mean``."""
    return json.dumps(
        {
            "experiment_id": best.experiment_id,
            "class": best.hardware_class,
            "source": best.source_hash,
            "level": best.level,
            "mean": best.mean,
            "runs": best.runs,
            "spread": best.spread,
            "since": micros(best.since),
            "confirmed_by": list(best.confirmed_by),
            "title": best.title,
            "node": best.node_id,
        },
        separators=(",", ":"),
    )


def read_best(text: bytes | str) -> WorkingBest:
    """The working best of ``best_text``."""
    return _best_of(json.loads(text))


def change_text(change: BestChange) -> str:
    """A line of a class's history as a JSON object."""
    previous = json.dumps(change.previous or "")
    reason = json.dumps(change.reason)
    at = micros(change.at)
    gap = "" if change.holdout_gap is None else f',"gap":{json.dumps(change.holdout_gap)}'
    return f'{{"best":{best_text(change.best)},"previous":{previous},"reason":{reason},"at":{at}{gap}}}'


def read_change(text: bytes | str) -> BestChange:
    """The line of ``change_text``."""
    value = json.loads(text)
    return BestChange(
        best=_best_of(value["best"]),
        previous=ExperimentId(value["previous"]) if value["previous"] else None,
        reason=value["reason"],
        at=from_micros(value["at"]),
        holdout_gap=value.get("gap"),
    )


def _best_of(value: dict[str, Any]) -> WorkingBest:
    return WorkingBest(
        experiment_id=ExperimentId(value["experiment_id"]),
        hardware_class=HardwareClass(value["class"]),
        source_hash=SourceHash(value["source"]),
        level=Level(value["level"]),
        mean=value["mean"],
        runs=value["runs"],
        spread=value["spread"],
        since=from_micros(value["since"]),
        confirmed_by=tuple(OwnerId(owner) for owner in value["confirmed_by"]),
        title=value["title"],
        node_id=NodeId(value["node"]),
    )


def read_state(state: bytes) -> tuple[ExperimentState, str, tuple[str, ...]]:
    """State, reason and result ids from the changing part of an experiment (layout: ``_states.lua``)."""
    at = 2
    result_ids = []
    while length := state[at]:
        result_ids.append(unpack_id(state[at + 1 : at + 1 + length]))
        at += length + 1
    return _STATES[chr(state[0])], state[at + 1 :].decode(), tuple(result_ids)
