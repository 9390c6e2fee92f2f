"""Was this tried? Judged by what an edit does, in order: its file, its edit, its stated changes.

Needs no model. The store has the last word on what is being tried at this moment; what the judge says is
about experiments that are over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from autoresearch.edits import CanonicalChanges
from autoresearch.model import ExperimentId, ExperimentState, HardwareClass, Hypothesis, Intent

from coordinator.dedup.code import CodeReading
from coordinator.dedup.index import EditIndex, TriedEdit

_DONE = frozenset(
    {
        ExperimentState.COMPLETED,
        ExperimentState.REJECTED,
        ExperimentState.CANDIDATE,
        ExperimentState.REFUTED,
        ExperimentState.BEST,
        ExperimentState.SUPERSEDED,
    }
)
"""States of experiments that ran to their end; crashes may have been the machine's."""


class Level(StrEnum):
    """On which ground two edits are the same, the surest first."""

    FILE = "file"
    EDIT = "edit"
    WORDS = "words"


class Ruling(StrEnum):
    """What a verdict asks for: go on, stop, or say why this one differs."""

    NEW = "new"
    DUPLICATE = "duplicate"
    ASK = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judge's answer; level, match and same_parent are about the experiment that it names."""

    ruling: Ruling
    level: Level | None = None
    match: ExperimentId | None = None
    same_parent: bool = False


NEW = Verdict(ruling=Ruling.NEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about: an idea of one class on one parent."""

    hardware_class: HardwareClass
    parent_id: ExperimentId
    hypothesis: Hypothesis

    @property
    def is_deliberate(self) -> bool:
        """True when the proposer has said why the same edit is worth another try."""
        return bool(self.hypothesis.distinction.strip()) or self.hypothesis.intent is not Intent.NEW


class Judge:
    """Compares with the edits in the index; ``state_of`` tells how an experiment went."""

    def __init__(self, index: EditIndex, state_of: Callable[[ExperimentId], ExperimentState | None]) -> None:
        self._index = index
        self._state_of = state_of

    def judge_words(self, question: Question, canonical: CanonicalChanges | None) -> Verdict:
        """Judges an idea before there is code. ``canonical`` is None for free words."""
        if canonical is None:
            same = self._index.same_title(question.hardware_class, question.hypothesis.title)
            return self._ask(question, same, Level.WORDS)
        if canonical.is_empty:
            return Verdict(
                ruling=Ruling.DUPLICATE, level=Level.WORDS, match=question.parent_id, same_parent=True
            )
        same = self._index.same_changes(question.hardware_class, canonical.key)
        # Constants say all that an edit does; a mechanism in the same words may be built another way.
        if not canonical.mechanisms and not canonical.foreign:
            # What an experiment said and did not do blocks nobody.
            did = [edit for edit in same if edit.code_key == canonical.key]
            verdict = self._duplicate(question, did, Level.WORDS)
            if verdict is not None:
                return verdict
        return self._ask(question, same, Level.WORDS)

    def judge_code(
        self, question: Question, reading: CodeReading, *, own_id: ExperimentId | None = None
    ) -> Verdict:
        """Judges code; ``own_id`` is the asking experiment itself, in case it is known already."""
        if reading.edit is not None and reading.edit.is_empty:
            return Verdict(
                ruling=Ruling.DUPLICATE, level=Level.FILE, match=question.parent_id, same_parent=True
            )
        same_file = self._others(
            self._index.same_file(question.hardware_class, reading.file_signature), own_id
        )
        done = next((edit for edit in same_file if self._is_done(edit)), None)
        if done is not None:
            return Verdict(
                ruling=Ruling.DUPLICATE,
                level=Level.FILE,
                match=done.experiment_id,
                same_parent=done.parent_id == question.parent_id,
            )
        if reading.edit is None:
            return NEW
        same_edit = self._others(self._index.same_edit(question.hardware_class, reading.edit.key), own_id)
        verdict = self._duplicate(question, same_edit, Level.EDIT)
        return verdict or self._ask(question, same_edit, Level.EDIT)

    def _duplicate(self, question: Question, same: Iterable[TriedEdit], level: Level) -> Verdict | None:
        for edit in same:
            if edit.parent_id == question.parent_id and self._is_done(edit):
                return Verdict(
                    ruling=Ruling.DUPLICATE, level=level, match=edit.experiment_id, same_parent=True
                )
        return None

    def _ask(self, question: Question, same: Iterable[TriedEdit], level: Level) -> Verdict:
        if question.is_deliberate:
            return NEW
        latest = None
        for edit in same:
            if self._is_done(edit):
                latest = edit
        if latest is None:
            return NEW
        return Verdict(
            ruling=Ruling.ASK,
            level=level,
            match=latest.experiment_id,
            same_parent=latest.parent_id == question.parent_id,
        )

    def _is_done(self, edit: TriedEdit) -> bool:
        return self._state_of(edit.experiment_id) in _DONE

    @staticmethod
    def _others(edits: Iterable[TriedEdit], own_id: ExperimentId | None) -> list[TriedEdit]:
        return [edit for edit in edits if edit.experiment_id != own_id]
