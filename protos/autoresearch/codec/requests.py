"""Requests. Reading one enforces the caps of ``limits``: what a service gets is within the contract."""
# ruff: noqa: D103 - each pair of names says all there is

from __future__ import annotations

import re

from autoresearch import limits
from autoresearch.calls import (
    ClaimCall,
    CompareCall,
    ConnectCall,
    CreateTokenCall,
    EnrolCall,
    GetBestCall,
    GetExperimentCall,
    GetProgressCall,
    GetSourceCall,
    HeartbeatCall,
    ListExperimentsCall,
    ListInsightsCall,
    ListProgramsCall,
    NextTaskCall,
    ProposeCall,
    PublishCall,
    ReleaseCall,
    SearchCall,
    SetProgramCall,
    ShareInsightCall,
    StartCall,
    WatchCall,
    WithdrawCall,
)
from autoresearch.codec.contributions import insight_from_message, insight_to_message
from autoresearch.codec.experiments import (
    STATES,
    experiment_from_message,
    experiment_to_message,
    hardware_from_message,
    hardware_to_message,
    hypothesis_from_message,
    hypothesis_to_message,
    result_from_message,
    result_to_message,
    usage_from_message,
    usage_to_message,
)
from autoresearch.codec.fields import (
    EnumTable,
    name_of,
    need,
    read_class,
    read_handle,
    read_hash,
    read_number,
    read_optional,
    read_uuid,
    read_uuids,
)
from autoresearch.codec.swarm_state import position_from_message, position_to_message
from autoresearch.errors import InvalidArgument
from autoresearch.model import (
    NAME_LIMIT_CHARS,
    PRIORITY_MAX,
    TITLE_LIMIT_CHARS,
    ChallengeId,
    ClaimId,
    ExperimentId,
    ExperimentOrder,
    ExperimentQuery,
    HardwareClass,
    HypothesisId,
    InsightQuery,
    NodeId,
    OwnerId,
    SearchQuery,
    SourceHash,
    WatchScope,
)
from autoresearch.v1 import admin_pb2, ideas_pb2, leaderboard_pb2
from autoresearch.v1 import swarm_pb2 as pb

SCOPES = EnumTable(WatchScope, pb.WatchScope, "WATCH_SCOPE")
ORDERS = EnumTable(ExperimentOrder, leaderboard_pb2.ExperimentOrder, "EXPERIMENT_ORDER")
_DEFAULT_QUERY = ExperimentQuery()
_DEFAULT_SEARCH = SearchQuery(text="")
_CURSOR_LIMIT_CHARS = 200
_ID_PART = re.compile(r"[0-9a-f-]{6,36}")


def enrol_call_to_message(value: EnrolCall) -> pb.EnrolRequest:
    return pb.EnrolRequest(
        public_key=value.public_key, token=value.token, name=value.name, consent=value.consent
    )


def enrol_call_from_message(message: pb.EnrolRequest) -> EnrolCall:
    limits.check_public_key(message.public_key)
    limits.check_line(message.token, "EnrolRequest.token", limit=limits.TOKEN_LIMIT_CHARS)
    limits.check_line(message.name, "EnrolRequest.name", limit=NAME_LIMIT_CHARS)
    return EnrolCall(
        public_key=message.public_key, token=message.token, name=message.name, consent=message.consent
    )


def connect_call_to_message(value: ConnectCall) -> pb.ConnectRequest:
    return pb.ConnectRequest(
        protocol_min=value.protocol_min,
        protocol_max=value.protocol_max,
        challenge=value.challenge,
        hardware=hardware_to_message(value.hardware) if value.hardware else None,
        node_version=value.node_version,
    )


def connect_call_from_message(message: pb.ConnectRequest) -> ConnectCall:
    hardware = hardware_from_message(message.hardware) if message.HasField("hardware") else None
    if hardware is not None:
        limits.check_hardware(hardware)
    limits.check_line(message.node_version, "ConnectRequest.node_version", limit=NAME_LIMIT_CHARS)
    return ConnectCall(
        protocol_min=message.protocol_min,
        protocol_max=message.protocol_max,
        challenge=_challenge_name(message),
        hardware=hardware,
        node_version=message.node_version,
    )


def heartbeat_call_to_message(value: HeartbeatCall) -> pb.HeartbeatRequest:
    return pb.HeartbeatRequest(
        challenge_id=value.challenge_id, claim_ids=value.claim_ids, activity=value.activity
    )


def heartbeat_call_from_message(message: pb.HeartbeatRequest) -> HeartbeatCall:
    _check_count(message, "claim_ids", low=0, high=limits.CLAIMS_PER_CALL_LIMIT)
    limits.check_line(message.activity, "HeartbeatRequest.activity", limit=limits.ACTIVITY_LIMIT_CHARS)
    return HeartbeatCall(
        challenge_id=ChallengeId(read_handle(message, "challenge_id")),
        claim_ids=tuple(map(ClaimId, read_uuids(message, "claim_ids"))),
        activity=message.activity,
    )


def next_task_call_to_message(value: NextTaskCall) -> pb.NextTaskRequest:
    return pb.NextTaskRequest(
        challenge_id=value.challenge_id,
        can_propose=value.can_propose,
        can_train=value.can_train,
        hardware_class=value.hardware_class,
    )


def next_task_call_from_message(message: pb.NextTaskRequest) -> NextTaskCall:
    return NextTaskCall(
        challenge_id=ChallengeId(read_handle(message, "challenge_id")),
        can_propose=message.can_propose,
        can_train=message.can_train,
        hardware_class=_optional_class(message),
    )


def claim_call_to_message(value: ClaimCall) -> pb.ClaimRequest:
    return pb.ClaimRequest(
        challenge_id=value.challenge_id,
        claim_id=value.claim_id,
        hypothesis=hypothesis_to_message(value.hypothesis),
        parent_id=value.parent_id,
        queued_claim_id=value.queued_claim_id,
    )


def claim_call_from_message(message: pb.ClaimRequest) -> ClaimCall:
    need(message, "hypothesis")
    hypothesis = hypothesis_from_message(message.hypothesis)
    limits.check_hypothesis(hypothesis)
    queued = read_optional(message, "queued_claim_id", read_uuid)
    return ClaimCall(
        challenge_id=ChallengeId(read_handle(message, "challenge_id")),
        claim_id=ClaimId(read_uuid(message, "claim_id")),
        hypothesis=hypothesis,
        parent_id=ExperimentId(read_uuid(message, "parent_id")),
        queued_claim_id=None if queued is None else ClaimId(queued),
    )


def start_call_to_message(value: StartCall) -> pb.StartRequest:
    return pb.StartRequest(
        challenge_id=value.challenge_id,
        claim_id=value.claim_id,
        fencing_token=value.fencing_token,
        experiment_id=value.experiment_id,
        source=value.source,
    )


def start_call_from_message(message: pb.StartRequest) -> StartCall:
    limits.check_source(message.source, "StartRequest.source")
    return StartCall(
        challenge_id=ChallengeId(read_handle(message, "challenge_id")),
        claim_id=ClaimId(read_uuid(message, "claim_id")),
        fencing_token=message.fencing_token,
        experiment_id=ExperimentId(read_uuid(message, "experiment_id")),
        source=message.source,
    )


def release_call_to_message(value: ReleaseCall) -> pb.ReleaseRequest:
    return pb.ReleaseRequest(
        challenge_id=value.challenge_id,
        claim_id=value.claim_id,
        fencing_token=value.fencing_token,
        reason=value.reason,
    )


def release_call_from_message(message: pb.ReleaseRequest) -> ReleaseCall:
    limits.check_text(message.reason, "ReleaseRequest.reason", limit=limits.REASON_LIMIT_CHARS)
    return ReleaseCall(
        challenge_id=ChallengeId(read_handle(message, "challenge_id")),
        claim_id=ClaimId(read_uuid(message, "claim_id")),
        fencing_token=message.fencing_token,
        reason=message.reason,
    )


def publish_call_to_message(value: PublishCall) -> pb.PublishRequest:
    return pb.PublishRequest(
        challenge_id=value.challenge_id,
        result=result_to_message(value.result),
        experiment=None if value.experiment is None else experiment_to_message(value.experiment),
        source=value.source,
        claim_id=value.claim_id,
        fencing_token=value.fencing_token,
    )


def publish_call_from_message(message: pb.PublishRequest) -> PublishCall:
    need(message, "result")
    challenge_id = ChallengeId(read_handle(message, "challenge_id"))
    result = result_from_message(message.result)
    limits.check_result(result)
    experiment = experiment_from_message(message.experiment) if message.HasField("experiment") else None
    if experiment is not None:
        limits.check_experiment(experiment)
        if experiment.experiment_id != result.experiment_id:
            raise InvalidArgument("PublishRequest.experiment is not the one of PublishRequest.result")
    if message.source:
        limits.check_source(message.source, "PublishRequest.source")
    if {challenge_id} != {result.challenge_id, experiment.challenge_id if experiment else challenge_id}:
        raise InvalidArgument("PublishRequest names different challenges; send one challenge's result")
    claim_id = read_optional(message, "claim_id", read_uuid)
    return PublishCall(
        challenge_id=challenge_id,
        result=result,
        experiment=experiment,
        source=message.source or None,
        claim_id=None if claim_id is None else ClaimId(claim_id),
        fencing_token=message.fencing_token,
    )


def get_best_call_to_message(value: GetBestCall) -> pb.GetBestRequest:
    return pb.GetBestRequest(
        challenge_id=value.challenge_id,
        hardware_class=value.hardware_class,
        known_source_hash=value.known_source_hash,
    )


def get_best_call_from_message(message: pb.GetBestRequest) -> GetBestCall:
    known = read_optional(message, "known_source_hash", read_hash)
    return GetBestCall(
        challenge_id=ChallengeId(read_handle(message, "challenge_id")),
        hardware_class=_optional_class(message),
        known_source_hash=None if known is None else SourceHash(known),
    )


def watch_call_to_message(value: WatchCall) -> pb.WatchEventsRequest:
    return pb.WatchEventsRequest(
        challenge_id=value.challenge_id,
        scope=SCOPES.to_wire(value.scope),
        after=None if value.after is None else position_to_message(value.after),
    )


def watch_call_from_message(message: pb.WatchEventsRequest) -> WatchCall:
    return WatchCall(
        challenge_id=ChallengeId(read_handle(message, "challenge_id")),
        scope=SCOPES.read(message, "scope"),
        after=position_from_message(message.after) if message.HasField("after") else None,
    )


def list_experiments_call_to_message(
    value: ListExperimentsCall,
) -> leaderboard_pb2.ListExperimentsRequest:
    query = value.query
    return leaderboard_pb2.ListExperimentsRequest(
        challenge=value.challenge,
        hardware_class=query.hardware_class,
        state=STATES.to_wire(query.state),
        node_id=query.node_id,
        text=query.text,
        order=ORDERS.to_wire(query.order),
        limit=query.limit,
        cursor=query.cursor,
    )


def list_experiments_call_from_message(
    message: leaderboard_pb2.ListExperimentsRequest,
) -> ListExperimentsCall:
    """Unset order and limit mean the defaults of ``ExperimentQuery``."""
    if message.limit > limits.PAGE_LIMIT:
        raise InvalidArgument(
            f"ListExperimentsRequest.limit is {message.limit}, not over {limits.PAGE_LIMIT}; page by cursor"
        )
    limits.check_line(message.text, "ListExperimentsRequest.text", limit=TITLE_LIMIT_CHARS)
    limits.check_line(message.cursor, "ListExperimentsRequest.cursor", limit=_CURSOR_LIMIT_CHARS)
    node_id = read_optional(message, "node_id", read_handle)
    query = ExperimentQuery(
        hardware_class=_optional_class(message),
        state=STATES.read_optional(message, "state"),
        node_id=None if node_id is None else NodeId(node_id),
        text=message.text,
        order=ORDERS.read_optional(message, "order") or _DEFAULT_QUERY.order,
        limit=message.limit or _DEFAULT_QUERY.limit,
        cursor=message.cursor,
    )
    return ListExperimentsCall(challenge=_challenge_name(message), query=query)


def get_experiment_call_to_message(value: GetExperimentCall) -> leaderboard_pb2.GetExperimentRequest:
    return leaderboard_pb2.GetExperimentRequest(challenge=value.challenge, experiment_id=value.experiment)


def get_experiment_call_from_message(message: leaderboard_pb2.GetExperimentRequest) -> GetExperimentCall:
    return GetExperimentCall(
        challenge=_challenge_name(message),
        experiment=_id_part(message.experiment_id, "GetExperimentRequest.experiment_id"),
    )


def get_source_call_to_message(value: GetSourceCall) -> leaderboard_pb2.GetSourceRequest:
    return leaderboard_pb2.GetSourceRequest(
        challenge=value.challenge, experiment_id=value.experiment, source_hash=value.source_hash
    )


def get_source_call_from_message(message: leaderboard_pb2.GetSourceRequest) -> GetSourceCall:
    if bool(message.experiment_id) == bool(message.source_hash):
        raise InvalidArgument("GetSourceRequest needs one of experiment_id and source_hash")
    if message.source_hash:
        source_hash = SourceHash(read_hash(message, "source_hash"))
        return GetSourceCall(challenge=_challenge_name(message), source_hash=source_hash)
    return GetSourceCall(
        challenge=_challenge_name(message),
        experiment=_id_part(message.experiment_id, "GetSourceRequest.experiment_id"),
    )


def get_progress_call_to_message(value: GetProgressCall) -> leaderboard_pb2.GetProgressRequest:
    return leaderboard_pb2.GetProgressRequest(challenge=value.challenge, hardware_class=value.hardware_class)


def get_progress_call_from_message(message: leaderboard_pb2.GetProgressRequest) -> GetProgressCall:
    return GetProgressCall(challenge=_challenge_name(message), hardware_class=_optional_class(message))


def compare_call_to_message(value: CompareCall) -> leaderboard_pb2.CompareRequest:
    return leaderboard_pb2.CompareRequest(challenge=value.challenge, experiment_ids=value.experiments)


def compare_call_from_message(message: leaderboard_pb2.CompareRequest) -> CompareCall:
    _check_count(message, "experiment_ids", low=2, high=limits.COMPARE_LIMIT)
    field = "CompareRequest.experiment_ids"
    return CompareCall(
        challenge=_challenge_name(message),
        experiments=tuple(_id_part(text, field) for text in message.experiment_ids),
    )


def search_call_to_message(value: SearchCall) -> leaderboard_pb2.SearchRequest:
    query = value.query
    return leaderboard_pb2.SearchRequest(
        challenge=value.challenge,
        text=query.text,
        hardware_class=query.hardware_class,
        state=STATES.to_wire(query.state),
        limit=query.limit,
    )


def search_call_from_message(message: leaderboard_pb2.SearchRequest) -> SearchCall:
    """An unset limit means the default of ``SearchQuery``."""
    limits.check_line(message.text, "SearchRequest.text", limit=limits.SEARCH_TEXT_LIMIT_CHARS, required=True)
    if message.limit > limits.SEARCH_LIMIT:
        raise InvalidArgument(
            f"SearchRequest.limit is {message.limit}, not over {limits.SEARCH_LIMIT}; ask for fewer"
        )
    query = SearchQuery(
        text=message.text,
        hardware_class=_optional_class(message),
        state=STATES.read_optional(message, "state"),
        limit=message.limit or _DEFAULT_SEARCH.limit,
    )
    return SearchCall(challenge=_challenge_name(message), query=query)


def propose_call_to_message(value: ProposeCall) -> ideas_pb2.ProposeRequest:
    return ideas_pb2.ProposeRequest(
        challenge_id=value.challenge_id,
        hypothesis_id=value.hypothesis_id,
        hypothesis=hypothesis_to_message(value.hypothesis),
        source=value.source,
        origin_experiment_id=value.origin,
        priority=value.priority,
        parent_id=value.parent,
        usage=usage_to_message(value.usage) if value.usage else None,
    )


def propose_call_from_message(message: ideas_pb2.ProposeRequest) -> ProposeCall:
    need(message, "hypothesis")
    hypothesis = hypothesis_from_message(message.hypothesis)
    limits.check_hypothesis(hypothesis)
    if message.source:
        limits.check_source(message.source, "ProposeRequest.source")
    origin = read_optional(message, "origin_experiment_id", read_uuid)
    limits.check_number(message.priority, "ProposeRequest.priority", low=0, high=PRIORITY_MAX)
    parent = read_optional(message, "parent_id", read_uuid)
    usage = usage_from_message(message.usage) if message.HasField("usage") else None
    if usage is not None:
        limits.check_usage(usage)
    return ProposeCall(
        challenge_id=ChallengeId(read_handle(message, "challenge_id")),
        hypothesis_id=HypothesisId(read_uuid(message, "hypothesis_id")),
        hypothesis=hypothesis,
        source=message.source or None,
        origin=None if origin is None else ExperimentId(origin),
        priority=message.priority,
        parent=None if parent is None else ExperimentId(parent),
        usage=usage,
    )


def withdraw_call_to_message(value: WithdrawCall) -> ideas_pb2.WithdrawRequest:
    return ideas_pb2.WithdrawRequest(challenge_id=value.challenge_id, hypothesis_id=value.hypothesis_id)


def withdraw_call_from_message(message: ideas_pb2.WithdrawRequest) -> WithdrawCall:
    return WithdrawCall(
        challenge_id=ChallengeId(read_handle(message, "challenge_id")),
        hypothesis_id=HypothesisId(read_uuid(message, "hypothesis_id")),
    )


def share_insight_call_to_message(value: ShareInsightCall) -> ideas_pb2.ShareInsightRequest:
    return ideas_pb2.ShareInsightRequest(
        challenge_id=value.challenge_id, insight=insight_to_message(value.insight)
    )


def share_insight_call_from_message(message: ideas_pb2.ShareInsightRequest) -> ShareInsightCall:
    need(message, "insight")
    insight = insight_from_message(message.insight)
    limits.check_insight(insight)
    return ShareInsightCall(challenge_id=ChallengeId(read_handle(message, "challenge_id")), insight=insight)


def list_insights_call_to_message(value: ListInsightsCall) -> ideas_pb2.ListInsightsRequest:
    query = value.query
    return ideas_pb2.ListInsightsRequest(
        challenge=value.challenge,
        hardware_class=query.hardware_class,
        experiment_id=query.experiment_id,
        text=query.text,
        limit=query.limit,
    )


def list_insights_call_from_message(message: ideas_pb2.ListInsightsRequest) -> ListInsightsCall:
    """An unset limit means the default of ``InsightQuery``."""
    limits.check_line(message.text, "ListInsightsRequest.text", limit=limits.SEARCH_TEXT_LIMIT_CHARS)
    if message.limit > limits.SEARCH_LIMIT:
        raise InvalidArgument(
            f"ListInsightsRequest.limit is {message.limit}, not over {limits.SEARCH_LIMIT}; ask for fewer"
        )
    experiment = read_optional(message, "experiment_id", read_uuid)
    query = InsightQuery(
        text=message.text,
        hardware_class=_optional_class(message),
        experiment_id=None if experiment is None else ExperimentId(experiment),
        limit=message.limit or InsightQuery().limit,
    )
    return ListInsightsCall(challenge=_challenge_name(message), query=query)


def list_programs_call_to_message(value: ListProgramsCall) -> leaderboard_pb2.ListProgramsRequest:
    return leaderboard_pb2.ListProgramsRequest(challenge=value.challenge, hardware_class=value.hardware_class)


def list_programs_call_from_message(message: leaderboard_pb2.ListProgramsRequest) -> ListProgramsCall:
    return ListProgramsCall(challenge=_challenge_name(message), hardware_class=_optional_class(message))


def set_program_call_to_message(value: SetProgramCall) -> admin_pb2.SetProgramRequest:
    return admin_pb2.SetProgramRequest(challenge=value.challenge, text=value.text, note=value.note)


def set_program_call_from_message(message: admin_pb2.SetProgramRequest) -> SetProgramCall:
    limits.check_program(message.text, "SetProgramRequest.text")
    limits.check_line(message.note, "SetProgramRequest.note", limit=limits.REASON_LIMIT_CHARS)
    return SetProgramCall(challenge=_challenge_name(message), text=message.text, note=message.note)


def create_token_call_to_message(value: CreateTokenCall) -> admin_pb2.CreateTokenRequest:
    return admin_pb2.CreateTokenRequest(
        owner_id=value.owner_id, uses=value.uses, expires_in_s=value.expires_in_s
    )


def create_token_call_from_message(message: admin_pb2.CreateTokenRequest) -> CreateTokenCall:
    expires_in_s = read_number(message, "expires_in_s")
    limits.check_number(expires_in_s, "CreateTokenRequest.expires_in_s", low=0)
    return CreateTokenCall(
        owner_id=OwnerId(read_handle(message, "owner_id")),
        uses=message.uses or None,
        expires_in_s=expires_in_s or None,
    )


def challenge_of(
    message: leaderboard_pb2.GetStatusRequest | leaderboard_pb2.ListNodesRequest | ideas_pb2.ListIdeasRequest,
) -> str:
    """The challenge's name or id, empty for the first, of a request that asks for nothing else."""
    return _challenge_name(message)


def revoked_token_of(message: admin_pb2.RevokeTokenRequest) -> str:
    """The id of the token to revoke."""
    return read_handle(message, "token_id")


def _challenge_name(
    message: pb.ConnectRequest
    | leaderboard_pb2.GetStatusRequest
    | leaderboard_pb2.ListExperimentsRequest
    | leaderboard_pb2.GetExperimentRequest
    | leaderboard_pb2.GetSourceRequest
    | leaderboard_pb2.ListNodesRequest
    | leaderboard_pb2.GetProgressRequest
    | leaderboard_pb2.CompareRequest
    | leaderboard_pb2.SearchRequest
    | leaderboard_pb2.ListProgramsRequest
    | ideas_pb2.ListIdeasRequest
    | ideas_pb2.ListInsightsRequest
    | admin_pb2.SetProgramRequest,
) -> str:
    return read_optional(message, "challenge", read_handle) or ""


def _optional_class(
    message: pb.GetBestRequest
    | pb.NextTaskRequest
    | leaderboard_pb2.ListExperimentsRequest
    | leaderboard_pb2.GetProgressRequest
    | leaderboard_pb2.SearchRequest
    | leaderboard_pb2.ListProgramsRequest
    | ideas_pb2.ListInsightsRequest,
) -> HardwareClass | None:
    text = read_optional(message, "hardware_class", read_class)
    return None if text is None else HardwareClass(text)


def _id_part(text: str, field: str) -> str:
    if not _ID_PART.fullmatch(text):
        raise InvalidArgument(f"{field} must be an id or 6 to 36 of its characters, not {text[:60]!r}")
    return text


def _check_count(
    message: pb.HeartbeatRequest | leaderboard_pb2.CompareRequest, field: str, *, low: int, high: int
) -> None:
    count = len(getattr(message, field))
    if not low <= count <= high:
        raise InvalidArgument(f"{name_of(message, field)} has {count} entries; send {low} to {high}")
