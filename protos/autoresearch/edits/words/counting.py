"""How many and by how much, as people say it: "two more layers", "8 heads", "cut by a third", "1.5 times"."""

from __future__ import annotations

import re
from collections.abc import Callable

Meaning = str | Callable[[re.Match[str]], str]

_NUMBERS = {
    word: number
    for number, word in enumerate(
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
        start=1,
    )
}
_NUMBERS |= {"sixteen": 16, "twenty four": 24, "thirty two": 32}
_ORDINALS = dict(
    zip(
        ("third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"),
        range(3, 11),
        strict=True,
    )
)
_ORDINALS |= {"eleventh": 11, "twelfth": 12}
_TENS = {"five": 5, "ten": 10, "fifteen": 15, "twenty five": 25, "twenty": 20, "thirty": 30, "forty": 40}
_TENS |= {"fifty": 50, "sixty": 60, "seventy five": 75, "seventy": 70, "eighty": 80, "ninety": 90}
_PARTS = {"half": 50.0, "third": 100 / 3, "quarter": 25.0, "fourth": 25.0, "fifth": 20.0, "sixth": 100 / 6}
_PARTS |= {"eighth": 12.5, "tenth": 10.0}
_TIMES = {"": 1, "two": 2, "three": 3}
_FRACTIONS = {"three quarters": "3/4", "two thirds": "2/3", "third": "1/3", "eighth": "1/8", "tenth": "1/10"}
_ENDS = {"last": "last", "final": "last", "top": "last", "first": "first", "bottom": "first"}

_NUMBER = rf"\d{{1,3}}|{'|'.join(_NUMBERS)}"
_LAYERS = r"(?:transformer |decoder )?(?:layers?|blocks?)\b"
_SOME_LAYERS = frozenset(
    {"last", "first", "final", "top", "bottom", "every", "each", "in", "on", "over", "of"}
)
_SOME_LAYERS |= {"across", "middle", "early", "late", "between", "for", "all", "per", "outer", "inner"}
_SOME_LAYERS |= {"upper", "lower", "these", "those", "same", "kv", "value"}
"""Words before a number of layers that make it some of them, not how many there are."""

_PUTTING = re.compile(
    r"\b(?:add|appl(?:y|ied)|use|put|insert|introduce|on|share|loop|repeat)\b", re.IGNORECASE
)
_OTHER_HEADS = re.compile(r"\b(?:kv|key|value|mtp|multi.token|predict\w*|gqa|grouped)\b", re.IGNORECASE)


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS[word.lower()]


def _group(match: re.Match[str], name: str) -> str:
    return (match[name] or "").lower()


def _layers(match: re.Match[str]) -> str:
    """``10 layers`` is a depth, ``two more layers`` a difference, ``on 4 layers`` neither."""
    before, verb, more, number = (_group(match, name) for name in ("before", "verb", "more", "number"))
    count = _number(number)
    is_counted = bool(verb) and not before
    if more in {"more", "extra", "additional"} or (is_counted and verb.startswith("add")):
        return f" increase depth by {count} "
    if more or is_counted:
        return f" decrease depth by {count} "
    is_some = before in _SOME_LAYERS or (before == "to" and _PUTTING.search(match.string))
    return match[0] if is_some or count == 1 else f"{verb} {before} depth {count} "


def _heads(match: re.Match[str]) -> str:
    return match[0] if _OTHER_HEADS.search(match.string) else f" n head {match['number']} "


def _share(match: re.Match[str]) -> str:
    """``by two thirds``: by how much, not how much."""
    return f"by {_TIMES[_group(match, 'times')] * _PARTS[match['part'].lower()]:.12g}%"


def _fraction(match: re.Match[str]) -> str:
    return _FRACTIONS[match[1].lower().replace("-", " ")]


COUNTS: tuple[tuple[str, str, Meaning], ...] = (
    # "twice as many", "1.5 times", "by a third", "three quarters"
    (
        "as the",
        r"\b(twice|half|double) (?:as (?:many|wide|large|big|long|fast|much|deep|high|strong)\b|the\b)",
        r"\1",
    ),
    (
        "*",
        r"(?<![\w.*])(\d{1,7})\s?\*\s?(\d{1,7})(?![\w.*])",
        lambda match: str(int(match[1]) * int(match[2])),
    ),
    ("times", r"\b(?:one and a half|one point five) times\b", "x1.5"),
    ("times", r"(?<![\w.-])(\d{1,3}(?:\.\d{1,3})?) times\b(?: as \w{3,7})?", r"x\1"),
    ("times", rf"\b({'|'.join(_NUMBERS)}) times\b", lambda match: f"x{_number(match[1])}"),
    ("by", rf"\bby (?:an? |one |(?P<times>two|three)[ -])?(?P<part>{'|'.join(_PARTS)})s?\b", _share),
    (
        "tenth fifth quarter third",
        r"\b(?:first|last|final) (tenth|fifth|quarter|third) of (?:the )?(?:training|run|steps|budget)\b",
        lambda match: f"{_PARTS[match[1].lower()]:.12g}%",
    ),
    ("quarters thirds", r"\b(three[ -]quarters|two[ -]thirds)\b", _fraction),
    ("third eighth tenth", r"\b(?:an?|one)[ -](third|eighth|tenth)\b", _fraction),
    ("cent %", rf"\b({'|'.join(_TENS)})(?= ?(?:per ?cent|%))", lambda match: str(_TENS[match[1].lower()])),
    # "the last two layers", "last-4"
    (
        "layer block",
        rf"\b(last|final|top|first|bottom)[ -](?:of )?({_NUMBER})[ -]{_LAYERS}",
        lambda match: f"{_ENDS[match[1].lower()]}{_number(match[2])}layer ",
    ),
    ("last first", r"\b(last|first)[ -](\d)\b(?=\s?(?:only|$|[,.;)+]))", r"\1\2layer"),
    # "10 layers", "two more layers", "8 heads"
    (
        "layer block",
        rf"(?<![\w.])({_NUMBER})[ -]{_LAYERS} (more|deeper|fewer|less|shallower)\b",
        lambda match: (
            f"{'increase' if match[2] in {'more', 'deeper'} else 'decrease'} depth by {_number(match[1])}"
        ),
    ),
    (
        "layer block",
        (
            r"\b(?:(?P<verb>add(?:ing|ed)?|drop(?:ping|ped)?|remov(?:e|ing|ed)|cut|los(?:e|ing)) )?"
            rf"(?:(?P<before>[a-z]{{2,12}}) )?(?<![\w.])(?P<number>{_NUMBER})[ -]"
            rf"(?:(?P<more>more|extra|additional|fewer|less) )?{_LAYERS}"
        ),
        _layers,
    ),
    (
        "layer block",
        rf"\badd(?:ing|ed)? an? ({'|'.join(_ORDINALS)}) {_LAYERS}",
        lambda match: f"depth {_ORDINALS[match[1].lower()]}",
    ),
    ("gqa", r"\bgqa (\d):1\b", r"kv group size \1"),
    (
        "query",
        r"(?<![\w.])(\d) query heads (?:per|for each|for every) (?:kv|key[/ -]?value) head\b",
        r"kv group size \1",
    ),
    ("heads", rf"(?<![\w.])(?P<number>{_NUMBER})[ -](?:attention |attn |query )?heads\b", _heads),
    (
        "heads",
        r"(?<!kv )(?<!value )\b(?:attention |attn |query )?heads (?=\d|\N{RIGHTWARDS ARROW}|from |:|=)",
        "n head ",
    ),
    ("heads", r"\b(twice|half|double|halve|fewer|more|triple) (?:the )?(?:attention )?heads\b", r"\1 n head"),
    (
        "checkpoints",
        rf"\b(?:averag(?:e|ing)|mean)(?: of)?(?: the)?(?: weights of)? last ({_NUMBER}) checkpoints\b",
        lambda match: f"swa {_number(match[1])}",
    ),
    (
        "predict",
        rf"\bpredict(?:s|ing)? (?:the )?(?:next )?({_NUMBER}) (?:future |next )?tokens(?: ahead)?\b",
        lambda match: f"multi token {_number(match[1])} ",
    ),
)
"""Words of which one has to stand in the text, an expression, and what it is put as."""
