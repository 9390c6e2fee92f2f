"""Ideas, insights, programs, and what agents spend."""
# ruff: noqa: D103 - each pair of names says all there is

from __future__ import annotations

from collections.abc import Sequence

from autoresearch.codec.experiments import (
    hypothesis_from_message,
    hypothesis_to_message,
    usage_from_message,
    usage_to_message,
)
from autoresearch.codec.fields import (
    EnumTable,
    need,
    optional_time_to_wire,
    read_blank,
    read_class,
    read_handle,
    read_hash,
    read_number,
    read_optional,
    read_optional_number,
    read_optional_time,
    read_program_hash,
    read_time,
    read_uuid,
    read_uuids,
    time_to_wire,
)
from autoresearch.model import (
    ChallengeId,
    ExperimentId,
    HardwareClass,
    HypothesisId,
    Idea,
    IdeaKind,
    Insight,
    InsightId,
    NodeId,
    OwnerId,
    Program,
    ProgramHash,
    ProgramRow,
    SourceHash,
)
from autoresearch.v1 import admin_pb2, leaderboard_pb2, types_pb2
from autoresearch.v1 import ideas_pb2 as pb

IDEA_KINDS = EnumTable(IdeaKind, types_pb2.IdeaKind, "IDEA_KIND")


def idea_to_message(value: Idea) -> pb.Idea:
    return pb.Idea(
        hypothesis_id=value.hypothesis_id,
        hypothesis=hypothesis_to_message(value.hypothesis),
        node_id=value.node_id,
        proposed_at=time_to_wire(value.proposed_at),
        origin_experiment_id=value.origin_experiment_id,
        source_hash=value.source_hash,
        parents=value.parents,
        kind=IDEA_KINDS.to_wire(value.kind),
        priority=value.priority,
        material_ids=value.material_ids,
        owner_id=value.owner_id,
        usage=usage_to_message(value.usage) if value.usage else None,
    )


def idea_from_message(message: pb.Idea) -> Idea:
    need(message, "hypothesis")
    origin = read_optional(message, "origin_experiment_id", read_uuid)
    source_hash = read_optional(message, "source_hash", read_hash)
    owner_id = read_optional(message, "owner_id", read_handle)
    return Idea(
        hypothesis_id=HypothesisId(read_uuid(message, "hypothesis_id")),
        hypothesis=hypothesis_from_message(message.hypothesis),
        node_id=NodeId(read_handle(message, "node_id")),
        proposed_at=read_time(message, "proposed_at"),
        origin_experiment_id=None if origin is None else ExperimentId(origin),
        source_hash=None if source_hash is None else SourceHash(source_hash),
        parents=tuple(ExperimentId(one) for one in read_uuids(message, "parents")),
        kind=IDEA_KINDS.read_optional(message, "kind") or IdeaKind.FREE,
        priority=message.priority,
        material_ids=tuple(ExperimentId(one) for one in read_uuids(message, "material_ids")),
        owner_id=None if owner_id is None else OwnerId(owner_id),
        usage=usage_from_message(message.usage) if message.HasField("usage") else None,
    )


def ideas_to_message(values: Sequence[Idea]) -> pb.ListIdeasReply:
    return pb.ListIdeasReply(ideas=[idea_to_message(idea) for idea in values])


def ideas_from_message(message: pb.ListIdeasReply) -> tuple[Idea, ...]:
    return tuple(idea_from_message(idea) for idea in message.ideas)


def propose_reply_to_message(hypothesis_id: HypothesisId, *, is_repeat: bool) -> pb.ProposeReply:
    return pb.ProposeReply(hypothesis_id=hypothesis_id, is_repeat=is_repeat)


def propose_reply_from_message(message: pb.ProposeReply) -> tuple[HypothesisId, bool]:
    return HypothesisId(read_uuid(message, "hypothesis_id")), message.is_repeat


def withdraw_reply_to_message(was_waiting: bool) -> pb.WithdrawReply:  # noqa: FBT001 - the reply is one truth
    return pb.WithdrawReply(was_waiting=was_waiting)


def withdraw_reply_from_message(message: pb.WithdrawReply) -> bool:
    return message.was_waiting


def insight_to_message(value: Insight) -> types_pb2.Insight:
    return types_pb2.Insight(
        insight_id=value.insight_id,
        challenge_id=value.challenge_id,
        text=value.text,
        experiment_ids=value.experiment_ids,
        node_id=value.node_id,
        owner_id=value.owner_id,
        hardware_class=value.hardware_class,
        agent=value.agent,
        created_at=time_to_wire(value.created_at),
    )


def insight_from_message(message: types_pb2.Insight) -> Insight:
    return Insight(
        insight_id=InsightId(read_uuid(message, "insight_id")),
        challenge_id=ChallengeId(read_handle(message, "challenge_id")),
        text=message.text,
        experiment_ids=tuple(ExperimentId(one) for one in read_uuids(message, "experiment_ids")),
        node_id=NodeId(read_blank(message, "node_id", read_handle)),
        owner_id=OwnerId(read_blank(message, "owner_id", read_handle)),
        hardware_class=HardwareClass(read_blank(message, "hardware_class", read_class)),
        agent=message.agent,
        created_at=read_time(message, "created_at"),
    )


def insights_to_message(values: Sequence[Insight]) -> pb.ListInsightsReply:
    return pb.ListInsightsReply(insights=[insight_to_message(insight) for insight in values])


def insights_from_message(message: pb.ListInsightsReply) -> tuple[Insight, ...]:
    return tuple(insight_from_message(insight) for insight in message.insights)


def share_reply_to_message(insight_id: InsightId, *, is_repeat: bool) -> pb.ShareInsightReply:
    return pb.ShareInsightReply(insight_id=insight_id, is_repeat=is_repeat)


def share_reply_from_message(message: pb.ShareInsightReply) -> tuple[InsightId, bool]:
    return InsightId(read_uuid(message, "insight_id")), message.is_repeat


def program_to_message(value: Program) -> types_pb2.Program:
    return types_pb2.Program(
        program_hash=value.program_hash,
        text=value.text,
        version=value.version,
        note=value.note,
        set_at=optional_time_to_wire(value.set_at),
    )


def program_from_message(message: types_pb2.Program) -> Program:
    return Program(
        program_hash=ProgramHash(read_program_hash(message, "program_hash")),
        text=message.text,
        version=message.version,
        note=message.note,
        set_at=read_optional_time(message, "set_at"),
    )


def set_program_reply_to_message(program: Program, *, is_repeat: bool) -> admin_pb2.SetProgramReply:
    return admin_pb2.SetProgramReply(program=program_to_message(program), is_repeat=is_repeat)


def set_program_reply_from_message(message: admin_pb2.SetProgramReply) -> tuple[Program, bool]:
    need(message, "program")
    return program_from_message(message.program), message.is_repeat


def program_rows_to_message(values: Sequence[ProgramRow]) -> leaderboard_pb2.ListProgramsReply:
    return leaderboard_pb2.ListProgramsReply(
        programs=[
            leaderboard_pb2.ProgramRow(
                program=program_to_message(row.program),
                is_current=row.is_current,
                experiments=row.experiments,
                completed=row.completed,
                bests=row.bests,
                best_delta=row.best_delta,
                cost_usd=row.cost_usd,
            )
            for row in values
        ]
    )


def program_rows_from_message(message: leaderboard_pb2.ListProgramsReply) -> tuple[ProgramRow, ...]:
    return tuple(_program_row_from_message(row) for row in message.programs)


def _program_row_from_message(message: leaderboard_pb2.ProgramRow) -> ProgramRow:
    need(message, "program")
    return ProgramRow(
        program=program_from_message(message.program),
        is_current=message.is_current,
        experiments=message.experiments,
        completed=message.completed,
        bests=message.bests,
        best_delta=read_optional_number(message, "best_delta"),
        cost_usd=read_number(message, "cost_usd"),
    )
