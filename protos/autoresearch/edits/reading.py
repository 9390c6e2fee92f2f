"""Read a module as constants and the statements that remain."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from autoresearch.edits.constants import Constant, ConstantTable
from autoresearch.edits.scopes import Reach, class_bindings, statement_reach
from autoresearch.edits.source import EditError, parse_source
from autoresearch.edits.values import (
    Lookup,
    NotConstant,
    Value,
    canonical_text,
    evaluate,
    is_shareable,
    leaves,
)

LEAVES_LIMIT = 20_000
"""Scalars in all constants of a file together; a real ``train.py`` has about 100."""


_DYNAMIC = frozenset({"eval", "exec", "globals", "locals", "vars"})
"""Functions through which any name may be read and bound."""

_TABLES_CACHED = 64
"""The same parents are asked about again and again; a table takes a few kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedAssignment:
    """One of several assignments to a name whose order with the statements around it matters."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedConstant:
    """Where a constant of the table is assigned, for a name that other statements bind too."""

    name: str


Remainder = ast.stmt | FoldedAssignment | PlacedConstant


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleReading:
    """A module taken apart.

    ``remainder`` is in program order; ``fields`` holds the ids of those class statements in it whose
    value is in the table.
    """

    table: ConstantTable
    remainder: tuple[Remainder, ...]
    fields: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Binding:
    index: int
    name: str
    value: Value
    expression: ast.expr | None


@dataclass(slots=True)
class _Readers:
    """When, in program order, a name could first be read by code that runs while the module loads."""

    first_read: dict[str, int] = field(default_factory=dict)
    _pending: dict[str, list[set[str]]] = field(default_factory=dict)

    def define(self, index: int, name: str, deferred: set[str]) -> None:
        """A function or class: whoever mentions it from here on may make its body run."""
        if name in self.first_read:
            self.read(index, deferred)
        else:
            self._pending.setdefault(name, []).append(deferred)

    def read(self, index: int, names: set[str]) -> None:
        """Statement ``index`` runs and mentions ``names``; each definition is entered at most once."""
        stack = [names]
        while stack:
            for name in stack.pop():
                self.first_read.setdefault(name, index)
                stack.extend(self._pending.pop(name, ()))


@lru_cache(maxsize=_TABLES_CACHED)
def constants_of(source: str) -> ConstantTable:
    """The constants of a source; thread-safe, remembered for the latest sources.

    Raises:
        EditError: The source is too large, too deep or not Python.
    """
    return read_module(parse_source(source)).table


def read_module(tree: ast.Module) -> ModuleReading:
    """Separate the constants of a parsed module from the rest of it; linear in its size.

    Raises:
        EditError: The constants hold more than ``LEAVES_LIMIT`` scalars.
    """
    reaches = [statement_reach(statement) for statement in tree.body]
    unstable = {name for reach in reaches for name in reach.declared_global}
    times_bound = Counter(name for reach in reaches for name in reach.bound)
    reader = _ModuleReader(unstable, times_bound)
    for index, (statement, reach) in enumerate(zip(tree.body, reaches, strict=True)):
        reader.read_statement(index, statement, reach)
    return reader.finish(tree.body)


class _ModuleReader:
    """State of one pass over the statements of a module."""

    def __init__(self, unstable: set[str], times_bound: Counter[str]) -> None:
        self._unstable = unstable
        self._times_bound = times_bound
        self._known: dict[str, Value] = {}
        self._bindings: dict[int, list[_Binding]] = {}
        self._bindings_of: dict[str, list[_Binding]] = {}
        self._class_fields: list[_Binding] = []
        self._field_ids: set[int] = set()
        self._readers = _Readers()
        self._suspects = _Readers()  # and those that a decorator or a base class may call at once
        self._open_index = -1
        self._leaves = 0

    def read_statement(self, index: int, statement: ast.stmt, reach: Reach) -> None:
        bindings = self._constant_bindings(index, statement)
        for binding in bindings:
            self._bindings_of.setdefault(binding.name, []).append(binding)
            self._count(binding.value)
            if binding.name not in self._unstable:
                self._known[binding.name] = binding.value
        if bindings:
            self._bindings[index] = bindings
            return
        self._readers.read(index, reach.read)
        self._suspects.read(index, reach.read)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._readers.define(index, statement.name, reach.deferred)
            self._suspects.define(index, statement.name, reach.deferred)
        if reach.may_call:
            self._suspects.read(index, reach.deferred)
        if isinstance(statement, ast.ClassDef):
            self._read_class(index, statement)
        if reach.may_bind_any or any(self._may_run_text(index, name, reach) for name in _DYNAMIC):
            self._open_index = index
            self._known.clear()
        for name in reach.bound:
            self._known.pop(name, None)

    def finish(self, body: list[ast.stmt]) -> ModuleReading:
        settled = {name for name, found in self._bindings_of.items() if self._is_settled(name, found)}
        single = {name for name, found in self._bindings_of.items() if len(found) == 1}
        last = [found[-1] for name, found in self._bindings_of.items() if name in settled or name in single]
        found = sorted([*last, *self._class_fields], key=lambda binding: binding.index)
        single.update(binding.name for binding in self._class_fields)
        remainder: list[Remainder] = []
        for index, statement in enumerate(body):
            for binding in self._bindings.get(index, ()):
                if binding.name in settled:
                    continue
                if binding.name in single:
                    remainder.append(PlacedConstant(name=binding.name))
                else:
                    remainder.append(FoldedAssignment(name=binding.name, value=binding.value))
            if index not in self._bindings:
                remainder.append(statement)
        table = ConstantTable.of(tuple(_constants(found, single)))
        return ModuleReading(table=table, remainder=tuple(remainder), fields=frozenset(self._field_ids))

    def _may_run_text(self, index: int, name: str, reach: Reach) -> bool:
        return name in reach.read or self._readers.first_read.get(name) == index

    def _is_settled(self, name: str, found: list[_Binding]) -> bool:
        # Who reads a name before its only binding fails, in whatever place it is written.
        readers = self._suspects if len(found) > 1 else self._readers
        return (
            self._times_bound[name] == len(found)
            and name not in self._unstable
            and found[0].index > self._open_index
            and found[-1].index < readers.first_read.get(name, found[-1].index + 1)
        )

    def _lookup(self, name: str) -> Value:
        if name in self._known:
            return self._known[name]
        raise NotConstant(name)

    def _constant_bindings(self, index: int, statement: ast.stmt) -> list[_Binding]:
        try:
            pairs = list(_assigned(statement, self._lookup))
        except NotConstant:
            return []
        return [
            _Binding(index=index, name=name, value=value, expression=expression)
            for name, value, expression in pairs
        ]

    def _read_class(self, index: int, statement: ast.ClassDef) -> None:
        """Take out the fields of a class that are bound once, in it and with it."""
        if self._times_bound[statement.name] != 1 or statement.name in self._unstable:
            return
        bound = [class_bindings(part) for part in statement.body]
        times_bound = Counter(name for names in bound for name in names)
        local: dict[str, Value] = {}

        def lookup(name: str) -> Value:
            return local[name] if name in local else self._lookup(name)

        for part, names in zip(statement.body, bound, strict=True):
            # A name bound twice may hold anything where a later field refers to it.
            try:
                pairs = list(_assigned(part, lookup)) if len(names) == 1 else []
            except NotConstant:
                pairs = []
            if any(times_bound[name] > 1 for name in names) or not pairs:
                if any(name in self._known for name in names):
                    return
                continue
            for name, value, expression in pairs:
                local[name] = value
                self._count(value)
                full = f"{statement.name}.{name}"
                self._class_fields.append(
                    _Binding(index=index, name=full, value=value, expression=expression)
                )
                self._field_ids.add(id(part))

    def _count(self, value: Value) -> None:
        self._leaves += leaves(value)
        if self._leaves > LEAVES_LIMIT:
            raise EditError(f"the source's constants hold over {LEAVES_LIMIT:,} values; make them fewer")


def _constants(found: list[_Binding], single: set[str]) -> Iterator[Constant]:
    """The bindings as constants, expressions kept only where they explain a value from those before it."""
    all_names = {binding.name for binding in found}
    values: dict[str, Value] = {}
    for binding in found:
        constant = Constant(name=binding.name, value=binding.value)
        expression = binding.expression
        if binding.name in single and expression is not None and not isinstance(expression, ast.Constant):
            derived = replace(constant, expression=expression)
            needs = set(derived.references(all_names))
            is_explained = bool(needs) and needs <= values.keys()
            if is_explained and canonical_text(derived.implied(values)) == canonical_text(binding.value):
                constant = derived
        values[binding.name] = binding.value
        yield constant


def _assigned(statement: ast.stmt, lookup: Lookup) -> Iterator[tuple[str, Value, ast.expr | None]]:
    """Names, values and expressions of a plain constant assignment; NotConstant for anything else."""
    match statement:
        case ast.Assign(targets=[ast.Tuple(elts=names) | ast.List(elts=names)], value=ast.Tuple(elts=parts)):
            if len(names) != len(parts):
                raise NotConstant
            for target, part in zip(names, parts, strict=True):
                yield _name(target), evaluate(part, lookup), part
        case ast.Assign(targets=targets, value=expression):
            value = evaluate(expression, lookup)
            if len(targets) > 1 and not is_shareable(value):
                raise NotConstant
            for target in targets:
                yield _name(target), value, expression
        case ast.AnnAssign(target=target, value=ast.expr() as expression):
            yield _name(target), evaluate(expression, lookup), expression
        case ast.AugAssign(target=ast.Name(id=name), op=op, value=expression):
            left = ast.Name(id=name, ctx=ast.Load())
            yield name, evaluate(ast.BinOp(left=left, op=op, right=expression), lookup), None
        case _:
            raise NotConstant


def _name(target: ast.expr) -> str:
    if not isinstance(target, ast.Name) or (target.id.startswith("__") and target.id.endswith("__")):
        raise NotConstant
    return target.id
