"""What the tools of ``mcp`` tell a researcher, whose agent may have a shell, text by text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from autoresearch.errors import NotFound
from autoresearch.model import (
    ClaimId,
    Duplicate,
    Granted,
    Idea,
    NeedsDistinction,
    NodeId,
    Outcome,
    Started,
    StartRefused,
)
from corpus import Hostile
from fake_swarm import FakeLeases, make_lease
from node_builders import NOW, make_insight
from prompts import KINDS, LIKE, PLAINS, RESULT
from slots import (
    broken_source,
    hostile_context,
    hostile_failure,
    hostile_hypothesis,
    hostile_summary,
    with_materials,
)
from watch import Watch

from node.agent.base import AgentContext
from node.agent.mcp.desk import Desk
from node.agent.mcp.knowledge import Surroundings
from node.agent.mcp.tickets import Ticket
from node.agent.mcp.tools import Tools
from node.swarm.protocol import BestSource

CHANGES = [{"op": "add", "what": "x"}]


class HostileSwarm:
    """All that it tells is hostile, and so is why it cannot, once it is ``away``."""

    def __init__(self, hostile: Hostile, context: AgentContext) -> None:
        self.is_away = False
        self._hostile = hostile
        self._context = context

    def _check(self) -> None:
        if self.is_away:
            raise NotFound(self._hostile.at("error"))

    async def best(self) -> BestSource:
        self._check()
        return BestSource(best=self._context.parent, source=self._context.parent_source.encode())

    async def search(self, query: object) -> SimpleNamespace:
        del query
        self._check()
        return SimpleNamespace(matches=(SimpleNamespace(summary=hostile_summary(self._hostile)),))

    async def insights(self, query: object) -> tuple:
        del query
        self._check()
        return (make_insight("e", text=self._hostile.at("insight")),)

    async def ideas(self) -> tuple[Idea, ...]:
        self._check()
        hypothesis = hostile_hypothesis(self._hostile)
        return (Idea(hypothesis_id="h", hypothesis=hypothesis, node_id=NodeId("n"), proposed_at=NOW),)

    async def propose(self, *_: object, **__: object) -> None:
        self._check()


class Research:
    """One researcher, and a node that is led through everything that a ticket can come to."""

    def __init__(self, hostile: Hostile) -> None:
        self.context, self._hostile = hostile_context(hostile), hostile
        self.desk = Desk(patience_s=60.0)
        self._swarm = HostileSwarm(hostile, self.context)
        at = hostile.at
        picture = {
            "state": "training",
            "hardware_class": "cpu",
            "challenge": "toy",
            "current": {"title": at("title"), "purpose": "explore"},
            "prepared": at("parenttitle"),
            "pauses": [at("reason")],
            "results": [{"title": at("histtitle"), "outcome": "completed", "score": 1.9}],
        }
        around = Surroundings(
            swarm=self._swarm,  # type: ignore[arg-type]
            shelf=self._swarm,  # type: ignore[arg-type]
            leases=FakeLeases(),
            hardware_class=self.context.parent.hardware_class,
            picture=lambda: picture,
            scrub=str,
        )
        self._tools = Tools(self.desk, around)
        self.said: dict[str, str] = {}
        self.desk.hear()

    async def ask(self, place: str, tool: str, **arguments: Any) -> None:
        """What the tool says, with names of tickets alike for all texts."""
        reply = await self._tools.answer(tool, arguments)
        text = str(reply.get("text") or reply.get("refusal"))
        for number, ticket in enumerate(self.desk.tickets):
            text = text.replace(ticket.ticket_id, f"ticket-{number}")
        self.said[place] = text

    async def result(self, place: str, ticket: Ticket) -> None:
        await self.ask(place, "result", id=ticket.ticket_id, until="judged")

    async def life(self) -> Mapping[str, str]:
        """Everything that is told, by what it is about."""
        await self._somebodys_idea()
        await self._own_idea()
        for name, verdict in self._verdicts().items():
            ticket = await self._claimed()
            if isinstance(verdict, StartRefused):
                self.desk.claim_answered(self._granted())
                self.desk.start_answered(RESULT.experiment_id, verdict)
            else:
                self.desk.claim_answered(verdict)
            await self.result(name, ticket)
        ticket = await self._claimed()
        self.desk.failed(f"it could not be claimed: {self._hostile.at('error')}")
        await self.result("not claimed", ticket)
        await self._the_rest()
        return self.said

    async def _somebodys_idea(self) -> None:
        hostile = self._hostile
        context = with_materials(self.context, hostile, KINDS[hostile.number % len(KINDS)])
        coding = asyncio.create_task(self.desk.code_for(context, hostile_hypothesis(hostile)))
        await asyncio.sleep(0)
        asked = self.desk.tickets[-1]
        await self.ask("what to try, asked", "what_to_try")
        await self.result("asked", asked)
        await self.ask(
            "code of the asked is no Python", "run", id=asked.ticket_id, code=broken_source(hostile)
        )
        coding.cancel()
        await asyncio.gather(coding, return_exceptions=True)
        await self.result("asked, given back", asked)

    async def _own_idea(self) -> None:
        ticket = await self._claimed()
        self.desk.claim_answered(self._granted())
        await self.result("granted", ticket)
        self.desk.hand_in(ticket.ticket_id, "X = 1\n")
        started = Started(
            lease=make_lease(ClaimId("c")), seed=1, val_seed=2, flags=(self._hostile.at("flag"),)
        )
        self.desk.start_answered(RESULT.experiment_id, started)
        await self.result("queued", ticket)
        failure = hostile_failure(self._hostile)
        crashed = replace(
            RESULT,
            outcome=Outcome.CRASHED,
            crash_kind=failure.kind,
            reason=failure.reason,
            log_tail=failure.log_tail,
        )
        experiment = replace(hostile_summary(self._hostile).experiment, experiment_id=RESULT.experiment_id)
        why = f"not published yet: {self._hostile.at('error')}"
        self.desk.published(experiment, crashed, None, why)
        await self.result("finished", ticket)
        await self.result("repair", self.desk.tickets[-1])

    async def _claimed(self) -> Ticket:
        """An idea in the node's hand, in words that the researcher took over from a stranger."""
        thinking = asyncio.create_task(self.desk.next_idea(self.context))
        await asyncio.sleep(0)
        ticket = self.desk.submit(hostile_hypothesis(self._hostile))
        await thinking
        return ticket

    def _granted(self) -> Granted:
        return Granted(lease=make_lease(ClaimId("c")), advice=self.context.advice)

    def _verdicts(self) -> Mapping[str, Any]:
        advice, question, level = (
            self.context.advice,
            self._hostile.at("question"),
            self._hostile.at("reason"),
        )
        (match,) = advice.nearest
        return {
            "needs distinction": NeedsDistinction(match=match, question=question, advice=advice),
            "duplicate": Duplicate(match=match, level=level, advice=advice),
            "start refused": StartRefused(match=match, level=level, question=question),
        }

    async def _the_rest(self) -> None:
        thinking = asyncio.create_task(self.desk.next_idea(self.context))
        await asyncio.sleep(0)
        calls: Mapping[str, Mapping[str, Any]] = {
            "what_to_try": {},
            "best": {},
            "search": {"text": "x"},
            "insights": {},
            "ideas": {},
            "status": {},
            "claim": {"title": "x", "rationale": "y", "changes": [{"name": "NO", "new": "1"}]},
        }
        for tool, arguments in calls.items():
            await self.ask(tool, tool, **arguments)
        self._swarm.is_away = True
        for tool in ("what_to_try", "best", "search", "insights", "ideas"):
            await self.ask(f"{tool}, refused", tool, **calls[tool])
        await self.ask(
            "ideas propose, refused", "ideas", action="propose", title="x", rationale="y", changes=CHANGES
        )
        thinking.cancel()
        await asyncio.gather(thinking, return_exceptions=True)


async def watch_researcher(watch: Watch, texts: Iterable[Hostile]) -> None:
    """Looks at every answer, and at every refusal."""
    plain = {hostile.number % LIKE: await Research(hostile).life() for hostile in PLAINS}
    for hostile in texts:
        said = await Research(hostile).life()
        harmless = plain[hostile.number % LIKE]
        watch.expect("mcp, answers", list(said), list(harmless))
        for place, text in said.items():
            watch.quoted(f"mcp, {place}", text)
            watch.same_frame(f"mcp, {place}", text, harmless[place])
            watch.without_secrets(f"mcp, {place}", text)
