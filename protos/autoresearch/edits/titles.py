"""Exact changes from simple titles: ``EMBEDDING_LR 0.6 -> 0.8``, ``halve DEPTH and set X to 3``.

Only a title that is nothing but such statements about the parent's own constants is read. Any other
title gives None, which means "no exact reading", never "no change": whoever reads words in free form
takes over there, and has this function's answer to build on where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from autoresearch.edits.changes import CanonicalChanges, canonical_changes
from autoresearch.edits.constants import ConstantTable
from autoresearch.edits.quantities import parse_value
from autoresearch.edits.reading import constants_of
from autoresearch.edits.source import EditError
from autoresearch.edits.statements import component, locate
from autoresearch.edits.values import NotConstant, Opaque, Value, canonical_text
from autoresearch.model import CHANGES_LIMIT, TITLE_LIMIT_CHARS, ConstantChange

_UP = ("increase", "raise", "grow")
_DOWN = ("decrease", "reduce", "lower", "cut", "shrink")
_PLAIN = ("set", "change", "switch", "move", "adjust", "tune", "bump", "update", "try", "use")
_FACTORS = {"halve": "{} / 2", "double": "{} * 2", "triple": "{} * 3", "quadruple": "{} * 4"}

_VERB = rf"(?:(?P<verb>{'|'.join(_UP + _DOWN + _PLAIN)})\s+)"
_KNOB = r"`?(?P<name>[A-Za-z_][\w.]*(?:\[[^\[\]]{1,40}\])*)`?"
_ARROW = "(?:-{1,2}>|=>|\N{RIGHTWARDS ARROW}|\N{RIGHTWARDS DOUBLE ARROW}|\N{LONG RIGHTWARDS ARROW})"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"{_VERB}?{_KNOB}(?:\s*[:=]\s*|\s+)(?:from\s+)?(?P<old>\S.*?)\s*{_ARROW}\s*(?P<new>\S.*)",
        rf"{_VERB}?{_KNOB}\s*:?\s+from\s+(?P<old>\S.*?)\s+to\s+(?P<new>\S.*)",
        rf"{_VERB}?{_KNOB}(?:\s*:?=\s*|\s+to\s+)(?P<new>\S.*)",
        rf"(?P<factor>{'|'.join(_FACTORS)})\s+{_KNOB}",
    )
)
_SEPARATOR = re.compile(r"\s*;\s*|,\s+(?:and\s+)?|\s+(?:and|&|\+)\s+", re.IGNORECASE)
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


def changes_from_title(title: str, parent_source: str) -> CanonicalChanges | None:
    """The changes that a title states, when the whole of it is an exact statement.

    Args:
        title: At most ``TITLE_LIMIT_CHARS``; a longer one has no exact reading.
        parent_source: The ``train.py`` whose constants the title has to name.

    Returns:
        Canonical changes; None when any part of the title is something else, names what is no constant
        of the parent, contradicts itself, gives an old value that is not the parent's, or changes nothing.

    Raises:
        EditError: The parent is too large, too deep or not Python.
    """
    table = constants_of(parent_source)
    if len(title) > TITLE_LIMIT_CHARS:
        return None
    title = " ".join(title.split()).rstrip(".! ")
    stated = _read_clauses([title], table) or _read_clauses(list(_clauses(title)), table)
    if stated is None:
        return None
    try:
        changes = canonical_changes(stated, parent_source)
    except EditError:
        return None
    return None if changes.is_empty or changes.misstated else changes


def _read_clauses(clauses: list[str], table: ConstantTable) -> list[ConstantChange] | None:
    stated = []
    for clause in clauses[: CHANGES_LIMIT + 1]:
        change = _read_clause(clause, table)
        if change is None:
            return None
        stated.append(change)
    return stated


def _clauses(title: str) -> Iterator[str]:
    """Parts of a title between separators that stand outside brackets."""
    start = 0
    for match in _SEPARATOR.finditer(title):
        clause = title[start : match.start()]
        if sum(_BRACKETS.get(mark, 0) for mark in clause) == 0:
            yield clause
            start = match.end()
    yield title[start:]


def _read_clause(clause: str, table: ConstantTable) -> ConstantChange | None:
    for form in _FORMS:
        match = form.fullmatch(clause)
        found = locate(match["name"], table) if match is not None else None
        if match is None or found is None:
            continue
        root, path = found
        value = component(table.by_name[root].value, path)
        words = match.groupdict()
        change = _statement(words, value)
        if change is not None:
            return ConstantChange(name=words["name"] or "", old=change[0], new=change[1])
    return None


def _statement(words: dict[str, str | None], value: Value) -> tuple[str, str] | None:
    """Old and new value as canonical text, where both are plain values and the verb agrees."""
    factor = words.get("factor")
    if factor is not None:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            return None
        if isinstance(value, int) and factor.lower() == "halve" and value % 2:
            return None
        text = _FACTORS[factor.lower()].format(f"({canonical_text(value)})")
        return canonical_text(value), text.replace("/", "//") if isinstance(value, int) else text
    new = _plain_value(words["new"] or "", value)
    old = _plain_value(words.get("old") or canonical_text(value), value)
    if new is None or old is None or not _agrees(words.get("verb"), old[0], new[0]):
        return None
    return old[1], new[1]


def _plain_value(text: str, like: Value) -> tuple[Value, str] | None:
    """A value that stands for itself; bare words only where the parent has a word too."""
    try:
        value = parse_value(text, like=like)
    except (EditError, NotConstant):
        return None
    is_quoted = text[:1] in {"'", '"'}
    if isinstance(value, Opaque) or (isinstance(value, str) and not is_quoted and not _is_word(text, like)):
        return None
    return value, canonical_text(value)


def _is_word(text: str, like: Value) -> bool:
    return isinstance(like, str) and text.isidentifier()


def _agrees(verb: str | None, old: Value, new: Value) -> bool:
    direction = (verb or "").lower()
    if direction not in _UP + _DOWN:
        return True
    if not isinstance(old, int | Decimal) or not isinstance(new, int | Decimal):
        return False
    return new > old if direction in _UP else new < old
