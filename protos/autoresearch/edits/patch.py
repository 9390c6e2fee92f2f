"""What differs between two normalised programs, as tokens that do not name the rest of the program.

Each level of statements is compared as a whole: a statement that only one side has is removed or added,
and is placed by the statement before it; a definition or a block with the same head on both sides is
entered. On one and the same parent two different programs never give the same tokens: where the tokens
could be read in two ways (a statement moved, or added beside an equal one), the whole level goes in.
Linear in the size of the programs at each level of nesting.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from autoresearch.edits.normalise import Statement, block, header_text, is_in_class

_ENTERED_BY_NAME = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_ENTERED_BY_HEAD = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith)
_Slot = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One difference. ``where`` is the innermost definition, as in ``GPT.forward``; empty at top level."""

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class _Level:
    """The statements of one level on one side, and what stands for each when sides are compared."""

    statements: Sequence[Statement]
    identities: list[Hashable]
    own: list[int]
    paired: dict[_Slot, int]


def digest(text: str) -> str:
    """32 hexadecimal digits for a text."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class PatchWriter:
    """Compares programs; ``old_fields`` and ``new_fields`` are the class fields taken out of each."""

    def __init__(self, old_fields: frozenset[int], new_fields: frozenset[int]) -> None:
        self._old_fields = old_fields
        self._new_fields = new_fields

    def compare(
        self,
        old: Sequence[Statement],
        new: Sequence[Statement],
        path: str = "",
        where: str = "",
        *,
        in_class: bool = False,
    ) -> Iterator[Token]:
        """The differences of one level and of the levels below it."""
        if [part.text for part in old] == [part.text for part in new]:
            return
        before, after = self._levels(old, new)
        for sign, level in (("-", before), ("+", after)):
            occurrences = _numbered(level.identities)
            for index in level.own:
                anchor = digest(repr(occurrences[index - 1])) if index else "start"
                text = digest(level.statements[index].text)
                yield Token(where=where, text=f"{path} {sign} {text} after {anchor}")
        if _is_ambiguous(before, after):
            yield Token(where=where, text=f"{path} ~ {digest(repr(after.identities))}")
        for slot, index in before.paired.items():
            pair = old[index].node, new[after.paired[slot]].node
            if pair[0] is not None and pair[1] is not None:
                inner = f"{path}/{slot[0]}:{slot[1]}"
                yield from self._enter(pair[0], pair[1], inner, where, in_class=in_class)

    def _enter(
        self, old: ast.stmt, new: ast.stmt, path: str, where: str, *, in_class: bool
    ) -> Iterator[Token]:
        if isinstance(new, _ENTERED_BY_NAME):
            where = f"{where}.{new.name}" if where else new.name
        head = header_text(new, self._new_fields)
        if head != header_text(old, self._old_fields):
            yield Token(where=where, text=f"{path} head {digest(head)}")
        in_class = is_in_class(new, in_class=in_class)
        for name in ("body", "orelse"):
            inner_old = block(getattr(old, name, []), self._old_fields, in_class=in_class)
            inner_new = block(getattr(new, name, []), self._new_fields, in_class=in_class)
            yield from self.compare(inner_old, inner_new, f"{path}.{name}", where, in_class=in_class)

    def _levels(self, old: Sequence[Statement], new: Sequence[Statement]) -> tuple[_Level, _Level]:
        removed, added = _surplus(old, new), _surplus(new, old)
        old_slots = self._slots(old, removed, self._old_fields) if added else {}
        new_slots = self._slots(new, added, self._new_fields) if removed else {}
        shared = old_slots.keys() & new_slots.keys()
        return _level(old, removed, old_slots, shared), _level(new, added, new_slots, shared)

    def _slots(
        self, statements: Sequence[Statement], surplus: set[int], fields: frozenset[int]
    ) -> dict[_Slot, int]:
        """Heads of the surplus statements that can be entered, each with its number among equal heads."""
        if not any(_can_enter(statements[index]) for index in surplus):
            return {}
        found: dict[_Slot, int] = {}
        seen: Counter[str] = Counter()
        for index, statement in enumerate(statements):
            if statement.node is None or not _can_enter(statement):
                continue
            head = _head(statement.node, fields)
            if index in surplus:
                found[head, seen[head]] = index
            seen[head] += 1
        return found


def _can_enter(statement: Statement) -> bool:
    return isinstance(statement.node, _ENTERED_BY_NAME + _ENTERED_BY_HEAD)


def _head(node: ast.stmt, fields: frozenset[int]) -> str:
    kind = type(node).__name__
    if isinstance(node, _ENTERED_BY_NAME):
        return f"{kind} {node.name}"
    return f"{kind} {digest(header_text(node, fields))}"


def _surplus(statements: Sequence[Statement], others: Sequence[Statement]) -> set[int]:
    """Positions of the statements that there are more of than on the other side."""
    left = Counter(statement.text for statement in others)
    surplus: set[int] = set()
    for index, statement in enumerate(statements):
        if left[statement.text] > 0:
            left[statement.text] -= 1
        else:
            surplus.add(index)
    return surplus


def _level(
    statements: Sequence[Statement], surplus: set[int], slots: dict[_Slot, int], shared: set[_Slot]
) -> _Level:
    paired = {slot: slots[slot] for slot in sorted(shared)}
    identities: list[Hashable] = [statement.text for statement in statements]
    for slot, index in paired.items():
        identities[index] = slot
    own = sorted(surplus - set(paired.values()))
    return _Level(statements=statements, identities=identities, own=own, paired=paired)


def _numbered(identities: list[Hashable]) -> list[tuple[Hashable, int]]:
    seen: Counter[Hashable] = Counter()
    numbered = []
    for identity in identities:
        numbered.append((identity, seen[identity]))
        seen[identity] += 1
    return numbered


def _is_ambiguous(before: _Level, after: _Level) -> bool:
    """True when kept statements changed places, or an own statement has an equal that was kept."""
    old_own, new_own = set(before.own), set(after.own)
    old_kept = [identity for index, identity in enumerate(before.identities) if index not in old_own]
    new_kept = [identity for index, identity in enumerate(after.identities) if index not in new_own]
    kept = set(new_kept)
    return old_kept != new_kept or any(
        level.identities[index] in kept for level in (before, after) for index in level.own
    )
