"""What a claimant is told: the judge's and the store's verdicts as replies that name what was tried."""

from __future__ import annotations

from autoresearch.model import (
    Advice,
    Duplicate,
    ExperimentState,
    NearMatch,
    NeedsDistinction,
    StartRefused,
)

from coordinator.dedup.judge import Level, Question, Ruling, Verdict
from coordinator.services.advice import Adviser
from coordinator.services.context import ChallengeContext
from coordinator.storage.base import ClaimRecord, KeyHeld

QUESTION = "{} is the same idea, {}: say why yours differs, or pick another"
SOUNDS_LIKE = "{} sounds much like it and {}: say why yours differs, or pick another"
READS_LIKE = "{} may be the same idea ({}) and {}: say why yours differs, or pick another"
UNSETTLED = (
    "{title} (experiment {experiment_id}) is this very edit and {outcome}, but its owner is not trusted so "
    "far: pick another idea, or claim this one again and say in its distinction why it is worth one more run"
)


class Answers:
    """Words verdicts, and counts the duplicates that were stopped."""

    def __init__(self, context: ChallengeContext) -> None:
        """Goes by the indexes that there are now: made for each call."""
        self._adviser = Adviser.of(context)
        self._tally = context.tally

    def to_claim(self, verdict: Verdict, question: Question, advice: Advice) -> Duplicate | NeedsDistinction:
        """The reply to a claim that is not granted."""
        match = self._match(verdict, question)
        if verdict.ruling is Ruling.DUPLICATE:
            self._tally.duplicates_stopped += 1
            return Duplicate(match=match, level=str(verdict.level), advice=advice)
        return NeedsDistinction(match=match, question=_question(verdict, match), advice=advice)

    def to_start(self, verdict: Verdict, question: Question) -> StartRefused:
        """The reply to code that is not started; with a question where words would be enough."""
        match = self._match(verdict, question)
        if verdict.ruling is Ruling.ASK:
            asked = _question(verdict, match)
            return StartRefused(match=match, level=str(verdict.level), question=asked)
        self._tally.duplicates_stopped += 1
        return StartRefused(match=match, level=str(verdict.level))

    def asked_about_held(self, holder: ClaimRecord, reason: str, advice: Advice) -> NeedsDistinction:
        """The reply to free words that may say what another claim, which lives, says in others."""
        request = holder.request
        title = request.hypothesis.title if request.hypothesis else ""
        match = self._adviser.held(title, request.node_id, holder.experiment_id)
        question = READS_LIKE.format(title, reason, match.reason)
        return NeedsDistinction(match=match, question=question, advice=advice)

    def held_claim(self, held: KeyHeld, advice: Advice) -> Duplicate:
        """The reply to a claim of what another claim holds."""
        self._tally.duplicates_stopped += 1
        return Duplicate(match=self._held(held), level=held.key.kind, advice=advice)

    def held_start(self, held: KeyHeld) -> StartRefused:
        """The reply to code that another claim holds."""
        self._tally.duplicates_stopped += 1
        return StartRefused(match=self._held(held), level=held.key.kind)

    def _held(self, held: KeyHeld) -> NearMatch:
        return self._adviser.held(held.title, held.node_id, held.experiment_id)

    def _match(self, verdict: Verdict, question: Question) -> NearMatch:
        return self._adviser.match(
            verdict.match or question.parent_id, question.parent_id, same_parent=verdict.same_parent
        )


def _question(verdict: Verdict, match: NearMatch) -> str:
    if verdict.is_unsettled:
        ended = f"ended as {match.state}" if match.score is None else f"scored {match.score:.6g}"
        return UNSETTLED.format(
            title=match.title or "an experiment", experiment_id=match.experiment_id, outcome=ended
        )
    where = "on the same parent" if verdict.same_parent else "on another parent"
    is_now = match.state is ExperimentState.RUNNING
    when = f"is being tried now {where}" if is_now else f"was tried {where}"
    if verdict.level is Level.MEANING:
        return SOUNDS_LIKE.format(match.title, when)
    if verdict.reason:
        return READS_LIKE.format(match.title or match.experiment_id, verdict.reason, when)
    return QUESTION.format(match.title or match.experiment_id, when.removeprefix("was "))
