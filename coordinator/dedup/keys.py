"""What a claim holds: short keys that are equal when two claims, codes or tasks are the same."""

from __future__ import annotations

import hashlib
from typing import Final

from autoresearch.edits.words import Reading
from autoresearch.model import ExperimentId, HypothesisId

from coordinator.domain.class_state import Slot
from coordinator.storage.base import EditKey, KeyKind

DIGEST_CHARS: Final = 32


def file_key(file_signature: str) -> EditKey:
    """Equal for files that do the same."""
    return EditKey(kind=KeyKind.FILE, digest=_digest("file", file_signature))


def edit_key(parent_signature: str, edit_signature_key: str) -> EditKey:
    """Equal for edits that do the same to equal parents."""
    return EditKey(kind=KeyKind.EDIT, digest=_digest("edit", parent_signature, edit_signature_key))


def words_key(parent_signature: str, canonical_key: str) -> EditKey:
    """Equal for stated changes that mean the same to equal parents, however they are spelled."""
    return EditKey(kind=KeyKind.WORDS, digest=_digest("words", parent_signature, canonical_key))


def free_words_key(parent_signature: str, title: str, distinction: str) -> EditKey:
    """Equal for ideas in the same free words; a stated distinction makes another one."""
    parts = [" ".join(text.casefold().split()) for text in (title, distinction)]
    return EditKey(kind=KeyKind.WORDS, digest=_digest("free words", parent_signature, *parts))


def subject_keys(parent_signature: str, reading: Reading) -> tuple[EditKey, ...]:
    """What free words are about: equal for most paraphrases of one idea, and for some ideas that differ.

    First all that was understood, then the mechanisms and constants alone, without how much. Nothing where
    nothing was understood.
    """
    if reading.is_empty:
        return ()
    about = [sorted(reading.mechanisms), sorted(sorted(subject) for subject in reading.settings)]
    amounts = sorted(
        (sorted(setting.subject), setting.new or setting.factor or setting.direction)
        for setting in reading.settings.values()
    )
    told = [sorted(reading.added), sorted(reading.replaced), sorted(reading.amounts | reading.rest), amounts]
    parts = (parent_signature, repr(about))
    return tuple(
        EditKey(kind=KeyKind.SUBJECT, digest=_digest("subject", *chosen))
        for chosen in ((*parts, repr(told)), parts)
    )


def verification_key(slot: Slot) -> EditKey:
    """One verification pair."""
    series = "audit" if slot.is_audit else "vote" if slot.is_vote else "any"
    digest = _digest("verify", slot.candidate_id, slot.control_id, series, str(slot.number))
    return EditKey(kind=KeyKind.SLOT, digest=digest)


def baseline_key(baseline_id: ExperimentId, number: int) -> EditKey:
    """One baseline run of a class's opening."""
    return EditKey(kind=KeyKind.SLOT, digest=_digest("baseline", baseline_id, str(number)))


def idea_key(hypothesis_id: HypothesisId) -> EditKey:
    """A queued idea, which one node of a class may work on."""
    return EditKey(kind=KeyKind.SLOT, digest=_digest("idea", hypothesis_id))


def _digest(*parts: str) -> str:
    text = "\0".join(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]
