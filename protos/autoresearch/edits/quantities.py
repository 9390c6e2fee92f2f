"""Values as people write them in words: ``2^18``, ``262K``, ``5 %``, ``262,144``, ``cosine``.

Everything that is Python is evaluated as Python. On top of it come the spellings that hypotheses use.
K and M count tokens and batch sizes here, which are powers of two far more often than of ten:

- a power of two, or a whole multiple of 16, counts in 1,024s: 256K = 262144, 96K = 98304, 0.5M = 524288;
- else digits that are a rounded or cut ``m * 2**k`` mean that number: 262K = 262144, 131K = 131072,
  98K = 98304, 1.05M = 1048576;
- else they are decimal: 500K = 500000, 1.5M = 1500000, 3K = 3000.
"""

from __future__ import annotations

import ast
import re
from decimal import Decimal
from fractions import Fraction

from autoresearch.edits.source import EditError, parse_expression
from autoresearch.edits.values import (
    Group,
    Lookup,
    NotConstant,
    Opaque,
    Value,
    evaluate,
    no_names,
)
from autoresearch.model import CHANGE_TEXT_LIMIT_CHARS

_WHOLE = r"(?:\d{1,3}(?:,\d{3})+|\d[\d_]{0,30})"
_DIGITS = rf"[-+]?(?:{_WHOLE}(?:\.\d{{1,30}})?|\.\d{{1,30}})(?:[eE][-+]?\d{{1,3}})?"
_QUANTITY = re.compile(rf"(?P<digits>{_DIGITS})\s?(?P<unit>%|per ?cent|[kK]i?|Mi?)?", re.ASCII)
_TYPOGRAPHY = str.maketrans(
    {"\N{MINUS SIGN}": "-", "\N{MULTIPLICATION SIGN}": "*", "\N{NO-BREAK SPACE}": " "}
)
_SWITCHES = {"true": True, "on": True, "yes": True, "enabled": True}
_SWITCHES |= {"false": False, "off": False, "no": False, "disabled": False}
_SNAP_ODD_PARTS = (1, 3, 5, 7)
_SNAP_MAX = 10**9
_QUANTITY_MAX = 1e300
_UNKNOWN = -1


def parse_value(text: str, *, like: Value | None = None, lookup: Lookup = no_names) -> Value:
    """The value that a stated text means.

    Args:
        text: What the hypothesis says, at most ``CHANGE_TEXT_LIMIT_CHARS``.
        like: The value that it replaces, which settles words that could be two things.
        lookup: Values of the names that an expression may refer to.

    Returns:
        The value; `Opaque` with normalised text where only running code would tell.

    Raises:
        EditError: The text is empty or too long.
    """
    text = text.strip().strip("`").strip()
    if not text:
        raise EditError("a change states an empty value; write the value as in the source")
    if len(text) > CHANGE_TEXT_LIMIT_CHARS:
        raise EditError(f"a stated value is over {CHANGE_TEXT_LIMIT_CHARS:,} characters; shorten it")
    quantity = parse_quantity(text)
    if quantity is not None and not (isinstance(like, Group) and "," in text):
        return quantity
    word = _word(text, like)
    if word is not None:
        return word
    text = _as_python(text)
    try:
        tree = parse_expression(text, 4 * CHANGE_TEXT_LIMIT_CHARS)
    except EditError:
        return text if isinstance(like, str) else Opaque(text=" ".join(text.split()))
    return _expression(tree, text, like, lookup)


def names_in(text: str) -> frozenset[str]:
    """The names that a stated text refers to, if it is an expression."""
    try:
        tree = parse_expression(_as_python(text.strip().strip("`").strip()), 4 * CHANGE_TEXT_LIMIT_CHARS)
    except EditError:
        return frozenset()
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def parse_quantity(text: str) -> int | Decimal | None:
    """The number that a text is, with its unit; None when it is not just a number."""
    match = _QUANTITY.fullmatch(text.translate(_TYPOGRAPHY).strip())
    if match is None:
        return None
    digits, unit = match["digits"].replace(",", "").replace("_", ""), (match["unit"] or "").lower()
    if not unit and digits.lstrip("+-").isdigit():
        return int(digits)
    if abs(float(digits)) > _QUANTITY_MAX:
        return None
    number = Fraction(digits)
    if unit.startswith(("k", "m")):
        return _scaled(number, 1000 if unit[0] == "k" else 1000**2, decimals=_decimals(digits))
    return _as_float(number / 100 if unit else number)


def _as_python(text: str) -> str:
    return text if text[:1] in {"'", '"'} else text.translate(_TYPOGRAPHY).replace("^", "**")


def _word(text: str, like: Value | None) -> Value | None:
    """A switch word for a bool; None where the text is something else."""
    switch = _SWITCHES.get(text.lower())
    is_python = text.lower() in {"true", "false"} and not isinstance(like, str)
    return switch if isinstance(like, bool) or is_python else None


def _expression(tree: ast.expr, text: str, like: Value | None, lookup: Lookup) -> Value:
    try:
        return evaluate(tree, lookup)
    except NotConstant:
        pass
    if isinstance(tree, ast.Name):  # a bare word that names no constant: gelu, cosine
        return None if text.lower() in {"null", "none"} else text
    if isinstance(like, str):
        return text
    return Opaque(text=_unparsed(tree, text))


def _unparsed(tree: ast.expr, text: str) -> str:
    try:
        return ast.unparse(tree)
    except ValueError:  # an f-string that only the spelling at hand can express
        return " ".join(text.split())


def _as_float(number: Fraction) -> Decimal:
    return Decimal(repr(float(number)))


def _decimals(digits: str) -> int:
    """Digits after the point as written; an exponent takes the spelling out of reach of snapping."""
    return _UNKNOWN if "e" in digits.lower() else len(digits.partition(".")[2])


def _scaled(number: Fraction, unit: int, *, decimals: int) -> int | Decimal:
    """``number`` thousands or millions, binary where that is what is meant."""
    size = abs(number)
    meant: Fraction | int = size * unit
    if _is_binary(size):
        meant = size * (1024 if unit == 1000 else 1024**2)  # noqa: PLR2004
    elif decimals != _UNKNOWN:
        meant = _snapped(size, unit, decimals) or meant
    signed = meant if number >= 0 else -meant
    return int(signed) if signed == int(signed) else _as_float(Fraction(signed))


def _is_binary(size: Fraction) -> bool:
    top, bottom = size.as_integer_ratio()
    is_power = size > 0 and top & (top - 1) == 0 and bottom & (bottom - 1) == 0
    return is_power or (bottom == 1 and top > 0 and top % 16 == 0)


def _snapped(size: Fraction, unit: int, decimals: int) -> int | None:
    """The ``m * 2**k`` that rounds or cuts to the digits as written, if they are digits enough."""
    scale = 10**decimals
    shown = int(size * scale)
    if shown < 10 or size >= _SNAP_MAX:  # noqa: PLR2004 - one digit says too little to tell 5K from 5120
        return None
    for odd in _SNAP_ODD_PARTS:
        # Two digits are enough for powers of two (65K) and, where they are not round, for 3 * 2**k (98K).
        if shown < 100 and odd > 1 and (shown % 5 == 0 or odd > 3):  # noqa: PLR2004
            continue
        for shift in range(10, 41):
            exact = Fraction(odd << shift, unit) * scale
            if shown in (int(exact), int(exact + Fraction(1, 2))):
                return odd << shift
    return None
