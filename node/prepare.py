"""Gets the next piece of work ready: task, parent, idea, claim, code, start.

All of it happens while something else trains. What comes out is started: code judged, seeds drawn, lease
held. What does not come out leaves nothing behind, whether it failed or was cancelled.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

import structlog
from autoresearch.errors import (
    Conflict,
    Internal,
    InvalidArgument,
    LeaseLost,
    LimitExceeded,
    NotFound,
    ReadOnly,
    Unavailable,
    UnknownChallenge,
)
from autoresearch.model import (
    BaselineTask,
    ExperimentId,
    ExploreTask,
    Hypothesis,
    IdleTask,
    Purpose,
    QueuedTask,
    ReplicateTask,
    Task,
    Usage,
    WorkingBest,
)

from node.agent.account import Account, sum_of
from node.agent.base import (
    Agent,
    AgentContext,
    AgentEnded,
    AgentError,
    CannotDo,
    Failure,
    Outdated,
    Proposal,
    Refusal,
    UnsuitableParent,
)
from node.assignment import Assignment, Leases, NodeFacts, Run, experiment_of
from node.claiming import Claimer
from node.library import HISTORY_LIMIT, Library
from node.program import ProgramInForce
from node.swarm.database import StateFileDamaged, StateFileError
from node.swarm.protocol import Swarm
from node.training.scrub import Scrub

PROPOSALS_LIMIT = 8
"""Ideas that are refused one after the other before the node asks for its task anew."""

HAND_BACKS_LIMIT = 8
"""Ideas that the agent cannot carry out and that are handed back one after the other without a pause."""

IDLE_MAX_S = 60.0
PAUSE_FIRST_S = 1.0
PAUSE_MAX_S = 60.0

_log = structlog.get_logger(__name__)


class NothingReady(Exception):
    """This attempt led to no work; the message says why. Another one may."""


class _NoParent(Exception):
    """The agent can do nothing with the best, nor with what it came from."""

    def __init__(self, parent: WorkingBest, reason: str) -> None:
        super().__init__(reason)
        self.parent = parent


class Preparer:
    """Prepares one assignment after the other; call ``next_assignment`` from one task at a time."""

    def __init__(
        self,
        *,
        swarm: Swarm,
        agent: Agent,
        leases: Leases,
        facts: NodeFacts,
        program: ProgramInForce,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: random.Random | None = None,
        on_note: Callable[[str], None] = lambda _: None,
        history_limit: int | None = None,
        open_account: Callable[[], Account] = Account,
        scrub: Scrub = str,
    ) -> None:
        """``scrub`` takes what says who and where a volunteer is out of an agent's words.

        ``history_limit`` is of the experiments that the agent is told of; None for all that are read.
        """
        self._swarm = swarm
        self._agent = agent
        self._facts = facts
        self._program = program
        self._now = now
        self._sleep = sleep
        self._jitter = jitter or random.Random()
        self._leases = leases
        self._library = Library(swarm=swarm, hardware_class=facts.hardware.hardware_class)
        self._claimer = Claimer(swarm=swarm, agent=agent, leases=leases, facts=facts, now=now, scrub=scrub)
        self._news = asyncio.Event()
        self._on_note = on_note
        self._history_limit = HISTORY_LIMIT if history_limit is None else history_limit
        self._open_account = open_account
        self._unclaimed: Usage | None = None
        self._is_hopeless = False
        self._told_of: ExperimentId | None = None

    def tell_news(self) -> None:
        """Something changed (a result is out, a best is new): an idle wait ends."""
        self._news.set()

    def offer_repair(self, assignment: Assignment, failure: Failure) -> None:
        """Let the agent mend its draft when the next idea is due."""
        self._claimer.offer_repair(assignment, failure)

    async def give_back(self, assignment: Assignment, reason: str) -> None:
        """Releases work that will not be done."""
        await self._claimer.give_back(assignment.lease, reason)

    async def next_assignment(self) -> Assignment:
        """Comes back with work that is started and may train at once.

        A full disk is waited out. Raises SwarmError where it is final, as a ban or a damaged file is, and
        AgentEnded where the agent will do nothing any more.
        """
        failures = 0
        told = ""
        while True:
            self._news.clear()
            try:
                can_propose = self._agent.can_propose and not self._is_hopeless
                task = await self._swarm.next_task(can_propose=can_propose, can_train=True)
                if isinstance(task, IdleTask):
                    if task.reason != told:
                        _log.info("nothing to do", reason=task.reason, retry_after_s=task.retry_after_s)
                    told = task.reason
                    await self._pause(min(task.retry_after_s, IDLE_MAX_S))
                    continue
                return await self._paid_for(task)
            except (UnknownChallenge, StateFileDamaged, AgentEnded):
                raise
            except Outdated:
                continue
            except _NoParent as error:
                failures += 1
                self._give_up(error.parent, str(error))
                await self._pause(self._backoff(failures))
            except (NothingReady, AgentError, LeaseLost, NotFound, Conflict, InvalidArgument) as error:
                failures += 1
                _log.info("no work came of it", reason=str(error), failures=failures)
                await self._pause(self._rest_s(error, failures))
            except (Unavailable, ReadOnly, LimitExceeded, Internal, StateFileError) as error:
                failures += 1
                pause_s = min(max(error.retry_after_s or 0.0, self._backoff(failures)), PAUSE_MAX_S)
                if error.message != told:
                    _log.warning("no work for now; asking again", reason=error.message)
                told = error.message
                await self._pause(pause_s)

    async def _paid_for(self, task: Task) -> Assignment:
        """The work with what the agent spent on it, and on what came to nothing before it."""
        account = self._open_account()
        try:
            assignment = await self._ready(task, account)
        except BaseException:
            self._unclaimed = sum_of(self._unclaimed, account.usage)
            raise
        if account.usage is None:
            return assignment
        usage, self._unclaimed = sum_of(self._unclaimed, account.usage), None
        return replace(assignment, usage=usage)

    async def _ready(self, task: Task, account: Account) -> Assignment:
        match task:
            case ExploreTask():
                return await self._explore(task.parent, account)
            case BaselineTask():
                return await self._claimer.under(task.lease, self._baseline(task))
            case ReplicateTask():
                return await self._claimer.under(task.lease, self._pair(task))
            case QueuedTask():
                return await self._claimer.under(task.lease, self._queued(task, account))
            case IdleTask():
                raise NothingReady(task.reason)

    async def _explore(self, parent: WorkingBest, account: Account) -> Assignment:
        """An idea on the working best or, where the agent can do nothing with it, on what it came from."""
        context = await self._context(parent, account)
        try:
            assignment = await self._explore_on(context)
        except UnsuitableParent as error:
            reason = str(error)
        else:
            self._be_content()
            return assignment
        for forebear in self._library.forebears(parent, await self._library.history()):
            try:
                source = _text(await self._library.source(forebear.experiment_id), forebear.experiment_id)
                assignment = await self._explore_on(replace(context, parent=forebear, parent_source=source))
            except (UnsuitableParent, NotFound):
                continue
            self._tell_of(parent, f"{reason}; building on {forebear.title or 'its forebear'!r} instead")
            return assignment
        raise _NoParent(parent, reason)

    async def _explore_on(self, context: AgentContext) -> Assignment:
        for _ in range(PROPOSALS_LIMIT):
            proposal = await self._claimer.idea(context)
            outcome = await self._claimer.claim_and_start(context, proposal)
            if isinstance(outcome, Assignment):
                return outcome
            _log.info("proposal refused", title=proposal.hypothesis.title, answer=outcome.answer)
            context = replace(context, refusals=(*context.refusals, outcome))
        raise NothingReady(f"{PROPOSALS_LIMIT} proposals were refused in a row")

    async def _queued(self, task: QueuedTask, account: Account) -> Assignment:
        """A waiting idea: it is run as it came, or the agent writes the code where it came in words alone."""
        context = await self._context(task.parent, account)
        if task.source_hash is None:
            materials = await self._library.materials(task.material_ids)
            context = replace(context, kind=task.kind, materials=materials)
            proposal = await self._claimer.code_for(context, task.hypothesis)
        else:
            draft = _text(await self._library.code(task.source_hash), task.source_hash)
            proposal = Proposal(hypothesis=task.hypothesis, draft=draft)
        outcome = await self._claimer.claim_and_start(context, proposal, queued=task.lease)
        if isinstance(outcome, Refusal):
            raise NothingReady(f"the waiting idea {task.hypothesis.title!r} is refused: {outcome.answer}")
        if outcome.lease.claim_id != task.lease.claim_id:
            self._leases.drop(task.lease.claim_id)  # the claim has taken it over
        return outcome

    async def _baseline(self, task: BaselineTask) -> Assignment:
        source = self._facts.challenge.baseline_source.encode()
        hypothesis = Hypothesis(title="baseline")
        run = Run(
            experiment=experiment_of(self._facts, task.experiment_id, hypothesis, source, now=self._now()),
            source=source,
            seed=task.seed,
            val_seed=task.val_seed,
            purpose=Purpose.BASELINE,
        )
        return Assignment(runs=(run,), lease=task.lease, title="baseline", prepared_at=self._now())

    async def _pair(self, task: ReplicateTask) -> Assignment:
        """Candidate and control with the same seeds: the difference is what counts."""
        sides = (
            (task.candidate_id, Purpose.VERIFY_CANDIDATE),
            (task.control_id, Purpose.VERIFY_CONTROL),
        )
        runs = []
        for experiment_id, purpose in sides:
            source = await self._library.source(experiment_id)
            hypothesis = Hypothesis(title=f"replication of {experiment_id}")
            runs.append(
                Run(
                    experiment=experiment_of(self._facts, experiment_id, hypothesis, source, now=self._now()),
                    source=source,
                    seed=task.seed,
                    val_seed=task.val_seed,
                    purpose=purpose,
                    verification_id=task.verification_id,
                )
            )
        title = f"verification of {task.candidate_id}"
        return Assignment(runs=tuple(runs), lease=task.lease, title=title, prepared_at=self._now())

    def _give_up(self, parent: WorkingBest, reason: str) -> None:
        """Asks for no exploring until there are news."""
        self._is_hopeless = True
        self._tell_of(parent, f"{reason}; until there is a new best, only queued work is done")

    def _tell_of(self, parent: WorkingBest, note: str) -> None:
        """Once for each parent."""
        self._on_note(note)
        if self._told_of != parent.experiment_id:
            _log.warning("the agent cannot build on the best", reason=note)
        self._told_of = parent.experiment_id

    def _be_content(self) -> None:
        if self._told_of is not None:
            self._told_of = None
            self._on_note("")

    async def _context(self, parent: WorkingBest, account: Account) -> AgentContext:
        text = _text(await self._library.best_source(parent), parent.experiment_id)
        return AgentContext(
            challenge=self._facts.challenge,
            program=await self._program.text(),
            parent=parent,
            parent_source=text,
            history=await self._library.history(self._history_limit),
            account=account,
            # An agent that is to know nothing of what others tried learns nothing from them either.
            insights=await self._library.insights() if self._history_limit else (),
        )

    async def _pause(self, pause_s: float) -> None:
        """Sleeps, unless news come first."""
        sleeping = asyncio.ensure_future(self._sleep(pause_s))
        hearing = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({sleeping, hearing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            hearing.cancel()
        if self._news.is_set():
            self._is_hopeless = False

    def _rest_s(self, error: Exception, failures: int) -> float:
        """What is handed back is remembered by whoever handed it out: something else may be had at once."""
        if isinstance(error, CannotDo) and failures <= HAND_BACKS_LIMIT:
            return 0.0
        return self._backoff(failures)

    def _backoff(self, failures: int) -> float:
        ceiling = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** min(failures - 1, 10))
        return self._jitter.uniform(0.5, 1.0) * ceiling


def _text(source: bytes, name: str) -> str:
    try:
        return source.decode()
    except UnicodeDecodeError as error:
        raise NothingReady(f"the code of {name} is not UTF-8") from error
