"""The life of a node that only proposes: think, put the code into the queue, hear what became of it.

No more than a few of its ideas wait at once, so that no money is spent on thoughts that nobody has the time
to try, and each is made on what is the best by then. An idea that cost nothing is taken back when its parent
is the best no more; what an agent was paid for stays, and is run on the parent that it was made on.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog
from autoresearch.errors import (
    Conflict,
    Internal,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    ReadOnly,
    SwarmError,
    Unavailable,
)
from autoresearch.model import ExploreTask, HardwareClass, IdleTask, Usage

from node.agent.base import Agent, AgentEnded, AgentError, BudgetSpent
from node.board import Board
from node.following import Desk, Follower, Whose
from node.idea_book import IdeaBook, NewIdea
from node.loop import Ending
from node.pausing import Paused, Pauses
from node.prepare import IDLE_MAX_S, PAUSE_FIRST_S, PAUSE_MAX_S, NothingReady
from node.rendering import counted
from node.state import WorkEvent
from node.stopping import Aborted, Stop
from node.thinking import Thinker

LOOK_EVERY_S = 5.0
"""Between looks at the queue while as many ideas wait as may."""

_PASSING = (Unavailable, ReadOnly, LimitExceeded, Internal)
_log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much a proposer does. ``ideas_ahead`` may wait at once; None stands for no limit."""

    ideas_ahead: int
    hardware_class: HardwareClass | None = None
    max_ideas: int | None = None
    max_hours: float | None = None


class Proposer:
    """Runs until a limit is reached, a stop is asked or the budget is spent. Its ideas stay in the queue."""

    def __init__(
        self,
        *,
        desk: Desk,
        thinker: Thinker,
        agent: Agent,
        whose: Whose,
        pace: Pace,
        board: Board,
        stop: Stop,
        pauses: Pauses,
        scrub: Callable[[str], str],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: random.Random | None = None,
    ) -> None:
        self._desk = desk
        self._thinker = thinker
        self._thinks_for_free = agent.thinks_for_free
        self._pace = pace
        self._board = board
        self._stop = stop
        self._pauses = pauses
        self._sleep = sleep
        self._jitter = jitter or random.Random()
        self._book = IdeaBook(whose.node_id)
        self._follower = Follower(
            desk=desk,
            agent=agent,
            whose=whose,
            book=self._book,
            board=board,
            scrub=scrub,
            account=thinker.account,
        )
        self._unsent: tuple[NewIdea, Usage | None] | None = None
        self._proposed = 0
        self.why = ""

    async def run(self) -> Ending:
        """The whole life; ``why`` says more where the agent ended it.

        Raises SwarmError where the swarm shuts the node out for good.
        """
        beside = [asyncio.create_task(self._keep_hours()), asyncio.create_task(self._watch_stop())]
        ending = None
        try:
            ending = await self._until_asked()
        except AgentEnded as error:
            ending = Ending.BUDGET_SPENT if isinstance(error, BudgetSpent) else Ending.AGENT_UNUSABLE
            self.why = str(error)
        finally:
            for task in beside:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            if ending in (None, Ending.AGENT_UNUSABLE):
                self._board.fail()
            else:
                self._board.leave()
        return ending

    async def _until_asked(self) -> Ending:
        with contextlib.suppress(Aborted):
            if await self._work():
                return Ending.DONE
        return await self._leave()

    async def _work(self) -> bool:
        """True once all is done, False where a stop was asked."""
        failures = 0
        while not self._stop.is_draining:
            try:
                await self._rest()
                rest_s = await self._once()
                failures = 0
                if rest_s is None:
                    return True
            except Paused:
                continue
            except AgentEnded:
                raise
            except (*_PASSING, AgentError, NothingReady, NotFound, Conflict, InvalidArgument) as error:
                failures += 1
                rest_s = self._backoff(failures, error)
                _log.info("nothing came of it", reason=str(error), failures=failures)
            await self._wait(rest_s)
        return False

    async def _once(self) -> float | None:
        """One look and, where there is room, one idea; how long to rest then, None where all is done."""
        task = await self._stop.or_aborted(self._look())
        await self._stop.or_aborted(self._hand_in())
        waiting = self._book.waiting
        handed_in = self._proposed - self._follower.taken_back
        has_all = self._pace.max_ideas is not None and handed_in >= self._pace.max_ideas
        if has_all and not self._book.kept() and not self._follower.has_lessons:
            return None
        if has_all or len(waiting) >= self._pace.ideas_ahead:
            return LOOK_EVERY_S
        if isinstance(task, IdleTask):
            self._show(task.reason)
            return min(task.retry_after_s, IDLE_MAX_S)
        self._unsent = await self._finish(self._thinker.think(task.parent, self._book))
        await self._stop.or_aborted(self._hand_in())
        return 0.0

    async def _look(self) -> ExploreTask | IdleTask:
        """What there is to think about, and what became of earlier ideas."""
        task = await self._desk.next_task(
            can_propose=True, can_train=False, hardware_class=self._pace.hardware_class
        )
        if not isinstance(task, ExploreTask | IdleTask):
            raise Internal(f"a node without hardware was given a {type(task).__name__}")
        await self._follower.look()
        if isinstance(task, ExploreTask) and self._thinks_for_free:
            await self._follower.take_back_outdated(task.parent)
        self._show()
        return task

    async def _hand_in(self) -> None:
        """One try to get what was thought of into the queue; it is kept where nothing was decided.

        Raises NothingReady if it is refused.
        """
        if self._unsent is None:
            return
        idea, usage = self._unsent
        parent = idea.context.parent.experiment_id
        try:
            await self._desk.propose(
                idea.hypothesis_id, idea.hypothesis, idea.source, None, parent=parent, usage=usage
            )
        except (*_PASSING, PermissionDenied):
            raise
        except SwarmError as error:
            self._unsent = None
            self._thinker.carry(usage)
            raise NothingReady(f"{idea.hypothesis.title!r} is refused: {error.message}") from error
        self._unsent = None
        self._book.keep(idea)
        self._proposed += 1
        _log.info("proposed", title=idea.hypothesis.title, hypothesis_id=idea.hypothesis_id, parent=parent)
        self._show()

    async def _leave(self) -> Ending:
        """What was paid for goes into the queue first, unless that is full for this owner."""
        failures = 0
        while self._unsent is not None:
            try:
                await self._stop.or_aborted(self._hand_in())
            except Aborted:
                break
            except (LimitExceeded, NothingReady) as error:
                _log.warning("left with an idea that was not taken", reason=str(error))
                break
            except _PASSING as error:
                failures += 1
                with contextlib.suppress(Aborted):
                    await self._stop.or_aborted(self._sleep(self._backoff(failures, error)))
        return Ending.ABORTED if self._stop.is_aborted else Ending.DRAINED

    async def _rest(self) -> None:
        """Returns when no pause holds."""
        if self._pauses.is_paused:
            self._board.step(WorkEvent.PAUSE_BEGAN)
            await self._stop.or_stopped(self._pauses.wait_over())
            self._board.step(WorkEvent.PAUSE_OVER)

    async def _finish(self, work: Awaitable[T]) -> T:
        """The result of what costs money: it is dropped only where the owner wants the machine at once."""
        return await self._stop.or_aborted(self._pauses.or_wanted(work))

    async def _wait(self, rest_s: float) -> None:
        """Ends early for a pause; raises Aborted for a stop."""
        with contextlib.suppress(Paused):
            await self._stop.or_stopped(self._pauses.or_paused(self._sleep(rest_s)))

    async def _keep_hours(self) -> None:
        if self._pace.max_hours is not None:
            await asyncio.sleep(self._pace.max_hours * 3600.0)
            self._stop.drain(f"{self._pace.max_hours:g} hours are over")

    async def _watch_stop(self) -> None:
        await self._stop.wait_draining()
        manner = "leaving at once" if self._stop.is_aborted else "leaving after the idea in hand"
        _log.info(manner, reason=self._stop.reason)
        self._board.step(WorkEvent.STOP_ASKED)

    def _show(self, reason: str = "") -> None:
        waiting = self._book.waiting
        told = f"{counted(len(waiting), 'idea')} of this node in the queue"
        self._board.learn(waiting=list(waiting), note=f"{told}; {reason}" if reason else told)

    def _backoff(self, failures: int, error: Exception) -> float:
        ceiling = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** min(failures - 1, 10))
        asked_s = error.retry_after_s or 0.0 if isinstance(error, SwarmError) else 0.0
        return min(max(asked_s, self._jitter.uniform(0.5, 1.0) * ceiling), PAUSE_MAX_S)
