"""A description as tokens: words in one spelling, amounts with their values, marks.

One regular expression without nested repetition reads the text from left to right, so the time is linear
in its length, which is capped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum, auto

from autoresearch.edits.quantities import parse_quantity
from autoresearch.edits.words.spelling import ARROW, respelled, spelled

TOKENS_LIMIT = 400

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,30})(?:\.\d{1,30})?|\.\d{1,30}"
_NUMBER = rf"(?:{_DIGITS})(?:[eE][-+]?\d{{1,3}})?"
_DURATION = r"(?:ms|s|secs?|seconds?|mins?|minutes?|h|hours?|[GMk]i?B|pp|bits?)"
_WINDOWS = (
    rf"(?!LS(?![SL])(?!\s?(?:[\"']|{ARROW})))"  # label smoothing
    r"(?:[SL]{2,24}|(?<=[\"'=])[SL](?=[\"'\s,.;)]|$))(?![A-Za-z0-9])"
)
_TOKEN = re.compile(
    rf"(?P<power>2\s?(?:\*\*|\^)\s?(?P<exponent>\d{{1,2}})\b)"
    rf"|(?P<tuple>\(\s?[-+]?(?:{_NUMBER})\s?(?:,\s?[-+]?(?:{_NUMBER})\s?){{1,7}}\))"
    rf"|(?P<ratio>\b\d{{1,4}}:\d{{1,4}}\b)"
    rf"|(?P<duration>(?<![\w.])\d[\d.,]{{0,12}}\s?(?:-\s?)?{_DURATION}\b)"
    rf"|(?P<fraction>(?<![\w./])\d{{1,4}}(?:\.\d{{1,4}})?/\d{{1,4}}(?![\w./]))"
    rf"|(?P<percent>(?<![\w.])(?P<sign>[-+])?(?P<share>{_NUMBER})\s?(?:%|pct\b|per ?cent\b))"
    rf"|(?P<factor>(?<![\w.])(?:[xX*]\s?(?!0(?![.\d]))(?P<times>{_NUMBER})(?![\w%])"
    rf"|(?P<multiple>{_NUMBER})\s?(?:[xX](?!\w)|\*(?![*\d]))))"
    rf"|(?P<number>(?:(?<![\w.)])[-+])?(?:{_NUMBER})(?:[kKM]i?(?![\w]))?)"
    rf"|(?P<arrow>{ARROW})"
    rf"|(?P<pattern>(?<![A-Za-z0-9]){_WINDOWS})"
    rf"|(?P<word>[A-Za-z][A-Za-z0-9]{{0,40}})"
    rf"|(?P<dash>(?<=\s)(?:-{{1,2}}|\N{{EN DASH}})(?=\s)|\N{{EM DASH}})"
    rf"|(?P<stop>[.?!](?=\s|$))"
    rf"|(?P<mark>[()\[\]{{}},;:=+&|/])"
)
_FIXED_POINT_DIGITS = 30
_FRACTION_DIGITS = 12


class Kind(Enum):
    """What a token is."""

    WORD = auto()
    NUMBER = auto()
    PERCENT = auto()
    FACTOR = auto()
    TUPLE = auto()
    PATTERN = auto()
    ARROW = auto()
    DASH = auto()
    MARK = auto()


AMOUNTS = frozenset({Kind.NUMBER, Kind.PERCENT, Kind.FACTOR, Kind.TUPLE, Kind.PATTERN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token.

    Attributes:
        kind: What it is.
        text: A word in its one spelling, a mark, or an amount as written.
        value: Canonical value of an amount, comma-separated for a tuple.
        plain: The value where K counts thousands.
        is_signed: A percentage that says whether more or less.
    """

    kind: Kind
    text: str
    value: str = ""
    plain: str = ""
    is_signed: bool = False


def tokenise(text: str) -> list[Token]:
    """The first ``TOKENS_LIMIT`` tokens of the first ``TEXT_LIMIT_CHARS`` of a text."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(respelled(text)):
        token = _READERS[match.lastgroup or ""](match)
        if token is not None:
            tokens.append(token)
        if len(tokens) == TOKENS_LIMIT:
            break
    return tokens


def canonical(value: Decimal) -> str:
    """One spelling for each number, whether it is whole or not."""
    if not value:
        return "0"
    value = value.normalize()
    return format(value, "f") if abs(value.adjusted()) < _FIXED_POINT_DIGITS else str(value)


def number_of(value: str) -> Decimal | None:
    """The number that a canonical value is; None for a word or a tuple."""
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _decimal(digits: str) -> Decimal:
    return Decimal(digits.replace(",", ""))


def _amount(kind: Kind, text: str, value: Decimal, *, is_signed: bool = False) -> Token:
    shown = canonical(value)
    return Token(kind=kind, text=text, value=shown, plain=shown, is_signed=is_signed)


def _power(match: re.Match[str]) -> Token:
    return _amount(Kind.NUMBER, match[0], Decimal(2) ** int(match["exponent"]))


def _tuple(match: re.Match[str]) -> Token:
    parts = [canonical(_decimal(part)) for part in re.findall(rf"[-+]?(?:{_NUMBER})", match[0])]
    return Token(kind=Kind.TUPLE, text=match[0], value=",".join(parts))


def _fraction(match: re.Match[str]) -> Token | None:
    top, _, bottom = match[0].partition("/")
    if not int(bottom):
        return None
    return _amount(Kind.NUMBER, match[0], round(Decimal(top) / int(bottom), _FRACTION_DIGITS))


def _percent(match: re.Match[str]) -> Token:
    share = _decimal(match["share"]) / 100
    signed = -share if match["sign"] == "-" else share
    return _amount(Kind.PERCENT, match[0], signed, is_signed=match["sign"] is not None)


def _factor(match: re.Match[str]) -> Token:
    return _amount(Kind.FACTOR, match[0], _decimal(match["times"] or match["multiple"]))


def _number(match: re.Match[str]) -> Token | None:
    text = match[0]
    value = parse_quantity(text)
    if value is None:
        return None
    thousands = {"k": 1_000, "m": 1_000_000}.get(text[-1].lower())  # "Ki" is exact
    plain = Decimal(value) if thousands is None else _decimal(text[:-1]) * thousands
    return Token(kind=Kind.NUMBER, text=text, value=canonical(Decimal(value)), plain=canonical(plain))


def _pattern(match: re.Match[str]) -> Token:
    return Token(kind=Kind.PATTERN, text=match[0], value=match[0])


def _word(match: re.Match[str]) -> Token:
    return Token(kind=Kind.WORD, text=spelled(match[0]))


_READERS: dict[str, Callable[[re.Match[str]], Token | None]] = {
    "word": _word,
    "power": _power,
    "tuple": _tuple,
    "ratio": lambda _: None,
    "duration": lambda _: None,
    "fraction": _fraction,
    "percent": _percent,
    "factor": _factor,
    "number": _number,
    "pattern": _pattern,
    "arrow": lambda _: Token(kind=Kind.ARROW, text="->"),
    "dash": lambda _: Token(kind=Kind.DASH, text="-"),
    "stop": lambda _: Token(kind=Kind.MARK, text="."),
    "mark": lambda match: Token(kind=Kind.MARK, text=match[0]),
}
"""How each alternative of the expression is read; what is left out is no part of an edit."""
