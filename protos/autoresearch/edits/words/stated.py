"""Stated changes as the reading that their description would have, to be compared with free words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from autoresearch.edits.changes import CanonicalChanges
from autoresearch.edits.words.parent import read_parent, read_text
from autoresearch.edits.words.reading import Reading, Setting, Subject
from autoresearch.edits.words.tokens import canonical, number_of
from autoresearch.model import MechanismOp

_VERBS: Mapping[MechanismOp, str] = {
    MechanismOp.ADD: "add",
    MechanismOp.REMOVE: "remove",
    MechanismOp.REPLACE: "replace",
}


def reading_of_changes(changes: CanonicalChanges, parent_source: str) -> Reading:
    """What canonical changes say, in the terms of descriptions.

    Args:
        changes: As stated of an edit of the parent.
        parent_source: The ``train.py`` that the edit starts from.

    Raises:
        EditError: The parent is too large, too deep or not Python.
    """
    parent = read_parent(parent_source)
    subjects: dict[str, Subject] = {}
    for subject, known in parent.constants.items():
        for own in known:
            subjects.setdefault(own.name, subject)  # "the batch" in general comes after the one that it is
    settings: dict[Subject, Setting] = {}
    for change in changes.constants:
        subject = subjects.get(change.name) or frozenset({change.name.casefold()})
        old = parent.values.get(subject, "") or _plain(change.old)
        settings[subject] = Setting(subject=subject, old=old, new=_plain(change.new))
    if not changes.mechanisms:
        return Reading(settings=settings)
    told = (f"{_VERBS[item.op]} {item.what} {item.where}" for item in changes.mechanisms)
    reading = read_text(", ".join(told), parent_source)
    return replace(reading, settings={**reading.settings, **settings})


def _plain(value: str) -> str:
    """A value of a source as descriptions have it."""
    number = number_of(value)
    return value.strip("'\"").casefold() if number is None else canonical(number)
