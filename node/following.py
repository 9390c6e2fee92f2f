"""What becomes of a proposer's ideas: results that others bring, lessons from them, and what is outdated."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
from autoresearch.errors import Internal, ReadOnly, SwarmError, Unavailable
from autoresearch.model import (
    ExperimentId,
    ExperimentOrder,
    ExperimentPage,
    ExperimentQuery,
    ExperimentSummary,
    HardwareClass,
    Hypothesis,
    HypothesisId,
    Idea,
    Insight,
    NodeId,
    OwnerId,
    Purpose,
    Result,
    Task,
    Usage,
    WorkingBest,
)

from node.agent.account import Account
from node.agent.base import Agent, AgentError
from node.board import Board, ResultLine
from node.idea_book import IdeaBook, Kept, NewIdea
from node.lessons import lesson_of

NEWEST_LOOKED_AT = 100
"""Experiments among which the one of an idea that waits no more is looked for."""

MISSES_LIMIT = 3
"""Looks after which an idea that has left the queue without an experiment is taken to have been refused."""

LESSONS_KEPT = 16
"""Lessons that wait in memory for a coordinator that is away."""

_log = structlog.get_logger(__name__)


class Desk(Protocol):
    """What a proposer asks of its coordinator."""

    async def next_task(
        self, *, can_propose: bool, can_train: bool, hardware_class: HardwareClass | None = None
    ) -> Task:
        """What to think about."""

    async def propose(
        self,
        hypothesis_id: HypothesisId,
        hypothesis: Hypothesis,
        source: bytes | None,
        origin: ExperimentId | None,
        *,
        parent: ExperimentId | None = None,
        usage: Usage | None = None,
    ) -> None:
        """Puts an idea into the queue; idempotent by its id."""

    async def ideas(self) -> tuple[Idea, ...]:
        """The waiting ideas, next first."""

    async def withdraw(self, hypothesis_id: HypothesisId) -> bool:
        """Takes one back; False where it waits no more."""

    async def experiments(self, query: ExperimentQuery) -> ExperimentPage:
        """What was tried."""

    async def experiment_with_runs(
        self, experiment_id: ExperimentId
    ) -> tuple[ExperimentSummary, tuple[Result, ...]]:
        """One experiment with its runs."""

    async def share(self, insight: Insight) -> None:
        """Brings a lesson; idempotent by its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Who this node is, and the name of the score that it hears of."""

    node_id: NodeId
    owner_id: OwnerId
    metric_name: str


class Follower:
    """Looks after the ideas of a book."""

    def __init__(
        self,
        *,
        desk: Desk,
        agent: Agent,
        whose: Whose,
        book: IdeaBook,
        board: Board,
        scrub: Callable[[str], str],
        account: Callable[[], AbstractContextManager[Account]],
    ) -> None:
        """``scrub`` takes what says who and where a volunteer is out of an agent's prose.

        ``account`` is for a reflection: that of its idea was sent with the idea.
        """
        self._desk = desk
        self._agent = agent
        self._whose = whose
        self._book = book
        self._board = board
        self._scrub = scrub
        self._account = account
        self._lessons: deque[Insight] = deque(maxlen=LESSONS_KEPT)
        self.taken_back = 0

    @property
    def has_lessons(self) -> bool:
        """True while some wait to be shared."""
        return bool(self._lessons)

    async def look(self) -> None:
        """Sees the queue, hears of results, and shares what was learned from them."""
        self._book.see(await self._desk.ideas())
        for kept in self._book.left():
            await self._hear(kept)
        await self._share()

    async def take_back_outdated(self, best: WorkingBest) -> None:
        """Takes back ideas on another parent of the class with which nobody has begun."""
        outdated = [
            idea
            for idea in self._book.kept()
            if idea.context.parent.hardware_class == best.hardware_class
            and idea.context.parent.experiment_id != best.experiment_id
        ]
        for idea in outdated:
            if await self._experiment_of(idea) is None:
                await self._desk.withdraw(idea.hypothesis_id)
                self._book.drop(idea.hypothesis_id)
                self.taken_back += 1
                _log.info("taken back: there is a new best", title=idea.hypothesis.title)

    async def _hear(self, kept: Kept) -> None:
        """What came of an idea that waits no more: a lesson, if the agent draws one."""
        idea = kept.idea
        found = await self._experiment_of(idea)
        if found is None:
            if self._book.miss(kept) >= MISSES_LIMIT:
                self._book.drop(idea.hypothesis_id)
                _log.info("not run: it was there already", title=idea.hypothesis.title)
            return
        summary, runs = await self._desk.experiment_with_runs(found.experiment.experiment_id)
        run = next((one for one in runs if one.purpose is Purpose.EXPLORE), None)
        if run is None:
            return  # its result is on the way
        self._book.drop(idea.hypothesis_id)
        score = run.metrics.get(self._whose.metric_name)
        _log.info(
            "run by another",
            title=idea.hypothesis.title,
            outcome=run.outcome.value,
            score=score,
            by=run.owner_id,
            experiment_id=run.experiment_id,
        )
        self._board.show_result(_line(summary, run, score))
        await self._reflect(idea, run)

    async def _experiment_of(self, idea: NewIdea) -> ExperimentSummary | None:
        query = ExperimentQuery(
            hardware_class=idea.context.parent.hardware_class,
            order=ExperimentOrder.NEWEST,
            limit=NEWEST_LOOKED_AT,
        )
        page = await self._desk.experiments(query)
        return next((one for one in page.experiments if self._is_run_of(one, idea)), None)

    def _is_run_of(self, summary: ExperimentSummary, idea: NewIdea) -> bool:
        experiment = summary.experiment
        is_own = experiment.proposer_id == self._whose.node_id
        return is_own and experiment.source_hash == idea.source_hash

    async def _share(self) -> None:
        """One waits for a coordinator that is away; one that is refused is dropped. Nothing is held up."""
        while self._lessons:
            try:
                await self._desk.share(self._lessons[0])
            except (Unavailable, ReadOnly, Internal) as error:
                _log.info("lessons wait", reason=error.message, waiting=len(self._lessons))
                return
            except SwarmError as error:
                _log.warning("lesson refused", reason=error.message)
            self._lessons.popleft()

    async def _reflect(self, idea: NewIdea, run: Result) -> None:
        try:
            with self._account() as account:
                text = await self._agent.reflect(replace(idea.context, account=account), idea.hypothesis, run)
        except AgentError as error:
            _log.info("no reflection", reason=str(error))
            return
        except Exception:  # noqa: BLE001 - an agent's bug costs a lesson, not the node
            _log.exception("agent failed", agent=self._agent.name)
            return
        whose = self._whose
        lesson = lesson_of(
            run,
            self._scrub(text or ""),
            node_id=whose.node_id,
            owner_id=whose.owner_id,
            agent=self._agent.name,
        )
        if lesson is not None:
            _log.info("lesson", title=idea.hypothesis.title, lesson=lesson.text)
            self._lessons.append(lesson)


def _line(summary: ExperimentSummary, run: Result, score: float | None) -> ResultLine:
    return ResultLine(
        experiment_id=run.experiment_id,
        title=summary.experiment.hypothesis.title,
        purpose=run.purpose.value,
        outcome=run.outcome,
        score=score,
        state=summary.state,
        reason=run.reason,
        finished_at=run.finished_at.isoformat(),
    )
