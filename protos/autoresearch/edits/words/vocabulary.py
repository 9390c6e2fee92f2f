"""Finds the terms that a text uses, by the alias table beside this file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files

from autoresearch.edits.words.spelling import spelled
from autoresearch.edits.words.tokens import Kind, Token, tokenise

ARTICLES = frozenset({"the", "a", "an", "each", "its", "their", "'s"})
_BRIDGED = ARTICLES | {"/"}
"""What an alias is found across."""
_FUNCTION_WORDS = ARTICLES | {"to", "of", "in", "on", "at", "from", "by", "with", "and", "for", "is", "are"}
"""Words that an alias is not preferred for."""

_JOINING = (Kind.WORD, Kind.NUMBER, Kind.MARK)


class Sort(StrEnum):
    """What a term is in a sentence."""

    KNOB = "knob"
    SCOPE = "scope"
    IDEA = "idea"
    VERB = "verb"
    MEANING = "meaning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A term of the table; ``value`` where it is a knob with its value, ``name`` with ``+`` and a scope."""

    sort: Sort
    name: str
    value: str = ""


Item = Token | Term


@dataclass(slots=True)
class _Node:
    following: dict[str, _Node] = field(default_factory=dict)
    term: Term | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The table, ready for use."""

    root: _Node
    implied: dict[str, frozenset[str]]
    generic: frozenset[str]
    silent: frozenset[str]
    reasons: frozenset[str]
    bases: frozenset[str]
    gerunds: dict[str, str]
    composed: tuple[tuple[str, frozenset[str]], ...]
    parameters: dict[str, frozenset[str]]
    families: tuple[frozenset[str], ...]

    def find_terms(self, tokens: Sequence[Token]) -> Iterator[Item]:
        """The tokens with aliases replaced by their terms, so that few words are left and the terms are few.

        The longest alias at each place would read "embedding weight decay" as some decay of the embedding
        weights.
        """
        places = [self._aliases_at(tokens, at) for at in range(len(tokens))]
        best: list[tuple[int, int, int]] = [(0, 0, 0)] * (len(tokens) + 1)
        for at in reversed(range(len(tokens))):
            left, count, _ = best[at + 1]
            best[at] = (left + (tokens[at].text not in _FUNCTION_WORDS), count, 0)
            for length in places[at]:
                left, count, _ = best[at + length]
                best[at] = min(best[at], (left, count + 1, -length))
        at = 0
        while at < len(tokens):
            length = -best[at][2]
            yield places[at][length] if length else tokens[at]
            at += max(1, length)

    def implied_by(self, terms: Iterable[str]) -> frozenset[str]:
        """Terms that say nothing where these stand."""
        return frozenset().union(*(self.implied.get(term, frozenset()) - {term} for term in terms))

    def extended(self, terms: Mapping[str, Term]) -> Vocabulary:
        """This table and more aliases, found where they are longer than those of the table."""
        if not terms:
            return self
        root = _copy(self.root)
        for alias, term in terms.items():
            _plant(root, alias, term)
        return replace(self, root=root)

    def _aliases_at(self, tokens: Sequence[Token], at: int) -> dict[int, Term]:
        """Terms by the number of tokens of their aliases that begin at a place."""
        node, found = self.root, {}
        for index in range(at, len(tokens)):
            token = tokens[index]
            if token.text in _BRIDGED and index > at:
                continue
            next_node = node.following.get(token.text) if _may_join(token) else None
            if next_node is None:
                break
            node = next_node
            if node.term is not None:
                found[index - at + 1] = node.term
        return found


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """The table of this release."""
    table = tomllib.loads(files(__package__).joinpath("vocabulary.toml").read_text(encoding="utf-8"))
    root = _Node()
    for section, sort in (
        ("verbs", Sort.VERB),
        ("ideas", Sort.IDEA),
        ("scopes", Sort.SCOPE),
        ("knobs", Sort.KNOB),
        ("narrow_knobs", Sort.KNOB),
    ):
        for name, aliases in table[section].items():
            for alias in aliases:
                _plant(root, alias, Term(sort=sort, name=name))
    for knob, values in table["meanings"].items():
        for value, aliases in values.items():
            for alias in aliases:
                _plant(root, alias, Term(sort=Sort.MEANING, name=knob, value=value))
    return Vocabulary(
        root=root,
        implied={name: frozenset(terms) for name, terms in table["implied"].items()},
        generic=frozenset({*table["generic"]["terms"], *table["scopes"], *table["knobs"]}),
        silent=frozenset(map(spelled, table["silent"]["words"])),
        reasons=frozenset(map(spelled, table["remarks"]["reasons"])),
        bases=frozenset(map(spelled, table["remarks"]["bases"])),
        gerunds={spelled(word): name for name, words in table["gerunds"].items() for word in words},
        parameters={name: frozenset(knobs) for name, knobs in table["parameters"].items()},
        families=tuple(map(frozenset, table["families"].values())),
        composed=tuple(
            (name, frozenset(parts)) for name, sets in table["composed"].items() for parts in sets
        ),
    )


def _copy(node: _Node) -> _Node:
    return _Node(following={key: _copy(child) for key, child in node.following.items()}, term=node.term)


def _plant(root: _Node, alias: str, term: Term) -> None:
    node = root
    for token in tokenise(alias):
        if token.text in _BRIDGED:
            continue
        node = node.following.setdefault(token.text, _Node())
    if node is not root:
        node.term = term


def _may_join(token: Token) -> bool:
    return token.kind in _JOINING
