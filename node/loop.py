"""The life of a worker: take what is ready, prepare the next, train, publish, reflect.

The accelerator never waits for ideas: while one piece of work trains, the next one is proposed, claimed,
coded and started. If the working best changes meanwhile, an idea that cost nothing is given back for one on
the new best; what an agent has thought about for long is kept, and the next idea is for the new best.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import structlog
from autoresearch.model import ExperimentId, Outcome, Purpose, Result

from node.agent.base import Agent, AgentEnded, AgentError, BudgetSpent, Failure
from node.assignment import Assignment, Leases, Run
from node.board import Board
from node.pausing import Paused, Pauses
from node.pieces import CountedPieces, Pieces
from node.prepare import Preparer
from node.record import Recorder, is_disk_full
from node.state import Work, WorkEvent
from node.stopping import Aborted, Stop
from node.training.report import TrainingReport
from node.training.runner import BROKEN_TRAINER_KINDS, TrainingJob

TRAINER_FAILURES_LIMIT = 3
"""Runs in a row without a report that counts, after which the baseline tells if the trainer works here."""

SEED_BITS = 31

VERIFICATIONS = (Purpose.VERIFY_CANDIDATE, Purpose.VERIFY_CONTROL)
"""Runs of a pair that the coordinator asked for: the only ones in which the held-back text is scored."""

FREE_DISK_MIN_BYTES = 256 * 1024 * 1024
DISK_RETRY_S = 15.0
REFLECTIONS_LIMIT = 4

PREPARED_KEPT_S = 600.0
"""How long a pause keeps what is prepared: heat passes in minutes, a night must not hold an idea."""

_log = structlog.get_logger(__name__)


class Trainer(Protocol):
    """Whatever trains one ``train.py``; a failed run is a report, never an exception."""

    async def run(self, job: TrainingJob) -> TrainingReport:
        """Trains and measures; cancelling it leaves no process behind."""


class Ending(Enum):
    """Why the loop came back."""

    DONE = "the number of experiments is reached"
    DRAINED = "finished and left, as asked"
    ABORTED = "dropped its work and left, as asked"
    TRAINER_BROKEN = "the trainer does not work on this machine"
    BUDGET_SPENT = "the agent's budget is spent"
    AGENT_UNUSABLE = "the agent cannot work as it is set up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to stop by oneself; ``max_hours`` None for never."""

    pieces: Pieces = field(default_factory=CountedPieces)
    max_hours: float | None = None


class NodeLoop:
    """Runs until a limit is reached or a stop is asked; gives back whatever it will not do."""

    def __init__(
        self,
        *,
        preparer: Preparer,
        trainer: Trainer,
        recorder: Recorder,
        agent: Agent,
        leases: Leases,
        board: Board,
        stop: Stop,
        pauses: Pauses,
        limits: Limits,
        baseline: bytes,
        free_bytes: Callable[[], int],
        disk_retry_s: float = DISK_RETRY_S,
        prepared_kept_s: float = PREPARED_KEPT_S,
    ) -> None:
        self._preparer = preparer
        self._trainer = trainer
        self._recorder = recorder
        self._agent = agent
        self._leases = leases
        self._board = board
        self._stop = stop
        self._pauses = pauses
        self._limits = limits
        self._baseline = baseline
        self._free_bytes = free_bytes
        self._disk_retry_s = disk_retry_s
        self._prepared_kept_s = prepared_kept_s
        self._ahead: asyncio.Task[Assignment] | None = None
        self._reflections: set[asyncio.Task[None]] = set()
        self._given_back: set[asyncio.Task[None]] = set()
        self._trainer_failures = 0
        self.why = ""

    async def run(self) -> Ending:
        """The whole life; ``why`` says more where the agent ended it.

        Raises SwarmError where the swarm shuts the node out for good.
        """
        beside = [
            asyncio.create_task(watch)
            for watch in (self._keep_hours(), self._watch_stop(), self._watch_pauses())
        ]
        ending = None
        try:
            ending = await self._work()
        except Aborted:
            ending = self._as_asked()
        except AgentEnded as error:
            # What trained meanwhile is published by now: this comes with the search for what is next.
            ending = Ending.BUDGET_SPENT if isinstance(error, BudgetSpent) else Ending.AGENT_UNUSABLE
            self.why = str(error)
            self._show_stop(ending.value)
        finally:
            await self._leave(beside)
            if ending in (None, Ending.TRAINER_BROKEN, Ending.AGENT_UNUSABLE):
                self._board.fail()
            else:
                self._board.leave()
        return ending

    async def _work(self) -> Ending:
        while not self._stop.is_draining:
            await self._rest()
            if self._ahead is None and not self._begin_preparing(shows=False):
                self._show_stop(Ending.DONE.value)
                return Ending.DONE
            try:
                assignment = await self._next()
                self._begin_preparing()  # while this one trains
                await self._carry_out(assignment)
                if self._trainer_failures >= TRAINER_FAILURES_LIMIT and not await self._trains_baseline():
                    return Ending.TRAINER_BROKEN
            except Paused:
                continue
        return self._as_asked()

    async def _rest(self) -> None:
        """Returns when no pause holds; what was prepared is kept for a while, then given back."""
        if not self._pauses.is_paused:
            return
        self._board.step(WorkEvent.PAUSE_BEGAN)
        keeping = asyncio.timeout(self._prepared_kept_s)
        with contextlib.suppress(Paused, TimeoutError):
            async with keeping:
                await self._stop.or_stopped(self._pauses.or_wanted(self._pauses.wait_over()))
        if self._pauses.is_paused:
            await self._give_up_prepared("the node is paused")
            await self._stop.or_stopped(self._pauses.wait_over())
        self._board.step(WorkEvent.PAUSE_OVER)

    def _as_asked(self) -> Ending:
        return Ending.ABORTED if self._stop.is_aborted else Ending.DRAINED

    def hear_of_best(self, best: ExperimentId) -> None:
        """Tell the loop of the class's working best."""
        self._preparer.tell_news()
        ahead = self._ahead
        is_waiting = self._stop.is_draining or self._pauses.is_paused
        if is_waiting or ahead is None or not self._agent.thinks_for_free:
            return
        if not _has_result(ahead):
            return
        prepared = ahead.result()
        if prepared.context is not None and prepared.context.parent.experiment_id != best:
            _log.info("there is a new best: preparing another next one", title=prepared.title)
            self._ahead = asyncio.create_task(self._prepare_anew(self._give_back_outdated(prepared)))
            self._ahead.add_done_callback(self._show_prepared)

    def _give_back_outdated(self, outdated: Assignment) -> asyncio.Task[None]:
        """A task of its own: whoever waits for it may be cancelled, even before its first step."""
        task = asyncio.create_task(self._preparer.give_back(outdated, "there is a new best"))
        self._given_back.add(task)
        task.add_done_callback(self._given_back.discard)
        return task

    async def _prepare_anew(self, given_back: asyncio.Task[None]) -> Assignment:
        await asyncio.shield(given_back)
        return await self._preparer.next_assignment()

    async def _next(self) -> Assignment:
        """Work that is ready and still ours. Raises Aborted when a stop comes first, Paused for a pause."""
        while True:
            if self._ahead is None:
                self._ahead = asyncio.create_task(self._preparer.next_assignment())
            ahead = self._ahead
            try:
                assignment = await self._stop.or_stopped(self._pauses.or_paused(ahead))
            except Paused:
                if ahead is self._ahead and not _has_result(ahead):
                    await self._give_up_prepared("the node is paused")
                raise
            if ahead is not self._ahead:
                continue  # given back for one on a new best
            if self._pauses.is_paused:
                raise Paused("the node is paused")  # it stays prepared
            self._ahead = None
            self._board.show_prepared("")
            if not self._leases.is_lost(assignment.lease.claim_id):
                return assignment
            _log.info("the claim ran out before its turn", title=assignment.title)

    def _begin_preparing(self, *, shows: bool = True) -> bool:
        """The next piece of work, shown as such; False where no more may be begun."""
        if not self._limits.pieces.take():
            return False
        self._ahead = asyncio.create_task(self._preparer.next_assignment())
        if shows:
            self._ahead.add_done_callback(self._show_prepared)
        return True

    async def _give_up_prepared(self, reason: str) -> None:
        """Gives back what is prepared, and ends what is not ready yet."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return
        self._limits.pieces.put_back()
        self._board.show_prepared("")
        if _has_result(ahead):
            await self._preparer.give_back(ahead.result(), reason)
            return
        ahead.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await ahead

    async def _carry_out(self, assignment: Assignment) -> None:
        """Every run of it; a stop between the two of a pair gives the claim back for another to do both."""
        try:
            for run in assignment.runs:
                self._stop.before_more_work()
                self._pauses.before_more_work()
                await self._make_room()
                report = await self._train(assignment, run)
                result = await self._recorder.record(assignment, run, report)
                self._after(assignment, result)
        except BaseException as error:
            self._limits.pieces.put_back()
            await asyncio.shield(self._preparer.give_back(assignment, "not finished"))
            if isinstance(error, Paused):
                self._board.drop_run()
            raise
        self._limits.pieces.done()
        self._leases.drop(assignment.lease.claim_id)
        self._board.step(WorkEvent.RESULT_KEPT)
        self._preparer.tell_news()

    async def _train(self, assignment: Assignment, run: Run) -> TrainingReport:
        job = TrainingJob(
            source=run.source,
            seed=run.seed,
            val_seed=run.val_seed,
            is_verification=run.purpose in VERIFICATIONS,
        )
        self._board.begin_run(run.experiment.experiment_id, assignment.title, run.purpose.value)
        report = await self._measure(job)
        self._board.end_run()
        is_broken = report.crash_kind in BROKEN_TRAINER_KINDS
        self._trainer_failures = self._trainer_failures + 1 if is_broken else 0
        return report

    async def _measure(self, job: TrainingJob) -> TrainingReport:
        while True:
            try:
                return await self._stop.or_aborted(self._pauses.or_wanted(self._trainer.run(job)))
            except OSError as error:
                if not is_disk_full(error):
                    raise
                await self._make_room(told_full=True)

    async def _trains_baseline(self) -> bool:
        """Tells a broken trainer from code that kills it: the baseline is code that works."""
        if self._stop.is_draining:
            return True  # leaving anyway
        _log.warning("the trainer keeps failing; trying the baseline", failures=self._trainer_failures)
        seed, val_seed = (random.getrandbits(SEED_BITS) for _ in range(2))
        report = await self._measure(TrainingJob(source=self._baseline, seed=seed, val_seed=val_seed))
        if report.outcome is not Outcome.COMPLETED:
            return False
        _log.warning("the baseline trains: it was the code that ended its trainer")
        self._trainer_failures = 0
        return True

    def _after(self, assignment: Assignment, result: Result) -> None:
        if assignment.context is None:
            return
        if result.outcome is Outcome.CRASHED and result.crash_kind not in BROKEN_TRAINER_KINDS:
            failure = Failure(kind=result.crash_kind, reason=result.reason, log_tail=result.log_tail)
            self._preparer.offer_repair(assignment, failure)
        if len(self._reflections) < REFLECTIONS_LIMIT:
            task = asyncio.create_task(self._reflect(assignment, result))
            self._reflections.add(task)
            task.add_done_callback(self._reflections.discard)

    async def _reflect(self, assignment: Assignment, result: Result) -> None:
        """Beside the next training, never before it."""
        assert assignment.context is not None, "only an agent's own work is reflected upon"  # noqa: S101
        try:
            hypothesis = assignment.runs[0].experiment.hypothesis
            lesson = await self._agent.reflect(assignment.context, hypothesis, result)
        except AgentError as error:
            _log.info("no reflection", reason=str(error))
        except Exception:  # noqa: BLE001 - an agent's bug costs a lesson, not the node
            _log.exception("agent failed", agent=self._agent.name)
        else:
            if lesson:
                _log.info("lesson", title=assignment.title, lesson=lesson)
                await self._recorder.share(result, lesson, agent=self._agent.name)

    async def _make_room(self, *, told_full: bool = False) -> None:
        """Waits while the disk is too full to train on; says so once."""
        has_complained = False
        while told_full or self._free_bytes() < FREE_DISK_MIN_BYTES:
            if not has_complained:
                _log.error(
                    "the disk is full: no training until there is room",
                    free_mb=self._free_bytes() >> 20,
                    needed_mb=FREE_DISK_MIN_BYTES >> 20,
                )
            has_complained = True
            told_full = False
            await self._stop.or_stopped(asyncio.sleep(self._disk_retry_s))

    async def _keep_hours(self) -> None:
        if self._limits.max_hours is not None:
            await asyncio.sleep(self._limits.max_hours * 3600.0)
            self._stop.drain(f"{self._limits.max_hours:g} hours are over")

    async def _watch_stop(self) -> None:
        """A stop is shown at once, and ends the search for work that nobody will do."""
        await self._stop.wait_draining()
        self._show_stop(self._stop.reason)
        if self._ahead is not None:
            self._ahead.cancel()

    async def _watch_pauses(self) -> None:
        """A pause ends the search for work that waits anyway; it begins anew if the same run still trains."""
        while True:
            await self._pauses.wait_begun()
            if self._ahead is not None and not self._ahead.done():
                await self._give_up_prepared("the node is paused")
            await self._pauses.wait_over()
            if self._ahead is None and self._board.state.work is Work.TRAINING:
                self._begin_preparing()

    def _show_stop(self, reason: str) -> None:
        """Whoever asked: a signal, the clock, or the number of experiments that was set."""
        manner = "leaving at once" if self._stop.is_aborted else "leaving after the run in hand"
        _log.info(manner, reason=reason)
        self._board.step(WorkEvent.STOP_ASKED)

    def _show_prepared(self, ahead: asyncio.Task[Assignment]) -> None:
        if _has_result(ahead):
            self._board.show_prepared(ahead.result().title)

    async def _leave(self, beside: list[asyncio.Task[None]]) -> None:
        """Gives back what was prepared and ends what runs beside the loop."""
        for task in (*beside, *self._reflections):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        await self._give_up_prepared("the node leaves")
        await asyncio.gather(*self._given_back)


def _has_result(task: asyncio.Task[Assignment]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
