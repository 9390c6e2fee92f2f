"""IdeaService: the queue of hypotheses, and what was learned from those that were run."""

from __future__ import annotations

from typing import Any

import grpc.aio
from autoresearch import codec
from autoresearch.v1 import ideas_pb2 as pb
from autoresearch.v1 import ideas_pb2_grpc

from coordinator.rpc.call import calling_node
from coordinator.services.swarm import SwarmServices

Context = grpc.aio.ServicerContext[Any, Any]


class IdeaServicer(ideas_pb2_grpc.IdeaServiceServicer):
    """Ideas and insights."""

    def __init__(self, services: SwarmServices) -> None:
        self._services = services

    async def Propose(self, request: pb.ProposeRequest, context: Context) -> pb.ProposeReply:  # noqa: N802
        del context
        call = codec.propose_call_from_message(request)
        is_repeat = await self._services.challenge(call.challenge_id).ideas.propose(
            calling_node(),
            hypothesis_id=call.hypothesis_id,
            hypothesis=call.hypothesis,
            source=call.source,
            origin_experiment_id=call.origin,
            priority=call.priority,
            parent_id=call.parent,
            usage=call.usage,
        )
        return codec.propose_reply_to_message(call.hypothesis_id, is_repeat=is_repeat)

    async def ListIdeas(self, request: pb.ListIdeasRequest, context: Context) -> pb.ListIdeasReply:  # noqa: N802
        del context
        ideas = self._services.challenge(codec.challenge_of(request)).ideas
        return codec.ideas_to_message(await ideas.list_ideas())

    async def Withdraw(self, request: pb.WithdrawRequest, context: Context) -> pb.WithdrawReply:  # noqa: N802
        del context
        call = codec.withdraw_call_from_message(request)
        ideas = self._services.challenge(call.challenge_id).ideas
        return codec.withdraw_reply_to_message(await ideas.withdraw(calling_node(), call.hypothesis_id))

    async def ShareInsight(self, request: pb.ShareInsightRequest, context: Context) -> pb.ShareInsightReply:  # noqa: N802
        del context
        call = codec.share_insight_call_from_message(request)
        insights = self._services.challenge(call.challenge_id).insights
        is_repeat = await insights.share(calling_node(), call.insight)
        return codec.share_reply_to_message(call.insight.insight_id, is_repeat=is_repeat)

    async def ListInsights(self, request: pb.ListInsightsRequest, context: Context) -> pb.ListInsightsReply:  # noqa: N802
        del context
        call = codec.list_insights_call_from_message(request)
        insights = self._services.challenge(call.challenge).insights
        return codec.insights_to_message(await insights.list_insights(call.query))
