"""Brings one idea through the two phases: claim the words, write the code, start it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

import structlog
from autoresearch.errors import LeaseLost, SwarmError
from autoresearch.model import (
    TITLE_LIMIT_CHARS,
    Advice,
    ClaimId,
    ConstantChange,
    Duplicate,
    ExperimentId,
    Granted,
    Hypothesis,
    Lease,
    NeedsDistinction,
    Purpose,
    Started,
    StartRefused,
    new_id,
)

from node.agent.account import Account
from node.agent.base import Agent, AgentContext, AgentError, Failure, Proposal, Refusal
from node.assignment import Assignment, Leases, NodeFacts, Run, experiment_of
from node.drafting import Drafter
from node.swarm.protocol import Swarm
from node.training.scrub import Scrub

RELEASE_TIMEOUT_S = 5.0

_log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Broken:
    """A draft that crashed, which its agent may want to mend."""

    context: AgentContext
    hypothesis: Hypothesis
    source: str
    failure: Failure


class Claimer:
    """Claims and starts ideas of one agent; whatever fails on the way gives its claim back."""

    def __init__(
        self,
        *,
        swarm: Swarm,
        agent: Agent,
        leases: Leases,
        facts: NodeFacts,
        now: Callable[[], datetime],
        scrub: Scrub,
    ) -> None:
        """``scrub`` takes what says who and where a volunteer is out of an agent's words."""
        self._swarm = swarm
        self._agent = agent
        self._drafter = Drafter(agent, scrub=scrub)
        self._leases = leases
        self._facts = facts
        self._now = now
        self._broken: deque[_Broken] = deque(maxlen=1)

    def offer_repair(self, assignment: Assignment, failure: Failure) -> None:
        """Let the agent mend its draft when the next idea is due."""
        if assignment.context is not None:
            run = assignment.runs[0]
            self._broken.append(
                _Broken(
                    context=assignment.context,
                    hypothesis=run.experiment.hypothesis,
                    source=run.source.decode(),
                    failure=failure,
                )
            )

    async def idea(self, context: AgentContext) -> Proposal:
        """The agent's next idea: first of all a repair of its last crash, if it makes one."""
        mended = await self._mended(context.account)
        if mended is not None:
            return mended
        return await self._drafter.idea(context)

    async def code_for(self, context: AgentContext, hypothesis: Hypothesis) -> Proposal:
        """Somebody else's idea with the agent's code for it."""
        draft = await self._drafter.ask(self._agent.edit(context, hypothesis), context.account)
        return Proposal(hypothesis=hypothesis, draft=draft)

    async def claim_and_start(
        self, context: AgentContext, proposal: Proposal, *, queued: Lease | None = None
    ) -> Assignment | Refusal:
        claim_id = ClaimId(new_id())
        verdict = await self._swarm.claim(
            claim_id,
            proposal.hypothesis,
            context.parent.experiment_id,
            queued_claim_id=queued.claim_id if queued else None,
        )
        _log.debug(
            "claim answered",
            claim_id=claim_id,
            parent=context.parent.experiment_id,
            title=proposal.hypothesis.title,
            constants=_constants(proposal.hypothesis),
            is_queued=queued is not None,
            answer=type(verdict).__name__,
        )
        match verdict:
            case Duplicate():
                answer = f"tried as {verdict.match.title!r} ({verdict.match.state.value}, by {verdict.level})"
                return Refusal(hypothesis=proposal.hypothesis, answer=answer, nearest=verdict.advice.nearest)
            case NeedsDistinction():
                answer = f"close to {verdict.match.title!r} ({verdict.match.state.value})"
                return Refusal(
                    hypothesis=proposal.hypothesis,
                    answer=answer,
                    question=verdict.question,
                    nearest=verdict.advice.nearest,
                )
            case Granted():
                starting = self._start(context, proposal, verdict.lease, verdict.advice)
                return await self.under(verdict.lease, starting)

    async def _start(
        self, context: AgentContext, proposal: Proposal, lease: Lease, advice: Advice
    ) -> Assignment | Refusal:
        context = replace(context, advice=advice)
        source = (await self._drafter.code(context, proposal)).encode()
        experiment_id = ExperimentId(new_id())
        verdict = await self._swarm.start(lease, experiment_id, source)
        _log.debug("start answered", claim_id=lease.claim_id, answer=type(verdict).__name__)
        if isinstance(verdict, StartRefused):
            self._leases.drop(lease.claim_id)
            answer = f"the code was tried as {verdict.match.title!r} (by {verdict.level})"
            return Refusal(hypothesis=proposal.hypothesis, answer=answer, question=verdict.question)
        return self._started(context, proposal, experiment_id, source, verdict)

    def _started(
        self,
        context: AgentContext,
        proposal: Proposal,
        experiment_id: ExperimentId,
        source: bytes,
        verdict: Started,
    ) -> Assignment:
        self._leases.hold(verdict.lease)
        if verdict.flags:
            _log.info("words and code differ", title=proposal.hypothesis.title, flags=verdict.flags)
        parents = (context.parent.experiment_id,)
        run = Run(
            experiment=experiment_of(
                self._facts, experiment_id, proposal.hypothesis, source, parents=parents, now=self._now()
            ),
            source=source,
            seed=verdict.seed,
            val_seed=verdict.val_seed,
            purpose=Purpose.EXPLORE,
        )
        return Assignment(
            runs=(run,),
            lease=verdict.lease,
            title=proposal.hypothesis.title,
            prepared_at=self._now(),
            context=context,
        )

    async def give_back(self, lease: Lease, reason: str) -> None:
        """Releases a claim as far as the swarm can be reached; else its lease expires."""
        self._leases.drop(lease.claim_id)
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                await self._swarm.release(lease, reason)
        except (SwarmError, TimeoutError) as error:
            _log.info("claim not released, it will expire", claim_id=lease.claim_id, reason=str(error))

    async def under(self, lease: Lease, work: Awaitable[T]) -> T:
        """Does ``work`` while the lease is renewed; whatever stops it gives the claim back."""
        self._leases.hold(lease)
        try:
            return await work
        except LeaseLost:
            self._leases.drop(lease.claim_id)
            raise
        except BaseException as error:
            await asyncio.shield(self.give_back(lease, _why_given_back(error)))
            raise

    async def _mended(self, account: Account) -> Proposal | None:
        """The agent's repair of its last crash, if it makes one."""
        if not self._broken:
            return None
        broken = self._broken.popleft()
        context = replace(broken.context, account=account)
        source = await self._drafter.ask(self._agent.repair(context, broken.source, broken.failure), account)
        if source is None or source == broken.source:
            return None
        title = f"repair: {broken.hypothesis.title}"[:TITLE_LIMIT_CHARS]
        return Proposal(hypothesis=replace(broken.hypothesis, title=title), draft=source)


def _constants(hypothesis: Hypothesis) -> dict[str, str]:
    """New values by constant, for the log; empty for an idea that is more than constants."""
    constants = {one.name: one.new for one in hypothesis.changes if isinstance(one, ConstantChange)}
    return constants if len(constants) == len(hypothesis.changes) else {}


def _why_given_back(error: BaseException) -> str:
    """For the swarm: what an agent says of its server and its budget is its owner's affair."""
    match error:
        case asyncio.CancelledError():
            return "cancelled"
        case AgentError():
            return "the agent could not do it"
        case OSError():
            return error.strerror or type(error).__name__  # the rest would name files of this machine
        case _:
            return str(error)[:TITLE_LIMIT_CHARS]
