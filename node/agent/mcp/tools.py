"""The node's side of the tools: what a researcher asks is checked, done at the desk, and told.

A reply is a text, or a refusal that says what to do. Where more may come of waiting, it names in ``again``
what to ask next: no exchange is held up for longer than a slice, since the socket serves others too.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from autoresearch.errors import SwarmError
from autoresearch.model import Hypothesis

from node.agent.anthropic.toolbox import BadArguments
from node.agent.mcp.arguments import Arguments, check_names, choice_of, id_of, source_of
from node.agent.mcp.desk import Desk, NotNow
from node.agent.mcp.knowledge import (
    AGENT,
    IDEA_ARGUMENTS,
    LISTED_MOST,
    Knowledge,
    Reply,
    Surroundings,
    stated,
)
from node.agent.mcp.patience import left_s, within
from node.agent.mcp.progress import state_word, ticket_text, title_line
from node.agent.mcp.telling import (
    code_text,
    history_text,
    learned_text,
    picture_text,
    program_text,
    task_text,
)
from node.agent.mcp.tickets import Kind, Stage, Ticket
from node.agent.quoting import inline, quoted
from node.agent.scratch import Draft
from node.agent.words import hypothesis_of as words_of

SLICE_S = 2.0
"""Waiting in one exchange, all together: a supervisor waits 4 s for its worker."""
PARTS = ("all", "task", "code", "history", "program", "insights")
TITLE_TAKEN_CHARS = 190
REFUSAL_SHOWN_CHARS = 500
UNTIL: Mapping[str, frozenset[Stage]] = {
    "finished": frozenset({Stage.JUDGING, Stage.STARTING, Stage.QUEUED}),
    "judged": frozenset({Stage.JUDGING}),
    "started": frozenset({Stage.STARTING}),
}
"""For each end of a wait, the stages that are waited through; a granted one waits for the researcher."""


class Tools:
    """Answers one researcher."""

    def __init__(self, desk: Desk, around: Surroundings) -> None:
        self._desk = desk
        self._around = around
        self._shown_parent = ""
        knowledge = Knowledge(desk, around)
        self._tools: Mapping[str, Callable[[Arguments], Awaitable[Reply]]] = {
            "what_to_try": self._what_to_try,
            "claim": self._claim,
            "run": self._run,
            "result": self._result,
            "give_up": self._give_up,
            "best": knowledge.best,
            "search": knowledge.search,
            "insights": knowledge.insights,
            "ideas": knowledge.ideas,
            "status": self._status,
            "readiness": self._readiness,
        }

    async def answer(self, tool: str, arguments: Arguments) -> Reply:
        """One exchange; nothing is raised for what the researcher sent."""
        handler = self._tools.get(tool)
        if handler is None:
            return {
                "refusal": f"there is no tool {inline(tool, 40)!r}; this node has {', '.join(self._tools)}"
            }
        self._desk.hear()
        try:
            return await handler(arguments)
        except (BadArguments, NotNow) as error:
            return {"refusal": str(error)}
        except SwarmError as error:
            return {"refusal": f"the swarm refuses it:\n{quoted(error.message, REFUSAL_SHOWN_CHARS)}"}

    # What to do

    async def _what_to_try(self, arguments: Arguments) -> Reply:
        check_names(arguments, {"part"})
        part = choice_of(arguments, "part", PARTS)
        desk, until = self._desk, time.monotonic() + SLICE_S
        await self._freshen(until)
        waiting = [one for one in desk.tickets if one.stage is Stage.GRANTED]
        if not waiting:
            await desk.until(lambda: desk.open_context is not None or self._has_asked(), left_s(until))
            waiting = [one for one in desk.tickets if one.stage is Stage.GRANTED]
        context = desk.open_context or desk.last_context
        if waiting and waiting[-1].kind is Kind.ASKED:
            context = waiting[-1].context
        if context is None:
            lines = ["The node wants no idea yet; it is at something else. Ask again.", ""]
            text = "\n".join([*lines, *picture_text(self._around.picture())])
            return {"text": text, "again": {"tool": "what_to_try", "arguments": dict(arguments)}}
        self._shown_parent = context.parent.experiment_id
        texts = {
            "task": task_text(context, waiting, is_open=desk.open_context is not None),
            "program": program_text(context),
            "code": code_text(context),
            "history": history_text(context),
            "insights": learned_text(context),
        }
        return {"text": "\n\n".join(texts.values()) if part == "all" else texts[part]}

    def _has_asked(self) -> bool:
        return any(one.kind is Kind.ASKED and one.stage is Stage.GRANTED for one in self._desk.tickets)

    async def _claim(self, arguments: Arguments) -> Reply:
        check_names(arguments, IDEA_ARGUMENTS)
        await self._freshen(time.monotonic() + SLICE_S)
        ticket = self._desk.submit(stated(arguments, self._desk, self._around.scrub))
        return await self._look(ticket.ticket_id, "judged", limit_s=0.0)

    async def _run(self, arguments: Arguments) -> Reply:
        check_names(arguments, ("id", "code", "edits"))
        ticket = self._desk.find(id_of(arguments))
        source = source_of(arguments, ticket.base_source)
        mending = self._mending(ticket, source) if ticket.kind is Kind.REPAIR else None
        self._desk.hand_in(ticket.ticket_id, source, mending)
        return await self._look(ticket.ticket_id, "started")

    async def _result(self, arguments: Arguments) -> Reply:
        check_names(arguments, ("id", "until"))
        return await self._look(id_of(arguments), choice_of(arguments, "until", tuple(UNTIL)))

    async def _give_up(self, arguments: Arguments) -> Reply:
        check_names(arguments, ("id",))
        return {"text": self._told(self._desk.give_up(id_of(arguments)))}

    async def _status(self, arguments: Arguments) -> Reply:
        check_names(arguments, ())
        lines = picture_text(self._around.picture())
        if self._desk.open_context is not None:
            lines.append("The node waits for an idea: what_to_try, claim.")
        lines += [
            f"{one.ticket_id} ({one.kind.value}): {self._state(one)}\n{title_line(one)}"
            for one in self._desk.tickets[-LISTED_MOST:]
        ]
        return {"text": "\n".join(lines)}

    async def _readiness(self, arguments: Arguments) -> Reply:
        """For choosing among workers: the lower, the sooner something comes of an idea."""
        check_names(arguments, ())
        desk = self._desk
        if self._has_asked():
            return {"text": "0"}
        if desk.open_context is not None:
            return {"text": "1"}
        return {"text": "2" if all(one.stage is not Stage.JUDGING for one in desk.tickets) else "3"}

    # Below

    async def _freshen(self, until: float) -> None:
        """The node asked for an idea some time ago: what it said then may not be so any more."""
        desk = self._desk
        asked = desk.open_context
        if asked is None:
            return
        try:
            best = await within(self._around.swarm.best(), left_s(until))
        except NotNow:
            return  # what it said then is the newest that can be had now
        is_old = best is not None and best.best.experiment_id != asked.parent.experiment_id
        if is_old or desk.has_news:
            desk.refresh()
            await desk.until(lambda: desk.open_context not in (None, asked), left_s(until))

    def _mending(self, ticket: Ticket, source: str) -> Hypothesis:
        """What the mended code does to the parent, in the words of the idea that it mends."""
        words = {
            "title": f"repair: {ticket.hypothesis.title[:TITLE_TAKEN_CHARS]}",
            "rationale": ticket.hypothesis.rationale,
        }
        return words_of(ticket.context.parent_source, Draft(source=source, words=words), agent=AGENT)

    async def _look(self, ticket_id: str, until: str, *, limit_s: float = SLICE_S) -> Reply:
        stages = UNTIL[until]
        self._desk.find(ticket_id)

        def is_settled() -> bool:
            ticket = self._desk.find(ticket_id)
            return ticket.stage not in stages or self._is_lost(ticket)

        is_done = await self._desk.until(is_settled, limit_s)
        ticket = self._desk.find(ticket_id)
        text = self._told(ticket)
        if is_done:
            return {"text": text}
        return {"text": text, "again": {"tool": "result", "arguments": {"id": ticket_id, "until": until}}}

    def _told(self, ticket: Ticket) -> str:
        text = ticket_text(
            ticket,
            patience_s=self._desk.patience_s,
            is_training=self._is_training(ticket),
            is_lost=self._is_lost(ticket),
        )
        is_mine = ticket.kind is Kind.IDEA and ticket.stage is Stage.GRANTED
        if is_mine and self._shown_parent not in ("", ticket.context.parent.experiment_id):
            text += (
                "\nAttention: the code to start from is another than what_to_try showed you last; "
                "get it with what_to_try (part code) before you edit."
            )
        mending = next((one for one in self._desk.tickets if one.repairs == ticket.ticket_id), None)
        if mending is not None and mending.stage is Stage.GRANTED:
            text += f"\nYou may mend it: {mending.ticket_id}; run takes the code."
        return text

    def _state(self, ticket: Ticket) -> str:
        return state_word(ticket, is_training=self._is_training(ticket), is_lost=self._is_lost(ticket))

    def _is_training(self, ticket: Ticket) -> bool:
        current = self._around.picture().get("current") or {}
        return ticket.experiment_id is not None and current.get("experiment_id") == ticket.experiment_id

    def _is_lost(self, ticket: Ticket) -> bool:
        if ticket.stage is not Stage.QUEUED or ticket.claim_id is None or self._is_training(ticket):
            return False
        return self._around.leases.is_lost(ticket.claim_id)
