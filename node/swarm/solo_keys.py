"""What must not be tried twice, as texts: the file, the edit of a parent, and the words for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from autoresearch.edits import (
    EditError,
    canonical_changes,
    changes_of_edit,
    edit_signature,
    file_signature,
    words_match,
)
from autoresearch.model import ExperimentId, Hypothesis


@dataclass(frozen=True, slots=True, kw_only=True)
class EditKeys:
    """``keys`` are equal for equal edits; ``knobs`` are the constants that change, with their new values.

    ``flags`` say where the words do not match the code.
    """

    keys: tuple[str, ...] = ()
    knobs: tuple[tuple[str, str], ...] = ()
    flags: tuple[str, ...] = ()


def level_of(key: str) -> str:
    """``file``, ``edit`` or ``words``."""
    return key.partition(":")[0]


def keys_of_words(hypothesis: Hypothesis, parent_id: ExperimentId, parent_source: bytes) -> EditKeys:
    """What the structured changes say; nothing where they are free-form or cannot be read."""
    try:
        stated = canonical_changes(hypothesis.changes, parent_source.decode("utf-8"))
    except (EditError, UnicodeDecodeError):
        return EditKeys()  # the code will tell
    if stated.is_empty:
        return EditKeys()
    knobs = tuple((change.name, change.new) for change in stated.constants)
    return EditKeys(keys=(f"words:{parent_id}:{stated.key}",), knobs=knobs)


def keys_of_code(
    source: bytes, hypothesis: Hypothesis, parent_id: ExperimentId | None, parent_source: bytes | None
) -> EditKeys:
    """What the code is and does; code that is no Python is known by its bytes."""
    try:
        text = source.decode("utf-8")
        file_key = "file:" + file_signature(text)
    except (EditError, UnicodeDecodeError):
        return EditKeys(keys=("file:" + hashlib.sha256(source).hexdigest(),))
    if parent_id is None or parent_source is None:
        return EditKeys(keys=(file_key,))
    try:
        parent_text = parent_source.decode("utf-8")
        edit = edit_signature(parent_text, text)
    except (EditError, UnicodeDecodeError):
        return EditKeys(keys=(file_key,))
    done = changes_of_edit(edit)
    keys = (file_key, f"edit:{parent_id}:{edit.key}", f"words:{parent_id}:{done.key}")
    try:
        flags = words_match(edit, canonical_changes(hypothesis.changes, parent_text))
    except EditError as error:
        flags = (str(error),)
    knobs = tuple((change.name, change.new) for change in edit.changes)
    return EditKeys(keys=keys, knobs=knobs, flags=flags)
