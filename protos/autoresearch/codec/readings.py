"""What readers, proposers and operators are answered."""
# ruff: noqa: D103 - each pair of names says all there is

from __future__ import annotations

from collections.abc import Sequence

from autoresearch.codec.experiments import (
    experiment_summary_from_message,
    experiment_summary_to_message,
    result_from_message,
    result_to_message,
)
from autoresearch.codec.fields import (
    EnumTable,
    need,
    optional_time_to_wire,
    read_class,
    read_handle,
    read_hash,
    read_number,
    read_optional,
    read_optional_number,
    read_optional_time,
    read_time,
    read_uuid,
    time_to_wire,
)
from autoresearch.codec.swarm_state import (
    best_change_from_message,
    best_change_to_message,
    node_from_message,
    node_to_message,
    optional_best_to_message,
    position_from_message,
    position_to_message,
    working_best_from_message,
)
from autoresearch.model import (
    BestChange,
    ChallengeId,
    ClassStatus,
    Comparison,
    ExperimentId,
    ExperimentPage,
    ExperimentSummary,
    HardwareClass,
    KnobRow,
    Node,
    OwnerId,
    Result,
    SearchBasis,
    SearchFindings,
    SearchMatch,
    SourceHash,
    SwarmStatus,
    Token,
)
from autoresearch.v1 import admin_pb2
from autoresearch.v1 import leaderboard_pb2 as pb

BASES = EnumTable(SearchBasis, pb.SearchBasis, "SEARCH_BASIS")


def class_status_to_message(value: ClassStatus) -> pb.ClassStatus:
    return pb.ClassStatus(
        hardware_class=value.hardware_class,
        best=optional_best_to_message(value.best),
        confirmed=optional_best_to_message(value.confirmed),
        baseline_mean=value.baseline_mean,
        baseline_runs=value.baseline_runs,
        spread=value.spread,
        experiments=value.experiments,
        verifying=value.verifying,
    )


def class_status_from_message(message: pb.ClassStatus) -> ClassStatus:
    verifying = read_optional(message, "verifying", read_uuid)
    return ClassStatus(
        hardware_class=HardwareClass(read_class(message, "hardware_class")),
        best=working_best_from_message(message.best) if message.HasField("best") else None,
        confirmed=working_best_from_message(message.confirmed) if message.HasField("confirmed") else None,
        baseline_mean=read_optional_number(message, "baseline_mean"),
        baseline_runs=message.baseline_runs,
        spread=read_number(message, "spread"),
        experiments=message.experiments,
        verifying=None if verifying is None else ExperimentId(verifying),
    )


def swarm_status_to_message(value: SwarmStatus) -> pb.GetStatusReply:
    return pb.GetStatusReply(
        challenge_id=value.challenge_id,
        challenge_name=value.challenge_name,
        metric_name=value.metric_name,
        direction=value.direction,
        classes=[class_status_to_message(status) for status in value.classes],
        global_best=optional_best_to_message(value.global_best),
        experiments=value.experiments,
        results=value.results,
        live_claims=value.live_claims,
        queued=value.queued,
        nodes_live=value.nodes_live,
        nodes=value.nodes,
        duplicates_stopped=value.duplicates_stopped,
        position=position_to_message(value.position),
        store=value.store,
        is_read_only=value.is_read_only,
        version=value.version,
        uptime_s=value.uptime_s,
    )


def swarm_status_from_message(message: pb.GetStatusReply) -> SwarmStatus:
    need(message, "position")
    has_global = message.HasField("global_best")
    return SwarmStatus(
        challenge_id=ChallengeId(read_handle(message, "challenge_id")),
        challenge_name=message.challenge_name,
        metric_name=message.metric_name,
        direction=message.direction,
        classes=tuple(class_status_from_message(status) for status in message.classes),
        global_best=working_best_from_message(message.global_best) if has_global else None,
        experiments=message.experiments,
        results=message.results,
        live_claims=message.live_claims,
        queued=message.queued,
        nodes_live=message.nodes_live,
        nodes=message.nodes,
        duplicates_stopped=message.duplicates_stopped,
        position=position_from_message(message.position),
        store=message.store,
        is_read_only=message.is_read_only,
        version=message.version,
        uptime_s=read_number(message, "uptime_s"),
    )


def experiment_page_to_message(value: ExperimentPage) -> pb.ListExperimentsReply:
    return pb.ListExperimentsReply(
        experiments=[experiment_summary_to_message(summary) for summary in value.experiments],
        next_cursor=value.next_cursor,
        total=value.total,
    )


def experiment_page_from_message(message: pb.ListExperimentsReply) -> ExperimentPage:
    return ExperimentPage(
        experiments=tuple(experiment_summary_from_message(summary) for summary in message.experiments),
        next_cursor=message.next_cursor,
        total=message.total,
    )


def experiment_detail_to_message(
    summary: ExperimentSummary, results: Sequence[Result]
) -> pb.GetExperimentReply:
    return pb.GetExperimentReply(
        summary=experiment_summary_to_message(summary),
        results=[result_to_message(result) for result in results],
    )


def experiment_detail_from_message(
    message: pb.GetExperimentReply,
) -> tuple[ExperimentSummary, tuple[Result, ...]]:
    need(message, "summary")
    results = tuple(result_from_message(result) for result in message.results)
    return experiment_summary_from_message(message.summary), results


def source_to_message(source: bytes, source_hash: SourceHash) -> pb.GetSourceReply:
    return pb.GetSourceReply(source=source, source_hash=source_hash)


def source_from_message(message: pb.GetSourceReply) -> tuple[bytes, SourceHash]:
    return message.source, SourceHash(read_hash(message, "source_hash"))


def nodes_to_message(values: Sequence[Node]) -> pb.ListNodesReply:
    return pb.ListNodesReply(nodes=[node_to_message(node) for node in values])


def nodes_from_message(message: pb.ListNodesReply) -> tuple[Node, ...]:
    return tuple(node_from_message(node) for node in message.nodes)


def progress_to_message(values: Sequence[BestChange]) -> pb.GetProgressReply:
    return pb.GetProgressReply(changes=[best_change_to_message(change) for change in values])


def progress_from_message(message: pb.GetProgressReply) -> tuple[BestChange, ...]:
    return tuple(best_change_from_message(change) for change in message.changes)


def comparison_to_message(value: Comparison) -> pb.CompareReply:
    rows = [
        pb.KnobRow(name=row.name, values=[pb.KnobValue(value=text) for text in row.values])
        for row in value.knobs
    ]
    experiments = [experiment_summary_to_message(summary) for summary in value.experiments]
    return pb.CompareReply(experiments=experiments, knobs=rows)


def comparison_from_message(message: pb.CompareReply) -> Comparison:
    return Comparison(
        experiments=tuple(experiment_summary_from_message(summary) for summary in message.experiments),
        knobs=tuple(
            KnobRow(
                name=row.name,
                values=tuple(cell.value if cell.HasField("value") else None for cell in row.values),
            )
            for row in message.knobs
        ),
    )


def search_findings_to_message(value: SearchFindings) -> pb.SearchReply:
    return pb.SearchReply(
        matches=[
            pb.SearchMatch(summary=experiment_summary_to_message(match.summary), similarity=match.similarity)
            for match in value.matches
        ],
        basis=BASES.to_wire(value.basis),
    )


def search_findings_from_message(message: pb.SearchReply) -> SearchFindings:
    return SearchFindings(
        matches=tuple(
            SearchMatch(
                summary=experiment_summary_from_message(match.summary),
                similarity=read_number(match, "similarity"),
            )
            for match in message.matches
        ),
        basis=BASES.read(message, "basis"),
    )


def token_to_message(value: Token) -> admin_pb2.Token:
    return admin_pb2.Token(
        token_id=value.token_id,
        owner_id=value.owner_id,
        uses_left=value.uses_left,
        is_unlimited=value.uses_left is None,
        created_at=time_to_wire(value.created_at),
        expires_at=optional_time_to_wire(value.expires_at),
        is_revoked=value.is_revoked,
    )


def token_from_message(message: admin_pb2.Token) -> Token:
    return Token(
        token_id=read_handle(message, "token_id"),
        owner_id=OwnerId(read_handle(message, "owner_id")),
        uses_left=None if message.is_unlimited else message.uses_left,
        created_at=read_time(message, "created_at"),
        expires_at=read_optional_time(message, "expires_at"),
        is_revoked=message.is_revoked,
    )


def tokens_to_message(values: Sequence[Token]) -> admin_pb2.ListTokensReply:
    return admin_pb2.ListTokensReply(tokens=[token_to_message(token) for token in values])


def tokens_from_message(message: admin_pb2.ListTokensReply) -> tuple[Token, ...]:
    return tuple(token_from_message(token) for token in message.tokens)


def created_token_to_message(token_id: str, token: str) -> admin_pb2.CreateTokenReply:
    """``token`` is the text itself, which travels this once."""
    return admin_pb2.CreateTokenReply(token_id=token_id, token=token)


def created_token_from_message(message: admin_pb2.CreateTokenReply) -> tuple[str, str]:
    return read_handle(message, "token_id"), message.token
