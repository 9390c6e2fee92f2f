"""The constants of a source: module-level names and class fields whose value is known from the text.

A name that is only ever bound by plain assignments of constant expressions at module level, the last of
them before any code could read it, is a *settled* constant: its place in the file is of no consequence,
and neither is the order among such names. A name with one plain assignment that something else binds
too (``if small_card: BATCH = 8``), and a field of a top-level class (``Config.depth``), are constants in
their place: the value is in the table, a placeholder for it stays with the program's statements.
``reading`` makes the table.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from autoresearch.edits.values import NotConstant, Value, canonical_text, components, evaluate

_FOLDED = re.compile(r"[\s\-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One constant. ``expression`` is kept where the value follows from other constants."""

    name: str
    value: Value
    expression: ast.expr | None = None

    def implied(self, values: Mapping[str, Value]) -> Value:
        """Its value where the other constants have ``values``, if its own line is left as it is."""
        if self.expression is None:
            return self.value

        def lookup(name: str) -> Value:
            known = self._resolved(name, values)
            if known is None:
                raise NotConstant(name)
            return values[known]

        try:
            return evaluate(self.expression, lookup)
        except NotConstant:
            return self.value

    def references(self, names: Container[str]) -> Iterator[str]:
        """Those of ``names`` that its own line refers to."""
        for node in ast.walk(self.expression) if self.expression is not None else ():
            known = self._resolved(node.id, names) if isinstance(node, ast.Name) else None
            if known is not None:
                yield known

    def _resolved(self, name: str, names: Container[str]) -> str | None:
        """What a name means where this constant is defined: a field of its class comes first."""
        scope = self.name.rpartition(".")[0]
        return next((known for known in (f"{scope}.{name}", name) if known in names), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantTable:
    """The constants of one source in the order of their definition."""

    constants: tuple[Constant, ...]
    by_name: Mapping[str, Constant]
    by_folded_name: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, constants: tuple[Constant, ...]) -> ConstantTable:
        """A table of constants with distinct names."""
        folded: dict[str, tuple[str, ...]] = {}
        for constant in constants:
            keys = {fold_name(constant.name)}
            if "." in constant.name:
                keys.add("." + fold_name(constant.name.rpartition(".")[2]))
            for key in keys:
                folded[key] = (*folded.get(key, ()), constant.name)
        by_name = {constant.name: constant for constant in constants}
        return cls(constants=constants, by_name=by_name, by_folded_name=folded)

    def resolve(self, name: str) -> str | None:
        """The constant that a person means by ``name``, if it is one and only one.

        Exact spelling first, then without regard to case, blanks and hyphens, then the field of a class.
        """
        if name in self.by_name:
            return name
        folded = fold_name(name)
        for key in (folded, "." + folded):
            found = self.by_folded_name.get(key, ())
            if found:
                return found[0] if len(found) == 1 else None
        return None

    def values(self) -> dict[str, Value]:
        """Values by name."""
        return {constant.name: constant.value for constant in self.constants}

    def texts(self) -> dict[str, str]:
        """Canonical values by name, tuples split: ``BETAS[0]``. What a search may turn."""
        return {name: canonical_text(value) for name, value in self._components()}

    def _components(self) -> Iterator[tuple[str, Value]]:
        for constant in self.constants:
            yield from components(constant.name, constant.value)


def fold_name(name: str) -> str:
    """A name as people vary it: ``Matrix LR``, ``matrix-lr`` and ``MATRIX_LR`` agree."""
    return _FOLDED.sub("_", name.strip()).casefold()
