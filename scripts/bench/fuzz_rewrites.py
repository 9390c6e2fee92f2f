"""Rewrites of a program that change its syntax tree and nothing that it does, and compositions of all."""

from __future__ import annotations

import ast
import random
import re
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal

from bench.fuzz_layouts import LAYOUTS, lines_of, retold

Rewrite = Callable[[str, random.Random], str]

STEPS_MAX = 5
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_VALUES = (ast.Constant, ast.Tuple, ast.BinOp, ast.UnaryOp, ast.Name, ast.operator, ast.unaryop, ast.Load)


def rewritten(source: str, chance: random.Random, *, keeps_derivation: bool = True) -> str:
    """The program after some rewrites in some order.

    Args:
        source: The program.
        chance: Where all choices come from.
        keeps_derivation: Constants that are written as a number stay a number. As a parent, a program in
            which one follows from others implies other values for its edits.
    """
    rewrites = [*LAYOUTS, *RESPELLINGS, *([] if keeps_derivation else [derived])]
    for _ in range(chance.randint(1, STEPS_MAX)):
        source = chance.choice(rewrites)(_plain_ends(source), chance)
    return source


def numbers_respelled(source: str, chance: random.Random) -> str:
    """Other notations, and arithmetic that comes to the same."""

    def respelled(kind: int, text: str) -> str:
        if kind != tokenize.NUMBER or text[-1] in "jJ" or chance.random() < 0.5:
            return text
        value = ast.literal_eval(text)
        forms = _int_forms(value, chance) if isinstance(value, int) else _float_forms(value, chance)
        return chance.choice(forms)

    return retold(source, respelled, leaves=("case", "match"))


def idled(source: str, chance: random.Random) -> str:
    """More ``pass`` and bare texts, or fewer."""
    tree = ast.parse(source)
    lines = lines_of(source)
    starts = list(_statement_starts(tree, lines))
    for number in sorted(chance.sample(starts, min(3, len(starts))), reverse=True):
        line = lines[number - 1]
        indent = line[: len(line) - len(line.lstrip())]
        idle = chance.choice(["pass", "'a note'", "...", '"""X = 3\nY = 4"""', "None"])
        lines.insert(number - 1, f"{indent}{idle}\n")
    return "".join(lines)


def docstrings_removed(source: str, chance: random.Random) -> str:
    """Without some of its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and ast.get_docstring(tree) and chance.random() < 0.7:
            idle = [
                part for part in body if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
            ]
            for part in idle:
                body[body.index(part)] = ast.Pass()
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def annotated(source: str, chance: random.Random) -> str:
    """Annotations on some of the plain assignments outside of classes."""
    tree = ast.parse(source)
    declared = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    for body in _bodies_outside_classes(tree):
        for at, node in enumerate(body):
            match node:
                case ast.Assign(targets=[ast.Name() | ast.Attribute() as target], value=value) if (
                    chance.random() < 0.5 and not (isinstance(target, ast.Name) and target.id in declared)
                ):
                    note = ast.Name(id=chance.choice(["int", "Any"]), ctx=ast.Load())
                    simple = int(isinstance(target, ast.Name))
                    body[at] = ast.AnnAssign(target=target, annotation=note, value=value, simple=simple)
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def imports_rearranged(source: str, chance: random.Random) -> str:
    """Imports that stand together in another order, split, repeated."""
    tree = ast.parse(source)
    body: list[ast.stmt] = []
    group: list[ast.stmt] = []
    for node in [*tree.body, None]:
        if isinstance(node, ast.Import):
            group += [ast.Import(names=[alias]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            group += [ast.ImportFrom(node.module, [alias], node.level) for alias in node.names]
        else:
            names = Counter(alias.asname or alias.name for part in group for alias in part.names)  # type: ignore[attr-defined]
            if all(count == 1 for count in names.values()) and "*" not in names:
                chance.shuffle(group)
                group += chance.sample(group, min(len(group), 1))
            body += group
            group = []
            if node is not None:
                body.append(node)
    tree.body = body
    return ast.unparse(tree) + "\n"


def constants_moved(source: str, chance: random.Random) -> str:
    """Constants in other places where nothing can tell, several at once, or set twice."""
    tree = ast.parse(source)
    free = _free_constants(tree)
    for _ in range(chance.randint(1, 4)):
        names = [name for name in free if any(_sets(node) == name for node in tree.body)]
        if not names:
            break
        name = chance.choice(names)
        at = next(at for at, node in enumerate(tree.body) if _sets(node) == name)
        low, high = _room(tree.body, at, free)
        node = tree.body.pop(at)
        tree.body.insert(chance.randint(low, high), node)
    _join_neighbours(tree, free, chance)
    _set_twice(tree, free, chance)
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def derived(source: str, chance: random.Random) -> str:
    """Whole numbers among the constants as expressions of those before them."""
    tree = ast.parse(source)
    free, known = _free_constants(tree), dict[str, int]()
    for node in tree.body:
        name = _sets(node)
        if name not in free or not isinstance(node, ast.Assign):
            continue
        match node.value:
            case ast.Constant(value=int(value)) if not isinstance(value, bool):
                if known and chance.random() < 0.5:
                    node.value = ast.parse(_expression_of(value, known, chance), mode="eval").body
                known[name] = value
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


RESPELLINGS: tuple[Rewrite, ...] = (
    numbers_respelled,
    idled,
    docstrings_removed,
    annotated,
    imports_rearranged,
    constants_moved,
)


def _plain_ends(source: str) -> str:
    return re.sub(r"\r\n?", "\n", source.removeprefix("\ufeff")).rstrip("\n") + "\n"


def _int_forms(value: int, chance: random.Random) -> list[str]:
    other = chance.randint(1, 99)
    forms = [hex(value), oct(value), bin(value), f"{value:_}", f"({value + other} - {other})", f"(+{value})"]
    forms += [
        f"({value * other} // {other})",
        f"(-{value} * -1)",
        f"(~{-value - 1})" if value < 0 else hex(value),
    ]
    if value and value & (value - 1) == 0:
        forms += [f"(1 << {value.bit_length() - 1})", f"(2 ** {value.bit_length() - 1})"]
    forms += [f"({value // factor} * {factor})" for factor in (2, 3, 5, 256) if value % factor == 0]
    return forms


def _float_forms(value: float, chance: random.Random) -> list[str]:
    exact, other = Decimal(repr(value)), chance.randint(2, 9)
    forms = [repr(value), f"{exact:e}", f"({exact * other:e} / {other})", f"({exact / 4:e} * 4)"]
    plain = f"{exact:f}"
    if "." in plain and len(plain) < 30:
        forms += [f"{plain}00", plain.lstrip("0") if not plain.startswith("0.") else plain[1:]]
        forms += [f"{exact.scaleb(2):e} / 100".join("()"), f"(1 - {1 - exact:f})"]
    return [form if "e" in form or "." in form else repr(value) for form in forms]


def _expression_of(value: int, known: dict[str, int], chance: random.Random) -> str:
    name = chance.choice(list(known))
    other = known[name]
    if other and value % other == 0:
        return f"{name} * {value // other}"
    return f"{name} - {other - value}" if other >= value else f"{value - other} + {name}"


def _statement_starts(tree: ast.Module, lines: list[str]) -> Iterator[int]:
    """Lines on which a statement begins, with nothing before it."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, [])
            for part in body if isinstance(body, list) else []:
                first = min([part.lineno, *(one.lineno for one in getattr(part, "decorator_list", []))])
                text = lines[first - 1]
                is_elif = isinstance(part, ast.If) and text.lstrip().startswith("elif")
                before = lines[first - 2].rstrip() if first > 1 else ""
                is_start = text[: part.col_offset].strip() == "" or text.lstrip().startswith("@")
                if is_start and not is_elif and not before.endswith("\\"):
                    yield first


def _bodies_outside_classes(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for name, value in ast.iter_fields(node):
        is_block = name in {"body", "orelse", "finalbody"} and isinstance(value, list)
        if is_block and not isinstance(node, ast.ClassDef):
            yield value
        for part in value if isinstance(value, list) else []:
            if isinstance(part, ast.AST) and (
                not isinstance(node, ast.ClassDef) or isinstance(part, _FUNCTIONS)
            ):
                yield from _bodies_outside_classes(part)


def _sets(node: ast.stmt) -> str:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
    return ""


def _free_constants(tree: ast.Module) -> set[str]:
    """Names that one plain assignment at module level sets, to a value made of literals and such names."""
    bound: Counter[str] = Counter()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                bound[name] += 1
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                bound[name] += 1
            case ast.Global(names=names):
                bound.update(2 * names)
            case ast.alias(name=name, asname=asname):
                bound[asname or name.partition(".")[0]] += 1
    free: set[str] = set()
    for node in tree.body:
        name = _sets(node)
        if name and bound[name] == 1 and isinstance(node, ast.Assign):
            needs = _names(node.value)
            if needs <= free and all(isinstance(part, _VALUES) for part in ast.walk(node.value)):
                free.add(name)
    return free


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _room(body: list[ast.stmt], at: int, free: set[str]) -> tuple[int, int]:
    """Between which places of the body a constant may stand, once it is taken out."""
    name, needs = _sets(body[at]), _names(body[at].value)  # type: ignore[attr-defined]
    low = max([index + 1 for index in range(at) if _sets(body[index]) in needs], default=0)
    high = at
    for node in body[at + 1 :]:
        is_quiet = (isinstance(node, ast.FunctionDef) and not node.decorator_list) or _sets(node) in free
        reads = _names(node) if not isinstance(node, ast.FunctionDef) else _names(node.args)
        if not is_quiet or name in reads:
            break
        high += 1
    return low, high


def _join_neighbours(tree: ast.Module, free: set[str], chance: random.Random) -> None:
    """``A = 1`` and ``B = 2`` as one assignment."""
    for at in range(len(tree.body) - 2, -1, -1):
        one, two = tree.body[at], tree.body[at + 1]
        are_constants = {_sets(one), _sets(two)} <= free
        if not are_constants or chance.random() < 0.7:
            continue
        is_equal = ast.dump(one.value) == ast.dump(two.value)
        if _sets(one) in _names(two.value):
            continue
        if is_equal and chance.random() < 0.5:
            joined = ast.Assign(targets=[*one.targets, *two.targets], value=one.value)
        else:
            names = ast.Tuple(elts=[*one.targets, *two.targets], ctx=ast.Store())
            joined = ast.Assign(targets=[names], value=ast.Tuple(elts=[one.value, two.value], ctx=ast.Load()))
        tree.body[at : at + 2] = [joined]


def _set_twice(tree: ast.Module, free: set[str], chance: random.Random) -> None:
    """Another value that is overwritten at once, or one that is doubled at once."""
    for at in range(len(tree.body) - 1, -1, -1):
        node = tree.body[at]
        if _sets(node) not in free or _names(getattr(node, "value", node)) or chance.random() < 0.8:
            continue
        name = _sets(node)
        match node:
            case ast.Assign(value=ast.Constant(value=int(value))) if value and not isinstance(value, bool):
                tree.body[at : at + 1] = ast.parse(f"{name} = {value - 7}\n{name} += 7").body
            case _:
                tree.body[at:at] = ast.parse(f"{name} = 12345").body
