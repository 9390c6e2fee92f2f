"""Where the node and a researcher outside it meet: the node waits here, the researcher comes and goes.

    node                                     researcher
    propose: takes the idea        <-------  submit
    (claims it, tells the verdict)  ------>  judged
    edit: takes the code           <-------  hand_in
    (starts, trains, publishes)     ------>  finished
    reflect: takes the lesson      <-------  teach

Nobody waits for somebody who is gone: a researcher that has said nothing for ``patience_s`` is taken for
absent, and the node goes on with the work of others. For one event loop; nothing here does any I/O.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from autoresearch.model import (
    ClaimId,
    ClaimVerdict,
    Experiment,
    ExperimentId,
    ExperimentState,
    Granted,
    Hypothesis,
    Outcome,
    Purpose,
    Result,
    Started,
    StartVerdict,
    new_id,
)

from node.agent.base import AgentContext, AgentError, CannotDo, Failure, Outdated, Proposal
from node.agent.mcp.tickets import Kind, LessonStage, Stage, Ticket
from node.training.runner import BROKEN_TRAINER_KINDS

TICKETS_KEPT = 64
LESSONS_AWAITED = 3
"""Runs whose lesson the node waits for at a time: the loop has room for four reflections."""
ID_CHARS = 8


class NotNow(Exception):
    """What the researcher asked cannot be done as things are; the message says what can."""


class Desk:
    """Holds the tickets. Agent side: ``next_idea``, ``code_for``, ``lesson_of``; the rest tells or asks."""

    def __init__(
        self, *, patience_s: float, seat: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``seat`` begins the tickets' names, so that a node with several workers knows whose one is."""
        self.patience_s = patience_s
        self.on_word: Callable[[], None] = lambda: None
        self._prefix = f"{seat}." if seat else ""
        self._clock = clock
        self._heard_at: float | None = None
        self._tickets: OrderedDict[str, Ticket] = OrderedDict()
        self._tray: str | None = None
        self._in_hand: str | None = None
        self._open: AgentContext | None = None
        self._is_stale = False
        self._has_news = False
        self._shown: AgentContext | None = None
        self._bell = asyncio.Event()

    # For both

    @property
    def is_present(self) -> bool:
        """True while a researcher is about."""
        return self._patience_left_s() > 0

    @property
    def tickets(self) -> tuple[Ticket, ...]:
        """What is remembered, oldest first."""
        return tuple(self._tickets.values())

    async def until(self, is_so: Callable[[], bool], limit_s: float) -> bool:
        """Waits for something to become true here; says whether it did."""
        try:
            async with asyncio.timeout(limit_s):
                while not is_so():
                    await self._bell.wait()
        except TimeoutError:
            return is_so()
        return True

    # For the agent: each comes back with what the researcher did, or raises AgentError

    async def next_idea(self, context: AgentContext) -> Proposal:
        """The researcher's next idea, or its repair of a crash with the code."""
        self.failed("the node did not go on with it")  # whatever was left
        self._open = self._shown = context
        self._is_stale, self._has_news = False, False
        self._ring()
        try:
            while self._tray is None:
                if not self.is_present:
                    raise AgentError(f"no researcher has said anything for {self.patience_s:g} s")
                await self.until(lambda: self._tray is not None or self._is_stale, self._patience_left_s())
                if self._tray is None and self._is_stale:
                    raise Outdated("there is news: it is asked for an idea with what is known now")
        finally:
            self._open = None
        ticket = self._tickets[self._tray]
        self._in_hand, self._tray = ticket.ticket_id, None
        if ticket.kind is Kind.IDEA:
            ticket = self._put(ticket, context=context, base_source=context.parent_source)
        return Proposal(hypothesis=ticket.hypothesis, draft=ticket.source)

    async def code_for(self, context: AgentContext, hypothesis: Hypothesis) -> str:
        """The code for the idea that was just granted, or for one of somebody else."""
        ticket = self._held()
        if ticket is None:
            if not self.is_present:
                raise CannotDo(f"no researcher is here to write {hypothesis.title!r}")
            ticket = self._new(Kind.ASKED, Stage.GRANTED, hypothesis, context, context.parent_source)
            self._in_hand = ticket.ticket_id
            self._shown = self._shown or context
        else:
            ticket = self._put(ticket, context=context)
        name = ticket.ticket_id
        try:
            while self._tickets[name].stage is Stage.GRANTED and self.is_present:
                await self.until(
                    lambda: self._tickets[name].stage is not Stage.GRANTED, self._patience_left_s()
                )
        except BaseException:
            self._drop(name, "the node gave it back")
            raise
        ticket = self._tickets[name]
        if ticket.stage is Stage.STARTING and ticket.source is not None:
            return ticket.source
        self._drop(name, f"no code came within {self.patience_s:g} s")
        why = self._tickets[name].why
        raise CannotDo(why) if ticket.kind is Kind.ASKED else AgentError(why)

    async def lesson_of(self, experiment_id: ExperimentId) -> str | None:
        """What the researcher learned from a run of its own; None for another's, or if it says nothing."""
        ticket = self._of_experiment(experiment_id)
        if ticket is None or not self.is_present:
            return None
        name = ticket.ticket_id
        awaited = [one for one in self.tickets if one.result and one.lesson_stage is LessonStage.NOT_YET]
        for old in awaited[:-LESSONS_AWAITED]:
            self._put(old, lesson_stage=LessonStage.CLOSED)
        while self._awaits_lesson(name) and self.is_present:
            await self.until(lambda: not self._awaits_lesson(name), self._patience_left_s())
        ticket = self._tickets.get(name)
        if ticket is None or not ticket.lesson:
            return None
        return ticket.lesson

    # For whoever watches what the node exchanges with its swarm

    def claim_answered(self, verdict: ClaimVerdict) -> None:
        """The idea in hand was judged."""
        ticket = self._held()
        if ticket is None:
            return
        if isinstance(verdict, Granted):
            stage = Stage.GRANTED if ticket.source is None else Stage.STARTING
            self._put(ticket, stage=stage, claim_id=verdict.lease.claim_id, advice=verdict.advice)
            return
        self._put(ticket, stage=Stage.REFUSED, verdict=verdict, advice=verdict.advice)
        self._in_hand = None

    def start_answered(self, experiment_id: ExperimentId, verdict: StartVerdict) -> None:
        """The code in hand was judged."""
        ticket = self._held()
        if ticket is None:
            return
        if isinstance(verdict, Started):
            self._put(ticket, stage=Stage.QUEUED, experiment_id=experiment_id, flags=verdict.flags)
        else:
            self._put(ticket, stage=Stage.REFUSED, verdict=verdict)
        self._in_hand = None

    def failed(self, why: str) -> None:
        """What is in hand came to nothing before it was started."""
        if self._in_hand is not None:
            self._drop(self._in_hand, why)

    def released(self, claim_id: ClaimId, why: str) -> None:
        """A claim was given back."""
        for ticket in self.tickets:
            if ticket.claim_id == claim_id and not ticket.is_over:
                self._drop(ticket.ticket_id, f"given back: {why}")

    def published(
        self, experiment: Experiment, result: Result, state: ExperimentState | None, why: str = ""
    ) -> None:
        """A run is over; ``state`` is what the swarm made of it, None where it did not take it."""
        self._has_news = True
        ticket = self._of_experiment(experiment.experiment_id)
        if ticket is None or result.purpose is not Purpose.EXPLORE:
            return
        is_first = ticket.result is None
        ticket = self._put(ticket, stage=Stage.FINISHED, result=result, state=state, why=why)
        is_mendable = result.outcome is Outcome.CRASHED and result.crash_kind not in BROKEN_TRAINER_KINDS
        if is_first and is_mendable and ticket.kind is not Kind.REPAIR:
            self._offer_repair(ticket, result)

    # For the researcher: each may raise NotNow

    def hear(self, *, is_news: bool = False) -> None:
        """The researcher has said something; ``is_news`` where the node may wait for just that."""
        was_present = self.is_present
        self._heard_at = self._clock()
        if is_news or not was_present:
            self.on_word()

    @property
    def open_context(self) -> AgentContext | None:
        """What the node wants an idea for just now; None while it is busy with something else."""
        return self._open

    @property
    def last_context(self) -> AgentContext | None:
        """What it wanted one for the last time; None if it never did."""
        return self._shown

    @property
    def has_news(self) -> bool:
        """True where a run has ended since the node last told what it knows."""
        return self._has_news

    def refresh(self) -> None:
        """What the node told when it asked for an idea is not so any more: it is to ask anew."""
        if self._open is not None and self._tray is None:
            self._is_stale = True
            self._ring()

    def find(self, ticket_id: str) -> Ticket:
        """One ticket."""
        ticket = self._tickets.get(ticket_id)
        if ticket is None:
            raise NotNow(f"there is no {ticket_id[:80]!r} here (has the node started anew?); see status")
        return ticket

    def submit(self, hypothesis: Hypothesis) -> Ticket:
        """Hands an idea to the node, which claims it as soon as its turn comes."""
        context = self._open or self._shown
        if context is None:
            raise NotNow("the node has wanted no idea yet; call what_to_try first")
        self._check_free()
        ticket = self._new(Kind.IDEA, Stage.JUDGING, hypothesis, context, context.parent_source)
        self._tray = ticket.ticket_id
        self._tell()
        return ticket

    def hand_in(self, ticket_id: str, source: str, hypothesis: Hypothesis | None = None) -> Ticket:
        """Hands in the code; ``hypothesis`` says what a repair does."""
        ticket = self.find(ticket_id)
        if ticket.stage is not Stage.GRANTED:
            raise NotNow(
                f"{ticket_id} is {ticket.stage.value}: code is taken for what is granted; see result"
            )
        if ticket.kind is Kind.REPAIR:
            self._check_free()
            self._tray = ticket_id
        ticket = self._put(
            ticket, stage=Stage.STARTING, source=source, hypothesis=hypothesis or ticket.hypothesis
        )
        self._tell()
        return ticket

    def give_up(self, ticket_id: str) -> Ticket:
        """Lets something go that is not started."""
        ticket = self.find(ticket_id)
        if ticket.stage not in (Stage.JUDGING, Stage.GRANTED):
            raise NotNow(f"{ticket_id} is {ticket.stage.value}: it cannot be given up any more")
        if ticket.stage is Stage.JUDGING and self._in_hand == ticket_id:
            raise NotNow(f"{ticket_id} is being judged at this moment; ask for its result first")
        self._drop(ticket_id, "given up by the researcher")
        self._tell()
        return self._tickets[ticket_id]

    def teach(self, ticket_id: str, lesson: str) -> Ticket:
        """What was learned from a finished run; the node shares it."""
        ticket = self.find(ticket_id)
        if ticket.result is None:
            raise NotNow(f"{ticket_id} is {ticket.stage.value}: a lesson comes from a finished run")
        if ticket.lesson_stage is not LessonStage.NOT_YET:
            raise NotNow(
                f"the lesson of {ticket_id} is {ticket.lesson_stage.value}: one is taken for each run"
            )
        return self._put(ticket, lesson=lesson, lesson_stage=LessonStage.GIVEN)

    # Below

    def _check_free(self) -> None:
        busy = self._tray or self._in_hand
        if busy is not None and not self._tickets[busy].is_over:
            what = self._tickets[busy]
            raise NotNow(
                f"one at a time: {busy} ({what.kind.value}, {what.stage.value}) comes first; "
                "hand in its code with run, wait with result, or let it go with give_up"
            )

    def _held(self) -> Ticket | None:
        return self._tickets.get(self._in_hand) if self._in_hand is not None else None

    def _of_experiment(self, experiment_id: ExperimentId) -> Ticket | None:
        return next((one for one in self.tickets if one.experiment_id == experiment_id), None)

    def _awaits_lesson(self, ticket_id: str) -> bool:
        ticket = self._tickets.get(ticket_id)
        return ticket is not None and ticket.lesson_stage is LessonStage.NOT_YET

    def _offer_repair(self, crashed: Ticket, result: Result) -> None:
        for one in self.tickets:
            if one.kind is Kind.REPAIR and one.stage is Stage.GRANTED:
                self._drop(one.ticket_id, "another run has crashed since")
        failure = Failure(kind=result.crash_kind or "", reason=result.reason, log_tail=result.log_tail)
        ticket = self._new(
            Kind.REPAIR, Stage.GRANTED, crashed.hypothesis, crashed.context, crashed.source or ""
        )
        self._put(ticket, failure=failure, repairs=crashed.ticket_id)

    def _new(
        self, kind: Kind, stage: Stage, hypothesis: Hypothesis, context: AgentContext, base_source: str
    ) -> Ticket:
        ticket = Ticket(
            ticket_id=self._prefix + new_id()[-ID_CHARS:],
            kind=kind,
            stage=stage,
            hypothesis=hypothesis,
            context=context,
            base_source=base_source,
        )
        for old in self.tickets:
            if len(self._tickets) >= TICKETS_KEPT and old.ticket_id not in (self._tray, self._in_hand):
                del self._tickets[old.ticket_id]
        return self._put(ticket)

    def _put(self, ticket: Ticket, **changes: Any) -> Ticket:
        ticket = replace(ticket, **changes)
        self._tickets[ticket.ticket_id] = ticket
        self._ring()
        return ticket

    def _drop(self, ticket_id: str, why: str) -> None:
        self._tray = None if self._tray == ticket_id else self._tray
        self._in_hand = None if self._in_hand == ticket_id else self._in_hand
        ticket = self._tickets[ticket_id]
        if not ticket.is_over:
            self._put(ticket, stage=Stage.DROPPED, why=why)

    def _ring(self) -> None:
        self._bell.set()
        self._bell = asyncio.Event()

    def _tell(self) -> None:
        self.hear(is_news=True)

    def _patience_left_s(self) -> float:
        return 0.0 if self._heard_at is None else self._heard_at + self.patience_s - self._clock()
