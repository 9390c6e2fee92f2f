"""Canonical changes: what a hypothesis says it changes, in the same terms as what an edit changes."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch.edits.constants import ConstantTable, fold_name
from autoresearch.edits.patch import digest
from autoresearch.edits.reading import constants_of
from autoresearch.edits.signatures import EditSignature
from autoresearch.edits.source import EditError, shown
from autoresearch.edits.statements import read_statements
from autoresearch.model import (
    CHANGE_TEXT_LIMIT_CHARS,
    CHANGES_LIMIT,
    Change,
    ConstantChange,
    MechanismChange,
    MechanismOp,
)

_SCHEME = "1"
"""Part of every key; raised, and ``RULES`` with it, when the canonical form changes."""

# What is no part of a mechanism's name: points outside numbers, hyphens that are no signs, other marks.
_NOISE = re.compile(r"(?<!\d)[.]|[.](?!\d)|[^\w.\s%-]|(?<=\w)-|-(?!\d)|_")


@dataclass(frozen=True, slots=True, kw_only=True)
class CanonicalChanges:
    """What a hypothesis or an edit changes, one spelling for each meaning.

    Attributes:
        constants: As in `EditSignature.changes`. Values that only running the code would tell are kept
            as normalised text.
        mechanisms: Sorted, in lower case, without punctuation.
        misstated: Constants for which the hypothesis states another old value than the parent has, each
            with that value.
        foreign: Names stated that are no constants of the parent; what they mean only the code tells.
        patch_key: For changes read from an edit that does more than set constants: which edit.
        key: Equal when the same constants get the same new values, the same mechanisms change and the
            base is described equally well. Never equal for words on constants alone and for an edit that
            does more.
    """

    constants: tuple[ConstantChange, ...]
    mechanisms: tuple[MechanismChange, ...] = ()
    misstated: tuple[tuple[str, str], ...] = ()
    foreign: tuple[str, ...] = ()
    patch_key: str = ""

    @property
    def key(self) -> str:
        """``cs_`` and 32 hexadecimal digits."""
        # A name that the parent has not got yet has no spelling to agree on, so case is dropped.
        named = [(item.name if item.old else fold_name(item.name), item.new) for item in self.constants]
        mechanisms = [(item.op, item.what, item.where) for item in self.mechanisms]
        return "cs_" + digest(
            json.dumps([_SCHEME, sorted(named), mechanisms, self.misstated, self.patch_key])
        )

    @property
    def knobs(self) -> tuple[str, ...]:
        """Names of the constants that change; tuples by component."""
        return tuple(item.name for item in self.constants)

    @property
    def is_empty(self) -> bool:
        """True when nothing is said to change."""
        return not self.constants and not self.mechanisms and not self.patch_key


def canonical_changes(changes: Sequence[Change], parent_source: str | None) -> CanonicalChanges:
    """The canonical form of a hypothesis's structured changes.

    Names are the parent's where they mean one of its constants, values are evaluated (an expression may
    refer to the parent's constants, to its own old value by its own name, and to the new value of
    another stated constant), old values come from the parent, changes that change nothing are dropped,
    and constants that merely follow from others are left out, as in `edit_signature`.

    Args:
        changes: At most ``CHANGES_LIMIT``, in any order, repeated or not.
        parent_source: The parent's ``train.py``; without it names and old values are taken as stated.

    Raises:
        EditError: Too many or too long, a name or value is missing, two changes contradict each other,
            or the parent is too large, too deep or not Python.
    """
    if len(changes) > CHANGES_LIMIT:
        raise EditError(
            f"{len(changes)} changes are stated, {CHANGES_LIMIT} are allowed; state the main ones"
        )
    table = constants_of(parent_source) if parent_source is not None else ConstantTable.of(())
    stated = [change for change in changes if isinstance(change, ConstantChange)]
    constants, misstated = read_statements(stated, table)
    mechanisms = {_mechanism(change) for change in changes if isinstance(change, MechanismChange)}
    _refuse_contradiction(mechanisms)
    return CanonicalChanges(
        constants=constants,
        mechanisms=tuple(sorted(mechanisms, key=lambda item: (item.op, item.what, item.where))),
        misstated=misstated,
        foreign=tuple(item.name for item in constants if item.name.partition("[")[0] not in table.by_name),
    )


def changes_of_edit(edit: EditSignature) -> CanonicalChanges:
    """An edit in the terms of `canonical_changes`.

    For an edit of constants alone the key is that of the structured changes that describe it. What else
    an edit does has no words here: the key of any other edit is its own.
    """
    return CanonicalChanges(constants=edit.changes, patch_key=edit.key if edit.patch else "")


def _mechanism(change: MechanismChange) -> MechanismChange:
    if max(len(change.what), len(change.where)) > CHANGE_TEXT_LIMIT_CHARS:
        raise EditError(
            f"a mechanism is described in over {CHANGE_TEXT_LIMIT_CHARS:,} characters; shorten it"
        )
    what, where = _plain(change.what), _plain(change.where)
    if not what:
        raise EditError("a mechanism change does not say what changes; name the mechanism")
    return MechanismChange(op=MechanismOp(change.op), what=what, where=where)


def _plain(text: str) -> str:
    return " ".join(_NOISE.sub(" ", unicodedata.normalize("NFKC", text).casefold()).split())


def _refuse_contradiction(mechanisms: set[MechanismChange]) -> None:
    for item in mechanisms:
        opposite = MechanismChange(op=MechanismOp.REMOVE, what=item.what, where=item.where)
        if item.op is MechanismOp.ADD and opposite in mechanisms:
            raise EditError(f"{shown(item.what)!r} is said to be both added and removed; keep one of them")
