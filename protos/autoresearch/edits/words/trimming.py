"""Keeps of a description what it says to do; drops why, on what base, and what came of it.

Purposes ("to improve ...", "for better ..."), reasons ("because", "so that", after a dash or a colon),
present values of other knobs ("with X = 3", "on top of ...", "at depth 8") and outcomes are no part of an
edit. Nothing is dropped before something was said, so that no description comes out empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch.edits.words.orders import (
    DEEDS,
    JOINTS,
    NEAR,
    is_explicit,
    is_stated,
    orders_mechanism,
    starts_purpose,
    states_change,
)
from autoresearch.edits.words.parts import (
    IDEAS,
    KNOBS,
    NAMES,
    PARAMETERS,
    VERBS,
    Aside,
    Part,
    is_amount,
    is_term,
    is_word,
    part_at,
    verb_of,
    word_of,
)
from autoresearch.edits.words.tokens import Kind, Token
from autoresearch.edits.words.vocabulary import ARTICLES, Sort, Term, Vocabulary

LABEL_LIMIT = 7
"""Items before a colon that may be a label."""

_LOOK_AHEAD = 8
_BEFORE_VALUES = frozenset({"to", "from", "by", "=", "at"})
_BEFORE_OLD = frozenset({"->", "rather", "instead", "from"})
_FINITE = frozenset(
    {"is", "are", "seem", "look", "has", "have", "had", "does", "did", "it", "this", "they", "we", "i"}
)
_CHANGING = frozenset({"add", "remove", "replace"})
_QUANTIFIERS = frozenset({"all", "every", "both", "only"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """What a description says to do, and what is known of the rest.

    Attributes:
        parts: What was kept.
        has_details: It went on after a colon, where reasons stand as well as details. Where amounts came
            before the colon, they are the details.
        context: Amounts of other knobs that are mentioned as they are: "with HEAD_DIM=128".
        mentioned: Mechanisms that are mentioned so: "with QK norm".
    """

    parts: Sequence[Part]
    has_details: bool
    context: frozenset[str]
    mentioned: frozenset[str]


def trim(parts: Sequence[Part], table: Vocabulary) -> Trimmed:
    """Parts the orders of a description from its remarks."""
    trimmer = _Trimmer(_without_label(parts), table)
    kept = trimmer.trim()
    return Trimmed(
        parts=kept,
        has_details=trimmer.has_details,
        context=frozenset(trimmer.context),
        mentioned=frozenset(trimmer.mentioned),
    )


class _Trimmer:
    """The parts, and what is known of those that were kept."""

    def __init__(self, parts: Sequence[Part], table: Vocabulary) -> None:
        self._parts = parts
        self._table = table
        self._ordered_until = 0
        self.has_details = False
        self.context: set[str] = set()
        self.mentioned: set[str] = set()
        self._forget()

    def trim(self) -> list[Part]:
        at = 0
        while at < len(self._parts):
            if self._kept and not self._has_order() and self._is_preamble(at):
                self._forget()
                at += 1
                continue
            if self._has_content():
                if self._is_label(at):
                    self._forget()
                    at += 1
                    continue
                if self._ends(at):
                    self.has_details = word_of(self._parts[at]) == ":" and not self._has_amount
                    break
                if self._is_comment(at):
                    at = self._resumption(at + 1)
                    continue
                if at >= self._ordered_until and not self._verb_at(at) and self._starts_remark(at):
                    end = self._resumption(at)
                    self._note_context(at, end)
                    at = end
                    self._ordered_until = at + NEAR
                    continue
            verb = self._verb_at(at)
            self._keep(Term(sort=Sort.VERB, name=verb) if verb else self._parts[at])
            at += 1
        return self._kept

    def _note_context(self, start: int, end: int) -> None:
        if word_of(self._parts[start]) in {"with", "at"}:
            remark = self._parts[start:end]
            self.context |= {part.value for part in remark if isinstance(part, Token) and is_amount(part)}
            self.mentioned |= {
                part.name for part in remark if isinstance(part, Term) and is_term(part, IDEAS)
            }

    def _forget(self) -> None:
        self._kept: list[Part] = []
        self._has_amount = self._has_name = self._has_verb = self._has_idea = False
        self._has_aside = self._has_split = self._is_replacing = False

    def _keep(self, part: Part) -> None:
        if word_of(part) in ARTICLES:
            return
        self._kept.append(part)
        self._has_amount |= is_amount(part)
        self._has_name |= is_term(part, NAMES)
        self._has_verb |= is_term(part, VERBS)
        self._has_idea |= is_term(part, IDEAS)
        self._is_replacing |= verb_of(part) == "replace"
        self._is_replacing &= word_of(part) not in {"with", "by", "to", "for", "->"}
        self._has_aside |= isinstance(part, Aside)
        self._has_split |= isinstance(part, Term) and part.name == "split"

    def _has_order(self) -> bool:
        return self._has_amount or self._has_idea or self._has_aside

    def _is_preamble(self, at: int) -> bool:
        """True where a sentence ends that says why, before the one that says what.

        "The loss is noisy. Halve the LR": nothing is named before, or less than after.
        """
        part = self._parts[at]
        is_dash = isinstance(part, Token) and part.kind is Kind.DASH
        if not (is_dash or word_of(part) in {".", ";"}):
            return False
        ahead = self._parts[at + 1 : at + 1 + _LOOK_AHEAD]
        if self._has_name:
            return states_change(ahead)
        return any(is_term(one, NAMES) for one in ahead)

    def _has_content(self) -> bool:
        return self._has_name and (self._has_amount or self._has_verb or self._has_idea)

    def _is_label(self, at: int) -> bool:
        """True at a colon after a name for the change that comes: ``less decay: WEIGHT_DECAY 0.2 -> 0.1``."""
        if word_of(self._parts[at]) != ":" or self._has_amount or self._has_idea:
            return False
        following = part_at(self._parts, at + 1)
        if is_amount(following):
            return False
        return verb_of(following) in DEEDS or states_change(self._parts[at + 1 : at + 1 + _LOOK_AHEAD])

    def _ends(self, at: int) -> bool:
        """True at a dash, a colon or the end of a sentence after which nothing is ordered."""
        part, following = self._parts[at], part_at(self._parts, at + 1)
        if isinstance(part, Token) and part.kind is Kind.DASH:
            # "different rates for different groups - 0.1 for embeddings": what differs comes after the dash.
            return self._has_amount or self._has_aside or not self._has_split
        match word_of(part):
            case ":":
                ahead = self._parts[at + 1 : at + 1 + NEAR]
                is_value = is_amount(following) or (
                    is_term(following, frozenset({Sort.KNOB})) and is_amount(part_at(ahead, 1))
                )
                if is_value and any(word_of(one) in _BEFORE_OLD for one in ahead):
                    return False
                return self._has_amount or not (
                    is_amount(following) or is_term(following, VERBS) or self._is_specified(at)
                )
            case ".":
                return verb_of(following) not in DEEDS
            case ";":  # "0.05; 0.04 was too low"
                ahead = self._parts[at + 1 : at + 1 + NEAR]
                return (
                    self._has_amount
                    and is_amount(following)
                    and not any(is_term(one, NAMES) for one in ahead)
                )
            case _:
                return False

    def _is_comment(self, at: int) -> bool:
        """True at a comma before a sentence of its own: "0.03, the loss is noisy at 0.04"."""
        if word_of(self._parts[at]) not in {",", ";"} or not self._has_amount:
            return False
        for part in self._parts[at + 1 : at + 1 + _LOOK_AHEAD]:
            if is_term(part, KNOBS | IDEAS) or word_of(part) in JOINTS:
                return False
            if word_of(part) in _FINITE:
                return True
        return False

    def _is_specified(self, at: int) -> bool:
        """True at a colon after a mere name: "WSD: the last 20% decay"."""
        ahead = self._parts[at + 1 : at + 1 + _LOOK_AHEAD]
        return not (self._has_verb or self._has_aside) and any(map(is_amount, ahead))

    def _verb_at(self, at: int) -> str:
        """The verb of a gerund that orders: one that comes first, or after "and" with what it changes."""
        name = self._table.gerunds.get(word_of(self._parts[at]), "")
        if not name or not self._has_content():
            return name
        ahead = self._parts[at + 1 : at + 1 + _LOOK_AHEAD]
        is_joined = word_of(self._parts[at - 1]) in JOINTS | {"by"}
        is_order = is_term(part_at(ahead, 0), NAMES) if name in _CHANGING else is_stated(ahead)
        return name if is_joined and is_order else ""

    def _starts_remark(self, at: int) -> bool:
        part, following = self._parts[at], part_at(self._parts, at + 1)
        if not is_word(part):
            return False
        word, is_definite = word_of(part), word_of(following) == "the"
        if word_of(following) in ARTICLES or (word == "for" and word_of(following) in _QUANTIFIERS):
            following = part_at(self._parts, at + 2)
        is_base = word_of(following) in self._table.bases
        match word:
            case "with":
                is_detail = not self._has_amount and any(map(is_amount, self._parts[at + 1 : at + 1 + NEAR]))
                return (
                    (is_definite and not is_detail)
                    or is_base
                    or (self._has_amount and self._is_present_value(at + 1))
                )
            case "on":
                return is_base or word_of(following) == "top" or is_amount(following)
            case "at":
                return is_base or is_term(following, frozenset({Sort.KNOB}))
            case "as":
                return not is_term(following, NAMES)
            case _:
                is_target = word == "for" and self._is_replacing
                return word in self._table.reasons or (starts_purpose(word, following) and not is_target)

    def _is_present_value(self, at: int) -> bool:
        """``WARMDOWN_RATIO=0.6``: a knob and its value, without a word of changing it; or no name at all."""
        at += word_of(part_at(self._parts, at)) in ARTICLES
        ahead = self._parts[at : at + NEAR]
        if ahead and isinstance(ahead[0], Term) and ahead[0].name in PARAMETERS:
            return False
        if not ahead or not is_term(ahead[0], NAMES):
            return bool(ahead) and is_word(ahead[0])
        if any(word_of(part) == "enabled" for part in ahead[1:]):
            return False
        is_change = any(word_of(part) in {"->", "from"} for part in self._parts[at : at + NEAR + 1])
        return not is_change and not any(is_term(part, VERBS) for part in ahead[:2])

    def _resumption(self, at: int) -> int:
        """Where, after a remark, another change is stated; the end when there is none."""
        is_list = word_of(self._parts[at]) in {"with", "on", "at"}
        for index in range(at + 1, len(self._parts)):
            part = self._parts[index]
            word = word_of(part)
            is_list |= word == "and"
            if word in {".", ":"} or (isinstance(part, Token) and part.kind is Kind.DASH):
                return index
            ahead = self._parts[index + 1 : index + 1 + _LOOK_AHEAD]
            if word in _BEFORE_VALUES and not self._has_amount and is_amount(part_at(ahead, 0)):
                return index
            if word == "by" and word_of(part_at(ahead, 0)).endswith("ing") and any(map(is_amount, ahead)):
                return index + 2
            if word not in JOINTS:
                continue
            if orders_mechanism(ahead) or (states_change(ahead) and (not is_list or is_explicit(ahead))):
                return index
        return len(self._parts)


def _without_label(parts: Sequence[Part]) -> Sequence[Part]:
    for at, part in enumerate(parts[:LABEL_LIMIT]):
        if word_of(part) == ":":
            is_name = is_amount(part_at(parts, at + 1))  # "blend floor: 0.27"
            has_content = is_name or any(is_amount(one) or is_term(one, KNOBS | IDEAS) for one in parts[:at])
            scopes = [one for one in parts[:at] if is_term(one, frozenset({Sort.SCOPE}))]
            return parts if has_content else [*scopes, *parts[at + 1 :]]
    return parts
