"""Gives an amount its place in the open clause: old value, new value, factor, or beside them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from autoresearch.edits.words.clause import Clause, Role, Sentence
from autoresearch.edits.words.parts import (
    NAMES,
    Part,
    is_amount,
    is_term,
    is_word,
    part_at,
    verb_of,
    word_of,
)
from autoresearch.edits.words.tokens import Kind, Token, canonical, number_of

DIRECTIONS = {"up": "up", "more": "up", "down": "down", "less": "down"}

_COMPARED = frozenset({"more", "fewer", "faster", "slower", "effective", "additional", "extra"})
_COMPARING = frozenset({"rather", "instead", "->"})
_PRESENT = frozenset({"it", "its", "current", "default", "original", "present", "previous", "what", "value"})
_PRESENT |= {"baseline", "existing", "old", "size", "previous"}
_SHARES = frozenset({"warmup", "warmdown", "final_lr", "momentum_warmup", "dropout", "drop_path"})
_SHARES |= {"label_smoothing", "partial_rope"}
"""Knobs that are a share themselves: "a longer warmdown, 70%"."""

_NOT_COUNTED = frozenset({"param", "dim", "optimizer", "gradient", "dollar"})
_IN_THOUSANDS = frozenset({"rope_base"})
"""Knobs for which K means 1,000: no batch and no length."""


def take_amount(sentence: Sentence, token: Token, ahead: Sequence[Part]) -> None:
    """Reads an amount; ``ahead`` are the two parts after it."""
    if _is_comparison(ahead) and sentence.clause.is_named and token.kind is not Kind.PERCENT:
        return
    _part_before(sentence, ahead)
    match token.kind:
        case Kind.PERCENT if sentence.role is Role.NEW and _is_of_present(ahead):
            sentence.role = Role.PLAIN
            _scale(sentence, token)
        case Kind.PERCENT if _is_change(sentence, token, ahead):
            sentence.clause.factor = canonical(1 + _signed(sentence, token, ahead))
        case Kind.FACTOR if sentence.role in {Role.PLAIN, Role.BY}:
            _scale(sentence, token)
        case Kind.NUMBER if sentence.role is Role.BY and sentence.is_scaling:
            _scale(sentence, token)
        case Kind.NUMBER if sentence.role is Role.BY and sentence.direction:
            sign = "-" if sentence.direction == "down" else "+"
            sentence.clause.factor = sentence.clause.factor or sign + token.value
        case Kind.PATTERN if sentence.clause.knobs & {"window", "short_window"}:
            _place_pattern(sentence, token)
        case _:
            _place(sentence, token)


def _part_before(sentence: Sentence, ahead: Sequence[Part]) -> None:
    """Opens another clause where the amount belongs to a name of its own."""
    if sentence.late_scopes and sentence.role is Role.PLAIN:
        scopes, sentence.late_scopes = sentence.late_scopes, set()
        sentence.close()
        sentence.clause.scopes = scopes
    leads_name = is_term(part_at(ahead, 0), NAMES)
    if sentence.is_parted and sentence.clause.knobs and sentence.clause.has_value and leads_name:
        sentence.close()


def _place(sentence: Sentence, token: Token) -> None:
    clause = sentence.clause
    if token.kind is Kind.FACTOR and "mlp" in clause.scopes and not clause.is_named:
        clause.knobs.add("mlp_ratio")
    value = _text(token, clause)
    if sentence.role in {Role.FROM, Role.OLD}:
        clause.extras |= {value} if clause.old else set()
        clause.old = clause.old or value
        clause.is_start = sentence.role is Role.FROM
        sentence.role = Role.PLAIN
    elif not clause.new:
        clause.new = value
        sentence.role = Role.PLAIN
    elif value != clause.new:
        clause.extras.add(value)


def _place_pattern(sentence: Sentence, token: Token) -> None:
    """A pattern is the window's value; a number before it describes it: "four short windows per long one"."""
    clause = sentence.clause
    if not set(clause.new) <= set("SL"):
        clause.new = ""
    _place(sentence, token)


def _scale(sentence: Sentence, token: Token) -> None:
    clause = sentence.clause
    factor = number_of(token.value) or Decimal(1)
    if sentence.role is Role.BY and sentence.direction == "down" and factor > 1:
        factor = 1 / factor
    value = canonical(factor)
    clause.extras |= {value} if clause.factor else set()
    clause.factor = clause.factor or value
    clause.scopes, sentence.late_scopes = clause.scopes | sentence.late_scopes, set()
    clause.name_multiple()


def _is_change(sentence: Sentence, token: Token, ahead: Sequence[Part]) -> bool:
    """True for a percentage that says by how much, not how much."""
    if sentence.role is Role.BY or token.is_signed or verb_of(part_at(ahead, 0)) in DIRECTIONS:
        return True
    clause = sentence.clause
    if clause.knobs & _SHARES or word_of(part_at(ahead, 0)) in _COMPARING:
        return False
    is_bare = sentence.role is Role.PLAIN and bool(clause.knobs) and not (clause.has_value or clause.words)
    return is_bare and bool(sentence.direction)


def _is_of_present(ahead: Sequence[Part]) -> bool:
    """True for a share of what is there: "to 75% of its current value"."""
    return word_of(part_at(ahead, 0)) == "of" and word_of(part_at(ahead, 1)) in _PRESENT


def _signed(sentence: Sentence, token: Token, ahead: Sequence[Part]) -> Decimal:
    share = number_of(token.value) or Decimal(0)
    if token.is_signed:
        return share
    direction = DIRECTIONS.get(verb_of(part_at(ahead, 0)), sentence.direction)
    return -share if direction == "down" else share


def _text(token: Token, clause: Clause) -> str:
    return token.plain if token.plain and clause.knobs & _IN_THOUSANDS else token.value


def _is_comparison(ahead: Sequence[Part]) -> bool:
    """``4x faster``, ``226M params``: what comes of an edit, no part of it."""
    for at, part in enumerate(ahead):
        if word_of(part) in _COMPARED | _NOT_COUNTED:
            return not is_amount(part_at(ahead, at + 1))  # "depth 11 dim 640": it names what comes
        if isinstance(part, Token) and not is_word(part):
            return False
    return False
