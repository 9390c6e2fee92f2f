"""What nodes give and get beside results, over the wire: ideas, insights, programs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from autoresearch import codec
from autoresearch.calls import (
    IDEA_SERVICE,
    LEADERBOARD_SERVICE,
    ListInsightsCall,
    ListProgramsCall,
    ProposeCall,
    ShareInsightCall,
    WithdrawCall,
)
from autoresearch.errors import ClockSkew, Unauthenticated
from autoresearch.model import (
    ChallengeId,
    HardwareClass,
    HypothesisId,
    Idea,
    Insight,
    InsightQuery,
    ProgramRow,
)
from autoresearch.v1 import ideas_pb2, leaderboard_pb2

from node.swarm.calling import Caller

T = TypeVar("T")


async def propose(caller: Caller, call: ProposeCall) -> bool:
    """True where the coordinator knew it already."""
    _, is_repeat = await caller.call(
        IDEA_SERVICE + "Propose",
        codec.propose_call_to_message(call),
        ideas_pb2.ProposeReply,
        codec.propose_reply_from_message,
    )
    return is_repeat


async def withdraw(caller: Caller, challenge_id: ChallengeId, hypothesis_id: HypothesisId) -> bool:
    """False where it waits no more."""
    call = WithdrawCall(challenge_id=challenge_id, hypothesis_id=hypothesis_id)
    return await caller.call(
        IDEA_SERVICE + "Withdraw",
        codec.withdraw_call_to_message(call),
        ideas_pb2.WithdrawReply,
        codec.withdraw_reply_from_message,
    )


async def ideas(caller: Caller, challenge: str) -> tuple[Idea, ...]:
    """The waiting hypotheses, next first."""
    request = ideas_pb2.ListIdeasRequest(challenge=challenge)
    return await caller.call(
        IDEA_SERVICE + "ListIdeas", request, ideas_pb2.ListIdeasReply, codec.ideas_from_message
    )


async def share(caller: Caller, insight: Insight) -> bool:
    """True where the coordinator knew it already."""
    call = ShareInsightCall(challenge_id=insight.challenge_id, insight=insight)
    _, is_repeat = await caller.call(
        IDEA_SERVICE + "ShareInsight",
        codec.share_insight_call_to_message(call),
        ideas_pb2.ShareInsightReply,
        codec.share_reply_from_message,
    )
    return is_repeat


async def insights(caller: Caller, challenge: str, query: InsightQuery) -> tuple[Insight, ...]:
    """The newest first or, with a text, the nearest."""
    call = ListInsightsCall(challenge=challenge, query=query)
    return await caller.call(
        IDEA_SERVICE + "ListInsights",
        codec.list_insights_call_to_message(call),
        ideas_pb2.ListInsightsReply,
        codec.insights_from_message,
    )


async def programs(
    caller: Caller, challenge: str, hardware_class: HardwareClass | None = None
) -> tuple[ProgramRow, ...]:
    """Every program.md with what came of it."""
    call = ListProgramsCall(challenge=challenge, hardware_class=hardware_class)
    return await caller.call(
        LEADERBOARD_SERVICE + "ListPrograms",
        codec.list_programs_call_to_message(call),
        leaderboard_pb2.ListProgramsReply,
        codec.program_rows_from_message,
    )


async def enrolled(ask: Callable[[], Awaitable[T]], enrol: Callable[[], Awaitable[object]]) -> T:
    """The answer to a signed call, after enrolling where the coordinator does not know the key."""
    try:
        return await ask()
    except ClockSkew:
        raise
    except Unauthenticated:
        await enrol()
        return await ask()
