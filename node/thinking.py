"""Has ideas with code for a class that others train: the thinking of a node without hardware."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import structlog
from autoresearch.challenge import Challenge
from autoresearch.errors import NotFound
from autoresearch.model import HardwareClass, HypothesisId, Usage, WorkingBest, new_id

from node.agent.account import Account, sum_of
from node.agent.base import Agent, AgentContext, Refusal
from node.drafting import Drafter
from node.idea_book import IdeaBook, NewIdea
from node.library import HISTORY_LIMIT, Library, source_hash
from node.prepare import PROPOSALS_LIMIT, NothingReady
from node.program import ProgramInForce
from node.swarm.protocol import Swarm
from node.training.scrub import Scrub

_log = structlog.get_logger(__name__)


class Thinker:
    """Asks the agent until it has code that was neither tried nor waits."""

    def __init__(
        self,
        *,
        swarm: Swarm,
        agent: Agent,
        challenge: Challenge,
        program: ProgramInForce,
        scrub: Scrub,
        open_account: Callable[[], Account] = Account,
        history_limit: int | None = None,
    ) -> None:
        self._swarm = swarm
        self._drafter = Drafter(agent, scrub=scrub)
        self._challenge = challenge
        self._program = program
        self._open_account = open_account
        self._history_limit = HISTORY_LIMIT if history_limit is None else history_limit
        self._libraries: dict[HardwareClass, Library] = {}
        self._unclaimed: Usage | None = None

    async def think(self, parent: WorkingBest, book: IdeaBook) -> tuple[NewIdea, Usage | None]:
        """An idea on a working best, and what it cost with all that came to nothing before it.

        Raises:
            NothingReady: Whatever the agent had was there already.
            AgentError: It could not do it.
            SwarmError: What there is to know could not be had.
        """
        account = self._open_account()
        try:
            idea = await self._new_on(await self._context(parent, account, book), book)
        except BaseException:
            self.carry(account.usage)
            raise
        usage, self._unclaimed = sum_of(self._unclaimed, account.usage), None
        return idea, usage

    def carry(self, usage: Usage | None) -> None:
        """What was spent and goes out with no idea of its own goes out with the next."""
        self._unclaimed = sum_of(self._unclaimed, usage)

    @contextmanager
    def account(self) -> Iterator[Account]:
        """For what an agent does after its idea was sent."""
        account = self._open_account()
        try:
            yield account
        finally:
            self.carry(account.usage)

    async def _new_on(self, context: AgentContext, book: IdeaBook) -> NewIdea:
        known = {
            one.experiment.source_hash: f"was tried as {one.experiment.hypothesis.title!r}"
            for one in context.history
        } | dict(book.codes())
        for _ in range(PROPOSALS_LIMIT):
            proposal = await self._drafter.idea(context)
            source = (await self._drafter.code(context, proposal)).encode()
            answer = known.get(source_hash(source))
            if answer is None:
                return NewIdea(
                    hypothesis_id=HypothesisId(new_id()),
                    hypothesis=proposal.hypothesis,
                    source=source,
                    context=context,
                )
            _log.info("nothing new", title=proposal.hypothesis.title, answer=answer)
            refusal = Refusal(hypothesis=proposal.hypothesis, answer=f"the same code {answer}")
            context = replace(context, refusals=(*context.refusals, refusal))
        raise NothingReady(f"{PROPOSALS_LIMIT} ideas in a row were there already")

    async def _context(self, parent: WorkingBest, account: Account, book: IdeaBook) -> AgentContext:
        library = self._libraries.setdefault(
            parent.hardware_class, Library(swarm=self._swarm, hardware_class=parent.hardware_class)
        )
        source = await library.source(parent.experiment_id)
        if source_hash(source) != parent.source_hash:
            raise NotFound(f"the code of {parent.experiment_id} does not have its hash")
        return AgentContext(
            challenge=self._challenge,
            program=await self._program.text(),
            parent=parent,
            parent_source=source.decode("utf-8", "replace"),
            history=await library.history(self._history_limit),
            refusals=book.refusals(),
            insights=await library.insights() if self._history_limit else (),
            account=account,
        )
