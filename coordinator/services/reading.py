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
from autoresearch.edits.words import Reading, changes_from_reading, read_text
from autoresearch.errors import InvalidArgument
from autoresearch.model import Experiment, Hypothesis

from coordinator.dedup.code import CodeReading, SourceText
from coordinator.dedup.index import TriedEdit
from coordinator.dedup.keys import edit_key, file_key, free_words_key, words_key
from coordinator.storage.base import EditKey


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedChanges:
    """A hypothesis in canonical terms; ``canonical`` is None for free words.

    ``reading`` is of its title, for the index and for free words; None where that was not asked for, or no
    parent was there to read it against.
    """

    canonical: CanonicalChanges | None
    reading: Reading | None = None

    @property
    def knobs(self) -> Mapping[str, str]:
        """New canonical value by constant."""
        return knobs_of(self.canonical)


class WordReader:
    """Reads hypotheses against their parents; a parent is parsed once, off the event loop."""

    def __init__(self) -> None:
        self._warm: set[str] = set()

    async def read(
        self, hypothesis: Hypothesis, parent: SourceText, *, for_index: bool = False
    ) -> StatedChanges:
        """The stated changes; with the title's reading where the index is to keep it.

        Raises:
            InvalidArgument: changes cannot be read.
        """
        try:
            if parent.source_hash in self._warm:
                return _read_words(hypothesis, parent.text, for_index=for_index)
            stated = await asyncio.to_thread(_read_words, hypothesis, parent.text, for_index=for_index)
        except EditError as error:
            raise InvalidArgument(f"the hypothesis cannot be read: {error}") from error
        if len(self._warm) >= _WARM_LIMIT:
            self._warm.clear()
        self._warm.add(parent.source_hash)
        return stated


_WARM_LIMIT = 48
"""Fewer than the edits package keeps parsed, so that a warm parent is never parsed on the loop."""


def stated_key(stated: StatedChanges, parent_signature: str, hypothesis: Hypothesis) -> EditKey:
    """What a claim in words holds."""
    if stated.canonical is None:
        return free_words_key(parent_signature, hypothesis.title, hypothesis.distinction)
    return words_key(parent_signature, stated.canonical.key)


def code_keys(reading: CodeReading) -> tuple[EditKey, ...]:
    """What code holds, surest first: its file, its edit, and the words that describe the edit."""
    keys = [file_key(reading.file_signature)]
    canonical = reading.canonical
    if reading.edit is not None and canonical is not None and not reading.edit.is_empty:
        keys.append(edit_key(reading.parent_signature, reading.edit.key))
        keys.append(words_key(reading.parent_signature, canonical.key))
    return tuple(keys)


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
        code_key=canonical.key if canonical and not canonical.is_empty else "",
        edit_key=reading.edit.key if reading and reading.edit and not reading.edit.is_empty else "",
        file_signature=reading.file_signature if reading else "",
        reading=stated.reading,
    )


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


def _read_words(hypothesis: Hypothesis, parent_source: str, *, for_index: bool) -> StatedChanges:
    if hypothesis.changes:
        canonical: CanonicalChanges | None = canonical_changes(hypothesis.changes, parent_source)
    else:
        canonical = changes_from_title(hypothesis.title, parent_source)
    if canonical is not None and not for_index:
        return StatedChanges(canonical=canonical)
    reading = read_text(hypothesis.title, parent_source)
    if canonical is None:
        canonical = changes_from_reading(reading, parent_source)
    return StatedChanges(canonical=canonical, reading=reading)
