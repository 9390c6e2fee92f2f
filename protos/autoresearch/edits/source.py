"""Turn untrusted source text into a bounded syntax tree, or say in one sentence why not.

Nothing here executes the text: it is only parsed. The limits make every later pass over the tree
linear in a known size, and let those passes recurse without a guard of their own.
"""

from __future__ import annotations

import ast
import threading
import warnings
from typing import cast

from autoresearch.model import SOURCE_LIMIT_BYTES

NODES_LIMIT = 60_000
"""Syntax nodes of one file: 64 KiB of ordinary code has about 25,000."""

DEPTH_LIMIT = 100
"""Levels of nesting of a file: keeps recursion well below the interpreter's limit of 1,000 frames."""

VALUE_DEPTH_LIMIT = 25
"""Levels of nesting of a stated value, which may refer to other stated values."""

# The parser warns about odd escapes through the process-wide filters, which are not thread-safe.
_PARSER_LOCK = threading.Lock()


SHOWN_CHARS = 80
"""Of a text that an error tells."""


class EditError(ValueError):
    """A source or a stated change cannot be judged; the message says what is wrong with it."""


def shown(text: str) -> str:
    """A text as an error tells it: its beginning, where it is long."""
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."


def parse_source(source: str) -> ast.Module:
    """Parse a whole file.

    Args:
        source: Text of the file, untrusted.

    Returns:
        Its tree, of at most ``NODES_LIMIT`` nodes and ``DEPTH_LIMIT`` levels.

    Raises:
        EditError: The text is too large, too deep or not Python.
    """
    _check_text(source, SOURCE_LIMIT_BYTES, "the source")
    tree = _parse(source.removeprefix("\ufeff"), "exec", "the source")
    _check_tree(tree, DEPTH_LIMIT, "the source")
    return cast("ast.Module", tree)


def parse_expression(text: str, limit_bytes: int) -> ast.expr:
    """Parse one expression of at most ``limit_bytes``; raises like `parse_source`."""
    _check_text(text, limit_bytes, "the value")
    tree = cast("ast.Expression", _parse(text.strip(), "eval", "the value"))
    _check_tree(tree, VALUE_DEPTH_LIMIT, "the value")
    return tree.body


def _check_text(text: str, limit_bytes: int, what: str) -> None:
    if len(text) > limit_bytes:
        raise EditError(f"{what} is over {limit_bytes:,} bytes; make it shorter")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise EditError(
            f"{what} holds a lone surrogate at character {error.start}; save it as UTF-8"
        ) from error
    if size > limit_bytes:
        raise EditError(f"{what} has {size:,} bytes, over the {limit_bytes:,} allowed; make it shorter")
    if "\0" in text:
        raise EditError(f"{what} holds a NUL character at {text.index(chr(0))}; remove it")


def _parse(text: str, mode: str, what: str) -> ast.AST:
    try:
        with _PARSER_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree: ast.AST = ast.parse(text, mode=mode)
    except SyntaxError as error:
        raise EditError(f"{what} is not Python: {error.msg} (line {error.lineno})") from error
    except (RecursionError, MemoryError) as error:
        raise EditError(f"{what} is nested too deeply to be parsed; flatten it") from error
    except ValueError as error:
        raise EditError(f"{what} is not Python: {error}") from error
    return tree


def _check_tree(tree: ast.AST, depth_limit: int, what: str) -> None:
    """Walk level by level, so that a hostile depth costs no stack."""
    level, nodes = [tree], 0
    for _ in range(depth_limit):
        nodes += len(level)
        if nodes > NODES_LIMIT:
            raise EditError(f"{what} has over {NODES_LIMIT:,} syntax nodes; make it smaller")
        level = [child for node in level for child in children(node)]
        if not level:
            return
    raise EditError(f"{what} is nested over {depth_limit} levels deep; flatten it")


def children(node: ast.AST) -> list[ast.AST]:
    """Direct children in source order, without the operator and context singletons."""
    found: list[ast.AST] = []
    for name in node._fields:
        child = getattr(node, name, None)
        if isinstance(child, list):
            found.extend(part for part in child if isinstance(part, ast.AST))
        elif isinstance(child, ast.AST) and child._fields:
            found.append(child)
    return found
