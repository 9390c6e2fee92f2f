"""The tokenizer of generated texts: byte pairs, learned and applied by one small deterministic code.

Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units" (2016), over UTF-8
bytes. Ties are broken by the smaller pair, so the same text gives the same merges on every machine.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BYTES = 256
_FORMAT = "word-pieces/1"
# Pieces never cross a syllable (consonants, vowels, and last consonants unless a vowel follows them).
# Letters by name: what \w means depends on the Unicode tables of the Python that runs it.
_VOWEL, _CONSONANT = "aeiouøéAEIOUØÉ", "b-df-hj-np-tv-zB-DF-HJ-NP-TV-Z"
_WORD = re.compile(
    rf" ?[{_CONSONANT}]*[{_VOWEL}]+(?:[{_CONSONANT}]+(?![{_CONSONANT}]*[{_VOWEL}]))?"
    rf"| ?[{_CONSONANT}]+| ?[0-9]+|\n+| ?[^{_VOWEL}{_CONSONANT}0-9 \n]| +"
)
_SEEN_MIN = 2  # a word seen once teaches no pair worth keeping, and there are very many of them

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """Merges in order: token ``256 + i`` is the ``i``-th merge, tokens below 256 are bytes."""

    merges: tuple[Pair, ...]

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return BYTES + len(self.merges)

    def token_bytes(self) -> list[bytes]:
        """What each token stands for."""
        spelled = [bytes([value]) for value in range(BYTES)]
        for left, right in self.merges:
            spelled.append(spelled[left] + spelled[right])
        return spelled

    def encode(self, text: str) -> npt.NDArray[np.uint16]:
        """The tokens of a text; their bytes joined are exactly its UTF-8."""
        ranks = {pair: BYTES + index for index, pair in enumerate(self.merges)}
        known: dict[str, list[int]] = {}
        tokens: list[int] = []
        for word in _WORD.findall(text):
            pieces = known.get(word)
            if pieces is None:
                pieces = known[word] = _merge_word(list(word.encode("utf-8")), ranks)
            tokens.extend(pieces)
        return np.array(tokens, dtype="<u2")

    def to_json(self) -> str:
        """One canonical text, so that its hash names the tokenizer."""
        return json.dumps({"format": _FORMAT, "merges": self.merges}, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """Read ``to_json``'s text.

        Raises:
            ValueError: it is not such a text.
        """
        try:
            stored = json.loads(text)
            merges = tuple((int(left), int(right)) for left, right in stored["merges"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a tokenizer of format {_FORMAT}: {error}") from error
        if stored.get("format") != _FORMAT or any(
            not 0 <= part < BYTES + index for index, pair in enumerate(merges) for part in pair
        ):
            raise ValueError(f"not a tokenizer of format {_FORMAT}")
        return cls(merges=merges)


def learn_pieces(text: str, vocab_size: int) -> Tokenizer:
    """Learn merges from a text; ``vocab_size`` counts the 256 bytes too."""
    counts = Counter(_WORD.findall(text))
    words = sorted(word for word, seen in counts.items() if seen >= _SEEN_MIN)
    book = _PairBook([list(word.encode("utf-8")) for word in words], [counts[word] for word in words])
    merges: list[Pair] = []
    while BYTES + len(merges) < vocab_size and book.counts:
        best = min(book.counts.items(), key=lambda entry: (-entry[1], entry[0]))[0]
        book.merge(best, BYTES + len(merges))
        merges.append(best)
    return Tokenizer(merges=tuple(merges))


class _PairBook:
    """How often each pair of neighbours occurs, kept up to date while words are merged."""

    def __init__(self, words: list[list[int]], amounts: list[int]) -> None:
        self.counts: Counter[Pair] = Counter()
        self._words = words
        self._amounts = amounts
        self._places: dict[Pair, set[int]] = {}
        for index in range(len(words)):
            self._count(index, 1)

    def merge(self, pair: Pair, token: int) -> None:
        """Replace a pair everywhere."""
        for index in sorted(self._places[pair]):
            self._count(index, -1)
            self._words[index] = _replace(self._words[index], pair, token)
            self._count(index, 1)
        del self._places[pair]

    def _count(self, index: int, sign: int) -> None:
        for pair in _pairs(self._words[index]):
            self.counts[pair] += sign * self._amounts[index]
            if self.counts[pair] <= 0:
                del self.counts[pair]
            self._places.setdefault(pair, set()).add(index)


def _pairs(word: list[int]) -> Iterable[Pair]:
    return itertools.pairwise(word)


def _replace(word: list[int], pair: Pair, merged: int) -> list[int]:
    out: list[int] = []
    at = 0
    while at < len(word):
        if at + 1 < len(word) and (word[at], word[at + 1]) == pair:
            out.append(merged)
            at += 2
        else:
            out.append(word[at])
            at += 1
    return out


def _merge_word(word: list[int], ranks: dict[Pair, int]) -> list[int]:
    unknown = 1 << 30
    while len(word) > 1:
        rank, pair = min((ranks.get(pair, unknown), pair) for pair in _pairs(word))
        if rank == unknown:
            break
        word = _replace(word, pair, rank)
    return word
