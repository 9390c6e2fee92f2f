"""Was this tried? Judged by what an edit does, in order: its file, its edit, its stated changes.

None of that needs a model. An idea in free words that says what a tried one says is asked about, and where
there is a model one whose words nobody can read for what it does, if it sounds much like a tried one; words
that are no exact statement never block. The store has the last word on what is
being tried at this moment; what the judge says is about experiments that are over. Whose outcome settles an
edit and whose only warns, ``precedents`` tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from autoresearch.edits import CanonicalChanges
from autoresearch.edits.words import Reading
from autoresearch.model import ExperimentId, HardwareClass, Hypothesis, Intent

from coordinator.dedup.code import CodeReading
from coordinator.dedup.embedder import Near
from coordinator.dedup.index import EditIndex, TriedEdit
from coordinator.dedup.pairs import Answer, judge_readings
from coordinator.dedup.precedents import Belief, latest

SOUNDS_THE_SAME_MIN = 0.85
"""Cosine of titles. Of 2,000 titles of real swarms 59 cannot be read for what they do: the 7 of them that are
this near to another title mean the same, and just below most do not. Titles that can be read may say
different things at any cosine: of 101 labelled pairs this near that their words tell apart none is one edit.
"""

READINGS_LIMIT = 32
"""Tried edits that are compared with an idea by their readings, beside those that are near in meaning."""

_FIGURE = re.compile(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?")
_WORD = re.compile(r"[a-z]+")
_UP = frozenset({"bigger", "higher", "increase", "larger", "longer", "more", "raise", "stronger", "up"})
_DOWN = frozenset({"decrease", "down", "fewer", "less", "lower", "reduce", "shorter", "smaller", "weaker"})
_AWAY = frozenset({"disable", "drop", "no", "remove", "skip", "without"})


class Level(StrEnum):
    """On which ground two edits are the same, the surest first."""

    FILE = "file"
    EDIT = "edit"
    WORDS = "words"
    MEANING = "meaning"


class Ruling(StrEnum):
    """What a verdict asks for: go on, stop, or say why this one differs."""

    NEW = "new"
    DUPLICATE = "duplicate"
    ASK = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judge's answer; level, match and same_parent are about the experiment that it names.

    ``reason`` says what the two have in common, where their words were compared.
    ``is_unsettled``: that one is this very edit, and only warns because nobody vouches for its owner.
    ``waived`` are such experiments that the proposer has answered: they do not stand in the way.
    """

    ruling: Ruling
    level: Level | None = None
    match: ExperimentId | None = None
    same_parent: bool = False
    reason: str = ""
    is_unsettled: bool = False
    waived: tuple[ExperimentId, ...] = ()


NEW = Verdict(ruling=Ruling.NEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about: an idea of one class on one parent.

    ``is_moved``: it combines, takes out or moves edits that were tried elsewhere, as it was asked to.
    """

    hardware_class: HardwareClass
    parent_id: ExperimentId
    hypothesis: Hypothesis
    is_queued: bool = False
    is_moved: bool = False

    @property
    def may_repeat(self) -> bool:
        """True where a run that nobody vouches for does not stand in the way.

        Nobody is there to answer for a queued idea, and one such run must not put an end to it.
        """
        return self.has_answer or self.is_queued

    @property
    def has_answer(self) -> bool:
        """True when the proposer knows of the other run, and wants one more or says why this differs."""
        return bool(self.hypothesis.distinction.strip()) or self.hypothesis.intent is Intent.RETEST

    @property
    def answers_for_its_words(self) -> bool:
        """True where somebody can be asked how this differs from what is being tried in other words.

        A distinction is no answer to a claim that gives the same one.
        """
        return not (self.is_queued or self.is_moved) and self.hypothesis.intent is Intent.NEW

    @property
    def is_deliberate(self) -> bool:
        """True when the proposer knows that the same edit was tried on another parent."""
        return self.has_answer or self.is_moved or self.hypothesis.intent is not Intent.NEW


class Judge:
    """Compares with the edits in the index; the asker's belief tells which of them are over, and how."""

    def __init__(self, index: EditIndex) -> None:
        self._index = index

    def judge_words(self, question: Question, canonical: CanonicalChanges | None, belief: Belief) -> Verdict:
        """Judges an idea before there is code. ``canonical`` is None for free words."""
        if canonical is None:
            same = self._index.same_title(question.hardware_class, question.hypothesis.title)
            return self._ask(question, same, Level.WORDS, belief)
        if canonical.is_empty:
            return Verdict(
                ruling=Ruling.DUPLICATE, level=Level.WORDS, match=question.parent_id, same_parent=True
            )
        same = self._index.same_changes(question.hardware_class, canonical.key)
        # Constants say all that an edit does; a mechanism in the same words may be built another way.
        if not canonical.mechanisms and not canonical.foreign:
            # What an experiment said and did not do blocks nobody.
            did = [edit for edit in same if edit.code_key == canonical.key]
            verdict = self._repeat(question, self._on_parent(question, did), Level.WORDS, belief)
            if verdict is not None:
                return verdict
        return self._ask(question, same, Level.WORDS, belief)

    def judge_free_words(
        self, question: Question, reading: Reading, near: Sequence[Near], belief: Belief
    ) -> Verdict:
        """Asks about an idea in free words: by what they say or, where nobody can read them, how they sound.

        ``near`` are the tried experiments that are nearest in meaning, as far as that is known.
        """
        if question.is_deliberate:
            return NEW
        if reading.is_empty:
            return self._judge_sound(question, near, belief)
        return self._judge_reading(question, reading, near, belief)

    def _judge_reading(
        self, question: Question, reading: Reading, near: Sequence[Near], belief: Belief
    ) -> Verdict:
        """Two readings may be of one edit and yet be built in two ways, so that they only ask."""
        meant = (self._index.get(one.experiment_id) for one in near)
        sharing = self._index.sharing_terms(question.hardware_class, reading, limit=READINGS_LIMIT)
        found = {edit.experiment_id: edit for edit in (*meant, *sharing) if edit is not None}
        doubtful: Verdict | None = None
        for edit in found.values():
            if not _counts(edit.experiment_id, belief) or (tried := edit.reading) is None:
                continue
            pair = judge_readings(tried, reading)
            if pair.answer is Answer.ALLOW:
                continue
            verdict = Verdict(
                ruling=Ruling.ASK,
                level=Level.WORDS,
                match=edit.experiment_id,
                same_parent=edit.parent_id == question.parent_id,
                reason=pair.reason,
            )
            if pair.answer is Answer.BLOCK:
                return verdict
            doubtful = doubtful or verdict
        return doubtful or NEW

    def _judge_sound(self, question: Question, near: Sequence[Near], belief: Belief) -> Verdict:
        for experiment_id, similarity in near:
            edit = self._index.get(experiment_id)
            if similarity < SOUNDS_THE_SAME_MIN or edit is None or not _counts(experiment_id, belief):
                continue
            if not says_otherwise(question.hypothesis.title, edit.title):
                return Verdict(
                    ruling=Ruling.ASK,
                    level=Level.MEANING,
                    match=experiment_id,
                    same_parent=edit.parent_id == question.parent_id,
                )
        return NEW

    def judge_code(
        self,
        question: Question,
        reading: CodeReading,
        belief: Belief,
        *,
        own_id: ExperimentId | None = None,
    ) -> Verdict:
        """Judges code; ``own_id`` is the asking experiment itself, in case it is known already."""
        if reading.edit is not None and reading.edit.is_empty:
            return Verdict(
                ruling=Ruling.DUPLICATE, level=Level.FILE, match=question.parent_id, same_parent=True
            )
        same_file = self._others(
            self._index.same_file(question.hardware_class, reading.file_signature), own_id
        )
        verdict = self._repeat(question, same_file, Level.FILE, belief)
        if verdict is not None or reading.edit is None:
            return verdict or NEW
        same_edit = self._others(self._index.same_edit(question.hardware_class, reading.edit.key), own_id)
        verdict = self._repeat(question, self._on_parent(question, same_edit), Level.EDIT, belief)
        return verdict or self._ask(question, same_edit, Level.EDIT, belief)

    @staticmethod
    def _on_parent(question: Question, edits: Iterable[TriedEdit]) -> list[TriedEdit]:
        return [edit for edit in edits if edit.parent_id == question.parent_id]

    @staticmethod
    def _repeat(
        question: Question, same: Iterable[TriedEdit], level: Level, belief: Belief
    ) -> Verdict | None:
        """What is said of a repeat: tried, or why again? None where nobody has been there.

        What the proposer has answered is waived: it does not ask again on a weaker ground.
        """
        found = {edit.experiment_id: edit for edit in same}
        precedents = [one for one in map(belief.find, found) if one is not None]
        if not precedents:
            return None
        settling = belief.settling(precedents)
        if settling is None and question.may_repeat:
            return Verdict(ruling=Ruling.NEW, waived=tuple(one.experiment_id for one in precedents))
        named = (settling or latest(precedents)).experiment_id
        return Verdict(
            ruling=Ruling.ASK if settling is None else Ruling.DUPLICATE,
            level=level,
            match=named,
            same_parent=found[named].parent_id == question.parent_id,
            is_unsettled=settling is None,
        )

    @staticmethod
    def _ask(question: Question, same: Iterable[TriedEdit], level: Level, belief: Belief) -> Verdict:
        if question.is_deliberate:
            return NEW
        last = None
        for edit in same:
            precedent = belief.find(edit.experiment_id)
            # A crash may be of that parent only.
            if precedent is not None and not precedent.has_crashed:
                last = edit
        if last is None:
            return NEW
        return Verdict(
            ruling=Ruling.ASK,
            level=level,
            match=last.experiment_id,
            same_parent=last.parent_id == question.parent_id,
        )

    @staticmethod
    def _others(edits: Iterable[TriedEdit], own_id: ExperimentId | None) -> list[TriedEdit]:
        return [edit for edit in edits if edit.experiment_id != own_id]


def _counts(experiment_id: ExperimentId, belief: Belief) -> bool:
    """True for one that has run or runs now; a crash may be of that parent only."""
    precedent = belief.find(experiment_id)
    return not precedent.has_crashed if precedent else belief.is_running(experiment_id)


def says_otherwise(one: str, other: str) -> bool:
    """True for titles that name other values or go another way, however alike they sound."""
    figures = [set(_FIGURE.findall(title.casefold())) for title in (one, other)]
    if not (figures[0] <= figures[1] or figures[1] <= figures[0]):
        return True
    words = [set(_WORD.findall(title.casefold())) for title in (one, other)]
    up, down, away = ([bool(said & known) for said in words] for known in (_UP, _DOWN, _AWAY))
    return away[0] != away[1] or any(
        up[side] and not down[side] and down[1 - side] and not up[1 - side] for side in (0, 1)
    )
