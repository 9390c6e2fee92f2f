"""The tools that tell what is known, and those that tell others: best, search, insights, ideas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoresearch.errors import NotFound
from autoresearch.limits import check_text
from autoresearch.model import (
    INSIGHT_LIMIT_CHARS,
    RATIONALE_LIMIT_CHARS,
    ExperimentQuery,
    ExperimentSummary,
    HardwareClass,
    Hypothesis,
    HypothesisId,
    InsightQuery,
    SearchQuery,
    new_id,
)

from node.agent.base import AgentContext
from node.agent.mcp.arguments import (
    Arguments,
    check_names,
    choice_of,
    hypothesis_of,
    id_of,
    line_of,
    number_of,
    source_of,
)
from node.agent.mcp.desk import Desk, NotNow
from node.agent.mcp.patience import within
from node.agent.mcp.shelf import Shelf
from node.agent.mcp.telling import QUOTED, best_line, ideas_text, summary_line
from node.agent.quoting import insights_text, numbered
from node.assignment import Leases
from node.drafting import scrubbed
from node.swarm.protocol import Swarm
from node.training.scrub import Scrub

LISTED_MOST = 50
AGENT = "mcp"
IDEA_ARGUMENTS = ("title", "rationale", "changes", "distinction")

Reply = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the tools look at beside the desk."""

    swarm: Swarm
    shelf: Shelf
    leases: Leases
    hardware_class: HardwareClass
    picture: Callable[[], Mapping[str, Any]]
    scrub: Scrub


class Knowledge:
    """Answers from the swarm, and hands lessons and ideas on."""

    def __init__(self, desk: Desk, around: Surroundings) -> None:
        self._desk = desk
        self._around = around

    async def best(self, arguments: Arguments) -> Reply:
        """What the class builds on."""
        check_names(arguments, ())
        best = await within(self._around.swarm.best())
        if best is None:
            raise NotFound("nothing has been measured yet: the baseline comes first")
        code = numbered(best.source.decode("utf-8", "replace"))
        return {"text": f"{QUOTED}\n{best_line(best.best)}\n\n{code}"}

    async def search(self, arguments: Arguments) -> Reply:
        """Tried experiments that are like a text."""
        check_names(arguments, ("text", "limit"))
        text = line_of(arguments, "text", limit=RATIONALE_LIMIT_CHARS)
        limit = number_of(arguments, "limit", default=10, least=1, most=LISTED_MOST)
        query = SearchQuery(text=text, hardware_class=self._around.hardware_class, limit=limit)
        lines = [summary_line(summary) for summary in await within(self._found(query))]
        return {"text": "\n".join([QUOTED, *lines]) if lines else "Nothing like it has been tried."}

    async def _found(self, query: SearchQuery) -> Sequence[ExperimentSummary]:
        found = await self._around.shelf.search(query)
        if found is not None:
            return [match.summary for match in found.matches]
        page = await self._around.swarm.experiments(
            ExperimentQuery(hardware_class=query.hardware_class, text=query.text, limit=query.limit)
        )
        return page.experiments

    async def insights(self, arguments: Arguments) -> Reply:
        """What was learned, or a lesson to share."""
        if choice_of(arguments, "action", ("list", "share")) == "share":
            check_names(arguments, ("action", "id", "text"))
            text = self._around.scrub(line_of(arguments, "text", limit=INSIGHT_LIMIT_CHARS))
            check_text(text, "text", limit=INSIGHT_LIMIT_CHARS, required=True)
            ticket = self._desk.teach(id_of(arguments), text)
            return {"text": f"Taken; the node shares it as the lesson of {ticket.ticket_id}."}
        check_names(arguments, ("action", "text", "limit"))
        query = InsightQuery(
            text=line_of(arguments, "text", limit=INSIGHT_LIMIT_CHARS, default=""),
            hardware_class=self._around.hardware_class,
            limit=number_of(arguments, "limit", default=10, least=1, most=LISTED_MOST),
        )
        found = await within(self._around.swarm.insights(query))
        return {"text": insights_text(found).strip("\n") or "Nothing like it was learned yet."}

    async def ideas(self, arguments: Arguments) -> Reply:
        """The queue, or an idea for it."""
        if choice_of(arguments, "action", ("list", "propose")) == "list":
            check_names(arguments, ("action",))
            waiting = await within(self._around.shelf.ideas())
            if waiting is None:
                raise NotFound(
                    "the queue is the coordinator's, and none can be reached; ideas go on with claim"
                )
            return {"text": ideas_text(waiting)}
        check_names(arguments, ("action", "code", "edits", *IDEA_ARGUMENTS))
        context = wanted_context(self._desk)
        hypothesis = stated(arguments, self._desk, self._around.scrub)
        has_source = arguments.get("code") is not None or arguments.get("edits") is not None
        source = source_of(arguments, context.parent_source).encode() if has_source else None
        idea_id = HypothesisId(new_id())
        parent = context.parent.experiment_id if source is not None else None
        await within(
            self._around.swarm.propose(idea_id, hypothesis, source, None, parent=parent),
            then="see with ideas whether it waits before you propose it again",
        )
        return {"text": f"Proposed as {idea_id}: it waits for any node, and the credit is yours."}


def wanted_context(desk: Desk) -> AgentContext:
    """What an idea is for: what the node wants one for now, or wanted one for last. Raises NotNow."""
    context = desk.open_context or desk.last_context
    if context is None:
        raise NotNow("the node has wanted no idea yet; call what_to_try first")
    return context


def stated(arguments: Arguments, desk: Desk, scrub: Scrub) -> Hypothesis:
    """The idea among the arguments, without what says who and where the volunteer is."""
    given = {name: value for name, value in arguments.items() if name in IDEA_ARGUMENTS}
    was_asked = any(one.question for one in desk.tickets)
    source = wanted_context(desk).parent_source
    return scrubbed(hypothesis_of(given, source, agent=AGENT, was_asked=was_asked), scrub)
