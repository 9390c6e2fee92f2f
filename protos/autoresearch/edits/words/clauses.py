"""From the parts of a description to its clauses.

One pass with one open clause. A name that belongs to another statement closes it; amounts go to the clause
that is open, in the role that the word before them gives.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoresearch.edits.words.amounts import DIRECTIONS, take_amount
from autoresearch.edits.words.clause import Clause, Role, Sentence
from autoresearch.edits.words.parts import (
    IDEAS,
    KNOBS,
    PARAMETERS,
    Aside,
    Part,
    is_amount,
    is_term,
    is_word,
    part_at,
    word_of,
)
from autoresearch.edits.words.tokens import Kind, Token
from autoresearch.edits.words.vocabulary import Sort, Term

CLAUSES_LIMIT = 32

FACTORS = {"half": "0.5", "double": "2", "triple": "3", "quadruple": "4", "quarter": "0.25"}

_AHEAD = 2
_BRIEF_ITEMS = 8
_BRIEF_WORDS = 3
_JOINTS = frozenset({",", ";", "+", "&", "|", "/", ".", "-", "and", "or", "but", "plus", "then", "while"})
_JOINTS |= {"combined"}
_WAS = frozenset({"was", "were", "previously", "formerly", "currently", "prior", "old", "not", "originally"})
_INSTEAD = frozenset({"instead", "rather", "replacing", "replaced", "place"})
_SCALING = frozenset({"scale", "scaled", "scaling", "multiply", "multiplied", "multiplying", "rescale"})
_SCALING |= {"factor"}
_VALUES = {"zero": "0", "none": "none", "null": "none", "true": "true", "false": "false", "one": "1"}
_VALUES |= {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8"}
_VALUES |= {"nine": "9", "ten": "10", "twelve": "12", "sixteen": "16", "single": "1"}
_DETERMINERS = frozenset({"one", "single"})
_DERIVED = frozenset({"n_head", "width", "grad_accum", "seq_len", "num_loops", "vocab_size", "epochs"})
"""Knobs that an aside mentions because they follow from what was changed."""

_MANNERS = frozenset({"constant", "linear", "cosine", "alternating", "every_layer", "split", "exponential"})
_MANNERS |= {
    "sqrt",
    "inverse_sqrt",
    "one_minus_sqrt",
    "adaptive",
    "learnable",
    "stochastic",
    "anneal",
    "lr_schedule",
    "per_layer_scaling",
    "tanh",
}
"""Ideas that say how a knob's value is meant."""

MECHANISMS = frozenset({"ema", "dropout", "drop_path", "label_smoothing", "z_loss", "grad_clip", "warmup"})
MECHANISMS |= {"n_kv_head"}
"""Knobs that are no part of every program."""


def read_clauses(parts: Sequence[Part]) -> list[Clause]:
    """The clauses of a trimmed description, at most ``CLAUSES_LIMIT``."""
    sentence = Sentence()
    _read_all(sentence, parts)
    sentence.close()
    return sentence.done[:CLAUSES_LIMIT]


def _read_all(sentence: Sentence, parts: Sequence[Part]) -> None:
    for at, part in enumerate(parts):
        ahead = parts[at + 1 : at + 1 + _AHEAD]
        match part:
            case Aside():
                _read_aside(sentence, part)
            case Term(sort=Sort.VERB):
                _read_verb(sentence, part.name)
            case Term():
                _read_name(sentence, part)
            case Token() if is_amount(part):
                take_amount(sentence, part, ahead)
            case Token():
                _read_word(sentence, part.text, ahead)


def _part_if_needed(sentence: Sentence, *, is_knob: bool) -> None:
    clause = sentence.clause
    is_removal = clause.verb == "remove" and bool(clause.scopes)
    is_other = sentence.is_parted and (clause.is_named or is_removal) and sentence.role is not Role.OLD
    if is_other or (is_knob and clause.knobs and clause.has_value):
        sentence.close()
    sentence.is_parted = False


def _read_name(sentence: Sentence, term: Term) -> None:
    is_knob = term.sort in KNOBS
    _part_if_needed(sentence, is_knob=is_knob)
    clause = sentence.clause
    if term.name in MECHANISMS and clause.ideas - _MANNERS and not (clause.knobs or clause.has_value):
        sentence.close()
        clause = sentence.clause
    gives_way = sentence.role in {Role.OLD, Role.FROM} or sentence.is_replacing
    if is_knob:
        knob, _, scope = term.name.partition("+")
        clause.knobs.add(knob)
        clause.scopes |= {scope} if scope else set()
        sentence.keep_scopes()
        clause.new = clause.new or term.value
    elif gives_way:
        clause.replaced.add(term.name)
        if term.sort is Sort.SCOPE and sentence.role is Role.PLAIN:
            sentence.given_scopes.add(term.name)
    elif term.sort is Sort.IDEA:
        is_list = clause.has_value or (clause.knobs <= MECHANISMS and not clause.ideas)
        if clause.knobs - PARAMETERS and is_list and term.name not in _MANNERS:
            sentence.close()
        sentence.clause.ideas.add(term.name)
    elif clause.knobs and clause.has_value:
        sentence.late_scopes.add(term.name)
    else:
        clause.scopes.add(term.name)
        clause.name_multiple()


def _read_verb(sentence: Sentence, name: str) -> None:
    is_comparative = name in {"more", "less"}
    clause = sentence.clause
    is_begun = clause.is_named or clause.has_value or (clause.scopes and clause.verb)
    if sentence.is_parted and is_begun and not is_comparative:
        sentence.close()
    sentence.direction = DIRECTIONS.get(name, sentence.direction)
    if is_comparative:
        sentence.clause.leaning = sentence.clause.leaning or DIRECTIONS[name]
        return
    if name == "remove" and sentence.clause.is_named and sentence.clause.verb:
        sentence.close()
    clause = sentence.clause
    if name in FACTORS:
        if clause.factor and not clause.is_named:  # "twice as many steps by halving ..."
            clause.factor = clause.verb = ""
        clause.factor = clause.factor or FACTORS[name]
        clause.verb = clause.verb or name
        return
    clause.verb = name if clause.verb in {"", "set"} else clause.verb
    sentence.is_replacing |= name == "replace" and not clause.is_named


def _read_word(sentence: Sentence, word: str, ahead: Sequence[Part]) -> None:
    clause = sentence.clause
    if word in _JOINTS:
        sentence.is_parted = True
        sentence.role = Role.FROM if sentence.role is Role.FROM else Role.PLAIN
    elif word in _WAS | _INSTEAD:
        sentence.role = Role.OLD
    elif word in _VALUES and _is_wanted(sentence) and (clause.knobs or word not in _DETERMINERS):
        value = _VALUES[word]
        take_amount(sentence, Token(kind=Kind.NUMBER, text=word, value=value, plain=value), ahead)
    elif not _read_particle(sentence, word, ahead) and word.isalnum():
        clause.words.append(word)
        if not (clause.has_value or clause.old):
            clause.qualifiers.append(word)


def _is_wanted(sentence: Sentence) -> bool:
    clause = sentence.clause
    return not clause.new or (sentence.role is Role.OLD and not clause.old)


def _read_particle(sentence: Sentence, word: str, ahead: Sequence[Part]) -> bool:
    """Reads a word that only places others; False for any other."""
    match word:
        case "->":
            sentence.turn()
        case "=":
            sentence.clause.is_explicit = True
        case ":":
            sentence.role = Role.PLAIN
        case "from":
            sentence.role = Role.FROM
        case "to" | "into":
            _read_to(sentence, ahead)
        case "with" | "by" | "for" | "in" | "on" | "via":
            _read_preposition(sentence, word)
        case "without":
            _read_verb(sentence, "remove")
        case "same":
            _part_if_needed(sentence, is_knob=True)
            sentence.clause.is_context = not sentence.clause.is_named
        case _ if word in _SCALING:
            sentence.is_scaling = True
        case _:
            return word == "of"
    return True


def _read_preposition(sentence: Sentence, word: str) -> None:
    if word == "via" and sentence.clause.is_context:  # "same width via ASPECT_RATIO 64 -> 54"
        sentence.close()
    if word in {"with", "by", "for"}:
        clause = sentence.clause
        if sentence.is_replacing and clause.new and not clause.old:  # "replace SSSL by SL"
            sentence.turn()
        sentence.end_replacing()
    if word in {"with", "by"}:
        sentence.role = Role.BY if word == "by" else Role.PLAIN
    elif sentence.role is Role.OLD:
        sentence.role = Role.PLAIN


def _read_to(sentence: Sentence, ahead: Sequence[Part]) -> None:
    clause, following = sentence.clause, part_at(ahead, 0)
    is_value = is_amount(following) or word_of(following) in _VALUES
    if sentence.role is Role.OLD and is_value:  # "instead of to zero"
        return
    if clause.new and not clause.old and sentence.role is not Role.FROM and is_value:
        clause.old, clause.new = clause.new, ""
    if sentence.is_replacing or (is_term(following, IDEAS) and clause.verb not in {"add", "remove"}):
        sentence.turn_ideas()
    sentence.role = Role.NEW


def _read_aside(sentence: Sentence, aside: Aside) -> None:
    clause = sentence.clause
    if clause.is_named and not any(is_term(item, KNOBS) for item in aside.items):
        is_wanted = not clause.has_value or _is_old_value(aside)
        is_wanted |= bool(clause.factor) and (_has_arrow(aside) or _is_result(clause, aside))
        if is_wanted and _is_brief(aside):
            role = sentence.role
            sentence.role = role if role is Role.FROM else Role.PLAIN
            _read_all(sentence, aside.items)
            sentence.role, sentence.is_parted = role, False
        return
    for inner in read_clauses(aside.items):
        _take_inner(sentence, inner)


def _take_inner(sentence: Sentence, inner: Clause) -> None:
    """What an aside says belongs to the clause before it, or is a change of its own."""
    clause = sentence.clause
    is_derived = bool(inner.knobs & _DERIVED)
    if inner.verb == "remove" and inner.ideas and not clause.is_named:  # "plain (no Nesterov) momentum"
        inner.is_aside = True
        sentence.done.append(inner)
        return
    if clause.has_value and clause.is_named:
        if inner.old and inner.new and inner.knobs and not is_derived:
            sentence.done.append(inner)
    elif inner.knobs == clause.knobs or (not inner.knobs and not clause.has_value):
        clause.ideas |= inner.ideas
        clause.new, clause.old = clause.new or inner.new, clause.old or inner.old
    elif inner.knobs and inner.has_value and not (is_derived or clause.has_value):
        if clause.ideas:
            clause.extras |= {value for value in (inner.new, *inner.extras) if value}
        if not (clause.ideas or clause.knobs & MECHANISMS):
            clause.knobs = set()  # "smaller heads (head_dim=64)"
        clause.knobs |= inner.knobs
        clause.new, clause.old = clause.new or inner.new, clause.old or inner.old


def _is_old_value(aside: Aside) -> bool:
    return word_of(aside.items[0]) in _WAS | _INSTEAD | {"from"}


def _is_result(clause: Clause, aside: Aside) -> bool:
    """``1.5x the Muon LR (0.06)``: what it comes to."""
    item = aside.items[0]
    is_number = isinstance(item, Token) and item.kind is Kind.NUMBER
    return is_number and len(aside.items) == 1 and bool(clause.knobs) and not clause.new


def _has_arrow(aside: Aside) -> bool:
    return any(word_of(item) == "->" for item in aside.items)


def _is_brief(aside: Aside) -> bool:
    """An amount or a name, no explanation."""
    return len(aside.items) <= _BRIEF_ITEMS and sum(map(is_word, aside.items)) <= _BRIEF_WORDS
