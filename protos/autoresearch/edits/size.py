"""How long a program is: what "shorter" means when a shorter edit wins.

Counted are the nodes of the syntax tree, without comments, docstrings and other bare constants, ``pass``
and the annotations of plain assignments; a text counts by its length. Bytes would let a rename, a stripped
comment or another layout pass for a simplification; lines would reward cramming. A node is a thing that a
reader has to understand.
"""

from __future__ import annotations

import ast

from autoresearch.edits.source import children, parse_source

SHORTER_BY_NODES = 5
"""The least that counts: one plain statement such as ``x = f(y)``. Below it are rearrangements."""

CHARS_PER_NODE = 8
"""A text in the code counts one node per this many characters, so that code in texts is no shorter."""

_RUNS_TEXT = frozenset({"exec", "eval", "compile", "__doc__", "__builtins__", "builtins", "inspect"})
"""Names with which a program could run its own bare texts: then those count too."""


def program_size(source: str) -> int:
    """How many syntax nodes a program has, at least 1; linear in its length.

    Raises:
        EditError: the source is too large, too deep or not Python.
    """
    tree = parse_source(source)
    size, names = _count(tree, with_texts=False)
    return _count(tree, with_texts=True)[0] if names & _RUNS_TEXT else size


def is_shorter(size: int, than: int) -> bool:
    """True if a program is shorter by what counts; a size of 0 is unknown and never shorter."""
    return 0 < size <= than - SHORTER_BY_NODES


def _count(tree: ast.Module, *, with_texts: bool) -> tuple[int, set[str]]:
    size, names = 0, set[str]()
    level: list[ast.AST] = [tree]
    while level:
        for node in level:
            size += _weight(node)
            names |= _names(node)
        level = [child for node in level for child in _kept(node) if with_texts or not _is_idle(child)]
    return size, names


def _kept(node: ast.AST) -> list[ast.AST]:
    kept = children(node)
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return [child for child in kept if child is not node.annotation]
    return kept


def _is_idle(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Pass)


def _weight(node: ast.AST) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
        return 1 + len(node.value) // CHARS_PER_NODE
    return 1


def _names(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, ast.Attribute):
        return {node.attr}
    if isinstance(node, ast.alias):
        return {node.name}
    return set()
