"""The agent that is somebody else's: a researcher outside the node, who comes by the tools of ``mcp``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from autoresearch.model import Hypothesis, Result

from node.agent.base import AgentContext, Failure, Proposal
from node.agent.mcp.desk import Desk

Answering = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class McpAgent:
    """Waits at a desk for what the researcher hands over, as long as there is one."""

    name = "mcp"
    thinks_for_free = False
    reads_program = True

    def __init__(self, *, patience_s: float, seat: str = "") -> None:
        self.desk = Desk(patience_s=patience_s, seat=seat)
        self._answering: Answering | None = None

    @property
    def can_propose(self) -> bool:
        """Only while somebody is there: the node does the work of others meanwhile."""
        return self.desk.is_present

    def open(self, answering: Answering) -> None:
        """From now on the researcher is answered."""
        self._answering = answering

    async def answer(self, tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a tool says."""
        if self._answering is None:
            return {
                "refusal": "the node is getting ready (its challenge or its session); ask again in a minute"
            }
        return await self._answering(tool, arguments)

    async def propose(self, context: AgentContext) -> Proposal:
        return await self.desk.next_idea(context)

    async def edit(self, context: AgentContext, hypothesis: Hypothesis) -> str:
        return await self.desk.code_for(context, hypothesis)

    async def repair(self, context: AgentContext, source: str, failure: Failure) -> str | None:
        """None: what is no Python is refused at the desk, and the repair of a crash is an idea's equal there,
        so that the researcher need not wait until the node asks for one.
        """
        del context, source, failure
        return None

    async def reflect(self, context: AgentContext, hypothesis: Hypothesis, result: Result) -> str | None:
        del context, hypothesis
        return await self.desk.lesson_of(result.experiment_id)
