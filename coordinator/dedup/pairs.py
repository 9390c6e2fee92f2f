"""Do two descriptions say the same edit? Their code decides where it is there, else their words.

The words are compared as readings: knobs with their values first, mechanisms by their terms and amounts.
Sameness in sound counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from autoresearch.edits import edit_signature, file_signature
from autoresearch.edits.words import Reading, Setting, read_text
from autoresearch.edits.words.settling import OFF
from autoresearch.edits.words.spelling import stem
from autoresearch.edits.words.tokens import number_of

_RATIO_TOLERANCE = Decimal("1e-6")
"""Ratios are of rounded values; values themselves are compared exactly."""

_NARROWING_WORDS_LIMIT = 1
_OTHER_WORDS_LIMIT = 5
_UNKNOWN_WORDS_TO_BLOCK = 1
_UNKNOWN_WORDS_TO_ASK = 6
_TERMS_SHARED_MIN = 0.75
_GENERAL_BATCH = frozenset({"batch"})
_EVERYWHERE = frozenset({"every_layer"})
"""What most edits do that name no place, so that saying it makes no other edit."""

_BATCHES = frozenset({"total_batch", "device_batch"})


class Answer(StrEnum):
    """What to do with the second of two edits."""

    BLOCK = "block"
    CONFIRM = "confirm"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairVerdict:
    """An answer, and why, in a sentence for a person."""

    answer: Answer
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two edits; empty code was not given."""

    a: str
    b: str
    a_code: str = ""
    b_code: str = ""
    parent_code: str = ""


def judge_pair(pair: Pair) -> PairVerdict:
    """Whether the two are the same edit.

    Raises:
        EditError: A code is too large, too deep or not Python.
    """
    if pair.a_code and pair.b_code:
        return _judge_code(pair)
    if not pair.a.strip() or not pair.b.strip():
        return _allow("one of them says nothing")
    if _plain(pair.a) == _plain(pair.b):
        return _block("both say the same, word for word")
    parent = pair.parent_code or None
    return judge_readings(read_text(pair.a, parent), read_text(pair.b, parent))


def judge_readings(a: Reading, b: Reading) -> PairVerdict:
    """Whether two readings are of the same edit; symmetric."""
    verdict = _judge_readings(a, b)
    if verdict.answer is Answer.ALLOW and _is_alike(a, b):
        return _confirm("they give the same values to the same names, in other words")
    return verdict


def _judge_readings(a: Reading, b: Reading) -> PairVerdict:
    if not a.settings and not b.settings:
        return _judge_mechanisms(a, b)
    only_a, only_b = _only(a, b), _only(b, a)
    is_general = _is_general_pair(only_a, only_b)
    is_mentioned = _mentions(a, b, only_b) and _mentions(b, a, only_a)
    if (only_a or only_b) and not is_general and not is_mentioned:
        return _allow(f"only one of them changes {_name((only_a + only_b)[0])}")
    shared = [(a.settings[subject], b.settings[subject]) for subject in a.settings if subject in b.settings]
    differences = [difference for one, other in shared if (difference := _difference(one, other))]
    if (a.added, a.removed) != (b.added, b.removed):
        terms = (a.mechanisms ^ b.mechanisms) or a.mechanisms
        differences.append(f"only one of them has to do with {_listed(sorted(terms))}")
    if a.amounts and b.amounts and a.amounts != b.amounts:
        differences.append(_other_amounts(a, b))
    if differences:
        return _allow(differences[0])
    doubts = [f"one of them names no batch in particular: {_name(only_a[0])}"] if is_general else []
    if is_mentioned and (only_a or only_b):
        doubts.append(f"one of them may only mention {_name((only_a + only_b)[0])}")
    doubts += [doubt for one, other in shared if (doubt := _doubt(one, other))]
    doubts += [_lone_amounts(a, b)] if _amounts(a) != _amounts(b) else []
    if a.context and b.context and a.context != b.context:
        doubts.append(f"they mention other values beside it: {_listed(sorted(a.context ^ b.context))}")
    if len(a.words ^ b.words) > _OTHER_WORDS_LIMIT:
        doubts.append("they set the same, and say more in other words")
    return (
        _confirm(doubts[0]) if doubts else _block(f"both change {_listed(map(_stated, a.settings.values()))}")
    )


def _is_alike(a: Reading, b: Reading) -> bool:
    """The same values and terms, put together otherwise: one of the two may have been misread."""
    values, olds = (_values(a), _values(b)), (_olds(a), _olds(b))
    is_read_alike = a.settings.keys() == b.settings.keys() and a.mechanisms == b.mechanisms
    if is_read_alike or not values[0] or values[0] != values[1] or (all(olds) and olds[0] != olds[1]):
        return False
    if a.is_empty or b.is_empty:
        return bool(olds[0]) and olds[0] == olds[1]
    is_opposite = bool(a.added & b.removed or a.removed & b.added)
    return not is_opposite and _terms(a) == _terms(b) != frozenset()


def _values(reading: Reading) -> frozenset[str]:
    settings = reading.settings.values()
    stated = {one.new or (one.factor and "*" + one.factor) for one in settings}
    return frozenset(stated - {""}) | _amounts(reading)


def _olds(reading: Reading) -> frozenset[str]:
    return frozenset(one.old for one in reading.settings.values()) - {""} | reading.before


def _terms(reading: Reading) -> frozenset[str]:
    """What it is about, without the knobs that it named in words of its own."""
    terms = reading.mechanisms | {term for subject in reading.settings for term in subject}
    return frozenset(term for term in terms if not {stem(word) for word in term.split("_")} <= reading.words)


def _judge_code(pair: Pair) -> PairVerdict:
    if file_signature(pair.a_code) == file_signature(pair.b_code):
        return _block("their files do the same")
    if not pair.parent_code:
        return _allow("their files do different things")
    a, b = (edit_signature(pair.parent_code, code) for code in (pair.a_code, pair.b_code))
    if a.key == b.key:
        return _block("their code makes the same edit")
    return _allow("their code makes different edits")


def _judge_mechanisms(a: Reading, b: Reading) -> PairVerdict:
    """Mechanisms without a setting: the same terms, in the same direction, with the same amounts."""
    difference = _mechanisms_apart(a, b)
    if difference:
        return _allow(difference)
    unknown, known = len(a.words ^ b.words), len(a.words & b.words)
    is_near = unknown <= _UNKNOWN_WORDS_TO_BLOCK + known
    shared = sorted(a.mechanisms & b.mechanisms)
    if _amounts(a) != _amounts(b):
        return _confirm(_lone_amounts(a, b)) if is_near else _allow("they name different mechanisms")
    is_named = is_near if a.is_specific else unknown < len(shared)
    is_named &= bool(_amounts(a)) or not (a.has_details and b.has_details)
    is_named &= a.mentioned == b.mentioned
    if is_named and (a.added, a.removed) == (b.added, b.removed):
        return _block(f"both are about {_listed(shared)}, with the same amounts")
    if unknown <= _UNKNOWN_WORDS_TO_ASK + 2 * known:
        return _confirm(f"both are about {_listed(shared)}, in other words")
    return _allow("they name different mechanisms")


def _mechanisms_apart(a: Reading, b: Reading) -> str:
    """How the mechanisms of two readings differ; empty where they may be the same."""
    shared, either = a.mechanisms & b.mechanisms, a.mechanisms | b.mechanisms
    if not shared:
        return (
            "they name different mechanisms" if either else "there is no edit in them that could be compared"
        )
    if a.added & b.removed or a.removed & b.added:
        return f"one adds what the other removes: {_listed(sorted(shared))}"
    if _is_replaced_apart(a, b):
        return f"they replace different things: {_listed(sorted(a.replaced | b.replaced))}"
    is_same = (a.added, a.removed) == (b.added, b.removed)
    told_apart = either - shared - _EVERYWHERE
    if len(shared) < _TERMS_SHARED_MIN * len(shared | told_apart) or (
        not is_same and _amounts(a) != _amounts(b)
    ):
        return f"only one of them has to do with {_listed(sorted(either - shared))}"
    if a.before and b.before and a.before != b.before:
        return f"they start from {_listed(sorted(a.before))} and {_listed(sorted(b.before))}"
    is_other = bool(_amounts(a)) and bool(_amounts(b)) and _amounts(a) != _amounts(b)
    return _other_amounts(a, b) if is_other else ""


def _is_replaced_apart(a: Reading, b: Reading) -> bool:
    """True where two things give way, or what gives way in one comes in the other."""
    is_swapped = bool(a.replaced & b.added - a.added or b.replaced & a.added - b.added)
    return is_swapped or bool(a.replaced and b.replaced and not a.replaced & b.replaced)


def _amounts(reading: Reading) -> frozenset[str]:
    return reading.amounts | reading.rest


def _other_amounts(a: Reading, b: Reading) -> str:
    return f"their amounts differ: {_listed(sorted(_amounts(a) ^ _amounts(b)))}"


def _lone_amounts(a: Reading, b: Reading) -> str:
    return f"only one of them gives {_listed(sorted(_amounts(a) ^ _amounts(b)))}"


def _difference(a: Setting, b: Setting) -> str:
    """How two settings of one knob contradict each other; empty where they do not."""
    name = _name(a.subject)
    if a.old and b.old and a.old != b.old:
        return f"they start {name} from {a.old} and {b.old}"
    if a.new and b.new:
        return "" if _tile(a.new) == _tile(b.new) else f"they set {name} to {a.new} and {b.new}"
    if any(one.new == OFF and other.is_mechanism and other.is_open for one, other in ((a, b), (b, a))):
        return f"one adds {name}, the other removes it"
    factors = [factor for factor in (_factor(a), _factor(b)) if factor is not None]
    if len(factors) > 1 and abs(factors[0] - factors[1]) > abs(factors[0]) * _RATIO_TOLERANCE:
        return f"they scale {name} by {factors[0]:.4g} and {factors[1]:.4g}"
    if a.factor and b.factor and len(factors) == 0 and a.factor != b.factor:
        return f"they change {name} by {a.factor} and {b.factor}"
    directions = {_direction(a), _direction(b)} - {""}
    return f"they move {name} in opposite directions" if len(directions) > 1 else ""


def _tile(value: str) -> str:
    """The part that a window pattern repeats: layers take it in turn, so SLSL is SL."""
    if not set(value) <= set("SL"):
        return value
    return next(
        (value[:size] for size in range(1, len(value)) if value[:size] * (len(value) // size) == value), value
    )


def _doubt(a: Setting, b: Setting) -> str:
    """Why two settings that do not contradict each other may still differ; empty where they cannot."""
    name = _name(a.subject)
    if a.qualifiers and b.qualifiers and len(a.qualifiers ^ b.qualifiers) > _NARROWING_WORDS_LIMIT:
        return f"they describe {name} in other words"
    if a.new and b.new:
        directions = {_direction(a), _direction(b)} - {""}
        is_apart = len(directions) > 1 and not (a.old and b.old)
        return f"they move {name} in opposite directions to the same value" if is_apart else ""
    if a.is_open and b.is_open:
        is_same = a.is_mechanism and not (a.direction or b.direction) and a.qualifiers == b.qualifiers
        return "" if is_same else f"neither of them says how much {name} changes"
    is_said = (a.factor and a.factor == b.factor) or (_factor(a) is not None and _factor(b) is not None)
    return "" if is_said else f"only one of them says how much {name} changes"


def _factor(setting: Setting) -> Decimal | None:
    """What the value is multiplied with; None where that is not said."""
    if setting.factor and setting.factor[0] not in "+-":
        return number_of(setting.factor)
    old, new = number_of(setting.old), number_of(setting.new)
    return new / old if old and new is not None else None


def _direction(setting: Setting) -> str:
    factor = _factor(setting)
    if factor is not None:
        return "up" if factor > 1 else "down"
    return {"+": "up", "-": "down"}.get(setting.factor[:1], setting.direction)


def _only(a: Reading, b: Reading) -> list[frozenset[str]]:
    return sorted((subject for subject in a.settings if subject not in b.settings), key=sorted)


def _mentions(reading: Reading, other: Reading, only: list[frozenset[str]]) -> bool:
    """True where a reading mentions the values of the settings that only the other one has."""
    return all({other.settings[subject].new} <= reading.context for subject in only)


def _is_general_pair(only_a: list[frozenset[str]], only_b: list[frozenset[str]]) -> bool:
    """``batch`` on one side may be either of the batches on the other."""
    if len(only_a) != 1 or len(only_b) != 1:
        return False
    pair = (only_a[0], only_b[0])
    return any(one == _GENERAL_BATCH and other & _BATCHES for one, other in (pair, pair[::-1]))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _name(subject: Iterable[str]) -> str:
    return " ".join(sorted(subject)).replace("_", " ")


def _stated(setting: Setting) -> str:
    if setting.is_open:
        return _name(setting.subject)
    if setting.new:
        return f"{_name(setting.subject)} to {setting.new}"
    by = setting.factor if setting.factor[0] in "+-" else f"a factor of {setting.factor}"
    return f"{_name(setting.subject)} by {by}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def _block(reason: str) -> PairVerdict:
    return PairVerdict(answer=Answer.BLOCK, reason=reason)


def _confirm(reason: str) -> PairVerdict:
    return PairVerdict(answer=Answer.CONFIRM, reason=reason)


def _allow(reason: str) -> PairVerdict:
    return PairVerdict(answer=Answer.ALLOW, reason=reason)
