"""Read stated constant changes against the constants of the parent."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from autoresearch.edits.constants import Constant, ConstantTable
from autoresearch.edits.quantities import names_in, parse_value
from autoresearch.edits.signatures import explicit_changes
from autoresearch.edits.source import EditError, shown
from autoresearch.edits.values import Group, NotConstant, Opaque, Value, canonical_text, widened
from autoresearch.model import NAME_LIMIT_CHARS, ConstantChange

Misstated = tuple[tuple[str, str], ...]
"""Constants whose stated old value is not the parent's, with the stated one."""

_NAME = re.compile(r"(?P<root>[^\[\]]+)(?P<path>(?:\[[^\[\]]*\]\s*)*)")
_WORD = re.compile(r"[^\W\d]\w*")
_KEY = re.compile(r"\[\s*([^\[\]]*?)\s*\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """One stated change; ``path`` leads into a group of the parent's and is empty for a whole constant."""

    root: str
    path: tuple[str, ...]
    old: str
    new: str

    @property
    def name(self) -> str:
        return self.root + "".join(f"[{key}]" for key in self.path)


def read_statements(
    stated: Sequence[ConstantChange], table: ConstantTable
) -> tuple[tuple[ConstantChange, ...], Misstated]:
    """What the statements set, in canonical form.

    Raises:
        EditError: A name or value is missing or too long, or two statements contradict each other.
    """
    claims = [_claim(change, table) for change in stated]
    base = _with_stated_olds(table, claims)
    values = _Resolver(base, claims).values()
    changes = tuple(explicit_changes(base, values))
    return changes, _misstated(claims, changes, table)


def component(value: Value, path: tuple[str, ...]) -> Value:
    """The part of a group that ``path`` leads to.

    Raises:
        NotConstant: There is no such part.
    """
    for key in path:
        if not isinstance(value, Group) or key not in value.keys:
            raise NotConstant(key)
        value = value.parts[value.keys.index(key)]
    return value


def locate(name: str, table: ConstantTable) -> tuple[str, tuple[str, ...]] | None:
    """The constant of the table that a name means, and the path into it; None when it has none such."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    root, keys = match["root"].strip(), tuple(_KEY.findall(match["path"]))
    resolved = table.resolve(root)
    if resolved is None and "." in root:  # CONFIG.lr for CONFIG["lr"]
        outer, _, last = root.rpartition(".")
        resolved, keys = table.resolve(outer), (last, *keys)
    if resolved is None:
        return None
    path = _path(table.by_name[resolved].value, keys)
    return None if path is None else (resolved, path)


def _claim(change: ConstantChange, table: ConstantTable) -> _Claim:
    if len(change.name) > NAME_LIMIT_CHARS:
        raise EditError(f"the name of a constant is over {NAME_LIMIT_CHARS} characters; shorten it")
    name = " ".join(change.name.split()).strip("`")
    if not name:
        raise EditError("a constant change names no constant; write its name as in the source")
    root, path = locate(name, table) or (name, ())
    return _Claim(root=root, path=path, old=change.old, new=change.new)


def _path(value: Value, keys: tuple[str, ...]) -> tuple[str, ...] | None:
    """Keys as the group spells them; None when it has no such part."""
    path: list[str] = []
    for key in keys:
        if not isinstance(value, Group):
            return None
        bare = key.strip("\"'")
        spellings = [key, bare, ascii(bare)]
        if value.kind != "dict" and re.fullmatch(r"-\d{1,6}", key):
            spellings.append(str(len(value.parts) + int(key)))
        found = next((spelling for spelling in spellings if spelling in value.keys), None)
        if found is None:
            return None
        path.append(found)
        value = component(value, (found,))
    return tuple(path)


def _with_stated_olds(table: ConstantTable, claims: list[_Claim]) -> ConstantTable:
    """The parent's constants, and beside them the old values stated for names that it has not got."""
    olds: dict[str, Value] = {}
    for claim in claims:
        if claim.root in table.by_name or not claim.old.strip():
            continue
        value = parse_value(claim.old, lookup=partial(_value_in, table))
        known = olds.setdefault(claim.root, value)
        if canonical_text(known) != canonical_text(value):
            raise _conflict("old values", claim.name, known, value)
    if not olds:
        return table
    added = tuple(Constant(name=name, value=value) for name, value in olds.items())
    return ConstantTable.of((*table.constants, *added))


class _Resolver:
    """Evaluates the claims; a value may refer to its own old value and to the others' new ones.

    Where stated values refer to one another in a circle, each means the others' old ones. So the order in
    which they are stated is of no consequence.
    """

    def __init__(self, base: ConstantTable, claims: list[_Claim]) -> None:
        self._base = base
        self._claims: dict[str, list[_Claim]] = {}
        for claim in claims:
            self._claims.setdefault(claim.root, []).append(claim)
        self._new: dict[str, Value] = {}
        self._needs: dict[str, frozenset[str]] = {}

    def values(self) -> dict[str, Value]:
        """Values of all constants after the change."""
        removed = {root for root, claims in self._claims.items() if self._is_removed(root, claims)}
        for root in removed:
            del self._claims[root]
        self._needs = self._all_needs()
        # What a claim needs, and is not in a circle with, needs less than the claim.
        for root in sorted(self._claims, key=lambda root: len(self._needs[root])):
            self._new[root] = self._value(root)
        values: dict[str, Value] = {}
        for constant in self._base.constants:
            if constant.name in self._new:
                values[constant.name] = self._new[constant.name]
            elif constant.name not in removed:
                values[constant.name] = constant.implied(values)
        return {**values, **self._new}

    def _is_removed(self, root: str, claims: list[_Claim]) -> bool:
        gone = [claim for claim in claims if not claim.new.strip()]
        is_part = any(claim.path for claim in gone)
        if gone and (len(gone) < len(claims) or is_part or root not in self._base.by_name):
            raise EditError(f"{gone[0].name} is stated without a new value; write the value as in the source")
        return bool(gone)

    def _all_needs(self) -> dict[str, frozenset[str]]:
        """For each claimed constant itself and those that its value refers to, directly or not."""
        direct = {root: self._references(claims) for root, claims in self._claims.items()}
        needs: dict[str, frozenset[str]] = {}
        for root in direct:
            reached, stack = {root}, [root]
            while stack:
                new = direct[stack.pop()] - reached
                reached |= new
                stack.extend(new)
            needs[root] = frozenset(reached)
        return needs

    def _references(self, claims: list[_Claim]) -> set[str]:
        """Claimed constants that the new values refer to."""
        # Parsing takes far longer than looking, and few values hold a name that is claimed too.
        texts = [claim.new for claim in claims if any(map(self._claimed, _words_in(claim.new)))]
        found = (self._claimed(name) for text in texts for name in names_in(text))
        return {name for name in found if name is not None}

    def _claimed(self, name: str) -> str | None:
        known = name if name in self._claims else self._base.resolve(name)
        return known if known in self._claims else None

    def _value(self, root: str) -> Value:
        constant = self._base.by_name.get(root)
        value = constant.value if constant is not None else None
        settled: dict[tuple[str, ...], Value] = {}
        for claim in sorted(self._claims[root], key=lambda claim: len(claim.path)):
            like = component(constant.value, claim.path) if constant is not None else None
            part = widened(parse_value(claim.new, like=like, lookup=partial(self._lookup, root)), like)
            for path, earlier in settled.items():
                self._refuse_conflict(claim, path, earlier, part)
            settled[claim.path] = part
            value = _replaced(value, claim.path, part)
        return value

    def _refuse_conflict(self, claim: _Claim, path: tuple[str, ...], earlier: Value, part: Value) -> None:
        """Two statements on one part, or on a group and its part, have to say the same."""
        if claim.path[: len(path)] != path:
            return
        try:
            said = component(earlier, claim.path[len(path) :])
        except NotConstant:
            said = None
        if canonical_text(widened(said, part)) != canonical_text(widened(part, said)):
            raise _conflict("new values", claim.name, said, part)

    def _lookup(self, root: str, name: str) -> Value:
        known = self._claimed(name)
        if known is not None and root not in self._needs[known]:
            return self._new[known]
        return _value_in(self._base, name)


def _words_in(text: str) -> set[str]:
    """What could be names, spelled as the parser spells them."""
    return set(_WORD.findall(unicodedata.normalize("NFKC", text)))


def _value_in(table: ConstantTable, name: str) -> Value:
    resolved = table.resolve(name)
    if resolved is None:
        raise NotConstant(name)
    return table.by_name[resolved].value


def _replaced(value: Value, path: tuple[str, ...], part: Value) -> Value:
    if not path or not isinstance(value, Group):
        return part
    parts = [
        _replaced(old, path[1:], part) if key == path[0] else old
        for key, old in zip(value.keys, value.parts, strict=True)
    ]
    return Group(kind=value.kind, keys=value.keys, parts=tuple(parts))


def _misstated(claims: list[_Claim], changes: tuple[ConstantChange, ...], table: ConstantTable) -> Misstated:
    """Old values that are not the parent's, of constants that do change."""
    changed = {change.name.partition("[")[0] for change in changes}
    found: set[tuple[str, str]] = set()
    for claim in claims:
        if claim.root not in table.by_name or claim.root not in changed or not claim.old.strip():
            continue
        actual = component(table.by_name[claim.root].value, claim.path)
        said = widened(parse_value(claim.old, like=actual, lookup=partial(_value_in, table)), actual)
        if not isinstance(said, Opaque) and canonical_text(said) != canonical_text(actual):
            found.add((claim.name, canonical_text(said)))
    return tuple(sorted(found))


def _conflict(what: str, name: str, one: Value, other: Value) -> EditError:
    both = f"{shown(canonical_text(one))} and {shown(canonical_text(other))}"
    return EditError(f"{name} is stated with two {what}, {both}; keep one of them")
