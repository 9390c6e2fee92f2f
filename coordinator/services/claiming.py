"""May this be tried? Tasks and claims: words are judged before anybody spends tokens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import structlog
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
from coordinator.dedup.pairs import Answer, PairVerdict, judge_readings
from coordinator.dedup.precedents import Belief
from coordinator.services.advice import Adviser
from coordinator.services.answers import Answers
from coordinator.services.context import ChallengeContext
from coordinator.services.membership import check_connected
from coordinator.services.notes import TaskNote, dump_note
from coordinator.services.precedents import Precedents
from coordinator.services.reading import (
    StatedChanges,
    WordReader,
    stated_keys,
)
from coordinator.services.settling import Settling
from coordinator.services.tasks import Tasks
from coordinator.storage.base import (
    ClaimIdTaken,
    ClaimKind,
    ClaimRequest,
    IndexBehind,
    KeyHeld,
    KeyKind,
    KeyTried,
    TooManyClaims,
)

CLAIMS_RETRY_S = 5.0
ATTEMPTS_LIMIT = 8
"""Experiments that only warn, and live claims that turn out to differ, which the store names one after the
other; so many only in a race."""

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

    async def next_task(self, caller: Node, *, can_propose: bool, can_train: bool) -> Task:
        """What the caller does next; exclusive tasks come with a lease."""
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
            LimitExceeded: the caller holds too many live claims.
        """
        check_uuid(claim_id, "claim_id")
        check_hypothesis(hypothesis)
        check_connected(caller)
        note = await self._note(caller, queued_claim_id)
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
        keys = stated_keys(stated, signature, hypothesis)
        if queued_claim_id is not None:
            # Nobody is there to answer for a queued idea, and free words alone must not put an end to it.
            keys = keys[:1]
        request = ClaimRequest(
            claim_id=claim_id,
            node_id=caller.node_id,
            owner_id=caller.owner_id,
            hardware_class=caller.hardware_class,
            kind=ClaimKind.HYPOTHESIS,
            keys=keys,
            fingerprint=_fingerprint(hypothesis, parent_id, queued_claim_id),
            hypothesis=hypothesis,
            parent_id=parent_id,
            takes_over=queued_claim_id,
        )
        asked = _Asked(caller=caller, request=request, question=question, parent=parent, stated=stated)
        for _ in range(JUDGEMENTS_LIMIT):
            answer = await self._judge_and_take(asked, note)
            if not isinstance(answer, IndexBehind):
                return answer
            if not await self._c.progress.reach(answer.position, limit_s=self._c.settings.index_wait_s):
                raise LimitExceeded(
                    "this coordinator has not heard yet of all that began elsewhere; claim again",
                    retry_after_s=CLAIMS_RETRY_S,
                )
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

    async def _judge_and_take(self, asked: _Asked, note: TaskNote) -> ClaimVerdict | IndexBehind:
        """One judgement by the indexes as they are now, and the store's word on it."""
        question, stated, request = asked.question, asked.stated, asked.request
        seen = self._c.progress.position if stated.rests_on_index else None
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
            await self._settling.by_words(request.node_id, request.takes_over, verdict)
            return Answers(self._c).to_claim(verdict, question, advice)
        return await self._take(
            asked, replace(note, waived=verdict.waived), _View(belief=belief, advice=advice, seen=seen)
        )

    async def _take(self, asked: _Asked, note: TaskNote, view: _View) -> ClaimVerdict | IndexBehind:
        request = asked.request
        for _ in range(ATTEMPTS_LIMIT):
            outcome = await self._c.store.claim(
                replace(request, note=dump_note(note)),
                ttl_s=self._c.settings.lease_ttl_s,
                max_live=self._c.settings.claims_per_node,
                memory_mb=self._c.sessions.memory_mb(request.node_id),
                waived=note.waived,
                seen=view.seen,
            )
            if isinstance(outcome, KeyTried):
                verdict = await self._precedents.verdict_on(outcome, asked.question, view.belief)
                if verdict.ruling is Ruling.DUPLICATE or not asked.question.may_repeat:
                    await self._settling.by_words(request.node_id, request.takes_over, verdict)
                    return Answers(self._c).to_claim(verdict, asked.question, view.advice)
                note = replace(note, waived=(*note.waived, outcome.experiment_id))
            elif isinstance(outcome, KeyHeld) and outcome.key.kind is KeyKind.SUBJECT:
                pair = await self._compare(asked, outcome)
                may_differ = pair is not None and pair.answer is not Answer.ALLOW
                if pair is not None and may_differ and not asked.question.is_deliberate:
                    return Answers(self._c).asked_about_held(outcome, pair.reason, view.advice)
                if pair is not None:
                    keys = tuple(key for key in request.keys if key != outcome.key)
                    request = replace(request, keys=keys)
            else:
                return self._taken(request, outcome, view.advice)
        raise LimitExceeded(
            "too many claims are made of ideas like this one; claim again", retry_after_s=CLAIMS_RETRY_S
        )

    async def _compare(self, asked: _Asked, held: KeyHeld) -> PairVerdict | None:
        """Whether a live claim that is about the same says the same; None if it is over by now."""
        record = await self._c.store.get_claim(held.claim_id)
        if record is None or record.request.hypothesis is None or asked.stated.reading is None:
            return None
        theirs = await self._words.read(record.request.hypothesis, asked.parent)
        if not (theirs.rests_on_index or asked.stated.rests_on_index):
            # Statements of constants say all: equal ones have met on their surest key.
            return PairVerdict(answer=Answer.ALLOW, reason="they set different constants")
        return judge_readings(theirs.reading, asked.stated.reading) if theirs.reading else None

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

    async def _note(self, caller: Node, queued_claim_id: ClaimId | None) -> TaskNote:
        queued = await self._c.leases.find(queued_claim_id) if queued_claim_id else None
        if queued is None or queued.request.node_id != caller.node_id:
            return TaskNote()
        note = queued.note
        return TaskNote(
            idea=note.idea,
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
    """What one judgement of it went by. ``seen``: where the indexes stood, if it rests on them."""

    belief: Belief
    advice: Advice
    seen: Position | None


def _fingerprint(hypothesis: Hypothesis, parent_id: ExperimentId, queued_claim_id: ClaimId | None) -> str:
    text = repr((hypothesis, parent_id, queued_claim_id))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
