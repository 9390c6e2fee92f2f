"""May this be tried? Tasks and claims: words are judged before anybody spends tokens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import structlog
from autoresearch.edits.words import pack_reading
from autoresearch.errors import Conflict, LimitExceeded
from autoresearch.limits import (
    REASON_LIMIT_CHARS,
    check_hypothesis,
    check_text,
    check_uuid,
)
from autoresearch.model import (
    Advice,
    ClaimId,
    ClaimVerdict,
    Duplicate,
    ExperimentId,
    Granted,
    HardwareClass,
    Hypothesis,
    IdeaKind,
    Lease,
    Node,
    Position,
    Task,
)

from coordinator.dedup.code import SourceText
from coordinator.dedup.embedder import Near
from coordinator.dedup.embedding_queue import Lane
from coordinator.dedup.judge import Question, Ruling
from coordinator.dedup.precedents import Belief
from coordinator.services.advice import Adviser
from coordinator.services.answers import Answers
from coordinator.services.comparing import Likeness, most_alike
from coordinator.services.context import ChallengeContext
from coordinator.services.credit import words_of_idea
from coordinator.services.membership import check_connected
from coordinator.services.notes import TaskNote, dump_note
from coordinator.services.precedents import Precedents
from coordinator.services.reading import (
    StatedChanges,
    WordReader,
    stated_key,
    subjects_of,
)
from coordinator.services.settling import Settling
from coordinator.services.tasks import Tasks
from coordinator.services.thinking import Thinking
from coordinator.storage.base import (
    ClaimIdTaken,
    ClaimKind,
    ClaimRequest,
    IndexBehind,
    KeyHeld,
    KeyTried,
    SubjectsHeld,
    TooManyClaims,
)

CLAIMS_RETRY_S = 5.0
ATTEMPTS_LIMIT = 16
"""Experiments that only warn are named by the store one after the other, and live claims about the same some
at a time."""

COMPARED_LIMIT = 256
"""Live claims about the same that one is compared with. Beyond, whoever says how it differs is believed, and
the others are asked: some 20 ms, and nobody is kept out by a crowd."""

CROWD = "{} live claims are about the same and differ from it, and there are more"

JUDGEMENTS_LIMIT = 4
"""A claim in free words is judged anew where an experiment begins between the judgement and the lease."""

MEANING_WAIT_S = 0.15
"""So long a claim in free words waits to be compared by its meaning; nobody waits for a model that loads."""
NEAR_LIMIT = 16

_log = structlog.get_logger("coordinator.claiming")


class Claiming:
    """Hands out tasks and leases. An error is never a grant."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context
        self._words = WordReader()
        self._precedents = Precedents(context)
        self._settling = Settling(context)
        self._tasks = Tasks(context)
        self._thinking = Thinking(context)

    async def next_task(
        self,
        caller: Node,
        *,
        can_propose: bool,
        can_train: bool,
        hardware_class: HardwareClass | None = None,
    ) -> Task:
        """What the caller does next; exclusive tasks come with a lease.

        A caller without hardware thinks for ``hardware_class``, or for the busiest; InvalidArgument if it
        says that it trains.
        """
        if not can_train and not caller.hardware_class:
            return await self._thinking.next_task(hardware_class, can_propose=can_propose)
        check_connected(caller)
        return await self._tasks.next_task(caller, can_propose=can_propose, can_train=can_train)

    async def claim(
        self,
        caller: Node,
        *,
        claim_id: ClaimId,
        hypothesis: Hypothesis,
        parent_id: ExperimentId,
        queued_claim_id: ClaimId | None = None,
    ) -> ClaimVerdict:
        """Judges words and structured changes; idempotent by claim id.

        Raises:
            InvalidArgument: a limit is broken, or a change cannot be read.
            NotFound: the parent is unknown.
            Conflict: the claim id was used for something else.
            LimitExceeded: the caller holds too many live claims, or the indexes are behind.
        """
        check_uuid(claim_id, "claim_id")
        check_hypothesis(hypothesis)
        check_connected(caller)
        note = await self._note(caller, queued_claim_id, hypothesis)
        question = Question(
            hardware_class=caller.hardware_class,
            parent_id=parent_id,
            hypothesis=hypothesis,
            is_queued=note.idea is not None,
            is_moved=note.kind is not IdeaKind.FREE,
        )
        parent = await self._c.source_of(parent_id, caller.hardware_class)
        stated = await self._words.read(hypothesis, parent)
        signature = (await self._c.reader.read(parent)).file_signature
        note = replace(note, said=pack_reading(stated.reading), is_whole=not stated.rests_on_index)
        request = ClaimRequest(
            claim_id=claim_id,
            node_id=caller.node_id,
            owner_id=caller.owner_id,
            hardware_class=caller.hardware_class,
            kind=ClaimKind.HYPOTHESIS,
            keys=(stated_key(stated, signature, hypothesis),),
            subjects=subjects_of(stated, signature, note.said),
            fingerprint=_fingerprint(hypothesis, parent_id, queued_claim_id),
            hypothesis=hypothesis,
            parent_id=parent_id,
            takes_over=queued_claim_id,
        )
        asked = _Asked(caller=caller, request=request, question=question, parent=parent, stated=stated)
        for _ in range(JUDGEMENTS_LIMIT):
            seen = self._c.progress.position
            answer = await self._judge_and_take(asked, note, seen)
            if not isinstance(answer, IndexBehind):
                return answer
            await self._c.reach(answer.position, beyond=seen)
        raise LimitExceeded(
            "experiments begin faster than this coordinator takes note of them; claim again",
            retry_after_s=CLAIMS_RETRY_S,
        )

    async def release(self, caller: Node, *, claim_id: ClaimId, fencing_token: int, reason: str) -> bool:
        """Gives a claim back; False if it was not held."""
        check_text(reason, "reason", limit=REASON_LIMIT_CHARS)
        held = await self._c.leases.find(claim_id)
        was_held = await self._c.store.release(claim_id, caller.node_id, fencing_token)
        if was_held:
            if held is not None and held.note.idea is not None:
                self._c.handed_back.add(caller.node_id, held.note.idea)
            await self._c.forget_lease(claim_id)
            _log.info("claim released", claim=claim_id, node=caller.node_id, why=reason)
        return was_held

    async def _judge_and_take(
        self, asked: _Asked, note: TaskNote, seen: Position
    ) -> ClaimVerdict | IndexBehind:
        """One judgement by the indexes as they are now, at ``seen``, and the store's word on it."""
        question, stated, request = asked.question, asked.stated, asked.request
        belief = await self._precedents.belief(asked.caller)
        verdict = self._c.judge.judge_words(question, stated.canonical, belief)
        near: tuple[Near, ...] = ()
        if verdict.ruling is Ruling.NEW and not stated.knobs:
            near = await self._near(question)
            if stated.canonical is None and stated.reading is not None and request.takes_over is None:
                verdict = self._c.judge.judge_free_words(question, stated.reading, near, belief)
        advice = Adviser.of(self._c).advise(
            question.hardware_class,
            question.parent_id,
            stated.knobs,
            question.hypothesis.title,
            by_meaning=near,
        )
        if verdict.ruling is not Ruling.NEW and not await self._is_repeat(request):
            behind = await self._c.behind(seen)
            if behind is not None:
                return behind  # what it refuses may be lost
            await self._settling.by_words(request.node_id, request.takes_over, verdict)
            return Answers(self._c).to_claim(verdict, question, advice)
        view = _View(belief=belief, advice=advice, seen=seen)
        return await self._take(asked, replace(note, waived=verdict.waived), view)

    async def _take(self, asked: _Asked, note: TaskNote, view: _View) -> ClaimVerdict | IndexBehind:
        request, distinction = asked.request, asked.question.hypothesis.distinction
        compared: set[ClaimId] | None = set() if asked.question.answers_for_its_words else None
        for _ in range(ATTEMPTS_LIMIT):
            outcome = await self._c.store.claim(
                replace(request, note=dump_note(note)),
                ttl_s=self._c.settings.lease_ttl_s,
                max_live=self._c.settings.claims_per_node,
                memory_mb=self._c.sessions.memory_mb(request.node_id),
                waived=note.waived,
                seen=view.seen if asked.stated.rests_on_index else None,
                compared=compared,
            )
            if isinstance(outcome, KeyTried):
                behind = await self._c.behind(view.seen)
                if behind is not None:
                    return behind
                verdict = await self._precedents.verdict_on(outcome, asked.question, view.belief)
                if verdict.ruling is Ruling.DUPLICATE or not asked.question.may_repeat:
                    await self._settling.by_words(request.node_id, request.takes_over, verdict)
                    return Answers(self._c).to_claim(verdict, asked.question, view.advice)
                note = replace(note, waived=(*note.waived, outcome.experiment_id))
            elif isinstance(outcome, SubjectsHeld):
                met = most_alike(note, distinction, outcome.holders)
                compared = {*(compared or ()), *(holder.request.claim_id for holder in outcome.holders)}
                if met is None and len(compared) >= COMPARED_LIMIT:
                    if not distinction.strip():
                        met = Likeness(holder=outcome.holders[-1], reason=CROWD.format(len(compared)))
                    compared = None
                if met is not None:
                    return Answers(self._c).asked_about_held(met.holder, met.reason, view.advice)
            else:
                return self._taken(request, outcome, view.advice)
        raise LimitExceeded(
            "too many claims are made of ideas like this one; claim again", retry_after_s=CLAIMS_RETRY_S
        )

    def _taken(
        self,
        request: ClaimRequest,
        outcome: Lease | KeyHeld | ClaimIdTaken | TooManyClaims | IndexBehind,
        advice: Advice,
    ) -> Granted | Duplicate | IndexBehind:
        match outcome:
            case IndexBehind():
                return outcome
            case Lease():
                # This may repeat an older grant, whose note stands: Start asks the store for it.
                self._c.leases.forget(request.claim_id)
                return Granted(lease=outcome, advice=advice)
            case KeyHeld():
                return Answers(self._c).held_claim(outcome, advice)
            case ClaimIdTaken():
                raise Conflict(f"claim id {request.claim_id} was used for another claim; make a new one")
            case TooManyClaims(live=live):
                raise LimitExceeded(
                    f"this node holds {live} claims; finish or release one first",
                    retry_after_s=CLAIMS_RETRY_S,
                )

    async def _near(self, question: Question) -> tuple[Near, ...]:
        """The tried experiments of the class that are nearest in meaning, if that is known in time."""
        found = await self._c.embeddings.nearest(
            question.hypothesis.title,
            Lane.CLAIM,
            limit=NEAR_LIMIT,
            wait_s=MEANING_WAIT_S,
            hardware_class=question.hardware_class,
        )
        return found or ()

    async def _is_repeat(self, request: ClaimRequest) -> bool:
        """True if this very claim lives: its repeat gets the same grant, whatever was tried since."""
        record = await self._c.store.get_claim(request.claim_id)
        return (
            record is not None
            and record.request.node_id == request.node_id
            and record.request.fingerprint == request.fingerprint
            and record.lease.expires_at > self._c.clock()
        )

    async def _note(self, caller: Node, queued_claim_id: ClaimId | None, hypothesis: Hypothesis) -> TaskNote:
        """What becomes of a queued idea's note: who says it otherwise has an idea of their own, unless they
        start the code that came with it.
        """
        queued = await self._c.leases.find(queued_claim_id) if queued_claim_id else None
        if queued is None or queued.request.node_id != caller.node_id:
            return TaskNote()
        note = queued.note
        return TaskNote(
            idea=note.idea,
            proposer_id=note.proposer_id,
            proposer_owner_id=note.proposer_owner_id,
            idea_usage=note.idea_usage,
            is_reworded=note.words != words_of_idea(hypothesis),
            code_hash=note.code_hash,
            parents=note.parents,
            kind=note.kind,
            material_ids=note.material_ids,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A claim as it was made."""

    caller: Node
    request: ClaimRequest
    question: Question
    parent: SourceText
    stated: StatedChanges


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What one judgement of it went by. ``seen``: where the indexes stood."""

    belief: Belief
    advice: Advice
    seen: Position


def _fingerprint(hypothesis: Hypothesis, parent_id: ExperimentId, queued_claim_id: ClaimId | None) -> str:
    text = repr((hypothesis, parent_id, queued_claim_id))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
