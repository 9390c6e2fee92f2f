"""Which names a top-level statement reads and binds, and when: at once, or when it is called."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from autoresearch.edits.source import children

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(slots=True, kw_only=True)
class Reach:
    """Names of one statement at module level.

    ``read`` at the time the statement runs, ``deferred`` when the function or class that it defines is
    used, ``bound`` in the module's scope, ``declared_global`` inside its functions. ``may_bind_any`` if it
    binds names that the text does not tell, ``may_call`` if others get to call what it defines at once.
    """

    read: set[str] = field(default_factory=set)
    deferred: set[str] = field(default_factory=set)
    bound: list[str] = field(default_factory=list)
    declared_global: set[str] = field(default_factory=set)
    may_call: bool = False
    may_bind_any: bool = False


def statement_reach(statement: ast.stmt) -> Reach:
    """What a top-level statement reads and binds; errs on the side of reading and binding more."""
    reach = Reach()
    if isinstance(statement, _FUNCTIONS):
        reach.may_call = bool(statement.decorator_list)
        _define(statement, reach)
    elif isinstance(statement, ast.ClassDef):
        reach.bound.append(statement.name)
        reach.may_call = bool(statement.decorator_list or statement.bases or statement.keywords)
        body = set(map(id, statement.body))
        for part in children(statement):
            if isinstance(part, _FUNCTIONS):
                _define(part, reach, binds=False)
            else:
                _walk(part, reach, reach.read, binds=id(part) not in body)
    else:
        _walk(statement, reach, reach.read, binds=True)
    return reach


def class_bindings(statement: ast.stmt) -> list[str]:
    """Names that a statement of a class body binds in the class."""
    return statement_reach(statement).bound


def _define(function: ast.FunctionDef | ast.AsyncFunctionDef, reach: Reach, *, binds: bool = True) -> None:
    if binds:
        reach.bound.append(function.name)
    body = set(map(id, function.body))
    for part in children(function):
        if id(part) in body:
            _walk(part, reach, reach.deferred, binds=False)
        else:
            _walk(part, reach, reach.read, binds=binds)


def _walk(root: ast.AST, reach: Reach, reads: set[str], *, binds: bool) -> None:
    stack = [(root, binds)]
    while stack:
        node, is_module_scope = stack.pop()
        if isinstance(node, ast.Name):
            if is_module_scope and not isinstance(node.ctx, ast.Load):
                reach.bound.append(node.id)
            reads.add(node.id)
            continue
        if isinstance(node, ast.Global):
            reach.declared_global.update(node.names)
        elif is_module_scope:
            _bind_plain_names(node, reach)
        # Defaults, decorators and bases are of the scope around: what they bind is bound there.
        body = set(map(id, node.body)) if isinstance(node, (*_FUNCTIONS, ast.ClassDef)) else ()
        stack.extend((child, is_module_scope and id(child) not in body) for child in children(node))


def _bind_plain_names(node: ast.AST, reach: Reach) -> None:
    """Bindings that the syntax tree writes as text and not as a name node."""
    match node:
        case ast.Import() | ast.ImportFrom():
            names = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
            reach.may_bind_any |= "*" in names
            reach.bound.extend(names)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            reach.bound.append(name)
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            reach.bound.append(name)
        case ast.MatchMapping(rest=str(name)):
            reach.bound.append(name)
