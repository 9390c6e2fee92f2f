"""An agent that thinks with a model behind the Messages API: Anthropic's, or a server of one's own.

An idea is stated first, which is cheap, and coded once it is granted. Each of the two is a conversation of
its own that begins with the same texts, so that the second finds them in the cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from autoresearch.model import INSIGHT_LIMIT_CHARS, Hypothesis, Result

from node.agent.anthropic.briefing import Briefing
from node.agent.anthropic.calling import Caller, Prompt
from node.agent.anthropic.conversation import Conversation, Opening
from node.agent.anthropic.editor import Editor
from node.agent.anthropic.faults import ContextTooLong
from node.agent.anthropic.statement import Statement
from node.agent.anthropic.tokens import TokenCounter
from node.agent.anthropic.toolbox import Toolbox
from node.agent.base import AgentContext, AgentError, Failure, Proposal
from node.agent.quoting import inline

REFLECTION_MAX_TOKENS = 2_000
"""A lesson has a hundred; the rest is for models that always think before they speak."""
SHARES = (1.0, 0.5, 0.25)
"""Of the context's budget, where the model cannot read as much as its owner allows."""

_log = structlog.get_logger(__name__)
R = TypeVar("R")
T = TypeVar("T", bound=Toolbox)


class AnthropicAgent:
    """Proposes, edits, repairs and reflects."""

    name = "anthropic"
    can_propose = True
    thinks_for_free = False
    reads_program = True

    def __init__(
        self, *, caller: Caller, briefing: Briefing, counter: TokenCounter, time_limit_s: float
    ) -> None:
        self._caller = caller
        self._briefing = briefing
        self._counter = counter
        self._time_limit_s = time_limit_s

    async def propose(self, context: AgentContext) -> Proposal:
        """Words alone; the code follows when they are granted."""
        was_asked = any(refusal.question for refusal in context.refusals)
        statement = await self._converse(
            context,
            lambda share: self._briefing.to_propose(context, share=share),
            lambda: Statement(context.parent_source, agent=self.name, was_asked=was_asked),
        )
        assert statement.hypothesis is not None, "a conversation ends with what it is about"  # noqa: S101
        return Proposal(hypothesis=statement.hypothesis)

    async def edit(self, context: AgentContext, hypothesis: Hypothesis) -> str:
        editor = await self._converse(
            context,
            lambda share: self._briefing.to_edit(context, hypothesis, share=share),
            lambda: Editor(context.parent_source),
        )
        return editor.source

    async def repair(self, context: AgentContext, source: str, failure: Failure) -> str | None:
        editor = await self._converse(
            context,
            lambda share: self._briefing.to_repair(context, source, failure, share=share),
            lambda: Mending(source),
        )
        return None if editor.source == source else editor.source

    async def reflect(self, context: AgentContext, hypothesis: Hypothesis, result: Result) -> str | None:
        """One short call without tools."""
        told = self._briefing.to_reflect(context, hypothesis, result)
        prompt = Prompt(
            system=[{"type": "text", "text": self._briefing.system}],
            messages=[{"role": "user", "content": [{"type": "text", "text": told}]}],
            max_tokens=REFLECTION_MAX_TOKENS,
            estimated_tokens=await asyncio.to_thread(self._counter.count, self._briefing.system + told),
        )
        reply = await self._in_time(self._caller.ask(prompt, context.account))
        if reply.stop not in ("end_turn", "stop_sequence"):
            return None
        return inline(reply.text, INSIGHT_LIMIT_CHARS) or None

    async def _converse(
        self, context: AgentContext, opening_of: Callable[[float], Opening], tools_of: Callable[[], T]
    ) -> T:
        """A whole conversation; one that the model cannot read is begun again with less in it."""
        for share in SHARES:
            tools = tools_of()
            conversation = Conversation(self._caller, self._counter, context.account)
            opening = await asyncio.to_thread(opening_of, share)
            try:
                await self._in_time(conversation.hold(opening, tools))
            except ContextTooLong as error:
                if share == SHARES[-1]:
                    raise
                _log.warning("the model is told less", reason=str(error))
            else:
                return tools
        raise AssertionError("the last share raises")

    async def _in_time(self, work: Awaitable[R]) -> R:
        try:
            async with asyncio.timeout(self._time_limit_s):
                return await work
        except TimeoutError as error:
            raise AgentError(f"the model was not done after {self._time_limit_s:g} s") from error


class Mending(Editor):
    """An editor for code that failed: leaving it as it is lets the idea go."""

    @property
    def missing(self) -> str:
        return "" if self.source == self.original else super().missing
