"""The invented language of the ``pocket`` challenge: an integer-only program that writes its texts.

Every choice comes from SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
2014) over whole numbers, so the same seed gives the same bytes on every Python and every machine: no floats,
no hash order, no locale, no library randomness.

Words are made of a few dozen syllables, so no syllable says much alone: what a word is (its gender, the verbs
and adjectives that go with it) lies in the combination, and what follows in the sentence depends on it:
agreement of noun, adjective, verb and the clauses nested between them. Beside that there are topics; names
and amounts that a document invents and then repeats; refrains that come back word by word; sums; counting
with a stride; balanced brackets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

GENERATOR = "pocket-generator/1"

_MASK = (1 << 64) - 1
_NAME_ONSETS = (
    "B",
    "D",
    "F",
    "G",
    "K",
    "L",
    "M",
    "N",
    "P",
    "R",
    "S",
    "T",
    "V",
    "Z",
    "Br",
    "Dr",
    "Kl",
    "St",
    "Tr",
)
_NAME_VOWELS = ("a", "e", "i", "o", "u", "ø", "é")
_NAME_CODAS = ("n", "r", "l", "s", "k", "m")
_SYLLABLES = tuple(onset + vowel for onset in "bdfgklmnprstvz" for vowel in "aeiou")

NOUNS, VERBS, ADJECTIVES, TOPICS = 240, 120, 80, 12
GENDERS = 3
_NOUNS_OF_TOPIC = 24
_PREFERRED = 5
_ARTICLES = ("ta", "lo")  # [number]; the gender is the noun's own secret
_MARKERS = (("sha", "shai"), ("sho", "shoi"), ("she", "shei"))  # [gender][number]
_ENDINGS = (("ma", "mai"), ("ro", "roi"), ("ne", "nei"))  # of adjectives, [gender][number]
_VERB_ENDINGS = (  # [tense][gender][number]
    (("rut", "ruts"), ("nak", "naks"), ("bol", "bols")),
    (("dim", "dims"), ("sep", "seps"), ("lan", "lans")),
)
_BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"))
_THINGS = ("stones", "coins", "boats", "lamps", "bells")
_NEST_LIMIT = 2
_CAST = 2
_SYLLABLES_USED = 20


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
        """A number below ``limit``; small ones are likelier, with a long tail (one draw below another)."""
        return self.below(self.below(limit) + 1)


class Lexicon:
    """The words and the facts about them; the same for every text of one lexicon seed."""

    def __init__(self, seed: int) -> None:
        dice = Dice(seed)
        taken: set[str] = set()
        self.nouns = tuple(_new_word(dice, taken) for _ in range(NOUNS))
        self.verbs = tuple(_new_word(dice, taken) for _ in range(VERBS))
        self.adjectives = tuple(_new_word(dice, taken) for _ in range(ADJECTIVES))
        self.genders = tuple(dice.below(GENDERS) for _ in range(NOUNS))
        self.topic_nouns = _facts(dice, TOPICS, _NOUNS_OF_TOPIC, NOUNS)
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
        self.kinds = _ROTATION[number % len(_ROTATION)]
        self.topic = dice.below(TOPICS)
        self.names = [_new_name(dice) for _ in range(_CAST)]
        self.owned = [f"{2 + dice.below(97)} {dice.one_of(_THINGS)}" for _ in self.names]
        self.refrain = self.plain()

    def text(self) -> str:
        """The whole document."""
        return " ".join(kind(self) for kind in self.kinds) + "\n\n"

    def plain(self) -> str:
        """A sentence of one clause."""
        return f"{self._clause(0, self.dice.below(2))}."

    def nested(self) -> str:
        """A sentence whose subjects carry clauses of their own; each verb agrees with its own subject."""
        return f"{self._clause(_NEST_LIMIT, self.dice.below(2))}."

    def named(self) -> str:
        """A sentence about one of the document's people."""
        verbs = self.lexicon.verbs_of_noun[self.lexicon.topic_nouns[self.topic][0]]
        return f"{self.names[self.dice.below(_CAST)]} {self._predicate(verbs, 0, 0, self.dice.below(2))}."

    def owns(self) -> str:
        """What one of them has; the same whenever it is told."""
        which = self.dice.below(_CAST)
        return f"{self.names[which]} has {self.owned[which]}."

    def chorus(self) -> str:
        """The document's refrain."""
        return self.refrain

    def sum(self) -> str:
        """An addition of two numbers below 50."""
        left, right = 1 + self.dice.below(49), 1 + self.dice.below(49)
        return f"{left} + {right} = {left + right}."

    def count(self) -> str:
        """Six numbers with one stride."""
        start, stride = self.dice.below(60), 1 + self.dice.below(5)
        return " ".join(str(start + stride * turn) for turn in range(6)) + "."

    def brackets(self) -> str:
        """Names in balanced brackets of three kinds."""
        return self._group(3) + "."

    def _noun(self) -> int:
        if self.dice.below(8):
            return self.lexicon.topic_nouns[self.topic][self.dice.skewed(_NOUNS_OF_TOPIC)]
        return self.dice.below(NOUNS)

    def _phrase(self, noun: int, number: int) -> str:
        """Article, noun, and perhaps an adjective behind it, whose ending shows the noun's gender."""
        phrase = f"{_ARTICLES[number]} {self.lexicon.nouns[noun]}"
        if self.dice.below(2):
            return phrase
        adjective = self.lexicon.adjectives_of_noun[noun][self.dice.skewed(_PREFERRED)]
        return f"{phrase} {self.lexicon.adjectives[adjective]}{_ENDINGS[self.lexicon.genders[noun]][number]}"

    def _predicate(self, verbs: tuple[int, ...], gender: int, number: int, tense: int) -> str:
        verb = verbs[self.dice.skewed(len(verbs))]
        noun = self.lexicon.objects_of_verb[verb][self.dice.skewed(_PREFERRED)]
        ending = _VERB_ENDINGS[tense][gender][number]
        return f"{self.lexicon.verbs[verb]}{ending} {self._phrase(noun, self.dice.below(2))}"

    def _clause(self, depth: int, tense: int) -> str:
        noun, number = self._noun(), self.dice.below(2)
        gender = self.lexicon.genders[noun]
        subject = self._phrase(noun, number)
        if depth and self.dice.below(3):
            subject += f", {_MARKERS[gender][number]} {self._clause(depth - 1, 1 - tense)},"
        return f"{subject} {self._predicate(self.lexicon.verbs_of_noun[noun], gender, number, tense)}"

    def _group(self, depth: int) -> str:
        opening, closing = _BRACKETS[self.dice.below(len(_BRACKETS))]
        inner = [self.names[self.dice.below(_CAST)]]
        inner += [self._group(depth - 1) for _ in range(1 + self.dice.below(2)) if depth]
        return opening + " ".join(inner) + closing


_D = _Document
_ROTATION: tuple[tuple[Callable[[_Document], str], ...], ...] = (
    (_D.plain, _D.nested, _D.plain, _D.nested, _D.plain, _D.nested),
    (_D.plain, _D.chorus, _D.nested, _D.plain, _D.chorus, _D.nested),
    (_D.named, _D.owns, _D.plain, _D.named, _D.owns, _D.nested, _D.owns),
    (_D.nested, _D.sum, _D.plain, _D.count, _D.nested, _D.sum),
    (_D.brackets, _D.plain, _D.nested, _D.brackets, _D.plain),
)


def _new_name(dice: Dice) -> str:
    """A name of two syllables that no other word is made of."""
    last = dice.one_of(_NAME_ONSETS).lower() + dice.one_of(_NAME_VOWELS) + dice.one_of(_NAME_CODAS)
    return dice.one_of(_NAME_ONSETS) + dice.one_of(_NAME_VOWELS) + last


def _new_word(dice: Dice, taken: set[str]) -> str:
    for _ in range(1000):
        word = "".join(_SYLLABLES[dice.below(_SYLLABLES_USED)] for _ in range(3))
        if word not in taken:
            taken.add(word)
            return word
    raise AssertionError("the syllables ran out")


def _facts(dice: Dice, owners: int, each: int, limit: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(dice.below(limit) for _ in range(each)) for _ in range(owners))
