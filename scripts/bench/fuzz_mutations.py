"""Changes of a program, each of which changes what it does."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator

Mutation = Callable[[], None]
"""Changes the tree that it was found in."""

ATTEMPTS_MAX = 20
_NONE = ast.Constant(value=None)

_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Pow, ast.Mod, ast.MatMult, ast.LShift)
_COMPARED = (ast.Lt, ast.LtE, ast.Gt, ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)


def mutated(source: str, chance: random.Random) -> str:
    """The program with one value, operator, name, argument or statement changed, or two in another order."""
    for _ in range(ATTEMPTS_MAX):
        tree = ast.parse(source)
        found = list(_mutations(tree, chance, is_fixed=True, in_class=False))
        chance.choice(found)()
        try:
            text = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
            ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        return text
    return source + "another = statement()\n"


def _mutations(node: ast.AST, chance: random.Random, *, is_fixed: bool, in_class: bool) -> Iterator[Mutation]:
    """All of a subtree's; ``is_fixed`` outside of functions, where operators may make a constant."""
    yield from _of_statements(node, is_fixed=is_fixed)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if not _is_literal_arithmetic(node):
        yield from _of_expression(node, chance, is_fixed=is_fixed)
    is_function = isinstance(node, ast.FunctionDef | ast.Lambda)
    inner = is_fixed and not is_function
    within_class = isinstance(node, ast.ClassDef) or (in_class and not is_function)
    for name, value in ast.iter_fields(node):
        if isinstance(node, ast.AnnAssign) and name == "annotation" and not in_class:
            continue
        for part in value if isinstance(value, list) else [value]:
            if not isinstance(part, ast.AST):
                continue
            if _is_literal_arithmetic(part):
                yield _replacing(node, name, part, _other_number(part, chance))
            else:
                yield from _mutations(part, chance, is_fixed=inner, in_class=within_class)


def _of_statements(node: ast.AST, *, is_fixed: bool) -> Iterator[Mutation]:
    for name in ("body", "orelse", "finalbody"):
        body = getattr(node, name, None)
        if not isinstance(body, list):
            continue
        for at, part in enumerate(body):
            if _is_idle(part) or isinstance(part, ast.Import | ast.ImportFrom):
                continue
            if not is_fixed or isinstance(part, ast.For | ast.If | ast.While | ast.With):
                yield lambda body=body, at=at: body.__setitem__(at, ast.Pass())
                yield lambda body=body, at=at, part=part: body.insert(at, part)
            after = body[at + 1] if at + 1 < len(body) else ast.Pass()
            is_ordered = not is_fixed and not _is_idle(after)
            if is_ordered and ast.dump(_bare(part)) != ast.dump(_bare(after)):
                yield lambda body=body, at=at: body.insert(at, body.pop(at + 1))


def _bare(node: ast.stmt) -> ast.stmt:
    """A statement without its annotation."""
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return ast.Assign(targets=[node.target], value=node.value)
    return node


def _of_expression(node: ast.AST, chance: random.Random, *, is_fixed: bool) -> Iterator[Mutation]:  # noqa: C901, PLR0912
    match node:
        case ast.Constant(value=bool(value)):
            yield _setting(node, "value", not value)
        case ast.Constant(value=str(value)):
            yield _setting(node, "value", value + chance.choice(["x", " ", "\n"]))
        case ast.Constant(value=None):
            yield _setting(node, "value", 0)
        case ast.BinOp(op=op) if not is_fixed:
            yield _setting(node, "op", _other(_OPERATORS, op, chance))
        case ast.AugAssign(op=op):
            yield _setting(node, "op", _other(_OPERATORS, op, chance))
        case ast.Compare(ops=[op]):
            yield _setting(node, "ops", [_other(_COMPARED, op, chance)])
        case ast.BoolOp(op=op):
            yield _setting(node, "op", ast.And() if isinstance(op, ast.Or) else ast.Or())
        case ast.UnaryOp(op=ast.Not()):
            yield _setting(node, "op", ast.USub())
        case ast.Name(id=name):
            yield _setting(node, "id", name + "_other")
        case ast.Attribute(attr=name):
            yield _setting(node, "attr", name + "_other")
        case ast.keyword(arg=str(name)) | ast.arg(arg=name):
            yield _setting(node, "arg", name + "_other")
        case ast.keyword(arg=None):
            yield _setting(node, "arg", "options")
        case ast.FormattedValue(conversion=conversion):
            yield _setting(node, "conversion", ord("s") if conversion == ord("r") else ord("r"))
        case ast.IfExp(body=one, orelse=two) if ast.dump(one) != ast.dump(two):
            yield lambda: (setattr(node, "body", two), setattr(node, "orelse", one))
        case ast.Continue() | ast.Break():
            pass
        case ast.Call() | ast.FunctionDef() | ast.ClassDef() | ast.Dict() | ast.Slice():
            yield from _of_arguments(node)
        case ast.comprehension(ifs=[_, *_]):
            yield _setting(node, "ifs", [])
        case ast.Return(value=value) if value is not None:
            yield _setting(node, "value", ast.Tuple(elts=[value], ctx=ast.Load()))
        case ast.ExceptHandler(name=str(name)):
            yield _setting(node, "name", name + "_other")


def _of_arguments(node: ast.AST) -> Iterator[Mutation]:  # noqa: C901 - one case for each kind
    match node:
        case ast.Call(args=args, keywords=keywords):
            yield lambda: args.append(ast.Constant(value="more"))
            yield from (_without(part) for part in (args, keywords) if part)
            if len(args) > 1 and ast.dump(args[0]) != ast.dump(args[1]):
                yield lambda: args.insert(0, args.pop(1))
            for at, arg in enumerate(args):
                if isinstance(arg, ast.Starred):
                    yield _placing(args, at, arg.value)
        case ast.FunctionDef(args=arguments, decorator_list=decorators):
            for at, default in enumerate(arguments.kw_defaults):
                if default is None or ast.dump(default) == ast.dump(_NONE):
                    yield _placing(arguments.kw_defaults, at, _NONE if default is None else None)
            yield from [decorators.clear] if decorators else []
        case ast.ClassDef(bases=bases) if bases:
            yield bases.clear
        case ast.Dict(keys=keys):
            yield from (_placing(keys, at, _NONE) for at, key in enumerate(keys) if key is None)
        case ast.Slice(step=None):
            yield _setting(node, "step", ast.Constant(value=2))


def _without(parts: list[ast.expr] | list[ast.keyword]) -> Mutation:
    return lambda: parts.__delitem__(-1)


def _placing(parts: list[ast.expr] | list[ast.expr | None], at: int, value: ast.expr | None) -> Mutation:
    return lambda: parts.__setitem__(at, value)


def _other(kinds: tuple[type[ast.AST], ...], than: ast.AST, chance: random.Random) -> ast.AST:
    return chance.choice([kind for kind in kinds if not isinstance(than, kind)])()


def _setting(node: ast.AST, name: str, value: object) -> Mutation:
    return lambda: setattr(node, name, value)


def _replacing(node: ast.AST, name: str, old: ast.AST, new: ast.AST) -> Mutation:
    def replace() -> None:
        value = getattr(node, name)
        if isinstance(value, list):
            value[next(at for at, part in enumerate(value) if part is old)] = new
        else:
            setattr(node, name, new)

    return replace


def _is_literal_arithmetic(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=int() | float() as value):
            return not isinstance(value, bool)
        case ast.BinOp(left=left, right=right):
            return _is_literal_arithmetic(left) and _is_literal_arithmetic(right)
        case ast.UnaryOp(operand=operand):
            return not isinstance(node.op, ast.Not) and _is_literal_arithmetic(operand)
    return False


def _other_number(node: ast.AST, chance: random.Random) -> ast.expr:
    """A number of another value, or an equal one of another type where that makes a difference."""
    if not isinstance(node, ast.Constant):
        return ast.Constant(value=chance.randint(10**12, 10**13))  # as good as never what it came to
    value: int | float = node.value
    others = [value + 1, value - 1, value * 2 + 3]
    if isinstance(value, float):
        others.append(value * 1.0000000001 + 1e-16)
    elif abs(value) < 2**50:
        others.append(float(value))
    return ast.parse(repr(chance.choice(others)), mode="eval").body


def _is_idle(node: ast.stmt) -> bool:
    is_bare = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_bare or isinstance(node, ast.Pass)
