"""Compare what a hypothesis says with what its edit does."""

from __future__ import annotations

from collections.abc import Iterator

from autoresearch.edits.changes import CanonicalChanges
from autoresearch.edits.constants import fold_name
from autoresearch.edits.signatures import EditSignature
from autoresearch.model import ConstantChange

SENTENCES_LIMIT = 16
"""Mismatches that are spelled out; the rest is counted."""

_VALUE_LIMIT_CHARS = 80


def words_match(edit: EditSignature, stated: CanonicalChanges) -> tuple[str, ...]:
    """How the stated changes of a hypothesis differ from its edit.

    Args:
        edit: The edit, from the same parent that the words were read against.
        stated: The hypothesis's changes. When it states none, in free form, there is nothing to compare.

    Returns:
        One sentence for each mismatch, at most ``SENTENCES_LIMIT``; empty when words and code agree.
    """
    if stated.is_empty:
        return ()
    sentences = [*_constants(edit, stated), *_rest(edit, stated)]
    if len(sentences) > SENTENCES_LIMIT:
        more = len(sentences) - SENTENCES_LIMIT + 1
        sentences = [*sentences[: SENTENCES_LIMIT - 1], f"There are {more} more differences."]
    return tuple(sentences)


def _constants(edit: EditSignature, stated: CanonicalChanges) -> Iterator[str]:
    said = {_key(change): change for change in stated.constants}
    done = {_key(change): change for change in edit.changes}
    for key, change in done.items():
        if key in said and said[key].new != change.new:
            words, code = _short(said[key].new), _short(change.new)
            yield f"The hypothesis sets {change.name} to {words}, the code sets it to {code}."
        elif key not in said and (change.old or not stated.mechanisms):
            yield f"The code {_deed(change)}, which the hypothesis does not mention."
    for key, change in said.items():
        if key not in done and not (change.name in stated.foreign and edit.patch):
            yield f"The hypothesis {_deed(change)}, the code leaves it as it was."
    for name, old in stated.misstated:
        yield f"The hypothesis says that {name} was {_short(old)}, the parent has another value."


def _rest(edit: EditSignature, stated: CanonicalChanges) -> Iterator[str]:
    if edit.patch and not stated.mechanisms:
        places = ", ".join(place or "module level" for place in edit.touched[:4])
        yield f"The code changes more than constants ({places}), the hypothesis states constants only."
    if stated.mechanisms and not edit.patch:
        what = stated.mechanisms[0]
        yield f"The hypothesis says to {what.op} {_short(what.what)!r}, the code sets constants only."


def _key(change: ConstantChange) -> str:
    return change.name if change.old else fold_name(change.name)


def _deed(change: ConstantChange) -> str:
    if not change.new:
        return f"removes {change.name}"
    if not change.old:
        return f"adds {change.name} = {_short(change.new)}"
    if change.old == change.new:
        return f"holds {change.name} at {_short(change.new)}"
    return f"changes {change.name} from {_short(change.old)} to {_short(change.new)}"


def _short(text: str) -> str:
    return text if len(text) <= _VALUE_LIMIT_CHARS else text[: _VALUE_LIMIT_CHARS - 3] + "..."
