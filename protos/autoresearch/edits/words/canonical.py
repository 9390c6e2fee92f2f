"""From a reading to canonical changes, where it is wholly settled on constants of the parent."""

from __future__ import annotations

from decimal import Decimal

from autoresearch.edits.changes import CanonicalChanges, canonical_changes
from autoresearch.edits.source import EditError
from autoresearch.edits.values import Value
from autoresearch.edits.words.parent import Parent, read_parent
from autoresearch.edits.words.reading import Reading, Setting, Subject
from autoresearch.edits.words.settling import OFF, OFF_AT_ZERO
from autoresearch.edits.words.tokens import number_of
from autoresearch.model import ConstantChange

_DIGITS_MAX = 5
"""Digits of a fraction; more come of rounding a third or a seventh, whose exact value the code has."""

_SHARES = frozenset({"warmup", "warmdown", "final_lr", "momentum_warmup"})
"""Knobs that are a share in some programs and steps in others."""


def changes_from_reading(reading: Reading, parent_source: str) -> CanonicalChanges | None:
    """The changes that a description states, when it sets constants of its parent and says nothing else.

    Args:
        reading: The description, read against the same parent.
        parent_source: The ``train.py`` whose constants it has to be about.

    Returns:
        Canonical changes; None when any part of the reading is no new value of one certain constant, might
        narrow it, gives an old value that is not the parent's, goes against its verb, or changes nothing.

    Raises:
        EditError: The parent is too large, too deep or not Python.
    """
    parent = read_parent(parent_source)
    if _says_more(reading, parent):
        return None
    stated: list[ConstantChange] = []
    for setting in reading.settings.values():
        change = _change(setting, parent)
        if change is None:
            return None
        stated.append(change)
    try:
        changes = canonical_changes(stated, parent_source)
    except EditError:
        return None
    return None if changes.is_empty else changes


def _says_more(reading: Reading, parent: Parent) -> bool:
    """True where it is not about settings alone; amounts that the parent has are mentioned as they are."""
    beside = reading.mechanisms | reading.replaced | reading.amounts | reading.rest | reading.before
    is_other_base = not reading.context <= set(parent.values.values())
    return bool(beside | reading.words or reading.mentioned) or reading.has_details or is_other_base


def _change(setting: Setting, parent: Parent) -> ConstantChange | None:
    meant = parent.constants.get(setting.subject, ())
    if len(meant) != 1 or setting.qualifiers or not setting.new:
        return None
    if setting.old != parent.values[setting.subject]:
        return None
    new = _as_source(setting, meant[0].value)
    return ConstantChange(name=meant[0].name, new=new) if new else None


def _as_source(setting: Setting, value: Value) -> str:
    """The new value as a source has it; empty where it is none of the constant's kind."""
    number = number_of(setting.new)
    if isinstance(value, bool):
        return {"true": "True", "false": "False", OFF: "False"}.get(setting.new, "")
    if isinstance(value, int | Decimal):
        if setting.new == OFF and setting.subject <= OFF_AT_ZERO:
            number = Decimal(0)
        return "" if number is None or not _may_be(number, value, setting) else str(number)
    if isinstance(value, str):
        is_pattern = number is None and setting.new not in {"true", "false", OFF}
        return repr(setting.new) if is_pattern else ""
    return ""


def _may_be(number: Decimal, value: int | Decimal, setting: Setting) -> bool:
    """True for a number of the constant's kind, the way that the verb says."""
    if setting.direction and setting.new != OFF and (number > value) != (setting.direction == "up"):
        return False
    if number == number.to_integral_value():
        return not (_is_share(setting.subject, value) and abs(number) > 1)
    return not isinstance(value, int) and len(number.normalize().as_tuple().digits) <= _DIGITS_MAX


def _is_share(subject: Subject, value: int | Decimal) -> bool:
    return bool(subject & _SHARES) and isinstance(value, Decimal) and abs(value) <= 1
