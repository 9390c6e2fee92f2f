"""SwarmService: decode, call the service, encode. What the answers mean is said in ``swarm.proto``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import grpc.aio
from autoresearch import codec
from autoresearch.errors import InvalidArgument, NotFound, PermissionDenied
from autoresearch.model import (
    ChallengeId,
    ClaimVerdict,
    Duplicate,
    NeedsDistinction,
    NodeId,
    StartRefused,
    StartVerdict,
    WatchScope,
)
from autoresearch.signing import node_id_of
from autoresearch.v1 import swarm_pb2 as pb
from autoresearch.v1 import swarm_pb2_grpc, types_pb2
from structlog.contextvars import bind_contextvars

from coordinator.auth.authenticator import Role
from coordinator.rpc.call import calling_node, current_caller
from coordinator.rpc.limits import InFlight
from coordinator.rpc.watching import EventHub
from coordinator.services.swarm import SwarmServices

Context = grpc.aio.ServicerContext[Any, Any]


class SwarmServicer(swarm_pb2_grpc.SwarmServiceServicer):
    """What nodes call."""

    def __init__(
        self,
        services: SwarmServices,
        hubs: Mapping[ChallengeId, EventHub],
        *,
        watchers: InFlight,
        feeds: InFlight,
        forget_node: Callable[[NodeId], None],
    ) -> None:
        """Streams events from the hub of each challenge.

        ``forget_node`` is told whose record has changed, so that no stale one answers the next call.
        """
        self._services = services
        self._hubs = hubs
        self._watchers = watchers
        self._feeds = feeds
        self._forget_node = forget_node

    async def GetServerInfo(  # noqa: N802
        self, request: pb.GetServerInfoRequest, context: Context
    ) -> pb.GetServerInfoReply:
        del request, context
        return codec.server_info_to_message(self._services.membership.server_info())

    async def Enrol(self, request: pb.EnrolRequest, context: Context) -> pb.EnrolReply:  # noqa: N802
        del context
        call = codec.enrol_call_from_message(request)
        enrolment = await self._services.membership.enrol(
            call.public_key, token=call.token, name=call.name, has_consented=call.consent
        )
        self._forget_node(node_id_of(call.public_key))
        return codec.enrolment_to_message(enrolment)

    async def Connect(self, request: pb.ConnectRequest, context: Context) -> pb.ConnectReply:  # noqa: N802
        del context
        caller = calling_node()
        call = codec.connect_call_from_message(request)
        session = await self._services.membership.connect(
            caller,
            protocol_min=call.protocol_min,
            protocol_max=call.protocol_max,
            challenge=call.challenge,
            hardware=call.hardware,
            node_version=call.node_version,
        )
        self._forget_node(caller.node_id)
        return codec.session_to_message(session)

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Context) -> pb.HeartbeatReply:  # noqa: N802
        del context
        call = codec.heartbeat_call_from_message(request)
        beat = await self._services.membership.heartbeat(
            calling_node(),
            challenge_id=call.challenge_id,
            claim_ids=call.claim_ids,
            activity=call.activity,
        )
        return codec.beat_to_message(beat)

    async def NextTask(self, request: pb.NextTaskRequest, context: Context) -> pb.NextTaskReply:  # noqa: N802
        del context
        call = codec.next_task_call_from_message(request)
        claiming = self._services.challenge(call.challenge_id).claiming
        task = await claiming.next_task(
            calling_node(),
            can_propose=call.can_propose,
            can_train=call.can_train,
            hardware_class=call.hardware_class,
        )
        return codec.task_to_message(task)

    async def Claim(self, request: pb.ClaimRequest, context: Context) -> pb.ClaimReply:  # noqa: N802
        del context
        call = codec.claim_call_from_message(request)
        verdict = await self._services.challenge(call.challenge_id).claiming.claim(
            calling_node(),
            claim_id=call.claim_id,
            hypothesis=call.hypothesis,
            parent_id=call.parent_id,
            queued_claim_id=call.queued_claim_id,
        )
        bind_contextvars(claim=call.claim_id, **_told(verdict))
        return codec.claim_verdict_to_message(verdict)

    async def Start(self, request: pb.StartRequest, context: Context) -> pb.StartReply:  # noqa: N802
        del context
        call = codec.start_call_from_message(request)
        verdict = await self._services.challenge(call.challenge_id).starting.start(
            calling_node(),
            claim_id=call.claim_id,
            fencing_token=call.fencing_token,
            experiment_id=call.experiment_id,
            source=call.source,
        )
        bind_contextvars(claim=call.claim_id, experiment=call.experiment_id, **_told(verdict))
        return codec.start_verdict_to_message(verdict)

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseReply:  # noqa: N802
        del context
        call = codec.release_call_from_message(request)
        was_held = await self._services.challenge(call.challenge_id).claiming.release(
            calling_node(), claim_id=call.claim_id, fencing_token=call.fencing_token, reason=call.reason
        )
        return codec.release_reply_to_message(was_held)

    async def Publish(self, request: pb.PublishRequest, context: Context) -> pb.PublishReply:  # noqa: N802
        del context
        call = codec.publish_call_from_message(request)
        published = await self._services.challenge(call.challenge_id).publishing.publish(
            calling_node(),
            result=call.result,
            experiment=call.experiment,
            source=call.source,
            claim_id=call.claim_id,
            fencing_token=call.fencing_token,
        )
        return codec.published_to_message(published)

    async def GetBest(self, request: pb.GetBestRequest, context: Context) -> pb.GetBestReply:  # noqa: N802
        del context
        call = codec.get_best_call_from_message(request)
        leaderboard = self._services.challenge(call.challenge_id).leaderboard
        hardware_class = call.hardware_class or calling_node().hardware_class
        if not hardware_class:
            raise NotFound("the caller has no hardware class yet; connect first")
        best = await leaderboard.get_best(hardware_class)
        if best.source_hash == call.known_source_hash:
            return codec.best_reply_to_message(best, None)
        _, source = await leaderboard.get_source(source_hash=best.source_hash)
        return codec.best_reply_to_message(best, source)

    async def WatchEvents(  # noqa: N802
        self, request: pb.WatchEventsRequest, context: Context
    ) -> AsyncGenerator[types_pb2.Event, None]:
        del context
        caller = current_caller()
        call = codec.watch_call_from_message(request)
        hub = self._hubs[self._services.challenge(call.challenge_id).challenge.challenge_id]
        if call.scope is WatchScope.FEED:
            if caller.role is not Role.OPERATOR:
                raise PermissionDenied("the feed is for operators' keys; nodes watch with scope NODE")
            events, slots = hub.feed(call.after), self._feeds
        else:
            node = calling_node()
            if not node.hardware_class:
                raise InvalidArgument("the caller has no hardware class yet; connect first")
            events, slots = hub.watch_best(node.hardware_class, call.after), self._watchers
        with slots.slot(caller.key_id):
            async with aclosing(events):
                async for event in events:
                    yield codec.event_to_message(event)


def _told(verdict: ClaimVerdict | StartVerdict) -> dict[str, str | bool]:
    """An answer, for the log line of its call."""
    facts: dict[str, str | bool] = {"answer": type(verdict).__name__}
    if isinstance(verdict, Duplicate | StartRefused):
        facts["ground"] = verdict.level  # "level" is the log line's own
    if isinstance(verdict, Duplicate | NeedsDistinction | StartRefused):
        match = verdict.match
        facts |= {"match": match.experiment_id, "state": match.state, "same_parent": match.same_parent}
    if isinstance(verdict, NeedsDistinction | StartRefused):
        facts["is_question"] = bool(verdict.question)
    return facts
