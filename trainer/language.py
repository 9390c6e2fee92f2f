"""The invented language of the ``pocket`` challenge: an integer-only program that writes its texts.

Every choice comes from SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
2014) over whole numbers, so the same seed gives the same bytes on every Python and every machine: no floats,
no hash order, no locale, no library randomness.

The language gives a model several things to learn at several depths: spelling and word shapes; agreement of
article, adjective, noun and verb, over nested clauses too; which nouns a verb takes and which adjectives a
noun takes (a few thousand facts); topics; names and amounts that a document invents and then repeats; refrains
that come back word by word; sums; counting with a stride; balanced brackets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

GENERATOR = "pocket-generator/1"

_MASK = (1 << 64) - 1
_ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "kl", "st", "tr")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ø", "é")
_CODAS = ("", "", "", "n", "r", "l", "s", "k", "m")

NOUNS, VERBS, ADJECTIVES, TOPICS = 120, 60, 40, 8
_ARTICLES = (("ta", "tai"), ("lo", "loi"), ("ne", "nen"))  # [gender][number]
_THAT_ONE = (("tak", "taki"), ("lok", "loki"), ("nek", "neki"))
_ENDINGS = (("a", "ai"), ("o", "oi"), ("e", "en"))
_VERB_ENDINGS = (("ut", "uts"), ("im", "imes"))  # [tense][number]
_BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"))
_THINGS = ("stones", "coins", "boats", "lamps", "bells")
_PREFERRED = 6
_NEST_LIMIT = 2
_CAST = 3


class Dice:
    """SplitMix64: a stream of choices that a seed fixes for ever."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def below(self, limit: int) -> int:
        """A whole number from 0 to ``limit`` - 1 (multiply-shift; its bias of 2**-50 is far below notice)."""
        self._state = state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((state ^ (state >> 31)) * limit) >> 64

    def one_of(self, choices: tuple[str, ...]) -> str:
        """One of some texts, all equally likely."""
        return choices[self.below(len(choices))]

    def skewed(self, limit: int) -> int:
        """A number below ``limit``; small ones are likelier, with a long tail (product of two draws)."""
        return self.below(self.below(limit) + 1)


class Lexicon:
    """The words and the facts about them; the same for every text of one lexicon seed."""

    def __init__(self, seed: int) -> None:
        dice = Dice(seed)
        taken: set[str] = set()
        stems = [_new_stem(dice, taken) for _ in range(NOUNS + VERBS + ADJECTIVES)]
        self.genders = tuple(dice.below(3) for _ in range(NOUNS))
        self.nouns = tuple(
            tuple(stem + ending for ending in _ENDINGS[gender])
            for stem, gender in zip(stems[:NOUNS], self.genders, strict=True)
        )
        self.verbs = tuple(
            tuple(tuple(stem + ending for ending in endings) for endings in _VERB_ENDINGS)
            for stem in stems[NOUNS : NOUNS + VERBS]
        )
        self.adjectives = tuple(
            tuple(tuple(stem + ending for ending in endings) for endings in _ENDINGS)
            for stem in stems[NOUNS + VERBS :]
        )
        self.topic_nouns = _facts(dice, TOPICS, 16, NOUNS)
        self.verbs_of_noun = _facts(dice, NOUNS, _PREFERRED, VERBS)
        self.objects_of_verb = _facts(dice, VERBS, _PREFERRED, NOUNS)
        self.adjectives_of_noun = _facts(dice, NOUNS, _PREFERRED, ADJECTIVES)


def documents(lexicon: Lexicon, seed: int) -> Iterator[str]:
    """Endless documents of a seed, each ending in an empty line; their kinds come in a fixed rotation.

    The rotation keeps the mix of any two long texts alike, so their difficulty hardly differs.
    """
    dice = Dice(seed)
    number = 0
    while True:
        yield _Document(lexicon, dice, number).text()
        number += 1


def text_of(lexicon: Lexicon, seed: int, size_bytes: int) -> bytes:
    """The first ``size_bytes`` bytes of a seed's documents, as UTF-8.

    The cut is moved back to a whole character, and the gap is filled with line ends: the size is exact.
    """
    parts: list[str] = []
    have = 0
    for document in documents(lexicon, seed):
        parts.append(document)
        have += len(document.encode("utf-8"))
        if have >= size_bytes:
            break
    cut = "".join(parts).encode("utf-8")[:size_bytes].decode("utf-8", errors="ignore").encode("utf-8")
    return cut + b"\n" * (size_bytes - len(cut))


class _Document:
    """One document: a topic, a few invented names with amounts, a refrain, and sentences about them."""

    def __init__(self, lexicon: Lexicon, dice: Dice, number: int) -> None:
        self.lexicon = lexicon
        self.dice = dice
        self.number = number
        self.topic = dice.below(TOPICS)
        self.names = [_syllables(dice, 2 + dice.below(2)).capitalize() for _ in range(_CAST)]
        self.owned = [f"{2 + dice.below(97)} {dice.one_of(_THINGS)}" for _ in self.names]
        self.refrain = self._plain()

    def text(self) -> str:
        kinds = _ROTATION[self.number % len(_ROTATION)]
        sentences = [kind(self) for kind in kinds]
        return " ".join(sentences) + "\n\n"

    def _noun(self) -> int:
        if self.dice.below(4):
            return self.lexicon.topic_nouns[self.topic][self.dice.skewed(16)]
        return self.dice.skewed(NOUNS)

    def _phrase(self, noun: int, number: int) -> str:
        gender = self.lexicon.genders[noun]
        article, word = _ARTICLES[gender][number], self.lexicon.nouns[noun][number]
        if self.dice.below(2):
            return f"{article} {word}"
        adjective = self.lexicon.adjectives_of_noun[noun][self.dice.skewed(_PREFERRED)]
        return f"{article} {self.lexicon.adjectives[adjective][gender][number]} {word}"

    def _predicate(self, verbs: tuple[int, ...], number: int, tense: int) -> str:
        verb = verbs[self.dice.skewed(len(verbs))] if self.dice.below(8) else self.dice.below(VERBS)
        objects = self.lexicon.objects_of_verb[verb]
        if not self.dice.below(3):
            return f"{self.lexicon.verbs[verb][tense][number]} {self.names[self.dice.below(_CAST)]}"
        noun = objects[self.dice.skewed(_PREFERRED)] if self.dice.below(8) else self._noun()
        return f"{self.lexicon.verbs[verb][tense][number]} {self._phrase(noun, self.dice.below(2))}"

    def _clause(self, depth: int, tense: int) -> str:
        noun, number = self._noun(), self.dice.below(2)
        subject = self._phrase(noun, number)
        verbs = self.lexicon.verbs_of_noun[noun]
        if depth and self.dice.below(3):
            marker = _THAT_ONE[self.lexicon.genders[noun]][number]
            subject += f", {marker} {self._clause(depth - 1, 1 - tense)},"
        return f"{subject} {self._predicate(verbs, number, tense)}"

    def _plain(self) -> str:
        return f"{self._clause(0, self.dice.below(2))}."

    def _nested(self) -> str:
        return f"{self._clause(_NEST_LIMIT, self.dice.below(2))}."

    def _named(self) -> str:
        who = self.names[self.dice.below(_CAST)]
        verbs = self.lexicon.verbs_of_noun[self.lexicon.topic_nouns[self.topic][0]]
        return f"{who} {self._predicate(verbs, 0, self.dice.below(2))}."

    def _owns(self) -> str:
        which = self.dice.below(_CAST)
        return f"{self.names[which]} has {self.owned[which]}."

    def _chorus(self) -> str:
        return self.refrain

    def _sum(self) -> str:
        left, right = 1 + self.dice.below(49), 1 + self.dice.below(49)
        return f"{left} + {right} = {left + right}."

    def _count(self) -> str:
        start, stride = self.dice.below(60), 1 + self.dice.below(5)
        return " ".join(str(start + stride * turn) for turn in range(6)) + "."

    def _brackets(self) -> str:
        return self._group(3) + "."

    def _group(self, depth: int) -> str:
        opening, closing = _BRACKETS[self.dice.below(3)]
        inner = [self.names[self.dice.below(_CAST)]]
        inner += [self._group(depth - 1) for _ in range(1 + self.dice.below(2)) if depth]
        return opening + " ".join(inner) + closing


_Kind = Callable[[_Document], str]
_D = _Document
_ROTATION: tuple[tuple[_Kind, ...], ...] = (
    (_D._owns, _D._plain, _D._chorus, _D._named, _D._named, _D._owns, _D._chorus, _D._owns),
    (_D._nested, _D._named, _D._sum, _D._named, _D._named, _D._nested, _D._sum, _D._named),
    (_D._chorus, _D._named, _D._owns, _D._chorus, _D._named, _D._owns, _D._owns, _D._chorus),
    (_D._count, _D._owns, _D._brackets, _D._named, _D._owns, _D._count, _D._brackets),
    (_D._named, _D._plain, _D._nested, _D._named, _D._nested, _D._plain, _D._named),
)


def _syllables(dice: Dice, count: int) -> str:
    return "".join(dice.one_of(_ONSETS) + dice.one_of(_VOWELS) + dice.one_of(_CODAS) for _ in range(count))


def _new_stem(dice: Dice, taken: set[str]) -> str:
    for _ in range(1000):
        stem = _syllables(dice, 1 + dice.below(2)) + dice.one_of(_ONSETS)
        if stem not in taken:
            taken.add(stem)
            return stem
    raise AssertionError("the syllables ran out")


def _facts(dice: Dice, owners: int, each: int, limit: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(dice.below(limit) for _ in range(each)) for _ in range(owners))
