"""Canonical values: what a constant expression is worth, however it is spelled.

An expression is evaluated on its syntax tree, never by the interpreter. Integers are exact. Floats are
decimals of their shortest spelling, computed to 40 digits and read back at double precision, so that
``0.1 * 3``, ``0.3``, ``3e-1`` and ``30 %`` agree while any two different floats stay different. An int
and a float of the same size are different values here (``range(8.0)`` fails); ``widened`` gives an int
the type of the float that it replaces.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, DivisionByZero, InvalidOperation, Overflow
from typing import Final, Literal

BITS_LIMIT = 2_048
"""Size of an integer that is still computed with; larger ones stay as they are written."""

TEXT_LIMIT_CHARS = 1_024
"""Size of a string that arithmetic may make; literals may be longer."""

LEAVES_LIMIT = 256
"""Scalars inside one tuple, list or dict, counted through references, so that doubling ends early."""

_CONTEXT = Context(prec=40, Emax=400, Emin=-400, traps=[InvalidOperation, DivisionByZero, Overflow])


class NotConstant(Exception):
    """The expression has no value that can be known without running it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A tuple, list or dict of values; ``keys`` are canonical texts, positions for the first two."""

    kind: Literal["tuple", "list", "dict"]
    keys: tuple[str, ...]
    parts: tuple[Value, ...]

    def has_shape_of(self, other: Value) -> bool:
        """True when both have the same kinds and keys all the way down: only scalars differ."""
        return (
            isinstance(other, Group)
            and (self.kind, self.keys) == (other.kind, other.keys)
            and all(map(_have_one_shape, self.parts, other.parts))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque:
    """A stated value that only running the code would tell, as normalised text."""

    text: str


Value = bool | int | Decimal | str | None | Group | Opaque
Lookup = Callable[[str], Value]
"""The value of a name; raises `NotConstant` when it has none."""


def no_names(name: str) -> Value:
    """The lookup of an expression that may refer to nothing."""
    raise NotConstant(name)


def evaluate(node: ast.expr, lookup: Lookup = no_names) -> Value:
    """The value of a constant expression.

    Args:
        node: Tree from `source.parse_source` or `source.parse_expression`, hence of bounded depth.
        lookup: Values of the names that the expression may refer to.

    Returns:
        Its value, never `Opaque`.

    Raises:
        NotConstant: The value depends on running code, or is too large to be computed here.
    """
    return _settled(_evaluate(node, lookup))


def canonical_text(value: Value) -> str:
    """One spelling per value, itself valid source text (but for `Opaque`, whose text is kept)."""
    match value:
        case None | bool():
            return str(value)
        case int():
            return str(value) if value.bit_length() <= BITS_LIMIT else hex(value)
        case Decimal():
            return repr(float(value)) if value else "0.0"
        case str():
            return ascii(value)
        case Opaque():
            return value.text
        case Group():
            return _group_text(value)


def widened(value: Value, like: Value) -> Value:
    """``value`` in the type of ``like`` where that loses nothing: an int as a float, a list as a tuple."""
    if isinstance(value, int) and not isinstance(value, bool) and isinstance(like, Decimal):
        return _float(Decimal(value))
    if isinstance(value, Group) and isinstance(like, Group) and value.keys == like.keys:
        are_sequences = "dict" not in {value.kind, like.kind}
        parts = tuple(map(widened, value.parts, like.parts))
        return Group(kind=like.kind if are_sequences else value.kind, keys=value.keys, parts=parts)
    return value


def components(name: str, value: Value) -> Iterator[tuple[str, Value]]:
    """Scalars of a value under their own names: ``BETAS[0]``, ``BETAS[1]``; a scalar is its own."""
    if not isinstance(value, Group) or not value.parts:
        yield name, value
        return
    for key, part in zip(value.keys, value.parts, strict=True):
        yield from components(f"{name}[{key}]", part)


def leaves(value: Value) -> int:
    """How many scalars a value holds; an empty group counts as one."""
    return max(1, sum(map(leaves, value.parts))) if isinstance(value, Group) else 1


def is_shareable(value: Value) -> bool:
    """True when a second name for the value can never see it change."""
    if isinstance(value, Group):
        return value.kind == "tuple" and all(map(is_shareable, value.parts))
    return not isinstance(value, Opaque)


def _evaluate(node: ast.expr, lookup: Lookup) -> Value:  # noqa: PLR0911 - one for each kind of node
    match node:
        case ast.Constant(value=literal):
            return _literal(literal)
        case ast.Name(id=name):
            value = lookup(name)
            if not is_shareable(value):
                raise NotConstant(name)
            return value
        case ast.UnaryOp(op=op, operand=operand):
            return _unary(op, _evaluate(operand, lookup))
        case ast.BinOp(left=left, op=op, right=right):
            return _binary(op, _evaluate(left, lookup), _evaluate(right, lookup))
        case ast.Tuple(elts=elements):
            return _sequence("tuple", elements, lookup)
        case ast.List(elts=elements):
            return _sequence("list", elements, lookup)
        case ast.Dict(keys=keys, values=parts):
            return _dict(keys, parts, lookup)
        case ast.Subscript(value=ast.Name() as base, slice=index):
            return _component(_evaluate(base, lookup), _evaluate(index, lookup))
        case _:
            raise NotConstant


def _have_one_shape(one: Value, other: Value) -> bool:
    if isinstance(one, Group):
        return one.has_shape_of(other)
    return not isinstance(other, Group)


def _literal(literal: object) -> Value:
    if literal is None or isinstance(literal, bool | str):
        return literal
    if isinstance(literal, int) and literal.bit_length() <= BITS_LIMIT:
        return literal
    if isinstance(literal, float) and abs(literal) != float("inf"):
        return Decimal(repr(literal))
    raise NotConstant


def _unary(op: ast.unaryop, value: Value) -> Value:
    if isinstance(value, bool):
        if isinstance(op, ast.Not):
            return not value
    elif isinstance(value, int | Decimal):
        match op:
            case ast.USub():
                return _CONTEXT.minus(value) if isinstance(value, Decimal) else -value
            case ast.UAdd():
                return value
            case ast.Invert() if isinstance(value, int):
                return ~value
    raise NotConstant


def _binary(op: ast.operator, left: Value, right: Value) -> Value:
    if isinstance(left, bool) and isinstance(right, bool):
        raise NotConstant  # bit operations would give a bool, arithmetic an int; nobody means either
    left = int(left) if isinstance(left, bool) else left
    right = int(right) if isinstance(right, bool) else right
    match left, right:
        case int(), int():
            return _int_binary(op, left, right)
        case ((int() | Decimal()), (int() | Decimal())):
            return _decimal_binary(op, Decimal(left), Decimal(right))
        case str(), str() if isinstance(op, ast.Add) and len(left) + len(right) <= TEXT_LIMIT_CHARS:
            return left + right
        case str(), int() if isinstance(op, ast.Mult) and len(left) * right <= TEXT_LIMIT_CHARS:
            return left * right
        case _:
            raise NotConstant


_INT_ARITHMETIC: Final[dict[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.Pow: operator.pow,
}


def _int_binary(op: ast.operator, left: int, right: int) -> Value:
    """Integer arithmetic, refused before it would make a large number."""
    if isinstance(op, ast.Div) or (isinstance(op, ast.Pow) and right < 0):
        return _decimal_binary(op, Decimal(left), Decimal(right))
    is_too_large = isinstance(op, ast.Pow) and left.bit_length() * right > BITS_LIMIT
    is_too_large |= isinstance(op, ast.LShift) and left.bit_length() + right > BITS_LIMIT
    compute = _INT_ARITHMETIC.get(type(op))
    if compute is None or is_too_large:
        raise NotConstant
    try:
        result = compute(left, right)
    except (ZeroDivisionError, ValueError) as error:  # ValueError: a shift by less than nothing
        raise NotConstant from error
    if result.bit_length() > BITS_LIMIT:
        raise NotConstant
    return result


_FLOAT_ARITHMETIC: Final[dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]]] = {
    ast.Add: _CONTEXT.add,
    ast.Sub: _CONTEXT.subtract,
    ast.Mult: _CONTEXT.multiply,
    ast.Div: _CONTEXT.divide,
    ast.Pow: _CONTEXT.power,
}


def _decimal_binary(op: ast.operator, left: Decimal, right: Decimal) -> Decimal:
    if isinstance(op, ast.Pow) and not right:
        return Decimal("1.0")
    try:
        if isinstance(op, ast.FloorDiv | ast.Mod):
            # Steps amplify a rounding to a whole quotient: only the machine's own arithmetic is true.
            whole, rest = divmod(float(left), float(right))
            return Decimal(repr(whole if isinstance(op, ast.FloorDiv) else rest))
        compute = _FLOAT_ARITHMETIC.get(type(op))
        if compute is None:
            raise NotConstant
        return compute(left, right)
    except (DecimalException, ZeroDivisionError, OverflowError) as error:
        raise NotConstant from error


def _sequence(kind: Literal["tuple", "list"], elements: list[ast.expr], lookup: Lookup) -> Group:
    if len(elements) > LEAVES_LIMIT:
        raise NotConstant
    parts = tuple(_settled(_evaluate(element, lookup)) for element in elements)
    return _bounded(Group(kind=kind, keys=tuple(map(str, range(len(parts)))), parts=parts))


def _dict(keys: list[ast.expr | None], parts: list[ast.expr], lookup: Lookup) -> Group:
    if len(parts) > LEAVES_LIMIT or None in keys:
        raise NotConstant
    named = [evaluate(key) for key in keys if key is not None]
    if any(isinstance(key, Group) for key in named):
        raise NotConstant
    names = tuple(map(canonical_text, named))
    if len(set(names)) != len(names):
        raise NotConstant
    values = tuple(_settled(_evaluate(part, lookup)) for part in parts)
    return _bounded(Group(kind="dict", keys=names, parts=values))


def _component(base: Value, index: Value) -> Value:
    if isinstance(base, Group) and isinstance(index, int) and -len(base.parts) <= index < len(base.parts):
        return base.parts[index]
    raise NotConstant


def _bounded(group: Group) -> Group:
    if leaves(group) > LEAVES_LIMIT:
        raise NotConstant
    return group


def _settled(value: Value) -> Value:
    """A result within the bounds, floats rounded to double precision."""
    if isinstance(value, Decimal):
        return _float(value)
    if isinstance(value, int) and value.bit_length() > BITS_LIMIT:
        raise NotConstant
    return value


def _float(value: Decimal) -> Decimal:
    nearest = float(value)
    if abs(nearest) == float("inf"):
        raise NotConstant
    return Decimal(repr(nearest))


def _group_text(group: Group) -> str:
    texts = [canonical_text(part) for part in group.parts]
    if group.kind == "dict":
        return "{" + ", ".join(f"{key}: {text}" for key, text in zip(group.keys, texts, strict=True)) + "}"
    if group.kind == "list":
        return "[" + ", ".join(texts) + "]"
    return "(" + ", ".join(texts) + ("," if len(texts) == 1 else "") + ")"
