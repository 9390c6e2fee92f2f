"""The numeric UPPERCASE constants of a ``train.py``: finding them, writing them, and how far they may go.

Only the value's own characters are rewritten, so comments, spacing and everything else stay as they were.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

KNOBS_LIMIT = 256
EXPRESSION_NODES_LIMIT = 40
EXPONENT_LIMIT = 64
POWER_OF_TWO_MIN = 16
FRACTION_SPAN = 0.5
FRACTION_EDGE = 0.03
"""Keeps the odds of 0 and 1 finite: next to them, this much is a step worth taking."""

NEAR_SPANS = 1.2
NEAR_COUNT = 2.0
CAP_MAX = 100.0

_UPPERCASE = re.compile(r"[A-Z][A-Z0-9_]*")
_NOT_FOR_SEARCH = re.compile(
    r"(^|_)(SEED|DEVICE|LOG|EVAL|VERSION|PRINT|DEBUG|EPS|EPSILON|VOCAB|PORT|RANK)(_|$|S$)"
)
_FRACTION_NAME = re.compile(
    r"(^|_)(BETA\d?|BETAS|MOMENTUM|DROPOUT|RATIO|FRAC|FRACTION|PERCENT|PROB|WARMUP|WARMDOWN|COOLDOWN|DECAY_FROM|EMA)(_|$|S$)"
)
_SIZE_NAME = re.compile(r"(^|_)(BATCH|DIM|SIZE|WIDTH|LEN|TOKENS)(_|$)")
_CAP_NAME = re.compile(r"(SOFTCAP|(^|_)CAP|CLIP)(_|$)")
_COUNT_NAME = re.compile(r"(^|_)(DEPTH|LAYERS?|N_LAYERS?|HEADS?|N_HEADS?|STEPS|NUM|EVERY|REPEATS?)(_|$|S$)")


class KnobError(ValueError):
    """A source cannot be read or a constant cannot be set; the message says which."""


class KnobKind(StrEnum):
    """How a value may move."""

    POWER_OF_TWO = "power_of_two"
    COUNT = "count"
    INTEGER = "integer"
    FRACTION = "fraction"
    NEAR_ONE = "near_one"
    SCALE = "scale"


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """One constant: its value, its text, and where the text stands (UTF-8 byte offsets of the source)."""

    name: str
    value: float
    text: str
    begin: int
    end: int
    is_integer: bool

    @property
    def kind(self) -> KnobKind:
        """How the value may move, guessed from its type, size and name."""
        if self.is_integer:
            return self._integer_kind()
        if 0.8 <= self.value < 1.0 and not re.search(r"(^|_)LR(_|$)", self.name):  # noqa: PLR2004
            return KnobKind.NEAR_ONE
        if 0.0 <= self.value <= 1.0 and _FRACTION_NAME.search(self.name):
            return KnobKind.FRACTION
        return KnobKind.SCALE

    @property
    def is_cap(self) -> bool:
        """True for a ceiling on something, which is switched off at zero and never small."""
        return _CAP_NAME.search(self.name) is not None

    def _integer_kind(self) -> KnobKind:
        whole = int(self.value)
        is_power = whole > 0 and whole & (whole - 1) == 0
        if is_power and _SIZE_NAME.search(self.name):  # HEAD_DIM is a size, HEADS a count
            return KnobKind.POWER_OF_TWO
        if _COUNT_NAME.search(self.name):
            return KnobKind.COUNT
        if is_power and whole >= POWER_OF_TWO_MIN:
            return KnobKind.POWER_OF_TWO
        return KnobKind.COUNT if abs(whole) < POWER_OF_TWO_MIN else KnobKind.INTEGER

    def bounds(self) -> tuple[float, float]:
        """The sane range: wide enough to find an optimum, too narrow for nonsense."""
        value = self.value
        match self.kind:
            case KnobKind.POWER_OF_TWO:
                return max(1.0, value / 16), value * 16
            case KnobKind.COUNT:
                return (1.0 if value >= 1 else 0.0), max(4.0, value * 3)
            case KnobKind.INTEGER:
                return max(1.0, value / 8), max(8.0, value * 8)
            case KnobKind.NEAR_ONE:
                return FRACTION_SPAN, 0.9999
            case KnobKind.FRACTION:
                return 0.0, 1.0
            case KnobKind.SCALE:
                low, high = sorted((value / 30, value * 30))
                return (low, high) if value else (0.0, CAP_MAX if self.is_cap else 1.0)

    def place(self, value: float) -> float:
        """Where a value stands on the knob's scale, on which steps of equal size mean equal things.

        Logarithms of sizes and rates, of what is left to one, and of the odds of a fraction.
        """
        match self.kind:
            case KnobKind.SCALE | KnobKind.POWER_OF_TWO | KnobKind.INTEGER:
                return math.log(max(value, 1e-30))
            case KnobKind.NEAR_ONE:
                return -math.log(max(1.0 - value, 1e-9))
            case KnobKind.FRACTION:
                return math.log((value + FRACTION_EDGE) / (1.0 - value + FRACTION_EDGE))
            case KnobKind.COUNT:
                return value

    def value_at(self, place: float) -> float:
        """The value at a place of the knob's scale."""
        match self.kind:
            case KnobKind.SCALE | KnobKind.POWER_OF_TWO | KnobKind.INTEGER:
                return math.exp(place)
            case KnobKind.NEAR_ONE:
                return 1.0 - math.exp(-place)
            case KnobKind.FRACTION:
                odds = math.exp(place)
                return (odds * (1.0 + FRACTION_EDGE) - FRACTION_EDGE) / (1.0 + odds)
            case KnobKind.COUNT:
                return place

    def near(self) -> tuple[float, float]:
        """Places around the present value that a tuned constant is likely to be improved within."""
        low, high = sorted(map(self.place, self.bounds()))
        here = min(max(self.place(self.value), low), high)
        span = NEAR_COUNT if self.kind is KnobKind.COUNT else NEAR_SPANS
        return max(low, here - span), min(high, here + span)


def read_knobs(source: str) -> dict[str, Knob]:
    """The numeric module constants of a source by name, in order of appearance.

    A tuple of numbers gives one knob per element, named ``BETAS[0]``. A name that is assigned twice is left
    out, since changing one place would not change the value that counts.

    Raises:
        KnobError: The source is not Python.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise KnobError(f"the parent's train.py is not Python ({error})") from error
    raw = source.encode()
    starts = _line_starts(raw)
    found: dict[str, Knob] = {}
    repeated: set[str] = set()
    for name, expression in _assignments(tree):
        if name in found:
            repeated.add(name)
        for label, part in _parts(name, expression):
            value = _number(part)
            if value is None or len(found) >= KNOBS_LIMIT:
                continue
            begin, end = _span(part, starts)
            text = raw[begin:end].decode(errors="replace")
            if value_of(text) != float(value):
                continue  # the positions do not hold (a byte order mark): leave it alone
            found[label] = Knob(
                name=label,
                value=float(value),
                text=text,
                begin=begin,
                end=end,
                is_integer=isinstance(value, int),
            )
    return {label: knob for label, knob in found.items() if label.partition("[")[0] not in repeated}


def searchable(knobs: Mapping[str, Knob]) -> dict[str, Knob]:
    """Those worth turning: no seeds, no logging, nothing that is not a training choice."""
    return {
        name: knob
        for name, knob in knobs.items()
        if not _NOT_FOR_SEARCH.search(name.partition("[")[0]) and math.isfinite(knob.value)
    }


def set_knobs(source: str, texts: Mapping[str, str]) -> str:
    """The source with the given constants rewritten, every other byte unchanged.

    Raises:
        KnobError: A constant is not there, or the result would not hold what was asked.
    """
    knobs = read_knobs(source)
    missing = sorted(set(texts) - set(knobs))
    if missing:
        raise KnobError(f"the parent's train.py has no numeric constant {', '.join(missing)}")
    raw = source.encode()
    for name in sorted(texts, key=lambda name: knobs[name].begin, reverse=True):
        knob = knobs[name]
        raw = raw[: knob.begin] + texts[name].encode() + raw[knob.end :]
    edited = raw.decode()
    after = read_knobs(edited)
    for name, text in texts.items():
        if name not in after or after[name].text != text:
            raise KnobError(f"{name} cannot be set to {text!r} in place")
    return edited


def value_of(text: str) -> float | None:
    """The number that a constant's text stands for, or None."""
    try:
        value = _number(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return None if value is None else float(value)


def format_value(knob: Knob, value: float) -> str:
    """``value`` in the manner in which the constant is written: whole, a power of two, or short decimals."""
    if knob.is_integer:
        whole = round(value)
        if re.fullmatch(r"2\s*\*\*\s*\d+", knob.text) and whole > 1 and whole & (whole - 1) == 0:
            return f"2**{whole.bit_length() - 1}"
        return f"{whole:_}" if "_" in knob.text and whole >= 10_000 else str(whole)  # noqa: PLR2004
    text = f"{value:.4g}"
    return text if "e" in text or "." in text else f"{text}.0"


def round_value(knob: Knob, value: float) -> float:
    """The nearest value that a person would have written, within the knob's bounds."""
    low, high = knob.bounds()
    value = min(max(value, low), high)
    match knob.kind:
        case KnobKind.POWER_OF_TWO:
            return float(2 ** round(math.log2(max(value, 1.0))))
        case KnobKind.COUNT:
            return float(round(value))
        case KnobKind.INTEGER:
            return float(round(_significant(value, 2)))
        case KnobKind.NEAR_ONE:
            return round(1.0 - _significant(1.0 - value, 1), 6)
        case KnobKind.FRACTION:
            return round(_significant(value, 2), 3)
        case KnobKind.SCALE:
            return _significant(value, 2)


def _assignments(tree: ast.Module) -> list[tuple[str, ast.expr]]:
    pairs: list[tuple[str, ast.expr]] = []
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        else:
            continue
        if isinstance(target, ast.Name) and _UPPERCASE.fullmatch(target.id):
            pairs.append((target.id, value))
    return pairs


def _parts(name: str, expression: ast.expr) -> list[tuple[str, ast.expr]]:
    if isinstance(expression, ast.Tuple):
        return [(f"{name}[{index}]", part) for index, part in enumerate(expression.elts)]
    return [(name, expression)]


def _number(expression: ast.expr) -> int | float | None:
    """The value of an expression of literals, or None; never runs anything."""
    if sum(1 for _ in ast.walk(expression)) > EXPRESSION_NODES_LIMIT:
        return None
    try:
        value: int | float | None = _evaluate(expression)
    except (ArithmeticError, ValueError, TypeError):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or abs(value) < 2**EXPONENT_LIMIT else None


def _evaluate(node: ast.expr) -> Any:
    """An int, a float or None; None for whatever is more than literals and arithmetic."""
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _evaluate(operand)
            return None if inner is None else -inner
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _OPERATIONS:
            sides = _evaluate(left), _evaluate(right)
            if sides[0] is None or sides[1] is None:
                return None
            return _OPERATIONS[type(operation)](sides[0], sides[1])
    return None


def _power(base: float, exponent: float) -> float:
    if abs(exponent) > EXPONENT_LIMIT or abs(base) > 2**EXPONENT_LIMIT:
        raise ValueError("a power too large to be a training constant")
    value = base**exponent
    if not isinstance(value, int | float):
        raise ValueError("not a real number")  # noqa: TRY004 - the caller reads ValueError as "no number"
    return value


_OPERATIONS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: _power,
}


def _line_starts(raw: bytes) -> list[int]:
    """Byte offset of each line as the parser counts lines: ended by LF, CR LF or CR alone."""
    starts = [0]
    starts += [match.end() for match in re.finditer(rb"\r\n|\r|\n", raw)]
    return starts


def _span(node: ast.expr, starts: list[int]) -> tuple[int, int]:
    last_line = node.end_lineno or node.lineno
    last_column = node.end_col_offset if node.end_col_offset is not None else node.col_offset
    return starts[node.lineno - 1] + node.col_offset, starts[last_line - 1] + last_column


def _significant(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}") if value else 0.0
