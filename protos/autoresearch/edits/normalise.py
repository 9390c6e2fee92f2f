"""Write a program as text that keeps what it does and drops how it is laid out.

Gone are comments, docstrings and other bare constants, ``pass``, annotations of plain assignments,
quotes, parentheses, the spelling of numbers, arithmetic on literals, and the order of imports that stand
together and bind different names. Constants of the table are not in this text at all. The text is the same
under every supported Python: fields that a newer syntax tree adds are empty for older syntax, and empty
fields are not written.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from autoresearch.edits.constants import ConstantTable
from autoresearch.edits.reading import FoldedAssignment, PlacedConstant, Remainder, read_module
from autoresearch.edits.source import parse_source
from autoresearch.edits.values import NotConstant, canonical_text, evaluate

_SOURCES_CACHED = 8
"""A node and a judge compare many edits with the same parent; a tree of 26 kB takes about 5 MB."""

_UNWRITTEN = frozenset({"ctx", "kind", "type_comment"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BODIES = ("body", "orelse", "finalbody", "handlers", "cases")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A normalised statement; ``node`` is there where it may be taken apart further."""

    text: str
    node: ast.stmt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalisedSource:
    """A whole file: its constants, and its other statements with the constants taken out."""

    table: ConstantTable
    statements: tuple[Statement, ...]
    fields: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Import:
    """One import: its text, the name that it binds, and to what."""

    text: str
    binds: str
    what: str


@lru_cache(maxsize=_SOURCES_CACHED)
def normalised(source: str) -> NormalisedSource:
    """Normalise a file; thread-safe, remembered for the latest sources.

    Raises:
        EditError: The source is too large, too deep or not Python.
    """
    reading = read_module(parse_source(source))
    statements = tuple(_top_level(reading.remainder, reading.fields))
    return NormalisedSource(table=reading.table, statements=statements, fields=reading.fields)


def block(body: list[ast.stmt], fields: frozenset[int], *, in_class: bool) -> list[Statement]:
    """The statements of a body that do something; ``in_class`` if they run as part of a class."""
    return [
        Statement(text=_text(statement, fields, in_class=in_class), node=statement)
        for statement in body
        if not _is_idle(statement)
    ]


def is_in_class(node: ast.AST, *, in_class: bool) -> bool:
    """True if the statements inside ``node`` run as part of a class, where annotations are fields."""
    return isinstance(node, ast.ClassDef) or (in_class and not isinstance(node, _FUNCTIONS))


def header_text(node: ast.stmt, fields: frozenset[int]) -> str:
    """A compound statement without the statements inside it."""
    writer = _Writer(fields)
    writer.node(node, skip=BODIES)
    return "".join(writer.parts)


def _top_level(remainder: tuple[Remainder, ...], fields: frozenset[int]) -> Iterator[Statement]:
    imports: list[_Import] = []
    for part in remainder:
        if isinstance(part, ast.Import | ast.ImportFrom):
            imports.extend(_imports(part))
            continue
        if isinstance(part, ast.stmt) and _is_idle(part):
            continue
        yield from _ordered(imports)
        imports.clear()
        if isinstance(part, FoldedAssignment):
            yield Statement(text=f"fold {part.name}={canonical_text(part.value)}")
        elif isinstance(part, PlacedConstant):
            yield Statement(text=f"place {part.name}")
        else:
            yield Statement(text=_text(part, fields, in_class=False), node=part)
    yield from _ordered(imports)


def _imports(statement: ast.Import | ast.ImportFrom) -> Iterator[_Import]:
    origin = ""
    if isinstance(statement, ast.ImportFrom):
        origin = f"{'.' * statement.level}{statement.module or ''} "
    for alias in statement.names:
        text = f"import {origin}{alias.name} as {alias.asname or alias.name}"
        if alias.asname or origin:
            yield _Import(text=text, binds=alias.asname or alias.name, what=origin + alias.name)
        else:
            root = alias.name.partition(".")[0]
            yield _Import(text=text, binds=root, what=root)


def _ordered(imports: list[_Import]) -> Iterator[Statement]:
    """In one order, unless a name is bound to one thing after another."""
    bound: dict[str, str] = {}
    is_free = all(bound.setdefault(part.binds, part.what) == part.what for part in imports)
    is_free &= "*" not in bound or len(imports) == 1
    texts = [part.text for part in imports]
    yield from (Statement(text=text) for text in (sorted(set(texts)) if is_free else texts))


def _is_idle(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass)


def _text(statement: ast.stmt, fields: frozenset[int], *, in_class: bool) -> str:
    writer = _Writer(fields)
    writer.statement(statement, in_class=in_class)
    return "".join(writer.parts)


class _Writer:
    """Appends the pieces of one statement; recursion is bounded by the depth of the parsed tree."""

    def __init__(self, fields: frozenset[int]) -> None:
        self.parts: list[str] = []
        self._fields = fields
        self._in_class = False

    def statement(self, node: ast.stmt, *, in_class: bool) -> None:
        outer, self._in_class = self._in_class, in_class
        self._statement(node)
        self._in_class = outer

    def _statement(self, node: ast.stmt) -> None:
        if id(node) in self._fields:
            self._field(node)
        elif isinstance(node, ast.AnnAssign) and node.value is not None and not self._in_class:
            self.parts.append("Assign(targets=[")
            self.node(node.target)
            self.parts.append(",],value=")
            self.node(node.value)
            self.parts.append(",)")
        else:
            self.node(node)

    def node(self, node: ast.AST, skip: tuple[str, ...] = ()) -> None:
        put = self.parts.append
        if isinstance(node, ast.Constant):
            put(_literal_text(node.value))
            return
        if isinstance(node, ast.BinOp | ast.UnaryOp):
            folded = _folded(node)
            if folded is not None:
                put(folded)
                return
        put(type(node).__name__)
        put("(")
        for name in node._fields:
            if name in _UNWRITTEN or name in skip:
                continue
            value = getattr(node, name, None)
            if value is None or value == []:
                continue
            if isinstance(value, list):
                self._list(node, name, value)
                continue
            put(name)
            put("=")
            if isinstance(value, ast.AST):
                self.node(value)
            else:
                put(str(value))
            put(",")
        put(")")

    def _list(self, owner: ast.AST, name: str, values: list[object]) -> None:
        put = self.parts.append
        is_block = isinstance(values[0], ast.stmt)
        if is_block and all(isinstance(value, ast.stmt) and _is_idle(value) for value in values):
            return
        put(name)
        put("=[")
        for value in values:
            if isinstance(value, ast.stmt):
                if _is_idle(value):
                    continue
                self.statement(value, in_class=is_in_class(owner, in_class=self._in_class))
            elif isinstance(value, ast.AST):
                self.node(value)
            elif value is not None:  # a keyword without default, a dict's entries from another dict
                put(str(value))
            put(",")
        put("],")

    def _field(self, node: ast.stmt) -> None:
        """A class field whose value is in the table: its place, name and annotation."""
        if isinstance(node, ast.AnnAssign):
            self.parts.append("place " if node.simple else "place apart ")
            self.node(node.target)
            self.parts.append(":")
            self.node(node.annotation)
        elif isinstance(node, ast.AugAssign):
            self.parts.append("place ")
            self.node(node.target)
        elif isinstance(node, ast.Assign):
            self.parts.append("place ")
            for target in node.targets:
                self.node(target)


def _literal_text(value: object) -> str:
    if isinstance(value, str):
        return ascii(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return canonical_text(value)
    return repr(value)


def _folded(node: ast.BinOp | ast.UnaryOp) -> str | None:
    """The value of arithmetic on literals alone; None for anything else."""
    if not _is_arithmetic(node):
        return None
    try:
        return canonical_text(evaluate(node))
    except NotConstant:
        return None


def _is_arithmetic(node: ast.expr) -> bool:
    while isinstance(node, ast.BinOp):
        if not _is_arithmetic(node.right):
            return False
        node = node.left
    if isinstance(node, ast.UnaryOp):
        return _is_arithmetic(node.operand)
    return isinstance(node, ast.Constant)
