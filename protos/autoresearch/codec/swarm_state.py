"""Leases, positions, bests, events, nodes and challenges: what the swarm stands at."""
# ruff: noqa: D103 - each pair of names says all there is

from __future__ import annotations

from autoresearch.codec.experiments import LEVELS
from autoresearch.codec.fields import (
    EnumTable,
    need,
    read_blank,
    read_class,
    read_handle,
    read_hash,
    read_number,
    read_optional,
    read_optional_number,
    read_time,
    read_uuid,
    time_to_wire,
)
from autoresearch.model import (
    BestChange,
    ChallengeId,
    ChallengeText,
    ClaimId,
    Event,
    EventKind,
    ExperimentId,
    HardwareClass,
    Lease,
    Node,
    NodeId,
    OwnerId,
    Position,
    SourceHash,
    WorkingBest,
)
from autoresearch.v1 import types_pb2 as pb

EVENT_KINDS = EnumTable(EventKind, pb.EventKind, "EVENT_KIND")


def lease_to_message(value: Lease) -> pb.Lease:
    return pb.Lease(
        claim_id=value.claim_id,
        fencing_token=value.fencing_token,
        expires_at=time_to_wire(value.expires_at),
        ttl_s=value.ttl_s,
    )


def lease_from_message(message: pb.Lease) -> Lease:
    return Lease(
        claim_id=ClaimId(read_uuid(message, "claim_id")),
        fencing_token=message.fencing_token,
        expires_at=read_time(message, "expires_at"),
        ttl_s=read_number(message, "ttl_s"),
    )


def position_to_message(value: Position) -> pb.Position:
    return pb.Position(epoch=value.epoch, stream_id=value.stream_id)


def position_from_message(message: pb.Position) -> Position:
    return Position(epoch=message.epoch, stream_id=message.stream_id)


def working_best_to_message(value: WorkingBest) -> pb.WorkingBest:
    return pb.WorkingBest(
        experiment_id=value.experiment_id,
        hardware_class=value.hardware_class,
        source_hash=value.source_hash,
        level=LEVELS.to_wire(value.level),
        mean=value.mean,
        runs=value.runs,
        spread=value.spread,
        since=time_to_wire(value.since),
        confirmed_by=value.confirmed_by,
        title=value.title,
        node_id=value.node_id,
    )


def working_best_from_message(message: pb.WorkingBest) -> WorkingBest:
    return WorkingBest(
        experiment_id=ExperimentId(read_uuid(message, "experiment_id")),
        hardware_class=HardwareClass(read_class(message, "hardware_class")),
        source_hash=SourceHash(read_hash(message, "source_hash")),
        level=LEVELS.read(message, "level"),
        mean=read_number(message, "mean"),
        runs=message.runs,
        spread=read_number(message, "spread"),
        since=read_time(message, "since"),
        confirmed_by=tuple(map(OwnerId, message.confirmed_by)),
        title=message.title,
        node_id=NodeId(read_blank(message, "node_id", read_handle)),
    )


def optional_best_to_message(value: WorkingBest | None) -> pb.WorkingBest | None:
    return None if value is None else working_best_to_message(value)


def best_change_to_message(value: BestChange) -> pb.BestChange:
    return pb.BestChange(
        best=working_best_to_message(value.best),
        previous=value.previous,
        reason=value.reason,
        at=time_to_wire(value.at),
        holdout_gap=value.holdout_gap,
    )


def best_change_from_message(message: pb.BestChange) -> BestChange:
    need(message, "best")
    previous = read_optional(message, "previous", read_uuid)
    return BestChange(
        best=working_best_from_message(message.best),
        previous=None if previous is None else ExperimentId(previous),
        reason=message.reason,
        at=read_time(message, "at"),
        holdout_gap=read_optional_number(message, "holdout_gap"),
    )


def event_to_message(value: Event) -> pb.Event:
    return pb.Event(
        position=position_to_message(value.position),
        kind=EVENT_KINDS.to_wire(value.kind),
        at=time_to_wire(value.at),
        hardware_class=value.hardware_class,
        experiment_id=value.experiment_id,
        node_id=value.node_id,
        text=value.text,
        best=optional_best_to_message(value.best),
    )


def event_from_message(message: pb.Event) -> Event:
    need(message, "position")
    experiment_id = read_optional(message, "experiment_id", read_uuid)
    return Event(
        position=position_from_message(message.position),
        kind=EVENT_KINDS.read(message, "kind"),
        at=read_time(message, "at"),
        hardware_class=HardwareClass(read_blank(message, "hardware_class", read_class)),
        experiment_id=None if experiment_id is None else ExperimentId(experiment_id),
        node_id=NodeId(read_blank(message, "node_id", read_handle)),
        text=message.text,
        best=working_best_from_message(message.best) if message.HasField("best") else None,
    )


def node_to_message(value: Node) -> pb.Node:
    """The public record: the key stays with the coordinator."""
    return pb.Node(
        node_id=value.node_id,
        owner_id=value.owner_id,
        name=value.name,
        hardware_class=value.hardware_class,
        enrolled_at=time_to_wire(value.enrolled_at),
        last_seen_at=time_to_wire(value.last_seen_at),
        has_vote=value.has_vote,
        results=value.results,
        train_s=value.train_s,
        bests=value.bests,
        is_banned=value.is_banned,
        activity=value.activity,
        ideas_run=value.ideas_run,
    )


def node_from_message(message: pb.Node) -> Node:
    """``public_key`` is empty: it does not travel."""
    return Node(
        node_id=NodeId(read_handle(message, "node_id")),
        owner_id=OwnerId(read_handle(message, "owner_id")),
        name=message.name,
        public_key=b"",
        # A node that has enrolled and never connected has none.
        hardware_class=HardwareClass(read_blank(message, "hardware_class", read_class)),
        enrolled_at=read_time(message, "enrolled_at"),
        last_seen_at=read_time(message, "last_seen_at"),
        has_vote=message.has_vote,
        results=message.results,
        train_s=read_number(message, "train_s"),
        bests=message.bests,
        is_banned=message.is_banned,
        activity=message.activity,
        ideas_run=message.ideas_run,
    )


def challenge_text_to_message(value: ChallengeText) -> pb.Challenge:
    return pb.Challenge(
        challenge_id=value.challenge_id,
        name=value.name,
        manifest_toml=value.manifest_toml,
        baseline_source=value.baseline_source,
        program_md=value.program_md,
    )


def challenge_text_from_message(message: pb.Challenge) -> ChallengeText:
    return ChallengeText(
        challenge_id=ChallengeId(read_handle(message, "challenge_id")),
        name=message.name,
        manifest_toml=message.manifest_toml,
        baseline_source=message.baseline_source,
        program_md=message.program_md,
    )
