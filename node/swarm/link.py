"""A swarm with a way out: the coordinator while it answers, this machine's own swarm while it does not.

    online --Unavailable--> solo --connected, outbox empty, wins handed over--> online

Losing the coordinator is one logged transition, whichever call notices it. From then on every call is
answered alone, and a background task tries to return. What the coordinator granted before stays known:
its leases are renewed with it once it is back, and a claim under way is granted again by this machine.
Results always go through the outbox first.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog
from autoresearch.errors import (
    InvalidArgument,
    LeaseLost,
    NotFound,
    SwarmError,
    Unavailable,
)
from autoresearch.limits import check_insight, clip_log_tail, clip_text
from autoresearch.model import (
    BaselineTask,
    Beat,
    ClaimId,
    ClaimVerdict,
    Duplicate,
    ExperimentId,
    ExperimentPage,
    ExperimentQuery,
    ExperimentState,
    ExperimentSummary,
    Granted,
    Hardware,
    Hypothesis,
    HypothesisId,
    Insight,
    InsightId,
    InsightQuery,
    Lease,
    Position,
    Program,
    Published,
    QueuedTask,
    ReplicateTask,
    Result,
    Session,
    SourceHash,
    StartRefused,
    StartVerdict,
    Task,
)

from node.swarm.handover import Online, hand_over_ideas, hand_over_wins
from node.swarm.outbox import Outbox
from node.swarm.protocol import BestSource, Publication
from node.swarm.solo import HEARTBEAT_S, SoloSwarm
from node.swarm.solo_results import STATE_OF

RETURN_FIRST_S = 2.0
RETURN_MAX_S = 120.0
RETURN_DOUBLINGS_MAX = 8
GRANTS_REMEMBERED = 512
KNOWN_LIMIT = 5_000

T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    """Who granted a claim, and for what."""

    is_solo: bool
    hypothesis: Hypothesis | None = None
    parent_id: ExperimentId | None = None


class LinkedSwarm:
    """``Swarm`` that never stops answering once a challenge is known; for one event loop.

    ``publish`` keeps the result on disk before anything else and raises only for a result that can never
    be accepted (it is set aside in the outbox, with the reason).
    """

    def __init__(
        self,
        online: Online,
        solo: SoloSwarm,
        outbox: Outbox,
        *,
        on_change: Callable[[bool, str], None] = lambda _online, _why: None,
        on_interval: Callable[[float], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: random.Random | None = None,
    ) -> None:
        """Composes the three; closing the link closes them.

        Args:
            online: The coordinator.
            solo: This machine's own swarm, of the same challenge.
            outbox: What the coordinator has not acknowledged.
            on_change: Told at each transition whether the node is online now, and why.
            on_interval: Told at each transition, and at each new session, how many seconds may lie between
                heartbeats: leases of another coordinator, or of this machine, may be shorter.
            sleep: Waits between attempts to return.
            jitter: Spreads the nodes that lost the same coordinator.
        """
        self._online = online
        self._solo = solo
        self._outbox = outbox
        self._on_change = on_change
        self._on_interval = on_interval
        self._sleep = sleep
        self._jitter = jitter or random.Random()
        self._is_online = True
        self._hardware: Hardware | None = None
        self._challenge = ""
        self._position = Position(epoch=0, stream_id="")
        self._grants: OrderedDict[ClaimId, _Grant] = OrderedDict()
        self._known: OrderedDict[ExperimentId, tuple[ExperimentState, int]] = OrderedDict()
        self._known_insights: OrderedDict[InsightId, None] = OrderedDict()
        self._adopted: BestSource | None = None
        self._returning: asyncio.Task[None] | None = None

    @property
    def is_online(self) -> bool:
        """False while this node works alone."""
        return self._is_online

    # The Protocol

    async def connect(self, hardware: Hardware, challenge: str = "") -> Session:
        """The coordinator's session, or this machine's own where it cannot be reached."""
        self._hardware, self._challenge = hardware, challenge
        alone = await self._solo.connect(hardware, challenge)
        self._challenge = alone.challenge.challenge_id
        asked_at = self._outbox.seen()
        try:
            session = await self._online.connect(hardware, self._challenge)
            await self._take_up(session, asked_at)
        except Unavailable as error:
            self._go_solo(error)
            return alone
        return session

    async def next_task(self, *, can_propose: bool, can_train: bool) -> Task:
        if self._is_online:
            try:
                task = await self._online.next_task(can_propose=can_propose, can_train=can_train)
            except Unavailable as error:
                self._go_solo(error)
            else:
                self._remember_task(task, is_solo=False)
                return task
        task = await self._solo.next_task(can_propose=can_propose, can_train=can_train)
        self._remember_task(task, is_solo=True)
        return task

    async def claim(
        self,
        claim_id: ClaimId,
        hypothesis: Hypothesis,
        parent_id: ExperimentId,
        *,
        queued_claim_id: ClaimId | None = None,
    ) -> ClaimVerdict:
        queued = self._grants.get(queued_claim_id) if queued_claim_id else None
        if self._is_online and not (queued and queued.is_solo):
            try:
                verdict = await self._online.claim(
                    claim_id, hypothesis, parent_id, queued_claim_id=queued_claim_id
                )
            except Unavailable as error:
                self._go_solo(error)
            else:
                self._remember(claim_id, _Grant(is_solo=False, hypothesis=hypothesis, parent_id=parent_id))
                return verdict
        own_queue = queued_claim_id if queued and queued.is_solo else None
        verdict = await self._solo.claim(claim_id, hypothesis, parent_id, queued_claim_id=own_queue)
        self._remember(claim_id, _Grant(is_solo=True, hypothesis=hypothesis, parent_id=parent_id))
        return verdict

    async def start(self, lease: Lease, experiment_id: ExperimentId, source: bytes) -> StartVerdict:
        if self._is_solo_claim(lease.claim_id):
            return await self._solo.start(lease, experiment_id, source)
        if self._is_online:
            try:
                return await self._online.start(lease, experiment_id, source)
            except Unavailable as error:
                self._go_solo(error)
        return await self._start_alone(lease, experiment_id, source)

    async def release(self, lease: Lease, reason: str) -> None:
        """What the coordinator granted expires there by itself while it is away."""
        if self._is_solo_claim(lease.claim_id):
            await self._solo.release(lease, reason)
        elif self._is_online:
            try:
                await self._online.release(lease, reason)
            except Unavailable as error:
                self._go_solo(error)

    async def publish(self, publication: Publication) -> Published:
        publication = replace(publication, result=_presentable(publication.result))
        lease = publication.lease
        is_own = lease is not None and self._is_solo_claim(lease.claim_id)
        outgoing = replace(publication, lease=None) if is_own else publication
        self._outbox.put(outgoing)
        delivered = None
        if self._is_online:
            try:
                delivered = await self._deliver(outgoing)
            except Unavailable as error:
                self._go_solo(error)
        if is_own or not self._is_online:
            alone = await self._solo.publish(publication)
            return delivered or alone
        await self._solo.learn_run(publication)
        return delivered or self._kept(publication.result)

    async def heartbeat(self, claim_ids: Sequence[ClaimId], activity: str) -> Beat:
        """Leases of a coordinator that is away are neither renewed nor lost."""
        own = [claim_id for claim_id in claim_ids if self._is_solo_claim(claim_id)]
        if self._is_online:
            others = [claim_id for claim_id in claim_ids if claim_id not in own]
            asked_at = self._outbox.seen()
            try:
                beat = await self._online.heartbeat(others, activity)
                await self._catch_up(beat.position, asked_at)
            except Unavailable as error:
                self._go_solo(error)
            else:
                alone = await self._solo.heartbeat(own, activity)
                return replace(beat, renewed=(*beat.renewed, *alone.renewed), lost=(*beat.lost, *alone.lost))
        return await self._solo.heartbeat(own, activity)

    async def best(self) -> BestSource | None:
        if self._is_online:
            try:
                known = await self._online.best()
            except Unavailable as error:
                self._go_solo(error)
            else:
                await self._adopt(known)
                return known
        return await self._solo.best()

    async def source(self, experiment_id: ExperimentId) -> bytes:
        """Code never changes, so what is here need not be asked for."""
        with contextlib.suppress(NotFound):
            return await self._solo.source(experiment_id)
        return await self._ask(
            lambda: self._online.source(experiment_id), lambda: self._solo.source(experiment_id)
        )

    async def source_by_hash(self, source_hash: SourceHash) -> bytes:
        with contextlib.suppress(NotFound):
            return await self._solo.source_by_hash(source_hash)
        return await self._ask(
            lambda: self._online.source_by_hash(source_hash), lambda: self._solo.source_by_hash(source_hash)
        )

    async def experiments(self, query: ExperimentQuery) -> ExperimentPage:
        if self._is_online:
            try:
                page = await self._online.experiments(query)
            except Unavailable as error:
                self._go_solo(error)
            else:
                await self._learn(page)
                return page
        return await self._solo.experiments(query)

    async def experiment(self, experiment_id: ExperimentId) -> ExperimentSummary:
        return await self._ask(
            lambda: self._online.experiment(experiment_id), lambda: self._solo.experiment(experiment_id)
        )

    async def propose(
        self,
        hypothesis_id: HypothesisId,
        hypothesis: Hypothesis,
        source: bytes | None,
        origin: ExperimentId | None,
        *,
        priority: int = 0,
        parent: ExperimentId | None = None,
    ) -> None:
        """While alone, the idea joins this machine's queue and is handed over at the return."""
        await self._ask(
            lambda: self._online.propose(
                hypothesis_id, hypothesis, source, origin, priority=priority, parent=parent
            ),
            lambda: self._solo.propose(
                hypothesis_id, hypothesis, source, origin, priority=priority, parent=parent
            ),
        )

    async def share(self, insight: Insight) -> None:
        """On this machine's disk first; raises only for an insight that breaks a limit of the contract."""
        check_insight(insight)
        self._outbox.insights.put(insight)
        await self._solo.learn_insights((insight,))
        if self._is_online:
            try:
                await self._replay_insights()
            except Unavailable as error:
                self._go_solo(error)

    async def insights(self, query: InsightQuery) -> tuple[Insight, ...]:
        if self._is_online:
            try:
                found = await self._online.insights(query)
            except Unavailable as error:
                self._go_solo(error)
            else:
                await self._learn_insights(found)
                return found
        return await self._solo.insights(query)

    async def program(self) -> Program:
        if self._is_online:
            try:
                program = await self._online.program()
            except Unavailable as error:
                self._go_solo(error)
            else:
                await self._solo.learn_program(program)
                return program
        return await self._solo.program()

    async def close(self) -> None:
        if self._returning is not None:
            self._returning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._returning
        await self._online.close()
        await self._solo.close()
        self._outbox.close()

    # Away and back

    async def try_return(self) -> bool:
        """One attempt to go online: connect, hand over what was done alone, continue. False if it failed."""
        if self._hardware is None:
            raise InvalidArgument("no session is open; connect first")
        asked_at = self._outbox.seen()
        try:
            session = await self._online.connect(self._hardware, self._challenge)
            await self._take_up(session, asked_at)
        except SwarmError as error:
            _log.info("still alone", code=error.code, reason=error.message)
            return False
        if not self._is_online:
            self._is_online = True
            _log.info("online again", epoch=session.position.epoch)
            self._on_change(True, "the coordinator answers again")
        self._on_interval(session.heartbeat_interval_s)
        return True

    def _go_solo(self, error: SwarmError) -> None:
        if not self._is_online:
            return
        self._is_online = False
        _log.warning("the coordinator is lost; working alone", reason=error.message)
        self._on_change(False, error.message)
        self._on_interval(HEARTBEAT_S)
        self._returning = asyncio.create_task(self._return(), name="return to the coordinator")

    async def _return(self) -> None:
        attempt = 0
        while not self._is_online:
            ceiling = min(RETURN_MAX_S, RETURN_FIRST_S * 2.0 ** min(attempt, RETURN_DOUBLINGS_MAX))
            await self._sleep(self._jitter.uniform(0.5, 1.0) * ceiling)
            try:
                await self.try_return()
            except Exception:  # noqa: BLE001 - the task's edge: a bug must not strand the node
                _log.exception("returning failed")
            attempt += 1

    async def _take_up(self, session: Session, asked_at: Position | None) -> None:
        """Everything that a coordinator must know and must tell before work goes on with it."""
        self._position = session.position
        if session.program is not None:
            await self._solo.learn_program(session.program)
        self._outbox.notice(session.position, asked_at=asked_at)
        await self._replay()
        known = await self._online.best()
        await hand_over_wins(self._online, self._solo, known)
        await hand_over_ideas(self._online, self._solo)
        await self._adopt(known)
        await self._replay()
        await self._replay_insights()

    async def _replay(self) -> None:
        """Raises Unavailable; whatever else stops it is logged and tried at a later heartbeat."""
        replay = await self._outbox.replay(self._online.publish)
        if replay is None or replay.error is None:
            if replay is not None and replay.published:
                _log.info("results handed over", results=len(replay.published))
            return
        if isinstance(replay.error, Unavailable):
            raise replay.error
        _log.warning("results wait", waiting=self._outbox.waiting_count(), reason=replay.error.message)

    async def _replay_insights(self) -> None:
        """Raises Unavailable; whatever else stops it is logged and tried at a later heartbeat."""
        error = await self._outbox.replay_insights(self._online.share)
        if isinstance(error, Unavailable):
            raise error
        if error is not None:
            _log.warning("insights wait", waiting=self._outbox.insights.waiting_count(), reason=error.message)

    async def _catch_up(self, position: Position, asked_at: Position | None) -> None:
        self._position = position
        self._outbox.notice(position, asked_at=asked_at)
        if self._outbox.waiting_count():
            await self._replay()
        await self._replay_insights()

    async def _deliver(self, publication: Publication) -> Published | None:
        """The acknowledgement, None while the coordinator cannot take it; raises for a refusal for good."""
        result_id = publication.result.result_id
        replay = await self._outbox.replay(self._online.publish)
        if replay is None:
            return None  # another worker of this machine is at it, and takes this one along or the next does
        for published in replay.published:
            if published.result_id == result_id:
                self._position = published.position
                return published
        if result_id in replay.refused:
            raise replay.refused[result_id]
        if isinstance(replay.error, Unavailable):
            raise replay.error
        if replay.error is not None:
            _log.warning("result kept; the coordinator does not take it now", reason=replay.error.message)
        return None

    # Knowledge for lonely times

    async def _adopt(self, known: BestSource | None) -> None:
        if known is not None and known != self._adopted:
            await self._solo.adopt_best(known)
            self._adopted = known

    async def _learn(self, page: ExperimentPage) -> None:
        news = [
            summary
            for summary in page.experiments
            if self._known.get(summary.experiment.experiment_id) != (summary.state, summary.runs)
        ]
        if news:
            await self._solo.learn(news)
        for summary in news:
            self._known[summary.experiment.experiment_id] = (summary.state, summary.runs)
            self._known.move_to_end(summary.experiment.experiment_id)
        while len(self._known) > KNOWN_LIMIT:
            self._known.popitem(last=False)

    async def _learn_insights(self, found: Sequence[Insight]) -> None:
        news = [insight for insight in found if insight.insight_id not in self._known_insights]
        if news:
            await self._solo.learn_insights(tuple(reversed(news)))  # the newest last, as they came
        for insight in news:
            self._known_insights[insight.insight_id] = None
        while len(self._known_insights) > KNOWN_LIMIT:
            self._known_insights.popitem(last=False)

    async def _start_alone(self, lease: Lease, experiment_id: ExperimentId, source: bytes) -> StartVerdict:
        """The coordinator granted the words and is gone: this machine judges them again, then the code."""
        grant = self._grants.get(lease.claim_id)
        if grant is None or grant.hypothesis is None or grant.parent_id is None:
            raise LeaseLost("the coordinator that granted this is away; ask for another task")
        verdict = await self._solo.claim(lease.claim_id, grant.hypothesis, grant.parent_id)
        match verdict:
            case Granted():
                self._remember(lease.claim_id, replace(grant, is_solo=True))
                return await self._solo.start(verdict.lease, experiment_id, source)
            case Duplicate():
                return StartRefused(match=verdict.match, level=verdict.level)
            case _:
                raise LeaseLost("this machine alone has a question about the idea; propose it anew")

    async def _ask(self, online: Callable[[], Awaitable[T]], alone: Callable[[], Awaitable[T]]) -> T:
        if self._is_online:
            try:
                return await online()
            except Unavailable as error:
                self._go_solo(error)
        return await alone()

    def _remember_task(self, task: Task, *, is_solo: bool) -> None:
        if isinstance(task, (BaselineTask, ReplicateTask, QueuedTask)):
            self._remember(task.lease.claim_id, _Grant(is_solo=is_solo))

    def _remember(self, claim_id: ClaimId, grant: _Grant) -> None:
        self._grants[claim_id] = grant
        self._grants.move_to_end(claim_id)
        while len(self._grants) > GRANTS_REMEMBERED:
            self._grants.popitem(last=False)

    def _is_solo_claim(self, claim_id: ClaimId) -> bool:
        grant = self._grants.get(claim_id)
        return grant is not None and grant.is_solo

    def _kept(self, result: Result) -> Published:
        """On this machine's disk; the coordinator's word on it comes later."""
        return Published(
            result_id=result.result_id,
            position=self._position,
            is_repeat=False,
            is_late=False,
            state=STATE_OF[result.outcome],
            best=self._adopted.best if self._adopted else None,
        )


def _presentable(result: Result) -> Result:
    """Free text as the contract takes it: a run is not lost for an escape sequence in its log."""
    return replace(result, log_tail=clip_log_tail(result.log_tail), reason=clip_text(result.reason))
