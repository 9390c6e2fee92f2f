"""Fills what a description leaves to its parent: names of constants, old values, "half of it"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache

from autoresearch.edits.constants import Constant
from autoresearch.edits.reading import constants_of
from autoresearch.edits.values import Group, Value
from autoresearch.edits.words.reading import Reading, Setting, Subject, read_with
from autoresearch.edits.words.settling import BETAS
from autoresearch.edits.words.tokens import canonical, number_of
from autoresearch.edits.words.vocabulary import Sort, Term, Vocabulary, vocabulary

_PARENTS_CACHED = 64
_NAMES_LIMIT = 400
"""Constants of a parent that are looked for in words; a real ``train.py`` has about 50."""

_NAME_LIMIT_CHARS = 60
_GENERAL_BATCH: Subject = frozenset({"batch"})
_BATCHES: tuple[Subject, ...] = (frozenset({"total_batch"}), frozenset({"device_batch"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A constant of a parent, or one component of it, with its value."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """What a parent gives to a description.

    Attributes:
        table: The vocabulary with the names that only this parent knows.
        values: Canonical values by what a setting is about.
        constants: The constants that a setting may be about. A field of a class is meant only where no
            other constant is, as where it is called by its name.
    """

    table: Vocabulary
    values: Mapping[Subject, str]
    constants: Mapping[Subject, tuple[Own, ...]]


def read_text(text: str, parent_source: str | None = None) -> Reading:
    """What a description says to do.

    Args:
        text: Free words, of any length; what comes after ``TEXT_LIMIT_CHARS`` is not read.
        parent_source: The ``train.py`` that the edit starts from. Its constants are known by name, and
            give the old values and what "halve" comes to.

    Raises:
        EditError: The parent is too large, too deep or not Python.
    """
    if parent_source is None:
        return read_with(vocabulary(), text)
    parent = read_parent(parent_source)
    reading = read_with(parent.table, text)
    settings = {subject: _filled(setting, parent) for subject, setting in reading.settings.items()}
    return replace(reading, settings=settings)


@lru_cache(maxsize=_PARENTS_CACHED)
def read_parent(source: str) -> Parent:
    """The constants of a parent by what they are about; thread-safe.

    Raises:
        EditError: The parent is too large, too deep or not Python.
    """
    own: dict[str, Term] = {}
    values: dict[Subject, str] = {}
    constants: dict[Subject, tuple[Own, ...]] = {}
    for constant in sorted(constants_of(source).constants[:_NAMES_LIMIT], key=_is_field):
        name = constant.name.rpartition(".")[2]
        if len(name) > _NAME_LIMIT_CHARS:
            continue
        subject = _subject_of(name, constant.value)
        if subject is None:
            own[name] = Term(sort=Sort.KNOB, name=name.casefold())
            subject = frozenset({name.casefold()})
        for one, part, text in _parts(subject, constant.name, constant.value):
            known = constants.get(one, ())
            if not (_is_field(constant) and any("." not in other.name for other in known)):
                values.setdefault(one, text)
                constants[one] = (*known, part)
    batches = [subject for subject in _BATCHES if subject in constants]
    if len(batches) == 1:
        values[_GENERAL_BATCH], constants[_GENERAL_BATCH] = values[batches[0]], constants[batches[0]]
    return Parent(table=vocabulary().extended(own), values=values, constants=constants)


def _is_field(constant: Constant) -> bool:
    return "." in constant.name


def _subject_of(name: str, value: Value) -> Subject | None:
    """What a constant is about, where the table knows all of its name; its size tells which batch it is."""
    number = value if isinstance(value, int) and value > 1 else "0.123"
    reading = read_with(vocabulary(), f"{name} = {number}")
    if len(reading.settings) != 1 or reading.mechanisms or reading.words:
        return None
    return next(iter(reading.settings))


def _parts(subject: Subject, name: str, value: Value) -> Iterator[tuple[Subject, Own, str]]:
    """What can be set: a constant or the components of one, and its value as descriptions have it."""
    own = Own(name=name, value=value)
    if isinstance(value, Group):
        if BETAS in subject and len(value.parts) == 2:  # noqa: PLR2004
            for beta, key, part in zip(("beta1", "beta2"), value.keys, value.parts, strict=True):
                yield from _parts((subject - {BETAS}) | {beta}, f"{name}[{key}]", part)
    elif isinstance(value, bool) or value is None:
        yield subject, own, str(value).lower()
    elif isinstance(value, int | Decimal):
        yield subject, own, canonical(Decimal(value))
    elif isinstance(value, str):
        yield subject, own, value


def _filled(setting: Setting, parent: Parent) -> Setting:
    old = setting.old or parent.values.get(setting.subject, "")
    number, factor = number_of(old), number_of(setting.factor)
    if setting.new or number is None or factor is None:
        return replace(setting, old=old)
    new = number + factor if setting.factor[0] in "+-" else number * factor
    return replace(setting, old=old, new=canonical(Decimal(repr(float(new)))), factor="")
