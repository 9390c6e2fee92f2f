"""What a description is made of once its terms are found, and questions about one part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch.edits.words.tokens import AMOUNTS, Kind, Token
from autoresearch.edits.words.vocabulary import Item, Sort, Term

NAMES = frozenset({Sort.KNOB, Sort.IDEA, Sort.MEANING, Sort.SCOPE})
KNOBS = frozenset({Sort.KNOB, Sort.MEANING})
IDEAS = frozenset({Sort.IDEA, Sort.MEANING})
VERBS = frozenset({Sort.VERB})

PARAMETERS = frozenset({"experts", "top_k", "temperature", "stride", "chunk", "init", "gate_channels"})
"""Knobs that belong to a mechanism named after them: a 4-expert MoE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """What stood in brackets, without brackets of its own."""

    items: tuple[Item, ...]


Part = Item | Aside

_OPENING = frozenset({"(", "[", "{"})
_CLOSING = frozenset({")", "]", "}"})


def nest(items: Sequence[Item]) -> list[Part]:
    """Items with every outermost pair of brackets made an aside; what is in square ones is a remark."""
    parts: list[Part] = []
    inner: list[Item] = []
    depth, is_remark = 0, False
    for item in items:
        mark = item.text if isinstance(item, Token) and item.kind is Kind.MARK else ""
        if mark in _OPENING:
            is_remark = is_remark or (depth == 0 and mark == "[")
            depth += 1
        elif mark in _CLOSING:
            depth = max(0, depth - 1)
            if depth == 0 and inner:
                parts.extend([] if is_remark else [Aside(items=tuple(inner))])
                inner, is_remark = [], False
        elif depth:
            inner.append(item)
        else:
            parts.append(item)
    if inner and not is_remark:
        parts.append(Aside(items=tuple(inner)))
    return parts


def part_at(parts: Sequence[Part], at: int) -> Part | None:
    """The part at a place; None beyond the end."""
    return parts[at] if at < len(parts) else None


def word_of(part: Part | None) -> str:
    """The text of a word, mark or arrow; empty for anything else."""
    return part.text if isinstance(part, Token) and part.kind not in AMOUNTS else ""


def is_word(part: Part | None) -> bool:
    """True for a word that the table does not know."""
    return isinstance(part, Token) and part.kind is Kind.WORD


def is_amount(part: Part | None) -> bool:
    """True for a number, a percentage, a factor, a tuple or a window pattern."""
    return isinstance(part, Token) and part.kind in AMOUNTS


def is_term(part: Part | None, sorts: frozenset[Sort]) -> bool:
    """True for a term of one of these sorts."""
    return isinstance(part, Term) and part.sort in sorts


def verb_of(part: Part | None) -> str:
    """The name of a verb; empty for anything else."""
    return part.name if isinstance(part, Term) and part.sort is Sort.VERB else ""
