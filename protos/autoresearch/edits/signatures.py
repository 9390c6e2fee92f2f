"""Signatures: what a file is, and what an edit does, as short texts that are equal when these are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from autoresearch.edits.constants import Constant, ConstantTable
from autoresearch.edits.normalise import normalised
from autoresearch.edits.patch import PatchWriter, digest
from autoresearch.edits.values import Group, Value, canonical_text, components, widened
from autoresearch.model import ConstantChange

_SCHEME = "2"
"""Part of every signature; raised when the normalisation changes, since old signatures then mean nothing.
With it goes ``RULES``: whoever keeps signatures makes them anew.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditSignature:
    """What an edit does to its parent.

    Attributes:
        changes: Constants that got another value, sorted by name, in canonical text; tuples are split.
            ``old`` is empty for a new constant, ``new`` for one that is gone. A constant that follows
            from others is listed only where it no longer has the value that the parent's own line
            gives it; it is then listed even if that value is what it was before.
        patch: The rest of the edit; opaque, comparable texts.
        touched: Definitions that the patch touches (``GPT.forward``; empty text for module level).
        key: Equal for two edits that set the same constants to the same new values and have the same
            patch, on whatever parent. On one parent, equal keys mean equal programs (but for an int
            where the parent has the float of its size).
    """

    changes: tuple[ConstantChange, ...]
    patch: tuple[str, ...]
    touched: tuple[str, ...]
    key: str

    @property
    def is_empty(self) -> bool:
        """True when nothing changed that the program could notice."""
        return not self.changes and not self.patch

    @property
    def constants_only(self) -> bool:
        """True when the edit sets constants and does nothing else."""
        return bool(self.changes) and not self.patch


def file_signature(source: str) -> str:
    """``fs_`` and 32 hexadecimal digits: equal for files that do the same.

    Raises:
        EditError: The source is too large, too deep or not Python.
    """
    program = normalised(source)
    constants = sorted(f"{item.name}={canonical_text(item.value)}" for item in program.table.constants)
    statements = [statement.text for statement in program.statements]
    return "fs_" + digest("\n".join([_SCHEME, *constants, "", *statements]))


def edit_signature(parent_source: str, source: str) -> EditSignature:
    """What ``source`` changes in ``parent_source``.

    Raises:
        EditError: Either source is too large, too deep or not Python.
    """
    parent, child = normalised(parent_source), normalised(source)
    changes = tuple(explicit_changes(parent.table, child.table.values()))
    tokens = list(PatchWriter(parent.fields, child.fields).compare(parent.statements, child.statements))
    patch = tuple(sorted(token.text for token in tokens))
    settings = [(change.name, change.new) for change in changes]
    key = "es_" + digest(json.dumps([_SCHEME, settings, patch]))
    touched = tuple(sorted({token.where for token in tokens}))
    return EditSignature(changes=changes, patch=patch, touched=touched, key=key)


def explicit_changes(parent: ConstantTable, values: Mapping[str, Value]) -> list[ConstantChange]:
    """The constants that were set, as against those that follow from the ones that were.

    Args:
        parent: Constants before.
        values: Values by name after; a name that is missing is gone.

    Returns:
        The changes sorted by name.
    """
    changes: list[ConstantChange] = []
    for constant in parent.constants:
        if constant.name not in values:
            old = canonical_text(constant.value)
            changes.append(ConstantChange(name=constant.name, old=old, new=""))
        else:
            changes.extend(_differences(constant, constant.implied(values), values[constant.name]))
    for name, value in values.items():
        if name not in parent.by_name:
            changes.extend(
                ConstantChange(name=part, new=canonical_text(leaf)) for part, leaf in components(name, value)
            )
    return sorted(changes, key=lambda change: change.name)


def _differences(constant: Constant, implied: Value, value: Value) -> Iterator[ConstantChange]:
    value = widened(value, implied)
    if canonical_text(value) == canonical_text(implied):
        return
    if not (isinstance(value, Group) and value.has_shape_of(implied)):
        old = canonical_text(constant.value)
        yield ConstantChange(name=constant.name, old=old, new=canonical_text(value))
        return
    before = {name: canonical_text(leaf) for name, leaf in components(constant.name, constant.value)}
    expected = {name: canonical_text(leaf) for name, leaf in components(constant.name, implied)}
    for name, leaf in components(constant.name, value):
        new = canonical_text(leaf)
        if new != expected.get(name):
            yield ConstantChange(name=name, old=before.get(name, ""), new=new)
