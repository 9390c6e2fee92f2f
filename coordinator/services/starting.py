"""May this code be trained? Judged, stored and given its seeds before anybody spends a GPU."""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoresearch.errors import Conflict, InvalidArgument, LeaseLost, LimitExceeded
from autoresearch.limits import FLAGS_LIMIT, check_source, check_uuid
from autoresearch.model import (
    ClaimId,
    Experiment,
    ExperimentId,
    IdeaKind,
    Lease,
    Node,
    Started,
    StartRefused,
    StartVerdict,
)

from coordinator.dedup.code import CodeReading, SourceText
from coordinator.dedup.index import TriedEdit
from coordinator.dedup.judge import Question, Ruling, Verdict
from coordinator.dedup.precedents import Belief
from coordinator.services.answers import Answers
from coordinator.services.catalog import ABLATES
from coordinator.services.context import ChallengeContext
from coordinator.services.leases import Held
from coordinator.services.notes import seeds_of
from coordinator.services.precedents import Precedents
from coordinator.services.reading import (
    StatedChanges,
    WordReader,
    code_keys,
    kept_reading,
    mismatches,
    tried_edit,
)
from coordinator.services.settling import Settling
from coordinator.services.sources import hash_of
from coordinator.storage.base import (
    ClaimGone,
    ClaimKind,
    ExperimentIdTaken,
    KeyHeld,
    KeyTried,
    NewSource,
)

START_RETRY_S = 5.0
JUDGEMENTS_LIMIT = 4
"""Code is judged anew where the store begins another history between the judgement and the answer."""

SAME_ELSEWHERE = "the same edit was tried on another parent: {}"
RUN_AGAIN = "the same edit was tried, on the word of an owner that is not trusted so far: {}"


class Starting:
    """Turns a claim into an experiment. An error is never a start."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context
        self._words = WordReader()
        self._precedents = Precedents(context)
        self._settling = Settling(context)

    async def start(
        self,
        caller: Node,
        *,
        claim_id: ClaimId,
        fencing_token: int,
        experiment_id: ExperimentId,
        source: bytes,
    ) -> StartVerdict:
        """Judges the code, stores it and draws the seeds; idempotent by claim and experiment id.

        Raises:
            InvalidArgument: the id is a baseline's, or the source is too large, not UTF-8 or not Python; the
                claim is kept.
            LeaseLost: the claim expired, was released or belongs to another.
            Conflict: the experiment id was used for something else.
            LimitExceeded: the store was restarted, and is not read yet; the claim is kept.
        """
        check_uuid(experiment_id, "experiment_id")
        self._c.check_new_id(experiment_id)
        check_source(source)
        asked = await self._read(await self._held(caller, claim_id), caller, source)
        verdict, belief = await self._judge(asked, experiment_id)
        if verdict.ruling is Ruling.DUPLICATE or verdict.is_unsettled:
            await self._c.store.release(claim_id, caller.node_id, fencing_token)
            await self._c.forget_lease(claim_id)
            return await self._refused(asked, verdict)
        experiment = self._experiment(asked, experiment_id, verdict)
        tried = tried_edit(experiment, asked.stated, asked.reading)
        outcome = await self._c.store.start(
            claim_id,
            fencing_token,
            keys=code_keys(asked.reading),
            experiment=experiment,
            source=NewSource(
                source_hash=asked.code.source_hash, text=source, parent_hash=asked.parent.source_hash
            ),
            ttl_s=self._c.settings.lease_ttl_s,
            memory_mb=self._c.sessions.memory_mb(caller.node_id),
            waived=_waived(asked, verdict),
            reading=kept_reading(experiment, tried, asked.reading),
        )
        if isinstance(outcome, KeyHeld):
            return Answers(self._c).held_start(outcome)
        if isinstance(outcome, KeyTried):
            return await self._refused(
                asked, await self._precedents.verdict_on(outcome, asked.question, belief)
            )
        return self._started(asked, experiment, tried, _lease_or_raise(outcome, claim_id, experiment_id))

    async def _held(self, caller: Node, claim_id: ClaimId) -> Held:
        held = await self._c.leases.find(claim_id)
        if held is None or held.request.node_id != caller.node_id:
            raise LeaseLost(f"claim {claim_id} is not held by this node; claim again")
        return held

    async def _read(self, held: Held, caller: Node, source: bytes) -> _Asked:
        request = held.request
        hypothesis, parent_id = request.hypothesis, request.parent_id
        if request.kind is not ClaimKind.HYPOTHESIS or hypothesis is None or parent_id is None:
            raise InvalidArgument(
                f"claim {request.claim_id} is a task's; only a claimed hypothesis is started"
            )
        parent = await self._c.source_of(parent_id, request.hardware_class)
        code = SourceText(source_hash=hash_of(source), text=source.decode())
        return _Asked(
            caller=caller,
            held=held,
            question=Question(
                hardware_class=request.hardware_class,
                parent_id=parent_id,
                hypothesis=hypothesis,
                is_queued=held.note.idea is not None,
                is_moved=held.note.kind is not IdeaKind.FREE,
            ),
            parent=parent,
            code=code,
            reading=await self._c.reader.read(code, parent),
            stated=await self._words.read(hypothesis, parent),
        )

    async def _judge(self, asked: _Asked, experiment_id: ExperimentId) -> tuple[Verdict, Belief]:
        """What the indexes say of code; what they name is there, or they catch up with the store first."""
        for _ in range(JUDGEMENTS_LIMIT):
            seen = self._c.progress.position
            belief = await self._precedents.belief(asked.caller)
            verdict = self._c.judge.judge_code(asked.question, asked.reading, belief, own_id=experiment_id)
            behind = await self._c.behind(seen) if verdict.match or verdict.waived else None
            if behind is None:
                return verdict, belief
            await self._c.reach(behind.position, beyond=seen)
        raise LimitExceeded(
            "the store begins anew faster than this coordinator can read it; start again",
            retry_after_s=START_RETRY_S,
        )

    async def _refused(self, asked: _Asked, verdict: Verdict) -> StartRefused:
        await self._settling.by_code(asked.held, asked.code, verdict)
        return Answers(self._c).to_start(verdict, asked.question)

    def _experiment(self, asked: _Asked, experiment_id: ExperimentId, verdict: Verdict) -> Experiment:
        note, question = asked.held.note.without_foreign_credit(asked.code.source_hash), asked.question
        return Experiment(
            experiment_id=experiment_id,
            challenge_id=self._c.challenge.challenge_id,
            hypothesis=question.hypothesis,
            source_hash=asked.code.source_hash,
            parents=note.parents if _is_as_asked(asked) else (question.parent_id,),
            node_id=asked.caller.node_id,
            owner_id=asked.caller.owner_id,
            hardware_class=question.hardware_class,
            created_at=self._c.clock(),
            flags=_flags(asked, verdict)[:FLAGS_LIMIT],
            proposer_id=note.proposer_id,
            proposer_owner_id=note.proposer_owner_id,
            idea_usage=note.idea_usage,
        )

    def _started(self, asked: _Asked, experiment: Experiment, tried: TriedEdit, lease: Lease) -> Started:
        """Makes it known to this process, which hears of it from the store a moment later."""
        self._c.sources.keep(asked.code)
        self._c.catalog.put_started(experiment)
        self._c.index.put(tried)
        experiment_id, blocked = experiment.experiment_id, code_keys(asked.reading)
        self._c.leases.put(
            replace(asked.held, experiment_id=experiment_id, experiment=experiment, blocked=blocked)
        )
        seeds = seeds_of(asked.held.note, asked.code.source_hash, experiment_id)
        return Started(lease=lease, seed=seeds.train, val_seed=seeds.val, flags=experiment.flags)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """Code as it was handed in for a claim, and all that was read of it."""

    caller: Node
    held: Held
    question: Question
    parent: SourceText
    code: SourceText
    reading: CodeReading
    stated: StatedChanges


def _waived(asked: _Asked, verdict: Verdict) -> tuple[ExperimentId, ...]:
    return tuple(dict.fromkeys((*asked.held.note.waived, *verdict.waived)))


def _flags(asked: _Asked, verdict: Verdict) -> tuple[str, ...]:
    """What everybody should know of it, the most telling first."""
    elsewhere = (SAME_ELSEWHERE.format(verdict.match),) if verdict.ruling is Ruling.ASK else ()
    again = (RUN_AGAIN.format(one) for one in _waived(asked, verdict))
    return (*_lineage_notes(asked), *elsewhere, *again, *mismatches(asked.reading, asked.stated))


def _lineage_notes(asked: _Asked) -> tuple[str, ...]:
    """Says which edits its parent has that it has not."""
    note = asked.held.note
    if note.kind is not IdeaKind.ABLATE or not _is_as_asked(asked):
        return ()
    return tuple(ABLATES + edit_id for edit_id in note.material_ids)


def _is_as_asked(asked: _Asked) -> bool:
    """True for code that came with its idea, and for what an agent wrote where it came with none: edits of
    others were put together as asked, so that it has all of their parents.
    """
    note = asked.held.note
    is_there = note.parents[:1] == (asked.question.parent_id,)
    return is_there and note.code_hash in (None, asked.code.source_hash)


def _lease_or_raise(
    outcome: Lease | ClaimGone | ExperimentIdTaken, claim_id: ClaimId, experiment_id: ExperimentId
) -> Lease:
    match outcome:
        case Lease():
            return outcome
        case ClaimGone():
            raise LeaseLost(f"claim {claim_id} expired, was released or belongs to another; claim again")
        case ExperimentIdTaken():
            raise Conflict(
                f"experiment id {experiment_id} was used for other code or another claim; make a new one"
            )
