"""A swarm behind a coordinator's address: what a node says to it, and what any reader may ask."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc.aio
import structlog
from autoresearch import codec
from autoresearch.calls import (
    LEADERBOARD_SERVICE,
    SWARM_SERVICE,
    ClaimCall,
    CompareCall,
    ConnectCall,
    EnrolCall,
    GetBestCall,
    GetExperimentCall,
    GetProgressCall,
    GetSourceCall,
    HeartbeatCall,
    ListExperimentsCall,
    NextTaskCall,
    ProposeCall,
    PublishCall,
    ReleaseCall,
    SearchCall,
    StartCall,
)
from autoresearch.errors import Internal, InvalidArgument, NotFound, ProtocolMismatch
from autoresearch.model import (
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    Beat,
    BestChange,
    ChallengeId,
    ClaimId,
    ClaimVerdict,
    Comparison,
    Enrolment,
    ExperimentId,
    ExperimentPage,
    ExperimentQuery,
    ExperimentSummary,
    Hardware,
    HardwareClass,
    Hypothesis,
    HypothesisId,
    Idea,
    Insight,
    InsightQuery,
    Lease,
    Node,
    Program,
    ProgramRow,
    Published,
    Purpose,
    Result,
    SearchFindings,
    SearchQuery,
    ServerInfo,
    Session,
    SourceHash,
    StartVerdict,
    SwarmStatus,
    Task,
    Usage,
)
from autoresearch.signing import SigningKey
from autoresearch.v1 import leaderboard_pb2, swarm_pb2

from node.swarm import contributions
from node.swarm.calling import Caller
from node.swarm.protocol import BestSource, Publication

_VERIFICATIONS = frozenset({Purpose.VERIFY_CANDIDATE, Purpose.VERIFY_CONTROL})
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinTerms:
    """What a node enrols with: the operator's token if any, a public name, and its owner's consent."""

    token: str = ""
    name: str = ""
    has_consented: bool = False


class GrpcReader:
    """What anybody may ask a coordinator, unsigned. Every method raises SwarmError.

    ``challenge`` is a name, an id, or empty for the coordinator's first.
    """

    def __init__(self, channel: grpc.aio.Channel, target: str, *, challenge: str = "") -> None:
        self._caller = Caller(channel, target)
        self._challenge = challenge

    async def server_info(self) -> ServerInfo:
        """Who answers: versions, challenges, how to enrol."""
        return await _server_info(self._caller)

    async def status(self) -> SwarmStatus:
        """The challenge at a glance."""
        request = leaderboard_pb2.GetStatusRequest(challenge=self._challenge)
        return await self._caller.call(
            LEADERBOARD_SERVICE + "GetStatus",
            request,
            leaderboard_pb2.GetStatusReply,
            codec.swarm_status_from_message,
        )

    async def experiments(self, query: ExperimentQuery) -> ExperimentPage:
        """One page of a listing."""
        return await _experiments(self._caller, self._challenge, query)

    async def experiment(self, experiment: str) -> tuple[ExperimentSummary, tuple[Result, ...]]:
        """One experiment with its runs, by its id or a part of it that only one has. Raises NotFound."""
        call = GetExperimentCall(challenge=self._challenge, experiment=experiment)
        return await _experiment(self._caller, call)

    async def source(self, *, experiment: str | None = None, source_hash: SourceHash | None = None) -> bytes:
        """The code by one of the two, checked against its hash. Raises NotFound."""
        call = GetSourceCall(challenge=self._challenge, experiment=experiment, source_hash=source_hash)
        return await _source(self._caller, call)

    async def nodes(self) -> tuple[Node, ...]:
        """Who takes part."""
        request = leaderboard_pb2.ListNodesRequest(challenge=self._challenge)
        return await self._caller.call(
            LEADERBOARD_SERVICE + "ListNodes",
            request,
            leaderboard_pb2.ListNodesReply,
            codec.nodes_from_message,
        )

    async def progress(self, hardware_class: HardwareClass | None = None) -> tuple[BestChange, ...]:
        """The working bests in order of time."""
        call = GetProgressCall(challenge=self._challenge, hardware_class=hardware_class)
        return await self._caller.call(
            LEADERBOARD_SERVICE + "GetProgress",
            codec.get_progress_call_to_message(call),
            leaderboard_pb2.GetProgressReply,
            codec.progress_from_message,
        )

    async def compare(self, experiments: Sequence[str]) -> Comparison:
        """2 to 8 experiments side by side."""
        call = CompareCall(challenge=self._challenge, experiments=experiments)
        return await self._caller.call(
            LEADERBOARD_SERVICE + "Compare",
            codec.compare_call_to_message(call),
            leaderboard_pb2.CompareReply,
            codec.comparison_from_message,
        )

    async def search(self, query: SearchQuery) -> SearchFindings:
        """The experiments whose titles are nearest to a text."""
        return await self._caller.call(
            LEADERBOARD_SERVICE + "Search",
            codec.search_call_to_message(SearchCall(challenge=self._challenge, query=query)),
            leaderboard_pb2.SearchReply,
            codec.search_findings_from_message,
        )

    async def ideas(self) -> tuple[Idea, ...]:
        """The waiting hypotheses, next first."""
        return await contributions.ideas(self._caller, self._challenge)

    async def insights(self, query: InsightQuery) -> tuple[Insight, ...]:
        """What was learned: the newest first or, with a text, the nearest."""
        return await contributions.insights(self._caller, self._challenge, query)

    async def programs(self, hardware_class: HardwareClass | None = None) -> tuple[ProgramRow, ...]:
        """Every program.md that experiments went by, with what came of them."""
        return await contributions.programs(self._caller, self._challenge, hardware_class)

    async def close(self) -> None:
        """Ends the channel."""
        await self._caller.close()


class GrpcSwarm:
    """``Swarm`` over gRPC, signed by the node's key.

    The first ``connect`` enrols with the token where one was given: a key that was enrolled openly gets its
    owner and vote, and a token that is no good is told. Without a token a key that the coordinator does not
    know is enrolled.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        target: str,
        key: SigningKey,
        terms: JoinTerms,
        *,
        node_version: str = "",
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._caller = Caller(channel, target, key, now_ms=now_ms)
        self._key = key
        self._terms = terms
        self._node_version = node_version
        self._has_shown_token = False
        self._session: Session | None = None
        self._known_best: BestSource | None = None

    async def server_info(self) -> ServerInfo:
        """Who answers, before anything is agreed."""
        return await _server_info(self._caller)

    async def enrol(self) -> Enrolment:
        """Binds the key to its owner; idempotent. Raises TokenRefused and what else Enrol may."""
        call = EnrolCall(
            public_key=self._key.public_key,
            token=self._terms.token,
            name=self._terms.name,
            consent=self._terms.has_consented,
        )
        enrolment = await self._caller.call(
            SWARM_SERVICE + "Enrol",
            codec.enrol_call_to_message(call),
            swarm_pb2.EnrolReply,
            codec.enrolment_from_message,
        )
        self._has_shown_token = bool(self._terms.token)
        _log.info(
            "enrolled", node_id=enrolment.node_id, owner_id=enrolment.owner_id, has_vote=enrolment.has_vote
        )
        return enrolment

    async def connect(self, hardware: Hardware | None, challenge: str = "") -> Session:
        """Opens a session, after enrolling with a token not shown yet, or if this key is unknown there.

        Without hardware the node may propose, and is given nothing that trains.
        """
        call = ConnectCall(
            protocol_min=PROTOCOL_MIN,
            protocol_max=PROTOCOL_MAX,
            challenge=challenge,
            hardware=hardware,
            node_version=self._node_version,
        )
        if self._terms.token and not self._has_shown_token:
            await self.enrol()
        session = await contributions.enrolled(lambda: self._connect(call), self.enrol)
        if not PROTOCOL_MIN <= session.protocol <= PROTOCOL_MAX:
            raise ProtocolMismatch(
                f"the coordinator chose protocol {session.protocol}, "
                f"this node speaks {PROTOCOL_MIN} to {PROTOCOL_MAX}; update it"
            )
        self._session = session
        return session

    async def next_task(
        self, *, can_propose: bool, can_train: bool, hardware_class: HardwareClass | None = None
    ) -> Task:
        """``hardware_class`` is the one that a node without hardware thinks for; None for the busiest."""
        call = NextTaskCall(
            challenge_id=self._challenge_id,
            can_propose=can_propose,
            can_train=can_train,
            hardware_class=hardware_class,
        )
        return await self._caller.call(
            SWARM_SERVICE + "NextTask",
            codec.next_task_call_to_message(call),
            swarm_pb2.NextTaskReply,
            codec.task_from_message,
        )

    async def claim(
        self,
        claim_id: ClaimId,
        hypothesis: Hypothesis,
        parent_id: ExperimentId,
        *,
        queued_claim_id: ClaimId | None = None,
    ) -> ClaimVerdict:
        call = ClaimCall(
            challenge_id=self._challenge_id,
            claim_id=claim_id,
            hypothesis=hypothesis,
            parent_id=parent_id,
            queued_claim_id=queued_claim_id,
        )
        return await self._caller.call(
            SWARM_SERVICE + "Claim",
            codec.claim_call_to_message(call),
            swarm_pb2.ClaimReply,
            codec.claim_verdict_from_message,
        )

    async def start(self, lease: Lease, experiment_id: ExperimentId, source: bytes) -> StartVerdict:
        call = StartCall(
            challenge_id=self._challenge_id,
            claim_id=lease.claim_id,
            fencing_token=lease.fencing_token,
            experiment_id=experiment_id,
            source=source,
        )
        return await self._caller.call(
            SWARM_SERVICE + "Start",
            codec.start_call_to_message(call),
            swarm_pb2.StartReply,
            codec.start_verdict_from_message,
        )

    async def release(self, lease: Lease, reason: str) -> None:
        call = ReleaseCall(
            challenge_id=self._challenge_id,
            claim_id=lease.claim_id,
            fencing_token=lease.fencing_token,
            reason=reason,
        )
        await self._caller.call(
            SWARM_SERVICE + "Release",
            codec.release_call_to_message(call),
            swarm_pb2.ReleaseReply,
            codec.release_reply_from_message,
        )

    async def publish(self, publication: Publication) -> Published:
        """With a lease the coordinator has the code since ``start``; should it say otherwise, it is sent."""
        has_code = publication.lease is not None
        try:
            return await self._publish(publication, with_code=not has_code)
        except NotFound:
            if not has_code:
                raise
            return await self._publish(publication, with_code=True)

    async def heartbeat(self, claim_ids: Sequence[ClaimId], activity: str) -> Beat:
        call = HeartbeatCall(challenge_id=self._challenge_id, claim_ids=claim_ids, activity=activity)
        return await self._caller.call(
            SWARM_SERVICE + "Heartbeat",
            codec.heartbeat_call_to_message(call),
            swarm_pb2.HeartbeatReply,
            codec.beat_from_message,
        )

    async def best(self) -> BestSource | None:
        """The code is fetched once for as long as it stays the best."""
        known = self._known_best
        call = GetBestCall(
            challenge_id=self._challenge_id, known_source_hash=known.best.source_hash if known else None
        )
        try:
            best, source = await self._caller.call(
                SWARM_SERVICE + "GetBest",
                codec.get_best_call_to_message(call),
                swarm_pb2.GetBestReply,
                codec.best_reply_from_message,
            )
        except NotFound:
            return None
        if source is None and known is not None and known.best.source_hash == best.source_hash:
            source = known.source
        _check_hash(source or b"", best.source_hash)
        self._known_best = BestSource(best=best, source=source or b"")
        return self._known_best

    async def source(self, experiment_id: ExperimentId) -> bytes:
        call = GetSourceCall(challenge=self._challenge_id, experiment=experiment_id)
        return await _source(self._caller, call)

    async def source_by_hash(self, source_hash: SourceHash) -> bytes:
        call = GetSourceCall(challenge=self._challenge_id, source_hash=source_hash)
        return await _source(self._caller, call)

    async def experiments(self, query: ExperimentQuery) -> ExperimentPage:
        return await _experiments(self._caller, self._challenge_id, query)

    async def experiment(self, experiment_id: ExperimentId) -> ExperimentSummary:
        summary, _ = await self.experiment_with_runs(experiment_id)
        return summary

    async def experiment_with_runs(
        self, experiment_id: ExperimentId
    ) -> tuple[ExperimentSummary, tuple[Result, ...]]:
        """One experiment, and what its runs brought. Raises NotFound."""
        call = GetExperimentCall(challenge=self._challenge_id, experiment=experiment_id)
        return await _experiment(self._caller, call)

    async def propose(
        self,
        hypothesis_id: HypothesisId,
        hypothesis: Hypothesis,
        source: bytes | None,
        origin: ExperimentId | None,
        *,
        priority: int = 0,
        parent: ExperimentId | None = None,
        usage: Usage | None = None,
    ) -> None:
        """``parent`` is what the source is an edit of, ``usage`` what an agent spent on both."""
        call = ProposeCall(
            challenge_id=self._challenge_id,
            hypothesis_id=hypothesis_id,
            hypothesis=hypothesis,
            source=source,
            origin=origin,
            priority=priority,
            parent=parent,
            usage=usage,
        )
        await contributions.propose(self._caller, call)

    async def withdraw(self, hypothesis_id: HypothesisId) -> bool:
        """Takes back a waiting idea of this owner's; False where it waits no more."""
        return await contributions.withdraw(self._caller, self._challenge_id, hypothesis_id)

    async def share(self, insight: Insight) -> None:
        await contributions.share(self._caller, insight)

    async def insights(self, query: InsightQuery) -> tuple[Insight, ...]:
        return await contributions.insights(self._caller, self._challenge_id, query)

    async def program(self) -> Program:
        rows = await contributions.programs(self._caller, self._challenge_id)
        for row in rows:
            if row.is_current:
                return row.program
        raise NotFound("the coordinator says of no program.md that it is in force")

    async def ideas(self) -> tuple[Idea, ...]:
        """The waiting hypotheses."""
        return await contributions.ideas(self._caller, self._challenge_id)

    async def close(self) -> None:
        await self._caller.close()

    @property
    def _challenge_id(self) -> ChallengeId:
        if self._session is None:
            raise InvalidArgument("no session is open; connect first")
        return self._session.challenge.challenge_id

    async def _connect(self, call: ConnectCall) -> Session:
        return await self._caller.call(
            SWARM_SERVICE + "Connect",
            codec.connect_call_to_message(call),
            swarm_pb2.ConnectReply,
            codec.session_from_message,
        )

    async def _publish(self, publication: Publication, *, with_code: bool) -> Published:
        # The runs of a pair are of experiments that others made: this node's record of them is no source.
        with_code = with_code and publication.result.purpose not in _VERIFICATIONS
        lease = publication.lease
        call = PublishCall(
            challenge_id=publication.result.challenge_id,
            result=publication.result,
            experiment=publication.experiment if with_code else None,
            source=publication.source if with_code else None,
            claim_id=lease.claim_id if lease else None,
            fencing_token=lease.fencing_token if lease else 0,
        )
        return await self._caller.call(
            SWARM_SERVICE + "Publish",
            codec.publish_call_to_message(call),
            swarm_pb2.PublishReply,
            codec.published_from_message,
        )


async def _server_info(caller: Caller) -> ServerInfo:
    return await caller.call(
        SWARM_SERVICE + "GetServerInfo",
        swarm_pb2.GetServerInfoRequest(),
        swarm_pb2.GetServerInfoReply,
        codec.server_info_from_message,
    )


async def _experiments(caller: Caller, challenge: str, query: ExperimentQuery) -> ExperimentPage:
    call = ListExperimentsCall(challenge=challenge, query=query)
    return await caller.call(
        LEADERBOARD_SERVICE + "ListExperiments",
        codec.list_experiments_call_to_message(call),
        leaderboard_pb2.ListExperimentsReply,
        codec.experiment_page_from_message,
    )


async def _experiment(
    caller: Caller, call: GetExperimentCall
) -> tuple[ExperimentSummary, tuple[Result, ...]]:
    return await caller.call(
        LEADERBOARD_SERVICE + "GetExperiment",
        codec.get_experiment_call_to_message(call),
        leaderboard_pb2.GetExperimentReply,
        codec.experiment_detail_from_message,
    )


async def _source(caller: Caller, call: GetSourceCall) -> bytes:
    source, source_hash = await caller.call(
        LEADERBOARD_SERVICE + "GetSource",
        codec.get_source_call_to_message(call),
        leaderboard_pb2.GetSourceReply,
        codec.source_from_message,
    )
    _check_hash(source, call.source_hash or source_hash)
    return source


def _check_hash(source: bytes, source_hash: SourceHash) -> None:
    """What came is what was promised; anything else is the coordinator's bug and is never run."""
    if "sha256:" + hashlib.sha256(source).hexdigest() != source_hash:
        raise Internal(f"the coordinator sent code that does not have the hash {source_hash}")
