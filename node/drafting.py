"""Asks one agent for words and code, on the account of the experiment that is to come of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Awaitable
from dataclasses import replace
from typing import TypeVar

import structlog
from autoresearch.errors import SwarmError
from autoresearch.model import (
    CHANGE_TEXT_LIMIT_CHARS,
    RATIONALE_LIMIT_CHARS,
    SOURCE_LIMIT_BYTES,
    TITLE_LIMIT_CHARS,
    Hypothesis,
    MechanismChange,
    Usage,
)
from autoresearch.program import program_hash

from node.agent.account import Account
from node.agent.base import Agent, AgentContext, AgentError, Failure, Proposal
from node.training.scrub import Scrub

REPAIRS_LIMIT = 2

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class Drafter:
    """What every way of working with an agent has in common."""

    def __init__(self, agent: Agent, *, scrub: Scrub) -> None:
        """``scrub`` takes what says who and where a volunteer is out of the agent's words."""
        self._agent = agent
        self._scrub = scrub

    async def idea(self, context: AgentContext) -> Proposal:
        """The agent's next idea. The node, never the agent, says which program.md it went by."""
        proposal = await self.ask(self._agent.propose(context), context.account)
        went_by = program_hash(context.program) if self._agent.reads_program else None
        hypothesis = scrubbed(proposal.hypothesis, self._scrub)
        return replace(proposal, hypothesis=replace(hypothesis, program_hash=went_by))

    async def code(self, context: AgentContext, proposal: Proposal) -> str:
        """The proposal's code; a draft that is no Python goes back to the agent a few times."""
        source = proposal.draft
        if source is None:
            source = await self.ask(self._agent.edit(context, proposal.hypothesis), context.account)
        for _ in range(REPAIRS_LIMIT):
            failure = _static_failure(source)
            if failure is None:
                break
            mended = await self.ask(self._agent.repair(context, source, failure), context.account)
            if mended is None:
                break  # what the agent stands by is run: a crash is an outcome too
            source = mended
        size = len(source.encode())
        if size > SOURCE_LIMIT_BYTES:
            raise AgentError(f"the agent's train.py has {size:,} bytes, over {SOURCE_LIMIT_BYTES:,}")
        return source

    async def ask(self, answer: Awaitable[T], account: Account) -> T:
        """The agent's answer, with the time that it took on its account.

        A bug of an agent is an agent that could not do it, not the node's end.
        """
        began_s = time.monotonic()
        try:
            return await answer
        except (AgentError, SwarmError):
            raise
        except Exception as error:
            _log.exception("agent failed", agent=self._agent.name)
            raise AgentError(f"agent {self._agent.name!r} failed: {error!r}") from error
        finally:
            if not self._agent.thinks_for_free:
                account.add(Usage(seconds=time.monotonic() - began_s))


def scrubbed(hypothesis: Hypothesis, scrub: Scrub) -> Hypothesis:
    """The agent's words; changed constants are code."""
    return replace(
        hypothesis,
        title=scrub(hypothesis.title)[:TITLE_LIMIT_CHARS],
        rationale=scrub(hypothesis.rationale)[:RATIONALE_LIMIT_CHARS],
        distinction=scrub(hypothesis.distinction)[:RATIONALE_LIMIT_CHARS],
        changes=tuple(
            replace(
                change,
                what=scrub(change.what)[:CHANGE_TEXT_LIMIT_CHARS],
                where=scrub(change.where)[:CHANGE_TEXT_LIMIT_CHARS],
            )
            if isinstance(change, MechanismChange)
            else change
            for change in hypothesis.changes
        ),
    )


def _static_failure(source: str) -> Failure | None:
    """What Python says about the text before anything runs it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "train.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Failure(kind="syntax", reason=str(error))
    return None
