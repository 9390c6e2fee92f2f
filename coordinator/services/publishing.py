"""Takes results in: each exactly once, decided together with what it does to its class's best."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog
from autoresearch.errors import Conflict, InvalidArgument, LimitExceeded, NotFound, Unavailable
from autoresearch.limits import check_experiment, check_hardware_class, check_result, check_source
from autoresearch.model import (
    ClaimId,
    Experiment,
    ExperimentState,
    HypothesisId,
    Node,
    NodeId,
    Outcome,
    Position,
    Published,
    Purpose,
    Result,
)

from coordinator.domain.baseline import is_baseline_of
from coordinator.domain.claims import Blocking, blocking_of
from coordinator.domain.class_state import ClassState, working_best
from coordinator.domain.combining import told_of_ablation
from coordinator.domain.draft import Decision
from coordinator.services.bundling import Bundling
from coordinator.services.catalog import REPLICATES
from coordinator.services.context import ChallengeContext
from coordinator.services.evidence import Evidence, check_task
from coordinator.services.leases import Held
from coordinator.services.reading import code_keys, keys_of
from coordinator.services.rebasing import queue_candidates, queue_rebase, with_retries
from coordinator.services.solo import SoloReader, SoloRun
from coordinator.services.sources import hash_of
from coordinator.storage.base import (
    Accepted,
    Blocks,
    EditKey,
    IndexBehind,
    NewSource,
    Publication,
    PublishOutcome,
    ResultIdTaken,
    StaleClass,
    StoredClass,
    StoredReading,
    UnknownExperiment,
)

HISTORIES_LIMIT = 4
"""How often one result is decided anew because the store was restarted meanwhile."""

DECISIONS_LIMIT = 64
"""How often one result is decided anew because its class moved on; each time another result won."""

BUSY_RETRY_S = 1.0

_log = structlog.get_logger("coordinator.publishing")


class _NotInStore(Exception):
    """The store does not know an experiment that this process knew."""


class _Behind(Exception):
    """The indexes that decided, at ``seen``, are of another history than the store's at ``position``."""

    def __init__(self, position: Position, seen: Position) -> None:
        super().__init__(position, seen)
        self.position = position
        self.seen = seen


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """One checked call."""

    caller: Node
    result: Result
    held: Held | None
    solo: SoloRun | None
    claim_id: ClaimId | None
    fencing_token: int
    seen: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    """A checked result with all that the store may need about it. ``seen``: where the indexes stood."""

    evidence: Evidence
    seen: Position
    claim_id: ClaimId | None
    fencing_token: int
    ends_claim: bool
    needs_claim: bool
    is_scored: bool
    experiment: Experiment | None
    reading: StoredReading | None
    source: NewSource | None
    blocked: tuple[EditKey, ...]
    settles: HypothesisId | None
    proposer: NodeId | None
    train_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What the store answered, with the decision that went in."""

    accepted: Accepted
    decision: Decision | None
    state: ClassState


class Publishing:
    """The only way into the ledger."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context
        self._solo = SoloReader(context)
        self._bundling = Bundling(context)

    async def publish(
        self,
        caller: Node,
        *,
        result: Result,
        experiment: Experiment | None = None,
        source: bytes | None = None,
        claim_id: ClaimId | None = None,
        fencing_token: int = 0,
    ) -> Published:
        """Keeps a result and what follows from it; when this returns, it is on disk.

        Idempotent by result id. ``experiment`` and ``source`` are needed where the coordinator may not
        know the experiment (a solo run); the ids of node and owner are taken from the caller.

        Raises:
            InvalidArgument: a limit is broken, or the result contradicts its task.
            NotFound: the experiment is unknown and was not brought.
            Conflict: the result id was used for something else.
            LimitExceeded: the store was restarted, and is not read yet; repeat the call.
            Unavailable: nothing was decided; repeat the call.
        """
        result = self._checked(caller, result, experiment, source)
        for _ in range(HISTORIES_LIMIT):
            try:
                return await self._take_in(
                    caller,
                    result,
                    experiment=experiment,
                    source=source,
                    claim_id=claim_id,
                    fencing_token=fencing_token,
                )
            except _Behind as behind:
                await self._c.reach(behind.position, beyond=behind.seen)
        raise LimitExceeded(
            "the store begins anew faster than this coordinator can read it; repeat",
            retry_after_s=BUSY_RETRY_S,
        )

    async def _take_in(
        self,
        caller: Node,
        result: Result,
        *,
        experiment: Experiment | None,
        source: bytes | None,
        claim_id: ClaimId | None,
        fencing_token: int,
    ) -> Published:
        """One attempt by the indexes as they are. Raises _Behind where they know another history."""
        seen = self._c.progress.position
        held = await self._c.leases.find(claim_id) if claim_id else None
        known = await self._known(result, held)
        solo = None
        if known is None or claim_id is None:
            solo = await self._solo.read(caller, result, known=known, experiment=experiment, source=source)
            known = solo.experiment
        if held is not None:
            check_task(result, known, held, caller)
        self._check_subject(result, known)
        request = _Request(
            caller=caller,
            result=result,
            held=held,
            solo=solo,
            claim_id=claim_id,
            fencing_token=fencing_token,
            seen=seen,
        )
        delivery = await self._delivery(request, known)
        try:
            taken = await self._commit(delivery)
        except _NotInStore as error:
            if experiment is None or source is None:
                raise NotFound(
                    f"experiment {result.experiment_id} is unknown here; publish it with its source"
                ) from error
            solo = await self._solo.read(caller, result, known=None, experiment=experiment, source=source)
            delivery = await self._delivery(replace(request, solo=solo), solo.experiment)
            taken = await self._commit(delivery)
        self._learn(delivery, taken)
        await self._follow_up(caller, delivery, taken)
        return self._answer(delivery, taken)

    @staticmethod
    def _check_subject(result: Result, known: Experiment) -> None:
        """Refuses a run of other code or on other hardware than its experiment's."""
        if result.code_hash != known.source_hash:
            raise InvalidArgument(
                f"result.code_hash is not the source of experiment {known.experiment_id}; train that source"
            )
        if result.hardware.hardware_class != known.hardware_class:
            raise InvalidArgument(
                f"the run was made on {result.hardware.hardware_class} and experiment {known.experiment_id} "
                f"is of {known.hardware_class}; results of different classes never meet"
            )

    def _checked(
        self, caller: Node, result: Result, experiment: Experiment | None, source: bytes | None
    ) -> Result:
        challenge = self._c.challenge
        check_result(result, metric=challenge.metric_name)
        if result.challenge_id != challenge.challenge_id:
            raise InvalidArgument(
                f"the result is of challenge {result.challenge_id}, this is {challenge.challenge_id}"
            )
        if result.outcome is Outcome.COMPLETED and result.harness_version not in challenge.harness_versions:
            raise InvalidArgument(
                f"harness {result.harness_version!r} is not accepted here; update to one of: "
                f"{', '.join(challenge.harness_versions)}"
            )
        check_hardware_class(caller.hardware_class, "the node's hardware class (call Connect first)")
        if experiment is not None:
            check_experiment(experiment)
            if experiment.experiment_id != result.experiment_id:
                raise InvalidArgument("result and experiment have different experiment ids")
        if source is not None:
            check_source(source)
            if hash_of(source) != result.code_hash:
                raise InvalidArgument("result.code_hash is not the hash of the source that came with it")
        return replace(
            result, node_id=caller.node_id, owner_id=caller.owner_id, is_late=False, published_at=None
        )

    async def _known(self, result: Result, held: Held | None) -> Experiment | None:
        """The experiment as the coordinator has it."""
        started = held.experiment if held is not None else None
        if started is not None and started.experiment_id == result.experiment_id:
            return started
        if self._is_baseline(result):
            return self._c.baseline_of(result.hardware.hardware_class)
        entry = self._c.catalog.entry(result.experiment_id)
        if entry is not None:
            return entry.experiment
        record = await self._c.find_record(result.experiment_id)
        return record.experiment if record else None

    def _is_baseline(self, result: Result) -> bool:
        challenge_id = self._c.challenge.challenge_id
        return is_baseline_of(challenge_id, result.hardware.hardware_class, result.experiment_id)

    async def _delivery(self, request: _Request, experiment: Experiment) -> _Delivery:
        result, held, solo = request.result, request.held, request.solo
        score = result.metrics.get(self._c.challenge.metric_name)
        is_explore = result.purpose is Purpose.EXPLORE
        is_first = self._is_first(request, experiment)
        evidence = Evidence(
            result=result,
            experiment=experiment,
            score=score if result.outcome is Outcome.COMPLETED else None,
            held=held,
            is_first=is_first,
            counts=self._counts(request, experiment, is_first=is_first),
            holdout_gap=self._holdout_gap(result),
            hidden_gap=self._hidden_gap(result),
            size=await self._size(experiment) if is_first and result.outcome is Outcome.COMPLETED else 0,
        )
        is_baseline = self._is_baseline(result)
        return _Delivery(
            evidence=evidence,
            seen=request.seen,
            claim_id=request.claim_id,
            fencing_token=request.fencing_token,
            ends_claim=held is None or held.note.slot is None or self._is_second(held, result),
            needs_claim=held is not None and not is_explore,
            # A second result of one half is kept as evidence: only the first speaks for the code.
            is_scored=is_first if is_explore else held is not None and result.purpose not in held.published,
            experiment=experiment if is_baseline or solo is not None else None,
            reading=solo.reading if solo is not None else None,
            source=self._c.baseline_source() if is_baseline else solo.source if solo is not None else None,
            blocked=await self._blocked(request, experiment),
            settles=held.note.idea if held is not None else None,
            proposer=experiment.proposer_id if held is not None and is_explore else None,
            train_s=self._credited_s(result),
            reason=result.reason or self._told_of(evidence),
        )

    def _told_of(self, evidence: Evidence) -> str:
        """What the first run of an ablation says of the edit that it takes out; empty for any other run."""
        experiment, score = evidence.experiment, evidence.score
        step = self._c.catalog.step(experiment.experiment_id)
        if step is None or step.takes_out is None or score is None or not evidence.is_first:
            return ""
        before = self._c.catalog.score_of(step.parents[0])
        if before is None:
            return ""
        gain = self._c.rules.gain(score, before.mean)
        spread = self._c.catalog.spread_of(experiment.hardware_class)
        return told_of_ablation(gain, spread)

    def _is_first(self, request: _Request, experiment: Experiment) -> bool:
        """True for the experiment's own node, or its task, as long as no run of it is scored."""
        is_task = request.held is not None and request.held.note.baseline is not None
        entry = self._c.catalog.entry(experiment.experiment_id)
        is_own = experiment.node_id == request.caller.node_id
        return (is_own or is_task) and (entry is None or not entry.runs)

    def _counts(self, request: _Request, experiment: Experiment, *, is_first: bool) -> bool:
        """Whether the run may change a best. What does not is kept as evidence all the same."""
        result, held = request.result, request.held
        if result.hardware.hardware_class != request.caller.hardware_class:
            return False
        if result.purpose is not Purpose.EXPLORE:
            return held is not None
        is_replication = any(flag.startswith(REPLICATES) for flag in experiment.flags)
        # A second run of one's own choice could be repeated until it is lucky.
        return is_first and not is_replication

    async def _blocked(self, request: _Request, experiment: Experiment) -> tuple[EditKey, ...]:
        """What the run's code holds: as its start, the index or, where neither knows it, the code tells."""
        is_own = experiment.node_id == request.caller.node_id
        if request.result.purpose is not Purpose.EXPLORE or not is_own:
            return ()
        if request.held is not None and request.held.blocked:
            return request.held.blocked
        if request.solo is not None and request.solo.blocked:
            return request.solo.blocked
        if known := self._known_keys(experiment):
            return known
        try:
            code = await self._c.sources.get(experiment.source_hash)
            parent = (
                await self._c.source_of(experiment.parent, experiment.hardware_class)
                if experiment.parent is not None
                else None
            )
            return code_keys(await self._c.reader.read(code, parent))
        except (NotFound, InvalidArgument):
            return ()

    def _known_keys(self, experiment: Experiment) -> tuple[EditKey, ...]:
        """What the index knows that the code holds; nothing where it has not read it against its parent."""
        tried = self._c.index.get(experiment.experiment_id)
        parent = self._c.index.get(experiment.parent) if experiment.parent else None
        if tried is None or parent is None or not parent.is_read:
            return ()
        return keys_of(tried, parent.file_signature)

    def _holdout_gap(self, result: Result) -> float | None:
        """How much worse the run scored on the held-back validation; None if it was not measured there."""
        public = result.metrics.get(self._c.challenge.metric_name)
        held_back = result.metrics.get(self._c.challenge.holdout_metric)
        if public is None or held_back is None or result.outcome is not Outcome.COMPLETED:
            return None
        return self._c.rules.gain(public, held_back)

    def _hidden_gap(self, result: Result) -> float | None:
        """How much worse the run predicted what no input showed it; None if it was not measured."""
        policy = self._c.challenge.hidden_gap
        return None if policy is None else result.metrics.get(policy.metric)

    async def _size(self, experiment: Experiment) -> int:
        """The code's length; what cannot be read is of none."""
        tried = self._c.index.get(experiment.experiment_id)
        if tried is not None and tried.is_read:
            return tried.size
        try:
            code = await self._c.sources.get(experiment.source_hash)
            return (await self._c.reader.read(code)).size
        except (NotFound, InvalidArgument):
            return 0

    def _is_second(self, held: Held, result: Result) -> bool:
        return bool(held.published - {result.purpose})

    def _credited_s(self, result: Result) -> float:
        limits = self._c.challenge.limits
        longest = limits.launch_s + limits.setup_s + limits.train_wall_s + limits.eval_s
        lasted = (result.finished_at - result.started_at).total_seconds()
        return min(max(lasted, 0.0), float(longest))

    async def _commit(self, delivery: _Delivery) -> _Taken:
        """Decides and writes until the class stands still for one trip to the store."""
        evidence = delivery.evidence
        hardware_class = evidence.result.hardware.hardware_class
        context = await self._c.promotion_context(hardware_class)
        for _ in range(DECISIONS_LIMIT):
            view = await self._c.classes.get(hardware_class)
            if evidence.decide(view.state, context) is None:
                outcome = await self._c.store.publish(self._publication(delivery, view.version, None))
                taken = self._outcome(delivery, outcome, None, view.state)
            else:
                async with self._c.classes.lock(hardware_class):
                    view = await self._c.classes.get(hardware_class)
                    decision = evidence.decide(view.state, context)
                    decision = with_retries(self._c, decision) if decision is not None else None
                    publication = self._publication(delivery, view.version, decision)
                    outcome = await self._c.store.publish(publication)
                    taken = self._outcome(delivery, outcome, decision, view.state)
                    if taken is not None and publication.update is not None and taken.decision is not None:
                        self._c.classes.put(
                            StoredClass(
                                hardware_class=hardware_class,
                                version=view.version + 1,
                                state=publication.update.state,
                            )
                        )
            if taken is not None:
                return taken
        raise Unavailable(
            f"class {hardware_class} changed {DECISIONS_LIMIT} times while this result was decided; repeat",
            retry_after_s=BUSY_RETRY_S,
        )

    def _publication(self, delivery: _Delivery, seen_version: int, decision: Decision | None) -> Publication:
        evidence, result = delivery.evidence, delivery.evidence.result
        state = evidence.state()
        return Publication(
            result=result,
            seen_version=seen_version,
            claim_id=delivery.claim_id,
            fencing_token=delivery.fencing_token,
            ends_claim=delivery.ends_claim,
            needs_claim=delivery.needs_claim,
            is_scored=delivery.is_scored,
            experiment=delivery.experiment,
            reading=delivery.reading,
            source=delivery.source,
            state=state,
            reason=delivery.reason if state is not None else "",
            blocks=self._blocks(delivery),
            update=self._c.class_update(decision) if decision is not None else None,
            settles=delivery.settles,
            proposer=delivery.proposer,
            train_s=delivery.train_s,
            seen=delivery.seen,
        )

    @staticmethod
    def _blocks(delivery: _Delivery) -> Blocks | None:
        result = delivery.evidence.result
        blocking = blocking_of(result.outcome, result.crash_kind)
        if not delivery.blocked or blocking is Blocking.NEVER:
            return None
        is_limited = blocking is Blocking.UP_TO_MEMORY
        return Blocks(keys=delivery.blocked, memory_mb=result.hardware.memory_mb if is_limited else None)

    def _outcome(
        self,
        delivery: _Delivery,
        outcome: PublishOutcome,
        decision: Decision | None,
        state: ClassState,
    ) -> _Taken | None:
        """What the store answered; None if the class has moved on."""
        result = delivery.evidence.result
        match outcome:
            case Accepted(is_repeat=is_repeat, is_late=is_late):
                made = None if is_repeat or (is_late and delivery.needs_claim) else decision
                return _Taken(
                    accepted=outcome, decision=made, state=made.state if made is not None else state
                )
            case StaleClass(current=current):
                self._c.classes.put(current)
                return None
            case ResultIdTaken():
                raise Conflict(f"result id {result.result_id} was used for another result; make a new one")
            case IndexBehind(position=position):
                raise _Behind(position, delivery.seen)
            case UnknownExperiment():
                raise _NotInStore(result.experiment_id)

    def _learn(self, delivery: _Delivery, taken: _Taken) -> None:
        """The indexes of this process know at once what others learn from the events."""
        evidence, held = delivery.evidence, delivery.evidence.held
        if taken.accepted.is_repeat:
            return
        result = replace(evidence.result, published_at=self._c.clock())
        is_evidence_alone = delivery.needs_claim and taken.accepted.is_late
        self._c.catalog.add_result(
            evidence.experiment,
            result,
            state=None if is_evidence_alone else evidence.state(),
            reason=delivery.reason,
            position=taken.accepted.position,
            is_scored=delivery.is_scored and not is_evidence_alone,
        )
        if taken.decision is not None:
            for experiment_id, (state, reason) in taken.decision.marks.items():
                self._c.catalog.mark(experiment_id, state, reason)
        if held is not None and delivery.ends_claim:
            self._c.leases.end(held.request.claim_id)
        elif held is not None:
            self._c.leases.mark_published(held, result.purpose)

    async def _follow_up(self, caller: Node, delivery: _Delivery, taken: _Taken) -> None:
        """Queues what deserves another try. The result is safe already: a failure here is only logged."""
        if taken.accepted.is_repeat:
            return
        requeued = taken.decision.requeued if taken.decision else ()
        await queue_candidates(self._c, requeued, node_id=caller.node_id)
        if taken.decision is not None:
            await self._bundling.bundle(delivery.evidence.result.hardware.hardware_class)
        if self._deserves_rebase(delivery, taken):
            await queue_rebase(self._c, delivery.evidence.experiment, node_id=caller.node_id)

    def _deserves_rebase(self, delivery: _Delivery, taken: _Taken) -> bool:
        """A win on an old parent that does not beat the present best as it is: one that was made alone, or
        on a parent that was refuted meanwhile.
        """
        evidence = delivery.evidence
        if evidence.score is None or not evidence.counts:
            return False
        built_on = evidence.experiment.parent
        is_orphan = built_on and self._c.catalog.state_of(built_on) is ExperimentState.REFUTED
        if evidence.held is not None and not is_orphan:
            return False
        if evidence.result.purpose is not Purpose.EXPLORE or taken.decision is not None:
            return False
        working, parent_id = taken.state.working, evidence.experiment.parent
        if working is None or parent_id is None or parent_id == working.experiment_id:
            return False
        delta = self._c.catalog.summary(evidence.experiment.experiment_id).delta
        return delta is not None and SoloReader.is_win(self._c.rules, delta, taken.state)

    def _answer(self, delivery: _Delivery, taken: _Taken) -> Published:
        result = delivery.evidence.result
        state, working = taken.state, taken.state.working
        entry = self._c.catalog.entry(result.experiment_id)
        shown = entry.state if entry else delivery.evidence.state()
        if shown is None:
            raise NotFound(f"experiment {result.experiment_id} is unknown here")
        return Published(
            result_id=result.result_id,
            position=taken.accepted.position,
            is_repeat=taken.accepted.is_repeat,
            is_late=taken.accepted.is_late,
            state=shown,
            best=working_best(working, state, self._c.rules) if working else None,
        )
