"""Puts two edits of one program together, where they do not touch.

A three-way merge over lines that keeps whole statements together: an edit touches every line of the
innermost statements whose lines it changes, so that no statement is ever made of both sides. Two edits that
touch are not merged; nothing is guessed. The result is only parsed, never run: an edit that renames what the
other one uses merges, and its run will say so.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from autoresearch.edits.source import EditError, parse_source

LINES_LIMIT = 4_000
"""Lines of one file: comparing takes time that grows with their product."""


@dataclass(frozen=True, slots=True)
class _Hunk:
    """Lines ``start`` to ``end`` of the base are replaced; ``start == end`` inserts before ``start``."""

    start: int
    end: int
    lines: tuple[str, ...]


def merge(base: str, ours: str, theirs: str) -> str | None:
    """The base with the edits of both sides, or None where they touch or the result is not Python.

    Deterministic, symmetric in its sides, and equal to one side where the other changed nothing.

    Args:
        base: What both sides started from.
        ours: The base with one edit.
        theirs: The base with the other.

    Returns:
        The merged text, or None.

    Raises:
        EditError: a text is too large, too deep, too long in lines or not Python.
    """
    texts = [_lines(text) for text in (base, ours, theirs)]
    groups = _statement_lines(parse_source(base), max(1, len(texts[0])))  # so that insertions touch
    for text in (ours, theirs):
        parse_source(text)
    mine, other = (list(_hunks(texts[0], side)) for side in texts[1:])
    if _touched(mine, groups) & _touched(other, groups):
        return None
    merged = "".join(_applied(texts[0], [*mine, *other]))
    try:
        parse_source(merged)
    except EditError:
        return None
    return merged


PARTS_LIMIT = 4
"""Edits that are put together at most: with more, one that breaks another is likelier than a gain."""


def merge_all(parts: Iterable[tuple[str, str]], into: str) -> tuple[str, tuple[int, ...]]:
    """Merges edits, each a base and its edited text, one after the other into a program.

    Returns:
        The program with the first ``PARTS_LIMIT`` edits that touched nothing before them, and their places.
    """
    taken: list[int] = []
    for place, (base, edited) in enumerate(parts):
        if len(taken) == PARTS_LIMIT:
            break
        merged = merge(base, into, edited)
        if merged is not None and merged != into:
            into = merged
            taken.append(place)
    return into, tuple(taken)


def _lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # as Python reads them
    if len(lines) > LINES_LIMIT:
        raise EditError(f"the source has {len(lines):,} lines, over the {LINES_LIMIT:,} that can be merged")
    # The last part is what follows the last line break: nothing, for a file that ends well.
    return [*(f"{line}\n" for line in lines[:-1]), *([f"{lines[-1]}\n"] if lines[-1] else [])]


def _hunks(base: list[str], side: list[str]) -> Iterator[_Hunk]:
    for tag, start, end, low, high in SequenceMatcher(None, base, side, autojunk=False).get_opcodes():
        if tag != "equal":
            yield _Hunk(start, end, tuple(side[low:high]))


def _statement_lines(tree: ast.Module, count: int) -> list[int]:
    """For each line the number of its innermost statement; negative, and its own, outside of all."""
    groups = [-1 - line for line in range(count)]
    nodes: list[ast.stmt] = sorted(
        (node for node in ast.walk(tree) if isinstance(node, ast.stmt)),
        key=lambda node: (_first_line(node), -(node.end_lineno or node.lineno)),
    )
    for number, node in enumerate(nodes):
        for line in range(_first_line(node) - 1, min(node.end_lineno or node.lineno, count)):
            groups[line] = number
    return groups


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)])


def _touched(hunks: list[_Hunk], groups: list[int]) -> set[int]:
    """Statements that the hunks change; an insertion touches those before and after it."""
    touched: set[int] = set()
    for hunk in hunks:
        is_insertion = hunk.start == hunk.end
        low = max(0, hunk.start - 1) if is_insertion else hunk.start
        high = min(len(groups), hunk.end + 1) if is_insertion else hunk.end
        touched.update(groups[low:high])
        if not is_insertion and len(hunk.lines) > hunk.end - hunk.start and hunk.end < len(groups):
            # What is replaced by more lines also inserts before the next statement.
            touched.add(groups[hunk.end])
    return touched


def _applied(base: list[str], hunks: list[_Hunk]) -> Iterator[str]:
    at = 0
    for hunk in sorted(hunks, key=lambda one: (one.start, one.end)):
        yield from base[at : hunk.start]
        yield from hunk.lines
        at = hunk.end
    yield from base[at:]
