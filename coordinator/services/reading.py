"""From hypotheses and code to what claims hold and the index keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from autoresearch.edits import (
    CanonicalChanges,
    EditError,
    canonical_changes,
    changes_from_title,
    words_match,
)
from autoresearch.edits.words import (
    PackedReading,
    Reading,
    changes_from_reading,
    pack_reading,
    read_text,
    reading_of_changes,
)
from autoresearch.errors import InvalidArgument
from autoresearch.model import ConstantChange, Experiment, Hypothesis

from coordinator.dedup.code import CodeReading, SourceText
from coordinator.dedup.index import TriedEdit
from coordinator.dedup.kept import keep
from coordinator.dedup.keys import edit_key, file_key, free_words_key, subject_keys, words_key
from coordinator.storage.base import EditKey, StoredReading


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedChanges:
    """A hypothesis in canonical terms; ``canonical`` is None for free words.

    ``reading`` is of its stated changes or, without any, of its title; None where no parent was there to
    read them against.
    """

    canonical: CanonicalChanges | None
    reading: Reading | None = None

    @property
    def rests_on_index(self) -> bool:
        """True where the keys that a claim holds do not say all: mechanisms may be told in other words."""
        return self.canonical is None or bool(self.canonical.mechanisms or self.canonical.foreign)

    @property
    def knobs(self) -> Mapping[str, str]:
        """New canonical value by constant."""
        return knobs_of(self.canonical)


class WordReader:
    """Reads hypotheses against their parents, off the event loop where that takes long: for a parent that is
    not parsed yet, and for many words.
    """

    def __init__(self) -> None:
        self._warm: set[str] = set()

    async def read(self, hypothesis: Hypothesis, parent: SourceText) -> StatedChanges:
        """The stated changes.

        Raises:
            InvalidArgument: changes cannot be read.
        """
        try:
            if parent.source_hash in self._warm and _length(hypothesis) <= _LONG_CHARS:
                return _read_words(hypothesis, parent.text)
            stated = await asyncio.to_thread(_read_words, hypothesis, parent.text)
        except EditError as error:
            raise InvalidArgument(f"the hypothesis cannot be read: {error}") from error
        if len(self._warm) >= _WARM_LIMIT:
            self._warm.clear()
        self._warm.add(parent.source_hash)
        return stated


_WARM_LIMIT = 48
"""Fewer than the edits package keeps parsed, so that a warm parent is never parsed on the loop."""

_LONG_CHARS = 600
"""Read within some 5 ms whatever they are, and three times as long as a title; all 64 changes of a
hypothesis at their limit take some 80 to 150 ms.
"""


def stated_key(stated: StatedChanges, parent_signature: str, hypothesis: Hypothesis) -> EditKey:
    """What a claim in words holds alone: its stated changes or, in free words, its title."""
    if stated.canonical is None:
        return free_words_key(parent_signature, hypothesis.title, hypothesis.distinction)
    return words_key(parent_signature, stated.canonical.key)


def subjects_of(stated: StatedChanges, parent_signature: str, said: PackedReading) -> tuple[EditKey, ...]:
    """What a claim in words is about, by which it meets those that may say the same.

    Constants that are stated with their values are about nothing beside; free words that nobody can settle
    on constants may still say the same. Whoever says more than can be compared at once is met by nobody.
    """
    if stated.reading is None or sum(map(len, said)) > SAID_LIMIT_CHARS:
        return ()
    about = subject_keys(parent_signature, stated.reading)
    return about if stated.rests_on_index else about[:1]


SAID_LIMIT_CHARS = 2_000
"""Of a packed reading that is kept with a claim. Titles have some 100, real statements up to 500."""


def code_keys(reading: CodeReading) -> tuple[EditKey, ...]:
    """What code holds, surest first: its file, its edit, and the words that say all of the edit."""
    keys = [file_key(reading.file_signature)]
    if reading.edit is not None and not reading.edit.is_empty:
        keys.append(edit_key(reading.parent_signature, reading.edit.key))
        keys += [words_key(reading.parent_signature, said) for said in _in_words(reading)]
    return tuple(keys)


def _in_words(reading: CodeReading | None) -> tuple[str, ...]:
    """The key of what the code does where words can say it: constants alone, as no words say a patch."""
    canonical = reading.canonical if reading else None
    return () if canonical is None or canonical.is_empty or canonical.patch_key else (canonical.key,)


def keys_of(tried: TriedEdit, parent_signature: str) -> tuple[EditKey, ...]:
    """What the code of an experiment holds, as ``code_keys``; nothing where it does nothing that is known."""
    if not tried.edit_key:
        return ()
    keys = (file_key(tried.file_signature), edit_key(parent_signature, tried.edit_key))
    return (*keys, words_key(parent_signature, tried.code_key)) if tried.code_key else keys


def mismatches(reading: CodeReading, stated: StatedChanges) -> tuple[str, ...]:
    """Where the words do not match the code."""
    if reading.edit is None or stated.canonical is None:
        return ()
    return words_match(reading.edit, stated.canonical)


def tried_edit(experiment: Experiment, stated: StatedChanges, reading: CodeReading | None) -> TriedEdit:
    """An experiment as the index keeps it; what the code does goes before what the words say."""
    canonical = reading.canonical if reading else None
    return TriedEdit(
        experiment_id=experiment.experiment_id,
        hardware_class=experiment.hardware_class,
        parent_id=experiment.parent,
        title=experiment.hypothesis.title,
        knobs=knobs_of(canonical) if canonical else stated.knobs,
        stated_key=stated.canonical.key if stated.canonical and not stated.canonical.is_empty else "",
        code_key="".join(_in_words(reading)),
        edit_key=reading.edit.key if reading and reading.edit and not reading.edit.is_empty else "",
        file_signature=reading.file_signature if reading else "",
        size=reading.size if reading else 0,
        said=pack_reading(stated.reading),
    )


def kept_reading(
    experiment: Experiment, tried: TriedEdit, reading: CodeReading | None
) -> StoredReading | None:
    """What the store keeps of an experiment's reading; None for one that is not whole.

    Code that was not compared with its parent, or could not be read, is read again at the next start.
    """
    if reading is None or (reading.edit is None and experiment.parent is not None):
        return None
    return keep(tried, experiment.source_hash)


def words_alone(hypothesis: Hypothesis) -> StatedChanges:
    """The structured changes without their parent, for the index until the code is read."""
    try:
        canonical = canonical_changes(hypothesis.changes, None) if hypothesis.changes else None
    except EditError:
        canonical = None
    return StatedChanges(canonical=canonical)


def knobs_of(canonical: CanonicalChanges | None) -> Mapping[str, str]:
    """New canonical value by constant."""
    return {change.name: change.new for change in canonical.constants} if canonical else {}


def _length(hypothesis: Hypothesis) -> int:
    """Characters of what is read of it."""
    length = len(hypothesis.title)
    for change in hypothesis.changes:
        if isinstance(change, ConstantChange):
            length += len(change.name) + len(change.new) + len(change.old)
        else:
            length += len(change.what) + len(change.where)
    return length


def _read_words(hypothesis: Hypothesis, parent_source: str) -> StatedChanges:
    if hypothesis.changes:
        stated: CanonicalChanges | None = canonical_changes(hypothesis.changes, parent_source)
    else:
        stated = changes_from_title(hypothesis.title, parent_source)
    if stated is not None:
        return StatedChanges(canonical=stated, reading=reading_of_changes(stated, parent_source))
    reading = read_text(hypothesis.title, parent_source)
    return StatedChanges(canonical=changes_from_reading(reading, parent_source), reading=reading)
