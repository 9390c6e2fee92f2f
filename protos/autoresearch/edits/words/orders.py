"""Whether the parts that come next order a change, or say what one is for."""

from __future__ import annotations

from collections.abc import Sequence

from autoresearch.edits.words.parts import (
    IDEAS,
    KNOBS,
    NAMES,
    Part,
    is_amount,
    is_term,
    is_word,
    verb_of,
    word_of,
)
from autoresearch.edits.words.tokens import Kind, Token

NEAR = 4
"""Parts in which the object of a verb comes, or the value of a name."""

JOINTS = frozenset({",", ";", "+", "&", "and", "plus", "then", "combined", "also"})
DEEDS = frozenset({"add", "remove", "up", "down", "replace", "half", "double", "triple", "quadruple"})
_FACTORS = frozenset({"half", "double", "triple", "quadruple", "quarter"})
_TARGETS = frozenset(
    {"zero", "none", "null", "default", "true", "false", "one", "two", "three", "four", "five"}
)
_TARGETS |= {"six", "seven", "eight", "nine", "ten", "twelve", "sixteen"}


def starts_purpose(word: str, following: Part | None) -> bool:
    """``to improve ...``, ``for better ...``: what an edit is for."""
    match word:
        case "to":
            if verb_of(following):
                return verb_of(following) not in _FACTORS
            return is_word(following) and word_of(following) not in _TARGETS
        case "for":
            is_share = isinstance(following, Token) and following.kind is Kind.PERCENT
            return not (is_share or is_term(following, NAMES))
        case "without":
            return word_of(following).endswith("ing") or word_of(following) in {"any", "much"}
        case "in":
            return word_of(following) in {"order", "baseline", "effort"}
        case _:
            return False


def is_explicit(ahead: Sequence[Part]) -> bool:
    """A verb that orders it, or the value that it comes from: no mention of a value that is there."""
    if any(verb_of(part) in DEEDS for part in ahead[:2]):
        return True
    for part in ahead:
        if word_of(part) in JOINTS:
            return False
        if word_of(part) in {"->", "from"}:
            return True
    return False


def is_stated(ahead: Sequence[Part]) -> bool:
    """A change with the value that it comes from."""
    return states_change(ahead) and any(word_of(part) in {"->", "from"} for part in ahead)


def orders_mechanism(ahead: Sequence[Part]) -> bool:
    """``and add z-loss``: a verb that comes first, and what it adds, removes or replaces."""
    verbs = [at for at, part in enumerate(ahead[:2]) if verb_of(part) in {"add", "remove", "replace"}]
    return bool(verbs) and any(is_term(part, KNOBS | IDEAS) for part in ahead[verbs[0] + 1 : verbs[0] + NEAR])


def states_change(ahead: Sequence[Part]) -> bool:
    """A knob with a value that comes soon, led by a verb or nothing."""
    has_knob, has_factor = False, False
    names = NAMES if any(word_of(part) in {"->", "from"} for part in ahead) else KNOBS
    for number, part in enumerate(ahead):
        has_factor |= verb_of(part) in _FACTORS
        if word_of(part) in JOINTS and has_knob:
            return False
        if is_term(part, names):
            if number >= NEAR:  # the object of some other clause
                return False
            has_knob = True
            if has_factor:
                return True
        elif is_amount(part) and has_knob:
            return True
    return False
