"""Turns of English with one meaning, put as the reader knows them: "two more layers", "cut by a third".

Every expression is bounded and begins at a word, so the time is linear in the length of a text; one is looked
for only where one of its words stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_NUMBERS = {
    word: number
    for number, word in enumerate(
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
        start=1,
    )
}
_NUMBERS |= {"sixteen": 16, "twenty four": 24, "thirty two": 32}
_TENS = {"five": 5, "ten": 10, "fifteen": 15, "twenty five": 25, "twenty": 20, "thirty": 30, "forty": 40}
_TENS |= {"fifty": 50, "sixty": 60, "seventy five": 75, "seventy": 70, "eighty": 80, "ninety": 90}
_PARTS = {"half": 50.0, "third": 100 / 3, "quarter": 25.0, "fourth": 25.0, "fifth": 20.0, "sixth": 100 / 6}
_PARTS |= {"eighth": 12.5, "tenth": 10.0}
_TIMES = {"": 1, "two": 2, "three": 3}
_FRACTIONS = {"three quarters": "3/4", "two thirds": "2/3", "third": "1/3", "eighth": "1/8", "tenth": "1/10"}
_ENDS = {"last": "last", "final": "last", "top": "last", "first": "first", "bottom": "first"}

_NUMBER = rf"\d{{1,3}}|{'|'.join(_NUMBERS)}"
_LAYERS = r"(?:transformer |decoder )?(?:layers?|blocks?)\b"
_SIZE = r"~?\d{1,4}(?:\.\d{1,3})?[MBK]"
_THING = r"(?: (?!(?:to|from|for|on|in|with|by|and|or|of|as|if|at)\b)[\w^-]{1,30}){1,5}"
"""What a verb takes out or off, before its particle."""

_SOME_LAYERS = frozenset(
    {"last", "first", "final", "top", "bottom", "every", "each", "in", "on", "over", "of"}
)
_SOME_LAYERS |= {
    "across",
    "middle",
    "early",
    "late",
    "between",
    "for",
    "all",
    "per",
    "outer",
    "inner",
    "upper",
}
_SOME_LAYERS |= {"lower", "these", "those", "same", "kv", "value"}
"""Words before a number of layers that make it some of them, not how many there are."""

_PUTTING = re.compile(
    r"\b(?:add|appl(?:y|ied)|use|put|insert|introduce|on|share|loop|repeat)\b", re.IGNORECASE
)
_OTHER_HEADS = re.compile(r"\b(?:kv|key|value|mtp|multi.token|predict\w*|gqa|grouped)\b", re.IGNORECASE)

Meaning = str | Callable[[re.Match[str]], str]


def rephrased(text: str) -> str:
    """A text with its turns of phrase put as the reader knows them."""
    lowered = text.lower()
    for words, form, meaning in _PHRASES:
        if any(word in lowered for word in words):
            text, count = form.subn(meaning, text)
            lowered = text.lower() if count else lowered
    return text


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


_TABLE: tuple[tuple[str, str, Meaning], ...] = (
    # "take the softcap out", "turn nesterov off"
    (
        "out off away",
        (
            r"\b(?:tak(?:e|ing|en)|took|leav(?:e|ing)|left|rip(?:ping)?|throw(?:ing)?|pull(?:ing)?"
            rf"|(?:turn|switch)(?:ed|ing)?)({_THING}) (?:out|off|away)\b"
        ),
        r"remove\1",
    ),
    ("on", rf"\b(?:turn|switch)(?:ed|ing)?({_THING}) on(?=\s?(?:[,.;:(]|$))", r"add\1"),
    (
        "favor favour",
        rf"\b(?:drop|ditch|scrap|remove|abandon)(?:p?ed|d|p?ing)?({_THING}) in favou?r of\b",
        r"replace\1 with",
    ),
    # "twice as many", "1.5 times", "by a third", "three quarters"
    (
        "as the",
        r"\b(twice|half|double) (?:as (?:many|wide|large|big|long|fast|much|deep|high|strong)\b|the\b)",
        r"\1",
    ),
    ("times", r"\b(?:one and a half|one point five) times\b", "x1.5"),
    ("times", r"(?<![\w.-])(\d{1,3}(?:\.\d{1,3})?) times\b(?: as \w{3,7})?", r"x\1"),
    ("times", rf"\b({'|'.join(_NUMBERS)}) times\b", lambda match: f"x{_number(match[1])}"),
    ("by", rf"\bby (?:an? |one |(?P<times>two|three)[ -])?(?P<part>{'|'.join(_PARTS)})s?\b", _share),
    ("quarters thirds", r"\b(three[ -]quarters|two[ -]thirds)\b", _fraction),
    ("third eighth tenth", r"\b(?:an?|one)[ -](third|eighth|tenth)\b", _fraction),
    ("cent %", rf"\b({'|'.join(_TENS)})(?= ?(?:per ?cent|%))", lambda match: str(_TENS[match[1].lower()])),
    # "the last two layers", "last-4"
    (
        "layer block",
        rf"\b(last|final|top|first|bottom)[ -](?:of )?({_NUMBER})[ -]{_LAYERS}",
        lambda match: f"{_ENDS[match[1].lower()]}{_number(match[2])}layer ",
    ),
    ("last first", r"\b(last|first)[ -](\d)\b(?! ?(?:%|steps|percent|tokens|iter|min|sec))", r"\1\2layer"),
    # "10 layers", "two more layers", "8 heads"
    (
        "layer block",
        (
            r"\b(?:(?P<verb>add(?:ing|ed)?|drop(?:ping|ped)?|remov(?:e|ing|ed)|cut|los(?:e|ing)) )?"
            rf"(?:(?P<before>[a-z]{{2,12}}) )?(?<![\w.])(?P<number>{_NUMBER})[ -]"
            rf"(?:(?P<more>more|extra|additional|fewer|less) )?{_LAYERS}"
        ),
        _layers,
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
    # without
    ("ungated", r"\bungated\b", "no gate"),
    ("non", r"\bnon[ -](?=[a-z]{4})", "no "),
    ("-free -less", r"\b([a-z]{3,20})-(?:free|less)\b", r"no \1"),
    # what comes of an edit: "222M -> 281M params", "3% of the peak LR"
    ("param", rf"(?:{_SIZE}\s?(?:\N{{RIGHTWARDS ARROW}}|to)\s?)?{_SIZE} ?(?:params|parameters)\b", " "),
    ("%", r"(?<=%) of (?:the )?(?:peak|max|maximum|initial|base)(?: lr| learning[ -]rate| value)?\b", ""),
    # one spelling
    ("place of", r"\bin place of\b", "instead of"),
    ("with", r"\b(?:together|along|in combination|combined|paired|jointly) with\b", "and"),
    ("in addition", r"\bin addition to\b", "on top of"),
    ("each", r"\beach (head|channel|layer)(?:'s)?\b", r"per \1"),
    ("sqrt square", r"\b(?:1|one) ?(?:-|minus) ?(?:the )?(?:sqrt|square root)\b", "oneminussqrt"),
    ("sqrt", r"\bsqrt\(\s?1/", "1/sqrt("),
    ("sqrt(layer", r"\bsqrt\(layer", "sqrt(per layer"),
    ("betas", r"\b(betas[^\d(]{0,12})(0?\.\d{1,4})\s?[/,]\s?(0?\.\d{1,4})", r"\1(\2, \3)"),
    ("polar", r"\bpolar express (?:with |at |for )?(\d)[ -](iterations|steps)\b", r"\1 polar express \2"),
    ("decay", r"(?<!weight )(?<!wd )\bdecay(?:s|ing|ed)? (?:down )?to (?=\d|zero)", "final lr "),
    ("learn", r"(?<!to )\blearn(?:s|ing)? (?=at \d|twice|half|faster|slower|x\d|\d)", "learning rate "),
    ("proj", r"\b(?:keys?|k) (?:and|&|/) (?:values?|v)\b(?= proj)", "k projection v projection"),
    (
        "predict",
        rf"\bpredict(?:s|ing)? (?:the )?(?:next )?({_NUMBER}) (?:future |next )?tokens(?: ahead)?\b",
        lambda match: f"multi token {_number(match[1])} ",
    ),
    ("at", r"\b(?:ending|ends|end|finishing|bottoming out) at (?=\d|zero)", "final lr "),
    ("top", r"\btop[ -]?(?=\d\b)", "top k "),
    ("context", r"\bcontext (?=(?:to|from|of)? ?\d|\N{RIGHTWARDS ARROW}|=|:)", "context length "),
    (
        "context",
        (
            r"\b(doubl\w{1,3}|halv\w{1,3}|tripl\w{1,3}|longer|shorter|extend|lengthen|shorten|increase|decrease"
            r"|reduce|raise|cut)( the)? (?:training )?context\b(?! (?:len|window|size))"
        ),
        r"\1 context length",
    ),
    ("context", r"(?<![\w./])(\d{1,6}k?i?)(?:[ -]tokens?)?(?: of)? context\b(?! length)", r"seq len \1"),
)
"""Words of which one has to stand in the text, an expression, and what it is put as."""

_WHOLE = frozenset({"place of", "in addition"})
_PHRASES = tuple(
    ((words,) if words in _WHOLE else tuple(words.split()), re.compile(form, re.IGNORECASE), meaning)
    for words, form, meaning in _TABLE
)
