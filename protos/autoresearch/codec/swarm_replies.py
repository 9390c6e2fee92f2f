"""What SwarmService answers: sessions, tasks, verdicts, acknowledgements."""
# ruff: noqa: D103 - each pair of names says all there is

from __future__ import annotations

from autoresearch.codec.contributions import IDEA_KINDS, program_from_message, program_to_message
from autoresearch.codec.experiments import (
    STATES,
    advice_from_message,
    advice_to_message,
    hypothesis_from_message,
    hypothesis_to_message,
    near_match_from_message,
    near_match_to_message,
)
from autoresearch.codec.fields import (
    chosen,
    need,
    read_handle,
    read_hash,
    read_number,
    read_optional,
    read_program_hash,
    read_time,
    read_uuid,
    read_uuids,
    time_to_wire,
)
from autoresearch.codec.swarm_state import (
    challenge_text_from_message,
    challenge_text_to_message,
    lease_from_message,
    lease_to_message,
    optional_best_to_message,
    position_from_message,
    position_to_message,
    working_best_from_message,
    working_best_to_message,
)
from autoresearch.model import (
    BaselineTask,
    Beat,
    ClaimId,
    ClaimVerdict,
    Duplicate,
    Enrolment,
    ExperimentId,
    ExploreTask,
    Granted,
    HypothesisId,
    IdeaKind,
    IdleTask,
    NeedsDistinction,
    NodeId,
    OwnerId,
    ProgramHash,
    Published,
    QueuedTask,
    ReplicateTask,
    ResultId,
    ServerInfo,
    Session,
    SourceHash,
    Started,
    StartRefused,
    StartVerdict,
    Task,
    WorkingBest,
)
from autoresearch.v1 import swarm_pb2 as pb


def server_info_to_message(value: ServerInfo) -> pb.GetServerInfoReply:
    return pb.GetServerInfoReply(
        version=value.version,
        protocol_min=value.protocol_min,
        protocol_max=value.protocol_max,
        server_time=time_to_wire(value.server_time),
        challenges=[challenge_text_to_message(text) for text in value.challenges],
        open_enrolment=value.is_enrolment_open,
        terms=value.terms,
    )


def server_info_from_message(message: pb.GetServerInfoReply) -> ServerInfo:
    return ServerInfo(
        version=message.version,
        protocol_min=message.protocol_min,
        protocol_max=message.protocol_max,
        server_time=read_time(message, "server_time"),
        challenges=tuple(challenge_text_from_message(text) for text in message.challenges),
        is_enrolment_open=message.open_enrolment,
        terms=message.terms,
    )


def enrolment_to_message(value: Enrolment) -> pb.EnrolReply:
    return pb.EnrolReply(node_id=value.node_id, owner_id=value.owner_id, has_vote=value.has_vote)


def enrolment_from_message(message: pb.EnrolReply) -> Enrolment:
    return Enrolment(
        node_id=NodeId(read_handle(message, "node_id")),
        owner_id=OwnerId(read_handle(message, "owner_id")),
        has_vote=message.has_vote,
    )


def session_to_message(value: Session) -> pb.ConnectReply:
    return pb.ConnectReply(
        protocol=value.protocol,
        challenge=challenge_text_to_message(value.challenge),
        position=position_to_message(value.position),
        lease_ttl_s=value.lease_ttl_s,
        heartbeat_interval_s=value.heartbeat_interval_s,
        best=optional_best_to_message(value.best),
        owner_id=value.owner_id,
        program=program_to_message(value.program) if value.program else None,
    )


def session_from_message(message: pb.ConnectReply) -> Session:
    need(message, "challenge")
    need(message, "position")
    return Session(
        protocol=message.protocol,
        challenge=challenge_text_from_message(message.challenge),
        position=position_from_message(message.position),
        lease_ttl_s=read_number(message, "lease_ttl_s"),
        heartbeat_interval_s=read_number(message, "heartbeat_interval_s"),
        owner_id=OwnerId(read_handle(message, "owner_id")),
        best=working_best_from_message(message.best) if message.HasField("best") else None,
        program=program_from_message(message.program) if message.HasField("program") else None,
    )


def beat_to_message(value: Beat) -> pb.HeartbeatReply:
    return pb.HeartbeatReply(
        position=position_to_message(value.position),
        renewed=[lease_to_message(lease) for lease in value.renewed],
        lost=value.lost,
        best_experiment_id=value.best_experiment_id,
        program_hash=value.program_hash,
    )


def beat_from_message(message: pb.HeartbeatReply) -> Beat:
    need(message, "position")
    best = read_optional(message, "best_experiment_id", read_uuid)
    program = read_optional(message, "program_hash", read_program_hash)
    return Beat(
        position=position_from_message(message.position),
        renewed=tuple(lease_from_message(lease) for lease in message.renewed),
        lost=tuple(map(ClaimId, read_uuids(message, "lost"))),
        best_experiment_id=None if best is None else ExperimentId(best),
        program_hash=None if program is None else ProgramHash(program),
    )


def task_to_message(value: Task) -> pb.NextTaskReply:
    match value:
        case ExploreTask():
            return pb.NextTaskReply(explore=pb.ExploreTask(parent=working_best_to_message(value.parent)))
        case BaselineTask():
            return pb.NextTaskReply(
                baseline=pb.BaselineTask(
                    lease=lease_to_message(value.lease),
                    experiment_id=value.experiment_id,
                    seed=value.seed,
                    val_seed=value.val_seed,
                )
            )
        case ReplicateTask():
            return pb.NextTaskReply(
                replicate=pb.ReplicateTask(
                    lease=lease_to_message(value.lease),
                    verification_id=value.verification_id,
                    candidate_id=value.candidate_id,
                    control_id=value.control_id,
                    seed=value.seed,
                    val_seed=value.val_seed,
                )
            )
        case QueuedTask():
            return pb.NextTaskReply(
                queued=pb.QueuedTask(
                    lease=lease_to_message(value.lease),
                    hypothesis_id=value.hypothesis_id,
                    hypothesis=hypothesis_to_message(value.hypothesis),
                    parent=working_best_to_message(value.parent),
                    source_hash=value.source_hash,
                    kind=IDEA_KINDS.to_wire(value.kind),
                    material_ids=value.material_ids,
                )
            )
        case IdleTask():
            return pb.NextTaskReply(idle=pb.IdleTask(retry_after_s=value.retry_after_s, reason=value.reason))


def task_from_message(message: pb.NextTaskReply) -> Task:
    kind = chosen(message, "task")
    if kind == "explore":
        need(message.explore, "parent")
        return ExploreTask(parent=working_best_from_message(message.explore.parent))
    if kind == "baseline":
        need(message.baseline, "lease")
        return BaselineTask(
            lease=lease_from_message(message.baseline.lease),
            experiment_id=ExperimentId(read_uuid(message.baseline, "experiment_id")),
            seed=message.baseline.seed,
            val_seed=message.baseline.val_seed,
        )
    if kind == "replicate":
        return _replicate_from_message(message.replicate)
    if kind == "queued":
        return _queued_from_message(message.queued)
    return IdleTask(retry_after_s=read_number(message.idle, "retry_after_s"), reason=message.idle.reason)


def claim_verdict_to_message(value: ClaimVerdict) -> pb.ClaimReply:
    advice = advice_to_message(value.advice)
    match value:
        case Granted():
            return pb.ClaimReply(granted=pb.Granted(lease=lease_to_message(value.lease)), advice=advice)
        case Duplicate():
            match = near_match_to_message(value.match)
            return pb.ClaimReply(duplicate=pb.Duplicate(match=match, level=value.level), advice=advice)
        case NeedsDistinction():
            asked = pb.NeedsDistinction(match=near_match_to_message(value.match), question=value.question)
            return pb.ClaimReply(needs_distinction=asked, advice=advice)


def claim_verdict_from_message(message: pb.ClaimReply) -> ClaimVerdict:
    kind = chosen(message, "verdict")
    advice = advice_from_message(message.advice)
    if kind == "granted":
        need(message.granted, "lease")
        return Granted(lease=lease_from_message(message.granted.lease), advice=advice)
    if kind == "duplicate":
        need(message.duplicate, "match")
        match = near_match_from_message(message.duplicate.match)
        return Duplicate(match=match, level=message.duplicate.level, advice=advice)
    asked = message.needs_distinction
    need(asked, "match")
    return NeedsDistinction(
        match=near_match_from_message(asked.match), question=asked.question, advice=advice
    )


def start_verdict_to_message(value: StartVerdict) -> pb.StartReply:
    match value:
        case Started():
            return pb.StartReply(
                started=pb.Started(
                    lease=lease_to_message(value.lease),
                    flags=value.flags,
                    seed=value.seed,
                    val_seed=value.val_seed,
                )
            )
        case StartRefused():
            match = near_match_to_message(value.match)
            refused = pb.Duplicate(match=match, level=value.level, question=value.question)
            return pb.StartReply(refused=refused)


def start_verdict_from_message(message: pb.StartReply) -> StartVerdict:
    if chosen(message, "verdict") == "started":
        started = message.started
        need(started, "lease")
        return Started(
            lease=lease_from_message(started.lease),
            seed=started.seed,
            val_seed=started.val_seed,
            flags=tuple(started.flags),
        )
    need(message.refused, "match")
    refused = message.refused
    return StartRefused(
        match=near_match_from_message(refused.match), level=refused.level, question=refused.question
    )


def published_to_message(value: Published) -> pb.PublishReply:
    return pb.PublishReply(
        result_id=value.result_id,
        position=position_to_message(value.position),
        is_repeat=value.is_repeat,
        is_late=value.is_late,
        state=STATES.to_wire(value.state),
        best=optional_best_to_message(value.best),
    )


def published_from_message(message: pb.PublishReply) -> Published:
    need(message, "position")
    return Published(
        result_id=ResultId(read_uuid(message, "result_id")),
        position=position_from_message(message.position),
        is_repeat=message.is_repeat,
        is_late=message.is_late,
        state=STATES.read(message, "state"),
        best=working_best_from_message(message.best) if message.HasField("best") else None,
    )


def best_reply_to_message(best: WorkingBest, source: bytes | None) -> pb.GetBestReply:
    """``source`` is None where the caller has it."""
    return pb.GetBestReply(best=working_best_to_message(best), source=source)


def best_reply_from_message(message: pb.GetBestReply) -> tuple[WorkingBest, bytes | None]:
    """The source is None where the caller said that it has it."""
    need(message, "best")
    return working_best_from_message(message.best), message.source or None


def release_reply_to_message(was_held: bool) -> pb.ReleaseReply:  # noqa: FBT001 - the reply is one truth
    return pb.ReleaseReply(was_held=was_held)


def release_reply_from_message(message: pb.ReleaseReply) -> bool:
    return message.was_held


def _replicate_from_message(message: pb.ReplicateTask) -> ReplicateTask:
    need(message, "lease")
    return ReplicateTask(
        lease=lease_from_message(message.lease),
        verification_id=message.verification_id,
        candidate_id=ExperimentId(read_uuid(message, "candidate_id")),
        control_id=ExperimentId(read_uuid(message, "control_id")),
        seed=message.seed,
        val_seed=message.val_seed,
    )


def _queued_from_message(message: pb.QueuedTask) -> QueuedTask:
    need(message, "lease")
    need(message, "hypothesis")
    need(message, "parent")
    source_hash = read_optional(message, "source_hash", read_hash)
    return QueuedTask(
        lease=lease_from_message(message.lease),
        hypothesis_id=HypothesisId(read_uuid(message, "hypothesis_id")),
        hypothesis=hypothesis_from_message(message.hypothesis),
        parent=working_best_from_message(message.parent),
        source_hash=None if source_hash is None else SourceHash(source_hash),
        kind=IDEA_KINDS.read_optional(message, "kind") or IdeaKind.FREE,
        material_ids=tuple(ExperimentId(one) for one in read_uuids(message, "material_ids")),
    )
