"""Compares a claim in words with live claims that are about the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autoresearch.edits.words import read_text, unpack_reading

from coordinator.dedup.pairs import Answer, PairVerdict, judge_readings
from coordinator.services.notes import TaskNote, load_note
from coordinator.storage.base import ClaimRecord

DISTINCTION_LIMIT_CHARS = 300
"""Of a distinction that is read; longer ones are compared word for word."""

_OTHER = PairVerdict(answer=Answer.ALLOW, reason="they say different things")


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """A live claim that may be of the same idea, and why."""

    holder: ClaimRecord
    reason: str


def most_alike(note: TaskNote, distinction: str, holders: Iterable[ClaimRecord]) -> Likeness | None:
    """The surest of those that may be the same idea as the claim with this note; None if all differ."""
    found: Likeness | None = None
    for holder in holders:
        pair = _compare(note, distinction, holder)
        if pair.answer is Answer.BLOCK:
            return Likeness(holder=holder, reason=pair.reason)
        if pair.answer is Answer.CONFIRM and found is None:
            found = Likeness(holder=holder, reason=pair.reason)
    return found


def _compare(note: TaskNote, distinction: str, holder: ClaimRecord) -> PairVerdict:
    known = load_note(holder.request.note)
    if known.is_whole and note.is_whole:
        return _OTHER  # equal ones have met on their surest key
    theirs, mine = unpack_reading(known.said), unpack_reading(note.said)
    if theirs is None or mine is None:
        return _OTHER
    pair = judge_readings(theirs, mine)
    hypothesis = holder.request.hypothesis
    is_answered = pair.answer is not Answer.ALLOW and _tells_apart(
        distinction, hypothesis.distinction if hypothesis else ""
    )
    return _OTHER if is_answered else pair


def _tells_apart(distinction: str, theirs: str) -> bool:
    """True where a claim says how it differs, and the other has not said the same of itself."""
    mine, theirs = (" ".join(text.casefold().split()) for text in (distinction, theirs))
    if not mine or mine == theirs:
        return False
    if not theirs or max(len(mine), len(theirs)) > DISTINCTION_LIMIT_CHARS:
        return True
    return judge_readings(read_text(mine), read_text(theirs)).answer is Answer.ALLOW
